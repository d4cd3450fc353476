package websocket

import (
	"sync/atomic"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// While the pump works through one batch of bytes, what its handlers send is
// gathered and leaves in one write at the batch's end, or at corkBytes. A
// handler that takes long must not hold back what was sent before: the watch
// writes out whatever has been gathered for longer than about a millisecond. (In
// an event loop, the loop does both.)
const (
	corkSlots = 64
	corkTries = 4
	noSlot    = -1
)

type corkWatch struct {
	next  atomic.Uint32
	slots [corkSlots]atomic.Pointer[Conn]
	watch *loop.Watch

	before [corkSlots]*Conn // at the last look; the watch's own
}

var corks = newCorkWatch()

func newCorkWatch() *corkWatch {
	w := &corkWatch{}
	w.watch = loop.NewWatch(w.look)
	return w
}

// gather implements driver: it makes sure that the watch knows the connection,
// and returns false when there is no place left.
func (p *pump) gather(bool) bool {
	if !p.c.corked || p.corkSlot != noSlot {
		return p.c.corked
	}
	for i := range uint32(corkTries) {
		slot := (p.corkFirst + i) % corkSlots
		if corks.slots[slot].Load() == nil && corks.slots[slot].CompareAndSwap(nil, p.c) {
			p.corkSlot = int8(slot)
			corks.watch.Start()
			return true
		}
	}
	return false
}

// uncorked implements driver.
func (p *pump) uncorked() {
	if p.corkSlot != noSlot {
		corks.slots[p.corkSlot].Store(nil)
		p.corkSlot = noSlot
	}
}

// look writes out what has been corked since the last look.
func (w *corkWatch) look() (busy bool) {
	for i := range w.slots {
		c := w.slots[i].Load()
		if c != nil {
			busy = true
			if c == w.before[i] {
				c.mu.Lock()
				c.flush()
				c.mu.Unlock()
			}
		}
		w.before[i] = c
	}
	return busy
}
