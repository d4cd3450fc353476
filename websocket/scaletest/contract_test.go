package scaletest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// These tests hold every driver to the documentation of websocket.Handler. Server
// and clients share a process, so that the race detector sees both.

// host is a Server in this process.
type host struct {
	t      *testing.T
	v      Variant
	server *websocket.Server
	addr   string
	log    syncBuffer
}

// here starts a Server in this process until the test ends.
func here(t *testing.T, v Variant, h websocket.Handler, o websocket.Options) *host {
	t.Helper()
	s := &host{t: t, v: v}
	o.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	s.server = &websocket.Server{Handler: h, Accept: websocket.AcceptOptions{Options: o}}
	at, err := v.open(s.server, http.HandlerFunc(page))
	if err != nil {
		t.Fatal(err)
	}
	s.addr = at.addr
	t.Cleanup(func() {
		if err := at.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *host) dial() *peer {
	s.t.Helper()
	p, err := dialPeer(s.addr, s.v.TLS)
	s.must(err)
	s.t.Cleanup(p.end)
	return p
}

func (s *host) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// await waits for what a handler sends.
func await[T any](t *testing.T, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("not seen within %v: %s", patience, what)
	}
	return v
}

// everyVariant runs a test for each way to come to be, TLS included.
func everyVariant(t *testing.T, run func(t *testing.T, v Variant)) {
	for _, v := range everyWay {
		t.Run(v.String(), func(t *testing.T) { run(t, v) })
	}
}

// life is what a handler saw of a connection. It has no lock: the events of a
// connection must come one after the other, and the race detector watches.
type life struct {
	opened, closed int
	got            []string
	wrong          string
	busy           atomic.Int32 // for where there is no race detector
}

type lifeKey struct{}

func (l *life) enter(what string) func() {
	if n := l.busy.Add(1); n > 1 {
		l.wrong = fmt.Sprintf("%s while another method ran", what)
	}
	return func() { l.busy.Add(-1) }
}

// ending is how a life shows its end.
func ending(code websocket.StatusCode) string { return fmt.Sprint("end ", uint16(code)) }

// lives is a handler that keeps the lives of all connections.
type lives struct {
	message func(c *websocket.Conn, p []byte)
	ended   chan *life
}

func (h *lives) Open(c *websocket.Conn) {
	l := &life{opened: 1}
	defer l.enter("Open")()
	c.SetAttribute(lifeKey{}, l)
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // messages are waiting already
}

func (h *lives) Message(c *websocket.Conn, _ websocket.MessageType, p []byte) {
	l := c.Attribute(lifeKey{}).(*life)
	defer l.enter("Message")()
	if l.closed > 0 {
		l.wrong = "Message behind Close"
	}
	l.got = append(l.got, string(p))
	h.message(c, p)
}

func (h *lives) Close(c *websocket.Conn, err error) {
	l := c.Attribute(lifeKey{}).(*life)
	defer l.enter("Close")()
	l.closed++
	l.got = append(l.got, ending(websocket.CloseStatus(err)))
	if l.closed > 1 {
		l.wrong = "two calls of Close"
		return
	}
	h.ended <- l
}

// Open, each message in its order, Close: one at a time, whatever the split of the
// bytes and however long each takes, and all that came before the end.
func TestContractOrder(t *testing.T) {
	const connections, messages = 30, 60
	everyVariant(t, func(t *testing.T, v Variant) {
		h := &lives{ended: make(chan *life, connections)}
		h.message = func(c *websocket.Conn, p []byte) {
			if p[0]%8 == 0 {
				time.Sleep(time.Duration(p[0]) * 20 * time.Microsecond) // up to 5 ms
			}
		}
		s := here(t, v, h, websocket.Options{})
		s.must(inParallel(connections, func(i int) error {
			p, err := connect(s.addr, v.TLS)
			if err != nil {
				return err
			}
			defer p.end()
			return p.tell(int64(i), messages)
		}))
		want := make([]string, messages)
		for i := range messages {
			want[i] = string(order(i))
		}
		for range connections {
			l := await(t, "Close", h.ended)
			if l.wrong != "" {
				t.Error(l.wrong)
			}
			// The last message says how the connection will end.
			n := len(l.got)
			if n != messages+2 || strings.Join(l.got[:messages], ",") != strings.Join(want, ",") || l.got[n-1] != l.got[n-2] {
				t.Errorf("events %q, want %q and how it ends twice", l.got, want)
			}
		}
	})
}

// order is a message of TestContractOrder.
func order(i int) []byte { return fmt.Appendf(nil, "%c%d", i, i) }

// tell sends the handshake, messages and an end in random pieces, without
// waiting for anything.
func (p *peer) tell(seed int64, messages int) error {
	raw := []byte(upgrade)
	for i := range messages {
		raw = append(raw, frame(protocol.OpText, order(i))...)
	}
	end := [][]byte{frame(protocol.OpClose, closing(3000)), {0x83, 0} /* a reserved opcode */, nil}[seed%3]
	code := [...]websocket.StatusCode{3000, websocket.StatusProtocolError, websocket.StatusAbnormalClosure}[seed%3]
	raw = append(append(raw, frame(protocol.OpText, []byte(ending(code)))...), end...)
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	for len(raw) > 0 {
		n := min(len(raw), 1+random.IntN(200))
		if seed%5 == 0 {
			n = len(raw)
		}
		if _, err := p.nc.Write(raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	if end == nil {
		if err := p.halfEnd(); err != nil {
			return err
		}
	}
	if err := p.upgraded(); err != nil {
		return err
	}
	for {
		if _, _, err := p.read(); err != nil {
			return nil // the server has ended it; how, the handler knows
		}
	}
}

// A panic ends its connection with 1011 and no other, and the log says where.
func TestContractPanic(t *testing.T) {
	everyVariant(t, func(t *testing.T, v Variant) {
		for _, where := range []string{"Open", "Message", "Close"} {
			t.Run(where, func(t *testing.T) { contractPanic(t, v, where) })
		}
	})
}

func contractPanic(t *testing.T, v Variant, where string) {
	var armed atomic.Bool
	boom := func(here string) {
		if armed.Load() && here == where {
			panic("boom in " + here)
		}
	}
	ends := make(chan error, 100)
	s := here(t, v, &websocket.HandlerFuncs{
		OnOpen: func(*websocket.Conn) { boom("Open") },
		OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
			if p[0] == doSleep {
				time.Sleep(5 * time.Millisecond) // so that a loop has gone on without it
			}
			if p[0] != doEcho {
				boom("Message")
			}
			_ = c.Send(typ, p)
		},
		OnClose: func(_ *websocket.Conn, err error) { ends <- err; boom("Close") },
	}, websocket.Options{})
	witnesses := make([]*peer, 10)
	for i := range witnesses {
		witnesses[i] = s.dial()
		s.must(witnesses[i].echo(numberedEcho(i))) // Open has returned
	}
	for round, order := range []byte{doWait, doSleep} { // at once, and after a while
		armed.Store(true)
		victim := s.dial()
		code := protocol.StatusInternalError
		switch where {
		case "Message":
			s.must(victim.write([]byte{order}))
		case "Close":
			code = 3000
			_, err := victim.nc.Write(frame(protocol.OpClose, closing(code)))
			s.must(err)
		}
		op, payload, err := victim.read()
		s.must(err)
		if op != protocol.OpClose || !bytes.HasPrefix(payload, closing(code)) {
			t.Errorf("%v %q instead of a close frame with %d", op, payload, code)
		}
		if where == "Open" { // then the server waits for an answer
			_, err := victim.nc.Write(frame(protocol.OpClose, closing(code)))
			s.must(err)
		}
		armed.Store(where == "Close") // whose panic comes behind the close frame
		s.must(victim.ended())
		victim.end()
		if end := await(t, "Close", ends); websocket.CloseStatus(end) != code {
			t.Errorf("Close was called with %v", end)
		}
		for i, p := range witnesses {
			s.must(p.echo(numberedEcho(round*100 + i)))
		}
		for limit := time.Now().Add(patience); strings.Count(s.log.String(), "boom in "+where) <= round; {
			if time.Now().After(limit) {
				t.Fatalf("the panic is not in the log: %s", s.log.String())
			}
			time.Sleep(time.Millisecond)
		}
		armed.Store(false)
	}
	if log := s.log.String(); strings.Count(log, "contract_test.go") < 2 || strings.Count(log, "panicked") != 2 {
		t.Errorf("the log does not show two panics with their stacks: %s", log)
	}
}

// A message stays as it is while its handler runs, whatever comes behind it and for
// others.
func TestContractMessageIsNotOverwritten(t *testing.T) {
	everyVariant(t, func(t *testing.T, v Variant) {
		gate := make(chan struct{})
		entered := make(chan struct{}, 100)
		s := here(t, v, &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
			before := bytes.Clone(p)
			if number(p) == 0 {
				entered <- struct{}{}
				<-gate
			}
			if !bytes.Equal(p, before) {
				t.Errorf("a message of %d bytes changed while its handler ran", len(p))
			}
			_ = c.Write(context.Background(), typ, p)
		}}, websocket.Options{})
		sizes := []int{4, 60, 125, 126, 4000, 20_000, 66_000, 200_000, 1_000_000}
		var peers []*peer
		for _, size := range sizes {
			p := s.dial()
			peers = append(peers, p)
			s.must(p.write(numbered(0, size)))
		}
		for range peers {
			await(t, "a message", entered)
		}
		var writing sync.WaitGroup
		for i, p := range peers {
			writing.Go(func() { // the network need not take all of it yet
				for j := range 3 {
					if err := p.write(numbered(j+1, sizes[i])); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range 50 { // others use the same buffers
			p := s.dial()
			s.must(p.echo(numbered(i+1, 10_000)))
		}
		close(gate)
		s.must(inParallel(len(peers), func(i int) error {
			for j := range 4 {
				if err := peers[i].expect(numbered(j, sizes[i])); err != nil {
					return err
				}
			}
			return nil
		}))
		writing.Wait()
	})
}

// Many goroutines send to connections that come, go and are being handled. Every
// frame arrives whole, and those of one sender in order.
func TestContractConcurrentSends(t *testing.T) {
	everyVariant(t, func(t *testing.T, v Variant) {
		s := here(t, v, &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
			_ = c.Write(context.Background(), typ, p)
		}}, websocket.Options{Overflow: websocket.OverflowDrop, Outbox: 256 << 10})
		const fromEcho = 100 // the sender's number in an echo
		ctx, stop := context.WithCancel(context.Background())
		var senders sync.WaitGroup
		defer senders.Wait()
		defer stop()
		for id := range 6 {
			senders.Go(func() {
				for seq := 0; ctx.Err() == nil; seq++ {
					s.sendToAll(ctx, id, seq)
					time.Sleep(time.Millisecond)
				}
			})
		}
		s.must(inParallel(24, func(i int) error {
			if i%3 == 0 {
				return s.comeAndGo(20)
			}
			p, err := dialPeer(s.addr, v.TLS)
			if err != nil {
				return err
			}
			defer p.end()
			last := map[byte]int{}
			for n := 1; n <= 50; n++ {
				p.waitFor(patience)
				if err := p.write(append([]byte{fromEcho}, numbered(n, 4+n%50)...)); err != nil {
					return err
				}
				for last[fromEcho] < n {
					if err := p.inOrder(last); err != nil {
						return err
					}
				}
			}
			for len(last) < 7 { // until every sender was heard
				if err := p.inOrder(last); err != nil {
					return err
				}
			}
			return nil
		}))
	})
}

// inOrder reads a message, which must be behind the last one of its sender.
func (p *peer) inOrder(last map[byte]int) error {
	m, err := p.message()
	if err != nil {
		return err
	}
	who, seq := m[0], number(m[1:])
	if before, known := last[who]; known && seq <= before || !bytes.Equal(m[1:], numbered(seq, len(m)-1)) {
		return fmt.Errorf("message %d of sender %d behind %d", seq, who, before)
	}
	last[who] = seq
	return nil
}

// sendToAll sends a message to every connection in one of the ways there are.
func (s *host) sendToAll(ctx context.Context, id, seq int) {
	p := append([]byte{byte(id)}, numbered(seq, 4+seq%300)...)
	prepared := websocket.NewPrepared(websocket.Binary, p)
	s.server.Range(func(c *websocket.Conn) bool {
		switch id % 3 { // an error says that the connection is over, or full
		case 0:
			_ = c.Send(websocket.Binary, p)
		case 1:
			_ = c.SendPrepared(prepared)
		case 2:
			_ = c.Write(ctx, websocket.Binary, p)
		}
		return true
	})
}

// comeAndGo opens connections and ends them in the middle of something.
func (s *host) comeAndGo(n int) error {
	for i := range n {
		p, err := dialPeer(s.addr, s.v.TLS)
		if err != nil {
			return err
		}
		if err := p.write([]byte("hello")); err != nil && !isReset(err) {
			return err
		}
		if i%2 == 0 {
			p.end()
		} else {
			p.reset()
		}
	}
	return nil
}

// However a connection is ended while its handler runs, Close is called once, and
// behind Message.
func TestContractEndWhileHandlerRuns(t *testing.T) {
	ends := []struct {
		name string
		end  func(s *host, c *websocket.Conn, p *peer) error
		want protocol.StatusCode
	}{
		{"CloseNow", func(_ *host, c *websocket.Conn, _ *peer) error { return c.CloseNow() }, websocket.StatusAbnormalClosure},
		{"reset", func(_ *host, _ *websocket.Conn, p *peer) error { p.reset(); return nil }, websocket.StatusAbnormalClosure},
		{"close frame", func(_ *host, _ *websocket.Conn, p *peer) error {
			_, err := p.nc.Write(frame(protocol.OpClose, closing(3000)))
			return err
		}, 3000},
		{"Close", func(_ *host, c *websocket.Conn, p *peer) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // send the close frame and do not wait
			_ = c.Close(ctx, 3001, "")
			_, err := p.leave(3001)
			return err
		}, 3001},
	}
	everyVariant(t, func(t *testing.T, v Variant) {
		for _, e := range ends {
			t.Run(e.name, func(t *testing.T) {
				h := &lives{ended: make(chan *life, 1)}
				gate, entered := make(chan struct{}), make(chan *websocket.Conn, 1)
				h.message = func(c *websocket.Conn, p []byte) { entered <- c; <-gate }
				s := here(t, v, h, websocket.Options{CloseTimeout: 2 * time.Second})
				p := s.dial()
				s.must(p.write([]byte("stay")))
				c := await(t, "Message", entered)
				result := make(chan error, 1)
				go func() { result <- e.end(s, c, p) }()
				if e.name != "Close" { // whose peer waits for the server's end of TCP
					s.must(await(t, "the end", result))
				}
				select {
				case <-h.ended:
					t.Error("Close was called while Message ran")
				case <-time.After(10 * time.Millisecond):
				}
				close(gate)
				l := await(t, "Close", h.ended)
				if want := "stay," + ending(e.want); l.wrong != "" || strings.Join(l.got, ",") != want {
					t.Errorf("%q, %q; want %q", l.got, l.wrong, want)
				}
				if e.name == "Close" {
					s.must(await(t, "the end", result))
				}
				for limit := time.Now().Add(patience); s.server.Len() > 0; time.Sleep(time.Millisecond) {
					if e.name == "close frame" {
						p.end()
					}
					if time.Now().After(limit) {
						t.Fatal("the connection stays in the registry")
					}
				}
			})
		}
	})
}
