package websocket

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop/looptest"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// What the wheel does for connections that have a seat in an event loop, on fake
// time. The goroutine driver's tests of the same are in events_test.go.

// lasted checks that something took as long as it should, on the wheel's scale.
func lasted(t *testing.T, what string, since time.Time, want time.Duration) {
	t.Helper()
	if d := time.Since(since); d < want-wheelTick || d > want+500*time.Millisecond {
		t.Errorf("%s after %v, not %v", what, d, want)
	}
}

func TestSeatedKeepaliveEndsSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, peer := seatedInBubble(t, echo, Options{PingInterval: 25 * time.Second, PongTimeout: 20 * time.Second})
		start := time.Now()
		if h, _ := readFrame(t, peer); h.Opcode != protocol.OpPing {
			t.Fatal(h)
		}
		lasted(t, "pinged", start, 25*time.Second)
		<-c.Done()
		lasted(t, "gave up", start, 45*time.Second)
		wantStatus(t, c.Err(), StatusAbnormalClosure)
		if !strings.Contains(c.Err().Error(), "silent for 20s") {
			t.Error(c.Err())
		}
		synctest.Wait()
		r.wantNothingLeft(c)
	})
}

func TestSeatedKeepaliveSparesTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, peer := seatedInBubble(t, echo, Options{PingInterval: time.Second, PongTimeout: time.Second})
		var pings atomic.Int64
		go answerPings(peer, &pings)
		time.Sleep(10 * time.Minute)
		if c.Err() != nil || pings.Load() < 250 {
			t.Error(c.Err(), pings.Load())
		}
		before := pings.Load()
		for range 100 { // a peer that sends by itself is not pinged
			_, _ = peer.Write(frameFrom(protocol.OpPong, ""))
			time.Sleep(500 * time.Millisecond)
		}
		if n := pings.Load() - before; n > 1 {
			t.Errorf("%d pings to a peer that was heard", n)
		}
	})
}

// While a handler blocks, nothing is read, and the peer's silence is not its fault.
func TestSeatedKeepaliveDoesNotJudgeWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		_, c, peer := seatedInBubble(t, &HandlerFuncs{OnMessage: func(*Conn, MessageType, []byte) { <-busy }},
			Options{PingInterval: time.Second, PongTimeout: time.Second})
		var pings atomic.Int64
		_, _ = peer.Write(frameFrom(protocol.OpText, "work"))
		go answerPings(peer, &pings)
		time.Sleep(time.Hour)
		if c.Err() != nil {
			t.Error(c.Err())
		}
		close(busy)
		time.Sleep(time.Minute)
		if c.Err() != nil || pings.Load() == 0 {
			t.Error(c.Err(), pings.Load())
		}
		synctest.Wait() // a pong may just be worked on
		if c.seat.Away() {
			t.Error("it did not come back")
		}
	})
}

func TestSeatedCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, peer := seatedInBubble(t, echo, Options{CloseTimeout: 5 * time.Second})
		var pings atomic.Int64
		go answerPings(peer, &pings) // reads, but never answers a close frame
		start := time.Now()
		wantStatus(t, c.Close(t.Context(), StatusNormalClosure, ""), StatusAbnormalClosure)
		lasted(t, "gave up", start, 5*time.Second)
		synctest.Wait()
		r.wantNothingLeft(c)
	})
}

// A peer that has closed but does not end TCP is waited for that long too.
func TestSeatedLingerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, peer := seatedInBubble(t, echo, Options{CloseTimeout: 5 * time.Second})
		start := time.Now()
		_, _ = peer.Write(frameFrom(protocol.OpClose, "\x03\xe8"))
		<-c.Done()
		wantStatus(t, c.Err(), StatusNormalClosure)
		if h, p := readFrame(t, peer); h.Opcode != protocol.OpClose || string(p) != "\x03\xe8" {
			t.Errorf("%v %q", h, p)
		}
		if n, err := peer.Read(make([]byte, 1)); err != io.EOF { // our output ends at once
			t.Error(n, err)
		}
		time.Sleep(4 * time.Second)
		_, _ = peer.Write([]byte("goes on talking"))
		if len(r.net.Open()) != 1 {
			t.Error("closed while the peer may still read")
		}
		for len(r.net.Open()) > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		lasted(t, "closed", start, 5*time.Second)
		if peer.Unread() > 0 {
			t.Error("with input unread")
		}
		synctest.Wait()
		r.wantNothingLeft(c)
	})
}

// A peer that has ended TCP is not waited for, though it was slow to read what came
// before our close frame.
func TestSeatedLingerEndsWithPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := bytes.Repeat([]byte("0123456789"), 20_000)
		r, c, peer := seatedInBubble(t, &HandlerFuncs{OnMessage: func(c *Conn, _ MessageType, _ []byte) { _ = c.Send(Binary, answer) }},
			Options{CloseTimeout: time.Minute})
		peer.Window(1000)
		_, _ = peer.Write(append(frameFrom(protocol.OpText, "go"), frameFrom(protocol.OpClose, "\x03\xe8")...))
		_ = peer.CloseWrite()
		<-c.Done()
		time.Sleep(time.Second)
		if _, p := readFrame(t, peer); !bytes.Equal(p, answer) {
			t.Errorf("%d bytes", len(p))
		}
		if h, _ := readFrame(t, peer); h.Opcode != protocol.OpClose {
			t.Error(h)
		}
		if rest, err := io.ReadAll(peer); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		synctest.Wait()
		r.wantNothingLeft(c) // long before CloseTimeout
	})
}

func TestSeatedWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, peer := seatedInBubble(t, echo, Options{WriteTimeout: 30 * time.Second, PingInterval: -1})
		const window, taken = 10 << 10, 30 << 10
		peer.Window(window)
		start := time.Now()
		if err := c.Send(Binary, make([]byte, 200<<10)); err != nil {
			t.Fatal(err)
		}
		for range 4 { // a peer that takes some bytes now and then is slow, not dead
			time.Sleep(20 * time.Second)
			if _, err := io.ReadFull(peer, make([]byte, taken)); err != nil {
				t.Fatal(err)
			}
		}
		<-c.Done()
		lasted(t, "gave up", start, 110*time.Second)
		wantStatus(t, c.Err(), StatusAbnormalClosure)
		synctest.Wait()
		if b := c.Buffered(); b != 200<<10+10-4*taken-window {
			t.Errorf("%d bytes were not taken", b)
		}
		r.wantNothingLeft(c)
	})
}

func TestSeatedWriteTimeoutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, peer := seatedInBubble(t, echo, Options{WriteTimeout: -1, PingInterval: -1})
		peer.Window(10)
		if err := c.Send(Binary, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if c.Err() != nil {
			t.Error(c.Err())
		}
		if _, p := readFrame(t, peer); len(p) != 1000 {
			t.Errorf("%d bytes", len(p))
		}
	})
}

func TestSeatedMaxLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, peer := seatedInBubble(t, echo, Options{MaxLifetime: time.Hour, PingInterval: -1})
		start := time.Now()
		h, p := readFrame(t, peer)
		if h.Opcode != protocol.OpClose || string(p) != "\x03\xe9maximum lifetime reached" {
			t.Errorf("%v %q", h, p)
		}
		lasted(t, "closed", start, time.Hour)
		_, _ = peer.Write(frameFrom(protocol.OpClose, "\x03\xe9"))
		<-c.Done()
		wantStatus(t, c.Err(), StatusGoingAway)
		_ = peer.CloseWrite()
		synctest.Wait()
		r.wantNothingLeft(c)
	})
}

// A client has HandshakeTimeout to say what it wants, however much it says.
func TestSeatedHandshakeTimeout(t *testing.T) {
	for name, beginning := range map[string]string{"silent": "", "slow": fuzzHead[:40]} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, looptest.Plain, 1, echo, AcceptOptions{Options: Options{HandshakeTimeout: 10 * time.Second, Logger: quietLogger}})
				start := time.Now()
				peer := r.greet()
				for _, b := range []byte(beginning) {
					_, _ = peer.Write([]byte{b})
					time.Sleep(100 * time.Millisecond)
				}
				if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
					t.Error(n, err)
				}
				lasted(t, "closed", start, 10*time.Second)
				synctest.Wait()
				r.wantNothingLeft()
			})
		})
	}
}

// The timeout does not count for what comes after the handshake.
func TestSeatedHandshakeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, looptest.Plain, 1, echo, AcceptOptions{Options: Options{HandshakeTimeout: 10 * time.Second, PingInterval: -1}})
		peer := r.greet()
		for _, b := range []byte(fuzzHead) {
			_, _ = peer.Write([]byte{b})
			time.Sleep(20 * time.Millisecond)
		}
		if got := string(peer.Taken()); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
			t.Fatalf("%q", got)
		}
		time.Sleep(time.Hour)
		_, _ = peer.Write(frameFrom(protocol.OpText, "still here"))
		if _, p := readFrame(t, peer); string(p) != "still here" {
			t.Errorf("%q", p)
		}
		peer.Reset()
		synctest.Wait()
		r.wantNothingLeft()
	})
}

// When the server stops, whoever is about to say what it wants is let go, also when
// that comes before the loop can serve it.
func TestSeatedGreetingEndsWithServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, looptest.Plain, 1, echo, AcceptOptions{Options: Options{HandshakeTimeout: time.Hour, Logger: quietLogger}})
		clock := r.server.acceptor.options.clock
		clock.mu.Lock() // holds the client up in the middle of its greeting
		greeted := make(chan *looptest.Peer)
		go func() { greeted <- r.greet() }()
		for known := 0; known < 1; {
			runtime.Gosched()
			r.front.mu.Lock()
			known = len(r.front.greeting)
			r.front.mu.Unlock()
		}
		r.front.interrupt()
		for range 10_000 { // so that the loop sees to it, most likely
			runtime.Gosched()
		}
		clock.mu.Unlock()
		peer := <-greeted
		synctest.Wait()
		if !peer.Ended() {
			t.Error("the connection is left alone")
		}
		r.wantNothingLeft()
	})
}

// A connection whose handshake ends while the server shuts down is closed at once,
// and has CloseTimeout to answer as any other.
func TestSeatedOpensDuringShutdown(t *testing.T) {
	for _, greeting := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var r *rig
			o := AcceptOptions{Options: Options{CloseTimeout: 5 * time.Second, PingInterval: -1, Logger: quietLogger}}
			o.Interceptors = []func(*Upgrade) error{func(*Upgrade) error { return r.server.Shutdown(t.Context()) }}
			r = newRig(t, looptest.Plain, 1, echo, o)
			var peer *looptest.Peer
			if greeting {
				peer = r.greet()
				_, _ = io.WriteString(peer, fuzzHead)
			} else {
				if err := r.server.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				_, peer = r.adopt(end(t, nil, protocol.Server, r.server.acceptor.options), nil)
			}
			start := time.Now()
			out, err := io.ReadAll(peer)
			if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(out, []byte("\x03\xe9the server is shutting down")) {
				t.Errorf("%q, %v", out, err)
			}
			lasted(t, "closed", start, 5*time.Second)
			synctest.Wait()
			r.wantNothingLeft()
		})
	}
}

// A descriptor that the system cannot watch costs its connection and nothing else,
// at whatever point of its life that is.
func TestSeatedCannotBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan error, 1)
		h := &HandlerFuncs{
			OnMessage: func(c *Conn, _ MessageType, p []byte) {
				time.Sleep(10 * time.Millisecond)
				_ = c.Send(Binary, make([]byte, 100))
			},
			OnClose: func(_ *Conn, err error) { closed <- err },
		}
		r := newRig(t, looptest.Plain, 1, h, AcceptOptions{Options: Options{PingInterval: -1, Logger: quietLogger}})
		r.net.RefuseAdd(1)
		if n, err := r.greet().Read(make([]byte, 1)); err != io.EOF {
			t.Error("before its handshake:", n, err)
		}
		synctest.Wait()
		r.wantNothingLeft()

		r.net.RefuseAdd(1)
		c, _ := r.adopt(end(t, nil, protocol.Server, r.server.acceptor.options), nil)
		wantStatus(t, <-closed, StatusAbnormalClosure)
		synctest.Wait()
		r.wantNothingLeft(c)

		for _, window := range []int{0, 50} { // when it comes back; or when its output is blocked, and again
			c, peer := r.adopt(end(t, nil, protocol.Server, r.server.acceptor.options), nil)
			synctest.Wait()
			peer.Window(len(response) + window)
			_, _ = peer.Write(frameFrom(protocol.OpText, "x"))
			time.Sleep(5 * time.Millisecond) // the loop has passed on
			r.net.RefuseAdd(1)
			wantStatus(t, <-closed, StatusAbnormalClosure)
			synctest.Wait()
			r.wantNothingLeft(c)
		}
	})
}

// A Ping waits for its pong, and a reset ends that.
func TestSeatedPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, peer := seatedInBubble(t, echo, Options{})
		go func() {
			_, p := readFrame(t, peer)
			_, _ = peer.Write(frameFrom(protocol.OpPong, string(p)))
		}()
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		failed := make(chan error)
		go func() { failed <- c.Ping(t.Context()) }()
		synctest.Wait()
		peer.Reset()
		if err := <-failed; !errors.Is(err, c.Err()) {
			t.Error(err)
		}
		wantStatus(t, c.Err(), StatusAbnormalClosure)
	})
}
