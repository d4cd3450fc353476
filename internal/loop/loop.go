package loop

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
)

// Member is what a Loop serves: one connection.
type Member interface {
	// Turn works on what is ready: at most one read, so that no member starves
	// the others, and nothing when ready is 0. There is one Turn at a time for a
	// member. It may block, which holds up this member alone. buf is to read
	// into and the Turn's own until it returns.
	Turn(ready Readiness, buf []byte)

	// Flush writes what is queued, without blocking, and reports whether the
	// member needs a Turn. It may be called beside a Turn, and is where a member
	// learns then that it is Writable or Broken.
	Flush(ready Readiness) (turn bool)
}

// A Group is a set of Loops, among which it spreads the members.
type Group struct {
	loops []*Loop
	next  atomic.Uint32
	seats table
	away  awayList
	watch *Watch
}

// NewGroup starts a Loop on each of pollers. They belong to the Group, which
// lives until one of them fails.
func NewGroup(pollers ...Poller) *Group {
	g := &Group{}
	g.watch = NewWatch(g.look)
	for _, p := range pollers {
		l := &Loop{group: g, poller: p}
		g.loops = append(g.loops, l)
		go l.run()
	}
	return g
}

var process = sync.OnceValues(func() (*Group, error) {
	var pollers []Poller
	for range runtime.GOMAXPROCS(0) {
		p, err := NewPoller()
		if err != nil {
			for _, p := range pollers {
				_ = p.Close()
			}
			return nil, err
		}
		pollers = append(pollers, p)
	}
	return NewGroup(pollers...), nil
})

// Process returns the Group that the whole process shares, with one Loop for each
// core. It is made by the first call. The error is ErrUnsupported, or why the
// system did not give what it takes.
func Process() (*Group, error) { return process() }

// Addrs returns a descriptor's own address and its peer's.
func (g *Group) Addrs(fd int) (local, peer netip.AddrPort) { return g.loops[0].poller.Addrs(fd) }

// Loop serves many members on one goroutine. A member whose Turn takes long
// keeps that goroutine for itself: the watch sees it and lets the Loop go on in
// a fresh one. So the Loop is a role that goroutines pass on.
type Loop struct {
	group  *Group
	poller Poller

	// turn counts the beginnings and ends of turns, so it is odd during one. Who
	// makes it even owns the Loop from then on: at the turn's end the goroutine
	// that ran it, or the watch before that.
	turn atomic.Uint64
	seen uint64 // turn at the watch's last look; the watch's own

	// Of whoever owns the Loop.
	current *Seat // whose turn it is
	rest    *Seat // what was taken from the queue and is still to be flushed

	passing sync.Mutex           // held by the watch while it passes the Loop on
	caution atomic.Int32         // turns that will not run on the Loop's own goroutine
	queue   atomic.Pointer[Seat] // a stack of those that want to be flushed
	active  atomic.Bool          // not waiting: the queue will be looked at soon
	woken   atomic.Bool          // Interrupt was called for the current wait
}

const (
	readBytes = 64 << 10

	// When a turn takes some milliseconds the next ones probably do too, as when
	// all wait for the same slow database. So many of them then run on goroutines
	// of their own from the start: for each that blocked the Loop had to wait until
	// the watch found out.
	cautionTurns = 4096
)

// scratch is what a goroutine needs while it has the Loop, or a turn of its own.
type scratch struct {
	events [256]Event
	buf    [readBytes]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// run is the Loop. It returns when the Loop has passed on, or its Poller is closed.
func (l *Loop) run() {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for {
		if !l.flush(s) {
			return
		}
		l.active.Store(false)
		if l.queue.Load() != nil { // came before others could see that nobody looks
			l.poller.Interrupt()
		}
		n, err := l.poller.Wait(s.events[:])
		l.active.Store(true)
		l.woken.Store(false)
		if err != nil {
			return
		}
		for i := range n {
			if !l.serve(&s.events[i], s) {
				return
			}
		}
	}
}

// flush looks after all members that are queued. It returns false when the Loop
// has passed on; so do serve and take.
func (l *Loop) flush(s *scratch) bool {
	if l.rest == nil { // else whoever had the Loop before was held up in the middle
		l.rest = reversed(l.queue.Swap(nil))
	}
	for l.rest != nil {
		seat := l.rest
		l.rest, seat.next = seat.next, nil
		seat.queued.Store(false)
		if seat.member.Flush(0) && !seat.away.Load() && !l.take(seat, 0, s) {
			return false
		}
	}
	return true
}

// reversed turns a stack into a queue: who came first is flushed first.
func reversed(seat *Seat) (first *Seat) {
	for seat != nil {
		seat.next, first, seat = first, seat, seat.next
	}
	return first
}

func (l *Loop) push(seat *Seat) {
	for {
		first := l.queue.Load()
		seat.next = first
		if l.queue.CompareAndSwap(first, seat) {
			break
		}
	}
	if !l.active.Load() && l.woken.CompareAndSwap(false, true) {
		l.poller.Interrupt()
	}
}

func (l *Loop) serve(e *Event, s *scratch) bool {
	seat := l.group.seats.get(e.FD)
	if seat == nil || seat.tag != e.Tag {
		return true // an earlier owner of the descriptor
	}
	if seat.away.Load() {
		seat.readyWhileAway(e.Ready)
		return true
	}
	return l.take(seat, e.Ready, s)
}

// take gives a member its turn.
func (l *Loop) take(seat *Seat, ready Readiness, s *scratch) bool {
	if l.caution.Load() > 0 {
		seat.leave()
		go l.turnAway(seat, ready)
		return true
	}
	l.current = seat
	turn := l.turn.Add(1)
	l.group.watch.Start() // not earlier: a watch that is about to end has to see the turn
	returned := false
	defer func() {
		if !returned && l.endTurn(seat, turn) { // the Turn has ended the goroutine, not the Loop
			go l.run()
		}
	}()
	seat.member.Turn(ready, s.buf[:])
	returned = true
	return l.endTurn(seat, turn)
}

// endTurn reports whether the goroutine that ran the turn has the Loop.
func (l *Loop) endTurn(seat *Seat, turn uint64) bool {
	if l.turn.CompareAndSwap(turn, turn+1) {
		return true
	}
	// The Loop has passed on: this goroutine was the member's alone.
	l.passing.Lock() // wait until the watch is through
	defer l.passing.Unlock()
	seat.comeBack()
	return false
}

// turnAway is a turn on a goroutine of its own.
func (l *Loop) turnAway(seat *Seat, ready Readiness) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	l.caution.Add(-1)
	seat.Work(func() { seat.member.Turn(ready, s.buf[:]) })
}

// look is the watch's: it passes on the Loops whose turn has lasted since its
// last look, and reports whether any Loop is at work.
func (g *Group) look() (busy bool) {
	for _, l := range g.loops {
		turn := l.turn.Load()
		if turn != l.seen {
			busy = true
		} else if turn&1 != 0 {
			l.pass(turn)
		}
		l.seen = turn
	}
	return g.away.look() || busy
}

// pass lets the Loop go on in a fresh goroutine, unless the turn has just ended.
func (l *Loop) pass(turn uint64) {
	l.passing.Lock()
	defer l.passing.Unlock()
	if !l.turn.CompareAndSwap(turn, turn+1) {
		return
	}
	l.current.leave()
	l.group.away.add(l.current)
	l.current.member.Flush(0) // what it has gathered so far; a Turn it needs comes when it is back
	go l.run()
}
