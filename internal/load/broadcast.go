package load

import (
	"context"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// broadcasting is the state of mode Broadcast. The publisher is a connection of
// its own; whether the server sends it its messages too is the server's choice.
type broadcasting struct {
	*engine
	publisher *conn
	sending   bool
	recording bool
	published int64
	delivered int64 // messages that all subscribers have; closed loop
	awaited   int64 // deliveries to subscribers that are to come

	// sent tells of the messages under way, by their number modulo its length;
	// closed loop.
	sent []publication

	// open loop
	schedule schedule
	from, to int64 // the measurement: messages due then count
}

// publication is one message under way.
type publication struct {
	at      int64
	missing int // subscribers without it
}

func (e *engine) broadcast(ctx context.Context, r *Result) error {
	m := &broadcasting{engine: e, sent: make([]publication, e.cfg.InFlight+1)}
	e.enter("connecting", 0)
	if err := e.connect(ctx, e.wanted()); err != nil {
		return err
	}
	if err := e.greet(); err != nil {
		return err
	}
	if err := e.settle(); err != nil {
		return err
	}
	if e.live < 2 || e.conns[0].dead {
		return nil // the errors say why
	}
	m.publisher = e.conns[0]
	e.outstanding = m.underWay
	e.lost = m.leftOut
	e.replies = m.arrived
	begins, ends := func() { m.recording = true }, func() { m.recording, m.sending = false, false }
	if e.cfg.Rate > 0 {
		m.schedule = newSchedule(e.cfg.Rate, e.clock())
		m.from, m.to = never, never
		m.pace, m.due = m.send, m.schedule.begin
		begins = func() { m.from = m.clock() }
		ends = func() { m.to, m.schedule.end = m.now, m.now }
	} else {
		m.sending = true
		m.now = m.clock()
		m.publish(int64(e.cfg.InFlight))
	}
	if err := m.measure(r, begins, ends); err != nil {
		return err
	}
	if e.cfg.Rate > 0 {
		m.send() // what is due and was not noticed yet
	}
	if err := m.drain(); err != nil {
		return err
	}
	if e.cfg.Rate > 0 {
		r.Scheduled = (m.schedule.before(m.to) - m.schedule.before(m.from)) * int64(e.cfg.Connections)
		r.Unanswered = r.Scheduled - m.gauge.rec.count()
		m.missed()
	}
	m.failSilent(m.missing)
	return nil
}

// greet exchanges a ping and a pong on every connection. A server that answers a
// ping reads from the connection, and before that it has made it a receiver of
// broadcasts; the answer to the handshake alone does not say so.
func (e *engine) greet() error {
	want := e.tally.pongs
	for _, c := range e.conns {
		if !c.dead {
			want++
			c.urgent = appendControl(c.urgent, protocol.OpPing, []byte("ready?"))
			e.flush(c)
		}
	}
	end := e.clock() + int64(e.cfg.Timeout)
	_, err := e.run(end, func() bool { return e.tally.pongs >= want || e.now >= end })
	if missing := want - e.tally.pongs; missing > 0 && !e.stopped.Load() && e.live > 0 {
		e.errors.add(NoAnswer, "not every connection answered a ping, so some may not get every message")
	}
	return err
}

// publish sends n more messages, in one write.
func (m *broadcasting) publish(n int64) {
	subscribers := m.live - 1
	for range n {
		if m.cfg.Rate == 0 {
			m.sent[m.published%int64(len(m.sent))] = publication{m.now, subscribers}
		}
		m.published++
	}
	m.awaited += n * int64(subscribers)
	m.publisher.owed += int(n)
	m.flush(m.publisher)
}

// send publishes what is due.
func (m *broadcasting) send() {
	first, last := m.schedule.take(m.now)
	m.due = m.schedule.next()
	if last > first && !m.publisher.dead {
		m.publish(last - first)
	}
}

func (m *broadcasting) at(i int64) int64 {
	if m.cfg.Rate > 0 {
		return m.schedule.at(i)
	}
	return m.sent[i%int64(len(m.sent))].at
}

// counts tells whether a message that left at that time is measured.
func (m *broadcasting) counts(at int64) bool {
	if m.cfg.Rate > 0 {
		return at >= m.from && at < m.to
	}
	return m.recording
}

// arrived is called with n more deliveries to c.
func (m *broadcasting) arrived(c *conn, n int) *failure {
	if c.received > m.published {
		f := unasked(c)
		c.received -= int64(n) // leftOut settles what it was still to get
		return f
	}
	if c == m.publisher {
		return nil
	}
	m.awaited -= int64(n)
	before := m.delivered
	for i := c.received - int64(n); i < c.received; {
		at, same := m.at(i), int64(1)
		for i+same < c.received && m.at(i+same) == at {
			same++
		}
		if m.counts(at) {
			m.gauge.rec.record(m.now-at, same)
		}
		if m.cfg.Rate == 0 {
			m.has(i, i+same)
		}
		i += same
	}
	m.again(before)
	return nil
}

// has takes note that one subscriber more has the messages from first to the one
// before last.
func (m *broadcasting) has(first, last int64) {
	for i := first; i < last; i++ {
		p := &m.sent[i%int64(len(m.sent))]
		if p.missing--; p.missing == 0 {
			m.delivered++
		}
	}
}

// again publishes as many messages as were delivered to all meanwhile.
func (m *broadcasting) again(before int64) {
	if m.sending && m.delivered > before && !m.publisher.dead {
		m.publish(m.delivered - before)
	}
}

// leftOut is called when a connection ended: nobody waits for it any more.
func (m *broadcasting) leftOut(c *conn) {
	if c == m.publisher {
		m.sending, m.schedule.end, m.due = false, m.now, never
		m.abandoned = true
		return
	}
	before := m.delivered
	m.awaited -= m.published - c.received
	if m.cfg.Rate == 0 {
		m.has(c.received, m.published)
	}
	m.again(before)
}

func (m *broadcasting) underWay() bool {
	p := m.publisher
	return !p.dead && (m.awaited > 0 || p.received > 0 && p.received < m.published)
}

func (m *broadcasting) missing(c *conn) int64 {
	if c == m.publisher && c.received == 0 || m.publisher.dead {
		return 0
	}
	return m.published - c.received
}

// missed counts what was never delivered with the time that it has been waiting.
func (m *broadcasting) missed() {
	now := m.clock()
	for _, c := range m.conns {
		if c.dead || c == m.publisher {
			continue
		}
		waiting := m.published - c.received
		step := max(1, waiting/missedSamples)
		for i := int64(0); i < waiting; i += step {
			if due := m.at(c.received + i); m.counts(due) {
				m.gauge.rec.record(now-due, min(step, waiting-i))
			}
		}
	}
}
