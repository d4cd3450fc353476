package loop

import (
	"sync"
	"sync/atomic"
)

// Seat is a connection's place in a Loop: its descriptor, and what the Poller
// watches that for. It lies inside its Member. All methods may be called from any
// goroutine; Write and Read not beside themselves, and neither after Close.
//
// A Seat begins away: whoever took it lets its Loop serve it with Work or Begin.
type Seat struct {
	loop    *Loop
	member  Member
	next    *Seat       // in the Loop's queue
	queued  atomic.Bool // it is in the queue
	away    atomic.Bool // a goroutine of its own works on it; written with mu held
	closed  bool        // guarded by mu
	armed   Readiness   // what the Poller watches for; guarded by mu
	blocked bool        // Writable is wanted; guarded by mu
	deaf    bool        // Readable is not; guarded by mu
	fd      int32
	tag     uint32
	mu      sync.Mutex
}

var tags atomic.Uint32

// Take gives the descriptor a place in one of the group's Loops. From here on the
// Seat owns it.
func (s *Seat) Take(g *Group, fd int, m Member) {
	s.loop = g.loops[g.next.Add(1)%uint32(len(g.loops))]
	s.member, s.fd, s.tag = m, int32(fd), tags.Add(1)
	s.away.Store(true)
	g.seats.set(fd, s)
}

// Taken reports whether Take was called.
func (s *Seat) Taken() bool { return s.loop != nil }

// Work calls f as a Turn on the caller's goroutine, for a Seat that is away, and
// then lets its Loop serve the member, with a Flush first. What the member gathers
// in f is flushed when f takes long, as in any Turn. For a Seat that was never
// taken Work only calls f.
func (s *Seat) Work(f func()) {
	if s.loop == nil {
		f()
		return
	}
	s.loop.group.away.add(s)
	defer s.comeBack()
	s.loop.group.watch.Start()
	f()
}

// comeBack ends the member's being away.
func (s *Seat) comeBack() {
	s.loop.group.away.remove(s)
	if s.Begin() {
		s.Attend()
	}
}

// Begin lets the Loop serve a member that has nothing to flush. It reports
// success. Should the Poller not take the descriptor, the connection is cut: the
// member finds that out in one more Turn, and must close.
func (s *Seat) Begin() bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	err := s.rearm(false)
	if err == nil {
		s.away.Store(false)
	}
	s.mu.Unlock()
	if err != nil {
		s.Cut()
		go s.loop.turnAway(s, Readable|Broken)
	}
	return err == nil
}

// leave makes the member away: no Turn begins until comeBack.
func (s *Seat) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away.Store(true)
	_ = s.rearm(true) // to watch for less does not fail
}

// readyWhileAway does what can be done beside the member's turn.
func (s *Seat) readyWhileAway(ready Readiness) {
	if ready&Broken != 0 { // cannot be left out of what is watched for, and would come again and again
		s.mu.Lock()
		if s.away.Load() && !s.closed && s.armed != 0 {
			s.armed, s.blocked = 0, false
			_ = s.loop.poller.Remove(int(s.fd)) // it is watched: this cannot fail
		}
		s.mu.Unlock()
	}
	s.member.Flush(ready)
}

// Blocked says whether output waits for the connection: Flush is called when it
// takes some again.
func (s *Seat) Blocked(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.blocked == yes {
		return
	}
	s.blocked = yes
	if s.rearm(s.away.Load()) != nil {
		_ = s.loop.poller.Cut(int(s.fd)) // then the next write fails
	}
}

// Deafen ends the interest in input, for a stream that has ended and whose output
// has not.
func (s *Seat) Deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = true
	_ = s.rearm(s.away.Load()) // to watch for less does not fail
}

// Deaf reports whether Deafen was called.
func (s *Seat) Deaf() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaf
}

// rearm makes the Poller watch for what is wanted now. mu is held.
func (s *Seat) rearm(away bool) (err error) {
	var want Readiness
	if !away && !s.deaf {
		want = Readable
	}
	if s.blocked {
		want |= Writable
	}
	if s.closed || want == s.armed {
		return nil
	}
	p, fd := s.loop.poller, int(s.fd)
	switch {
	case s.armed == 0:
		err = p.Add(fd, s.tag, want)
	case want == 0:
		err = p.Remove(fd)
	default:
		err = p.Change(fd, s.tag, want)
	}
	if err == nil {
		s.armed = want
	}
	return err
}

// Attend asks for the member to be flushed soon, together with others.
func (s *Seat) Attend() {
	if !s.queued.Load() && s.queued.CompareAndSwap(false, true) {
		s.loop.push(s)
	}
}

// Active reports whether the Loop is at work, so that Attend costs less than a
// write of one's own.
func (s *Seat) Active() bool { return s.loop.active.Load() }

// Away reports whether a goroutine of its own works on the member.
func (s *Seat) Away() bool { return s.away.Load() }

// Read reads what there is; see Poller.
func (s *Seat) Read(p []byte) (int, error) { return s.loop.poller.Read(int(s.fd), p) }

// Write writes what is taken at once; see Poller.
func (s *Seat) Write(p []byte) (int, error) { return s.loop.poller.Write(int(s.fd), p) }

// CloseWrite ends the output.
func (s *Seat) CloseWrite() error { return s.loop.poller.CloseWrite(int(s.fd)) }

// Cut ends the connection in both directions, so that every read and write of it
// ends; Close is still to come. It does nothing after Close.
func (s *Seat) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = s.loop.poller.Cut(int(s.fd)) // fails when the peer was faster
	}
}

// Close closes the descriptor. When another goroutine than the Turn's calls it, one
// more Turn may begin; and so may those that Flush asks for afterwards.
func (s *Seat) Close() {
	if fd, ok := s.giveUp(); ok {
		_ = s.loop.poller.CloseFD(fd) // an error here changes nothing: the connection is over
	}
}

// Release takes the descriptor back from the Loop; the caller owns it.
func (s *Seat) Release() int {
	fd, _ := s.giveUp()
	return fd
}

func (s *Seat) giveUp() (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return -1, false
	}
	s.closed = true
	fd = int(s.fd)
	if s.armed != 0 {
		s.armed = 0
		_ = s.loop.poller.Remove(fd) // it is watched: this cannot fail
	}
	s.loop.group.seats.set(fd, nil)
	return fd, true
}

// table finds the Seat of a descriptor. Descriptors are small numbers that the
// system uses again. get takes no lock.
type table struct {
	mu    sync.Mutex
	seats atomic.Pointer[[]atomic.Pointer[Seat]]
}

func (t *table) get(fd int) *Seat {
	seats := t.seats.Load()
	if seats == nil || fd >= len(*seats) {
		return nil
	}
	return (*seats)[fd].Load()
}

func (t *table) set(fd int, seat *Seat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.seats.Load()
	if old == nil || fd >= len(*old) {
		const least = 256
		larger := make([]atomic.Pointer[Seat], max(least, fd+fd/4+1))
		if old != nil {
			for i := range *old {
				larger[i].Store((*old)[i].Load())
			}
		}
		t.seats.Store(&larger)
		old = &larger
	}
	(*old)[fd].Store(seat)
}

// awayList holds the members that a goroutine of their own works on, with how
// often the watch has seen them there.
type awayList struct {
	mu    sync.Mutex
	seats map[*Seat]int
}

func (a *awayList) add(s *Seat) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seats == nil {
		a.seats = make(map[*Seat]int)
	}
	a.seats[s] = 0
}

func (a *awayList) remove(s *Seat) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seats, s)
}

// look flushes what has been gathered in work that takes long: once is enough, as
// nothing more is gathered then. Work that takes very long makes its Loop cautious.
func (a *awayList) look() (busy bool) {
	const long, veryLong = 2, 5
	a.mu.Lock()
	defer a.mu.Unlock()
	busy = len(a.seats) > 0
	for s, seen := range a.seats {
		seen++
		a.seats[s] = seen
		switch seen {
		case long:
			s.member.Flush(0)
		case veryLong:
			s.loop.caution.Store(cautionTurns)
			delete(a.seats, s)
		}
	}
	return busy
}
