// Package picture tells what the bytes that a visitor sends are: which kind of picture, and how large it will be when a browser unpacks it.
// It reads headers only and never decodes, so hostile bytes cost next to nothing. Its functions may be called from any goroutine.
package picture

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Info is what the header of a picture says.
type Info struct {
	MIME          string // image/png, image/jpeg, image/gif, image/webp or image/avif
	Width, Height int    // in pixels, at least 1; before a rotation that the picture may ask for
}

// Limits bound what is taken for a picture to be passed on. The zero value stands for the defaults.
type Limits struct {
	Bytes  int // default 8 MiB
	Side   int // pixels of the longer side; default 16,384
	Pixels int // in all, each of which takes four bytes of whoever looks at it; default 64 million
}

func (l Limits) withDefaults() Limits {
	l.Bytes = cmp.Or(l.Bytes, 8<<20)
	l.Side = cmp.Or(l.Side, 16<<10)
	l.Pixels = cmp.Or(l.Pixels, 64_000_000)
	return l
}

// What Check finds wrong. Its errors wrap one of these, and say with numbers what would be right.
var (
	ErrKind   = errors.New("only PNG, JPEG, GIF, WebP and AVIF pictures are passed on")
	ErrBytes  = errors.New("the picture has too many bytes")
	ErrPixels = errors.New("the picture has too many pixels")
)

// Check reads the header of a picture, whatever its sender or its file's name claim. A header that does not say how large the picture
// is counts as none: the little file may become a picture of gigabytes.
func Check(b []byte, l Limits) (Info, error) {
	l = l.withDefaults()
	if len(b) > l.Bytes {
		return Info{}, fmt.Errorf("%w: %d, and at most %d are allowed", ErrBytes, len(b), l.Bytes)
	}
	mime := Type(b)
	if mime == "" {
		return Info{}, ErrKind
	}
	width, height := size(mime, b)
	if width < 1 || height < 1 {
		return Info{}, fmt.Errorf("%w: the header of this one is damaged", ErrKind)
	}
	if max(width, height) > l.Side || width > l.Pixels/height {
		return Info{}, fmt.Errorf("%w: it is %d by %d, and a side may have at most %d, the whole %d", ErrPixels, width, height, l.Side, l.Pixels)
	}
	return Info{mime, width, height}, nil
}

// Type tells from the first bytes what kind of picture they are. It returns "" for everything that is not one of the kinds that all
// browsers show and that cannot carry a script, as SVG can.
func Type(b []byte) string {
	for _, s := range []struct{ mime, at0, at8 string }{
		{"image/png", "\x89PNG\r\n\x1a\n", ""},
		{"image/jpeg", "\xff\xd8\xff", ""},
		{"image/gif", "GIF87a", ""},
		{"image/gif", "GIF89a", ""},
		{"image/webp", "RIFF", "WEBP"},
	} {
		if bytes.HasPrefix(b, []byte(s.at0)) && len(b) >= 12 && bytes.HasPrefix(b[8:], []byte(s.at8)) {
			return s.mime
		}
	}
	if isAVIF(b) {
		return "image/avif"
	}
	return ""
}

// isAVIF looks for the brands avif and avis in the ftyp box that an ISO base media file begins with: its size, "ftyp", the
// major brand, a version and the compatible brands, four bytes each.
func isAVIF(b []byte) bool {
	if len(b) < 16 || string(b[4:8]) != "ftyp" || b[0] != 0 || b[1] != 0 {
		return false
	}
	box := b[:min(len(b), int(b[2])<<8|int(b[3]))]
	for i := 8; i+4 <= len(box); i += 4 {
		if brand := string(box[i : i+4]); i != 12 && (brand == "avif" || brand == "avis") {
			return true
		}
	}
	return false
}

// ErrNotBase64 is what DecodeBase64 returns.
var ErrNotBase64 = errors.New("the picture is not base64")

// DecodeBase64 reads what mini-programs and pages send: plain base64 or a data: URL, standard or URL-safe alphabet, padded or
// not, with line breaks or without.
func DecodeBase64(s string) ([]byte, error) {
	if strings.HasPrefix(s, "data:") {
		head, data, ok := strings.Cut(s, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return nil, ErrNotBase64
		}
		s = data
	}
	if strings.ContainsAny(s, "\r\n\t ") {
		s = strings.Join(strings.Fields(s), "")
	}
	s = strings.TrimRight(s, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(s)
	if err != nil {
		return nil, ErrNotBase64
	}
	return slices.Clip(b), nil
}
