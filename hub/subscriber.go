package hub

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// Sink is the far end of a Subscriber, such as a connection.
type Sink interface {
	// Deliver takes one message. It returns false when it has no room; then the hub keeps the message, by the topic's policy, and
	// offers what waits again after Subscriber.Ready. A sink that is closed returns true. It is called while the hub is held, which is
	// what gives all subscribers the same order, so it must not block and not call the hub.
	Deliver(m *Message) bool

	// End tells that the hub delivers nothing more, and why: the connection is to be closed. It is called at most once, on a goroutine
	// of its own, while nothing is held.
	End(why End)
}

// Connecting is what Connect needs.
type Connecting struct {
	// Session is the id of the subscriber, unique in the hub. Whoever connects with the id of a subscriber that is still there, or
	// suspended, takes its place: the old one ends with EndReplaced, and its presence goes over to the topics that the new one
	// subscribes to within 10 seconds, without a leave and a join.
	Session  string
	Identity Identity
	Sink     Sink
	// Turn counts the connections of a session over all nodes, from 1 for the first. Those with a lower one that are on other nodes end too,
	// in a moment. 0: there are none.
	Turn uint64
}

// inheritance is how long a subscriber may take to claim the presence of the one whose place it took.
const inheritance = 10 * time.Second

// Subscriber is one client of a hub. Its methods may be called from any goroutine, but not from within Sink.Deliver.
type Subscriber struct {
	hub   *Hub      // immutable
	id    string    // immutable
	sink  Sink      // immutable
	since time.Time // immutable
	turn  uint64    // immutable

	// Guarded by hub.mu.
	identity  *Identity
	subs      map[string]*subscription
	waiting   []*subscription // those with a queue that is not held
	notices   []*Message      // of KindUnsubscribed, for which there was no room
	blocked   bool            // the sink had no room
	ended     bool
	suspended bool
	requests  int
	rates     map[string]*bucket  // by topic
	expiry    *time.Timer         // nil if the identity does not expire
	inherited map[string]struct{} // topics in which the one before is present for this one
	grace     *time.Timer         // nil unless there are any
}

// Connect makes a new subscriber. The error, an *Error, says what is wrong with the identity.
func (h *Hub) Connect(c Connecting) (*Subscriber, error) {
	if err := checkIdentity(&c.Identity); err != nil {
		return nil, err
	}
	if c.Session == "" || len(c.Session) > MaxName {
		return nil, Errorf(CodeBadRequest, "a session's id is 1 to %d bytes", MaxName)
	}
	s := &Subscriber{
		hub: h, id: c.Session, sink: c.Sink, since: time.Now(), turn: c.Turn, identity: &c.Identity, subs: make(map[string]*subscription),
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, Errorf(CodeUnavailable, "the server stops")
	}
	user, leave := s.replace(h.subscribers[s.id])
	h.subscribers[s.id] = s
	s.watchExpiry()
	h.mu.Unlock()
	h.leaveLater(user, leave)
	if c.Turn > 1 {
		h.replaceElsewhere(replacement{s.id, c.Identity.User, c.Turn})
	}
	return s, nil
}

// Listen makes a subscriber of the program itself, for what it wants to hear. It may do everything, no hook is asked about it, it is present
// nowhere, and Sessions, Stats, Disconnect and Unsubscribe leave it out. What it publishes has no From. The error, an *Error, says that the
// hub is closed.
func (h *Hub) Listen(sink Sink) (*Subscriber, error) {
	s := &Subscriber{
		hub: h, id: "$" + rand.Text(), sink: sink, since: time.Now(), identity: &Identity{program: true}, subs: make(map[string]*subscription),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, Errorf(CodeUnavailable, "the server stops")
	}
	h.subscribers[s.id] = s
	h.stats.listeners++
	return s, nil
}

// replace takes the place of the subscriber that had the session, if there is one. It returns who is to leave what. The
// caller holds mu.
func (s *Subscriber) replace(old *Subscriber) (user string, leave []departure) {
	if old == nil {
		return "", nil
	}
	s.inherit(old)
	old.endLocked(End{Code: EndReplaced, Message: "the session goes on elsewhere"})
	if old.suspended {
		leave = old.closeLocked() // nobody else will
	}
	return old.identity.User, leave
}

// inherit takes over in which topics old is present. The caller holds mu.
func (s *Subscriber) inherit(old *Subscriber) {
	if old.identity.User != s.identity.User {
		return
	}
	s.inherited = old.bequeath()
	if len(s.inherited) > 0 {
		s.grace = time.AfterFunc(inheritance, s.leaveInherited)
	}
}

// bequeath gives away in which topics the subscriber is present. The caller holds mu.
func (s *Subscriber) bequeath() map[string]struct{} {
	topics := s.inherited
	s.inherited = nil
	for name, sub := range s.subs {
		if sub.entered {
			if topics == nil {
				topics = make(map[string]struct{})
			}
			topics[name] = struct{}{}
			sub.entered = false
		}
	}
	return topics
}

// leaveInherited ends the presence that was not claimed.
func (s *Subscriber) leaveInherited() {
	s.hub.mu.Lock()
	left := absences(maps.Keys(s.inherited))
	s.inherited = nil
	user := s.identity.User
	s.hub.mu.Unlock()
	s.hub.leaveLater(user, left)
}

// ID returns the session's id.
func (s *Subscriber) ID() string { return s.id }

// Identity returns who the subscriber is.
func (s *Subscriber) Identity() Identity {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return *s.identity
}

// publisher is what others may know. The caller holds mu.
func (s *Subscriber) publisher() Publisher { return Publisher{s.identity.User, s.identity.Info} }

// SetIdentity replaces what the subscriber may do, and until when. It must be the same user. Subscriptions that are no longer allowed
// end; the sink is told.
func (s *Subscriber) SetIdentity(i Identity) error {
	if err := checkIdentity(&i); err != nil {
		return err
	}
	s.hub.mu.Lock()
	if i.User != s.identity.User {
		s.hub.mu.Unlock()
		return Errorf(CodeTokenInvalid, "the new token is for another user")
	}
	s.identity = &i
	s.watchExpiry()
	s.hub.mu.Unlock()
	s.recheck()
	return nil
}

// watchExpiry ends the subscriber when its identity does. The caller holds mu.
func (s *Subscriber) watchExpiry() {
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	if s.identity.Expires.IsZero() || s.ended {
		return
	}
	i := s.identity
	s.expiry = time.AfterFunc(time.Until(i.Expires), func() {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		if s.identity == i {
			s.endLocked(End{Code: EndTokenExpired, Message: "your token has expired"})
		}
	})
}

// recheck ends the subscriptions that are no longer allowed.
func (s *Subscriber) recheck() {
	h := s.hub
	rules := *h.rules.Load()
	h.mu.Lock()
	var left []departure
	for name, sub := range s.subs {
		if !rules.may(s.identity, ActSubscribe, name) {
			left = append(left, s.dismiss(sub, Errorf(CodeForbidden, "you may no longer subscribe to %s", name)))
		}
	}
	user := s.identity.User
	h.mu.Unlock()
	h.leaveLater(user, left)
}

// dismiss ends a subscription and tells the sink. It returns what is to be left. The caller holds mu.
func (s *Subscriber) dismiss(sub *subscription, why *Error) (leave departure) {
	leave = s.drop(sub)
	m := &Message{Kind: KindUnsubscribed, Topic: sub.at.name, Reason: why}
	if s.blocked || len(s.notices) > 0 || !s.sink.Deliver(m) {
		s.blocked = true
		s.notices = append(s.notices, m)
	}
	return leave
}

// drop takes a subscription away. The caller holds mu.
func (s *Subscriber) drop(sub *subscription) (leave departure) {
	delete(s.subs, sub.at.name)
	sub.at.remove(sub)
	s.hub.vacate(sub.at)
	s.hub.stats.subscriptions--
	sub.gone = true
	if sub.queue != nil {
		sub.clear()
		sub.queue = nil
	}
	leave = departure{sub.at.name, sub.followed, sub.watched, sub.entered}
	sub.followed, sub.watched, sub.entered = false, false, false
	return leave
}

// Unsubscribe ends a subscription. When it returns, nothing more of it is delivered. The error, with CodeNotSubscribed, says that there is
// no such one.
func (s *Subscriber) Unsubscribe(topic string) error {
	h := s.hub
	h.mu.Lock()
	sub := s.subs[topic]
	if sub == nil {
		h.mu.Unlock()
		return Errorf(CodeNotSubscribed, "you are not subscribed to %q", topic)
	}
	leave := s.drop(sub)
	user := s.identity.User
	h.mu.Unlock()
	h.leave(user, []departure{leave})
	return nil
}

// Ready tells that the sink may have room again. A sink calls it after it has refused a message.
func (s *Subscriber) Ready() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.blocked = false
	s.drain()
}

// drain hands over what waits, until there is no more room: a batch of each subscription in turn. The caller holds mu.
func (s *Subscriber) drain() {
	for len(s.notices) > 0 && !s.ended {
		if !s.sink.Deliver(s.notices[0]) {
			s.blocked = true
			return
		}
		s.notices = slices.Delete(s.notices, 0, 1)
	}
	for len(s.waiting) > 0 && !s.ended {
		sub := s.waiting[0]
		if sub.gone || sub.flush() {
			s.waiting = slices.Delete(s.waiting, 0, 1)
			continue
		}
		if s.blocked {
			return
		}
		copy(s.waiting, s.waiting[1:])
		s.waiting[len(s.waiting)-1] = sub
	}
}

// endLocked lets the sink know that it is over; nothing is delivered any more. The caller holds mu.
func (s *Subscriber) endLocked(why End) {
	if s.ended {
		return
	}
	s.ended = true
	go s.sink.End(why)
}

// Suspend is Close for a connection that was lost: for a while the subscriber stays present in its topics, so that nobody sees a leave and a
// join if it comes back in that time (Connecting.Session).
func (s *Subscriber) Suspend(patience time.Duration) {
	h := s.hub
	h.mu.Lock()
	latest := h.subscribers[s.id] == s
	topics := s.bequeath()
	leave := s.closeLocked()
	if latest && len(topics) > 0 && !h.closed {
		s.inherited, s.suspended = topics, true
		h.subscribers[s.id] = s
		h.stats.suspended++
		s.grace = time.AfterFunc(patience, s.Close)
	} else {
		leave = append(leave, absences(maps.Keys(topics))...)
	}
	user := s.identity.User
	h.mu.Unlock()
	h.leaveLater(user, leave)
}

// Close takes the subscriber out of all its topics. It does not call Sink.End. A second call does nothing.
func (s *Subscriber) Close() {
	s.hub.mu.Lock()
	leave := s.closeLocked()
	user := s.identity.User
	s.hub.mu.Unlock()
	s.hub.leaveLater(user, leave)
}

// closeLocked returns what is to be left. The caller holds mu.
func (s *Subscriber) closeLocked() (leave []departure) {
	h := s.hub
	s.ended = true
	for _, sub := range s.subs {
		leave = append(leave, s.drop(sub))
	}
	leave = append(leave, absences(maps.Keys(s.inherited))...)
	s.inherited, s.waiting, s.notices = nil, nil, nil
	for _, t := range []*time.Timer{s.expiry, s.grace} {
		if t != nil {
			t.Stop()
		}
	}
	if h.subscribers[s.id] == s {
		delete(h.subscribers, s.id)
		if s.identity.program {
			h.stats.listeners--
		}
	}
	if s.suspended {
		s.suspended = false
		h.stats.suspended--
	}
	return leave
}
