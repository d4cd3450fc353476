package hub

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxSubscriptions = 1000
	defaultMaxRequests      = 16
)

// Hub is a set of topics and of those who subscribe to them. All its methods may be called from any goroutine, but not from
// within Sink.Deliver.
type Hub struct {
	options Options // immutable; Topics are in rules, the limits in limits
	broker  Broker  // immutable
	detach  func()  // immutable
	rules   atomic.Pointer[ruleset]
	limits  atomic.Pointer[limits]

	handlers     handlers
	commands     commands
	boards       boards
	departures   departures
	replacements replacements
	meanwhile    int // immutable: meanwhileMessages, but in tests

	mu          sync.Mutex
	topics      map[string]*place      // with subscribers here; guarded by mu, as is all below
	patterns    patterns               // with subscribers here
	subscribers map[string]*Subscriber // by session
	closed      bool
	lease       *time.Timer
	stats       hubStats
}

// hubStats are kept up to date, so that asking for them costs little.
type hubStats struct {
	subscriptions  int
	suspended      int // subscribers
	listeners      int // subscribers that are the program itself
	queuedMessages int
	queuedBytes    int64
}

// New returns a hub. The error says which rule is wrong, or that the broker cannot be attached to.
func New(o Options) (*Hub, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Broker == nil {
		o.Broker = NewMemoryBroker(MemoryOptions{})
	}
	h := &Hub{options: o, broker: o.Broker, meanwhile: meanwhileMessages, topics: make(map[string]*place), subscribers: make(map[string]*Subscriber)}
	rules, err := newRuleset(o.Topics)
	if err != nil {
		return nil, err
	}
	h.rules.Store(&rules)
	h.SetLimits(o.MaxSubscriptions, o.MaxRequests)
	if h.detach, err = h.broker.Attach(h); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease = time.AfterFunc(LeaseTime/3, h.renew)
	return h, nil
}

// Close ends all subscribers with EndRestart and leaves the broker. The hub must not be used afterwards.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.lease.Stop()
	h.mu.Unlock()
	h.end(func(*Subscriber) bool { return true }, End{Code: EndRestart, Message: "the server stops", Reconnect: true})
	h.detach()
}

// SetTopics replaces the rules for topics. Nobody is disconnected; subscriptions that the new rules no longer allow end. What a topic
// keeps follows the new rule from its next message on, and whether it has presence from the next subscription on.
func (h *Hub) SetTopics(rules []Rule) error {
	set, err := newRuleset(rules)
	if err != nil {
		return err
	}
	h.mu.Lock()
	counts := make(map[string]*RuleStats)
	for _, r := range *h.rules.Load() {
		counts[r.Pattern] = r.counts
	}
	for _, r := range set {
		if c, ok := counts[r.Pattern]; ok {
			r.counts = c
		}
	}
	h.rules.Store(&set)
	for name, t := range h.topics {
		t.rule = set.of(name)
	}
	all := make([]*Subscriber, 0, len(h.subscribers))
	for _, s := range h.subscribers {
		all = append(all, s)
	}
	h.mu.Unlock()
	for _, s := range all {
		s.recheck()
	}
	return nil
}

// limits are of one subscriber.
type limits struct{ subscriptions, requests int }

// SetLimits replaces Options.MaxSubscriptions and MaxRequests; 0 stands for the default. What is above the new limits stays.
func (h *Hub) SetLimits(subscriptions, requests int) {
	h.limits.Store(&limits{cmp.Or(subscriptions, defaultMaxSubscriptions), cmp.Or(requests, defaultMaxRequests)})
}

// IsLocal reports whether the hub's broker is in this process, so that nothing waits for a network.
func (h *Hub) IsLocal() bool {
	_, local := h.broker.(*MemoryBroker)
	return local
}

// MaxSubscriptions returns how many subscriptions a subscriber may have.
func (h *Hub) MaxSubscriptions() int { return h.limits.Load().subscriptions }

// Publish publishes on behalf of the program itself: no permission is asked for, and no rate is counted. The errors
// are *Error, or that of ctx.
func (h *Hub) Publish(ctx context.Context, topic string, p Publication) (Receipt, error) {
	if err := CheckTopic(topic); err != nil {
		return Receipt{}, err
	}
	r := h.rules.Load().of(topic)
	if err := p.check(r.MaxBytes); err != nil {
		return Receipt{}, err
	}
	if err := p.checkJSON(); err != nil {
		return Receipt{}, err
	}
	return h.publish(ctx, r, &Message{Topic: topic}, &p)
}

// publish stores and delivers what has been found in order.
func (h *Hub) publish(ctx context.Context, r *rule, m *Message, p *Publication) (Receipt, error) {
	m.ID, m.Key, m.Data, m.Binary, m.Meta = p.ID, p.Key, p.Data, p.Binary, p.Meta
	began := time.Now()
	receipt, err := h.broker.Publish(ctx, m, r.retention())
	if err != nil || receipt.Duplicate {
		return receipt, err
	}
	h.mu.Lock()
	r.counts.Published++
	h.mu.Unlock()
	if meter := h.options.Meter.Published; meter != nil {
		meter(r.Pattern, time.Since(began))
	}
	return receipt, nil
}

// Deliver implements Node: it is for the broker.
func (h *Hub) Deliver(at string, m *Message) {
	if reserved(m.Topic) {
		h.posted(at, m)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var t *place
	var through []*place
	switch {
	case at == m.Topic:
		t = h.topics[at]
	case at != "":
		if p := h.patterns.get(at); p != nil {
			through = []*place{p}
		}
	default:
		t = h.topics[m.Topic]
		if h.patterns.count > 0 {
			through = h.patterns.match(m.Topic)
		}
	}
	if t == nil && len(through) == 0 {
		return
	}
	var r *rule
	if t != nil {
		r = t.rule
		t.deliver(m, r)
	} else {
		r = h.rules.Load().of(m.Topic)
	}
	for _, p := range through {
		p.deliver(m.through(p.name), r)
	}
	if meter := h.options.Meter.Delivered; meter != nil {
		meter(r.Pattern, time.Since(m.Time))
	}
}

// Missed implements Node: it is for the broker.
func (h *Hub) Missed(at string, reason GapReason, until Position) {
	h.missedPosts(at)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case at == "":
		for _, t := range h.topics {
			t.miss(reason, until, t.rule)
		}
		h.patterns.each(func(p *place) { p.miss(reason, until, h.rules.Load().of("")) })
	case isPattern(at):
		if p := h.patterns.get(at); p != nil {
			p.miss(reason, until, h.rules.Load().of(""))
		}
	default:
		if t := h.topics[at]; t != nil {
			t.miss(reason, until, t.rule)
		}
	}
}

// Keeps implements Node: it is for the broker.
func (h *Hub) Keeps(at string) bool { return reserved(at) || h.rules.Load().least(at) > 0 }

// PresenceChanged implements Node: it is for the broker.
func (h *Hub) PresenceChanged(topic string, who Publisher, here bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[topic]
	if t == nil || t.rule.Presence != PresenceFull {
		return
	}
	m := &Message{Kind: KindLeave, Topic: topic, Time: time.Now(), From: Publisher{User: who.User}}
	if here {
		m.Kind, m.From = KindJoin, who
	}
	for _, s := range t.subs {
		if s.presence {
			s.offer(m, t.rule)
		}
	}
}

// renew keeps the lease of this node, and enters everybody anew if it was lost.
func (h *Hub) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), LeaseTime/3)
	defer cancel()
	kept, err := h.broker.Renew(ctx, h)
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return
	}
	if err != nil {
		h.options.Logger.Warn("the lease for presence was not renewed", "error", err)
	} else if !kept {
		h.reenter()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.lease.Reset(LeaseTime / 3)
	}
}

// reenter makes everybody present again.
func (h *Hub) reenter() {
	type entry struct {
		topic   string
		who     Publisher
		counted bool
	}
	var all []entry
	h.mu.Lock()
	for _, t := range h.topics {
		for _, s := range t.subs {
			if s.entered {
				all = append(all, entry{t.name, s.owner.publisher(), t.rule.Presence == PresenceCount})
			}
		}
	}
	h.mu.Unlock()
	var missing atomic.Int64
	var calls sync.WaitGroup
	slots := make(chan struct{}, maxLeaving)
	for _, e := range all {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
			defer cancel()
			if h.broker.Enter(ctx, h, e.topic, e.who, e.counted) != nil {
				missing.Add(1)
			}
		})
	}
	calls.Wait()
	if n := missing.Load(); n > 0 {
		h.options.Logger.Warn("presence is incomplete", "missing", n, "of", len(all))
	}
}
