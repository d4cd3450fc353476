package websocket

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// seated is the driver of a connection that has a seat in an event loop: between
// its turns it has no goroutine and no buffer. What the pump waits for is a phase
// here, ended by a turn or by the wheel.
type seated struct{ c *Conn }

// sit gives the connection a seat for a descriptor that it owns from then on. It
// is away until its Work or Begin.
func (c *Conn) sit(g *loop.Group, fd int, local unique.Handle[netip.AddrPort], peer netip.AddrPort) {
	c.driver = seated{c}
	c.local, c.peer = local, peer
	c.seat.Take(g, fd, c)
}

// begin implements driver, for a connection that is away or has its turn.
func (d seated) begin(buffered []byte) {
	err := d.c.open()
	if err == nil && len(buffered) > 0 {
		err = d.c.receive(buffered)
	}
	if err != nil {
		d.finish(err)
	}
}

// Turn implements loop.Member.
func (c *Conn) Turn(ready loop.Readiness, buf []byte) {
	returned := false
	defer func() {
		if !returned { // a handler has ended its goroutine: what it left of buf is lost
			c.exited()
		}
	}()
	d := seated{c}
	if ready&loop.Writable != 0 {
		c.Flush(ready)
	}
	switch {
	case c.phase == phaseGreeting:
		c.greet(ready, buf)
	case c.phase != phaseOpen:
		d.linger(ready, buf)
	default:
		err := d.read(ready, buf)
		if err != nil || c.isBroken() {
			d.finish(err)
		}
	}
	returned = true
}

func (c *Conn) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Flush implements loop.Member.
func (c *Conn) Flush(ready loop.Readiness) (turn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seat.Away() {
		c.corked = false // this batch takes long
	}
	if c.blocked && ready&(loop.Writable|loop.Broken) != 0 {
		c.blocked = false
		c.flush()
		if !c.blocked {
			c.driver.caughtUp()
		}
	} else {
		c.flush()
	}
	return c.phase != phaseGone && (c.broken || c.phase == phaseDraining && c.buffered() == 0)
}

// read reads once, so that no connection starves the others of its loop, and
// works through what has come.
func (d seated) read(ready loop.Readiness, buf []byte) error {
	c := d.c
	if ready&(loop.Readable|loop.Broken) == 0 {
		return nil
	}
	room := c.receiver.Room(roomLeast)
	in := buf
	if room != nil {
		in = room
	}
	n, err := c.seat.Read(in)
	switch {
	case errors.Is(err, loop.ErrWouldBlock):
		return nil
	case err != nil:
		return c.readFailed(err)
	case room != nil:
		return c.filled(n)
	}
	c.heard()
	return c.receive(in[:n])
}

// write implements driver.
func (d seated) write(p []byte) (int, error) {
	n, err := d.c.seat.Write(p)
	if n > 0 && d.c.writeBy != 0 {
		d.c.writeBy = d.c.options.wheel().after(d.c.options.WriteTimeout)
	}
	return n, err
}

// later implements driver.
func (d seated) later() {
	c := d.c
	c.seat.Blocked(true)
	if c.options.WriteTimeout > 0 && c.writeBy == 0 {
		w := c.options.wheel()
		c.writeBy = w.after(c.options.WriteTimeout)
		w.schedule(c, c.writeBy)
	}
}

// caughtUp implements driver.
func (d seated) caughtUp() {
	d.c.seat.Blocked(false)
	d.c.writeBy = 0
}

// checkWrite ends the connection when the network has taken nothing for too
// long. mu is held.
func (c *Conn) checkWrite(now uint32) {
	if c.writeBy != 0 && now >= c.writeBy {
		c.abort(os.ErrDeadlineExceeded)
	}
}

// gather implements driver. While its loop is at work, one write there for all
// that comes costs less than one of our own now; and when many connections are
// sent the same, it pays to wake the loop for that.
func (d seated) gather(many bool) bool {
	c := d.c
	if c.corked {
		return true
	}
	if !many && !c.seat.Active() {
		return false
	}
	c.seat.Attend()
	return true
}

func (d seated) uncorked() {}

func (d seated) interrupt() { d.c.seat.Attend() }
func (d seated) cut()       { d.c.seat.Cut() }
func (d seated) shut()      { d.c.seat.Close() }

// finish tells the owner and begins to linger; see lingers.
func (d seated) finish(err error) {
	c := d.c
	err = c.conclude(err)
	c.mu.Lock()
	c.phase = phaseDraining
	w := c.options.wheel()
	c.closeBy = w.after(c.options.CloseTimeout)
	c.mu.Unlock()
	if !lingers(err) {
		c.teardown()
		return
	}
	w.schedule(c, c.closeBy)
	d.linger(0, nil)
}

// linger goes on with the connection's end as far as it can without waiting.
func (d seated) linger(ready loop.Readiness, buf []byte) {
	c := d.c
	if c.phase == phaseGone {
		return
	}
	if ready&(loop.Readable|loop.Broken) != 0 {
		switch _, err := c.seat.Read(buf); {
		case err == nil, errors.Is(err, loop.ErrWouldBlock):
		case errors.Is(err, io.EOF) && c.phase == phaseDraining && ready&loop.Broken == 0:
			c.seat.Deafen() // it may still read what we have to say
		default:
			c.teardown()
			return
		}
	}
	if !d.drained() {
		return
	}
	if !c.serverEndsFirst() && c.seat.CloseWrite() != nil || c.seat.Deaf() { // the input has ended before
		c.teardown()
	}
}

// drained moves on from phaseDraining and reports whether it has just done so.
func (d seated) drained() bool {
	c := d.c
	c.mu.Lock()
	if c.broken {
		c.mu.Unlock()
		c.teardown()
		return false
	}
	defer c.mu.Unlock()
	c.flush()
	if c.phase != phaseDraining || c.buffered() > 0 || c.broken {
		return false // if it has broken just now, Flush will say so
	}
	c.phase = phaseLingering
	return true
}

func (d seated) localAddr() net.Addr  { return net.TCPAddrFromAddrPort(d.c.local.Value()) }
func (d seated) remoteAddr() net.Addr { return net.TCPAddrFromAddrPort(d.c.peer) }
