package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
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

// samples are the shortest beginnings that make each kind of picture, filled up to a size.
func sample(mime string, size int) []byte {
	head := map[string]string{
		"image/png":  "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
		"image/jpeg": "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
		"image/gif":  "GIF89a\x01\x00\x01\x00\x00\x00",
		"image/webp": "RIFF\x24\x00\x00\x00WEBPVP8 ",
		"image/avif": "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00avifmif1miaf",
	}[mime]
	picture := append([]byte(head), make([]byte, max(0, size-len(head)))...)
	for i := len(head); i < len(picture); i++ {
		picture[i] = byte(i * 7)
	}
	return picture
}

var pictureTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}

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

// FuzzChatMessage: what passes is a text or a picture, and its meta is as the page expects it; what does not is refused with a code.
func FuzzChatMessage(f *testing.F) {
	for _, s := range []string{`"hi"`, `{"text":"hi"}`, `{"picture":"R0lGODlhAQABAAAAAAA","name":"\u0000<"}`, ` {"text":null,"picture":null}`, `[]`} {
		f.Add([]byte(s), []byte(nil), false)
	}
	f.Add(sample("image/gif", 20), []byte(`{"name":"a.gif","mime":"text/html"}`), true)
	c := newChat(ChatConfig{PictureBytes: 1000}, quiet)
	f.Fuzz(func(t *testing.T, data, meta []byte, binary bool) {
		if !binary && !json.Valid(data) {
			return // the hub has refused it
		}
		call := &hub.PublishCall{
			Context: t.Context(), Session: rand.Text(), Identity: &hub.Identity{User: "~1", Anonymous: true}, Topic: "chat.a",
			Publication: &hub.Publication{Data: data, Meta: meta, Binary: binary},
		}
		err := c.publish(call)
		if _, known := errors.AsType[*hub.Error](err); err != nil {
			if !known {
				t.Fatal(err)
			}
			return
		}
		p := call.Publication
		if !p.Binary {
			if len(p.Data) > maxTextBytes {
				t.Fatalf("a text of %d bytes", len(p.Data))
			}
			return
		}
		var m pictureMeta
		if err := json.Unmarshal(p.Meta, &m); err != nil || len(p.Meta) > 1<<10 || m.MIME != pictureType(p.Data) || m.MIME == "" || len(p.Data) > 1000 {
			t.Fatalf("%d bytes with %s, %v", len(p.Data), p.Meta, err)
		}
	})
}
