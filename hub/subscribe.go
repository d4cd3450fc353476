package hub

import (
	"context"
	"errors"
)

// rereads is how often a subscription is read anew because too much came while it was being read.
const rereads = 3

// SubscribeOptions say with what a subscription begins.
type SubscribeOptions struct {
	Since    *Position // with what came after it
	Last     int       // without Since: with the last so many messages that the topic keeps, at most 1,000
	Presence bool      // be told of joins and leaves; needs a topic, and the permission to read its presence
}

// Subscribed is a subscription that has not begun: call Begin once the client knows of it.
type Subscribed struct {
	Position  Position // the one before the first message
	Recovered bool     // with Since: nothing was lost
	sub       *subscription
}

// Begin makes deliveries start with what the subscription begins with.
func (s *Subscribed) Begin() {
	o := s.sub.owner
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	if s.sub.gone || !s.sub.queue.held {
		return
	}
	s.sub.queue.held = false
	o.waiting = append(o.waiting, s.sub)
	if !o.blocked {
		o.drain()
	}
}

// Subscribe subscribes to a topic or a pattern. The errors are *Error, or that of ctx.
func (s *Subscriber) Subscribe(ctx context.Context, topic string, o SubscribeOptions) (Subscribed, error) {
	if err := s.mayNow(topic, &o); err != nil {
		return Subscribed{}, err
	}
	identity := s.Identity()
	if hook := s.hub.options.Hooks.Subscribe; hook != nil && !identity.program {
		if err := s.hub.ask(func() error {
			return hook(&SubscribeCall{Context: ctx, Session: s.id, Identity: &identity, Topic: topic})
		}); err != nil {
			return Subscribed{}, err
		}
	}
	sub, err := s.open(topic, o.Presence)
	if err != nil {
		return Subscribed{}, err
	}
	result, err := s.begin(ctx, sub, o)
	if err != nil {
		if s.Unsubscribe(topic) != nil && ctx.Err() == nil {
			return Subscribed{}, Errorf(CodeNotSubscribed, "the subscription has ended before it began")
		}
		return Subscribed{}, err
	}
	return result, nil
}

func (s *Subscriber) mayNow(topic string, o *SubscribeOptions) error {
	if err := CheckPattern(topic); err != nil {
		return err
	}
	if o.Last < 0 || o.Last > maxPage {
		return Errorf(CodeBadRequest, "last is 0 to %d", maxPage)
	}
	rules := *s.hub.rules.Load()
	identity := s.Identity()
	switch {
	case !rules.may(&identity, ActSubscribe, topic):
		return Errorf(CodeForbidden, "you may not subscribe to %s", topic)
	case o.Last > 0 && !rules.may(&identity, ActHistory, topic):
		return Errorf(CodeForbidden, "you may not read the history of %s", topic)
	case o.Presence && isPattern(topic):
		return Errorf(CodeBadRequest, "presence is of a topic, not of the pattern %s", topic)
	case o.Presence && rules.of(topic).Presence != PresenceFull:
		return Errorf(CodeNoPresence, "%s does not tell who comes and goes", topic)
	case o.Presence && !rules.may(&identity, ActPresence, topic):
		return Errorf(CodeForbidden, "you may not know who is in %s", topic)
	}
	return nil
}

// open takes a place in the topic; what comes from now on waits.
func (s *Subscriber) open(topic string, presence bool) (*subscription, error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.ended:
		return nil, ErrEnded
	case s.subs[topic] != nil:
		return nil, Errorf(CodeAlreadySubscribed, "you are subscribed to %s already", topic)
	case len(s.subs) >= h.MaxSubscriptions():
		return nil, Errorf(CodeTooManySubscriptions, "a session has at most %d subscriptions", h.MaxSubscriptions())
	}
	at := h.open(topic)
	if at.rule != nil && at.rule.MaxSubscribers > 0 && len(at.subs) >= at.rule.MaxSubscribers {
		h.vacate(at)
		return nil, Errorf(CodeTopicFull, "%s has as many subscribers as it may have", topic)
	}
	sub := &subscription{owner: s, at: at, presence: presence, queue: &queue{held: true, reading: true}}
	at.add(sub)
	s.subs[topic] = sub
	h.stats.subscriptions++
	if _, here := s.inherited[topic]; here {
		delete(s.inherited, topic)
		sub.entered = true
	}
	return sub, nil
}

// begin has the broker deliver, makes the subscriber present, and reads what the subscription begins with.
func (s *Subscriber) begin(ctx context.Context, sub *subscription, o SubscribeOptions) (Subscribed, error) {
	if err := s.follow(ctx, sub); err != nil {
		return Subscribed{}, err
	}
	if err := s.enter(ctx, sub); err != nil {
		return Subscribed{}, err
	}
	for range rereads {
		q := s.hub.rules.Load().query(ReadQuery{Topic: sub.at.name, Since: o.Since, Limit: o.Last})
		log, err := s.hub.broker.Read(ctx, q)
		if err != nil {
			return Subscribed{}, err
		}
		if o.Since != nil && o.Since.Epoch == log.Top.Epoch && o.Since.Offset > log.Top.Offset {
			return Subscribed{}, Errorf(CodeBadRequest, "since is ahead of what has been published: offset %d of %d", o.Since.Offset, log.Top.Offset)
		}
		result, err := s.settle(sub, o, &log)
		if !errors.Is(err, errOverflow) {
			return result, err
		}
	}
	return Subscribed{}, Errorf(CodeUnavailable, "more is published to %s than can be caught up with", sub.at.name)
}

var errOverflow = errors.New("more came meanwhile than may wait")

// enter makes the subscriber present in a topic whose rule wants to know.
func (s *Subscriber) enter(ctx context.Context, sub *subscription) error {
	h := s.hub
	h.mu.Lock()
	needed := !sub.entered && !s.identity.program && sub.at.rule != nil && sub.at.rule.Presence != PresenceOff
	counted := needed && sub.at.rule.Presence == PresenceCount
	who := s.publisher()
	h.mu.Unlock()
	if !needed {
		return nil
	}
	if err := h.broker.Enter(ctx, h, sub.at.name, who, counted); err != nil {
		return err
	}
	h.claim(sub, &sub.entered, who.User, departure{at: sub.at.name, entered: true})
	return nil
}

// follow has the broker deliver what the subscription is for.
func (s *Subscriber) follow(ctx context.Context, sub *subscription) error {
	h := s.hub
	if err := h.broker.Follow(ctx, h, sub.at.name); err != nil {
		return err
	}
	h.claim(sub, &sub.followed, "", departure{at: sub.at.name, followed: true})
	if !sub.presence {
		return nil
	}
	if err := h.broker.Watch(ctx, h, sub.at.name); err != nil {
		return err
	}
	h.claim(sub, &sub.watched, "", departure{at: sub.at.name, watched: true})
	return nil
}

// claim notes what the broker holds for a subscription, or gives it back if the subscription has ended meanwhile.
func (h *Hub) claim(sub *subscription, held *bool, user string, d departure) {
	h.mu.Lock()
	gone := sub.gone
	*held = !gone
	h.mu.Unlock()
	if gone {
		h.leave(user, []departure{d})
	}
}

// settle puts what was read before what has come meanwhile.
func (s *Subscriber) settle(sub *subscription, o SubscribeOptions, log *Log) (Subscribed, error) {
	h := s.hub
	rules := *h.rules.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	if sub.gone {
		return Subscribed{}, Errorf(CodeNotSubscribed, "the subscription has ended before it began")
	}
	q := sub.queue
	if q.overflow {
		q.overflow = false
		return Subscribed{}, errOverflow
	}
	later := q.items
	sub.clear()
	base, gap, missed := catchUp(&o, log, rules.may(s.identity, ActHistory, sub.at.name))
	sub.at.epoch, sub.last, sub.read = base.Epoch, base.Offset, log.Top.Offset
	if gap != nil {
		q.missed = loss{gap, log.LostTopic, rules.of(log.LostTopic)}
	}
	for _, m := range missed {
		if sub.at.rule == nil {
			m = m.through(sub.at.name)
		}
		sub.keep(m)
	}
	for _, m := range later {
		if m.Kind != KindData || m.Offset == 0 || m.Offset > log.Top.Offset {
			sub.keep(m)
		}
	}
	q.reading = false
	q.allowedMessages, q.allowedBytes = q.count, q.bytes
	return Subscribed{Position: base, Recovered: o.Since != nil && gap == nil, sub: sub}, nil
}

// keep adds a message to what the subscription begins with.
func (s *subscription) keep(m *Message) {
	if m.Except == "" || m.Except != s.owner.id {
		s.add(m, false)
	}
}

// catchUp decides with which position and messages a subscription begins, and what is lost before them.
func catchUp(o *SubscribeOptions, log *Log, mayRead bool) (base Position, gap *Gap, missed []*Message) {
	top := log.Top
	switch since := o.Since; {
	case since == nil && len(log.Messages) > 0:
		return Position{top.Epoch, log.Messages[0].Offset - 1}, nil, log.Messages
	case since == nil:
		return top, nil, nil
	case since.Epoch != top.Epoch && mayRead:
		until := Position{top.Epoch, log.Lost.Offset}
		base = until
		if len(log.Messages) > 0 { // of a pattern, one topic may keep what is older than what another has lost
			base.Offset = min(base.Offset, log.Messages[0].Offset-1)
		}
		return base, &Gap{Reason: GapEpoch, Since: *since, Until: until}, log.Messages
	case since.Epoch != top.Epoch:
		return top, &Gap{Reason: GapEpoch, Since: *since, Until: top}, nil
	case !mayRead && (!log.Lost.IsZero() || len(log.Messages) > 0):
		return top, &Gap{Reason: GapExpired, Since: *since, Until: top}, nil
	case !log.Lost.IsZero():
		gap = &Gap{Reason: GapExpired, Since: *since, Until: log.Lost}
	}
	return *o.Since, gap, log.Messages
}
