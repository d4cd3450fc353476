package load

import "time"

// progress is what Config.Progress is told, and when.
type progress struct {
	to       func(Progress)
	next     int64 // when to tell again
	phase    string
	began    int64
	total    time.Duration
	messages int64 // at the start of the phase
	last     int64 // when it was told
	told     int64 // messages then
}

// enter begins a phase.
func (e *engine) enter(phase string, total time.Duration) {
	e.now = e.clock()
	e.show.to, e.show.phase, e.show.began, e.show.total = e.cfg.Progress, phase, e.now, total
	e.show.messages = e.tally.messages
	e.show.next, e.show.last, e.show.told = e.now+int64(progressEvery), e.now, e.tally.messages
}

func (e *engine) progress() {
	s := &e.show
	p := Progress{
		Phase: s.phase, Elapsed: time.Duration(e.now - s.began), Total: s.total, Connections: e.live, Wanted: e.wanted(),
		Messages: e.tally.messages - s.messages, Failures: e.errors.total(), Memory: residentRoughly(e.cfg.PID),
		PerSecond: float64(e.tally.messages-s.told) / time.Duration(e.now-s.last).Seconds(),
	}
	if e.gauge != nil && len(e.gauge.points) > 0 {
		last := e.gauge.points[len(e.gauge.points)-1]
		p.P50, p.P99 = time.Duration(last.P50*1000), time.Duration(last.P99*1000)
	}
	s.next, s.last, s.told = e.now+int64(progressEvery), e.now, e.tally.messages
	s.to(p)
}

// wanted is how many connections there are in the end.
func (e *engine) wanted() int {
	if e.cfg.Mode == Broadcast {
		return e.cfg.Connections + 1
	}
	return e.cfg.Connections
}
