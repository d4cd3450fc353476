package websocket

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// pump is the driver that reads a connection on a goroutine of its own for its
// whole life. On a plain socket it holds no buffer while it waits. The reader's
// frames are kept small, so that its stack stays at 2 KiB.
type pump struct {
	c      *Conn
	nc     net.Conn
	socket *loop.Socket // nil where there is no raw I/O

	returned bool // owned by run: it has come to its end

	// Guarded by c.mu.
	corkSlot  int8   // where the cork's watch knows the connection, or noSlot
	corkFirst uint32 // which slot to try first
}

const (
	readSizeIdle = 4 << 10  // what is held while waiting on anything but a plain socket, such as TLS
	flushChunk   = 64 << 10 // what one blocking write takes, so that progress is seen
)

type readBuffer [readSize]byte

var readPool = sync.Pool{New: func() any { return new(readBuffer) }}

// readBuffers is the loop.Buffers of all connections.
type readBuffers struct{}

func (readBuffers) Get() []byte  { return readPool.Get().(*readBuffer)[:] }
func (readBuffers) Put(b []byte) { readPool.Put((*readBuffer)(b[:readSize])) }

func newPump(c *Conn, nc net.Conn) *pump {
	return &pump{c: c, nc: nc, socket: loop.NewSocket(nc, readBuffers{}), corkSlot: noSlot, corkFirst: corks.next.Add(1)}
}

func (p *pump) begin(buffered []byte) { go p.run(buffered) }

// run is the reader's goroutine.
func (p *pump) run(buffered []byte) {
	defer p.ran()
	err := p.c.open()
	if err == nil && len(buffered) > 0 {
		err = p.c.receive(buffered)
	}
	switch {
	case err != nil:
	case p.socket != nil:
		err = p.readSocket()
	default:
		err = p.readConn()
	}
	p.finish(err)
	p.returned = true
}

// ran ends a connection whose handler has ended the goroutine.
func (p *pump) ran() {
	if !p.returned {
		p.c.exited()
		go p.finish(nil)
	}
}

// readSocket works through what arrives until the connection is over and returns
// how it ended. So does readConn.
func (p *pump) readSocket() error {
	c := p.c
	for {
		c.waiting()
		if room := c.receiver.Room(roomLeast); room != nil {
			if err := p.readInPlace(room); err != nil {
				return err
			}
			continue
		}
		in, err := p.socket.Read()
		if err != nil {
			return c.readFailed(err)
		}
		c.heard()
		err = c.receive(in)
		readBuffers{}.Put(in)
		if err != nil {
			return err
		}
	}
}

func (p *pump) readInPlace(room []byte) error {
	n, err := p.socket.ReadInto(room)
	if err != nil {
		return p.c.readFailed(err)
	}
	return p.c.filled(n)
}

// readConn is for where there is no raw I/O. It waits with a small buffer and
// reads with a large one as long as more keeps coming.
func (p *pump) readConn() error {
	c := p.c
	small := make([]byte, readSizeIdle)
	for buf := small; ; {
		c.waiting()
		n, err := p.nc.Read(buf)
		c.heard()
		if end := c.receive(buf[:n]); end != nil {
			return end
		}
		if err != nil {
			return c.readFailed(err)
		}
		switch {
		case n == len(small) && len(buf) == len(small):
			buf = readBuffers{}.Get()
		case n < len(small) && len(buf) > len(small):
			readBuffers{}.Put(buf)
			buf = small
		}
	}
}

// write implements driver.
func (p *pump) write(b []byte) (int, error) {
	if p.socket == nil {
		return 0, loop.ErrWouldBlock
	}
	return p.socket.TryWrite(b)
}

// later implements driver: a flusher lives until the outbox is empty.
func (p *pump) later() { go p.flushRest() }

func (p *pump) caughtUp() {}

// flushRest is the flusher. It is called without mu.
func (p *pump) flushRest() {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.broken {
		c.detach() // others append to out while mu is free
		head := c.head()
		if head == nil {
			break
		}
		n, err := p.writeChunk(head[:min(len(head), flushChunk)])
		c.took(n)
		c.wakeRoom()
		if err != nil {
			c.abort(err)
		}
	}
	c.blocked = false
	if c.over {
		c.discard()
	}
	c.wakeRoom()
}

// writeChunk lets go of mu for one write that may block. A deadline that passes
// after some bytes went out is progress.
func (p *pump) writeChunk(b []byte) (int, error) {
	c := p.c
	c.lent = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.lent = false
	}()
	if t := c.options.WriteTimeout; t > 0 {
		_ = p.nc.SetWriteDeadline(time.Now().Add(t)) // a closed connection fails in Write
	}
	n, err := p.nc.Write(b)
	if n > 0 && n < len(b) && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// finish ends the connection: the owner learns how, the peer gets what is
// queued, and the transport is closed.
func (p *pump) finish(err error) {
	if err = p.c.conclude(err); lingers(err) {
		p.linger()
	}
	p.c.teardown()
}

// linger waits for the peer; see lingers.
func (p *pump) linger() {
	deadline := time.Now().Add(p.c.options.CloseTimeout)
	if !p.drain(deadline) {
		return
	}
	if !p.c.serverEndsFirst() {
		half, ok := p.nc.(interface{ CloseWrite() error })
		if !ok || half.CloseWrite() != nil {
			return
		}
	}
	if p.nc.SetReadDeadline(deadline) != nil {
		return
	}
	buf := readBuffers{}.Get()
	defer readBuffers{}.Put(buf)
	for {
		if _, err := p.nc.Read(buf); err != nil {
			return
		}
	}
}

// drain waits until the outbox is empty and reports whether it is.
func (p *pump) drain(deadline time.Time) bool {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	for c.buffered() > 0 && !c.broken {
		c.flush()
		if c.buffered() == 0 {
			break
		}
		room := c.roomChan()
		c.mu.Unlock()
		select {
		case <-room:
		case <-timeout.C:
			c.mu.Lock()
			return false
		}
		c.mu.Lock()
	}
	return !c.broken
}

// longAgo is a deadline that interrupts every read and write at once.
var longAgo = time.Unix(1, 0)

func (p *pump) interrupt() { _ = p.nc.SetDeadline(longAgo) } // fails only on a connection that is closed
func (p *pump) cut()       { _ = p.nc.Close() }              // wakes the reader, and a write that blocks
func (p *pump) shut()      { _ = p.nc.Close() }              // an error here changes nothing: the connection is over

func (p *pump) localAddr() net.Addr  { return p.nc.LocalAddr() }
func (p *pump) remoteAddr() net.Addr { return p.nc.RemoteAddr() }
