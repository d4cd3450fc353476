package load

import "time"

// gauge keeps the measurement: latencies, the points over time, and the CPU
// clocks at the start.
type gauge struct {
	pid  int
	rec  *recorder
	step time.Duration // between points

	began   meter
	last    meter // at the last point
	counted int64 // messages at the last point
	points  []Point
	peak    int64
	ended   bool // no points follow
}

// pointsWanted is how many points a whole run has about; none is shorter than
// shortestPoint.
const (
	pointsWanted  = 100
	shortestPoint = 50 * time.Millisecond
)

func startGauge(c *Config) (*gauge, error) {
	g := &gauge{pid: c.PID, rec: newRecorder(), step: max(c.Duration/pointsWanted, shortestPoint)}
	var err error
	g.began, err = readMeter(c.PID)
	g.last = g.began
	return g, err
}

// look makes a point if it is time for one. messages is the count since the start.
func (g *gauge) look(now time.Time, messages int64) {
	if !g.ended && now.Sub(g.last.at) >= g.step {
		g.point(messages)
	}
}

// point ends an interval. The server may be gone by then, which shows elsewhere.
func (g *gauge) point(messages int64) {
	m, err := readMeter(g.pid)
	wall := m.at.Sub(g.last.at)
	if wall <= 0 {
		return
	}
	p := Point{At: m.at.Sub(g.began.at).Seconds(), Messages: messages - g.counted, Memory: residentRoughly(g.pid)}
	p.PerSecond = float64(p.Messages) / wall.Seconds()
	p.P50, p.P99, p.Max = g.rec.cut()
	if err == nil && g.pid != 0 {
		p.ServerBusy = float64(m.server-g.last.server) / float64(wall)
	}
	g.peak = max(g.peak, p.Memory)
	g.points = append(g.points, p)
	g.last, g.counted = m, messages
}

// stop ends the measurement with so many messages. An interval that has hardly
// begun makes no point: its rate would mean nothing.
func (g *gauge) stop(r *Result, messages int64) error {
	if len(g.points) == 0 || time.Since(g.last.at) >= g.step/2 {
		g.point(messages)
	}
	now, err := readMeter(g.pid)
	wall := now.at.Sub(g.began.at)
	r.Seconds, r.Messages, r.PerSecond = wall.Seconds(), messages, float64(messages)/wall.Seconds()
	r.Load = usage(now.load-g.began.load, wall, messages)
	if r.Server != nil && err == nil {
		r.Server.Usage = usage(now.server-g.began.server, wall, messages)
	}
	return err
}

// report fills in what is known only when the last reply has come.
func (g *gauge) report(r *Result) {
	r.Latency, r.Distribution, r.Series = g.rec.summary(), g.rec.distribution(), g.points
	if r.Server != nil {
		r.Server.MemoryPeak = max(g.peak, r.Server.MemoryBefore, r.Server.MemoryAfter)
	}
}
