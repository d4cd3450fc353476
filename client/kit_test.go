package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// pipeNet is a network of pipes with one server, for tests in a bubble of testing/synctest.
type pipeNet struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	down bool
}

var errNetworkDown = errors.New("the network is down")

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

func (n *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
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

// script is a server whose n-th connection is served by the n-th function; the last one serves all that follow.
type script struct {
	t   *testing.T
	net *pipeNet

	mu    sync.Mutex
	steps []http.HandlerFunc
}

// bubble runs a test with a fake clock and a server. The client under test is closed by close, or with the test.
func bubble(t *testing.T, test func(t *testing.T, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, net: &pipeNet{conns: make(chan net.Conn), closed: make(chan struct{})}}
		server := &http.Server{Handler: s}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(s.net) // ends with the listener
		}()
		t.Cleanup(func() {
			server.Close()
			<-done
			// The library's watchers end by themselves when there are no connections, but only as long as the bubble's clock runs.
			time.Sleep(time.Second)
		})
		test(t, s)
	})
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if len(s.steps) == 0 {
		s.mu.Unlock()
		s.t.Error("a connection that the test does not expect")
		return
	}
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.mu.Unlock()
	step(w, r)
}

// plays sets what the server does on each connection; serve functions that return leave the connection open until the client goes.
func (s *script) plays(steps ...any) *script {
	for _, step := range steps {
		switch step := step.(type) {
		case func(*peer):
			s.steps = append(s.steps, func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Options: websocket.Options{Subprotocols: []string{subprotocol}, PingInterval: -1}})
				if err != nil {
					s.t.Errorf("the server cannot accept: %v", err)
					return
				}
				p := &peer{t: s.t, conn: conn}
				defer conn.CloseNow()
				step(p)
				p.drain()
			})
		case http.HandlerFunc:
			s.steps = append(s.steps, step)
		default:
			panic(fmt.Sprintf("%T is no step", step))
		}
	}
	return s
}

// options are those of a client in the bubble: no keepalive, so that its clock can jump.
func (s *script) options(o Options) *Options {
	o.Dial.DialContext = s.net.dial
	o.Dial.PingInterval = -1
	return &o
}

// dial connects a client whose jitter is the whole of the ceiling.
func (s *script) dial(o Options) *Client {
	s.t.Helper()
	c, err := newClient("ws://h/ws", s.options(o))
	if err != nil {
		s.t.Fatal(err)
	}
	c.random = func() float64 { return 1 }
	go c.run()
	s.t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// peer is the server's side of one connection. Its methods are called by one goroutine.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

// ask reads the next command and compares the fields that want has; "id" is not compared, and "?" stands for any string.
func (p *peer) ask(want string) command {
	p.t.Helper()
	_, b, err := p.conn.Read(context.Background())
	if err != nil {
		p.t.Errorf("the connection ended with %v instead of the command %s", err, want)
		return command{}
	}
	var cmd command
	var g, w map[string]any
	if err := errors.Join(json.Unmarshal(b, &g), json.Unmarshal(b, &cmd), json.Unmarshal([]byte(want), &w)); err != nil {
		p.t.Errorf("%s, %s: %v", b, want, err)
	}
	delete(g, "id")
	for k, v := range w {
		if _, there := g[k]; there && v == "?" {
			g[k] = "?"
		}
	}
	if !reflect.DeepEqual(g, w) {
		p.t.Errorf("the client sent %s, not %s", b, want)
	}
	return cmd
}

// say sends frames. "ID" in a frame stands for the id of cmd.
func (p *peer) say(frames ...string) {
	p.t.Helper()
	for _, f := range frames {
		if err := p.conn.Write(context.Background(), websocket.Text, []byte(f)); err != nil {
			p.t.Errorf("the server cannot send %s: %v", f, err)
		}
	}
}

// reply answers a command; fields go behind the id.
func (p *peer) reply(cmd command, fields string) {
	p.t.Helper()
	if fields != "" {
		fields = "," + fields
	}
	p.say(fmt.Sprintf(`{"type":"reply","id":%d%s}`, cmd.ID, fields))
}

// refuse answers a command with an error.
func (p *peer) refuse(cmd command, code string, retry int) {
	p.t.Helper()
	p.say(fmt.Sprintf(`{"type":"error","id":%d,"code":%q,"message":"no","retry":%d}`, cmd.ID, code, retry))
}

const hello = `"session":"s1","user":"ann","resume":"r1","ping":25000,"time":1000,"limits":{"frame":1048576,"subscriptions":1000}`

// greet expects connect as want and answers it.
func (p *peer) greet(want string) {
	p.t.Helper()
	p.reply(p.ask(want), hello)
}

// cut loses the connection when the client has seen what was sent.
func (p *peer) cut() {
	synctest.Wait()
	p.conn.CloseNow()
}

// close ends the connection with a close frame.
func (p *peer) close(code websocket.StatusCode, reason string) {
	_ = p.conn.Close(context.Background(), code, reason)
}

// drain waits until the client goes.
func (p *peer) drain() {
	for {
		if _, b, err := p.conn.Read(context.Background()); err != nil {
			return
		} else if p.conn.Err() == nil {
			p.t.Errorf("a command that the test does not expect: %s", b)
		}
	}
}

// statuses records what OnStatus is told.
type statuses struct {
	mu   sync.Mutex
	list []Status
}

func (r *statuses) add(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, s)
}

// waits returns the delays.
func (r *statuses) waits() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []time.Duration
	for _, s := range r.list {
		if s.State == Waiting {
			found = append(found, s.Delay)
		}
	}
	return found
}

func (r *statuses) states() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []State
	for _, s := range r.list {
		found = append(found, s.State)
	}
	return found
}

// next returns the next event as a short text.
func next(t *testing.T, s *Subscription) string {
	t.Helper()
	e, err := s.Next(t.Context())
	if err != nil {
		return "end: " + err.Error()
	}
	return describe(e)
}

func describe(e Event) string {
	switch e := e.(type) {
	case *Message:
		return fmt.Sprintf("message %s %s/%d %s", e.Topic, e.Position.Epoch, e.Position.Offset, e.Data)
	case *Join:
		return fmt.Sprintf("join %s %s", e.User.Name, e.User.Info)
	case *Leave:
		return "leave " + e.User.Name
	case *Gap:
		return fmt.Sprintf("gap %s %s/%d to %s/%d", e.Reason, e.Since.Epoch, e.Since.Offset, e.Until.Epoch, e.Until.Offset)
	case *Resubscribed:
		return fmt.Sprintf("resubscribed %v %s/%d", e.Recovered, e.Position.Epoch, e.Position.Offset)
	}
	return "unknown"
}

func wantEvents(t *testing.T, s *Subscription, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, next(t, s))
	}
	if !slices.Equal(got, want) {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func message(topic string, offset int, data string) string {
	return fmt.Sprintf(`{"type":"message","topic":%q,"offset":%d,"time":5,"data":%s}`, topic, offset, data)
}

func isCode(t *testing.T, err error, code Code) {
	t.Helper()
	if !errors.Is(err, &Error{Code: code}) {
		t.Errorf("the error is %v, want code %s", err, code)
	}
}
