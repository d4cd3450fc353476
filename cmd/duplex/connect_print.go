package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Colours of the terminal: one for each kind of line.
const (
	colourReceived = "\x1b[36m" // cyan
	colourNotice   = "\x1b[2m"  // dim
	colourGood     = "\x1b[32m" // green
	colourBad      = "\x1b[31m" // red
	colourReset    = "\x1b[0m"
)

// How much of one message a terminal shows unless --full asks for all of it.
const (
	shownText   = 16 << 10
	shownBinary = 1 << 10
)

// printer writes what happens on a connection. There are two forms: on a terminal every line has a mark, nothing that
// a server sends can do more than be read, and long messages are cut; elsewhere messages are written as they are, one
// after another, for the next program. Its methods may be called from any goroutine.
type printer struct {
	// immutable
	messages io.Writer // received messages
	notices  io.Writer // everything else
	terminal bool      // messages go to a terminal
	colour   bool      // notices go to a terminal that wants colours
	json     bool      // lay JSON out
	stamps   bool      // begin lines with the time
	raw      bool      // write messages byte for byte and nothing between them
	quiet    bool      // no notices, only errors
	full     bool      // never cut a message
	now      func() time.Time

	mu  sync.Mutex
	err error // guarded by mu: the first failure to write a message
}

// message shows a received message.
func (p *printer) message(typ websocket.MessageType, payload []byte) {
	var b bytes.Buffer
	switch {
	case p.terminal:
		p.formatMessage(&b, typ, payload)
	case p.raw:
		b.Write(payload)
	default:
		p.plainMessage(&b, typ, payload)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.messages.Write(b.Bytes()); err != nil && p.err == nil {
		p.err = err
	}
}

// failed returns the first error of writing messages: the reader of a pipe may have gone.
func (p *printer) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// plainMessage writes text with a line break behind it and bytes as a hex dump.
func (p *printer) plainMessage(b *bytes.Buffer, typ websocket.MessageType, payload []byte) {
	b.WriteString(p.stamp())
	if typ == websocket.Binary {
		if len(payload) == 0 {
			b.WriteByte('\n')
		}
		for _, line := range dumpLines(payload) {
			b.WriteString(line)
			b.WriteByte('\n')
		}
		return
	}
	if pretty, ok := p.pretty(payload); ok {
		payload = pretty
	}
	b.Write(payload)
	b.WriteByte('\n')
}

// formatMessage marks the first line with "<" and indents the others, so that no line break in a message can pass for
// a line of ours.
func (p *printer) formatMessage(b *bytes.Buffer, typ websocket.MessageType, payload []byte) {
	mark := "< "
	var lines []string
	var left int
	if typ == websocket.Binary {
		shown := payload
		if !p.full {
			shown, left = payload[:min(len(payload), shownBinary)], max(0, len(payload)-shownBinary)
		}
		lines = append([]string{fmt.Sprintf("binary, %s", count(len(payload), "byte"))}, dumpLines(shown)...)
	} else {
		if pretty, ok := p.pretty(payload); ok {
			payload = pretty
		}
		if !p.full {
			payload, left = cut(payload, shownText)
		}
		lines = visibleLines(string(payload))
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("… and %s more (--full shows all)", count(left, "byte")))
	}
	for i, line := range lines {
		if i > 0 {
			mark = "  "
		}
		p.line(b, colourReceived, mark, line)
	}
}

func (p *printer) pretty(payload []byte) ([]byte, bool) {
	if !p.json {
		return nil, false
	}
	return indentJSON(payload)
}

// notice tells what happened to the connection.
func (p *printer) notice(format string, args ...any) {
	if !p.quiet {
		p.print(colourNotice, "* ", fmt.Sprintf(format, args...))
	}
}

// good tells that something went well that may have failed.
func (p *printer) good(format string, args ...any) {
	if !p.quiet {
		p.print(colourGood, "* ", fmt.Sprintf(format, args...))
	}
}

// bad tells what went wrong; --quiet does not hide it.
func (p *printer) bad(format string, args ...any) {
	p.print(colourBad, "! ", fmt.Sprintf(format, args...))
}

// control shows a ping or pong that arrived. Close frames are told of when the connection ends.
func (p *printer) control(op protocol.Opcode, payload []byte) {
	name := "pong"
	if op == protocol.OpPing {
		name = "ping"
	}
	switch {
	case len(payload) == 0:
	case utf8.Valid(payload) && !bytes.ContainsFunc(payload, func(r rune) bool { return !harmlessRune(r) }):
		name += fmt.Sprintf(" %q", payload)
	default:
		name += fmt.Sprintf(" %x", payload)
	}
	if !p.quiet {
		p.print(colourNotice, "< ", name)
	}
}

// print writes text, which may hold several lines, to the notices. What it quotes from a server must be visible already.
func (p *printer) print(colour, mark, text string) {
	var b bytes.Buffer
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			mark = "  "
		}
		p.line(&b, colour, mark, line)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices.Write(b.Bytes()) // nobody is left to be told when this fails
}

func (p *printer) line(b *bytes.Buffer, colour, mark, line string) {
	b.WriteString(p.stamp())
	if !p.colour {
		b.WriteString(mark + line + "\n")
		return
	}
	if colour == colourReceived {
		b.WriteString(colour + mark + colourReset + line + "\n") // the message itself in the terminal's own colour
		return
	}
	b.WriteString(colour + mark + line + colourReset + "\n")
}

func (p *printer) stamp() string {
	if !p.stamps {
		return ""
	}
	return p.now().Format("15:04:05.000 ")
}

// count writes a number with its noun: "1 byte", "20 bytes".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
