package chat

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	maxQuoteRunes  = 80
	maxAuthorRunes = 40 // a name that a token gives may be longer than one that is chosen
)

// position is where a message of a room is.
type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// quote is the message that another one replies to. A client says where it is; who said what there is filled in by the server, so that
// nobody can put words into another's mouth.
type quote struct {
	position
	From    string `json:"from,omitempty"` // absent: the program behind the server
	Text    string `json:"text,omitempty"` // its beginning; of a picture the name of its file
	Picture bool   `json:"picture,omitempty"`
}

// quote completes what a client says that it replies to; nil if that is nothing.
func (c *chat) quote(ctx context.Context, topic string, raw json.RawMessage) (*quote, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var at position
	if err := json.Unmarshal(raw, &at); err != nil {
		return nil, hub.Errorf(codeBadMessage, `a reply is {"epoch":"...","offset":n}: where the message is that it replies to`)
	}
	m, err := c.find(ctx, topic, at)
	if err != nil {
		return nil, err
	}
	s := saidIn(m)
	return &quote{at, shorten(s.from, maxAuthorRunes), shorten(visible(s.text), maxQuoteRunes), s.picture}, nil
}

// find returns a message that the room remembers.
func (c *chat) find(ctx context.Context, topic string, at position) (*hub.Message, error) {
	if at.Offset > 0 {
		page, err := c.env.Hub.History(ctx, topic, hub.HistoryQuery{After: at.Offset - 1, Forward: true, Limit: 1, Epoch: at.Epoch})
		if err != nil {
			return nil, err
		}
		if page.Epoch == at.Epoch && len(page.Messages) > 0 && page.Messages[0].Offset == at.Offset {
			return page.Messages[0], nil
		}
	}
	return nil, hub.Errorf(codeUnknownMessage, "the room does not remember a message at %d of epoch %q", at.Offset, at.Epoch)
}

// said is what a person reads in a message.
type said struct {
	from    string
	text    string // of a picture the name of its file
	picture bool
}

func saidIn(m *hub.Message) said {
	s := said{picture: m.Binary}
	s.from, _ = showcase.ShownName(m.From.User, m.From.Info)
	if m.Binary {
		var meta pictureMeta
		_ = json.Unmarshal(m.Meta, &meta)
		s.text = meta.Name
		return s
	}
	var fields struct{ Text *string }
	switch {
	case json.Unmarshal(m.Data, &s.text) == nil:
	case json.Unmarshal(m.Data, &fields) == nil && fields.Text != nil:
		s.text = *fields.Text
	default: // of the program behind the server, which may say whatever it likes
		s.text = string(m.Data)
	}
	return s
}
