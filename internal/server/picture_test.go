package server

import (
	"bytes"
	"testing"
)

func TestPictureType(t *testing.T) {
	for _, mime := range pictureTypes {
		picture := sample(mime, 64)
		if got := pictureType(picture); got != mime {
			t.Errorf("%s is taken for %q", mime, got)
		}
		for n := range 12 {
			if got := pictureType(picture[:n]); got != "" {
				t.Errorf("the first %d bytes of %s are taken for %q", n, mime, got)
			}
		}
	}
	for name, b := range map[string]string{
		"RIFF that is a sound": "RIFF\x24\x00\x00\x00WAVEfmt ",
		"video in ISO media":   "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomiso2",
		"avif as a version":    "\x00\x00\x00\x18ftypisomavifisommp42",
		"avif behind the box":  "\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isomavif",
		"SVG":                  "<svg xmlns='http://www.w3.org/2000/svg'/>",
		"HTML":                 "<!doctype html><title>x</title>",
		"PDF":                  "%PDF-1.7 0123456789",
	} {
		if got := pictureType([]byte(b)); got != "" {
			t.Errorf("%s is taken for %q", name, got)
		}
	}
}

// FuzzParsePicture checks that whatever arrives is refused or read without harm, and that what is read can be written again.
func FuzzParsePicture(f *testing.F) {
	for _, h := range []pictureHeader{{}, {ID: "x", Name: "猫.png"}, {ID: "x", From: "Ann", Time: 1, MIME: "image/png"}} {
		p, err := appendPicture(nil, h, sample("image/png", 40))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Add([]byte("\x01\xff\xff{}"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, picture, err := parsePicture(p)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(p, picture) {
			t.Fatal("the picture is not the end of the frame")
		}
		again, err := appendPicture(nil, h, picture)
		if err != nil {
			return // a header that became longer, by escapes, than is allowed
		}
		h2, picture2, err := parsePicture(again)
		if err != nil || h2 != h || !bytes.Equal(picture2, picture) {
			t.Fatalf("%+v became %+v, %v", h, h2, err)
		}
		_ = pictureType(picture)
	})
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"aGVsbG8=", "data:image/png;base64,aGVsbG8", "aGVs\r\nbG8", "-_-_", "data:,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := decodeBase64(s); err != nil && b != nil {
			t.Fatal("bytes and an error")
		}
	})
}
