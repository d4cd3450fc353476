package webapi

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// quiet is for tests whose listeners panic on purpose.
var quiet = slog.New(slog.DiscardHandler)

// accepting returns a handler that accepts and hands the connection to serve.
func accepting(t *testing.T, o *websocket.AcceptOptions, serve func(c *websocket.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, o)
		if err != nil {
			t.Errorf("the server cannot accept: %v", err)
			return
		}
		serve(c)
	})
}

// startServer serves on loopback and returns the URL.
func startServer(t *testing.T, serve func(c *websocket.Conn)) string {
	t.Helper()
	return startHandler(t, accepting(t, nil, serve))
}

func startHandler(t *testing.T, h http.Handler) string {
	t.Helper()
	var serving sync.WaitGroup // httptest does not wait for upgraded connections
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// echo answers every message with itself until the connection ends.
func echo(c *websocket.Conn) {
	for {
		typ, p, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if c.Write(context.Background(), typ, p) != nil {
			return
		}
	}
}

// untilClosed waits for the client to end the connection and returns how.
func untilClosed(c *websocket.Conn) error {
	for {
		if _, _, err := c.Read(context.Background()); err != nil {
			return err
		}
	}
}

// say sends text messages.
func say(t *testing.T, c *websocket.Conn, messages ...string) {
	for _, m := range messages {
		if err := c.Write(context.Background(), websocket.Text, []byte(m)); err != nil {
			t.Errorf("the server cannot write: %v", err)
		}
	}
}

// journal records the events of a socket as short texts.
type journal struct {
	mu   sync.Mutex
	list []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, fmt.Sprintf(format, args...))
}

func (j *journal) entries() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.list)
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if got := j.entries(); !slices.Equal(got, want) {
		t.Errorf("events are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// describe is an event as the journal has it.
func describe(e Event) string {
	switch e := e.(type) {
	case *OpenEvent:
		return "open"
	case *MessageEvent:
		switch data := e.Data.(type) {
		case Blob:
			return "blob " + data.Text()
		case []byte:
			return "bytes " + string(data)
		default:
			return fmt.Sprint("text ", data)
		}
	case *ErrorEvent:
		return "error"
	case *CloseEvent:
		return fmt.Sprintf("close %d %q %v", uint16(e.Code), e.Reason, e.WasClean)
	case *StateEvent:
		return fmt.Sprintf("%v -> %v", e.Previous, e.State)
	}
	return "unknown"
}

// record writes all events of a target into a journal.
func record(target interface {
	AddEventListener(string, *Listener, ...ListenerOptions)
}) *journal {
	j := &journal{}
	l := NewListener(func(e Event) { j.add("%s", describe(e)) })
	for _, typ := range []string{TypeOpen, TypeMessage, TypeError, TypeClose, TypeStateChange} {
		target.AddEventListener(typ, l)
	}
	return j
}

// pipeNet is a network of pipes with one server, for tests in a bubble of
// testing/synctest. dial counts and may be made to fail.
type pipeNet struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	down  bool
	dials int
}

var errNetworkDown = errors.New("the network is down")

// startPipeNet serves h over pipes until the test ends. It is called in the bubble.
func startPipeNet(t *testing.T, h http.Handler) *pipeNet {
	n := &pipeNet{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(n) // ends with the listener
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		// The library's watchers end by themselves when there are no connections,
		// but only as long as the bubble's clock runs.
		time.Sleep(time.Second)
	})
	return n
}

func (n *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *pipeNet) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n *pipeNet) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:1" }

// addressed is a pipe with an address that net/http can show.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return pipeAddr{} }

func (n *pipeNet) setDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

func (n *pipeNet) dialed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

func (n *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, errNetworkDown
	}
	client, server := net.Pipe()
	select {
	case n.conns <- addressed{server}:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// options are those of a socket on this network, without keepalive so that the
// bubble's clock can jump.
func (n *pipeNet) options() Options {
	o := Options{Dial: websocket.DialOptions{DialContext: n.dial}}
	o.Dial.PingInterval = -1
	return o
}

// hold answers nothing until the client goes away.
func hold(conn net.Conn) { io.Copy(io.Discard, conn) }

// acceptKey answers a key, for servers of literal bytes (RFC 6455, section 1.3).
func acceptKey(key string) (string, error) {
	if len(key) != 24 {
		return "", fmt.Errorf("key %q is not 16 bytes in base64", key)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// runner is a WebSocket or a Reconnecting.
type runner interface {
	Socket
	Done() <-chan struct{}
	run()
}

// launch starts a socket whose listeners are registered, and ends it with the test.
func launch(t *testing.T, s runner) {
	go s.run()
	t.Cleanup(func() {
		s.Close(0, "")
		<-s.Done()
	})
}
