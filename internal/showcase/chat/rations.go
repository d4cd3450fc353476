package chat

import (
	"sync"
	"time"
)

const maxRations = 10_000 // sessions that are counted at one time

// rations give each session so many units a second. Its methods may be called from any goroutine.
type rations struct {
	rate, burst float64 // immutable

	mu  sync.Mutex
	all map[string]*bucket // by session; guarded by mu
}

func newRations(rate, burst float64) *rations {
	return &rations{rate: rate, burst: burst, all: make(map[string]*bucket)}
}

// take counts n units of a session, or says when they may come again.
func (r *rations) take(session string, n float64, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.all[session]
	if b == nil {
		if len(r.all) >= maxRations {
			r.forget(now)
		}
		if len(r.all) >= maxRations {
			return time.Second
		}
		b = &bucket{rate: r.rate, burst: r.burst}
		r.all[session] = b
	}
	if wait := b.wait(n, now); wait > 0 {
		return wait
	}
	b.take(n)
	return 0
}

// forget forgets the sessions that have used so little that it makes no difference.
func (r *rations) forget(now time.Time) {
	for session, b := range r.all {
		if b.wait(0, now); b.used == 0 {
			delete(r.all, session)
		}
	}
}

// bucket allows rate units a second on average and burst units at once. It is not safe for concurrent use.
type bucket struct {
	rate, burst float64 // immutable
	used        float64
	last        time.Time
}

// wait says how long it takes until n more units are allowed; 0: they are now. Nothing is taken.
func (b *bucket) wait(n float64, now time.Time) time.Duration {
	b.used = max(0, b.used-b.rate*now.Sub(b.last).Seconds())
	b.last = now
	if excess := b.used + n - b.burst; excess > 0 {
		return time.Duration(excess / b.rate * float64(time.Second))
	}
	return 0
}

func (b *bucket) take(n float64) { b.used += n }
