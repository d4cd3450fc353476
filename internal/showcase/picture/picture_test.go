package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

// real are pictures that other programs have made, or would make, of 40 by 30 pixels.
func real(t testing.TB) map[string][]byte {
	t.Helper()
	drawing := image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.Black, color.White})
	all := make(map[string][]byte)
	for mime, encode := range map[string]func(*bytes.Buffer) error{
		"image/png":  func(b *bytes.Buffer) error { return png.Encode(b, drawing) },
		"image/jpeg": func(b *bytes.Buffer) error { return jpeg.Encode(b, drawing, nil) },
		"image/gif":  func(b *bytes.Buffer) error { return gif.Encode(b, drawing, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		all[mime] = b.Bytes()
	}
	// The standard library writes neither of these.
	all["image/webp"] = webp("VP8 ", "\x30\x01\x00\x9d\x01\x2a\x28\x00\x1e\x00\x00\x00")
	all["image/avif"] = avif(40, 30)
	return all
}

func webp(chunk, content string) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WEBP" + chunk + "\x00\x00\x00\x00" + content)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(content)))
	return b
}

func avif(width, height uint32) []byte {
	ispe := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(make([]byte, 4), width), height)
	properties := box("iprp", box("ipco", append(box("colr", make([]byte, 7)), box("ispe", ispe)...)))
	meta := box("meta", append(append(make([]byte, 4), box("hdlr", make([]byte, 20))...), properties...))
	return append(box("ftyp", []byte("mif1\x00\x00\x00\x00avifmif1miaf")), append(meta, box("mdat", make([]byte, 9))...)...)
}

func box(kind string, content []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(content)+8)), kind...), content...)
}

func TestCheck(t *testing.T) {
	for mime, b := range real(t) {
		if got, err := Check(b, Limits{}); err != nil || got != (Info{mime, 40, 30}) {
			t.Errorf("%s: %+v, %v", mime, got, err)
		}
		for n := range 12 {
			if got := Type(b[:n]); got != "" {
				t.Errorf("the first %d bytes of %s are taken for %q", n, mime, got)
			}
		}
		if _, err := Check(b, Limits{Bytes: len(b) - 1}); !errors.Is(err, ErrBytes) {
			t.Errorf("%s with too many bytes: %v", mime, err)
		}
		if _, err := Check(b, Limits{Side: 39}); !errors.Is(err, ErrPixels) {
			t.Errorf("%s that is too wide: %v", mime, err)
		}
		if _, err := Check(b, Limits{Pixels: 40*30 - 1}); !errors.Is(err, ErrPixels) {
			t.Errorf("%s with too many pixels: %v", mime, err)
		}
	}
}

// TestForms: the kinds that have more than one header.
func TestForms(t *testing.T) {
	lossless := uint32(40-1) | uint32(30-1)<<14
	for name, b := range map[string][]byte{
		"lossless WebP":          webp("VP8L", "\x2f"+string(binary.LittleEndian.AppendUint32(nil, lossless))+"\x00\x00\x00\x00\x00"),
		"extended WebP":          webp("VP8X", "\x10\x00\x00\x00\x27\x00\x00\x1d\x00\x00"),
		"JPEG with fill bytes":   []byte("\xff\xd8\xff\xff\xff\x01\xff\xe1\x00\x04ab\xff\xc2\x00\x11\x08\x00\x1e\x00\x28\x03"),
		"AVIF to the file's end": append(avif(40, 30), "\x00\x00\x00\x00mdat"...),
		"AVIF with padding":      bytes.Replace(avif(40, 30), []byte("hdlr"), []byte("free"), 1),
	} {
		if got, err := Check(b, Limits{}); err != nil || got.Width != 40 || got.Height != 30 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestBombs: little files that unpack to gigabytes, and headers that hide how large the picture is.
func TestBombs(t *testing.T) {
	all := real(t)
	patched := func(mime string, at int, with string) []byte {
		b := bytes.Clone(all[mime])
		copy(b[at:], with)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"a PNG of 65,535 by 65,535":     {patched("image/png", 16, "\x00\x00\xff\xff\x00\x00\xff\xff"), ErrPixels},
		"a PNG beyond 31 bits":          {patched("image/png", 16, "\xff\xff\xff\xff\xff\xff\xff\xff"), ErrPixels},
		"a PNG that is one long line":   {patched("image/png", 16, "\x00\x00\x40\x01\x00\x00\x00\x01"), ErrPixels},
		"a PNG of no height":            {patched("image/png", 20, "\x00\x00\x00\x00"), ErrKind},
		"a PNG without IHDR":            {patched("image/png", 12, "IDAT"), ErrKind},
		"a GIF of 65,535 by 65,535":     {patched("image/gif", 6, "\xff\xff\xff\xff"), ErrPixels},
		"a WebP of 16,384 by 16,384":    {webp("VP8L", "\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00"), ErrPixels},
		"a WebP of 2^24 by 2^24":        {webp("VP8X", "\x10\x00\x00\x00\xff\xff\xff\xff\xff\xff"), ErrPixels},
		"a WebP of another kind":        {webp("ANIM", "\x10\x00\x00\x00\xff\xff\xff\xff\xff\xff"), ErrKind},
		"an AVIF of a million squared":  {avif(1e6, 1e6), ErrPixels},
		"an AVIF beyond 31 bits":        {avif(1<<32-1, 1<<32-1), ErrPixels},
		"an AVIF without sizes":         {bytes.Replace(avif(40, 30), []byte("ispe"), []byte("free"), 1), ErrKind},
		"a JPEG without a frame":        {[]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"), ErrKind},
		"a JPEG whose segment is empty": {[]byte("\xff\xd8\xff\xe0\x00\x00\xff\xe0\x00\x00\xff\xd9"), ErrKind},
		"RIFF that is a sound":          {[]byte("RIFF\x24\x00\x00\x00WAVEfmt "), ErrKind},
		"video in ISO media":            {[]byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomiso2"), ErrKind},
		"avif as a version":             {[]byte("\x00\x00\x00\x18ftypisomavifisommp42"), ErrKind},
		"avif behind the box":           {[]byte("\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isomavif"), ErrKind},
		"SVG":                           {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), ErrKind},
		"HTML":                          {[]byte("<!doctype html><title>x</title>"), ErrKind},
		"PDF":                           {[]byte("%PDF-1.7 0123456789"), ErrKind},
		"nothing":                       {nil, ErrKind},
	} {
		if got, err := Check(c.b, Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, c.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, b := range real(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Check(b, Limits{})
		if err == nil && (got.MIME != Type(b) || got.Width < 1 || got.Height < 1 || got.Width*got.Height > 64_000_000) {
			t.Fatalf("%+v", got)
		}
	})
}

func TestDecodeBase64(t *testing.T) {
	for _, s := range []string{"aGk/aGk+", "aGk_aGk-", "data:image/png;base64,aGk/aGk+", " aGk/\r\naGk+\n"} {
		if got, err := DecodeBase64(s); err != nil || string(got) != "hi?hi>" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"!!!", "data:image/png,aGk", "data:", "aGk/aGk-", strings.Repeat("a", 5)} {
		if _, err := DecodeBase64(s); !errors.Is(err, ErrNotBase64) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"aGVsbG8=", "data:image/png;base64,aGVsbG8", "aGVs\r\nbG8", "-_-_", "data:,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := DecodeBase64(s); err != nil && b != nil {
			t.Fatal("bytes and an error")
		}
	})
}
