package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// subprotocol is the one that docs/protocol.md specifies.
const subprotocol = "duplex.v1"

// command is what a client sends. Data of a binary frame is not in it.
type command struct {
	Type      string          `json:"type"`
	ID        uint64          `json:"id,omitempty"`
	Token     string          `json:"token,omitempty"`
	Resume    string          `json:"resume,omitempty"`
	Info      json.RawMessage `json:"info,omitempty"`
	Topic     string          `json:"topic,omitempty"`
	Since     *Position       `json:"since,omitempty"`
	Last      int             `json:"last,omitempty"`
	Presence  bool            `json:"presence,omitempty"`
	MessageID string          `json:"messageId,omitempty"`
	Key       string          `json:"key,omitempty"`
	Echo      *bool           `json:"echo,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"`
	Method    string          `json:"method,omitempty"`
	Timeout   int64           `json:"timeout,omitempty"`
	Limit     int             `json:"limit,omitempty"`
	Before    uint64          `json:"before,omitempty"`
	After     *uint64         `json:"after,omitempty"`
	Epoch     string          `json:"epoch,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// frame is what a server sends, of any type.
type frame struct {
	Type  string `json:"type"`
	ID    uint64 `json:"id,omitempty"`
	Topic string `json:"topic,omitempty"`
	Sub   string `json:"sub,omitempty"`

	// of a reply to connect or refresh
	Session string  `json:"session,omitempty"`
	User    string  `json:"user,omitempty"` // also of join and leave
	Resume  string  `json:"resume,omitempty"`
	Expires int64   `json:"expires,omitempty"`
	Ping    int64   `json:"ping,omitempty"`
	Time    int64   `json:"time,omitempty"` // also of a message
	Limits  *limits `json:"limits,omitempty"`

	// of other replies
	Epoch       string `json:"epoch,omitempty"`
	Offset      uint64 `json:"offset,omitempty"` // also of a message
	Recovered   *bool  `json:"recovered,omitempty"`
	Duplicate   bool   `json:"duplicate,omitempty"`
	Messages    int    `json:"messages,omitempty"`
	More        *bool  `json:"more,omitempty"`
	Lost        bool   `json:"lost,omitempty"`
	Count       uint64 `json:"count,omitempty"` // also of a gap
	Connections int    `json:"connections,omitempty"`
	Users       []user `json:"users,omitempty"`

	// of a message, join or leave
	MessageID string          `json:"messageId,omitempty"`
	Key       string          `json:"key,omitempty"`
	From      *user           `json:"from,omitempty"`
	Info      json.RawMessage `json:"info,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"` // also of a reply to request
	Reply     uint64          `json:"reply,omitempty"`

	// of a gap
	Reason   string    `json:"reason,omitempty"`
	Since    *Position `json:"since,omitempty"`
	Until    *Position `json:"until,omitempty"`
	Presence bool      `json:"presence,omitempty"`

	// of error, unsubscribed and disconnect
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
	Retry     int64  `json:"retry,omitempty"`
	Reconnect bool   `json:"reconnect,omitempty"`
	After     int64  `json:"after,omitempty"`

	binary bool
}

type limits struct {
	Frame         int64 `json:"frame,omitempty"`
	Subscriptions int   `json:"subscriptions,omitempty"`
}

type user struct {
	User        string          `json:"user"`
	Info        json.RawMessage `json:"info,omitempty"`
	Connections int             `json:"connections,omitempty"`
}

// maxObject is the most bytes that the JSON part of a binary frame may have: its length has two bytes.
const maxObject = 1<<16 - 1

// encode returns the frame of a command. With binary, data follows behind the object; otherwise it is JSON in it.
func encode(cmd command, data []byte, binary bool) (websocket.MessageType, []byte, error) {
	if !binary {
		cmd.Data = data
	}
	var b bytes.Buffer
	if binary {
		b.Write([]byte{0, 0})
	}
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // data goes out as it is
	if err := e.Encode(cmd); err != nil {
		return 0, nil, notJSON(&cmd)
	}
	b.Truncate(b.Len() - 1) // Encode ends with a line break
	if !binary {
		return websocket.Text, b.Bytes(), nil
	}
	if b.Len()-2 > maxObject {
		return 0, nil, errorf(CodeTooLarge, "beside its bytes a binary frame has at most %d bytes, not %d", maxObject, b.Len()-2)
	}
	putLength(b.Bytes())
	b.Write(data)
	return websocket.Binary, b.Bytes(), nil
}

func putLength(object []byte) { binary.BigEndian.PutUint16(object, uint16(len(object)-2)) }

// notJSON finds out which of the fields that a program gives as JSON is not.
func notJSON(cmd *command) error {
	for _, field := range []struct {
		name  string
		value json.RawMessage
		means string
	}{{"Info", cmd.Info, ""}, {"Meta", cmd.Meta, ""}, {"Data", cmd.Data, "; set Binary to send bytes"}} {
		if field.value != nil && !json.Valid(field.value) {
			return errorf(CodeBadRequest, "%s is not JSON%s", field.name, field.means)
		}
	}
	return errorf(CodeBadRequest, "the command cannot be written as JSON")
}

// decode parses a frame. What it returns refers to p.
func decode(typ websocket.MessageType, p []byte) (*frame, error) {
	object, data := p, []byte(nil)
	if typ == websocket.Binary {
		if len(p) < 2 || len(p)-2 < int(binary.BigEndian.Uint16(p)) {
			return nil, errors.New("a binary frame is shorter than it says")
		}
		n := 2 + int(binary.BigEndian.Uint16(p))
		object, data = p[2:n], p[n:]
	}
	f := new(frame)
	if err := json.Unmarshal(object, f); err != nil {
		return nil, fmt.Errorf("a frame is not of the protocol: %w", err)
	}
	if f.Type == "" {
		return nil, errors.New("a frame has no type")
	}
	if typ == websocket.Binary {
		f.Data, f.binary = data, true
	}
	return f, nil
}

// err is the error that a frame of type error, unsubscribed or disconnect stands for.
func (f *frame) err() *Error {
	return &Error{Code: Code(f.Code), Message: f.Message, Retry: milliseconds(f.Retry)}
}

func (f *frame) position() Position { return Position{Epoch: f.Epoch, Offset: f.Offset} }

// message is the Message that a frame stands for; it does not tell the epoch.
func (f *frame) message(epoch string) *Message {
	m := &Message{
		Topic: f.Topic, Pattern: f.Sub, Position: Position{Epoch: epoch, Offset: f.Offset}, Time: time.UnixMilli(f.Time),
		ID: f.MessageID, Key: f.Key, Meta: f.Meta, Data: f.Data, Binary: f.binary,
	}
	if f.From != nil {
		m.From = &User{Name: f.From.User, Info: f.From.Info}
	}
	return m
}

func (f *frame) gap() *Gap {
	g := &Gap{Topic: f.Topic, Pattern: f.Sub, Reason: GapReason(f.Reason), Count: f.Count, Presence: f.Presence}
	if f.Since != nil {
		g.Since = *f.Since
	}
	if f.Until != nil {
		g.Until = *f.Until
	}
	return g
}

// milliseconds is a duration of the protocol. What is too large, or negative, becomes what fits.
func milliseconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}
