// Package server is the application: the chat page with its service, the echo service, and how both are listened for and
// stopped. The command and the tests start it through the same Run and RunEcho.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/web"
	"github.com/duplex-websocket/duplex/websocket"
)

// Config is what Run needs. The zero value listens on 127.0.0.1:8080 without TLS.
type Config struct {
	Listen  string        // host:port; port 0 lets the system choose; default 127.0.0.1:8080
	TLSCert string        // PEM file with the certificate chain; empty: no TLS
	TLSKey  string        // PEM file with its private key
	Chat    ChatConfig    // bounds of the chat
	Drain   time.Duration // how long connections get to end when the context does; default 10 s
	Logger  *slog.Logger  // default slog.Default()

	// Ready is called once the server accepts connections, with the address of its page. Nil is allowed.
	Ready func(url string)
}

const (
	defaultListen = "127.0.0.1:8080"
	defaultDrain  = 10 * time.Second
)

// Run serves the chat page, its service and /echo until ctx ends; then it stops accepting, closes the WebSockets with 1012
// (service restart) so that pages come back, and returns nil when all have ended or Config.Drain is over. An error before that
// is a *SetupError if the configuration or the address is to blame.
func Run(ctx context.Context, config Config) error {
	logger := cmp.Or(config.Logger, slog.Default())
	certificates, err := loadTLS(config.TLSCert, config.TLSKey)
	if err != nil {
		return err
	}
	routes, sockets, err := routes(config.Chat, logger)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cmp.Or(config.Listen, defaultListen))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: routes, TLSConfig: certificates,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // mostly peers that hang up during TLS
	}
	scheme := "http"
	serve := func() error { return server.Serve(listener) }
	if certificates != nil {
		scheme = "https"
		serve = func() error { return server.ServeTLS(listener, "", "") }
	}
	served := make(chan error, 1)
	go func() { served <- serve() }()
	if config.Ready != nil {
		config.Ready(fmt.Sprintf("%s://%s/", scheme, reachable(listener.Addr())))
	}
	select {
	case err := <-served:
		return fmt.Errorf("the server stopped: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(config.Drain, defaultDrain))
	defer cancel()
	return shutdown(drain, server, sockets)
}

// routes lists everything that Run serves, and the WebSocket services among it.
func routes(config ChatConfig, logger *slog.Logger) (http.Handler, []*websocket.Server, error) {
	files, err := newPages(web.Files)
	if err != nil {
		return nil, nil, err
	}
	chat := newChat(config, logger)
	echo := newEcho(EchoConfig{}, logger)
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.Handle("/chat", chat.socket)
	mux.HandleFunc("GET /chat/check", chat.serveCheck)
	mux.HandleFunc("GET /chat/rooms", chat.serveRooms)
	mux.Handle("/echo", echo)
	return mux, []*websocket.Server{chat.socket, echo}, nil
}

// shutdown ends ordinary requests and WebSockets at the same time. A connection that is still there at the end of ctx is cut,
// which is not an error of ours.
func shutdown(ctx context.Context, server *http.Server, sockets []*websocket.Server) error {
	var wg sync.WaitGroup
	errs := make([]error, len(sockets))
	for i, s := range sockets {
		wg.Go(func() { errs[i] = s.Shutdown(ctx) })
	}
	err := server.Shutdown(ctx)
	wg.Wait()
	_ = server.Close()
	return ignoreDeadline(errors.Join(append(errs, err)...))
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// reachable is the address to open: a server that listens everywhere is reached as localhost from the same machine.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// loadTLS returns nil without an error when no TLS is asked for.
func loadTLS(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	certificate, err := loadCertificate(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
}
