package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duplex-websocket/duplex/client"
)

// swarm is all clients and what they know.
type swarm struct {
	o        *options
	dead     atomic.Bool // the first server
	attempts atomic.Int64
	received atomic.Int64   // bytes
	acked    []atomic.Int64 // by topic: how many messages have been acknowledged
	lastAck  atomic.Int64   // when, in nanoseconds
	stall    atomic.Int64   // the longest time between two of them
	members  []*member
	trouble  atomic.Pointer[error] // the first one

	mu       sync.Mutex
	failures map[string]int // why attempts failed; guarded by mu
}

// member is one client with its subscription.
type member struct {
	swarm  *swarm
	topic  int
	client *client.Client

	mu        sync.Mutex
	got       int64 // the number of the last message; guarded by mu, as is what follows
	delivered int
	missing   int // messages that were left out in silence
	gaps      int
	back      time.Time // when it was subscribed again
	need      int64     // messages that had been published then
	caughtUp  time.Time // when it had them
}

func topicName(n int) string { return "room." + strconv.Itoa(n) }

// counted counts what a connection receives.
type counted struct {
	net.Conn
	total *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.total.Add(int64(n))
	return n, err
}

// dial goes where a load balancer would send it: to the first server while that lives, then to one of the others.
func (s *swarm) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	at := 0
	if s.dead.Load() {
		at = 1 + rand.IntN(2)
		s.attempts.Add(1)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, s.o.servers[at])
	if err != nil {
		return nil, err
	}
	return counted{c, &s.received}, nil
}

// connect makes all clients and their subscriptions.
func (s *swarm) connect(ctx context.Context) error {
	const atOnce = 64
	s.members = make([]*member, s.o.clients)
	errs := make([]error, atOnce)
	var next atomic.Int64
	var workers sync.WaitGroup
	for w := range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < s.o.clients && errs[w] == nil; i = int(next.Add(1)) - 1 {
				s.members[i], errs[w] = s.join(ctx, i%s.o.topics)
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

func (s *swarm) join(ctx context.Context, topic int) (*member, error) {
	o := &client.Options{BaseDelay: s.o.delay, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	o.Dial.DialContext = s.dial
	o.OnStatus = s.status
	c, err := client.Dial(ctx, "ws://"+s.o.servers[0]+"/ws", o)
	if err != nil {
		return nil, err
	}
	sub, err := c.Subscribe(ctx, topicName(topic), nil)
	if err != nil {
		return nil, err
	}
	m := &member{swarm: s, topic: topic, client: c}
	go m.follow(ctx, sub)
	return m, nil
}

// status counts why attempts to come back fail.
func (s *swarm) status(now client.Status) {
	if now.State != client.Waiting || now.Err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == nil {
		s.failures = make(map[string]int)
	}
	if text := addresses.ReplaceAllString(now.Err.Error(), "ADDRESS"); s.failures[text] > 0 || len(s.failures) < maxFailures {
		s.failures[text]++
	}
}

const maxFailures = 100 // that are told apart

var addresses = regexp.MustCompile(`[0-9.]+:[0-9]+`)

// follow takes events until the program ends.
func (m *member) follow(ctx context.Context, sub *client.Subscription) {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			m.swarm.fail(fmt.Errorf("a subscription ended: %w", err))
			return
		}
		m.take(e)
	}
}

func (m *member) take(e client.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	switch e := e.(type) {
	case *client.Message:
		n, err := strconv.ParseInt(string(e.Data), 10, 64)
		if err != nil {
			m.swarm.fail(fmt.Errorf("a message with the data %q", e.Data))
			return
		}
		if n != m.got+1 {
			m.missing++
		}
		m.got = n
		m.delivered++
	case *client.Gap:
		m.gaps++
	case *client.Resubscribed:
		m.back, m.need = now, m.swarm.acked[m.topic].Load()
	}
	if !m.back.IsZero() && m.caughtUp.IsZero() && m.got >= m.need {
		m.caughtUp = now
	}
}

func (s *swarm) fail(err error) { s.trouble.CompareAndSwap(nil, &err) }

// publish publishes the numbers 1, 2, 3, ... to each topic at the rate, each when the one before is acknowledged, until stop is closed.
func (s *swarm) publish(ctx context.Context, stop <-chan struct{}) (wait func(), err error) {
	const publishers = 100
	c, err := client.Dial(ctx, "ws://"+s.o.servers[1]+"/ws", &client.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s.lastAck.Store(began.UnixNano())
	var all sync.WaitGroup
	for p := range min(publishers, s.o.topics) {
		all.Go(func() {
			for i := p; ; i += min(publishers, s.o.topics) {
				timer := time.NewTimer(time.Until(began.Add(time.Duration(float64(i) / s.o.rate * 1e9))))
				select {
				case <-stop:
					return
				case <-timer.C:
				}
				if err := s.one(ctx, c, i%s.o.topics, int64(i/s.o.topics)+1); err != nil {
					s.fail(fmt.Errorf("publish: %w", err))
					return
				}
			}
		})
	}
	return all.Wait, nil
}

func (s *swarm) one(ctx context.Context, c *client.Client, topic int, number int64) error {
	if _, err := c.Publish(ctx, topicName(topic), client.Publication{Data: strconv.AppendInt(nil, number, 10)}); err != nil {
		return err
	}
	s.acked[topic].Store(number)
	now := time.Now().UnixNano()
	if took := now - s.lastAck.Swap(now); took > s.stall.Load() {
		s.stall.Store(took)
	}
	return nil
}

// kill ends the first server at once.
func (s *swarm) kill() error {
	s.dead.Store(true)
	return syscall.Kill(s.o.pids[0], syscall.SIGKILL)
}
