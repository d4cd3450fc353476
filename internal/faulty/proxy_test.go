package faulty

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Second

// target is a server that echoes, and remembers in which order what arrived.
type target struct {
	t        *testing.T
	listener net.Listener
	arrived  chan string // all that a connection has brought, when it ends
	wg       sync.WaitGroup
}

func startTarget(t *testing.T) *target {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &target{t: t, listener: l, arrived: make(chan string, 16)}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer conn.Close()
				var all bytes.Buffer
				_, _ = io.Copy(conn, io.TeeReader(conn, &all)) // a reset ends it too
				s.arrived <- all.String()
			})
		}
	})
	return s
}

func (s *target) next() string {
	s.t.Helper()
	select {
	case text := <-s.arrived:
		return text
	case <-time.After(patience):
		s.t.Fatal("nothing arrives")
		return ""
	}
}

// start makes a proxy whose connections all have this plan.
func start(t *testing.T, plan Plan) (*target, *Proxy) {
	s := startTarget(t)
	p, err := Start(Options{Target: s.listener.Addr().String(), Seed: 1, Plan: func(int, *rand.Rand) Plan { return plan }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		s.listener.Close()
		s.wg.Wait()
	})
	return s, p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// talk sends text and returns what comes back until the end.
func talk(t *testing.T, conn *net.TCPConn, text string) (string, error) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

var long = strings.Repeat("0123456789", 10_000)

// Whatever happens to time and pieces, the bytes are the same.
func TestBytesStayWhole(t *testing.T) {
	for _, plan := range []Plan{
		{},
		{Up: Line{MaxPiece: 5000, Jitter: time.Millisecond}, Down: Line{MaxPiece: 7000}},
		{Up: Line{Gather: 5 * time.Millisecond}, Down: Line{Gather: 5 * time.Millisecond, Delay: time.Millisecond}},
		{Up: Line{StallAfter: 1000, Stall: 20 * time.Millisecond, MaxPiece: 1000}},
	} {
		s, p := start(t, plan)
		if got, err := talk(t, dial(t, p), long); err != nil || got != long {
			t.Errorf("%+v: %d bytes came back, %v", plan, len(got), err)
		}
		if got := s.next(); got != long {
			t.Errorf("%+v: %d bytes arrived", plan, len(got))
		}
	}
}

func TestPieces(t *testing.T) {
	_, p := start(t, Plan{Down: Line{MaxPiece: 10, Delay: 2 * time.Millisecond}})
	conn := dial(t, p)
	if _, err := io.WriteString(conn, long[:100]); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || n > 50 {
		t.Errorf("one read got %d bytes, %v", n, err)
	}
}

func TestCuts(t *testing.T) {
	s, p := start(t, Plan{Up: Line{CutAfter: 1234, Cut: CutFinish}})
	if got, err := talk(t, dial(t, p), long[:2000]); err == nil && len(got) > 1234 {
		t.Errorf("%d bytes came back", len(got))
	}
	if got := s.next(); got != long[:1234] {
		t.Errorf("%d bytes arrived", len(got))
	}
	s, p = start(t, Plan{Down: Line{CutAfter: 10, Cut: CutReset}})
	conn := dial(t, p)
	if got, err := talk(t, conn, long[:1000]); !errors.Is(err, syscall.ECONNRESET) || len(got) > 10 {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	s.next()
	if st := p.Stats(); st != (Stats{Connections: 1, Cuts: 1}) {
		t.Errorf("%+v", st)
	}
}

// Neither side knows that the other one is not there any more.
func TestSilence(t *testing.T) {
	s, p := start(t, Plan{})
	conn := dial(t, p)
	buf := make([]byte, 4)
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buf); err != nil {
		t.Fatal(err)
	}
	if n := p.Cut(CutSilent); n != 1 {
		t.Errorf("%d connections were cut", n)
	}
	if _, err := io.WriteString(conn, "more"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(buf); n > 0 || err == io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	conn.Close()
	if _, err := talk(t, dial(t, p), "second"); err != nil {
		t.Error(err)
	}
	if got := s.next(); got != "second" {
		t.Errorf("%q ended first", got)
	}
	p.Close()
	if got := s.next(); got != "ping" {
		t.Errorf("%q arrived", got)
	}
}

// What a connection that was given up had sent arrives behind what came on the next one.
func TestLate(t *testing.T) {
	s := startTarget(t)
	p, err := Start(Options{Target: s.listener.Addr().String(), Plan: func(n int, _ *rand.Rand) Plan {
		if n > 0 {
			return Plan{}
		}
		return Plan{Up: Line{CutAfter: 3}, Hold: 20 * time.Millisecond, Late: 300 * time.Millisecond}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		p.Close()
		s.listener.Close()
		s.wg.Wait()
	}()
	conn := dial(t, p)
	if _, err := io.WriteString(conn, "old bytes"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := talk(t, dial(t, p), "new bytes"); err != nil || got != "new bytes" {
		t.Errorf("%q, %v", got, err)
	}
	if first, second := s.next(), s.next(); first != "new bytes" || second != "old bytes" {
		t.Errorf("%q came before %q", first, second)
	}
}

func TestReplays(t *testing.T) {
	for _, after := range []time.Duration{-1, 10 * time.Millisecond} {
		s, p := start(t, Plan{Replay: after})
		if got, err := talk(t, dial(t, p), "once"); err != nil || got != "once" {
			t.Errorf("%q, %v", got, err)
		}
		if first, second := s.next(), s.next(); first != "once" || second != "once" {
			t.Errorf("%q and %q arrived", first, second)
		}
		if st := p.Stats(); st.Replays != 1 || st.Connections != 1 {
			t.Errorf("%+v", st)
		}
	}
}

// The same seed makes the same plan, whatever the order of connections in time.
func TestSeed(t *testing.T) {
	s := startTarget(t)
	draw := func(seed uint64) []uint64 {
		var drawn []uint64
		p, err := Start(Options{Target: s.listener.Addr().String(), Seed: seed, Plan: func(_ int, r *rand.Rand) Plan {
			drawn = append(drawn, r.Uint64())
			return Plan{}
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, _ = talk(t, dial(t, p), "x")
			s.next()
		}
		p.Close()
		return drawn
	}
	one, two := draw(7), draw(8)
	if again := draw(7); !slices.Equal(one, again) || slices.Equal(one, two) || len(one) != 3 {
		t.Errorf("%v, %v, %v", one, again, two)
	}
	s.listener.Close()
	s.wg.Wait()
	if _, err := Start(Options{Target: "nowhere"}); err == nil {
		t.Error("a target without a port is taken")
	}
}
