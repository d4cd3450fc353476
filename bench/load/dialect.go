package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A dialect is what the clients of a server with topics say, as text messages on top of WebSocket. All clients subscribe to one topic; the
// first of them publishes.
type dialect interface {
	// path is where the server takes handshakes.
	path() string
	// hello is what a client says as soon as it is connected.
	hello() []string
	// publish is the message that publishes data, a JSON value.
	publish(data []byte) []byte
	// read says what a message of the server is.
	read(text []byte) (heard, error)
}

// heard is one message of a server: one of these, or nothing that matters.
type heard struct {
	data   []byte // what somebody published
	answer string // what the client has to say now
	ready  bool   // the client is subscribed
}

const topic = "bench.room"

var dialects = map[string]dialect{"session": sessionDialect{}, "socketio": socketioDialect{}}

// sessionDialect is duplex.v1: docs/protocol.md.
type sessionDialect struct{}

func (sessionDialect) path() string { return "/ws" }

func (sessionDialect) hello() []string {
	return []string{`{"type":"connect"}`, `{"type":"subscribe","id":1,"topic":"` + topic + `"}`}
}

func (sessionDialect) publish(data []byte) []byte {
	return fmt.Appendf(nil, `{"type":"publish","topic":"%s","data":%s}`, topic, data)
}

var (
	sessionMessage = []byte(`{"type":"message","topic":"` + topic + `","offset":`)
	sessionReply   = []byte(`{"type":"reply","id":1,`)
	sessionData    = []byte(`,"data":`)
)

func (sessionDialect) read(text []byte) (heard, error) {
	switch {
	case bytes.HasPrefix(text, sessionMessage) && text[len(text)-1] == '}':
		// data is the last field, and what this load publishes does not contain its name.
		if i := bytes.Index(text, sessionData); i > 0 {
			return heard{data: text[i+len(sessionData) : len(text)-1]}, nil
		}
	case bytes.HasPrefix(text, sessionReply):
		return heard{ready: true}, nil
	}
	return heard{}, fmt.Errorf("the server says %.200q", text)
}

// socketioDialect is the fifth revision of Socket.IO's protocol on the fourth of Engine.IO's, WebSocket only. A message begins with
// Engine.IO's type (0 open, 2 ping, 3 pong, 4 message); in a message follows Socket.IO's (0 connect, 2 event, 3 acknowledgement).
type socketioDialect struct{}

func (socketioDialect) path() string { return "/socket.io/?EIO=4&transport=websocket" }

func (socketioDialect) hello() []string { return nil } // it waits for the open packet

func (socketioDialect) publish(data []byte) []byte {
	return fmt.Appendf(nil, `42["publish","%s",%s]`, topic, data)
}

var (
	socketioMessage = []byte(`42["message",`)
	socketioAck     = []byte(`431[`)
)

func (socketioDialect) read(text []byte) (heard, error) {
	switch {
	case bytes.HasPrefix(text, socketioMessage) && text[len(text)-1] == ']':
		return heard{data: text[len(socketioMessage) : len(text)-1]}, nil
	case bytes.HasPrefix(text, []byte("0{")):
		return heard{answer: "40"}, nil
	case bytes.HasPrefix(text, []byte("40{")):
		return heard{answer: `421["subscribe","` + topic + `"]`}, nil
	case bytes.HasPrefix(text, socketioAck):
		return heard{ready: true}, nil
	case string(text) == "2":
		return heard{answer: "3"}, nil
	}
	return heard{}, fmt.Errorf("the server says %.200q", text)
}

// newTopicStream is what the publisher sends: each of the texts as a JSON string. What its subscribers get must carry the same string.
func newTopicStream(d dialect, texts [][]byte) *stream {
	s := &stream{}
	for _, text := range texts {
		data := slices.Concat([]byte(`"`), text, []byte(`"`))
		s.add(0x80|opText, d.publish(data), data)
	}
	return s
}

// letters makes count different texts of size letters, which need no escapes in JSON.
func letters(count, size int) [][]byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	all := payloads(count, size, false)
	for _, text := range all {
		for i, b := range text {
			text[i] = alphabet[b%64]
		}
	}
	return all
}

// say sends a message by itself. It is rare and short: the socket has room, and whole frames lie before it.
func (c *conn) say(text string) error {
	if c.pos != c.stream.start(c.next) {
		return errors.New("an answer is due while a frame is half sent")
	}
	if _, errno := rawWrite(c.fd, appendFrame(nil, 0x80|opText, []byte(text), 0x01020304)); errno != 0 {
		return fmt.Errorf("write: %w", errno)
	}
	return nil
}

// understand works through a whole message, and tells whether it is a delivery.
func (c *conn) understand(t *tally) (bool, error) {
	said, err := c.dialect.read(c.text)
	switch {
	case err != nil:
		return false, err
	case said.ready:
		t.ready++
	case said.answer != "":
		return false, c.say(said.answer)
	}
	if said.data == nil {
		return false, nil
	}
	if !bytes.Equal(said.data, c.stream.replies[c.expect]) {
		return false, fmt.Errorf("delivery %d: differs from what was published", c.received)
	}
	t.messages++
	t.replyBytes += len(c.text)
	c.advance()
	return true, nil
}

// connectTopic opens count connections and waits until all are subscribed.
func (l *loop) connectTopic(t *target, d dialect, count int, texts [][]byte) error {
	s := newTopicStream(d, texts)
	err := t.open(count, 64, func(fd int, _ agreement, rest []byte) error {
		c := &conn{fd: fd, stream: s, dialect: d}
		for _, text := range d.hello() {
			if err := c.say(text); err != nil {
				return err
			}
		}
		if err := l.add(c); err != nil {
			return err
		}
		_, err := c.feed(rest, &l.tally)
		return err
	})
	if err != nil {
		return err
	}
	end := time.Now().Add(30 * time.Second)
	if err := l.run(func() bool { return l.tally.ready >= len(l.conns) || time.Now().After(end) }); err != nil {
		return err
	}
	if l.tally.ready < len(l.conns) {
		return fmt.Errorf("%d of %d clients are subscribed after 30 seconds", l.tally.ready, len(l.conns))
	}
	return nil
}

// tell publishes one message and waits until everybody has it.
func tell(l *loop) error {
	waiting := len(l.conns)
	l.onMessages = func(_ *conn, n int) error { waiting -= n; return nil }
	l.pending = func() bool { return waiting > 0 }
	l.conns[0].owed++
	if err := l.conns[0].send(); err != nil {
		return err
	}
	return l.run(func() bool { return waiting == 0 })
}
