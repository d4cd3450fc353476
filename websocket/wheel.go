package websocket

import (
	"sync"
	"sync/atomic"
	"time"
)

// The wheel wakes connections for keepalive, close deadlines and lifetimes:
// one goroutine and one ticker for all connections, and none when there are no
// connections. Time is counted in ticks since the wheel was made, from 1 on, so
// that 0 can mean "none".
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 512
)

// timer is a connection's place in the wheel, guarded by the wheel's mutex.
type timer struct {
	next, prev *Conn
	due        uint32
	queued     bool
	removed    bool // the connection is over: never queue it again
}

type wheel struct {
	epoch   time.Time
	tick    atomic.Uint32 // the last tick that was worked through
	running atomic.Bool   // written with mu held

	mu    sync.Mutex
	slots [wheelSlots]*Conn
	conns int // connections queued
}

var defaultWheel = newWheel()

func newWheel() *wheel {
	w := &wheel{epoch: time.Now()}
	w.tick.Store(1)
	return w
}

// now returns the current tick: the wheel's own while it runs, which costs no
// look at the clock.
func (w *wheel) now() uint32 {
	if w.running.Load() {
		return w.tick.Load()
	}
	return w.clock()
}

func (w *wheel) clock() uint32 { return uint32(time.Since(w.epoch)/wheelTick) + 1 }

// ticks returns d in ticks, rounded up, at least one.
func ticks(d time.Duration) uint32 {
	return uint32(max(1, min((d+wheelTick-1)/wheelTick, 1<<30)))
}

// after returns the tick that lies d ahead.
func (w *wheel) after(d time.Duration) uint32 { return w.now() + ticks(d) }

// schedule makes the wheel check c at the tick due, or at the one it was
// already to be checked at if that is earlier. A due of 0 schedules nothing.
func (w *wheel) schedule(c *Conn, due uint32) {
	if due == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &c.timer
	if t.removed || t.queued && t.due <= due {
		return
	}
	if t.queued {
		w.unlink(c)
	}
	if !w.running.Load() {
		w.tick.Store(w.clock())
		w.running.Store(true)
		go w.run()
	}
	w.link(c, max(due, w.now()+1))
}

// remove takes c out of the wheel for good.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.timer.removed = true
	if c.timer.queued {
		w.unlink(c)
	}
}

func (w *wheel) link(c *Conn, due uint32) {
	t := &c.timer
	slot := &w.slots[due%wheelSlots]
	t.due, t.queued = due, true
	t.prev, t.next = nil, *slot
	if t.next != nil {
		t.next.timer.prev = c
	}
	*slot = c
	w.conns++
}

func (w *wheel) unlink(c *Conn) {
	t := &c.timer
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.next, t.prev, t.queued = nil, nil, false
	w.conns--
}

// run works through the ticks as they pass and ends when nothing is queued.
func (w *wheel) run() {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	for range ticker.C {
		for now := w.clock(); w.tick.Load() < now; {
			w.turn(w.tick.Add(1))
		}
		w.mu.Lock()
		if w.conns == 0 {
			w.running.Store(false)
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// turn checks the connections that are due at tick. A check may take a
// connection's lock, under which others call schedule, so none happens under mu.
func (w *wheel) turn(tick uint32) {
	for _, c := range w.takeDue(tick) {
		w.schedule(c, c.check(tick))
	}
}

func (w *wheel) takeDue(tick uint32) (due []*Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := w.slots[tick%wheelSlots]; c != nil; {
		next := c.timer.next
		if c.timer.due <= tick { // the others are a revolution or more away
			w.unlink(c)
			due = append(due, c)
		}
		c = next
	}
	return due
}
