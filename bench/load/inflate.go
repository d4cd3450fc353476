package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// An inflater checks compressed replies. One that is not active only lets them pass: inflating everything would make the load
// slower than the server, so only some connections check, but those check all, because takeover needs every message.
type inflater struct {
	active   bool
	takeover bool
	buf      []byte // the message so far
	history  []byte // the last 32 KiB of all messages
	reader   io.ReadCloser
	out      []byte
}

// flushTail ends the message's block and then the stream (RFC 7692 section 7.2.2).
var flushTail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

func (f *inflater) add(b []byte) {
	if f.active {
		f.buf = append(f.buf, b...)
	}
}

// check inflates the message and compares it.
func (f *inflater) check(want []byte) error {
	if !f.active {
		return nil
	}
	f.buf = append(f.buf, flushTail...)
	if f.reader == nil {
		f.reader = flate.NewReader(bytes.NewReader(nil))
		f.out = make([]byte, len(want)+1)
	}
	if err := f.reader.(flate.Resetter).Reset(bytes.NewReader(f.buf), f.history); err != nil {
		return err
	}
	n, err := io.ReadFull(f.reader, f.out[:len(want)+1])
	if err != io.ErrUnexpectedEOF && err != io.EOF {
		return fmt.Errorf("inflate, %d bytes: %w", n, err)
	}
	if !bytes.Equal(f.out[:n], want) {
		return fmt.Errorf("inflates to %d bytes that differ from the %d sent", n, len(want))
	}
	f.buf = f.buf[:0]
	if f.takeover {
		f.history = append(f.history, want...)
		f.history = f.history[max(0, len(f.history)-32<<10):]
	}
	return nil
}
