package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// prepare makes the frame of a message of the hub, once for all who receive it.
func prepare(m *hub.Message) any {
	p := appendPush(nil, m)
	if m.Kind == hub.KindData && m.Binary {
		return websocket.NewPrepared(websocket.Binary, p)
	}
	return websocket.NewPrepared(websocket.Text, p)
}

// appendPush appends the frame of a message of the hub.
func appendPush(dst []byte, m *hub.Message) []byte {
	switch m.Kind {
	case hub.KindData:
		return appendMessage(dst, m, 0)
	case hub.KindGap:
		return appendJSON(dst, gapPush{
			Type: "gap", Topic: m.Topic, Sub: m.Pattern, Reason: m.Gap.Reason, Since: m.Gap.Since, Until: m.Gap.Until,
			Count: m.Gap.Count, Presence: m.Gap.Presence,
		})
	case hub.KindUnsubscribed:
		return appendJSON(dst, unsubscribedPush{"unsubscribed", m.Topic, m.Reason.Code, m.Reason.Message})
	default:
		return appendJSON(dst, presencePush{m.Kind.String(), m.Topic, m.From.User, m.From.Info})
	}
}

type gapPush struct {
	Type     string        `json:"type"`
	Topic    string        `json:"topic,omitempty"`
	Sub      string        `json:"sub,omitempty"`
	Reason   hub.GapReason `json:"reason"`
	Since    hub.Position  `json:"since"`
	Until    hub.Position  `json:"until"`
	Count    uint64        `json:"count,omitempty"`
	Presence bool          `json:"presence,omitempty"`
}

type unsubscribedPush struct {
	Type    string   `json:"type"`
	Topic   string   `json:"topic"`
	Code    hub.Code `json:"code"`
	Message string   `json:"message"`
}

type presencePush struct {
	Type  string          `json:"type"`
	Topic string          `json:"topic"`
	User  string          `json:"user"`
	Info  json.RawMessage `json:"info,omitempty"`
}

type disconnectPush struct {
	Type      string      `json:"type"`
	Code      hub.EndCode `json:"code"`
	Message   string      `json:"message"`
	Reconnect bool        `json:"reconnect"`
	After     int64       `json:"after,omitempty"` // ms
}

type errorPush struct {
	Type    string   `json:"type"`
	ID      *uint64  `json:"id,omitempty"`
	Code    hub.Code `json:"code"`
	Message string   `json:"message"`
	Retry   int64    `json:"retry,omitempty"` // ms
}

func newError(id *uint64, err *hub.Error) errorPush {
	return errorPush{"error", id, err.Code, err.Message, milliseconds(err.Retry)}
}

// milliseconds rounds up: who comes back that late is not told to wait again.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// appendJSON appends v, which cannot fail to be encoded.
func appendJSON(dst []byte, v any) []byte {
	buffer := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// appendMessage appends a message's frame; reply is the id of the history command that it answers, or 0. It is written by hand because
// it is made for every message that is published.
func appendMessage(dst []byte, m *hub.Message, reply uint64) []byte {
	start := len(dst)
	if m.Binary {
		dst = append(dst, 0, 0)
	}
	dst = append(dst, `{"type":"message","topic":`...)
	dst = appendString(dst, m.Topic)
	dst = appendField(dst, "sub", m.Pattern)
	if m.Offset > 0 { // else it has no place in the line
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendUint(dst, m.Offset, 10)
	}
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, m.Time.UnixMilli(), 10)
	dst = appendField(dst, "messageId", m.ID)
	dst = appendField(dst, "key", m.Key)
	if m.From.User != "" {
		dst = append(dst, `,"from":{"user":`...)
		dst = appendString(dst, m.From.User)
		if len(m.From.Info) > 0 {
			dst = append(append(dst, `,"info":`...), m.From.Info...)
		}
		dst = append(dst, '}')
	}
	if len(m.Meta) > 0 {
		dst = append(append(dst, `,"meta":`...), m.Meta...)
	}
	if !m.Binary {
		dst = append(append(dst, `,"data":`...), m.Data...)
	}
	if reply > 0 {
		dst = strconv.AppendUint(append(dst, `,"reply":`...), reply, 10)
	}
	dst = append(dst, '}')
	if m.Binary {
		binary.BigEndian.PutUint16(dst[start:], uint16(len(dst)-start-2))
		dst = append(dst, m.Data...)
	}
	return dst
}

// appendField appends a field unless it is empty.
func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return appendString(dst, value)
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendJSON(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
