package websocket

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// activity holds a wheel tick shifted by one; the low bit says that the reader
// waits for the network. A reader that does not wait is held up by its own
// program, and the peer's silence cannot be judged.
const readerWaits = 1

func (c *Conn) heard() {
	now := c.options.wheel().now() << 1
	if c.seat.Taken() {
		now |= readerWaits // unless it is away
	}
	if c.activity.Load() != now {
		c.activity.Store(now)
	}
}

func (c *Conn) waiting() { c.activity.Store(c.activity.Load() | readerWaits) }

// silentSince returns the tick at which bytes last arrived, or now when the
// reader does not wait for any.
func (c *Conn) silentSince(now uint32) uint32 {
	if a := c.activity.Load(); a&readerWaits != 0 && !c.seat.Away() {
		return a >> 1
	}
	return now
}

// Ping sends a ping and waits for the pong that answers it (RFC 6455,
// section 5.5.2). While ReadAhead is full nothing is read, and so no pong.
func (c *Conn) Ping(ctx context.Context) error {
	var payload [8]byte
	binary.BigEndian.PutUint64(payload[:], rand.Uint64())
	key := string(payload[:])

	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ping(payload[:]); err != nil {
		return err
	}
	pong := make(chan struct{})
	d := c.more()
	if d.pongs == nil {
		d.pongs = make(map[string]chan struct{})
	}
	d.pongs[key] = pong
	defer delete(d.pongs, key)
	if err := c.wait(ctx, pong); err != nil {
		return err
	}
	select {
	case <-pong:
		return nil
	default:
		return c.final
	}
}

// ping queues a ping frame. mu is held.
func (c *Conn) ping(payload []byte) error {
	if c.final != nil {
		return c.final
	}
	c.makeRoom(protocol.MaxHeaderLength + protocol.MaxControlPayload)
	var err error
	c.out.B, err = c.sender.AppendPing(c.out.B, payload)
	return c.pushed(err, false)
}

// check does what is due at tick now and returns when to look again, 0 for
// never. It is called by the wheel, only there, and does not block.
func (c *Conn) check(now uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return c.checkPhase(now)
	}
	if c.final != nil {
		return 0 // the pump's lingering has its own deadlines
	}
	o := c.options
	c.checkWrite(now)
	if c.closeBy != 0 {
		if now >= c.closeBy {
			c.abortWith(&CloseError{Code: StatusAbnormalClosure, Local: true,
				Reason: fmt.Sprintf("the peer did not answer the close frame within %v", o.CloseTimeout)})
		}
		return c.closeBy
	}
	if o.MaxLifetime > 0 && now >= c.born+ticks(o.MaxLifetime) {
		_ = c.beginClose(StatusGoingAway, "maximum lifetime reached") // fails only if closing already
		return c.closeBy
	}
	c.checkSilence(now)
	return c.nextCheck()
}

// checkPhase ends a phase that takes too long. mu is held.
func (c *Conn) checkPhase(now uint32) uint32 {
	if now < c.closeBy {
		return c.closeBy
	}
	if c.phase != phaseGone && !c.broken {
		c.broken = true
		c.driver.interrupt()
	}
	return 0
}

// checkSilence pings a peer that is silent, and gives up one that stays so.
func (c *Conn) checkSilence(now uint32) {
	o := c.options
	if o.PingInterval < 0 {
		return
	}
	since := c.silentSince(now)
	if since >= c.pingSent {
		c.pingSent = 0
	}
	switch {
	case c.pingSent != 0 && now >= c.pingSent+ticks(o.PongTimeout):
		c.abortWith(&CloseError{Code: StatusAbnormalClosure, Local: true,
			Reason: fmt.Sprintf("the peer was silent for %v after a ping", o.PongTimeout)})
	case c.pingSent == 0 && now >= since+ticks(o.PingInterval):
		c.pingSent = now
		_ = c.ping(nil) // a failure has ended the connection
	}
}

// nextCheck returns the tick at which check has something to do, 0 for never.
// mu is held.
func (c *Conn) nextCheck() uint32 {
	o := c.options
	next := uint32(0)
	earlier := func(tick uint32) {
		if next == 0 || tick < next {
			next = tick
		}
	}
	if c.writeBy != 0 {
		earlier(c.writeBy)
	}
	if o.MaxLifetime > 0 {
		earlier(c.born + ticks(o.MaxLifetime))
	}
	if o.PingInterval > 0 {
		if c.pingSent != 0 {
			// The pong may come long before PongTimeout: look again when the
			// next ping would then be due.
			if again := c.pingSent + ticks(o.PingInterval); again > o.wheel().now() {
				earlier(again)
			}
			earlier(c.pingSent + ticks(o.PongTimeout))
		} else {
			earlier(c.silentSince(o.wheel().now()) + ticks(o.PingInterval))
		}
	}
	return next
}
