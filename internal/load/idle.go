package load

import (
	"context"
	"time"
)

const (
	// rehearsal is how many connections go through everything before anything is
	// measured, so that the server's pools and caches are filled.
	rehearsal = 256

	// exchanging is how many messages are under way at a time, so that what is
	// measured is an idle connection and not what a burst leaves behind.
	exchanging = 64
)

// hold is mode Idle. Memory is the slope between a fifth of the connections and
// all of them, so that what the server holds once (code, heap that it has mapped,
// pools) does not count.
func (e *engine) hold(ctx context.Context, r *Result) error {
	c := e.cfg
	watched := c.PID != 0
	if watched {
		r.Idle = &Memory{Curve: []MemoryPoint{}}
		if err := e.rehearse(ctx); err != nil {
			return err
		}
	}
	few := c.Connections / 5
	var memory [3]int64
	steps := []func() error{
		func() error { return e.ramp(ctx, few, r.Idle) },
		func() error { return e.ramp(ctx, c.Connections-few, r.Idle) },
		func() error { return e.exchange() },
	}
	if c.NoExchange {
		steps = steps[:2]
	}
	for i, step := range steps {
		if err := step(); err != nil || e.stopped.Load() {
			return err
		}
		if !watched {
			continue
		}
		if err := e.churn(ctx); err != nil {
			return err
		}
		var err error
		if memory[i], err = e.steady(); err != nil {
			return err
		}
	}
	if watched {
		r.Idle.Fresh = float64(memory[1]-memory[0]) / float64(c.Connections-few)
		if !c.NoExchange {
			r.Idle.Used = r.Idle.Fresh + float64(memory[2]-memory[1])/float64(c.Connections)
		}
	}
	return e.wait(r)
}

// wait holds the connections for the time of the measurement.
func (e *engine) wait(r *Result) error {
	e.idle()
	e.enter("holding", e.cfg.Duration)
	n := e.tally.messages
	r.Compressed = float64(e.tally.compressed) / float64(max(1, n))
	r.ReplyBytes = float64(e.tally.replyBytes) / float64(max(1, n))
	rec := newRecorder()
	if e.gauge != nil {
		rec = e.gauge.rec
	}
	gauge, err := startGauge(e.cfg)
	if err != nil {
		return err
	}
	gauge.rec, e.gauge, e.counted = rec, gauge, n
	if err := e.until(e.cfg.Duration, 0); err != nil {
		return err
	}
	if err := e.gauge.stop(r, 0); err != nil && e.live > 0 {
		return err
	}
	r.Messages = n
	return nil
}

// ramp opens connections and notes the memory as they come.
func (e *engine) ramp(ctx context.Context, count int, m *Memory) error {
	if count == 0 {
		return nil
	}
	e.enter("connecting", 0)
	const points = 40
	step := max(1, e.cfg.Connections/points)
	if m != nil {
		before := e.welcomed
		defer func() { e.welcomed = before }()
		e.welcomed = func() {
			last := 0
			if n := len(m.Curve); n > 0 {
				last = m.Curve[n-1].Connections
			}
			if e.live >= last+step {
				m.Curve = append(m.Curve, MemoryPoint{e.live, residentRoughly(e.cfg.PID)})
			}
		}
	}
	return e.connect(ctx, count)
}

// exchange sends one message on every connection and waits for the replies.
func (e *engine) exchange() error {
	e.enter("exchanging", 0)
	defer e.idle()
	waiting := 0
	var err error
	if e.gauge == nil {
		if e.gauge, err = startGauge(e.cfg); err != nil {
			return err
		}
	}
	e.outstanding = func() bool { return waiting > 0 }
	e.lost = func(c *conn) { waiting -= int(c.awaited) }
	e.replies = func(c *conn, n int) *failure {
		if c.awaited -= int64(n); c.awaited < 0 {
			c.awaited = 0
			return unasked(c)
		}
		waiting -= n
		at, _ := c.due.pop(1)
		e.gauge.rec.record(e.now-at, 1)
		return nil
	}
	for i, c := range e.conns {
		if !c.dead {
			e.now = e.clock()
			c.due.push(e.now, 1)
			c.owed, c.awaited = c.owed+1, 1
			waiting++
			e.flush(c)
		}
		if waiting < exchanging && i < len(e.conns)-1 {
			continue
		}
		if finished, err := e.run(never, func() bool { return waiting == 0 }); err != nil || !finished {
			e.failSilent(func(c *conn) int64 { return c.awaited })
			return err
		}
	}
	return nil
}

// rehearse works once through everything with connections that then go away.
func (e *engine) rehearse(ctx context.Context) error {
	if err := e.connect(ctx, min(rehearsal, e.cfg.Connections)); err != nil {
		return err
	}
	if !e.cfg.NoExchange {
		if err := e.exchange(); err != nil {
			return err
		}
	}
	for _, c := range e.conns {
		e.release(c)
	}
	// What was counted so far is no part of the run. The connections stay in the
	// list, dead, because events that are under way name them by their place.
	e.tally, e.opening.open, e.gauge = tally{}, 0, nil
	e.opening.times, e.opening.took = newRecorder(), 0
	return nil
}

// churn opens and drops connections, 64 at a time. The garbage that this makes
// lets the collector run, shrink stacks and give free pages back: afterwards
// memory is what the connections hold.
func (e *engine) churn(ctx context.Context) error {
	for left := e.cfg.Churn; left > 0 && !e.stopped.Load(); left -= exchanging {
		if err := e.dialer.drop(ctx, min(left, exchanging)); err != nil {
			e.errors.add(kindOf(err), err.Error())
			return nil
		}
		if err := e.settle(); err != nil {
			return err
		}
	}
	return nil
}

// steady returns the server's resident memory once it has moved by less than
// 64 KiB in half a second, at the latest after ten seconds.
func (e *engine) steady() (int64, error) {
	last := int64(0)
	for range 20 {
		if err := e.until(500*time.Millisecond, 0); err != nil {
			return 0, err
		}
		now, err := residentBytes(e.cfg.PID)
		if err != nil {
			return 0, err
		}
		if d := now - last; -64<<10 < d && d < 64<<10 || e.stopped.Load() {
			return now, nil
		}
		last = now
	}
	return last, nil
}
