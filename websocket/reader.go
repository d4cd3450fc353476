package websocket

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// What both drivers do with what arrives. The reader is whoever has read it: the
// pump's goroutine, or the one that has the connection's turn in a loop.
const (
	readSize  = 64 << 10 // what one read may take
	roomLeast = 16 << 10 // of a frame, still to come, for which reading into place pays
)

// start begins the connection's life with the bytes that came behind the
// handshake. What is in the outbox, such as the handshake's response, leaves first.
func (c *Conn) start(buffered []byte) {
	c.heard()
	c.mu.Lock()
	c.phase = phaseOpen
	if !c.closing.Load() { // else the server shuts down, and CloseTimeout runs
		c.closeBy = 0
	}
	c.born = c.options.wheel().now()
	next := c.nextCheck()
	c.flush()
	c.mu.Unlock()
	c.options.wheel().schedule(c, next)
	c.driver.begin(buffered)
}

// open tells the owner that the connection is there. It returns how the
// connection ended, nil if it goes on.
func (c *Conn) open() (end error) {
	c.cork()
	defer c.uncork()
	defer c.recovered("Open", &end)
	c.sink.opened(c)
	return nil
}

// cork begins a batch: what is sent meanwhile leaves in one write.
func (c *Conn) cork() {
	c.mu.Lock()
	c.handling, c.corked = true, true
	c.mu.Unlock()
}

// uncork ends a batch.
func (c *Conn) uncork() {
	c.mu.Lock()
	c.handling, c.corked = false, false
	c.driver.uncorked()
	c.flush()
	c.mu.Unlock()
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

// filled is receive for n bytes that were read into the Receiver's room: a part
// of a message, which it may end or show to be wrong.
func (c *Conn) filled(n int) (end error) {
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
	c.receiver.Next(nil) // the message's memory does not wait for more to come
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
		if c.details != nil {
			if waiter, ok := c.details.pongs[string(ev.Payload)]; ok {
				delete(c.details.pongs, string(ev.Payload))
				close(waiter)
			}
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
	_ = c.pushed(nil, false)
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
		"where", where, "panic", fmt.Sprint(v), "remote", c.RemoteAddr().String(), "stack", string(debug.Stack()))
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

// conclude makes err the connection's end, unless it has one, and tells the owner,
// once. It returns the end.
func (c *Conn) conclude(err error) error {
	c.mu.Lock()
	c.settle(err)
	err = c.final
	c.mu.Unlock()
	if !c.concluded {
		c.concluded = true
		c.guard("Close", func() { c.sink.closed(c, err) })
	}
	return err
}

// surviveExit calls f, which may call the handler. When that ends the goroutine, the
// connection ends.
func (c *Conn) surviveExit(f func()) {
	returned := false
	defer func() {
		if !returned {
			c.exited()
		}
	}()
	f()
	returned = true
}

// exited breaks a connection whose handler has called runtime.Goexit. The reader
// has to go on elsewhere.
func (c *Conn) exited() {
	c.options.Logger.Error("websocket: a handler ended its goroutine, the connection is closed", "remote", c.RemoteAddr().String())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abortWith(&CloseError{Code: StatusAbnormalClosure, Local: true, Reason: "a handler ended its goroutine"})
	c.driver.interrupt() // also when it was broken before
}

// Once the owner has been told, the peer may still read what we sent last. Closing
// a socket with unread input resets it, and the reset can overtake our close
// frame; so the outbox empties, the output ends, and the input is read until the
// peer ends it (RFC 6455, section 7.1.1), for CloseTimeout at most. A connection
// that ended without a close frame is closed at once.
func lingers(err error) bool { return CloseStatus(err) != StatusAbnormalClosure }

// serverEndsFirst reports whether it is for the other side to end TCP.
func (c *Conn) serverEndsFirst() bool {
	return c.config.Role == protocol.Client && c.receiver.Done()
}

// teardown gives back everything that the connection holds.
func (c *Conn) teardown() {
	c.mu.Lock()
	c.broken = true // from here on the descriptor may belong to another connection
	c.phase = phaseGone
	c.sender.Close()
	c.discard()
	c.mu.Unlock()
	c.options.wheel().remove(c)
	c.driver.shut()
	c.receiver.Close()
	if c.release != nil {
		c.release()
	}
	if c.server != nil {
		c.server.forget(c)
	}
}
