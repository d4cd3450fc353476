package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// plan is one fault of a schedule.
type plan struct {
	kind *kind
	wait time.Duration // after the fault before it has ended; or, with early, after that one has begun
	// early begins while the fault before it lasts.
	early bool
	hold  time.Duration
	seed  uint64 // of what is random in it
}

func (p *plan) String() string {
	when := "then"
	if p.early {
		when = "meanwhile"
	}
	return fmt.Sprintf("%s, after %4.1f s: %s for %.1f s", when, p.wait.Seconds(), p.kind.name, p.hold.Seconds())
}

// makeSchedule plans each of the possible kinds once, in random order, and unless it is to be short then more of them at random for as long
// as the faults are to come. It depends on nothing but its arguments.
func makeSchedule(possible []*kind, random *rand.Rand, o *options) []plan {
	var all []plan
	var length time.Duration
	add := func(k *kind) {
		p := plan{kind: k, wait: within(random, 2*time.Second, 5*time.Second), hold: within(random, k.min, k.max), seed: random.Uint64()}
		if o.short {
			p.wait, p.hold = within(random, 500*time.Millisecond, 1500*time.Millisecond), min(p.hold, max(k.min, shortHold))
		}
		if n := len(all); n > 0 {
			before := &all[n-1]
			apart := k.of == before.kind.of || k.alone || before.kind.alone
			if !apart && !before.early && before.hold > time.Second && random.IntN(3) == 0 {
				p.early, p.wait = true, within(random, 0, before.hold/2)
			}
		}
		length += p.wait + p.hold + k.takes()
		all = append(all, p)
	}
	for _, n := range random.Perm(len(possible)) {
		if k := possible[n]; !o.short || !k.long {
			add(k)
		}
	}
	for !o.short && length < o.duration && len(possible) > 0 {
		add(pick(random, possible))
	}
	return all
}

const shortHold = 3 * time.Second

// takes is how long a fault without a duration of its own takes, about.
func (k *kind) takes() time.Duration {
	if k.name == "rolling-restart" {
		return 20 * time.Second
	}
	return 0
}

func within(random *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(random.Int64N(int64(high-low)))
}

// happened is a fault that was done.
type happened struct {
	what       string
	begin, end time.Time
}

// carryOut does what is planned, until ctx ends or, unless it is short, no new fault is to begin any more.
func (r *run) carryOut(ctx context.Context, plans []plan) {
	var running sync.WaitGroup
	defer running.Wait()
	last := time.Now().Add(r.options.duration)
	for i := range plans {
		p := &plans[i]
		if !p.early {
			running.Wait()
		}
		pause(ctx, p.wait)
		if ctx.Err() != nil || !r.options.short && time.Now().After(last) {
			return
		}
		random := rand.New(rand.NewPCG(p.seed, 0))
		h := &happened{begin: time.Now()}
		what, end, err := p.kind.begin(ctx, r, random)
		h.what = what
		r.say("fault: %s", what)
		if err != nil {
			r.world.mishap(fmt.Sprintf("%s: %v", what, err))
			continue
		}
		running.Go(func() {
			pause(ctx, p.hold)
			if err := end(); err != nil {
				r.world.mishap(fmt.Sprintf("after %s: %v", what, err))
			}
			h.end = time.Now()
			r.mu.Lock()
			r.faults = append(r.faults, h)
			r.mu.Unlock()
			r.say("over:  %s, after %.1f s", what, h.end.Sub(h.begin).Seconds())
		})
	}
}

// possibleKinds returns the faults that are possible here, and what is said of the others.
func (r *run) possibleKinds() (possible []*kind, skipped []string) {
	for i := range kinds {
		k := &kinds[i]
		if len(r.options.kinds) > 0 && !slices.Contains(r.options.kinds, k.name) {
			continue
		}
		if k.needs != nil {
			if err := k.needs(r); err != nil {
				skipped = append(skipped, fmt.Sprintf("%s: %v", k.name, err))
				continue
			}
		}
		possible = append(possible, k)
	}
	return possible, skipped
}
