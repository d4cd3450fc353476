package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// drop opens n connections and resets them.
func (d *dialer) drop(ctx context.Context, n int) (wrong error) {
	d.openMany(ctx, n, func(o *opened, err error) {
		if err != nil {
			wrong = err
			return
		}
		_ = o.raw.Close()
	})
	return wrong
}

// upgrades is the state of mode Handshake: workers that connect, upgrade and
// reset, and what they share.
type upgrades struct {
	cfg    *Config
	dialer *dialer

	mu     sync.Mutex
	done   int64 // in this phase
	issued int64
	gauge  *gauge // nil while warming up
	errors failures
	inARow int
}

// handshake is mode Handshake: Connections handshakes at a time.
func handshake(ctx context.Context, c *Config, r *Result) error {
	d, err := newDialer(c)
	if err != nil {
		return err
	}
	u := &upgrades{cfg: c, dialer: d}
	first, err := d.open(ctx) // alone, so that a mistake is told once
	if err != nil {
		return err
	}
	_ = first.raw.Close()
	if c.WarmUp > 0 {
		u.phase(ctx, "warming up", c.WarmUp, 0)
	}
	gauge, err := startGauge(c)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.gauge = gauge
	u.mu.Unlock()
	u.phase(ctx, "measuring", c.Duration, c.Messages)
	n := u.done
	if err := gauge.stop(r, n); err != nil && u.inARow < hopeless {
		return err
	}
	if c.Rate > 0 {
		r.Scheduled = max(int64(c.Rate*r.Seconds), n)
		r.Unanswered = r.Scheduled - n
	}
	if r.Server != nil {
		r.Server.MemoryAfter, _ = residentBytes(c.PID)
	}
	gauge.report(r)
	r.Connect = Connect{Opened: int(n), Seconds: r.Seconds, Latency: r.Latency}
	r.Errors = append(r.Errors, u.errors.sorted()...)
	return nil
}

// phase lets the workers work for d, or for so many handshakes.
func (u *upgrades) phase(ctx context.Context, name string, d time.Duration, most int64) {
	began := time.Now()
	end := began.Add(d)
	within, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	u.done, u.issued = 0, 0
	n, batch := u.dialer.batches(u.cfg.Connections)
	if u.cfg.Rate > 0 {
		n, batch = u.cfg.Connections, 1
	}
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for within.Err() == nil {
				due, n := u.next(began, batch, most)
				if n == 0 {
					return
				}
				if u.cfg.Rate > 0 {
					sleep(within, time.Until(due))
				}
				if within.Err() == nil {
					u.dialer.openMany(ctx, n, func(o *opened, err error) { u.one(ctx, o, err, end, due) })
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	u.watch(finished, name, began, d)
}

// next returns how many handshakes, at most n, a worker is to make now, or with
// a rate, when they are due.
func (u *upgrades) next(began time.Time, n int, most int64) (time.Time, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if most > 0 {
		n = int(min(int64(n), most-u.issued))
	}
	if n <= 0 || u.inARow >= hopeless {
		return began, 0
	}
	u.issued += int64(n)
	if u.cfg.Rate > 0 {
		return began.Add(time.Duration(float64(u.issued-1) / u.cfg.Rate * 1e9)), n
	}
	return began, n
}

// one notes a handshake. It counts when it is done before the end; one that has
// begun is not interrupted by it.
func (u *upgrades) one(ctx context.Context, o *opened, err error, end, due time.Time) {
	now := time.Now()
	if err == nil {
		_ = o.raw.Close()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil: // we were told to stop
	case err != nil:
		u.errors.add(kindOf(err), fmt.Sprintf("handshake %d: %s", u.done, err))
		u.inARow++
	case now.Before(end):
		u.inARow = 0
		u.done++
		if u.gauge != nil {
			took := o.took
			if u.cfg.Rate > 0 {
				took = now.Sub(due)
			}
			u.gauge.rec.record(int64(took), 1)
		}
	}
}

// watch makes points and progress until the phase is over.
func (u *upgrades) watch(finished <-chan struct{}, name string, began time.Time, d time.Duration) {
	ticker := time.NewTicker(shortestPoint)
	defer ticker.Stop()
	told, toldAt := int64(0), began
	for {
		select {
		case <-finished:
			return
		case <-ticker.C:
		}
		now := time.Now()
		u.mu.Lock()
		if u.gauge != nil {
			u.gauge.look(now, u.done)
		}
		p := Progress{Phase: name, Elapsed: now.Sub(began), Total: d, Wanted: u.cfg.Connections, Messages: u.done,
			PerSecond: float64(u.done-told) / now.Sub(toldAt).Seconds(), Failures: u.errors.total()}
		if u.gauge != nil && len(u.gauge.points) > 0 {
			last := u.gauge.points[len(u.gauge.points)-1]
			p.P50, p.P99 = time.Duration(last.P50*1000), time.Duration(last.P99*1000)
		}
		u.mu.Unlock()
		if u.cfg.Progress != nil && now.Sub(toldAt) >= progressEvery {
			p.Memory = residentRoughly(u.cfg.PID)
			told, toldAt = p.Messages, now
			u.cfg.Progress(p)
		}
	}
}
