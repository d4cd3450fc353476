package hub

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// roster is who is in which topic, and through which node. Its owner's lock guards it.
type roster struct {
	nodes  map[Node]*lease
	topics map[string]*crowd
}

// lease is a node, and the connections that are present through it.
type lease struct {
	renewed time.Time
	here    map[presenceKey]int
}

type presenceKey struct{ topic, user string }

// crowd is who is in one topic.
type crowd struct {
	users       map[string]*PresentUser
	connections int
}

func newRoster() roster {
	return roster{nodes: make(map[Node]*lease), topics: make(map[string]*crowd)}
}

func (r *roster) attach(n Node) { r.nodes[n] = &lease{renewed: time.Now()} }

func (r *roster) detach(n Node) {
	if l := r.nodes[n]; l != nil {
		delete(r.nodes, n)
		r.empty(l)
	}
}

// expire makes all leave that are present through a node that has not renewed its lease.
func (r *roster) expire(now time.Time) {
	for _, l := range r.nodes {
		if now.Sub(l.renewed) >= LeaseTime {
			r.empty(l)
		}
	}
}

func (r *roster) empty(l *lease) {
	here := l.here
	l.here = nil
	for key, connections := range here {
		r.change(key.topic, Publisher{User: key.user}, -connections)
	}
}

// change adds or takes connections, and tells all nodes when a user comes or goes.
func (r *roster) change(topic string, who Publisher, connections int) {
	c := r.topics[topic]
	if c == nil {
		c = &crowd{users: make(map[string]*PresentUser)}
		r.topics[topic] = c
	}
	u := c.users[who.User]
	if u == nil {
		u = &PresentUser{Publisher: who}
		c.users[who.User] = u
		r.tell(topic, who, true)
	}
	if connections > 0 {
		u.Info = who.Info
	}
	u.Connections += connections
	c.connections += connections
	if u.Connections > 0 {
		return
	}
	delete(c.users, who.User)
	if len(c.users) == 0 {
		delete(r.topics, topic)
	}
	r.tell(topic, u.Publisher, false)
}

func (r *roster) tell(topic string, who Publisher, here bool) {
	for n := range r.nodes {
		n.PresenceChanged(topic, who, here)
	}
}

// Watch implements Broker. All nodes are told of everything.
func (b *MemoryBroker) Watch(context.Context, Node, string) error { return nil }

// Unwatch implements Broker.
func (b *MemoryBroker) Unwatch(Node, string) {}

// Enter implements Broker.
func (b *MemoryBroker) Enter(_ context.Context, n Node, topic string, who Publisher, _ bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.roster.nodes[n]
	if l == nil {
		return Errorf(CodeUnavailable, "the hub has left its broker")
	}
	if l.here == nil {
		l.here = make(map[presenceKey]int)
	}
	l.here[presenceKey{topic, who.User}]++
	b.roster.change(topic, who, 1)
	return nil
}

// Leave implements Broker. Who is not there, because the lease was over, has left already.
func (b *MemoryBroker) Leave(_ context.Context, n Node, topic, user string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := presenceKey{topic, user}
	l := b.roster.nodes[n]
	if l == nil || l.here[key] == 0 {
		return nil
	}
	if l.here[key]--; l.here[key] == 0 {
		delete(l.here, key)
	}
	b.roster.change(topic, Publisher{User: user}, -1)
	return nil
}

// Present implements Broker.
func (b *MemoryBroker) Present(_ context.Context, topic string, limit int) (Present, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.roster.topics[topic]
	if c == nil {
		return Present{}, nil
	}
	p := Present{Count: len(c.users), Connections: c.connections}
	if limit == 0 {
		return p, nil
	}
	p.Users = make([]PresentUser, 0, len(c.users))
	for _, u := range c.users {
		p.Users = append(p.Users, *u)
	}
	slices.SortFunc(p.Users, func(a, b PresentUser) int { return cmp.Compare(a.User, b.User) })
	p.Users = p.Users[:min(limit, len(p.Users))]
	return p, nil
}

// Renew implements Broker.
func (b *MemoryBroker) Renew(_ context.Context, n Node) (kept bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.roster.nodes[n]
	if l == nil {
		return false, Errorf(CodeUnavailable, "the hub has left its broker")
	}
	kept = time.Since(l.renewed) < LeaseTime
	l.renewed = time.Now()
	if !kept {
		b.roster.empty(l)
	}
	return kept, nil
}
