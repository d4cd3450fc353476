package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// echo answers each message with itself.
var echo = &HandlerFuncs{OnMessage: func(c *Conn, typ MessageType, p []byte) { _ = c.Send(typ, p) }}

func TestHandlerOrder(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		var mu sync.Mutex
		var events []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, s)
		}
		closed := make(chan struct{})
		server, client := handled(t, w, &HandlerFuncs{
			OnOpen:    func(c *Conn) { note("open"); _ = c.Send(Text, []byte("welcome")) },
			OnMessage: func(_ *Conn, typ MessageType, p []byte) { note(fmt.Sprintf("%v %s", typ, p)) },
			OnClose:   func(_ *Conn, err error) { note(fmt.Sprint("close ", CloseStatus(err))); close(closed) },
		}, nil)
		if _, p := mustRead(t, client); string(p) != "welcome" {
			t.Errorf("%q", p)
		}
		mustWrite(t, client, Text, []byte("1"))
		mustWrite(t, client, Binary, []byte("2"))
		if err := client.Close(within(t), 3000, ""); err != nil {
			t.Error(err)
		}
		<-closed
		if got := strings.Join(events, ", "); got != "open, text 1, binary 2, close 3000" {
			t.Error(got)
		}
		if _, _, err := server.Read(within(t)); !errors.Is(err, errEventStyle) {
			t.Error("Read on a handler's connection:", err)
		}
	})
}

// Large messages are read into place and written from where they lie.
func TestLargeMessages(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		o := &Options{MaxMessage: 8 << 20, Outbox: 16 << 20}
		_, client := handled(t, w, echo, o)
		for _, n := range []int{largeBytes - 1, largeBytes, largeBytes + 1, 1<<20 - 10, 1 << 20, 5<<20 + 3} {
			for _, typ := range []MessageType{Text, Binary} {
				want := bytes.Repeat([]byte("zażółć gęślą jaźń 0123456789"), n/20)[:n]
				if typ == Text {
					want = bytes.ToValidUTF8(want, []byte("?"))
				}
				go func() {
					_ = client.Send(typ, want)
					_ = client.Send(Text, []byte("behind it"))
				}()
				if got, p := mustRead(t, client); got != typ || !bytes.Equal(p, want) {
					t.Fatalf("%v of %d bytes came back as %v of %d", typ, len(want), got, len(p))
				}
				if _, p := mustRead(t, client); string(p) != "behind it" {
					t.Fatalf("%.20q", p)
				}
			}
		}
	})
}

// A peer that reads slowly gets a large answer whole, whatever part of it the
// kernel took at first.
func TestLargeAnswerToSlowReader(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		answer := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
		_, peer := raw(t, w, &HandlerFuncs{OnMessage: func(c *Conn, _ MessageType, _ []byte) {
			for range 3 {
				if err := c.Send(Binary, answer); err != nil {
					t.Error(err)
				}
			}
		}}, &Options{Outbox: 64 << 20})
		if _, err := peer.Write(frameFrom(protocol.OpText, "go")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // so that the kernel's buffers fill
		for range 3 {
			if _, p := readFrame(t, peer); !bytes.Equal(p, answer) {
				t.Fatalf("%d bytes, damaged", len(p))
			}
		}
	})
}

func TestHandlerPanic(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		for _, where := range []string{"open", "message", "close"} {
			t.Run(where, func(t *testing.T) {
				logger, log := logTo()
				boom := func(here string) {
					if here == where {
						panic("boom in " + here)
					}
				}
				closed := make(chan error, 1)
				_, client := handled(t, w, &HandlerFuncs{
					OnOpen:    func(*Conn) { boom("open") },
					OnMessage: func(*Conn, MessageType, []byte) { boom("message") },
					OnClose:   func(_ *Conn, err error) { closed <- err; boom("close") },
				}, &Options{Logger: logger})
				if where != "open" { // what is being written when the server goes may fail before the close frame is read
					_ = client.Send(Text, []byte("x"))
				}
				if where == "close" {
					_ = client.Close(within(t), StatusNormalClosure, "")
					<-closed
					return
				}
				wantStatus(t, waitDone(t, client), StatusInternalError)
				wantStatus(t, <-closed, StatusInternalError)
				if l := log.String(); !strings.Contains(l, "boom in "+where) || !strings.Contains(l, "events_test.go") {
					t.Errorf("log: %s", l)
				}
			})
		}
	})
}

// countingConn counts the writes that reach the network.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestCorking(t *testing.T) {
	counted := &countingConn{}
	server, peer := raw(t, wire{make: func(t testing.TB) (net.Conn, net.Conn) {
		s, c := tcpPair(t)
		counted.Conn = s
		return counted, c
	}}, echo, nil)
	const n = 50
	var batch, want []byte
	for range n {
		batch = append(batch, frameFrom(protocol.OpText, "m")...)
		want = append(want, "\x81\x01m"...)
	}
	peer.Write(batch)
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		h, p := readFrame(t, peer)
		got = append(protocol.AppendHeader(got, h), p...)
	}
	if string(got) != string(want) {
		t.Errorf("%q", got)
	}
	if w := counted.writes.Load(); w > 3 { // the batch may arrive in two reads
		t.Errorf("%d messages left in %d writes", n, w)
	}
	_ = server
}

// What a handler sent leaves while it is still busy.
func TestCorkDoesNotHoldBack(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		release := make(chan struct{})
		_, client := handled(t, w, &HandlerFuncs{OnMessage: func(c *Conn, typ MessageType, p []byte) {
			_ = c.Send(typ, p)
			<-release
		}}, nil)
		mustWrite(t, client, Text, []byte("now"))
		if _, p := mustRead(t, client); string(p) != "now" {
			t.Errorf("%q", p)
		}
		close(release)
	})
}

func TestCloseInsideHandler(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		result := make(chan error, 1)
		_, client := handled(t, w, &HandlerFuncs{OnMessage: func(c *Conn, _ MessageType, _ []byte) {
			result <- c.Close(context.Background(), 4000, "from inside")
		}}, nil)
		mustWrite(t, client, Text, []byte("x"))
		if err := <-result; err != nil {
			t.Error(err)
		}
		wantStatus(t, waitDone(t, client), 4000)
	})
}

func TestCloseInsideOpen(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		start := time.Now()
		_, client := handled(t, w, &HandlerFuncs{OnOpen: func(c *Conn) {
			_ = c.Send(Text, []byte("not today"))
			if err := c.Close(context.Background(), 4003, "closed"); err != nil {
				t.Error(err)
			}
		}}, &Options{CloseTimeout: time.Minute})
		if _, p := mustRead(t, client); string(p) != "not today" {
			t.Errorf("%q", p)
		}
		wantStatus(t, waitDone(t, client), 4003)
		if time.Since(start) > 30*time.Second {
			t.Error("Close waited for an answer that its own handler kept away")
		}
	})
}

func TestWriteInsideHandlerWaits(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		const n, size = 40, 32 << 10
		_, client := handled(t, w, &HandlerFuncs{OnMessage: func(c *Conn, _ MessageType, _ []byte) {
			for range n {
				if err := c.Write(context.Background(), Binary, make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
		}}, &Options{Outbox: size})
		mustWrite(t, client, Text, []byte("go"))
		for range n {
			if _, p := mustRead(t, client); len(p) != size {
				t.Fatal(len(p))
			}
		}
	})
}

// settle lets the goroutines of a bubble end after its test: a clock stops with
// the test, and nobody would wake them.
func settle(t *testing.T) { t.Cleanup(func() { time.Sleep(time.Minute) }) }

// pipeInBubble is a pair of connections on a fake clock.
func pipeInBubble(t *testing.T, h Handler, o Options) (*Conn, net.Conn) {
	settle(t)
	o.clock = newWheel()
	return raw(t, wire{make: func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }}, h, &o)
}

// answerPings reads frames and answers pings until the connection ends.
func answerPings(peer net.Conn, pings *atomic.Int64) {
	buf := make([]byte, 4096)
	for {
		n, err := peer.Read(buf)
		if err != nil {
			return
		}
		for wire := buf[:n]; len(wire) > 0; {
			h, n, _ := protocol.ParseHeader(wire)
			if h.Opcode == protocol.OpPing {
				pings.Add(1)
				_, _ = peer.Write(frameFrom(protocol.OpPong, string(wire[n:n+int(h.Length)])))
			}
			wire = wire[n+int(h.Length):]
		}
	}
}

func TestKeepaliveEndsSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server, peer := pipeInBubble(t, nil, Options{PingInterval: 25 * time.Second, PongTimeout: 20 * time.Second})
		if h, _ := readFrame(t, peer); h.Opcode != protocol.OpPing {
			t.Fatal(h)
		}
		if d := time.Since(start); d < 25*time.Second || d > 25200*time.Millisecond {
			t.Errorf("pinged after %v", d)
		}
		<-server.Done()
		wantStatus(t, server.Err(), StatusAbnormalClosure)
		if d := time.Since(start); d < 45*time.Second || d > 45500*time.Millisecond {
			t.Errorf("gave up after %v", d)
		}
		if !strings.Contains(server.Err().Error(), "silent for 20s") {
			t.Error(server.Err())
		}
	})
}

func TestKeepaliveSparesTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, peer := pipeInBubble(t, nil, Options{PingInterval: time.Second, PongTimeout: time.Second})
		var pings atomic.Int64
		go answerPings(peer, &pings)
		time.Sleep(10 * time.Minute)
		if server.Err() != nil || pings.Load() < 250 {
			t.Error(server.Err(), pings.Load())
		}
		// A peer that sends by itself is not pinged.
		before := pings.Load()
		for range 100 {
			_, _ = peer.Write(frameFrom(protocol.OpPong, ""))
			time.Sleep(500 * time.Millisecond)
		}
		if n := pings.Load() - before; n > 1 {
			t.Errorf("%d pings to a peer that was heard", n)
		}
	})
}

// While the program itself does not take messages, the peer's silence is not
// the peer's fault.
func TestKeepaliveDoesNotJudgeWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		server, peer := pipeInBubble(t, &HandlerFuncs{OnMessage: func(*Conn, MessageType, []byte) { <-busy }},
			Options{PingInterval: time.Second, PongTimeout: time.Second})
		var pings atomic.Int64
		_, _ = peer.Write(frameFrom(protocol.OpText, "work"))
		go answerPings(peer, &pings)
		time.Sleep(time.Hour)
		if server.Err() != nil {
			t.Error(server.Err())
		}
		close(busy)
		time.Sleep(time.Minute)
		if server.Err() != nil {
			t.Error(server.Err())
		}
	})
}

func TestKeepaliveOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, _ := pipeInBubble(t, nil, Options{PingInterval: -1})
		time.Sleep(24 * time.Hour)
		if server.Err() != nil {
			t.Error(server.Err())
		}
	})
}

func TestCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, peer := pipeInBubble(t, nil, Options{CloseTimeout: 5 * time.Second})
		var pings atomic.Int64
		go answerPings(peer, &pings) // reads, but never answers a close frame
		start := time.Now()
		err := server.Close(t.Context(), StatusNormalClosure, "")
		wantStatus(t, err, StatusAbnormalClosure)
		if d := time.Since(start); d < 5*time.Second || d > 5200*time.Millisecond {
			t.Errorf("gave up after %v", d)
		}
	})
}

// A wheel that had nothing to do for long still knows what time it is.
func TestWheelAfterIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, peer := pipeInBubble(t, nil, Options{PingInterval: -1, CloseTimeout: 10 * time.Second})
		time.Sleep(time.Hour)
		closed := make(chan error)
		go func() { closed <- server.Close(t.Context(), StatusNormalClosure, "") }()
		readFrame(t, peer)
		time.Sleep(9 * time.Second)
		_, _ = peer.Write(frameFrom(protocol.OpClose, "\x03\xe8"))
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, peer := pipeInBubble(t, nil, Options{WriteTimeout: 30 * time.Second, PingInterval: -1})
		start := time.Now()
		if err := server.Send(Binary, make([]byte, 200<<10)); err != nil {
			t.Fatal(err)
		}
		for range 4 { // a peer that takes some bytes now and then is slow, not dead
			time.Sleep(20 * time.Second)
			_, _ = peer.Read(make([]byte, 30<<10))
		}
		<-server.Done()
		wantStatus(t, server.Err(), StatusAbnormalClosure)
		if d := time.Since(start); d < 100*time.Second || d > 120*time.Second {
			t.Errorf("gave up after %v", d)
		}
		time.Sleep(time.Second)
		if b := server.Buffered(); b != 200<<10+10-120<<10 {
			t.Errorf("%d bytes were not taken", b)
		}
	})
}

func TestMaxLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server, peer := pipeInBubble(t, nil, Options{MaxLifetime: time.Hour, PingInterval: -1})
		h, p := readFrame(t, peer)
		if h.Opcode != protocol.OpClose || string(p) != "\x03\xe9maximum lifetime reached" {
			t.Errorf("%v %q", h, p)
		}
		if d := time.Since(start); d < time.Hour || d > time.Hour+200*time.Millisecond {
			t.Error(d)
		}
		_, _ = peer.Write(frameFrom(protocol.OpClose, "\x03\xe9"))
		<-server.Done()
		wantStatus(t, server.Err(), StatusGoingAway)
	})
}

func TestServerShutdownPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settle(t)
		const n = 100
		s := &Server{Handler: echo, DrainRate: 10, DrainCode: StatusServiceRestart}
		s.Accept.clock = newWheel()
		if err := s.prepare(); err != nil {
			t.Fatal(err)
		}
		for range n {
			a, b := net.Pipe()
			c := wire{}.drive(t, newConn(end(t, a, protocol.Server, s.acceptor.options), s.sink, s.config), a)
			c.server = s
			s.remember(c)
			c.start(nil)
			client := startBlocking(end(t, b, protocol.Client, s.acceptor.options))
			t.Cleanup(func() { wantStatus(t, client.Err(), StatusServiceRestart) })
		}
		start := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("%d connections at 10 a second took %v", n, d)
		}
		if s.Len() != 0 {
			t.Errorf("%d connections left", s.Len())
		}
		synctest.Wait()
	})
}

func TestServer(t *testing.T) {
	limit := &ConnLimit{Total: 3}
	s := &Server{Handler: echo, Accept: AcceptOptions{Limit: limit}, DrainRetry: 2500 * time.Millisecond}
	h := httptest.NewServer(s)
	defer h.Close()
	url := "ws" + strings.TrimPrefix(h.URL, "http")
	var conns []*Conn
	for range 3 {
		c, err := Dial(within(t), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if _, err := Dial(within(t), url, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Error("a fourth of three places:", err)
	}
	for i, c := range conns {
		mustWrite(t, c, Text, []byte{byte('a' + i)})
		if _, p := mustRead(t, c); string(p) != string(rune('a'+i)) {
			t.Errorf("%q", p)
		}
	}
	seen := 0
	s.Range(func(*Conn) bool { seen++; return true })
	if s.Len() != 3 || seen != 3 || limit.Len() != 3 {
		t.Error(s.Len(), seen, limit.Len())
	}
	if err := conns[0].Close(within(t), StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	err := waitDone(t, conns[1])
	wantStatus(t, err, StatusGoingAway)
	if !strings.Contains(err.Error(), "retry-after=2500ms") {
		t.Error(err)
	}
	_, err = Dial(within(t), url, nil)
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 503 || refused.Header.Get("Retry-After") != "3" {
		t.Error("Dial after Shutdown:", err)
	}
	if limit.Len() != 0 {
		t.Errorf("%d places still taken", limit.Len())
	}
}

func TestServerRequest(t *testing.T) {
	for _, keep := range []bool{false, true} {
		var during, after atomic.Value
		s := &Server{KeepRequest: keep, Handler: &HandlerFuncs{
			OnOpen:    func(c *Conn) { during.Store(c.Request().URL.Query().Get("name")) },
			OnMessage: func(c *Conn, typ MessageType, p []byte) { after.Store(c.Request() != nil); _ = c.Send(typ, p) },
		}}
		h := httptest.NewServer(s)
		c, err := Dial(within(t), "ws"+strings.TrimPrefix(h.URL, "http")+"?name=ann", nil)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, c, Text, nil)
		mustRead(t, c)
		if during.Load() != "ann" || after.Load() != keep {
			t.Error(during.Load(), after.Load())
		}
		c.CloseNow()
		h.Close()
	}
}

func TestServerOwnListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serverTLS, clientTLS := selfSigned(t, "127.0.0.1")
	s := &Server{Handler: echo, TLSConfig: serverTLS}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- s.Serve(ctx, l) }()
	c, err := Dial(within(t), "wss://"+l.Addr().String(), &DialOptions{TLS: clientTLS})
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, c, Text, []byte("over TLS"))
	if _, p := mustRead(t, c); string(p) != "over TLS" {
		t.Errorf("%q", p)
	}
	cancel()
	wantStatus(t, waitDone(t, c), StatusGoingAway)
	if err := <-result; !errors.Is(err, ErrServerClosed) {
		t.Error(err)
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s = &Server{Handler: echo}
	go func() { result <- s.Serve(context.Background(), l) }()
	if c, err = Dial(within(t), "ws://"+l.Addr().String(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	wantStatus(t, waitDone(t, c), StatusGoingAway)
	if err := <-result; !errors.Is(err, ErrServerClosed) {
		t.Error("Serve after Shutdown:", err)
	}
	if err := (&Server{}).Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "Handler") {
		t.Error(err)
	}
}

// ws CVE-2026-45736: closing leaked. Here nothing is left of connections that
// ended in every way: no goroutine, no place in the registry or the wheel.
func TestCVE202645736CloseLeaksNothing(t *testing.T) {
	s := &Server{Handler: echo}
	h := httptest.NewServer(s)
	defer h.Close()
	url := "ws" + strings.TrimPrefix(h.URL, "http")
	before := runtime.NumGoroutine()
	for i := range 300 {
		c, err := Dial(within(t), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, c, Text, nil)
		mustRead(t, c) // now the server has the connection in its registry
		switch i % 4 {
		case 0:
			_ = c.Close(within(t), StatusNormalClosure, "")
		case 1:
			_ = c.CloseNow()
		case 2:
			c.driver.cut()
		case 3:
			s.Range(func(c *Conn) bool { _ = c.CloseNow(); return true })
		}
		<-c.Done()
	}
	inWheel := func() int {
		defaultWheel.mu.Lock()
		defer defaultWheel.mu.Unlock()
		return defaultWheel.conns
	}
	deadline := time.Now().Add(10 * time.Second)
	for s.Len() > 0 || inWheel() > 0 || runtime.NumGoroutine() > before+10 {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d connections, %d in the wheel, %d goroutines (%d before):\n%s", s.Len(), inWheel(), runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// nhooyr PRISMA-2021-0118: a second pong to one ping panicked.
func TestPRISMA20210118DuplicatePongs(t *testing.T) {
	server, peer := raw(t, wires[0], nil, nil)
	done := make(chan error)
	go func() { done <- server.Ping(within(t)) }()
	_, payload := readFrame(t, peer)
	for range 3 {
		peer.Write(frameFrom(protocol.OpPong, string(payload)))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	peer.Write(frameFrom(protocol.OpText, "alive"))
	if _, p := mustRead(t, server); string(p) != "alive" {
		t.Error("the connection died of a second pong")
	}
}

// The slow reader of a broadcast harms nobody else.
func TestSlowReaderHarmsNobody(t *testing.T) {
	s := &Server{Accept: AcceptOptions{Options: Options{Outbox: 128 << 10, Overflow: OverflowDrop}}}
	s.Handler = &HandlerFuncs{OnMessage: func(_ *Conn, typ MessageType, p []byte) {
		m := NewPrepared(typ, p)
		s.Range(func(c *Conn) bool { _ = c.SendPrepared(m); return true })
	}}
	h := httptest.NewServer(s)
	defer h.Close()
	url := "ws" + strings.TrimPrefix(h.URL, "http")
	var fast []*Conn
	for range 5 {
		c, err := Dial(within(t), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		fast = append(fast, c)
	}
	slow, err := Dial(within(t), url, &DialOptions{Options: Options{ReadAhead: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.CloseNow()
	const n, size = 400, 32 << 10
	for i := range n {
		message := make([]byte, size)
		message[0], message[1] = byte(i), byte(i>>8)
		mustWrite(t, fast[0], Binary, message)
		for _, c := range fast {
			if _, p := mustRead(t, c); len(p) != size || p[0] != byte(i) || p[1] != byte(i>>8) {
				t.Fatalf("message %d did not arrive in order", i)
			}
		}
	}
	dropped := uint64(0)
	s.Range(func(c *Conn) bool {
		dropped += c.Dropped()
		if b := c.Buffered(); b > 128<<10 {
			t.Errorf("%d bytes wait for one connection", b)
		}
		return true
	})
	if dropped == 0 {
		t.Error("the slow reader took 12 MiB without reading")
	}
}
