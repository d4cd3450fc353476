package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/duplex-websocket/duplex/bench/figures"
)

const interval = 100 * time.Millisecond // of the samples

// sample is what has been counted up to some time.
type sample struct {
	at       time.Time
	received int64
	cpu      time.Duration // of the servers that live on
	own      time.Duration
}

func (s *swarm) sample() (sample, error) {
	x := sample{at: time.Now(), received: s.received.Load()}
	for _, pid := range s.o.pids[1:] {
		cpu, err := cpuTime(pid)
		if err != nil {
			return x, err
		}
		x.cpu += cpu
	}
	var err error
	x.own, err = cpuTime(0)
	return x, err
}

// cpuTime is what a process has used, user and system; 0 is this one. See ../load.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// run does everything.
func run(ctx context.Context, o *options) (*figures.Recovery, error) {
	s := &swarm{o: o, acked: make([]atomic.Int64, o.topics)}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	published, err := s.publish(ctx, stop)
	if err != nil {
		return nil, err
	}
	before, err := s.watch(o.steady, nil)
	if err != nil {
		return nil, err
	}
	killed := time.Now()
	if err := s.kill(); err != nil {
		return nil, err
	}
	after, err := s.watch(o.limit, s.allCaughtUp)
	if err != nil {
		return nil, err
	}
	close(stop)
	published()
	if _, err := s.watch(10*time.Second, s.allComplete); err != nil {
		return nil, err
	}
	if trouble := s.trouble.Load(); trouble != nil {
		return nil, *trouble
	}
	return s.result(killed, before, after)
}

// watch samples until done says yes, at most for some time; with a done that is an error.
func (s *swarm) watch(limit time.Duration, done func() bool) ([]sample, error) {
	every := time.NewTicker(interval)
	defer every.Stop()
	var all []sample
	for end := time.Now().Add(limit); ; <-every.C {
		x, err := s.sample()
		if err != nil {
			return nil, err
		}
		all = append(all, x)
		switch over := time.Now().After(end); {
		case s.trouble.Load() != nil:
			return all, *s.trouble.Load()
		case done != nil && done(), done == nil && over:
			return all, nil
		case over:
			return nil, fmt.Errorf("clients that are not back or lack messages after %s: %s", limit, s.lagging())
		}
	}
}

// count returns how many clients are as f wants.
func (s *swarm) count(f func(m *member) bool) (n int) {
	for _, m := range s.members {
		m.mu.Lock()
		if f(m) {
			n++
		}
		m.mu.Unlock()
	}
	return n
}

func (s *swarm) lagging() string {
	back := s.count(func(m *member) bool { return !m.back.IsZero() })
	complete := s.count(func(m *member) bool { return m.got >= s.acked[m.topic].Load() })
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("of %d clients %d were back, and %d have everything; connections ended because of %v", len(s.members), back, complete, s.failures)
}

func (s *swarm) allCaughtUp() bool {
	return s.count(func(m *member) bool { return !m.caughtUp.IsZero() }) == len(s.members)
}

func (s *swarm) allComplete() bool {
	return s.count(func(m *member) bool { return m.got >= s.acked[m.topic].Load() }) == len(s.members)
}

// result is what the samples and the clients say.
func (s *swarm) result(killed time.Time, before, after []sample) (*figures.Recovery, error) {
	if len(before) < 2 || len(after) < 2 {
		return nil, errors.New("too short to be measured")
	}
	r := &figures.Recovery{Clients: s.o.clients, BaseDelay: s.o.delay.Seconds(), Attempts: int(s.attempts.Load()), PublishStall: float64(s.stall.Load()) / 1e9}
	var back, caughtUp []float64
	for _, m := range s.members {
		back = append(back, m.back.Sub(killed).Seconds())
		caughtUp = append(caughtUp, m.caughtUp.Sub(killed).Seconds())
		r.Delivered += m.delivered
		r.Missing += m.missing
		r.Gaps += m.gaps
	}
	slices.Sort(back)
	r.Back50, r.Back99, r.BackAll = back[len(back)/2], back[len(back)*99/100], back[len(back)-1]
	r.CaughtUpAll = slices.Max(caughtUp)
	for i := range s.acked {
		r.Published += int(s.acked[i].Load())
	}
	steady, last := rate(before[0], before[len(before)-1]), after[len(after)-1]
	r.Steady = steady.bytes
	storm := rate(after[0], last)
	r.CPU = storm.cpu * storm.seconds
	r.Before, r.Busy, r.Load = steady.cpu, storm.cpu, storm.own
	for i := range after[1:] {
		r.Peak = max(r.Peak, rate(after[i], after[i+1]).bytes)
	}
	r.PeakReturns = peakReturns(back)
	return r, nil
}

// rates are for each second.
type rates struct{ seconds, bytes, cpu, own float64 }

func rate(from, to sample) rates {
	seconds := to.at.Sub(from.at).Seconds()
	return rates{seconds, float64(to.received-from.received) / seconds, (to.cpu - from.cpu).Seconds() / seconds, (to.own - from.own).Seconds() / seconds}
}

// peakReturns is how many a second came back in the busiest interval.
func peakReturns(sorted []float64) (most float64) {
	for i, from := 0, 0; i < len(sorted); i++ {
		for sorted[i]-sorted[from] > interval.Seconds() {
			from++
		}
		most = max(most, float64(i-from+1)/interval.Seconds())
	}
	return most
}
