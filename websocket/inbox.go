package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// inbox is the sink of a blocking connection: the reader puts pieces of
// messages in, Read and Reader take them out. The reader waits while the inbox
// holds its limit of bytes.
type inbox struct {
	limit int
	turn  chan struct{} // holds a token while nobody reads
	ready chan struct{} // signals that a piece came or the connection ended
	space chan struct{} // signals that pieces were taken

	// Guarded by mu.
	mu     sync.Mutex
	pieces []piece
	bytes  int
	end    error
	owing  bool // the program has taken a piece and not asked for the next

	// Owned by who has the turn.
	begun   bool        // a piece of the current message was taken
	typ     MessageType // of the current message
	partial []byte      // what a Read whose context ended had taken
	reader  *messageReader
}

// piece is a part of a message, in memory of its own.
type piece struct {
	typ   MessageType
	final bool
	data  []byte
}

func newInbox(limit int) *inbox {
	in := &inbox{limit: limit, turn: make(chan struct{}, 1), ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
	in.turn <- struct{}{}
	return in
}

func (in *inbox) opened(*Conn) {}

// data implements sink.
func (in *inbox) data(c *Conn, typ MessageType, p []byte, final bool) {
	own := append(make([]byte, 0, len(p)), p...)
	in.mu.Lock()
	in.pieces = append(in.pieces, piece{typ, final, own})
	in.bytes += len(own)
	over := in.bytes >= in.limit
	in.mu.Unlock()
	signal(in.ready)
	if !over {
		return
	}
	c.uncork() // nothing may wait for the reader while the reader waits
	defer c.cork()
	for done := c.Done(); ; {
		in.mu.Lock()
		over = in.bytes >= in.limit
		in.mu.Unlock()
		if !over {
			return
		}
		select {
		case <-in.space:
		case <-done:
			return
		}
	}
}

// endingGrace is how long a program that blocks may take to answer what came
// before the peer's close frame.
const endingGrace = time.Second

// ending implements sink: it waits until the program has taken all that came
// before and asks for more. Otherwise its answers would find the connection
// closed, although it had no chance to know. RFC 6455, section 5.5.1, lets a
// close frame be answered a little later. The wait ends after endingGrace, as the
// program may never ask again, and when the program closes by itself.
func (in *inbox) ending(c *Conn) {
	if in.settled() {
		return
	}
	c.uncork() // the answers must not wait for the reader while the reader waits
	defer c.cork()
	timeout := time.NewTimer(endingGrace)
	defer timeout.Stop()
	for done := c.Done(); !in.settled(); {
		c.mu.Lock()
		changed := c.roomChan()
		c.mu.Unlock()
		if c.closing.Load() {
			return
		}
		select {
		case <-in.space:
		case <-changed:
		case <-done:
			return
		case <-timeout.C:
			return
		}
	}
}

// settled reports whether the program has taken everything and waits for more,
// or has never taken anything.
func (in *inbox) settled() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.pieces) == 0 && !in.owing
}

// closed implements sink.
func (in *inbox) closed(_ *Conn, err error) {
	in.mu.Lock()
	in.end = err
	in.mu.Unlock()
	signal(in.ready)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take returns the next piece; it waits for one. The caller has the turn.
func (in *inbox) take(ctx context.Context) (piece, error) {
	for {
		in.mu.Lock()
		if len(in.pieces) > 0 {
			p := in.pieces[0]
			in.pieces[0] = piece{}
			in.pieces = in.pieces[1:]
			if len(in.pieces) == 0 {
				in.pieces = nil
			}
			in.bytes -= len(p.data)
			in.owing = true
			in.mu.Unlock()
			signal(in.space)
			in.begun, in.typ = !p.final, p.typ
			return p, nil
		}
		end := in.end
		in.owing = false
		in.mu.Unlock()
		if end != nil {
			return piece{}, end
		}
		signal(in.space)
		select {
		case <-in.ready:
		case <-ctx.Done():
			return piece{}, ctx.Err()
		}
	}
}

// acquire waits for the turn to read.
func (in *inbox) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-in.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (in *inbox) giveBack() { in.turn <- struct{}{} }

// finishMessage discards the rest of a message that a Reader left unread.
func (in *inbox) finishMessage(ctx context.Context) error {
	if in.reader == nil {
		return nil
	}
	for in.begun {
		if _, err := in.take(ctx); err != nil {
			return err
		}
	}
	in.reader = nil
	return nil
}

var errEventStyle = errors.New("websocket: this connection's messages go to a Handler, it cannot be read from")

// takeTurn waits for the turn to read and for the start of a message. The caller
// gives the turn back.
func (c *Conn) takeTurn(ctx context.Context) (*inbox, error) {
	in, ok := c.sink.(*inbox)
	if !ok {
		return nil, errEventStyle
	}
	if err := in.acquire(ctx); err != nil {
		return nil, err
	}
	if err := in.finishMessage(ctx); err != nil {
		in.giveBack()
		return nil, err
	}
	return in, nil
}

// Read waits for the next message and returns it; the slice is the caller's. A
// message of a Reader that was not read to its end is discarded first. When
// ctx ends first nothing is lost: the next Read goes on where this one stopped.
// Messages that came before the connection ended are still returned.
func (c *Conn) Read(ctx context.Context) (MessageType, []byte, error) {
	in, err := c.takeTurn(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer in.giveBack()
	for {
		p, err := in.take(ctx)
		if err != nil {
			return 0, nil, err
		}
		if in.partial == nil {
			in.partial = p.data
		} else {
			in.partial = append(in.partial, p.data...)
		}
		if p.final {
			message := in.partial
			in.partial = nil
			return p.typ, message, nil
		}
	}
}

// Reader waits for the next message to begin and returns a reader that yields
// its bytes as they arrive and io.EOF at its end; a compressed message arrives
// as a whole. The reader obeys ctx too. The next call of Read or Reader
// discards what was left unread and ends this reader.
func (c *Conn) Reader(ctx context.Context) (MessageType, io.Reader, error) {
	in, err := c.takeTurn(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer in.giveBack()
	r := &messageReader{in: in, ctx: ctx}
	if in.partial != nil { // a Read was given up in the middle of this message
		r.rest, in.partial = in.partial, nil
		in.reader = r
		return in.typ, r, nil
	}
	p, err := in.take(ctx)
	if err != nil {
		return 0, nil, err
	}
	r.rest = p.data
	in.reader = r
	return p.typ, r, nil
}

// messageReader is the io.Reader of one message.
type messageReader struct {
	in   *inbox
	ctx  context.Context
	rest []byte // of the piece that was taken
}

var errReaderEnded = errors.New("websocket: the reader has ended: Read or Reader was called for the next message")

// Read implements io.Reader.
func (r *messageReader) Read(p []byte) (int, error) {
	in := r.in
	if err := in.acquire(r.ctx); err != nil {
		return 0, err
	}
	defer in.giveBack()
	if in.reader != r {
		return 0, errReaderEnded
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if !in.begun {
			return 0, io.EOF
		}
		next, err := in.take(r.ctx)
		if err != nil {
			return 0, err
		}
		r.rest = next.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// ReadJSON reads the next message and decodes it as JSON into v. A message
// that is not JSON is an error of this call only.
func (c *Conn) ReadJSON(ctx context.Context, v any) error {
	_, p, err := c.Read(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(p, v); err != nil {
		return fmt.Errorf("websocket: the message is not the JSON that was expected: %w", err)
	}
	return nil
}

// WriteJSON sends v as JSON in a text message; see Write.
func (c *Conn) WriteJSON(ctx context.Context, v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("websocket: the value cannot be written as JSON: %w", err)
	}
	return c.Write(ctx, Text, p)
}
