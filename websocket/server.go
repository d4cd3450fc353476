package websocket

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Driver says what drives a Server's connections. The behaviour is the same.
type Driver uint8

// The drivers.
const (
	// DriverAuto takes DriverLoop where there is one, and DriverGoroutine
	// elsewhere.
	DriverAuto Driver = iota
	// DriverGoroutine reads each connection on a goroutine of its own.
	DriverGoroutine
	// DriverLoop reads many connections on one goroutine per core, and a
	// connection that waits has neither goroutine nor buffer. It is there for
	// plain TCP on Linux. Connections for which it is not, such as those over TLS,
	// use DriverGoroutine; on other platforms the Server logs that once.
	DriverLoop
)

// Server serves connections in the event style: it is an http.Handler for any
// mux, middleware and TLS, and has a listener of its own in ListenAndServe. Its
// fields must not change once it serves. All methods may be called from any
// goroutine.
type Server struct {
	// Handler takes the connections' events. It is required.
	Handler Handler

	// Accept holds the rules of the handshake and of the connections.
	Accept AcceptOptions

	// Driver chooses what drives the connections. Default: DriverAuto.
	Driver Driver

	// KeepRequest keeps each connection's upgrade request for Conn.Request
	// after Handler.Open has returned, at some kilobytes a connection.
	KeepRequest bool

	// HTTP answers the requests to Serve and ListenAndServe that are not
	// WebSocket handshakes. Default: 426 (Upgrade Required).
	HTTP http.Handler

	// TLSConfig makes Serve and ListenAndServe speak TLS. Default: plain TCP.
	TLSConfig *tls.Config

	// DrainCode is the close code that Shutdown sends: StatusGoingAway, or
	// StatusServiceRestart for clients that should come back. Default:
	// StatusGoingAway.
	DrainCode StatusCode

	// DrainRate is how many connections a second Shutdown closes, so that
	// clients do not all come back at once. Default: 1,000. Negative: all at once.
	DrainRate int

	// DrainRetry is how long clients that Shutdown closes, or turns away with
	// 503, should wait before they come back. It stands in the close frame's
	// reason as "retry-after=5000ms" and in the Retry-After header. Default: the
	// close reason says nothing, the header one second.
	DrainRetry time.Duration

	init     sync.Once
	initErr  error
	acceptor *acceptor
	config   *protocol.Config
	sink     *handlerSink

	findLoops sync.Once
	loops     *loop.Group // nil: goroutines only

	mu       sync.Mutex
	conns    []*Conn       // each knows its place
	draining chan struct{} // closed by Shutdown; made on demand
	empty    chan struct{} // closed when draining and no connection is left; nil before
}

const defaultDrainRate = 1000

// ErrServerClosed is what Serve and ListenAndServe return after Shutdown, and
// after the end of their context.
var ErrServerClosed = errors.New("websocket: the server is shut down")

// prepare checks the configuration once.
func (s *Server) prepare() error {
	s.init.Do(func() {
		if s.Handler == nil {
			s.initErr = errors.New("websocket: Server.Handler is nil: set it to what takes the messages")
			return
		}
		if s.acceptor, s.initErr = newAcceptor(&s.Accept); s.initErr != nil {
			return
		}
		s.sink = &handlerSink{handler: s.Handler, keepRequest: s.KeepRequest}
		s.config = configFor(protocol.Server, s.acceptor.options, false)
	})
	return s.initErr
}

// eventLoops returns the process's event loops for a connection or listener of
// plain TCP, or nil for a reason that it logs once.
func (s *Server) eventLoops() *loop.Group {
	if s.Driver == DriverGoroutine {
		return nil
	}
	s.findLoops.Do(func() {
		var err error
		if s.loops, err = loop.Process(); err == nil {
			return
		}
		level := slog.LevelInfo
		if s.Driver == DriverLoop {
			level = slog.LevelWarn
		}
		s.acceptor.options.Logger.Log(context.Background(), level,
			"websocket: there is no event loop here, connections use a goroutine each", "reason", err)
	})
	return s.loops
}

// ServeHTTP does the opening handshake and hands the connection over; it
// returns at once. A refused handshake has been answered when it returns.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.prepare(); err != nil {
		_ = refuse(w, r, internalError("", err))
		cmp.Or(s.Accept.Logger, slog.Default()).Error("websocket: the Server is not configured rightly", "error", err)
		return
	}
	if s.isDraining() {
		_ = refuse(w, r, s.errDraining())
		return
	}
	e, response, err := s.acceptor.upgrade(w, r)
	if err != nil {
		s.logRefusal(err, r.RemoteAddr)
		return
	}
	c := newConn(e, s.sink, s.config)
	if !s.adopt(c, e.conn) {
		c.driver = newPump(c, e.conn)
	}
	c.seat.Work(func() { c.surviveExit(func() { s.welcome(c, response, e.buffered) }) })
}

// errDraining turns clients away while the server shuts down.
func (s *Server) errDraining() error {
	return &HandshakeError{
		Status: http.StatusServiceUnavailable,
		Header: http.Header{"Retry-After": {strconv.Itoa(max(1, int(math.Ceil(s.DrainRetry.Seconds()))))}},
		Reason: "the server is shutting down; come back later",
	}
}

// logRefusal logs a refusal that is the server's own fault.
func (s *Server) logRefusal(err error, remote string) {
	if refused, ok := errors.AsType[*HandshakeError](err); ok && refused.Status == http.StatusInternalServerError {
		s.acceptor.options.Logger.Error("websocket: a handshake could not be answered", "error", err, "remote", remote)
	}
}

// adopt moves a connection of the HTTP server to an event loop, if it can.
func (s *Server) adopt(c *Conn, nc net.Conn) bool {
	tcp, ok := plainTCP(nc)
	if !ok {
		return false
	}
	loops := s.eventLoops()
	if loops == nil {
		return false
	}
	local, peer := addrPortOf(tcp.LocalAddr()), addrPortOf(tcp.RemoteAddr())
	fd, err := loop.Detach(tcp)
	if err != nil {
		return false // there are no descriptors left: the pump needs no second one
	}
	c.sit(loops, fd, unique.Make(local), peer)
	return true
}

func addrPortOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// welcome starts a connection whose response is not sent yet. A client that has
// the response must find its connection in Range, so the connection is
// remembered before the response leaves: it is the first thing in the outbox.
func (s *Server) welcome(c *Conn, response, buffered []byte) {
	c.server = s
	out := protocol.GetBuffer(len(response))
	out.B = append(out.B, response...)
	c.mu.Lock() // a loop may flush at any moment, and others send as soon as they find it
	c.out = out
	open := s.remember(c)
	c.mu.Unlock()
	if !open {
		s.drainConn(c)
	}
	c.start(buffered)
}

// remember puts c into the registry and reports whether the server is not
// shutting down. c.mu is held, so nobody takes that while holding s.mu.
func (s *Server) remember(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.place = len(s.conns)
	s.conns = append(s.conns, c)
	return s.empty == nil
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.conns[len(s.conns)-1]
	s.conns[c.place], last.place = last, c.place
	s.conns[len(s.conns)-1] = nil
	s.conns = s.conns[:len(s.conns)-1]
	if s.empty != nil && len(s.conns) == 0 && !isClosed(s.empty) {
		close(s.empty)
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.empty != nil
}

// whenDraining returns a channel that Shutdown closes.
func (s *Server) whenDraining() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drainingLocked()
}

func (s *Server) drainingLocked() chan struct{} {
	if s.draining == nil {
		s.draining = make(chan struct{})
	}
	return s.draining
}

// Len returns how many connections are open.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Range calls f for each open connection until it returns false. Connections
// that open meanwhile may be left out.
func (s *Server) Range(f func(c *Conn) bool) {
	for _, c := range s.snapshot() {
		if !f(c) {
			return
		}
	}
}

func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns)
}

// ListenAndServe listens on the TCP address addr, such as ":8080", and calls
// Serve.
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("websocket: cannot listen on %q: %w", addr, err)
	}
	return s.Serve(ctx, l)
}

// Serve accepts connections from l until ctx ends or Shutdown is called, and
// always closes l. When ctx ends it shuts the server down at DrainRate, for
// Options.CloseTimeout at most.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.prepare(); err != nil {
		_ = l.Close()
		return err
	}
	hs := &http.Server{
		Handler:           http.HandlerFunc(s.route),
		ErrorLog:          slog.NewLogLogger(s.acceptor.options.Logger.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: s.acceptor.options.HandshakeTimeout,
		IdleTimeout:       idleTimeout,
		TLSConfig:         s.TLSConfig,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/2 cannot be upgraded
	}
	if s.TLSConfig != nil {
		config := s.TLSConfig.Clone()
		config.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, config)
	}
	l, stop := s.front(ctx, l)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-s.whenDraining():
		_ = l.Close() // Shutdown sees to the WebSockets
		hs.SetKeepAlivesEnabled(false)
	case <-ctx.Done():
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.acceptor.options.CloseTimeout)
		defer cancel()
		_ = l.Close()
		_ = s.Shutdown(limit) // what was left then has been closed
		_ = hs.Close()
	}
	<-served
	return ErrServerClosed
}

// idleTimeout ends HTTP connections that wait for a next request.
const idleTimeout = 2 * time.Minute

// route tells handshakes from other requests.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	switch {
	case wantsUpgrade(protocol.Header(r.Header)):
		s.ServeHTTP(w, r)
	case s.HTTP != nil:
		s.HTTP.ServeHTTP(w, r)
	default:
		_ = refuse(w, r, &HandshakeError{
			Status: http.StatusUpgradeRequired,
			Header: http.Header{"Upgrade": {"websocket"}},
			Reason: "this is a WebSocket server: connect with ws:// or wss://",
		})
	}
}

func (s *Server) drainCode() StatusCode {
	if s.DrainCode == 0 {
		return StatusGoingAway
	}
	return s.DrainCode
}

// Shutdown refuses new connections with 503 and closes the open ones with
// DrainCode, DrainRate of them a second. It returns nil when all are gone. When
// ctx ends first it ends the rest at once and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.empty == nil {
		close(s.drainingLocked())
		s.empty = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	empty := s.empty
	s.mu.Unlock()

	s.drain(ctx)
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		for _, c := range s.snapshot() {
			_ = c.CloseNow() // how it ended before does not matter any more
		}
		return ctx.Err()
	}
}

// drainStep is how often Shutdown closes its share of connections.
const drainStep = 20 * time.Millisecond

// drain starts the closing handshake of every connection at DrainRate.
func (s *Server) drain(ctx context.Context) {
	rate := s.DrainRate
	if rate == 0 {
		rate = defaultDrainRate
	}
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	start, closed := time.Now(), 0
	for _, c := range s.snapshot() {
		for rate > 0 && closed >= 1+int(time.Since(start)*time.Duration(rate)/time.Second) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		s.drainConn(c)
		closed++
	}
}

// drainConn starts the closing handshake and does not wait for it.
func (s *Server) drainConn(c *Conn) {
	reason := "the server is shutting down"
	if s.DrainRetry > 0 {
		reason += fmt.Sprintf(", retry-after=%dms", s.DrainRetry.Milliseconds())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.beginClose(s.drainCode(), reason) // fails only if closing already
}
