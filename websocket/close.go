package websocket

import (
	"context"
	"errors"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Close does the closing handshake (RFC 6455, section 7): it sends a close
// frame behind all that was sent before and waits until the peer has answered
// with one. code is one that may stand in a close frame, or StatusNoStatus for
// a frame without; reason has at most 123 bytes.
//
// It returns nil when both close frames have passed, whoever began. When ctx
// ends first, Close returns its error and the handshake goes on by itself,
// for Options.CloseTimeout at most. Called while a handler of this connection
// runs, it does not wait: the peer's answer comes after the handler's return.
func (c *Conn) Close(ctx context.Context, code StatusCode, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final == nil {
		if err := c.beginClose(code, reason); err != nil && !errors.Is(err, protocol.ErrNotOpen) {
			return err
		}
	}
	if _, handled := c.sink.(*handlerSink); handled && c.handling && c.final == nil {
		return nil
	}
	if err := c.wait(ctx, c.doneLocked()); err != nil {
		return err
	}
	var closed *CloseError
	if errors.As(c.final, &closed) && closed.Code != StatusAbnormalClosure {
		return nil
	}
	return c.final
}

// CloseNow ends the connection at once, without a close frame. What waits in
// the outbox is lost. It returns nil, or how the connection had ended before;
// then it changes nothing, so that "defer c.CloseNow()" does not cut off our
// answer to the peer's close frame.
func (c *Conn) CloseNow() error {
	c.mu.Lock()
	before := c.final
	if before != nil && !c.broken {
		c.mu.Unlock()
		return before // lingering, for CloseTimeout at most
	}
	c.abortWith(&CloseError{Code: StatusAbnormalClosure, Reason: "CloseNow was called", Local: true})
	c.mu.Unlock()
	c.driver.cut()
	return before
}

// All below is called with mu held.

// beginClose sends a close frame. CloseTimeout runs from here.
func (c *Conn) beginClose(code StatusCode, reason string) error {
	c.makeRoom(protocol.MaxHeaderLength + protocol.MaxControlPayload)
	out, err := c.sender.AppendClose(c.out.B, code, reason)
	c.out.B = out
	if err != nil {
		if len(out) == 0 {
			c.out.Release()
			c.out = nil
		}
		return err
	}
	c.closing.Store(true)
	w := c.options.wheel()
	c.closeBy = w.after(c.options.CloseTimeout)
	w.schedule(c, c.closeBy)
	c.wakeRoom() // the inbox need not wait for the program any more
	_ = c.pushed(nil, false)
	return nil
}

// abort ends a connection whose transport failed.
func (c *Conn) abort(err error) {
	c.abortWith(&CloseError{Code: StatusAbnormalClosure, Err: err})
}

// abortWith ends the connection without waiting for anybody; the reader wakes
// and cleans up.
func (c *Conn) abortWith(err *CloseError) {
	if c.broken {
		return
	}
	c.settle(err)
	c.broken = true
	c.wakeRoom()
	c.driver.interrupt()
}

// settle makes err the connection's end, unless it has one.
func (c *Conn) settle(err error) {
	if c.final == nil {
		c.final = err
		c.closing.Store(true)
		if c.done != nil {
			close(c.done)
		}
		c.wakeRoom()
	}
}
