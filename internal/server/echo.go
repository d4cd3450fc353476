package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// EchoMode says what the echo server does with a message.
type EchoMode string

// The modes of RunEcho.
const (
	ModeEcho      EchoMode = "echo"      // to its sender
	ModeBroadcast EchoMode = "broadcast" // to every connection, the sender's included
)

// EchoConfig is what RunEcho needs. The zero value echoes on 127.0.0.1:8080 without compression.
type EchoConfig struct {
	Listen      string                    // host:port; default 127.0.0.1:8080
	Driver      websocket.Driver          // default websocket.DriverAuto
	Compression websocket.CompressionMode // default websocket.CompressionOff
	Mode        EchoMode                  // default ModeEcho
	Drain       time.Duration             // how long connections get to end when the context does; default 10 s
	Logger      *slog.Logger              // default slog.Default()
	Ready       func(url string)          // called once connections are accepted, with the address; nil is allowed
}

const (
	echoMaxMessage = 64 << 20
	// Echoing waits for room in the outbox. A broadcast does not: it must not hold up everybody for one slow reader, so what
	// that one has not taken may grow to two of the largest messages before it is closed with 1013.
	broadcastOutbox = 2*echoMaxMessage + 1<<20
)

// RunEcho serves a test server at any path, for any origin, until ctx ends; then it drains the connections. An error before
// that is a *SetupError if the configuration or the address is to blame.
func RunEcho(ctx context.Context, config EchoConfig) error {
	logger := cmp.Or(config.Logger, slog.Default())
	listener, err := listen(ctx, cmp.Or(config.Listen, defaultListen))
	if err != nil {
		return err
	}
	server := newEcho(config, logger)
	server.Accept.InsecureSkipOriginCheck = true // it answers what it is asked and knows nothing else
	server.HTTP = http.HandlerFunc(explainEcho)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(ctx), listener) }()
	if config.Ready != nil {
		config.Ready(fmt.Sprintf("ws://%s/", reachable(listener.Addr())))
	}
	select {
	case err := <-served:
		return fmt.Errorf("the server stopped: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(config.Drain, defaultDrain))
	defer cancel()
	return ignoreDeadline(server.Shutdown(drain))
}

func explainEcho(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Upgrade", "websocket")
	http.Error(w, "this is a WebSocket test server: connect to ws://"+r.Host+r.URL.Path, http.StatusUpgradeRequired)
}

func newEcho(config EchoConfig, logger *slog.Logger) *websocket.Server {
	server := &websocket.Server{
		Driver:  config.Driver,
		Handler: &websocket.HandlerFuncs{OnMessage: echo},
		Accept: websocket.AcceptOptions{Options: websocket.Options{
			MaxMessage: echoMaxMessage, Logger: logger,
			Compression: websocket.Compression{Mode: config.Compression},
		}},
	}
	if config.Mode == ModeBroadcast {
		server.Accept.Outbox = broadcastOutbox
		server.Handler = &websocket.HandlerFuncs{OnMessage: func(_ *websocket.Conn, typ websocket.MessageType, p []byte) {
			broadcast(server, typ, p)
		}}
	}
	return server
}

// echo answers a message with itself; what a burst of messages is answered leaves in one write. When the peer does not read
// its answers, Write waits for it, and with it the reading from this connection: nothing is lost and nothing piles up. An
// error means that the connection has ended, and with it the conversation.
func echo(c *websocket.Conn, typ websocket.MessageType, p []byte) {
	_ = c.Write(context.Background(), typ, p)
}

func broadcast(server *websocket.Server, typ websocket.MessageType, p []byte) {
	prepared := websocket.NewPrepared(typ, p)
	server.Range(func(c *websocket.Conn) bool {
		_ = c.SendPrepared(prepared) // an error concerns that connection only, and it is closing
		return true
	})
}
