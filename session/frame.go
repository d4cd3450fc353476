package session

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/hub"
)

// command is what a client sends. Only Type is common to all; docs/protocol.md says which command has which fields.
type command struct {
	Type string  `json:"type"`
	ID   *uint64 `json:"id"`

	Token  string          `json:"token"`
	Resume string          `json:"resume"`
	Info   json.RawMessage `json:"info"`

	Topic    string        `json:"topic"`
	Since    *hub.Position `json:"since"`
	Last     int           `json:"last"`
	Presence bool          `json:"presence"`

	MessageID string          `json:"messageId"`
	Key       string          `json:"key"`
	Echo      *bool           `json:"echo"`
	Meta      json.RawMessage `json:"meta"`
	Data      json.RawMessage `json:"data"`

	Limit  int     `json:"limit"`
	Before *uint64 `json:"before"`
	After  *uint64 `json:"after"`
	Epoch  string  `json:"epoch"`

	Method  string `json:"method"`
	Timeout int64  `json:"timeout"`

	payload []byte // of a binary frame
	binary  bool
}

// maxSafeID is 2^53-1, the largest integer that every JavaScript number holds.
const maxSafeID = 1<<53 - 1

// mayBeBinary are the commands that may come in a binary frame.
var mayBeBinary = map[string]bool{"publish": true, "request": true}

// malformed says why a frame is none of this protocol; the connection is closed with it.
type malformed string

func (m malformed) Error() string { return string(m) }

// parse reads a frame. The error is malformed, or an *hub.Error about a field; then the command has at least its Type, and its ID
// if that is in order. What it returns shares nothing with p.
func parse(isBinary bool, p []byte) (*command, error) {
	c := &command{binary: isBinary}
	if isBinary {
		if len(p) < 2 || len(p)-2 < int(binary.BigEndian.Uint16(p)) {
			return nil, malformed("a binary frame begins with the length of its header")
		}
		n := int(binary.BigEndian.Uint16(p))
		c.payload = slices.Clone(p[2+n:]) // the frame is only borrowed
		p = p[2 : 2+n]
	}
	err := json.Unmarshal(p, c)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return nil, malformed("a frame is a JSON object")
	case errors.As(err, &wrong) && wrong.Field == "type":
		return nil, malformed("type is a string")
	case errors.As(err, &wrong) && wrong.Field == "id":
		c.ID = nil
		return c, hub.Errorf(hub.CodeBadRequest, "id is an integer from 1 to 2^53-1")
	case errors.As(err, &wrong):
		return c, hub.Errorf(hub.CodeBadRequest, "%s cannot be a %s", wrong.Field, wrong.Value)
	case err != nil:
		return nil, malformed("a frame is JSON: " + err.Error())
	case c.Type == "":
		return nil, malformed("a frame has a type")
	case c.binary && !mayBeBinary[c.Type]:
		return nil, malformed(fmt.Sprintf("a %q is not binary", c.Type))
	}
	if c.ID != nil && (*c.ID == 0 || *c.ID > maxSafeID) {
		c.ID = nil
		return c, hub.Errorf(hub.CodeBadRequest, "id is an integer from 1 to 2^53-1")
	}
	for name, field := range map[string]*json.RawMessage{"info": &c.Info, "meta": &c.Meta} {
		if string(*field) == "null" {
			*field = nil
		}
		if *field != nil && (*field)[0] != '{' {
			return c, hub.Errorf(hub.CodeBadRequest, "%s is an object", name)
		}
	}
	return c, nil
}

// appendFrame appends the frame of an object and, if it is binary, of the bytes that belong to it.
func appendFrame(dst, object []byte, isBinary bool, data []byte) []byte {
	if !isBinary {
		return append(dst, object...)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(object)))
	return append(append(dst, object...), data...)
}
