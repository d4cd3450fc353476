package scaletest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// Variant says how a connection comes to be. Whatever it is, the behaviour is
// the same.
type Variant struct {
	Driver  websocket.Driver
	Adopted bool // from net/http, under a mux and middleware, not from Server.Serve
	TLS     bool
}

func (v Variant) String() string {
	name := map[websocket.Driver]string{websocket.DriverGoroutine: "goroutine", websocket.DriverLoop: "loop"}[v.Driver]
	if v.Adopted {
		name += ",adopted"
	} else {
		name += ",own"
	}
	if v.TLS {
		name += ",tls"
	}
	return name
}

// plain are the ways to come to be on plain TCP.
var plain = []Variant{
	{Driver: websocket.DriverGoroutine},
	{Driver: websocket.DriverGoroutine, Adopted: true},
	{Driver: websocket.DriverLoop},
	{Driver: websocket.DriverLoop, Adopted: true},
}

// everyWay adds TLS, where both drivers mean a goroutine.
var everyWay = append(plain[:len(plain):len(plain)],
	Variant{Driver: websocket.DriverGoroutine, TLS: true},
	Variant{Driver: websocket.DriverLoop, TLS: true},
	Variant{Driver: websocket.DriverGoroutine, Adopted: true, TLS: true},
)

// certificate is net/http's own for tests, which every process finds the same.
var certificate = sync.OnceValues(func() (server, client *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
})

// site is a Server that serves, with pages beside it.
type site struct {
	addr string
	stop func() error // closes everything and waits for it
}

// socketPath is where an adopted Server is mounted. An own listener takes
// handshakes on any path.
const socketPath = "/ws"

// open starts to serve s in the variant's way, and page for other requests.
func (v Variant) open(s *websocket.Server, page http.Handler) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Driver = v.Driver
	s.DrainRate = -1
	var config *tls.Config
	if v.TLS {
		config, _ = certificate()
	}
	if v.Adopted {
		return adopt(s, l, config, page), nil
	}
	s.HTTP, s.TLSConfig = page, config
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	return &site{addr: l.Addr().String(), stop: func() error {
		cancel()
		if err := <-served; !errors.Is(err, websocket.ErrServerClosed) {
			return fmt.Errorf("Serve returned %v", err)
		}
		return nil
	}}, nil
}

// adopt mounts s as a program would that has net/http already.
func adopt(s *websocket.Server, l net.Listener, config *tls.Config, page http.Handler) *site {
	mux := http.NewServeMux()
	mux.Handle(socketPath, s)
	mux.Handle("/", page)
	hs := &http.Server{
		Handler:           middleware(mux),
		ReadHeaderTimeout: s.Accept.HandshakeTimeout,
		ErrorLog:          httpLog(s.Accept.Logger),
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	return &site{addr: l.Addr().String(), stop: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // its error says that somebody did not answer the close frame
		_ = hs.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the HTTP server returned %v", err)
		}
		return nil
	}}
}

// wrapped is what middleware puts in a ResponseWriter's place.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// middlewareHeader must be on every response.
const middlewareHeader = "X-Middleware"

func middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(middlewareHeader, "was here")
		next.ServeHTTP(wrapped{w}, r)
	})
}

// page answers with the request's method, path and body.
func page(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}
