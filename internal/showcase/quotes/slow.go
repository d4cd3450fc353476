package quotes

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/session"
)

const (
	slowRate   = 8 << 10 // bytes a second
	slowChunk  = 512     // bytes at once
	slowOutbox = 2 << 10 // bytes that wait for the line; what waits in the hub can still be superseded
)

// slowLine is the hub's session protocol once more, over a line as slow as a bad mobile network: what the server writes takes its time. All
// else, what waits, what newer messages supersede, what gaps tell, is as for any client that is slow.
type slowLine struct {
	env  *showcase.Env
	once sync.Once
	line *session.Server // set by once
}

// server returns the server of the sessions. There is no hub yet when the app is made.
func (l *slowLine) server() *session.Server {
	l.once.Do(func() {
		o := l.env.Sessions()
		o.Outbox = slowOutbox
		l.line = session.New(l.env.Hub, o)
	})
	return l.line
}

func (l *slowLine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.server().ServeHTTP(slowWriter{w}, r)
}

func (l *slowLine) Shutdown(ctx context.Context) error { return l.server().Shutdown(ctx) }

func (l *slowLine) Len() int { return l.server().Len() }

// slowWriter gives out a slow connection.
type slowWriter struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (w slowWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &slowConn{Conn: conn}, buffers, nil
}

// slowConn writes slowRate bytes a second.
type slowConn struct {
	net.Conn

	mu   sync.Mutex // orders writers
	next time.Time  // when the line is free again; guarded by mu
}

func (c *slowConn) Write(p []byte) (written int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		chunk := p[:min(len(p), slowChunk)]
		now := time.Now()
		time.Sleep(c.next.Sub(now))
		if c.next.Before(now) {
			c.next = now
		}
		c.next = c.next.Add(time.Duration(len(chunk)) * time.Second / slowRate)
		n, err := c.Conn.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}
