package natsbroker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

// clock is a clock that only tests move.
type clock struct {
	base time.Time
	past atomic.Int64
}

func newClock(base time.Time) *clock      { return &clock{base: base} }
func (c *clock) now() time.Time           { return c.base.Add(time.Duration(c.past.Load())) }
func (c *clock) advance(by time.Duration) { c.past.Add(int64(by)) }
func (c *clock) settings() rosterSettings { return manual(c.now) }
func manual(now func() time.Time) rosterSettings {
	return rosterSettings{lease: hub.LeaseTime, every: hub.LeaseTime / 6, topic: topicAuditEvery, now: now, events: maxEvents, manual: true}
}

func automatic() rosterSettings {
	return rosterSettings{lease: time.Hour, every: 200 * time.Millisecond, topic: time.Second, now: time.Now, events: maxEvents}
}

// openRoster opens a broker that has a roster and a bus, and nothing else.
func openRoster(t *testing.T, o Options, settings rosterSettings, servers ...*server.Server) *Broker {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	o.Conn = connect(t, strings.Join(urls, ","))
	return openRosterAt(t, o, settings)
}

func openRosterAt(t *testing.T, o Options, settings rosterSettings) *Broker {
	t.Helper()
	o.Replicas, o.PublishTimeout = max(1, o.Replicas), 5*time.Second
	b := &Broker{options: o, logger: slog.New(slog.NewTextHandler(t.Output(), nil)), nc: o.Conn, names: newNames(o.Name)}
	b.life, b.end = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var err error
	if b.js, err = jetstream.New(o.Conn); err != nil {
		t.Fatal(err)
	}
	if b.roster, err = newRosterWith(ctx, b, settings); err != nil {
		t.Fatal(err)
	}
	if b.bus, err = newBus(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for n := range maps.Clone(b.roster.attached) {
			b.bus.detach(n)
			b.roster.detach(n)
		}
		b.end()
		b.running.Wait()
	})
	return b
}

// spy is a node that writes down what it is told.
type spy struct {
	t *testing.T
	b *Broker

	mu      sync.Mutex
	do      func(command string, data []byte) []byte // guarded by mu, as is what follows
	answer  func(ctx context.Context, method string, data []byte) []byte
	told    []string
	last    map[string]bool // what was told last, by topic and user
	here    map[string]bool // those of whom that they are here
	changed chan struct{}
}

func attachSpy(t *testing.T, b *Broker) *spy {
	t.Helper()
	s := &spy{t: t, b: b, last: make(map[string]bool), here: make(map[string]bool), changed: make(chan struct{}, 1)}
	if err := b.roster.attach(s); err != nil {
		t.Fatal(err)
	}
	if err := b.bus.attach(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *spy) Deliver(string, *hub.Message)               {}
func (s *spy) Missed(string, hub.GapReason, hub.Position) {}
func (s *spy) Keeps(string) bool                          { return true }

func (s *spy) Do(command string, data []byte) []byte {
	s.mu.Lock()
	do := s.do
	s.mu.Unlock()
	return do(command, data)
}

func (s *spy) Answer(ctx context.Context, method string, data []byte) []byte {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, method, data)
}

func (s *spy) does(f func(command string, data []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = f
}

func (s *spy) answers(f func(ctx context.Context, method string, data []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *spy) PresenceChanged(topic string, who hub.Publisher, here bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := topic + " " + who.User
	if last, known := s.last[key]; known && last == here {
		s.t.Errorf("%s was told twice: %v", key, here)
	}
	s.last[key] = here
	if s.here[key] = here; !here {
		delete(s.here, key)
	}
	s.told = append(s.told, fmt.Sprintf("%s %v", key, here))
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// until waits until what the node was told satisfies done.
func (s *spy) until(what string, done func() bool) {
	s.t.Helper()
	timeout := time.After(startTimeout)
	for {
		s.mu.Lock()
		ok := done()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-timeout:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("%s did not come: told %q, here are %q", what, s.told[max(0, len(s.told)-20):], slices.Sorted(maps.Keys(s.here)))
		}
	}
}

// sees waits until exactly these users are here.
func (s *spy) sees(topic string, users ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("that %q are in %s", users, topic), func() bool {
		n := 0
		for key := range s.here {
			if strings.HasPrefix(key, topic+" ") {
				n++
			}
		}
		return n == len(users) && !slices.ContainsFunc(users, func(user string) bool { return !s.here[topic+" "+user] })
	})
}

func (s *spy) watch(topic string) {
	s.t.Helper()
	if err := s.b.Watch(s.t.Context(), s, topic); err != nil {
		s.t.Fatal(err)
	}
}

func (s *spy) enter(topic, user string) {
	s.t.Helper()
	if err := s.b.Enter(s.t.Context(), s, topic, hub.Publisher{User: user}, false); err != nil {
		s.t.Fatal(err)
	}
}

func (s *spy) leave(topic, user string) {
	s.t.Helper()
	if err := s.b.Leave(s.t.Context(), s, topic, user); err != nil {
		s.t.Fatal(err)
	}
}

func (s *spy) renew() (kept bool) {
	s.t.Helper()
	kept, err := s.b.Renew(s.t.Context(), s)
	if err != nil {
		s.t.Fatal(err)
	}
	return kept
}

func (s *spy) present(topic string, limit int) hub.Present {
	s.t.Helper()
	p, err := s.b.Present(s.t.Context(), topic, limit)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// id returns the node's present id.
func (s *spy) id() string {
	m, err := s.b.roster.memberOf(s)
	if err != nil {
		s.t.Fatal(err)
	}
	return m.id
}

// keys returns the keys in the bucket that match, those of records that are only markers left out.
func keys(t *testing.T, b *Broker, pattern string) (all []string) {
	t.Helper()
	_, err := b.roster.bucket.scan(t.Context(), pattern, func(rec record) {
		if len(rec.data) > 0 {
			all = append(all, rec.key)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// eventually waits until something that nobody tells of holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// state returns the state of a node's lease in the bucket.
func state(t *testing.T, b *Broker, node string) leaseState {
	t.Helper()
	rec, err := b.roster.bucket.last(t.Context(), leaseKeys+node)
	if err != nil {
		t.Fatal(err)
	}
	var v leaseValue
	if err := json.Unmarshal(rec.data, &v); err != nil {
		t.Fatal(err)
	}
	return v.State
}
