package server

import "time"

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
