package websocket

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// front accepts the connections of a plain TCP listener into the event loops. It
// reads the first request of each: an upgrade it answers itself, and with
// everything else the connection goes to the HTTP server, for which the front is
// a listener.
type front struct {
	server  *Server
	loops   *loop.Group
	inner   net.Listener
	accept  *loop.Listener
	base    *http.Request                 // what all requests have in common
	local   unique.Handle[netip.AddrPort] // the listener's address
	forHTTP chan net.Conn

	stopped  chan struct{} // closed when no more is accepted
	failure  error         // why; set before
	stopOnce sync.Once

	mu       sync.Mutex
	greeting map[*Conn]struct{}
}

// httpBacklog is how many connections may wait for the HTTP server to take them.
const httpBacklog = 64

// front returns the listener for the HTTP server, and what to call when that has
// ended. Where there is no event loop, that is l itself.
func (s *Server) front(ctx context.Context, l net.Listener) (_ net.Listener, stop func()) {
	if _, ok := l.(*net.TCPListener); !ok || s.eventLoops() == nil {
		return l, func() {}
	}
	accept, err := loop.NewListener(l)
	if err != nil {
		return l, func() {} // it is closed, as the HTTP server will find
	}
	base := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}
	f := &front{
		server: s, loops: s.loops, inner: l, accept: accept,
		local:    unique.Make(addrPortOf(l.Addr())),
		base:     base.WithContext(context.WithValue(context.WithoutCancel(ctx), http.LocalAddrContextKey, l.Addr())),
		forHTTP:  make(chan net.Conn, httpBacklog),
		stopped:  make(chan struct{}),
		greeting: make(map[*Conn]struct{}),
	}
	go f.run()
	return f, f.stop
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.forHTTP:
		return c, nil
	case <-f.stopped:
		return nil, f.failure
	}
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.fail(net.ErrClosed)
	_ = f.accept.Close() // only the second descriptor of the same socket
	return f.inner.Close()
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.inner.Addr() }

func (f *front) fail(err error) {
	f.stopOnce.Do(func() {
		f.failure = err
		close(f.stopped)
	})
}

// stop ends the connections that are still about to say what they want.
func (f *front) stop() {
	_ = f.Close() // it is closed already when that fails
	f.refuseHTTP()
	f.interrupt()
}

// refuseHTTP closes what the HTTP server will not take any more.
func (f *front) refuseHTTP() {
	for {
		select {
		case c := <-f.forHTTP:
			_ = c.Close()
		default:
			return
		}
	}
}

// interrupt ends the greetings that are under way.
func (f *front) interrupt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.greeting {
		c.mu.Lock()
		c.broken = true
		c.driver.interrupt()
		c.mu.Unlock()
	}
}

// run accepts until the listener is closed.
func (f *front) run() {
	pause := time.Duration(0)
	for {
		fd, peer, err := f.accept.Accept()
		switch {
		case err == nil:
			pause = 0
			f.greet(fd, peer)
		case isExhausted(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			f.server.acceptor.options.Logger.Error("websocket: no connection can be accepted, trying again", "error", err, "in", pause)
			time.Sleep(pause)
		default:
			f.fail(err)
			return
		}
	}
}

// isExhausted reports whether the system has run out of what other connections
// will give back.
func isExhausted(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// greet waits for the request of a connection just accepted, for
// HandshakeTimeout.
func (f *front) greet(fd int, peer netip.AddrPort) {
	s := f.server
	c := &Conn{options: s.acceptor.options, config: s.config, sink: s.sink, phase: phaseGreeting, front: f}
	w := c.options.wheel()
	c.closeBy = w.after(c.options.HandshakeTimeout)
	c.sit(f.loops, fd, f.localAddr(fd), peer)
	f.mu.Lock()
	f.greeting[c] = struct{}{}
	f.mu.Unlock()
	w.schedule(c, c.closeBy)
	if c.seat.Begin() && c.isBroken() { // interrupted before any turn was possible
		c.seat.Attend()
	}
}

// localAddr saves asking the system when the listener has one address only.
func (f *front) localAddr(fd int) unique.Handle[netip.AddrPort] {
	if !f.local.Value().Addr().IsUnspecified() {
		return f.local
	}
	own, _ := f.loops.Addrs(fd)
	return unique.Make(own)
}

// greeted says that c is no longer the front's.
func (f *front) greeted(c *Conn) {
	f.mu.Lock()
	delete(f.greeting, c)
	f.mu.Unlock()
	c.front = nil
}

// greet collects the connection's first request, and acts on it when it is whole.
func (c *Conn) greet(ready loop.Readiness, buf []byte) {
	if c.isBroken() {
		c.options.Logger.Debug("websocket: a client did not send a whole request in time", "remote", c.RemoteAddr().String(),
			"limit", c.options.HandshakeTimeout)
		c.leave()
		return
	}
	if ready&(loop.Readable|loop.Broken) == 0 {
		return
	}
	n, err := c.seat.Read(buf)
	if errors.Is(err, loop.ErrWouldBlock) {
		return
	}
	if err != nil {
		c.leave()
		return
	}
	in := buf[:n]
	d := c.details
	if d != nil && d.head != nil {
		d.head.Grow(n, maxHead)
		d.head.B = append(d.head.B, in...)
		in = d.head.B
	}
	req, used, err := protocol.ParseRequest(in, c.front.server.acceptor.terms.Limits)
	switch {
	case err != nil, used > 0 && !wantsUpgrade(req.Header):
		c.toHTTP(in) // which says what is wrong with it
	case used > 0:
		c.upgrade(&req, in[used:])
	case d == nil || d.head == nil:
		c.keepHead(in)
	}
}

// maxHead is the most bytes of a request that are kept while its end has not come.
const maxHead = 64 << 10

func (c *Conn) keepHead(in []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := protocol.GetBuffer(len(in))
	head.B = append(head.B, in...)
	c.more().head = head
}

// dropHead gives back what was collected.
func (c *Conn) dropHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.details != nil {
		c.details.head.Release()
	}
	c.details = nil
}

// leave ends a connection that has not become one.
func (c *Conn) leave() {
	c.front.greeted(c)
	c.dropHead()
	c.mu.Lock()
	c.broken, c.phase = true, phaseGone
	c.mu.Unlock()
	c.options.wheel().remove(c)
	c.driver.shut()
}

// toHTTP hands the connection to the HTTP server, which reads again what has been
// read.
func (c *Conn) toHTTP(in []byte) {
	f := c.front
	conn := &replayConn{prefix: append([]byte(nil), in...)}
	c.mu.Lock()
	c.broken, c.phase = true, phaseGone
	c.mu.Unlock()
	c.options.wheel().remove(c)
	fd := c.seat.Release()
	f.greeted(c)
	c.dropHead()
	nc, err := loop.Attach(fd)
	if err != nil {
		c.options.Logger.Error("websocket: a connection cannot be handed to the HTTP server", "error", err, "remote", c.RemoteAddr().String())
		return
	}
	conn.TCPConn = nc.(*net.TCPConn) // it was accepted from a TCP listener
	select {
	case f.forHTTP <- conn:
		if isClosed(f.stopped) { // and nobody has seen it
			f.refuseHTTP()
		}
	case <-f.stopped:
		_ = conn.Close()
	}
}

// upgrade answers an upgrade request and begins the WebSocket connection.
func (c *Conn) upgrade(req *protocol.Request, rest []byte) {
	f := c.front
	s := f.server
	r, err := f.request(req, c.peer)
	if err != nil {
		c.refuse(r, &HandshakeError{Status: http.StatusBadRequest, Reason: err.Error()})
		return
	}
	if s.isDraining() {
		c.refuse(r, s.errDraining())
		return
	}
	e, response, err := s.acceptor.admit(nil, r)
	if err != nil {
		c.refuse(r, err)
		return
	}
	f.greeted(c)
	head := c.takeHead()
	c.establish(&e, s.config)
	s.welcome(c, response, rest)
	head.Release()
}

// takeHead gives what was collected to the caller.
func (c *Conn) takeHead() (head *protocol.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.details != nil {
		head = c.details.head
	}
	c.details = nil
	return head
}

// request makes the request that interceptors see.
func (f *front) request(req *protocol.Request, peer netip.AddrPort) (*http.Request, error) {
	r := f.base.WithContext(f.base.Context())
	r.Method, r.RequestURI, r.Host, r.Header = req.Method, req.Target, req.Host, http.Header(req.Header)
	r.ProtoMajor, r.ProtoMinor = req.Major, req.Minor
	r.Proto = "HTTP/" + strconv.Itoa(req.Major) + "." + strconv.Itoa(req.Minor)
	r.RemoteAddr = peer.String()
	u, err := url.ParseRequestURI(req.Target)
	r.URL = cmp.Or(u, &url.URL{})
	return r, err
}

// refuse answers an upgrade request with an error and ends the connection when the
// client has read that.
func (c *Conn) refuse(r *http.Request, err error) {
	c.front.server.logRefusal(err, r.RemoteAddr)
	w := &errorWriter{header: make(http.Header)}
	_ = refuse(w, r, err) // returns err
	c.front.greeted(c)
	c.dropHead()
	c.mu.Lock()
	c.phase = phaseDraining
	c.out = protocol.GetBuffer(1 << 10)
	c.out.B = w.append(c.out.B)
	wheel := c.options.wheel()
	c.closeBy = wheel.after(c.options.CloseTimeout)
	c.mu.Unlock()
	wheel.schedule(c, c.closeBy)
	seated{c}.linger(0, nil)
}

// errorWriter is the http.ResponseWriter of a refusal.
type errorWriter struct {
	header http.Header
	status int
	body   []byte
}

func (w *errorWriter) Header() http.Header    { return w.header }
func (w *errorWriter) WriteHeader(status int) { w.status = status }
func (w *errorWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *errorWriter) append(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(w.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(w.status)...)
	dst = append(dst, "\r\n"...)
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	buf := bytesWriter{dst}
	_ = w.header.Write(&buf) // a bytesWriter does not fail
	return append(append(buf.b, "\r\n"...), w.body...)
}

type bytesWriter struct{ b []byte }

func (w *bytesWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// replayConn is a connection of which some bytes have been read: it gives them
// out first.
type replayConn struct {
	*net.TCPConn
	prefix []byte
}

// Read implements net.Conn.
func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.TCPConn.Read(p)
	}
	n := copy(p, c.prefix)
	if c.prefix = c.prefix[n:]; len(c.prefix) == 0 {
		c.prefix = nil
	}
	return n, nil
}

// WriteTo implements io.WriterTo, which the embedded connection's own would do
// without the prefix.
func (c *replayConn) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.prefix)
	if c.prefix = c.prefix[n:]; err != nil {
		return int64(n), err
	}
	m, err := c.TCPConn.WriteTo(w)
	return int64(n) + m, err
}

// plainTCP returns the TCP connection that c is, if nothing stands between.
func plainTCP(c net.Conn) (*net.TCPConn, bool) {
	if r, ok := c.(*replayConn); ok && len(r.prefix) == 0 {
		return r.TCPConn, true
	}
	tcp, ok := c.(*net.TCPConn)
	return tcp, ok
}

// wantsUpgrade tells handshakes, also wrong ones, from other requests.
func wantsUpgrade(h protocol.Header) bool {
	return h.Get("Upgrade") != "" || h.Get("Sec-WebSocket-Key") != ""
}
