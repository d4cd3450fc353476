package websocket

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Driver says what drives a Server's connections. The behaviour is the same.
type Driver uint8

// The drivers.
const (
	// DriverAuto takes the fastest driver that the connection allows.
	DriverAuto Driver = iota
	// DriverGoroutine reads each connection on a goroutine of its own.
	DriverGoroutine
	// DriverLoop reads many connections on one goroutine per core. There is no
	// event loop in this release: connections use DriverGoroutine, and the
	// Server logs so once.
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
	sink     *handlerSink

	mu       sync.Mutex
	conns    map[*Conn]struct{}
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
		if s.Driver == DriverLoop {
			s.acceptor.options.Logger.Warn("websocket: this release has no event loop, connections use a goroutine each")
		}
	})
	return s.initErr
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
		_ = refuse(w, r, &HandshakeError{
			Status: http.StatusServiceUnavailable,
			Header: http.Header{"Retry-After": {strconv.Itoa(max(1, int(math.Ceil(s.DrainRetry.Seconds()))))}},
			Reason: "the server is shutting down; come back later",
		})
		return
	}
	e, response, err := s.acceptor.upgrade(w, r)
	if err != nil {
		if refused, ok := errors.AsType[*HandshakeError](err); ok && refused.Status == http.StatusInternalServerError {
			s.acceptor.options.Logger.Error("websocket: a handshake could not be answered", "error", err, "remote", r.RemoteAddr)
		}
		return
	}
	// A client that has the response must find its connection in Range, so the
	// connection is remembered before the response leaves: it is the first
	// thing in the outbox.
	c := newConn(e, s.sink, false)
	c.server = s
	c.out = protocol.GetBuffer(len(response))
	c.out.B = append(c.out.B, response...)
	if !s.remember(c) {
		s.drainConn(c)
	}
	c.start(e.buffered)
}

func (s *Server) remember(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*Conn]struct{})
	}
	s.conns[c] = struct{}{}
	return s.empty == nil
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
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
	return slices.AppendSeq(make([]*Conn, 0, len(s.conns)), maps.Keys(s.conns))
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
	case r.Header.Get("Upgrade") != "" || r.Header.Get("Sec-WebSocket-Key") != "":
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
