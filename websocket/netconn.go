package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// NetConn returns a net.Conn whose bytes travel in messages of the given type:
// every Write is one message, Read yields the bytes of one message after the
// other. A message of another type ends the connection with 1003. Close does
// the closing handshake with 1000. Read returns io.EOF when the peer closed
// with 1000 or 1001. Deadlines end calls, not the connection.
func (c *Conn) NetConn(typ MessageType) net.Conn {
	n := &netConn{c: c, typ: typ}
	n.read.init()
	n.write.init()
	return n
}

type netConn struct {
	c           *Conn
	typ         MessageType
	read, write deadline
	mu          sync.Mutex     // one Read at a time
	message     *messageReader // guarded by mu: what Read reads from, nil between messages
}

var _ net.Conn = (*netConn)(nil)

func (n *netConn) Read(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx := n.read.context()
	for {
		if n.message == nil {
			typ, r, err := n.c.Reader(ctx)
			if err != nil {
				return 0, n.mapError(err)
			}
			if typ != n.typ {
				n.c.mu.Lock()
				_ = n.c.beginClose(StatusUnsupportedData, "expected "+n.typ.String()+" messages only") // fails only if closing already
				n.c.mu.Unlock()
				return 0, &ProtocolError{Code: StatusUnsupportedData, Reason: "the message is " + typ.String() + ", not " + n.typ.String()}
			}
			n.message = r.(*messageReader)
		}
		n.message.ctx = ctx
		m, err := n.message.Read(p)
		if errors.Is(err, io.EOF) {
			n.message, err = nil, nil
			if m == 0 && len(p) > 0 {
				continue
			}
		}
		return m, n.mapError(err)
	}
}

func (n *netConn) Write(p []byte) (int, error) {
	if err := n.c.Write(n.write.context(), n.typ, p); err != nil {
		return 0, n.mapError(err)
	}
	return len(p), nil
}

// mapError gives errors the meaning that net.Conn's users expect.
func (n *netConn) mapError(err error) error {
	switch code := CloseStatus(err); {
	case code == StatusNormalClosure || code == StatusGoingAway:
		return io.EOF
	case errors.Is(err, context.DeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return err
}

func (n *netConn) Close() error {
	return n.c.Close(context.Background(), StatusNormalClosure, "")
}

func (n *netConn) LocalAddr() net.Addr  { return n.c.LocalAddr() }
func (n *netConn) RemoteAddr() net.Addr { return n.c.RemoteAddr() }

func (n *netConn) SetDeadline(t time.Time) error {
	n.read.set(t)
	n.write.set(t)
	return nil
}

func (n *netConn) SetReadDeadline(t time.Time) error {
	n.read.set(t)
	return nil
}

func (n *netConn) SetWriteDeadline(t time.Time) error {
	n.write.set(t)
	return nil
}

// deadline is a point in time that may be moved while calls wait for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	past  chan struct{} // closed when the deadline has passed
}

func (d *deadline) init() { d.past = make(chan struct{}) }

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if isClosed(d.past) {
		d.past = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	past := d.past
	wait := time.Until(t)
	if wait <= 0 {
		close(past)
		return
	}
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !isClosed(past) {
			close(past)
		}
	})
}

// context returns a context for one call, which the deadline ends, also one
// that is set during the call.
func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &deadlineContext{Context: context.Background(), past: d.past}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// deadlineContext ends when past is closed.
type deadlineContext struct {
	context.Context
	past <-chan struct{}
}

func (c *deadlineContext) Done() <-chan struct{} { return c.past }

func (c *deadlineContext) Err() error {
	if isClosed(c.past) {
		return context.DeadlineExceeded
	}
	return nil
}
