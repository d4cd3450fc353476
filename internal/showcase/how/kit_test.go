package how

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/wire"
	"github.com/duplex-websocket/duplex/websocket"
)

const testID = "abcdefghijklmnopqrstuv"

// site is a server with the app.
type site struct {
	t       *testing.T
	hub     *hub.Hub
	address string
	url     string
	client  *http.Client
}

// newSite serves HTTP/1.1 in the clear.
func newSite(t *testing.T) *site {
	t.Helper()
	return start(t, func(server *httptest.Server) {
		server.Listener = wire.Listener{Listener: server.Listener}
		server.Start()
	})
}

// newSiteOverTLS serves HTTP/2.
func newSiteOverTLS(t *testing.T) *site {
	t.Helper()
	return start(t, func(server *httptest.Server) {
		server.EnableHTTP2 = true
		server.StartTLS()
	})
}

func start(t *testing.T, begin func(*httptest.Server)) *site {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	env := &showcase.Env{Logger: quiet, Accept: websocket.AcceptOptions{Options: websocket.Options{Logger: quiet}}}
	s, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	var sockets []showcase.Socket
	s.Register(mux, func(path string, socket showcase.Socket) {
		sockets = append(sockets, socket)
		mux.Handle(path, socket)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnContext = wire.ConnContext
	begin(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for _, socket := range sockets {
			if err := socket.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}
		server.Close()
		s.Close()
		h.Close()
	})
	return &site{t, h, server.Listener.Addr().String(), server.URL, server.Client()}
}

// sink hands over what is delivered.
type sink chan *hub.Message

func (s sink) Deliver(m *hub.Message) bool {
	select {
	case s <- m:
		return true
	default:
		return false
	}
}

func (s sink) End(hub.End) {}

// watch subscribes to a topic and returns what gets its next message, decoded.
func watch[T any](s *site, topic string) (next func() T) {
	s.t.Helper()
	inbox := make(sink, 1000)
	who, err := s.hub.Connect(hub.Connecting{Session: topic, Identity: hub.Identity{User: "~visitor", Anonymous: true}, Sink: inbox})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(who.Close)
	subscribed, err := who.Subscribe(s.t.Context(), topic, hub.SubscribeOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	subscribed.Begin()
	return func() (decoded T) {
		s.t.Helper()
		select {
		case m := <-inbox:
			if err := json.Unmarshal(m.Data, &decoded); err != nil {
				s.t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			s.t.Fatal("nothing was told")
		}
		return decoded
	}
}

// raw is a client that knows every byte that passed.
type raw struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (s *site) dial() *raw {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return &raw{s.t, c, bufio.NewReader(c)}
}

func (r *raw) write(p string) {
	r.t.Helper()
	if _, err := io.WriteString(r.conn, p); err != nil {
		r.t.Fatal(err)
	}
}

// read expects bytes.
func (r *raw) read(want string) {
	r.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r.in, got); err != nil || string(got) != want {
		r.t.Fatalf("the server sent %q, %v; want %q", got[:n], err, want)
	}
}

// head reads up to the empty line.
func (r *raw) head() string {
	r.t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		b, err := r.in.ReadByte()
		if err != nil {
			r.t.Fatalf("%v after %q", err, head.String())
		}
		head.WriteByte(b)
	}
	return head.String()
}

// oddRequest is a handshake as no library writes it: what is recorded must be this, not what a parser made of it.
func oddRequest(query, more string) string {
	return fmt.Sprintf("GET /how/socket?%s HTTP/1.1\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: example.com\r\n"+
		"Upgrade:   websocket  \r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nX-First: 1\r\nx-first: 2\r\n%s\r\n", query, more)
}

// newTee returns a reader of what the client gets, which is copied as it is read, byte by byte so that nothing of what follows is taken.
func newTee(r *raw, to io.Writer) *bufio.Reader {
	return bufio.NewReaderSize(io.TeeReader(oneByOne{r.in}, to), 16)
}

type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }
