package server

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// pictureType tells from the bytes what kind of picture they are, whatever the sender or the file's name claim. It returns ""
// for everything that is not one of the kinds that all browsers show and that cannot carry a script, as SVG can.
func pictureType(b []byte) string {
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

var errNotBase64 = errors.New("the picture is not base64")

// decodeBase64 reads what mini-programs and pages send: plain base64 or a data: URL, standard or URL-safe alphabet, padded or
// not, with line breaks or without.
func decodeBase64(s string) ([]byte, error) {
	if strings.HasPrefix(s, "data:") {
		head, data, ok := strings.Cut(s, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return nil, errNotBase64
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
		return nil, errNotBase64
	}
	return slices.Clip(b), nil
}
