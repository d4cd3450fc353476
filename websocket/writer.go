package websocket

import (
	"context"
	"errors"
	"io"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// fragmentSize is how much of a streamed message goes into one frame.
const fragmentSize = 32 << 10

// Writer begins a message that is written in parts and ends with Close. It
// waits while another Writer of this connection is not closed. Parts leave in
// frames of 32 KiB as they fill; messages that others send meanwhile follow
// when this one has ended.
//
// The writer obeys ctx: when it ends while a Write waits for room, the Write
// fails. Nothing of the message was sent as long as no frame has left; after
// that it cannot be taken back, and Close then ends the connection with 1011
// rather than pass off a part for the whole.
//
// The writer itself is for one goroutine at a time.
func (c *Conn) Writer(ctx context.Context, typ MessageType) (io.WriteCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.more().stream != nil && c.final == nil {
		if err := c.wait(ctx, c.roomChan()); err != nil {
			return nil, err
		}
	}
	if c.final != nil {
		return nil, c.final
	}
	w := &messageWriter{c: c, ctx: ctx, op: protocol.Opcode(typ), part: protocol.GetBuffer(fragmentSize)}
	c.more().stream = w
	return w, nil
}

type messageWriter struct {
	c    *Conn
	ctx  context.Context
	op   protocol.Opcode
	part *protocol.Buffer // what the next frame will carry; nil when closed
	fail error

	begun bool // guarded by c.mu: a frame has left
}

var errWriterClosed = errors.New("websocket: the writer is closed")

// Write implements io.Writer.
func (w *messageWriter) Write(p []byte) (n int, err error) {
	for {
		switch {
		case w.part == nil:
			return n, errWriterClosed
		case w.fail != nil:
			return n, w.fail
		case len(p) == 0:
			return n, nil
		}
		m := min(len(p), fragmentSize-len(w.part.B))
		w.part.B = append(w.part.B, p[:m]...)
		p = p[m:]
		n += m
		if len(w.part.B) == fragmentSize {
			w.fail = w.flush(false)
		}
	}
}

// flush sends what has gathered as a frame.
func (w *messageWriter) flush(fin bool) error {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitRoom(w.ctx, len(w.part.B)); err != nil {
		return err
	}
	c.makeRoom(len(w.part.B) + protocol.MaxHeaderLength)
	compress := !fin || w.begun || len(w.part.B) >= c.options.Compression.Threshold
	var err error
	c.out.B, err = c.sender.AppendFragment(c.out.B, w.op, w.part.B, fin, compress)
	if err == nil {
		w.begun = true
		w.part.B = w.part.B[:0]
	}
	return c.pushed(err, false)
}

// Close ends the message.
func (w *messageWriter) Close() error {
	if w.part == nil {
		return errWriterClosed
	}
	if w.fail == nil {
		w.fail = w.flush(true)
	}
	w.part.Release()
	w.part = nil
	w.c.endStream(w.fail)
	return w.fail
}

// endStream lets others send again after a streamed message.
func (c *Conn) endStream(failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.details
	if failed != nil && d.stream.begun && c.final == nil {
		_ = c.beginClose(StatusInternalError, "a message could not be finished") // fails only if closing already
	}
	d.stream = nil
	if aside := d.aside; aside != nil {
		d.aside = nil
		c.makeRoom(len(aside.B))
		if failed == nil {
			c.out.B = append(c.out.B, aside.B...)
		}
		aside.Release()
		_ = c.pushed(nil, false)
	}
	c.wakeRoom()
}
