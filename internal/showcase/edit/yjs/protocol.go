package yjs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Kind is what a message between a client of y-websocket and its server is about (y-protocols).
type Kind uint8

// The kinds of messages.
const (
	SyncStep1      Kind = iota // the state vector of who sends it: it wants what it lacks
	SyncStep2                  // the answer: an update
	SyncUpdate                 // an update
	AwarenessKind              // states of clients, see ParseAwareness
	QueryAwareness             // wants the states of all clients
	Auth                       // whether something is permitted
)

// The first number of a message.
const (
	wireSync      = 0
	wireAwareness = 1
	wireAuth      = 2
	wireQuery     = 3
)

// Message is one of them.
type Message struct {
	Kind Kind
	Data []byte // part of what it was parsed from
}

// ParseMessage reads a message.
func ParseMessage(b []byte) (Message, error) {
	r := &reader{b: b}
	var m Message
	switch kind := r.uint(); kind {
	case wireSync:
		step := r.uint()
		if step > uint64(SyncUpdate) {
			r.fail("the step %d of the sync protocol is not known", step)
		}
		m = Message{Kind(step), r.bytes()}
	case wireAwareness:
		m = Message{AwarenessKind, r.bytes()}
	case wireQuery:
		m.Kind = QueryAwareness
	case wireAuth:
		m = Message{Auth, r.b[r.at:]}
		r.at = len(r.b)
	default:
		r.fail("a message of the unknown kind %d", kind)
	}
	return m, r.end("a message of y-protocols")
}

// AppendSync appends a message of the sync protocol.
func AppendSync(dst []byte, step Kind, data []byte) []byte {
	return appendBytes(append(dst, wireSync, byte(step)), data)
}

// AppendAwarenessMessage appends a message with states (see AppendAwareness).
func AppendAwarenessMessage(dst, states []byte) []byte {
	return appendBytes(append(dst, wireAwareness), states)
}

// AppendDenied appends a message that says why something is not permitted.
func AppendDenied(dst []byte, reason string) []byte {
	return appendBytes(append(dst, wireAuth, 0), []byte(reason))
}

// Awareness is what a client tells others about itself, such as its name and where its cursor is.
type Awareness struct {
	Client, Clock uint64
	State         []byte // a JSON object; nil when the client has gone
}

// ParseAwareness reads at most so many states of clients.
func ParseAwareness(b []byte, most int) ([]Awareness, error) {
	r := &reader{b: b}
	n := r.count()
	if n > most {
		return nil, fmt.Errorf("yjs: states of %d clients at once are too many: at most %d", n, most)
	}
	states := make([]Awareness, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		s := Awareness{Client: r.uint(), Clock: r.uint(), State: r.string()}
		switch {
		case r.err != nil:
		case string(s.State) == "null":
			s.State = nil
		case !json.Valid(s.State) || !bytes.HasPrefix(s.State, []byte("{")):
			r.fail("a state that is no JSON object")
		}
		states = append(states, s)
	}
	if err := r.end("states of clients"); err != nil {
		return nil, err
	}
	return states, nil
}

// AppendAwareness appends states of clients.
func AppendAwareness(dst []byte, states []Awareness) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(states)))
	for _, s := range states {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, s.Client), s.Clock)
		if s.State == nil {
			s.State = []byte("null")
		}
		dst = appendBytes(dst, s.State)
	}
	return dst
}
