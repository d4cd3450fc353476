package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// command is what a node is told to do. Topics are those with the numbers below Topics.
type command struct {
	Do       string // publish, subscribe, clear, prepare, resume or usage
	Topics   int
	Each     int     // subscribe: subscribers of each topic
	Kept     bool    // topics that are stored
	InFlight int     // publish
	Rate     float64 // publish: a second; 0: as fast as they are acknowledged
	Millis   int     // publish
	Clients  int     // resume
	Missed   int     // prepare: how many messages a position is behind
	Expected int     // usage: deliveries to wait for
}

// answer is what came of it.
type answer struct {
	Error     string
	Count     int     // of publications
	Seconds   float64 // that it took
	P50, P99  float64 // microseconds: until they were acknowledged, or from publishing to delivery
	Delivered int
	CPU       float64 // nanoseconds of this process since the last usage
	Heap      int64
}

// node is a hub with subscribers.
type node struct {
	hub    *hub.Hub
	counts *counts

	subscribers []*hub.Subscriber
	sessions    int
	since       []hub.Position
	cpu         time.Duration
}

// counts is what all sinks of a node count together.
type counts struct {
	delivered atomic.Int64

	mu    sync.Mutex
	times []float64 // microseconds, of at most maxTimes; guarded by mu
}

const maxTimes = 1 << 20

// sink is a subscriber without a socket.
type sink struct{ *counts }

// Deliver implements hub.Sink.
func (s sink) Deliver(m *hub.Message) bool {
	m.Encoded(func(m *hub.Message) any { return &m.Data })
	s.delivered.Add(1)
	if at, err := strconv.ParseInt(string(m.Data[1:1+timeDigits]), 10, 64); err == nil && at > 0 {
		took := float64(time.Now().UnixNano()-at) / 1e3
		s.mu.Lock()
		if len(s.times) < maxTimes {
			s.times = append(s.times, took)
		}
		s.mu.Unlock()
	}
	return true
}

// End implements hub.Sink.
func (sink) End(hub.End) {}

// Data is 128 bytes: a JSON string that begins with the time in nanoseconds, or zeros.
const (
	timeDigits = 19
	dataBytes  = 128
)

var padding = strings.Repeat("a", dataBytes-2-timeDigits)

func data(timed bool) []byte {
	var at int64
	if timed {
		at = time.Now().UnixNano()
	}
	return fmt.Appendf(make([]byte, 0, dataBytes), `"%0*d%s"`, timeDigits, at, padding)
}

func newNode(b hub.Broker) (*node, error) {
	h, err := hub.New(hub.Options{Broker: b, Topics: []hub.Rule{{Pattern: "kept.>", TopicOptions: hub.TopicOptions{HistoryMessages: 100}}}})
	return &node{hub: h, counts: &counts{}}, err
}

func topic(kept bool, n int) string {
	if kept {
		return "kept." + strconv.Itoa(n)
	}
	return "live." + strconv.Itoa(n)
}

func (n *node) do(c *command) (answer, error) {
	switch c.Do {
	case "publish":
		return n.publish(c)
	case "subscribe":
		return n.subscribe(c, c.Topics*c.Each, nil)
	case "prepare":
		return answer{}, n.prepare(c)
	case "resume":
		if len(n.since) != c.Topics {
			return answer{}, errors.New("resume comes after prepare")
		}
		return n.subscribe(c, c.Clients, n.since)
	case "clear":
		for _, s := range n.subscribers {
			s.Close()
		}
		n.subscribers = nil
		return answer{}, nil
	case "usage":
		return n.usage(c.Expected)
	}
	return answer{}, fmt.Errorf("%q is not a command", c.Do)
}

// publish publishes for some time.
func (n *node) publish(c *command) (answer, error) {
	began := time.Now()
	end := began.Add(time.Duration(c.Millis) * time.Millisecond)
	times := make([][]float64, c.InFlight)
	errs := make([]error, c.InFlight)
	var next atomic.Int64
	var workers sync.WaitGroup
	for w := range c.InFlight {
		workers.Go(func() {
			for errs[w] == nil {
				i := next.Add(1) - 1
				if c.Rate > 0 {
					due := began.Add(time.Duration(float64(i) / c.Rate * 1e9))
					time.Sleep(time.Until(due))
				}
				sent := time.Now()
				if !sent.Before(end) {
					return
				}
				_, errs[w] = n.hub.Publish(context.Background(), topic(c.Kept, int(i)%c.Topics), hub.Publication{Data: data(c.Rate > 0)})
				times[w] = append(times[w], float64(time.Since(sent))/1e3)
			}
		})
	}
	workers.Wait()
	var all []float64
	for _, t := range times {
		all = append(all, t...)
	}
	a := answer{Count: len(all), Seconds: time.Since(began).Seconds()}
	a.P50, a.P99 = percentiles(all)
	return a, errors.Join(errs...)
}

// subscribe makes subscribers of one topic each, from positions if there are some.
func (n *node) subscribe(c *command, count int, since []hub.Position) (answer, error) {
	const atOnce = 64
	began := time.Now()
	made := make([]*hub.Subscriber, count)
	errs := make([]error, atOnce)
	var next atomic.Int64
	var workers sync.WaitGroup
	for w := range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && errs[w] == nil; i = int(next.Add(1)) - 1 {
				o := hub.SubscribeOptions{}
				if since != nil {
					o.Since = &since[i%c.Topics]
				}
				made[i], errs[w] = n.one(n.sessions+i, topic(c.Kept, i%c.Topics), o)
			}
		})
	}
	workers.Wait()
	n.sessions += count
	n.subscribers = append(n.subscribers, made...)
	return answer{Seconds: time.Since(began).Seconds()}, errors.Join(errs...)
}

func (n *node) one(session int, topic string, o hub.SubscribeOptions) (*hub.Subscriber, error) {
	s, err := n.hub.Connect(hub.Connecting{Session: strconv.Itoa(session), Identity: hub.Identity{User: "load"}, Sink: sink{n.counts}})
	if err != nil {
		return nil, err
	}
	subscribed, err := s.Subscribe(context.Background(), topic, o)
	if err != nil {
		return nil, err
	}
	if o.Since != nil && !subscribed.Recovered {
		return nil, fmt.Errorf("%s was not recovered", topic)
	}
	subscribed.Begin()
	return s, nil
}

// prepare finds out the positions from which subscribers are to resume.
func (n *node) prepare(c *command) error {
	n.since = make([]hub.Position, c.Topics)
	for i := range n.since {
		page, err := n.hub.History(context.Background(), topic(c.Kept, i), hub.HistoryQuery{Limit: c.Missed + 1})
		if err != nil {
			return err
		}
		if len(page.Messages) != c.Missed+1 {
			return fmt.Errorf("%d messages in topic %d instead of %d", len(page.Messages), i, c.Missed+1)
		}
		n.since[i] = hub.Position{Epoch: page.Epoch, Offset: page.Messages[0].Offset}
	}
	return nil
}

// usage says what has happened since it was last asked, once so many messages have been delivered.
func (n *node) usage(expected int) (answer, error) {
	for end := time.Now().Add(patience); n.counts.delivered.Load() < int64(expected); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return answer{}, fmt.Errorf("%d of %d messages were delivered", n.counts.delivered.Load(), expected)
		}
	}
	cpu, err := cpuTime()
	if err != nil {
		return answer{}, err
	}
	n.counts.mu.Lock()
	a := answer{Delivered: int(n.counts.delivered.Swap(0)), CPU: float64(cpu - n.cpu)}
	a.P50, a.P99 = percentiles(n.counts.times)
	n.counts.times = nil
	n.counts.mu.Unlock()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a.Heap = int64(m.HeapAlloc)
	n.cpu, err = cpuTime() // the collections were ours
	return a, err
}

// cpuTime is what this process has used, user and system.
func cpuTime() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}
