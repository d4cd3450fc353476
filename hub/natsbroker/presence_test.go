package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// model is who should be in a topic.
type model struct {
	mu          sync.Mutex
	connections map[string]int // by user, over all nodes
}

func (m *model) add(user string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.connections[user] += n; m.connections[user] == 0 {
		delete(m.connections, user)
	}
}

func (m *model) present() (users []string, connections int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for user, n := range m.connections {
		users = append(users, user)
		connections += n
	}
	slices.Sort(users)
	return users, connections
}

// churn has each node let its part of so many users come and go, some of them with more than one connection, some from both nodes.
func churn(t *testing.T, m *model, topic string, users, workers int, nodes ...*spy) {
	t.Helper()
	var working sync.WaitGroup
	for w := range workers {
		random := rand.New(rand.NewPCG(1, uint64(w)))
		working.Go(func() {
			for i := w; i < users; i += workers {
				user := fmt.Sprint("user ", i)
				here := make([]int, len(nodes))
				for range 1 + random.IntN(3) {
					at := random.IntN(len(nodes))
					n := nodes[at]
					if here[at] > 0 && random.IntN(3) > 0 {
						n.leave(topic, user)
						m.add(user, -1)
						here[at]--
					} else {
						n.enter(topic, user)
						m.add(user, 1)
						here[at]++
					}
				}
				for at, n := range nodes {
					for ; here[at] > 0 && i%3 > 0; here[at]-- {
						n.leave(topic, user)
						m.add(user, -1)
					}
				}
			}
		})
	}
	working.Wait()
}

// agree waits until the nodes, which watch a topic, see what the model says.
func agree(t *testing.T, m *model, topic string, nodes ...*spy) {
	t.Helper()
	users, connections := m.present()
	for _, n := range nodes {
		n.sees(topic, users...)
		eventually(t, "an agreement about connections", func() bool { return n.present(topic, len(users)+1).Connections == connections })
		p := n.present(topic, len(users)+1)
		if p.Count != len(users) || len(p.Users) != len(users) {
			t.Fatalf("%d and %d are present, not %d", p.Count, len(p.Users), len(users))
		}
		for i, u := range p.Users {
			if u.User != users[i] || u.Connections != m.connections[u.User] {
				t.Fatalf("%s has %d connections; want %s with %d", u.User, u.Connections, users[i], m.connections[users[i]])
			}
		}
	}
}

// leaves takes away a connection that a user has through this node, if there is one. It need not be stored at once.
func (s *spy) leaves(topic, user string) bool {
	m, err := s.b.roster.memberOf(s)
	if err != nil {
		s.t.Fatal(err)
	}
	m.mu.Lock()
	l := m.all[m.key(topic, user)]
	here := l != nil && l.connections > 0
	m.mu.Unlock()
	if here {
		if err := s.b.Leave(s.t.Context(), s, topic, user); err != nil && !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			s.t.Error(err)
		}
	}
	return here
}

// Ten thousand users come and go quickly.
func TestPresenceChurn(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	a, b := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	third := attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	b.watch("t")
	m := &model{connections: make(map[string]int)}
	churn(t, m, "t", 5_000, 200, a, b)
	agree(t, m, "t", a, b)
	users, connections := m.present()
	if p := third.present("t", len(users)); p.Count != len(users) || p.Connections != connections {
		t.Errorf("present are %d with %d connections, want %d with %d", p.Count, p.Connections, len(users), connections)
	}
	third.watch("t") // from now on
	a.enter("t", "the last")
	third.until("the last one", func() bool { return slices.Equal(third.told, []string{"t the last true"}) })
}

// Events that do not fit are made up for.
func TestPresenceOverflow(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	small := automatic()
	small.events, small.every, small.topic = 8, time.Hour, time.Hour // nothing else can find it out
	a, b := attachSpy(t, openRoster(t, o, small, s)), attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	m := &model{connections: make(map[string]int)}
	churn(t, m, "t", 100, 10, b)
	agree(t, m, "t", a)
	a.b.roster.mu.Lock() // nothing is looked at meanwhile
	churn(t, m, "t", 300, 10, b)
	dropped := 0
	for _, w := range a.b.roster.watches {
		n, err := w.sub.Dropped()
		if err != nil {
			t.Error(err)
		}
		dropped += n
	}
	a.b.roster.mu.Unlock()
	if dropped == 0 {
		t.Error("all events fitted")
	}
	agree(t, m, "t", a)
}

// The server is restarted, and what is stored is still there. What happened meanwhile is made up for.
func TestPresenceOverRestart(t *testing.T) {
	so := server.Options{StoreDir: t.TempDir(), Port: freePort(t)}
	s := startServer(t, so)
	o := Options{Name: newName()}
	a, b := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	b.watch("t")
	m := &model{connections: make(map[string]int)}
	churn(t, m, "t", 100, 10, a, b)
	agree(t, m, "t", a, b)
	s.Shutdown()
	s.WaitForShutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := a.b.Enter(ctx, a, "t", hub.Publisher{User: "late"}, false)
	if !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
		t.Errorf("entering without NATS: %v", err)
	}
	gone, _ := m.present()
	for _, user := range gone[:10] {
		for _, n := range []*spy{a, b} {
			for n.leaves("t", user) {
				m.add(user, -1)
			}
		}
	}
	startServer(t, so)
	agree(t, m, "t", a, b)
	if !a.renew() || !b.renew() {
		t.Error("a lease was over")
	}
	churn(t, m, "t", 100, 10, a, b)
	agree(t, m, "t", a, b)
}

// Events that get lost on their way, unseen by anybody, are made up for; also when the bucket does not remember any more that somebody left.
func TestPresenceLostEvents(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	c := newClock(time.Now())
	a, b := attachSpy(t, openRoster(t, o, c.settings(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	b.b.roster.bucket.marker = time.Second
	a.watch("t")
	a.enter("t", "eve")
	b.enter("t", "ann")
	b.enter("t", "bob")
	a.sees("t", "ann", "bob", "eve")
	a.b.roster.mu.Lock()
	w := a.b.roster.watches[token("t")]
	a.b.roster.mu.Unlock()
	if err := w.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	b.leave("t", "ann")
	b.enter("t", "cid")
	eventually(t, "the end of the marker", func() bool {
		_, err := a.b.roster.bucket.last(t.Context(), entryKey{token("t"), b.id(), token("ann")}.String())
		return errors.Is(err, errNone)
	})
	a.b.roster.auditNow()
	a.sees("t", "ann", "bob", "eve") // an audit is not due yet
	c.advance(2 * topicAuditEvery)
	a.b.roster.auditNow()
	a.sees("t", "bob", "cid", "eve")
}

// Entries are kept by being written again, which nobody is told of.
func TestPresenceForDays(t *testing.T) {
	s := startServer(t, server.Options{})
	c := newClock(time.Now())
	n := attachSpy(t, openRoster(t, Options{Name: newName()}, c.settings(), s))
	n.watch("t")
	if err := n.b.Enter(t.Context(), n, "t", hub.Publisher{User: "ann", Info: []byte("1")}, false); err != nil {
		t.Fatal(err)
	}
	n.enter("t", "bob")
	n.leave("t", "bob")
	key := entryKey{token("t"), n.id(), token("ann")}.String()
	first, err := n.b.roster.bucket.last(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		c.advance(time.Hour)
		n.renew()
	}
	if again, err := n.b.roster.bucket.last(t.Context(), key); err != nil || again.sequence != first.sequence {
		t.Errorf("an entry is written too early, %v", err)
	}
	for range 2 {
		c.advance(time.Hour)
		n.renew()
	}
	eventually(t, "an entry that is written again", func() bool {
		again, err := n.b.roster.bucket.last(t.Context(), key)
		return err == nil && again.sequence > first.sequence
	})
	n.enter("t", "cid")
	n.until("all events", func() bool { return len(n.told) >= 4 })
	if p := n.present("t", 10); len(p.Users) != 2 || string(p.Users[0].Info) != "1" {
		t.Errorf("present are %+v", p)
	}
	if want := []string{"t ann true", "t bob true", "t bob false", "t cid true"}; !slices.Equal(n.told, want) {
		t.Errorf("told %q", n.told)
	}
}
