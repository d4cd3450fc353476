package websocket

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// This is the goroutine driver: one goroutine reads a connection for its whole
// life. On a plain socket it holds no buffer while it waits.
const (
	readSize     = 64 << 10 // what one read of a plain socket may take
	readSizeIdle = 4 << 10  // what is held while waiting on anything else, such as TLS
	roomLeast    = 16 << 10 // of a frame, still to come, for which reading into place pays
)

type readBuffer [readSize]byte

var readPool = sync.Pool{New: func() any { return new(readBuffer) }}

// readBuffers is the loop.Buffers of all connections.
type readBuffers struct{}

func (readBuffers) Get() []byte  { return readPool.Get().(*readBuffer)[:] }
func (readBuffers) Put(b []byte) { readPool.Put((*readBuffer)(b[:readSize])) }

// start begins the connection's life with the bytes that came behind the
// handshake.
func (c *Conn) start(buffered []byte) {
	c.heard()
	c.born = c.options.wheel().now()
	c.mu.Lock()
	next := c.nextCheck()
	c.flush()
	c.mu.Unlock()
	c.options.wheel().schedule(c, next)
	go c.run(buffered)
}

// run is the reader's goroutine.
func (c *Conn) run(buffered []byte) {
	c.cork()
	c.guard("Open", func() { c.sink.opened(c) })
	c.uncork()
	err := c.read(buffered)
	c.finish(err)
}

// read works through what arrives until the connection is over and returns how
// it ended.
func (c *Conn) read(buffered []byte) error {
	if len(buffered) > 0 {
		if err := c.receive(buffered); err != nil {
			return err
		}
	}
	if c.socket != nil {
		return c.readSocket()
	}
	return c.readConn()
}

func (c *Conn) readSocket() error {
	for {
		c.waiting()
		if room := c.receiver.Room(roomLeast); room != nil {
			if err := c.receiveInPlace(room); err != nil {
				return err
			}
			continue
		}
		p, err := c.socket.Read()
		if err != nil {
			return c.readFailed(err)
		}
		c.heard()
		err = c.receive(p)
		readBuffers{}.Put(p)
		if err != nil {
			return err
		}
	}
}

// readConn reads where there is no raw I/O. It waits with a small buffer and
// reads with a large one as long as more keeps coming.
func (c *Conn) readConn() error {
	small := make([]byte, readSizeIdle)
	for buf := small; ; {
		c.waiting()
		n, err := c.nc.Read(buf)
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

// receive hands all that p holds to the sink. What handlers send meanwhile
// leaves in one write. It returns how the connection ended, nil if it goes on.
func (c *Conn) receive(p []byte) (end error) {
	c.cork()
	defer c.uncork()
	defer c.recovered("Message", &end)
	for {
		ev, n := c.receiver.Next(p)
		p = p[n:]
		switch ev.Kind {
		case protocol.EventNone:
			return nil
		case protocol.EventData:
			if !c.closing.Load() {
				c.sink.data(c, MessageType(ev.Opcode), ev.Payload, ev.Final)
			}
		default:
			if err := c.control(&ev); err != nil {
				return err
			}
		}
	}
}

// receiveInPlace reads into the Receiver's room, and is receive for what it read:
// a part of a message, which it may end or show to be wrong.
func (c *Conn) receiveInPlace(room []byte) (end error) {
	n, err := c.socket.ReadInto(room)
	if err != nil {
		return c.readFailed(err)
	}
	c.heard()
	ev := c.receiver.Filled(n)
	if ev.Kind == protocol.EventNone {
		return nil
	}
	c.cork()
	defer c.uncork()
	defer c.recovered("Message", &end)
	if ev.Kind != protocol.EventData {
		return c.control(&ev)
	}
	if !c.closing.Load() {
		c.sink.data(c, MessageType(ev.Opcode), ev.Payload, ev.Final)
	}
	return nil
}

// control acts on what is not data. It returns how the connection ended, nil
// if it goes on.
func (c *Conn) control(ev *protocol.Event) error {
	c.showControl(ev)
	if ev.Kind == protocol.EventClose || ev.Kind == protocol.EventFailed {
		c.sink.ending(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	local := c.sender.State() == protocol.StateClosing
	c.reply(ev)
	switch ev.Kind {
	case protocol.EventPong:
		if waiter, ok := c.details.pongs[string(ev.Payload)]; ok {
			delete(c.details.pongs, string(ev.Payload))
			close(waiter)
		}
	case protocol.EventClose:
		return &CloseError{Code: ev.Code, Reason: string(ev.Payload), Local: local}
	case protocol.EventFailed:
		return &ProtocolError{Code: ev.Err.Code, Reason: ev.Err.Reason}
	}
	return nil
}

// maxReplies bounds the pongs that wait for a peer that pings and does not
// read: beyond it a pong is left out, which section 5.5.3 of RFC 6455 allows
// as long as later pings are answered.
const maxReplies = 64 << 10

// reply queues the protocol's own answer. mu is held.
func (c *Conn) reply(ev *protocol.Event) {
	if ev.Kind == protocol.EventPong || ev.Kind == protocol.EventPing && c.buffered() > c.options.Outbox+maxReplies {
		return
	}
	c.makeRoom(protocol.MaxHeaderLength + protocol.MaxControlPayload)
	c.out.B = c.sender.Reply(c.out.B, ev)
	_ = c.pushed(nil)
}

// showControl lets OnControl see the event.
func (c *Conn) showControl(ev *protocol.Event) {
	f := c.options.OnControl
	if f == nil {
		return
	}
	switch ev.Kind {
	case protocol.EventPing:
		f(c, protocol.OpPing, ev.Payload)
	case protocol.EventPong:
		f(c, protocol.OpPong, ev.Payload)
	case protocol.EventClose:
		var payload []byte
		if ev.Code != protocol.StatusNoStatus {
			payload = append([]byte{byte(ev.Code >> 8), byte(ev.Code)}, ev.Payload...)
		}
		f(c, protocol.OpClose, payload)
	}
}

// readFailed turns a read's failure into the connection's end.
func (c *Conn) readFailed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &CloseError{Code: StatusAbnormalClosure, Err: err}
}

// recovered turns a handler's panic into the connection's end with 1011. It is
// deferred around calls of the user's code.
func (c *Conn) recovered(where string, end *error) {
	v := recover()
	if v == nil {
		return
	}
	c.options.Logger.Error("websocket: handler panicked, the connection is closed with 1011",
		"where", where, "panic", fmt.Sprint(v), "remote", c.nc.RemoteAddr().String(), "stack", string(debug.Stack()))
	const reason = "internal error"
	c.mu.Lock()
	_ = c.beginClose(StatusInternalError, reason) // fails only if closing already
	c.mu.Unlock()
	if end != nil {
		*end = &CloseError{Code: StatusInternalError, Reason: reason, Local: true}
	}
}

// guard calls f and survives its panic.
func (c *Conn) guard(where string, f func()) {
	defer c.recovered(where, nil)
	f()
}

// finish ends the connection: the owner learns how, the peer gets what is
// queued, and the transport is closed.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	c.settle(err)
	err = c.final
	c.mu.Unlock()
	c.guard("Close", func() { c.sink.closed(c, err) })

	c.linger(err)
	c.mu.Lock()
	c.broken = true // from here on the descriptor may belong to another connection
	c.sender.Close()
	c.discard()
	c.mu.Unlock()
	c.options.wheel().remove(c)
	_ = c.nc.Close() // an error here changes nothing: the connection is over
	c.receiver.Close()
	if c.release != nil {
		c.release()
	}
	if c.server != nil {
		c.server.forget(c)
	}
}

// linger lets the peer read what we sent last. Closing a socket with unread
// input resets it, and the reset can overtake our close frame; so the output
// ends first and the input is read until the peer ends it (RFC 6455,
// section 7.1.1), for CloseTimeout at most.
func (c *Conn) linger(err error) {
	if CloseStatus(err) == StatusAbnormalClosure {
		return
	}
	deadline := time.Now().Add(c.options.CloseTimeout)
	if !c.drain(deadline) {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	clean := c.receiver.Done()
	switch {
	case c.config.Role == protocol.Client && clean:
		// the server ends TCP first
	case !ok || half.CloseWrite() != nil:
		return
	}
	if c.nc.SetReadDeadline(deadline) != nil {
		return
	}
	buf := readBuffers{}.Get()
	defer readBuffers{}.Put(buf)
	for {
		if _, err := c.nc.Read(buf); err != nil {
			return
		}
	}
}

// drain waits until the outbox is empty and reports whether it is.
func (c *Conn) drain(deadline time.Time) bool {
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
