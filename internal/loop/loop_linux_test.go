package loop_test

import (
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// realGroup returns a group of Loops on the platform's Pollers, which it closes
// at the end; then no goroutine of it is left.
func realGroup(t *testing.T, loops int) (*loop.Group, []loop.Poller) {
	t.Helper()
	before := runtime.NumGoroutine()
	var pollers []loop.Poller
	for range loops {
		p, err := loop.NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		pollers = append(pollers, p)
	}
	t.Cleanup(func() {
		for _, p := range pollers {
			_ = p.Close()
		}
		soon(t, "its goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	})
	return loop.NewGroup(pollers...), pollers
}

// What was attended to is flushed, however many attend, while Loops pass on and
// are interrupted all the time.
func TestAttendIsNeverLost(t *testing.T) {
	group, pollers := realGroup(t, 2)
	l := listen(t, "127.0.0.1:0")
	const callers, times, every = 4, 500_000, 500
	type counted struct {
		member
		asked, done atomic.Int64
	}
	var members [8]*counted
	for i := range members {
		m := &counted{}
		m.flush = func(*member, loop.Readiness) bool {
			m.done.Store(m.asked.Load())
			return i%2 == 0 // some have a turn each time
		}
		fd, _ := detached(t, l)
		m.seat.Take(group, fd, m)
		m.seat.Begin()
		defer m.close()
		members[i] = m
	}
	var stop atomic.Bool
	var troublemakers, done sync.WaitGroup
	for range pollers { // as many members whose turns take long, so one in each Loop
		slow := &member{turn: func(m *member, ready loop.Readiness, buf []byte) {
			m.read(ready, buf)
			time.Sleep(3 * time.Millisecond)
		}}
		fd, peer := detached(t, l)
		slow.seat.Take(group, fd, slow)
		slow.seat.Begin()
		defer slow.close()
		troublemakers.Go(func() {
			for !stop.Load() {
				say(t, peer, "x")
				time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
			}
		})
	}
	troublemakers.Go(func() {
		for !stop.Load() {
			pollers[rand.IntN(len(pollers))].Interrupt()
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		}
	})
	for range callers {
		done.Go(func() {
			for n := range times {
				m := members[rand.IntN(len(members))]
				asked := m.asked.Add(1)
				m.seat.Attend()
				if n%every == 0 && !eventually(func() bool { return m.done.Load() >= asked }) {
					t.Errorf("nobody came for call %d", n)
					return
				}
			}
		})
	}
	done.Wait()
	stop.Store(true)
	troublemakers.Wait()
	for i, m := range members {
		if !eventually(func() bool { return m.done.Load() == m.asked.Load() }) {
			t.Errorf("member %d was flushed for %d of %d", i, m.done.Load(), m.asked.Load())
		}
		if m.overlaps.Load() > 0 {
			t.Errorf("member %d had two turns at once", i)
		}
	}
}

// eventually waits until f is true and reports whether it became so.
func eventually(f func() bool) bool {
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Microsecond)
	}
	return true
}

// A thousand members of one Loop wait for something slow at the same time, and the
// others are served meanwhile.
func TestThousandBlockedTurns(t *testing.T) {
	group, _ := realGroup(t, 1)
	l := listen(t, "127.0.0.1:0")
	const n = 1000
	release := make(chan struct{})
	var blocked atomic.Int64
	var members []*member
	for range n {
		m := &member{turn: func(m *member, ready loop.Readiness, buf []byte) {
			if m.read(ready, buf) > 0 {
				blocked.Add(1)
				<-release
			}
		}}
		fd, peer := detached(t, l)
		m.seat.Take(group, fd, m)
		m.seat.Begin()
		members = append(members, m)
		say(t, peer, "x")
		defer m.close()
	}
	quick := &member{}
	fd, peer := detached(t, l)
	quick.seat.Take(group, fd, quick)
	quick.seat.Begin()
	defer quick.close()
	soon(t, "all turns have begun", func() bool { return blocked.Load() == n })
	say(t, peer, "served")
	soon(t, "another one is served", func() bool { return quick.heard() == "served" })
	close(release)
	for _, m := range members {
		soon(t, "a blocked one is back", func() bool { return !m.seat.Away() })
		if m.overlaps.Load() > 0 {
			t.Error("two turns at once")
		}
	}
}

// On the real thing, too, a closed member never reads what its descriptor's next
// owner is sent.
func TestDescriptorReuseReal(t *testing.T) {
	group, _ := realGroup(t, 2)
	l := listen(t, "127.0.0.1:0")
	for i := range 1500 {
		own := string([]byte{byte(i % 251)})
		m := &member{turn: func(m *member, ready loop.Readiness, buf []byte) {
			if m.read(ready, buf) > 3 {
				m.close()
			}
		}}
		fd, peer := detached(t, l)
		m.seat.Take(group, fd, m)
		m.seat.Begin()
		if _, err := io.WriteString(peer, strings.Repeat(own, 8)); err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			m.close()
		case 1:
			resetTCP(t, peer)
		}
		m.seat.Attend()
		soon(t, "it is closed", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.closed })
		if rest := strings.ReplaceAll(m.heard(), own, ""); rest != "" {
			t.Fatalf("it has read %q of another one", rest)
		}
		_ = peer.Close()
	}
}

// The process's Loops: one for each core, made once, with addresses of what they
// serve.
func TestProcess(t *testing.T) {
	group, err := loop.Process()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := loop.Process(); again != group || err != nil {
		t.Error("another group:", err)
	}
	m := &member{}
	fd, peer := detached(t, listen(t, "127.0.0.1:0"))
	m.seat.Take(group, fd, m)
	m.seat.Begin()
	if local, remote := group.Addrs(fd); local.String() != peer.RemoteAddr().String() || remote.String() != peer.LocalAddr().String() {
		t.Error(local, remote)
	}
	say(t, peer, "x")
	soon(t, "it is served", func() bool { return m.heard() == "x" })
	if err := m.seat.CloseWrite(); err != nil {
		t.Error(err)
	}
	m.seat.Cut()
	soon(t, "it sees the cut", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.closed })
	m.seat.Cut() // does nothing any more
}
