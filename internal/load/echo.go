package load

import "context"

// echoing is the state of mode Echo.
type echoing struct {
	*engine
	sending   bool
	recording bool
	awaited   int64 // replies that are to come, over all connections

	// open loop
	schedule schedule
	slots    []*conn // message i is of connection i modulo their number
	from, to int64   // the measurement: messages due then count
}

func (e *engine) echo(ctx context.Context, r *Result) error {
	m := &echoing{engine: e}
	e.enter("connecting", 0)
	if err := e.connect(ctx, e.cfg.Connections); err != nil {
		return err
	}
	if err := e.settle(); err != nil {
		return err
	}
	e.outstanding = func() bool { return m.awaited > 0 }
	e.lost = func(c *conn) {
		m.awaited -= c.awaited
		c.awaited = 0
	}
	if e.cfg.Rate > 0 {
		return m.open(r)
	}
	return m.closed(r)
}

// closed keeps InFlight messages of each connection under way.
func (m *echoing) closed(r *Result) error {
	m.sending = true
	m.replies = m.answered
	m.now = m.clock()
	for _, c := range m.conns {
		if !c.dead {
			m.ask(c, m.cfg.InFlight)
			m.flush(c)
		}
	}
	if err := m.measure(r, func() { m.recording = true }, func() { m.recording, m.sending = false, false }); err != nil {
		return err
	}
	if err := m.drain(); err != nil {
		return err
	}
	m.failSilent(func(c *conn) int64 { return c.awaited })
	return nil
}

func (m *echoing) ask(c *conn, n int) {
	c.due.push(m.now, int64(n))
	c.owed += n
	c.awaited += int64(n)
	m.awaited += int64(n)
}

// answered is called with n more replies: as many messages follow.
func (m *echoing) answered(c *conn, n int) *failure {
	for left := int64(n); left > 0; {
		at, k := c.due.pop(left)
		if k == 0 {
			return unasked(c)
		}
		left -= k
		if m.recording {
			m.gauge.rec.record(m.now-at, k)
		}
	}
	c.awaited -= int64(n)
	m.awaited -= int64(n)
	if m.sending {
		m.ask(c, n)
	}
	return nil
}

func unasked(c *conn) *failure {
	return failed(WrongReply, "reply %d came, and fewer messages were sent", c.received)
}

// open sends on schedule.
func (m *echoing) open(r *Result) error {
	for _, c := range m.conns {
		if !c.dead {
			c.slot = len(m.slots)
			m.slots = append(m.slots, c)
		}
	}
	if len(m.slots) == 0 {
		return nil
	}
	m.schedule = newSchedule(m.cfg.Rate, m.clock())
	m.from, m.to = never, never
	m.pace, m.due = m.send, m.schedule.begin
	m.replies = m.answeredOpen
	err := m.measure(r, func() { m.from = m.clock() }, func() {
		m.to = m.now
		m.schedule.end = m.now
	})
	if err != nil {
		return err
	}
	m.send() // what is due and was not noticed yet
	if err := m.drain(); err != nil {
		return err
	}
	r.Scheduled = m.schedule.before(m.to) - m.schedule.before(m.from)
	r.Unanswered = r.Scheduled - m.gauge.rec.count()
	m.missed()
	m.failSilent(func(c *conn) int64 { return c.awaited })
	return nil
}

// send sends what is due, what is due on one connection in one write.
func (m *echoing) send() {
	first, last := m.schedule.take(m.now)
	m.due = m.schedule.next()
	n := int64(len(m.slots))
	for i := first; i < last; i++ {
		if c := m.slots[i%n]; !c.dead {
			c.owed++
			c.awaited++
			m.awaited++
		}
	}
	for i := first; i < min(last, first+n); i++ {
		if c := m.slots[i%n]; !c.dead {
			m.flush(c)
		}
	}
}

// answeredOpen is called with n more replies. Each was due at its own time.
func (m *echoing) answeredOpen(c *conn, n int) *failure {
	if c.awaited -= int64(n); c.awaited < 0 {
		m.awaited -= c.awaited + int64(n)
		c.awaited = 0
		return unasked(c)
	}
	m.awaited -= int64(n)
	for i := c.received - int64(n); i < c.received; i++ {
		if due := m.dueAt(c, i); due >= m.from && due < m.to {
			m.gauge.rec.record(m.now-due, 1)
		}
	}
	return nil
}

// dueAt is when the message i of a connection was due.
func (m *echoing) dueAt(c *conn, i int64) int64 {
	return m.schedule.at(i*int64(len(m.slots)) + int64(c.slot))
}

// missedSamples bounds the work of missed.
const missedSamples = 1000

// missed counts what was never answered with the time that it has been waiting:
// a server that does not answer must not look better than one that answers late.
// Of long queues every so-and-so-many'th stands for its neighbours.
func (m *echoing) missed() {
	now := m.clock()
	for _, c := range m.slots {
		step := max(1, c.awaited/missedSamples)
		for i := int64(0); i < c.awaited; i += step { // none where the connection is dead
			if due := m.dueAt(c, c.received+i); due >= m.from && due < m.to {
				m.gauge.rec.record(now-due, min(step, c.awaited-i))
			}
		}
	}
}
