package loop_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
)

// A Watch looks while there is something to see and then ends, goroutine included.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		var looks, looking, beside atomic.Int64
		w := loop.NewWatch(func() bool {
			if looking.Add(1) > 1 {
				beside.Add(1)
			}
			defer looking.Add(-1)
			looks.Add(1)
			return busy.Load()
		})
		time.Sleep(time.Second)
		if looks.Load() != 0 {
			t.Error("it looks before Start")
		}
		for range 3 {
			busy.Store(true)
			looks.Store(0)
			var done sync.WaitGroup
			for range 10 {
				done.Go(w.Start)
			}
			done.Wait()
			time.Sleep(time.Second)
			if n := looks.Load(); n < 990 || n > 1001 {
				t.Errorf("%d looks in a second", n)
			}
			busy.Store(false)
			time.Sleep(time.Second)
			if n := looks.Swap(0); n > 1100 {
				t.Errorf("%d looks, the last ones at nothing", n)
			}
			time.Sleep(time.Hour)
			if n := looks.Load(); n > 0 {
				t.Errorf("%d looks after the end", n)
			}
		}
		if beside.Load() > 0 {
			t.Error("two looks at the same time")
		}
	})
}

// What begins just when a Watch ends is seen.
func TestWatchEndsAndStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, seen atomic.Int64
		w := loop.NewWatch(func() bool { return seen.Swap(begun.Load()) != begun.Load() })
		for i := range 5000 {
			begun.Add(1)
			w.Start()
			time.Sleep(62*time.Millisecond + time.Duration(i%5)*time.Millisecond)
		}
		begun.Add(1)
		w.Start()
		time.Sleep(2 * time.Millisecond)
		if seen.Load() != begun.Load() {
			t.Errorf("it saw %d of %d", seen.Load(), begun.Load())
		}
		time.Sleep(time.Second)
	})
}

// A turn that begins just when the watch over the Loops ends is seen to block.
func TestTurnBlocksWhenWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, looptest.Plain, 1)
		release := make(chan struct{})
		slow, quick := &member{}, &member{}
		slow.turn = func(m *member, ready loop.Readiness, buf []byte) {
			if m.read(ready, buf); m.heard()[len(m.heard())-1] == '!' {
				<-release
			}
		}
		slowPeer, quickPeer := w.seat(slow), w.seat(quick)
		for i := range 3000 {
			say(t, slowPeer, "x")
			time.Sleep(60*time.Millisecond + time.Duration(i%8)*time.Millisecond) // about as long as it looks at nothing
			say(t, slowPeer, "!")
			say(t, quickPeer, "x")
			time.Sleep(10 * time.Millisecond)
			if len(quick.heard()) != i+1 {
				t.Fatal("the Loop did not pass on")
			}
			release <- struct{}{}
			synctest.Wait()
		}
		slow.close()
		quick.close()
	})
}
