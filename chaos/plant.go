package main

import (
	"bytes"
	"encoding/binary"
	"io"
)

// loser passes on what a node sends to a client, but for one message in so many: a planted fault, which the ledger has to find. It knows as
// much of WebSocket as it needs: frames from a server are not masked, and these are not compressed or divided.
type loser struct {
	to    io.Writer
	every int
	head  bool // of the HTTP answer has passed
	held  []byte
	count int
}

var headEnd = []byte("\r\n\r\n")

// Write takes bytes as they come.
func (l *loser) Write(p []byte) (int, error) {
	l.held = append(l.held, p...)
	var pass []byte
	if !l.head {
		end := bytes.Index(l.held, headEnd)
		if end < 0 {
			return len(p), nil
		}
		l.head = true
		pass, l.held = append(pass, l.held[:end+len(headEnd)]...), l.held[end+len(headEnd):]
	}
	for {
		size := frameSize(l.held)
		if size == 0 || len(l.held) < size {
			break
		}
		if !l.loses(l.held[:size]) {
			pass = append(pass, l.held[:size]...)
		}
		l.held = l.held[size:]
	}
	if _, err := l.to.Write(pass); err != nil {
		return 0, err
	}
	return len(p), nil
}

// loses reports whether a frame is one of those that get lost.
func (l *loser) loses(frame []byte) bool {
	if !bytes.Contains(frame, []byte(`"type":"message"`)) {
		return false
	}
	l.count++
	return l.count%l.every == 0
}

// frameSize returns the bytes of the first frame, or 0 when they cannot be told yet.
func frameSize(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch n := int(p[1] & 0x7f); {
	case n < 126:
		return 2 + n
	case n == 126 && len(p) >= 4:
		return 4 + int(binary.BigEndian.Uint16(p[2:]))
	case n == 127 && len(p) >= 10:
		return 10 + int(binary.BigEndian.Uint64(p[2:]))
	}
	return 0
}
