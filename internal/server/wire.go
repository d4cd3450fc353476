package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/internal/rooms"
	"github.com/duplex-websocket/duplex/websocket"
)

// The chat's wire format, described for others in docs/chat.md: JSON objects with a "type" in text frames; pictures in
// binary frames that begin with a short header.

// incoming is what a client sends as text: {"type":"text"} or {"type":"picture"} with base64 data.
type incoming struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Text string `json:"text"`
	Name string `json:"name"`
	Data string `json:"data"`
}

type textMessage struct {
	Type string `json:"type"` // "message"
	ID   string `json:"id"`
	From string `json:"from"`
	Time int64  `json:"time"` // milliseconds since 1970
	Text string `json:"text"`
}

// accepted tells a sender that its message, or an earlier one with the same id, has its place in the room.
type accepted struct {
	Type string `json:"type"` // "accepted"
	ID   string `json:"id"`
	Time int64  `json:"time,omitempty"` // absent for a retry
}

type welcome struct {
	Type    string   `json:"type"` // "welcome"
	Room    string   `json:"room"`
	Name    string   `json:"name"`
	Members []string `json:"members"`
	History int      `json:"history"` // that many of the frames that follow are the last messages
	Limits  limits   `json:"limits"`
}

type limits struct {
	Text    int `json:"text"`    // characters
	Picture int `json:"picture"` // bytes
}

type notice struct {
	Type string `json:"type"` // "joined" or "left"
	Name string `json:"name"`
	Time int64  `json:"time"`
}

// problem is the answer to what cannot be passed on. It goes to the sender only.
type problem struct {
	Type    string `json:"type"` // "error"
	Code    string `json:"code"`
	Message string `json:"message"`
	ID      string `json:"id,omitempty"`    // of the message in question, if it could be read
	Retry   int64  `json:"retry,omitempty"` // milliseconds after which the same message may be sent again; 0: never
}

// pictureHeader stands before the bytes of a picture. A client fills in ID and Name, the server all of it.
type pictureHeader struct {
	ID   string `json:"id"`
	From string `json:"from,omitempty"`
	Time int64  `json:"time,omitempty"`
	MIME string `json:"mime,omitempty"`
	Name string `json:"name,omitempty"` // of the file; only for display
}

const (
	picturePreamble  = 3 // the kind of frame, and the header's length in two bytes, big-endian
	pictureKind      = 1
	maxPictureHeader = 1024
)

// appendPicture appends a whole binary frame's payload to dst.
func appendPicture(dst []byte, h pictureHeader, picture []byte) ([]byte, error) {
	header, err := json.Marshal(h)
	if err != nil {
		return dst, err
	}
	if len(header) > maxPictureHeader {
		return dst, fmt.Errorf("the header has %d bytes, at most %d are allowed", len(header), maxPictureHeader)
	}
	dst = append(dst, pictureKind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(header)))
	return append(append(dst, header...), picture...), nil
}

var errPictureHeader = errors.New("a binary frame begins with the byte 1, the length of its header in two bytes and the header in JSON")

// parsePicture splits the payload of a binary frame. The picture is a part of p.
func parsePicture(p []byte) (h pictureHeader, picture []byte, err error) {
	if len(p) < picturePreamble || p[0] != pictureKind {
		return h, nil, errPictureHeader
	}
	n := int(binary.BigEndian.Uint16(p[1:]))
	if n > maxPictureHeader || n > len(p)-picturePreamble {
		return h, nil, errPictureHeader
	}
	if err := json.Unmarshal(p[picturePreamble:picturePreamble+n], &h); err != nil {
		return h, nil, errPictureHeader
	}
	return h, p[picturePreamble+n:], nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings and numbers
	}
	return b
}

// encode makes the frames of a message of the hub, once for all who receive it. What is published is already in the wire
// format; notices become JSON here, when the first member needs them.
func encode(m *rooms.Message) any {
	switch {
	case m.Binary:
		return websocket.NewPrepared(websocket.Binary, m.Data)
	case m.Kind == rooms.KindData:
		return websocket.NewPrepared(websocket.Text, m.Data)
	}
	kind := "joined"
	if m.Kind == rooms.KindLeave {
		kind = "left"
	}
	return websocket.NewPrepared(websocket.Text, mustJSON(notice{kind, m.Publisher.Info, milliseconds()}))
}

func milliseconds() int64 { return time.Now().UnixMilli() }
