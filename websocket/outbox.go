package websocket

import (
	"context"
	"errors"
	"math"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// The outbox holds the frames that the network has not taken. Frames enter
// whole or not at all, so no context can end in the middle of one. Whoever
// puts a frame in tries one write that cannot block, unless others soon do it;
// what the kernel does not take then is left to the driver.
const (
	corkBytes  = 64 << 10 // corked output leaves at this size
	corkBuffer = 4 << 10  // and starts in a buffer of this one
	largeBytes = 64 << 10 // a message of this size does not wait for the cork
	shareBytes = 16 << 10 // a prepared message of this size is not copied into the outbox
)

// chunk is a run of frames in the outbox: in a buffer of its own, or shared by
// all connections to which a Prepared was sent.
type chunk struct {
	buf  *protocol.Buffer // nil when shared
	rest []byte           // what the network has not taken
}

// Send sends a message without ever waiting. When the outbox has no room it
// does what Options.Overflow says: end the connection with 1013, which is the
// error then, or drop the message and return ErrFull. p may be reused when
// Send returns. nil means that the message is on its way, not that it arrived.
func (c *Conn) Send(typ MessageType, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasRoom(len(p)) {
		return c.overflow()
	}
	return c.enqueue(typ, p)
}

// Write sends a message; it waits while the outbox has no room for it. When
// ctx ends first the message is not sent and the connection lives on. p may be
// reused when Write returns. nil means that the message is on its way, not that
// it arrived.
func (c *Conn) Write(ctx context.Context, typ MessageType, p []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitRoom(ctx, len(p)); err != nil {
		return err
	}
	return c.enqueue(typ, p)
}

// Buffered returns how many bytes of frames the network has not taken; once the
// connection is over, how many it never took.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buffered()
}

// Dropped returns how many messages OverflowDrop has dropped.
func (c *Conn) Dropped() uint64 { return c.detailed().dropped }

// OnDrain sets what is called, on a goroutine of its own, each time the outbox
// has become empty after a Send or a Write found no room. nil unsets it.
func (c *Conn) OnDrain(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.more().drain = f
}

// All below is called with mu held, unless it says otherwise.

func (c *Conn) buffered() int {
	n := c.aheadBytes
	if c.out != nil {
		n += len(c.out.B) - c.sent
	}
	if d := c.details; d != nil {
		n += d.lost
		if d.aside != nil {
			n += len(d.aside.B)
		}
	}
	return n
}

// streaming reports whether a part of a streamed message has left, so that
// others must wait for its end.
func (c *Conn) streaming() bool {
	return c.details != nil && c.details.stream != nil && c.details.stream.begun
}

// hasRoom reports whether a message of n bytes may enter the outbox. One that
// is larger than the outbox passes when it is alone.
func (c *Conn) hasRoom(n int) bool {
	b := c.buffered()
	return b == 0 || b+n <= c.options.Outbox
}

// overflow is Send without room.
func (c *Conn) overflow() error {
	if c.final != nil {
		return c.final
	}
	c.full = true
	if c.options.Overflow == OverflowDrop {
		c.more().dropped++
		return ErrFull
	}
	const reason = "the outbox is full"
	_ = c.beginClose(StatusTryAgainLater, reason) // fails only if closing already
	return &CloseError{Code: StatusTryAgainLater, Reason: reason, Local: true}
}

// waitRoom waits until a message of n bytes may enter.
func (c *Conn) waitRoom(ctx context.Context, n int) error {
	for c.final == nil && !c.hasRoom(n) {
		c.flush()
		if c.hasRoom(n) {
			break
		}
		c.full = true
		if err := c.wait(ctx, c.roomChan()); err != nil {
			return err
		}
	}
	return c.final
}

func (c *Conn) roomChan() chan struct{} {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// wakeRoom tells those who wait for room, or for a stream's end, to look again.
func (c *Conn) wakeRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	if c.full && c.buffered() == 0 {
		c.full = false
		if c.details != nil && c.details.drain != nil {
			go c.guard("OnDrain", c.details.drain)
		}
	}
}

// enqueue frames a message into the outbox and sets it on its way.
func (c *Conn) enqueue(typ MessageType, p []byte) error {
	if c.streaming() {
		return c.enqueueAside(typ, p)
	}
	if len(p) >= largeBytes && c.config.Role == protocol.Server && !c.sender.Compresses() {
		return c.enqueueLarge(typ, p)
	}
	c.makeRoom(len(p) + protocol.MaxHeaderLength)
	var err error
	c.out.B, err = c.sender.AppendMessage(c.out.B, protocol.Opcode(typ), p, len(p) >= c.options.Compression.Threshold)
	return c.pushed(err, false)
}

// enqueueLarge sends as much of a large message as the kernel takes from where
// it lies, and copies only the rest.
func (c *Conn) enqueueLarge(typ MessageType, p []byte) error {
	const start = largeBytes / 4 // with the header, so that no packet carries that alone
	c.makeRoom(start + protocol.MaxHeaderLength)
	var err error
	c.out.B, err = c.sender.AppendStart(c.out.B, protocol.Opcode(typ), p, start)
	if err != nil {
		return c.pushed(err, false)
	}
	p = p[start:]
	c.flush()
	if c.head() == nil && !c.broken {
		n, err := c.driver.write(p)
		if err != nil && !errors.Is(err, loop.ErrWouldBlock) {
			c.abort(err)
		}
		p = p[n:]
	}
	if len(p) > 0 && !c.broken {
		c.makeRoom(len(p))
		c.out.B = append(c.out.B, p...)
		c.flush()
	}
	return nil
}

// enqueueAside keeps a message until the streamed one has ended.
func (c *Conn) enqueueAside(typ MessageType, p []byte) error {
	aside := c.details.aside
	if aside == nil {
		aside = protocol.GetBuffer(len(p) + protocol.MaxHeaderLength)
		c.details.aside = aside
	}
	var err error
	aside.B, err = c.sender.AppendAside(aside.B, protocol.Opcode(typ), p)
	if err != nil {
		return c.errNotSendable(err)
	}
	return nil
}

// makeRoom readies out for n more bytes.
func (c *Conn) makeRoom(n int) {
	switch {
	case c.out != nil:
		c.out.Grow(n, math.MaxInt)
	case c.corked:
		c.out = protocol.GetBuffer(max(n, corkBuffer))
	default:
		c.out = protocol.GetBuffer(n)
	}
}

// share puts framed messages into the outbox without copying them.
func (c *Conn) share(framed []byte) {
	c.detach()
	c.ahead = append(c.ahead, chunk{rest: framed})
	c.aheadBytes += len(framed)
}

// detach moves what out holds to the end of ahead, where appending does not
// move it any more.
func (c *Conn) detach() {
	if c.out == nil {
		return
	}
	rest := c.out.B[c.sent:]
	c.ahead = append(c.ahead, chunk{c.out, rest})
	c.aheadBytes += len(rest)
	c.out, c.sent = nil, 0
}

// head returns what goes first, nil when the outbox is empty.
func (c *Conn) head() []byte {
	switch {
	case len(c.ahead) > 0:
		return c.ahead[0].rest
	case c.out != nil:
		return c.out.B[c.sent:]
	}
	return nil
}

// took notes that the network has taken n bytes of the head.
func (c *Conn) took(n int) {
	if len(c.ahead) == 0 {
		if c.sent += n; c.sent == len(c.out.B) {
			c.out.Release()
			c.out, c.sent = nil, 0
		}
		return
	}
	first := &c.ahead[0]
	first.rest = first.rest[n:]
	c.aheadBytes -= n
	if len(first.rest) > 0 {
		return
	}
	first.buf.Release()
	c.ahead[0] = chunk{}
	if c.ahead = c.ahead[1:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
}

// discard gives the outbox up. What the driver is writing from without mu stays
// until it has come back.
func (c *Conn) discard() {
	c.over = true
	if c.lent {
		return
	}
	lost := c.buffered()
	for _, first := range c.ahead {
		first.buf.Release()
	}
	c.out.Release()
	c.ahead, c.aheadBytes, c.out, c.sent = nil, 0, nil, 0
	if c.details != nil {
		c.details.aside.Release()
		c.details.aside = nil
	}
	if lost > 0 {
		c.more().lost = lost
	}
}

// pushed sends what an append has put into out, unless it may be gathered with
// more. Many says that other connections are sent the same.
func (c *Conn) pushed(err error, many bool) error {
	if err != nil {
		if c.out != nil && len(c.out.B) == 0 {
			c.out.Release()
			c.out = nil
		}
		return c.errNotSendable(err)
	}
	if c.buffered() < corkBytes && !c.blocked && c.driver.gather(many) {
		return nil
	}
	c.flush()
	return nil
}

// flush writes the outbox without waiting, and leaves to the driver what the
// network does not take.
func (c *Conn) flush() {
	if c.blocked || c.broken {
		return
	}
	for p := c.head(); p != nil; p = c.head() {
		n, err := c.driver.write(p)
		c.took(n)
		if err == nil {
			continue
		}
		if errors.Is(err, loop.ErrWouldBlock) {
			c.blocked = true
			c.driver.later()
		} else {
			c.abort(err)
		}
		return
	}
	c.wakeRoom()
}
