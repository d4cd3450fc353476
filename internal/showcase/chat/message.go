package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/picture"
)

const (
	// maxTextBytes is enough for the longest text in its longest form, a \u escape for each half of each character.
	maxTextBytes = 64 << 10
	maxFileRunes = 100 // of a picture's name
)

// pictureMeta says what the bytes of a binary message are.
type pictureMeta struct {
	Name   string `json:"name,omitempty"`   // of the file; only for display
	MIME   string `json:"mime,omitempty"`   // told from the bytes, as are the next two, so that a page can keep the place free
	Width  int    `json:"width,omitempty"`  // pixels
	Height int    `json:"height,omitempty"` // pixels
	Reply  *quote `json:"reply,omitempty"`
}

// publish is the hub's hook: it decides what is passed on in a room.
func (c *chat) publish(call *hub.PublishCall) error {
	at, ok := placeOf(call.Topic)
	if !ok {
		return nil
	}
	if problem := roomProblem(at.room); problem != "" {
		return hub.Errorf(codeRoomMalformed, "%s", problem)
	}
	if at.part != "" {
		return c.signal(call, at)
	}
	p := call.Publication
	if wait := c.bytes.take(call.Session, float64(len(p.Data)), time.Now()); wait > 0 {
		return &hub.Error{Code: hub.CodeRate, Message: "these are too many bytes at once", Retry: wait}
	}
	if err := c.maySpeak(call, at); err != nil {
		return err
	}
	if !p.Binary {
		return c.message(call.Context, call.Topic, p)
	}
	var meta struct { // what a client may say about its picture; what it does not is left out
		Name  string
		Reply json.RawMessage
	}
	_ = json.Unmarshal(p.Meta, &meta)
	return c.picture(call.Context, call.Topic, p, p.Data, meta.Name, meta.Reply)
}

// maySpeak refuses who has chosen a name and does not hold it in the room.
func (c *chat) maySpeak(call *hub.PublishCall, at place) error {
	if _, chosen := showcase.ShownName(call.Identity.User, call.Identity.Info); !chosen || !call.Identity.Anonymous {
		return nil
	}
	if c.env.Hub.IsSubscribed(call.Session, call.Topic) { // which is so for most, and costs no question to a broker
		return nil
	}
	here, err := c.isHere(call.Context, call.Topic, call.Identity.User)
	if err != nil {
		return err
	}
	if !here {
		return hub.Errorf(codeNotHere, "enter %s before you speak there: subscribe to %s", at.room, call.Topic)
	}
	return nil
}

// message checks a JSON message. A picture in it becomes a binary message.
func (c *chat) message(ctx context.Context, topic string, p *hub.Publication) error {
	if bytes.HasPrefix(bytes.TrimLeft(p.Data, " \t\r\n"), []byte{'"'}) { // a text by itself
		var text string
		if err := json.Unmarshal(p.Data, &text); err != nil {
			return badMessage()
		}
		return c.text(text, len(p.Data))
	}
	// A map, since a struct would also take fields whose case is another, which other clients do not see.
	var fields map[string]json.RawMessage
	var text, base64, name *string
	if json.Unmarshal(p.Data, &fields) != nil || !stringIn(fields, "text", &text) || !stringIn(fields, "picture", &base64) || !stringIn(fields, "name", &name) {
		return badMessage()
	}
	reply, replies := fields["reply"]
	switch {
	case base64 != nil:
		b, err := picture.DecodeBase64(*base64)
		if err != nil {
			return hub.Errorf(codeBadBase64, "%s", err)
		}
		if name == nil {
			name = new(string)
		}
		return c.picture(ctx, topic, p, b, *name, reply)
	case text == nil:
		return badMessage()
	}
	if err := c.text(*text, len(p.Data)); err != nil || !replies {
		return err
	}
	quoted, err := c.quote(ctx, topic, reply)
	if err != nil {
		return err
	}
	if fields["reply"] = mustJSON(quoted); quoted == nil {
		delete(fields, "reply")
	}
	p.Data = mustJSON(fields)
	return nil
}

// stringIn reads a field that is a string, null or absent, and reports whether it is one of these.
func stringIn(fields map[string]json.RawMessage, name string, into **string) bool {
	raw, ok := fields[name]
	return !ok || json.Unmarshal(raw, into) == nil
}

func badMessage() error {
	return hub.Errorf(codeBadMessage, `a message is {"text":"..."} or {"picture":"<base64>"}, or bytes of a picture`)
}

// text checks a text that came in so many bytes.
func (c *chat) text(text string, size int) error {
	switch {
	case size > maxTextBytes:
		return hub.Errorf(hub.CodeTooLarge, "a text and what comes with it have at most %d bytes, not %d", maxTextBytes, size)
	case strings.TrimSpace(text) == "":
		return hub.Errorf(codeEmpty, "there is nothing in the text")
	case utf8.RuneCountInString(text) > c.options.TextRunes:
		return hub.Errorf(codeTextTooLong, "a text has at most %d characters", c.options.TextRunes)
	}
	return nil
}

// picture makes a publication of the bytes of a picture.
func (c *chat) picture(ctx context.Context, topic string, p *hub.Publication, b []byte, name string, reply json.RawMessage) error {
	info, err := picture.Check(b, c.options.Picture)
	switch {
	case errors.Is(err, picture.ErrBytes):
		return hub.Errorf(codePictureTooLarge, "%s", err)
	case errors.Is(err, picture.ErrPixels):
		return hub.Errorf(codePictureTooMany, "%s", err)
	case err != nil:
		return hub.Errorf(codeNotAPicture, "%s", err)
	}
	quoted, err := c.quote(ctx, topic, reply)
	if err != nil {
		return err
	}
	p.Data, p.Binary = b, true
	p.Meta = mustJSON(pictureMeta{shorten(visible(name), maxFileRunes), info.MIME, info.Width, info.Height, quoted})
	return nil
}

// visible makes one line of a text, without what cannot be seen in it but changes what can, such as the direction of writing.
func visible(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case unicode.IsGraphic(r) || r == '\u200c' || r == '\u200d': // the joiners, which many scripts and emoji need
			return r
		}
		return -1
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// shorten cuts s to at most n characters.
func shorten(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
