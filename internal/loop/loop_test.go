package loop_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
)

// A member has one turn at a time, whoever attends to it and whatever the network
// does, on the Loop or away from it.
func TestOneTurnAtATime(t *testing.T) {
	for _, pause := range []time.Duration{0, 3 * time.Millisecond, 20 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, looptest.Seeded(7), 2)
			var want [8]strings.Builder
			var members [8]*member
			var done sync.WaitGroup
			for i := range members {
				m := &member{flush: func(*member, loop.Readiness) bool { return true }}
				m.turn = func(m *member, ready loop.Readiness, buf []byte) {
					if m.read(ready, buf) > 0 && m.turns.Load()%8 == 0 {
						time.Sleep(pause)
					}
				}
				members[i] = m
				peer := w.seat(m)
				done.Go(func() {
					for n := range 200 {
						piece := fmt.Sprintf("%d ", n)
						want[i].WriteString(piece)
						say(t, peer, piece)
						m.seat.Attend()
						if n%16 == 0 {
							time.Sleep(time.Millisecond)
						}
					}
				})
				done.Go(func() {
					for range 200 {
						m.seat.Attend()
						runtime.Gosched()
					}
				})
			}
			done.Wait()
			for i, m := range members {
				soon(t, "everything is read", func() bool { return len(m.heard()) == want[i].Len() })
				if m.heard() != want[i].String() {
					t.Errorf("member %d read something else, or in another order", i)
				}
				m.close()
			}
		})
	}
}

// Members that are always readable do not keep the others waiting: all get the
// same number of turns.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		const n, rounds = 20, 500
		var members [n]*member
		var peers [n]*looptest.Peer
		var mu sync.Mutex
		var early [n]int64 // the turns that members had before the last of them had its first
		waiting, total := n, 0
		enough := make(chan [n]int64, 1)
		snapshot := func() (turns [n]int64) {
			for i, m := range members {
				turns[i] = m.turns.Load()
			}
			return turns
		}
		for i := range members {
			m := &member{}
			m.turn = func(m *member, ready loop.Readiness, buf []byte) {
				m.read(ready, buf[:1+i]) // some have far more than they can read in a turn
				mu.Lock()
				defer mu.Unlock()
				if m.turns.Load() == 1 {
					if waiting--; waiting == 0 {
						early = snapshot()
					}
				}
				if waiting == 0 {
					total++
				}
				if total == n*rounds {
					enough <- snapshot()
				}
				if total < n*rounds {
					_, _ = peers[i].Write(make([]byte, 1+2*i))
				}
			}
			members[i], peers[i] = m, w.seat(m)
		}
		for _, peer := range peers {
			say(t, peer, "go")
		}
		for i, turns := range <-enough {
			if turns -= early[i]; turns < rounds-2 || turns > rounds+2 { // the round in which counting began and ended
				t.Errorf("member %d had %d turns, %d were fair", i, turns, rounds)
			}
		}
		for _, m := range members {
			m.close()
		}
	})
}

// Members that are attended to without end do not keep those waiting that are
// readable.
func TestAttendedDoNotStarveReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		var stop atomic.Bool
		busy := [2]*member{{}, {}}
		for i, m := range busy { // each attends to the other: the queue is never empty
			other := busy[1-i]
			m.flush = func(*member, loop.Readiness) bool {
				if !stop.Load() {
					other.seat.Attend()
				}
				return false
			}
			w.seat(m)
		}
		reader := &member{}
		peer := w.seat(reader)
		busy[0].seat.Attend()
		busy[1].seat.Attend()
		say(t, peer, "x")
		for reader.heard() == "" {
			if busy[0].flushes.Load() > 1_000_000 { // fake time stands still meanwhile
				t.Error("a million flushes, and not one turn for what is readable")
				break
			}
			runtime.Gosched()
		}
		stop.Store(true)
		synctest.Wait()
		for _, m := range append(busy[:], reader) {
			m.close()
		}
	})
}

// A turn that blocks holds up its own member only. What comes for it waits, and is
// served afterwards in order.
func TestBlockedTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		release := make(chan struct{})
		var flushed atomic.Bool
		slow, quick := &member{}, &member{}
		slow.turn = func(m *member, ready loop.Readiness, buf []byte) {
			if m.read(ready, buf) > 0 && m.heard() == "1" {
				<-release
			}
		}
		slow.flush = func(m *member, _ loop.Readiness) bool {
			if m.working.Load() && m.seat.Away() {
				flushed.Store(true)
			}
			return false
		}
		slowPeer, quickPeer := w.seat(slow), w.seat(quick)
		say(t, slowPeer, "1")
		synctest.Wait()
		began := time.Now()
		say(t, slowPeer, "2")
		for i := range 10 {
			say(t, quickPeer, "x")
			soon(t, "the other one is served", func() bool { return len(quick.heard()) == i+1 })
		}
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("the others waited for %s", took)
		}
		time.Sleep(time.Second)
		if n := slow.turns.Load(); n != 1 || slow.heard() != "1" {
			t.Errorf("%d turns, %q was read during the first", n, slow.heard())
		}
		if !flushed.Load() {
			t.Error("what the turn has gathered was not flushed")
		}
		say(t, slowPeer, "3")
		close(release)
		synctest.Wait()
		if slow.heard() != "123" || slow.seat.Away() {
			t.Errorf("%q was read; away: %v", slow.heard(), slow.seat.Away())
		}
		slow.close()
		quick.close()
	})
}

// Many turns that take long go on side by side; later the Loop does by itself what
// is quick.
func TestManyBlockedTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		const n, long = 300, 50 * time.Millisecond
		var members [n]*member
		var peers [n]*looptest.Peer
		var away atomic.Int64
		for i := range members {
			members[i] = &member{turn: func(m *member, ready loop.Readiness, buf []byte) {
				if m.seat.Away() {
					away.Add(1)
				}
				if m.read(ready, buf) == 1 {
					time.Sleep(long)
				}
			}}
			peers[i] = w.seat(members[i])
		}
		round := func(what string) (took time.Duration) {
			began := time.Now()
			want := len(members[0].heard()) + len(what)
			for _, p := range peers {
				say(t, p, what)
			}
			for _, m := range members {
				soon(t, "all turns are over", func() bool { return len(m.heard()) == want && !m.working.Load() })
			}
			return time.Since(began)
		}
		round("x")
		if took := round("x"); took > 2*long {
			t.Errorf("%d turns of %s took %s", n, long, took)
		}
		for range 4096/n + 1 { // as long as the Loop is cautious
			round("quick")
		}
		away.Store(0)
		round("quick")
		if n := away.Load(); n > 0 {
			t.Errorf("%d of the quick turns were still on goroutines of their own", n)
		}
		for _, m := range members {
			m.close()
		}
	})
}

// While it is away a member learns that it is writable, or broken, by Flush.
func TestReadyWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		release := make(chan struct{})
		var seen atomic.Uint32
		m := &member{}
		m.turn = func(m *member, ready loop.Readiness, buf []byte) {
			if m.read(ready, buf) > 0 {
				m.seat.Blocked(true)
				<-release
			}
		}
		m.flush = func(m *member, ready loop.Readiness) bool {
			if seen.Store(seen.Load() | uint32(ready)); ready&loop.Writable != 0 {
				m.seat.Blocked(false)
			}
			return false
		}
		peer := w.seat(m)
		say(t, peer, "x")
		time.Sleep(10 * time.Millisecond)
		if loop.Readiness(seen.Load()) != loop.Writable {
			t.Errorf("Flush saw %b", seen.Load())
		}
		m.seat.Blocked(true) // so that it is watched at all
		time.Sleep(time.Millisecond)
		peer.Reset()
		m.seat.Blocked(true)
		time.Sleep(10 * time.Millisecond)
		if flushes := m.flushes.Load(); loop.Readiness(seen.Load())&loop.Broken == 0 || flushes > 20 {
			t.Errorf("Flush saw %b in %d calls", seen.Load(), flushes)
		}
		close(release)
		synctest.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed {
			t.Error("the next turn did not find the connection broken")
		}
	})
}

// A Poller that cannot take a descriptor costs that connection, and only that.
func TestAddFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		w.net.RefuseAdd(1)
		var ready atomic.Uint32
		m := &member{turn: func(m *member, r loop.Readiness, buf []byte) {
			ready.Store(uint32(r))
			m.read(r, buf)
		}}
		peer := w.seat(m)
		synctest.Wait()
		if m.turns.Load() != 1 || loop.Readiness(ready.Load())&loop.Broken == 0 || !peer.Ended() || len(w.net.Open()) > 0 {
			t.Errorf("%d turns, ready for %b, open: %v", m.turns.Load(), ready.Load(), w.net.Open())
		}
	})
}

// That turn, too, is the only one at its time.
func TestAddFailsWhileAttended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		for range 2000 {
			w.net.RefuseAdd(1)
			m := &member{flush: func(*member, loop.Readiness) bool { return true }}
			var done sync.WaitGroup
			fd, _ := w.net.Connect()
			m.seat.Take(w.group, fd, m)
			done.Go(func() {
				for range 20 {
					m.seat.Attend()
				}
			})
			m.seat.Begin()
			done.Wait()
			synctest.Wait()
			if n := m.overlaps.Load(); n > 0 {
				t.Fatalf("%d turns began during another one", n)
			}
			m.close()
		}
	})
}

// Work is a turn on the caller's goroutine.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		m := &member{}
		fd, peer := w.net.Connect()
		m.seat.Take(w.group, fd, m)
		say(t, peer, "early")
		m.seat.Work(func() {
			m.seat.Attend()
			time.Sleep(100 * time.Millisecond)
			if m.turns.Load() != 0 {
				t.Error("a turn began meanwhile")
			}
			if n := m.flushes.Load(); n < 2 || n > 3 {
				t.Errorf("%d flushes meanwhile", n)
			}
		})
		synctest.Wait()
		if m.heard() != "early" {
			t.Errorf("%q", m.heard())
		}
		m.close()
		ran := false
		new(loop.Seat).Work(func() { ran = true })
		if !ran {
			t.Error("Work without a seat did nothing")
		}
	})
}

func TestDeafen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		m := &member{flush: func(m *member, ready loop.Readiness) bool { return false }}
		peer := w.seat(m)
		_ = peer.CloseWrite()
		m.turn = func(m *member, ready loop.Readiness, _ []byte) {
			if ready&loop.Readable != 0 {
				m.seat.Deafen()
			}
			if ready&loop.Writable != 0 {
				m.seat.Blocked(false)
			}
		}
		m.seat.Blocked(true)
		synctest.Wait()
		if n := m.turns.Load(); n == 0 || n > 2 {
			t.Errorf("%d turns", n)
		}
		m.close()
	})
}

// Release gives the descriptor back, as it is.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		m := &member{}
		peer := w.seat(m)
		fd := m.seat.Release()
		say(t, peer, "for its new owner")
		synctest.Wait()
		if m.turns.Load() != 0 || peer.Ended() || m.seat.Release() != -1 {
			t.Error("the Loop kept something")
		}
		m.seat.Close() // does nothing any more
		if open := w.net.Open(); len(open) != 1 || open[0] != fd {
			t.Error(open)
		}
		again := &member{}
		again.seat.Take(w.group, fd, again)
		again.seat.Begin()
		synctest.Wait()
		if again.heard() != "for its new owner" {
			t.Errorf("%q", again.heard())
		}
		again.close()
	})
}

// Descriptors are used again at once, and stale events come: no member ever sees
// what belongs to another, nor reads after its end.
func TestDescriptorReuse(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, looptest.Seeded(seed), 2)
			var done sync.WaitGroup
			for worker := range 4 {
				done.Go(func() {
					for i := range 300 {
						own := byte(worker*64 + i%64)
						m := &member{turn: func(m *member, ready loop.Readiness, buf []byte) {
							if m.read(ready, buf) > 5 {
								m.close() // by itself
							}
						}}
						peer := w.seat(m)
						say(t, peer, strings.Repeat(string([]byte{own}), 12))
						switch i % 3 {
						case 0:
							m.close() // by others, perhaps in the middle of a turn
						case 1:
							_ = peer.CloseWrite()
						case 2:
							peer.Reset()
						}
						m.seat.Attend()
						soon(t, "it is closed", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.closed })
						if rest := strings.ReplaceAll(m.heard(), string([]byte{own}), ""); rest != "" {
							t.Errorf("it has read %q of another one", rest)
						}
					}
				})
			}
			done.Wait()
			if open := w.net.Open(); len(open) > 0 {
				t.Error("open:", open)
			}
		})
	}
}
