package websocket

import (
	"sync/atomic"
	"time"
)

// While a reader works through one batch of bytes, what its handlers send is
// gathered and leaves in one write at the batch's end, or at corkBytes. A
// handler that takes long must not hold back what was sent before: the watch
// writes out whatever has been gathered for longer than about corkTime.
//
// One goroutine watches for the whole process, and only while something is
// corked: a timer for each batch would cost more than the batch.
const (
	corkTime  = time.Millisecond
	corkIdle  = 64 // ticks without a cork after which the watch ends
	corkSlots = 64
	corkTries = 4
	noSlot    = -1
)

type corkWatch struct {
	running atomic.Bool
	slots   [corkSlots]atomic.Pointer[Conn]
}

var corks corkWatch

// watchCork makes sure that the watch knows the connection. It is called with
// mu held and returns false when there is no place left, so that the caller
// writes at once.
func (c *Conn) watchCork() bool {
	if c.corkSlot != noSlot {
		return true
	}
	for i := range uint32(corkTries) {
		slot := (c.serial + i) % corkSlots
		if corks.slots[slot].Load() == nil && corks.slots[slot].CompareAndSwap(nil, c) {
			c.corkSlot = int8(slot)
			if !corks.running.Load() && corks.running.CompareAndSwap(false, true) {
				go corks.run()
			}
			return true
		}
	}
	return false
}

// cork starts gathering. It is called by the reader.
func (c *Conn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// uncork ends gathering and writes what was gathered. It is called by the reader.
func (c *Conn) uncork() {
	c.mu.Lock()
	c.corked = false
	if c.corkSlot != noSlot {
		corks.slots[c.corkSlot].Store(nil)
		c.corkSlot = noSlot
	}
	c.flush()
	c.mu.Unlock()
}

// run writes out what has been corked for a whole tick.
func (w *corkWatch) run() {
	var before [corkSlots]*Conn
	tick := time.NewTicker(corkTime)
	defer tick.Stop()
	for idle := 0; idle < corkIdle; {
		<-tick.C
		idle++
		for i := range w.slots {
			c := w.slots[i].Load()
			if c != nil {
				idle = 0
				if c == before[i] {
					c.mu.Lock()
					c.flush()
					c.mu.Unlock()
				}
			}
			before[i] = c
		}
	}
	w.running.Store(false)
	for i := range w.slots { // one may have come between the last look and the store
		if w.slots[i].Load() != nil && w.running.CompareAndSwap(false, true) {
			go w.run()
			return
		}
	}
}
