package loop_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
)

// A turn that ends its goroutine ends neither its Loop nor its member, whether it
// had the Loop's goroutine or one of its own.
func TestGoexit(t *testing.T) {
	for name, before := range map[string]time.Duration{"at once": 0, "after the Loop has passed on": 4 * time.Millisecond, "very late": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, looptest.Plain, 1)
				bad, good := &member{}, &member{}
				bad.turn = func(m *member, ready loop.Readiness, buf []byte) {
					if m.read(ready, buf) > 0 && m.heard()[len(m.heard())-1] == '!' {
						time.Sleep(before)
						runtime.Goexit()
					}
				}
				badPeer, goodPeer := w.seat(bad), w.seat(good)
				for i := range 5 { // the later ones in a Loop that is cautious, if turns took long
					say(t, badPeer, "!")
					time.Sleep(2 * time.Second)
					say(t, goodPeer, "x")
					say(t, badPeer, "x")
					synctest.Wait()
					if len(good.heard()) != i+1 {
						t.Fatal("the other member is not served any more")
					}
					if len(bad.heard()) != 2*i+2 || bad.seat.Away() {
						t.Fatalf("the member itself is not served any more: %q", bad.heard())
					}
				}
				bad.close()
				good.close()
			})
		})
	}
}

// What was queued or ready together with such a turn is not lost.
func TestGoexitInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Seeded(3), 1)
		const n = 50
		var members [n]*member
		var peers [n]*looptest.Peer
		for i := range members {
			members[i] = &member{
				turn: func(m *member, ready loop.Readiness, buf []byte) {
					m.read(ready, buf)
					if i%3 == 0 {
						runtime.Goexit()
					}
				},
				flush: func(m *member, ready loop.Readiness) bool { return true },
			}
			peers[i] = w.seat(members[i])
		}
		for i, m := range members {
			say(t, peers[i], "x")
			m.seat.Attend()
		}
		synctest.Wait()
		for i, m := range members {
			if m.heard() != "x" || m.turns.Load() < 2 {
				t.Errorf("member %d had %d turns and read %q", i, m.turns.Load(), m.heard())
			}
			m.close()
		}
	})
}

func TestGoexitInWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		m := &member{}
		fd, peer := w.net.Connect()
		m.seat.Take(w.group, fd, m)
		go m.seat.Work(runtime.Goexit)
		say(t, peer, "x")
		synctest.Wait()
		if m.heard() != "x" {
			t.Error("the member is not served any more")
		}
		m.close()
	})
}
