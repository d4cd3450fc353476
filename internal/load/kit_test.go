package load

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// serve runs a real server on loopback and returns its URL.
func serve(t *testing.T, s *websocket.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.WithoutCancel(t.Context()), listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Shutdown(ctx) // connections that do not end are closed
		<-served
	})
	return "ws://" + listener.Addr().String() + "/"
}

func serveTLS(t *testing.T, s *websocket.Server) (url string, trust *tls.Config) {
	t.Helper()
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	return "wss" + server.URL[len("https"):] + "/", server.Client().Transport.(*http.Transport).TLSClientConfig
}

// echoServer answers each message with itself.
func echoServer(mode websocket.CompressionMode) *websocket.Server {
	return handled(mode, func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		_ = c.Write(context.Background(), typ, p) // an error: the connection is closing
	})
}

func handled(mode websocket.CompressionMode, message func(*websocket.Conn, websocket.MessageType, []byte)) *websocket.Server {
	return &websocket.Server{
		Handler: &websocket.HandlerFuncs{OnMessage: message},
		Accept: websocket.AcceptOptions{Options: websocket.Options{
			MaxMessage: 32 << 20, Outbox: 64 << 20, Compression: websocket.Compression{Mode: mode},
		}},
	}
}

// broadcastServer sends each message to all connections, its sender's included
// or not.
func broadcastServer(mode websocket.CompressionMode, toSender bool) *websocket.Server {
	var s *websocket.Server
	s = handled(mode, func(from *websocket.Conn, typ websocket.MessageType, p []byte) {
		prepared := websocket.NewPrepared(typ, p)
		s.Range(func(c *websocket.Conn) bool {
			if c != from || toSender {
				_ = c.SendPrepared(prepared) // an error concerns that connection only
			}
			return true
		})
	})
	return s
}

// must runs without any error.
func must(t *testing.T, c Config) *Result {
	t.Helper()
	r := try(t, c)
	for _, f := range r.Errors {
		t.Errorf("%d connections: %s: %s", f.Count, f.Kind, f.First)
	}
	return r
}

// try runs; errors of connections are in the result.
func try(t *testing.T, c Config) *Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	r, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Interrupted {
		t.Fatal("it does not end")
	}
	return r
}
