package rooms

import (
	"container/list"
	"sync"
	"time"
)

type topic struct {
	hub  *Hub   // immutable
	name string // immutable

	// Guarded by hub.mu.
	holds  int           // members, and calls that are under way
	idle   *list.Element // in hub.idle while holds is 0
	expiry *time.Timer   // set together with idle

	mu      sync.Mutex
	members []*Membership          // guarded by mu; in no particular order
	byID    map[string]*Membership // guarded by mu; the same members
	history history                // guarded by mu
	seen    recent                 // guarded by mu
}

func newTopic(h *Hub, name string) *topic {
	return &topic{hub: h, name: name, byID: make(map[string]*Membership), seen: recent{limit: h.options.Remember}}
}

// Membership is one subscriber's place in one topic, from Join to Leave. Its methods may be called from any goroutine, under
// the same rule as those of Hub.
type Membership struct {
	topic      *topic     // immutable
	presence   Presence   // immutable
	subscriber Subscriber // immutable
	index      int        // in topic.members, -1 after leaving; guarded by topic.mu
}

// Presence returns the id and the info given to Join.
func (m *Membership) Presence() Presence { return m.presence }

// Topic returns the topic's name.
func (m *Membership) Topic() string { return m.topic.name }

// Publish sends a message to all members of the topic, the publisher included. It reports whether the message was
// delivered: false without an error means that it was a retry (Publication.ID). After Leave, or after another has taken this
// place, it returns ErrNotMember.
func (m *Membership) Publish(p Publication) (bool, error) { return m.topic.publish(m, p) }

// Leave ends the membership. When it returns, the subscriber gets no further message of the topic. A second call does nothing.
func (m *Membership) Leave() {
	if m.topic.leave(m) {
		m.topic.hub.release(m.topic)
	}
}

// join adds a member; replaced says that it took the place of another, and with it the hold on the topic.
func (t *topic) join(j Joining) (m *Membership, replaced bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.byID[j.ID]
	switch {
	case old != nil && (j.Replace == nil || !j.Replace(old.subscriber)):
		return nil, false, ErrTaken
	case old == nil && len(t.members) >= t.hub.options.MaxMembers:
		return nil, false, ErrTopicFull
	}
	m = &Membership{topic: t, presence: j.Presence, subscriber: j.Subscriber}
	if old != nil {
		t.remove(old)
	} else if t.hub.options.Presence {
		t.deliver(&Message{Topic: t.name, Kind: KindJoin, Publisher: j.Presence})
	}
	m.index = len(t.members)
	t.members = append(t.members, m)
	t.byID[j.ID] = m
	if j.Welcome != nil {
		w := Welcome{History: t.history.snapshot()}
		if t.hub.options.Presence {
			w.Members = t.list()
		}
		if old != nil {
			w.Replaced = old.subscriber
		}
		j.Welcome(w)
	}
	return m, old != nil, nil
}

// leave reports whether m was a member until now.
func (t *topic) leave(m *Membership) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.index < 0 {
		return false
	}
	t.remove(m)
	if t.hub.options.Presence {
		t.deliver(&Message{Topic: t.name, Kind: KindLeave, Publisher: m.presence})
	}
	return true
}

// remove moves the last member into the place of m. The caller holds mu.
func (t *topic) remove(m *Membership) {
	last := len(t.members) - 1
	t.members[m.index] = t.members[last]
	t.members[m.index].index = m.index
	t.members[last] = nil
	t.members = t.members[:last]
	delete(t.byID, m.presence.ID)
	m.index = -1
}

// publish delivers p to all members, from m, or from the program itself when m is nil.
func (t *topic) publish(m *Membership, p Publication) (bool, error) {
	keep := t.hub.options.HistoryMessages > 0
	if keep {
		t.hub.makeRoom(int64(len(p.Data))) // before mu is taken: see the order of locks at Hub
	}
	message := &Message{Topic: t.name, Data: p.Data, Binary: p.Binary}
	t.mu.Lock()
	defer t.mu.Unlock()
	if m != nil {
		if m.index < 0 {
			return false, ErrNotMember
		}
		message.Publisher = m.presence
	}
	if p.ID != "" && !t.seen.add(publicationKey{message.Publisher.ID, p.ID}) {
		return false, nil
	}
	if keep {
		t.history.add(t.hub, message)
	}
	t.deliver(message)
	return true, nil
}

// deliver hands a message to all members. The caller holds mu.
func (t *topic) deliver(message *Message) {
	for _, m := range t.members {
		m.subscriber.Deliver(message)
	}
}

// list copies who is there. The caller holds mu.
func (t *topic) list() []Presence {
	all := make([]Presence, len(t.members))
	for i, m := range t.members {
		all[i] = m.presence
	}
	return all
}

func (t *topic) presences() []Presence {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list()
}

func (t *topic) member(id string) Subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.byID[id]; m != nil {
		return m.subscriber
	}
	return nil
}

func (t *topic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.members)
}

func (t *topic) hasHistory() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.history.messages) > 0
}

func (t *topic) dropHistory() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.history.messages) > 0 {
		t.history.dropOldest(t.hub)
	}
}
