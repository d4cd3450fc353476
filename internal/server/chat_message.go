package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	// maxTextBytes is enough for the longest text in its longest form, a \u escape for each half of each character.
	maxTextBytes = 64 << 10
	maxFileRunes = 100    // of a picture's name
	maxVolumes   = 10_000 // sessions whose bytes are counted at one time
)

// chatMessage is what a client publishes as JSON: a text, or a picture in base64.
type chatMessage struct {
	Text    *string `json:"text"`
	Picture *string `json:"picture"`
	Name    string  `json:"name"`
}

// pictureMeta says what the bytes of a binary message are. The server fills in MIME.
type pictureMeta struct {
	Name string `json:"name,omitempty"` // of the file; only for display
	MIME string `json:"mime,omitempty"`
}

// publish is the hub's hook: it decides what is passed on in a room.
func (c *chat) publish(call *hub.PublishCall) error {
	room, ok := c.roomOf(call.Topic)
	if !ok {
		return nil
	}
	if problem := roomProblem(room); problem != "" {
		return hub.Errorf(codeRoomMalformed, "%s", problem)
	}
	p := call.Publication
	if wait := c.book(call.Session, len(p.Data), time.Now()); wait > 0 {
		return &hub.Error{Code: hub.CodeRate, Message: "these are too many bytes at once", Retry: wait}
	}
	// Who has chosen a name has to hold it.
	if _, chosen := shownName(call.Identity.User, call.Identity.Info); chosen && call.Identity.Anonymous {
		here := c.hub.IsSubscribed(call.Session, call.Topic) // which is so for most, and costs no question to a broker
		if !here {
			var err error
			if here, err = c.isHere(call.Context, call.Topic, call.Identity.User); err != nil {
				return err
			}
		}
		if !here {
			return hub.Errorf(codeNotHere, "enter %s before you speak there: subscribe to %s", room, call.Topic)
		}
	}
	if p.Binary {
		var meta pictureMeta
		_ = json.Unmarshal(p.Meta, &meta) // without a name, then
		return c.picture(p, p.Data, meta.Name)
	}
	return c.message(p)
}

// message checks a JSON message. A picture in it becomes a binary message.
func (c *chat) message(p *hub.Publication) error {
	var m chatMessage
	var into any = &m
	if bytes.HasPrefix(bytes.TrimLeft(p.Data, " \t\r\n"), []byte{'"'}) {
		into = &m.Text // a text by itself
	}
	if err := json.Unmarshal(p.Data, into); err != nil || m.Text == nil && m.Picture == nil {
		return hub.Errorf(codeBadMessage, `a message is {"text":"..."} or {"picture":"<base64>"}, or bytes of a picture`)
	}
	if m.Picture != nil {
		picture, err := decodeBase64(*m.Picture)
		if err != nil {
			return hub.Errorf(codeBadBase64, "%s", err)
		}
		return c.picture(p, picture, m.Name)
	}
	switch {
	case len(p.Data) > maxTextBytes:
		return hub.Errorf(hub.CodeTooLarge, "a text and what comes with it have at most %d bytes, not %d", maxTextBytes, len(p.Data))
	case strings.TrimSpace(*m.Text) == "":
		return hub.Errorf(codeEmpty, "there is nothing in the text")
	case utf8.RuneCountInString(*m.Text) > c.config.TextRunes:
		return hub.Errorf(codeTextTooLong, "a text has at most %d characters", c.config.TextRunes)
	}
	return nil
}

// picture makes a publication of the bytes of a picture.
func (c *chat) picture(p *hub.Publication, picture []byte, name string) error {
	if limit := c.config.PictureBytes; len(picture) > limit {
		return hub.Errorf(codePictureTooLarge, "the picture has %d bytes, at most %d are allowed", len(picture), limit)
	}
	mime := pictureType(picture)
	if mime == "" {
		return hub.Errorf(codeNotAPicture, "only PNG, JPEG, GIF, WebP and AVIF pictures are passed on")
	}
	p.Data, p.Binary = picture, true
	p.Meta = mustJSON(pictureMeta{shorten(name, maxFileRunes), mime})
	return nil
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

// book counts n bytes of a session, or says when they may come again. The hub counts messages.
func (c *chat) book(session string, n int, now time.Time) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.volumes[session]
	if b == nil {
		if len(c.volumes) >= maxVolumes {
			c.forgetVolumes(now)
		}
		if len(c.volumes) >= maxVolumes {
			return time.Second
		}
		b = &bucket{rate: c.config.ByteRate, burst: c.config.ByteBurst}
		c.volumes[session] = b
	}
	if wait := b.wait(float64(n), now); wait > 0 {
		return wait
	}
	b.take(float64(n))
	return 0
}

// forgetVolumes forgets the sessions that have sent so little that it makes no difference.
func (c *chat) forgetVolumes(now time.Time) {
	for session, b := range c.volumes {
		if b.wait(0, now); b.used == 0 {
			delete(c.volumes, session)
		}
	}
}
