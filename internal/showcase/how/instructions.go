package how

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// instructions are what a text that begins with "/" may say. What is behind the name is passed on.
var instructions = map[string]func(v *visitor, c *websocket.Conn, rest string) error{
	"/ping":      (*visitor).ping,
	"/fragments": (*visitor).fragments,
	"/close":     (*visitor).close,
	"/drop":      (*visitor).drop,
	"/invalid":   (*visitor).invalid,
}

const usage = "/ping [payload], /fragments [2 to 10] [text], /close [code [reason]], /drop, /invalid masked|reserved|opcode|utf8|control"

// obey does what a text says, and answers what it does not understand.
func (v *visitor) obey(c *websocket.Conn, text string) {
	name, rest, _ := strings.Cut(text, " ")
	do, known := instructions[name]
	if !known {
		do = func(*visitor, *websocket.Conn, string) error {
			return fmt.Errorf("%.40q is no instruction; there are: %s", name, usage)
		}
	}
	if err := do(v, c, rest); err != nil {
		_ = c.Write(context.Background(), websocket.Text, []byte(strings.ToValidUTF8(err.Error(), ""))) // fails when the connection is over
	}
}

// ping sends a ping, which the browser answers by itself: its page does not hear of it.
func (v *visitor) ping(_ *websocket.Conn, payload string) error {
	if len(payload) > protocol.MaxControlPayload {
		return fmt.Errorf("a ping carries at most %d bytes, and this is %d", protocol.MaxControlPayload, len(payload))
	}
	return v.tap.inject(appendFrame(nil, true, protocol.OpPing, payload))
}

const (
	mostFragments    = 10
	defaultFragments = 3
	defaultText      = "One message, several frames."
)

// fragments sends a text in several frames, with a ping in between, as control frames may be.
func (v *visitor) fragments(_ *websocket.Conn, rest string) error {
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		n, text = defaultFragments, rest
	}
	if n < 2 || n > mostFragments {
		return fmt.Errorf("a message is sent in 2 to %d fragments here, not in %d", mostFragments, n)
	}
	if text == "" {
		text = defaultText
	}
	return v.tap.inject(appendFragments(nil, text, n))
}

// appendFragments divides a text among n frames. The division knows nothing of characters, which RFC 6455 allows: only the whole is UTF-8.
func appendFragments(dst []byte, text string, n int) []byte {
	op := protocol.OpText
	for i := range n {
		part := text[i*len(text)/n : (i+1)*len(text)/n]
		dst = appendFrame(dst, i == n-1, op, part)
		op = protocol.OpContinuation
		if i == 0 {
			dst = appendFrame(dst, true, protocol.OpPing, "in between")
		}
	}
	return dst
}

// close begins the closing handshake with the code and reason that were asked for.
func (v *visitor) close(c *websocket.Conn, rest string) error {
	code, reason := websocket.StatusNoStatus, ""
	if rest != "" {
		number, words, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("%.20q is no close code: that is a number such as 1000", number)
		}
		code, reason = websocket.StatusCode(n), words
	}
	return c.Close(context.Background(), code, reason) // it does not wait here; an error says what cannot be sent, and goes back as text
}

// drop ends TCP without a close frame.
func (v *visitor) drop(c *websocket.Conn, _ string) error { return c.CloseNow() }

// wrong are frames that no server may send, by what is wrong with them.
var wrong = map[string][]byte{
	"masked":   []byte("\x81\x83\x01\x02\x03\x04" + "nmf"), // only clients mask (section 5.1)
	"reserved": []byte("\xa1\x03odd"),                      // RSV2 belongs to no extension that was agreed on (section 5.2)
	"opcode":   []byte("\x83\x03odd"),                      // 0x3 is reserved (section 5.2)
	"utf8":     []byte("\x81\x04\xc3\x28\xa0\xa1"),         // a text that is none (section 8.1)
	"control":  []byte("\x09\x00"),                         // a ping in fragments (section 5.5)
}

// invalid sends a frame that makes the browser fail the connection.
func (v *visitor) invalid(_ *websocket.Conn, kind string) error {
	if kind == "" {
		kind = "masked"
	}
	frame, ok := wrong[kind]
	if !ok {
		return fmt.Errorf("%.20q is not among what can be wrong: masked, reserved, opcode, utf8 or control", kind)
	}
	return v.tap.inject(frame)
}

// appendFrame appends a frame of a server.
func appendFrame(dst []byte, fin bool, op protocol.Opcode, payload string) []byte {
	dst = protocol.AppendHeader(dst, protocol.FrameHeader{Fin: fin, Opcode: op, Length: int64(len(payload))})
	return append(dst, payload...)
}
