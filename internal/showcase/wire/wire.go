// Package wire lets a handler of HTTP see the bytes of its own request as they came, and count those of its own exchange, which net/http
// keeps to itself: a listener wraps its connections, and the server's ConnContext hands them to the handlers.
package wire

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxKept is how many bytes of a request are kept: every head that is not meant to be large, with room to spare.
const maxKept = 8 << 10

// Listener wraps the connections of another one, which carries HTTP/1 in the clear: above TLS there is nothing to be seen here.
type Listener struct{ net.Listener }

// Accept implements net.Listener. The connection is a *Conn.
func (l Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: nc}, nil
}

// key is the context's key for the connection.
type key struct{}

// ConnContext is for http.Server.
func ConnContext(ctx context.Context, nc net.Conn) context.Context {
	if c, ok := nc.(*Conn); ok {
		return context.WithValue(ctx, key{}, c)
	}
	return ctx
}

// Of returns the connection of a request by its context, or nil where the server's connections are not wrapped.
func Of(ctx context.Context) *Conn {
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}

// Meter counts bytes. It may be shared by any number of connections.
type Meter struct{ In, Out atomic.Int64 }

// Conn is a connection of a server for HTTP/1. A request begins with the first byte that is read after something was written, which is
// true of every client that waits for an answer before it asks again, as browsers do. Its methods may be called from any goroutine.
type Conn struct {
	net.Conn

	mu       sync.Mutex // guards what follows
	kept     []byte     // the first bytes of the request
	received int64      // all bytes of the request
	answered bool       // something was, or is being, written since the last byte was read
	meter    *Meter     // for the rest of the exchange; nil: nobody counts
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read(p[:n])
	}
	return n, err
}

func (c *Conn) read(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		c.kept, c.received, c.answered, c.meter = c.kept[:0], 0, false, nil
	}
	c.received += int64(len(p))
	c.kept = append(c.kept, p[:min(len(p), maxKept-len(c.kept))]...)
	if c.meter != nil {
		c.meter.In.Add(int64(len(p)))
	}
}

// Write implements net.Conn. The bytes are counted before the peer can have them.
func (c *Conn) Write(p []byte) (int, error) {
	meter := c.answering()
	if meter == nil {
		return c.Conn.Write(p)
	}
	meter.Out.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	meter.Out.Add(int64(n - len(p)))
	return n, err
}

func (c *Conn) answering() *Meter {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	return c.meter
}

// CloseWrite tells the peer that nothing more comes, as http.Server does before it closes.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Request returns a copy of the first bytes that came for the request that is being answered, 8 KiB of them at most, and how many there
// were in all.
func (c *Conn) Request() (first []byte, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.kept...), c.received
}

// Count adds to a meter what has come for the request that is being answered, what is still to come for it, and all of its answer, also
// what the server writes when the handler has returned.
func (c *Conn) Count(m *Meter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter = m
	m.In.Add(c.received)
}

// Bare makes the hijacking of a connection yield the one below: who serves it then, such as an event loop, may need the real one, and has
// no use for this one's memory.
func Bare(w http.ResponseWriter) http.ResponseWriter { return bare{w} }

type bare struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (b bare) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// Hijack implements http.Hijacker. What the server's reader has already taken from the connection is in buffers, as always.
func (b bare) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, buffers, err := http.NewResponseController(b.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if c, ok := nc.(*Conn); ok {
		nc = c.Conn
		if buffers.Writer.Buffered() == 0 {
			buffers.Writer.Reset(nc)
		}
	}
	return nc, buffers, nil
}
