package loop_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
)

// member is a loop.Member made of functions. It notes what must not happen.
type member struct {
	seat  loop.Seat
	turn  func(m *member, ready loop.Readiness, buf []byte)
	flush func(m *member, ready loop.Readiness) bool

	turns    atomic.Int64
	flushes  atomic.Int64
	working  atomic.Bool
	overlaps atomic.Int64 // turns that began during another one

	mu     sync.Mutex // held while the descriptor is used
	closed bool
	got    []byte
}

// Turn implements loop.Member.
func (m *member) Turn(ready loop.Readiness, buf []byte) {
	if m.working.Swap(true) {
		m.overlaps.Add(1)
	}
	defer m.working.Store(false)
	m.turns.Add(1)
	if m.turn != nil {
		m.turn(m, ready, buf)
		return
	}
	m.read(ready, buf)
}

// Flush implements loop.Member.
func (m *member) Flush(ready loop.Readiness) bool {
	m.flushes.Add(1)
	return m.flush != nil && m.flush(m, ready)
}

// read keeps what there is, and closes when there will be no more.
func (m *member) read(ready loop.Readiness, buf []byte) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || ready&(loop.Readable|loop.Broken) == 0 {
		return 0
	}
	n, err := m.seat.Read(buf)
	m.got = append(m.got, buf[:n]...)
	if err != nil && !errors.Is(err, loop.ErrWouldBlock) {
		m.closed = true
		m.seat.Close()
	}
	return n
}

func (m *member) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.seat.Close()
	}
}

func (m *member) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.got)
}

// world is a group of Loops on a network in memory, in a bubble.
type world struct {
	t     *testing.T
	net   *looptest.Net
	group *loop.Group
}

func newWorld(t *testing.T, choose looptest.Choice, loops int) *world {
	n := looptest.New(choose)
	var pollers []loop.Poller
	for range loops {
		pollers = append(pollers, n.Poller())
	}
	w := &world{t: t, net: n, group: loop.NewGroup(pollers...)}
	t.Cleanup(func() { // what is left then has the bubble's end complain
		for _, p := range pollers {
			_ = p.Close()
		}
		time.Sleep(time.Second) // until the watch has ended
		if faults := n.Faults(); len(faults) > 0 {
			t.Error(faults)
		}
	})
	return w
}

// seat gives m a place, and its peer.
func (w *world) seat(m *member) *looptest.Peer {
	fd, peer := w.net.Connect()
	m.seat.Take(w.group, fd, m)
	m.seat.Begin()
	w.t.Cleanup(func() {
		if n := m.overlaps.Load(); n > 0 {
			w.t.Errorf("%d turns began during another one of the same member", n)
		}
	})
	return peer
}

// soon waits, in whatever time there is, until f is true.
func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen: ", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
