package hub

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

func (s *Selector) matches(o *Subscriber) bool {
	return (s.User != "" || s.Session != "") &&
		(s.User == "" || s.User == o.identity.User) && (s.Session == "" || s.Session == o.id)
}

// Disconnect ends subscribers of this hub and returns how many. An empty Selector picks nobody.
func (h *Hub) Disconnect(who Selector, why End) int { return h.end(who.matches, why) }

// end ends the subscribers for which pick, called while mu is held, says so.
func (h *Hub) end(pick func(*Subscriber) bool, why End) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subscribers {
		if !s.ended && pick(s) {
			s.endLocked(why)
			n++
		}
	}
	return n
}

// Unsubscribe ends the subscriptions to exactly this topic or pattern that subscribers of this hub have, and returns how many. They are
// told why. An empty Selector picks nobody.
func (h *Hub) Unsubscribe(who Selector, topic string, why *Error) (n int) {
	type absence struct {
		user string
		departure
	}
	var left []absence
	h.mu.Lock()
	for _, s := range h.subscribers {
		if sub := s.subs[topic]; sub != nil && who.matches(s) {
			left = append(left, absence{s.identity.User, s.dismiss(sub, why)})
			n++
		}
	}
	h.mu.Unlock()
	for _, a := range left {
		h.leave(a.user, []departure{a.departure})
	}
	return n
}

// Sessions lists subscribers of this hub.
func (h *Hub) Sessions(q SessionQuery) SessionPage {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*Subscriber
	for id, s := range h.subscribers {
		if id > q.After && !s.suspended && (q.Selector == Selector{} || q.matches(s)) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *Subscriber) int { return strings.Compare(a.id, b.id) })
	limit := pageLimit(q.Limit)
	page := SessionPage{More: len(found) > limit}
	for _, s := range found[:min(limit, len(found))] {
		topics := slices.Sorted(maps.Keys(s.subs))
		info := SessionInfo{
			ID: s.id, User: s.identity.User, Anonymous: s.identity.Anonymous, Since: s.since, Topics: topics[:min(maxPage, len(topics))],
		}
		for _, sub := range s.subs {
			if sub.queue != nil {
				info.Queued += sub.queue.count
			}
		}
		page.Sessions = append(page.Sessions, info)
	}
	return page
}

func pageLimit(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// cataloguer is a broker that can list its topics. A hub of one that cannot lists only those with subscribers here.
type cataloguer interface {
	catalogue(visit func(topic string, messages int, last uint64))
}

func (b *MemoryBroker) catalogue(visit func(topic string, messages int, last uint64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.order {
		visit(l.name, len(l.kept), l.last)
	}
}

// Topics lists the topics that have subscribers here, or are remembered by a MemoryBroker.
func (h *Hub) Topics(q TopicQuery) TopicPage {
	pattern := cmp.Or(q.Pattern, ">")
	if CheckPattern(pattern) != nil {
		return TopicPage{}
	}
	found := make(map[string]TopicInfo)
	if c, ok := h.broker.(cataloguer); ok {
		c.catalogue(func(topic string, messages int, last uint64) {
			if topic > q.After && Match(pattern, topic) {
				found[topic] = TopicInfo{Name: topic, Messages: messages, Offset: last}
			}
		})
	}
	h.mu.Lock()
	for name, t := range h.topics {
		if name > q.After && Match(pattern, name) {
			info := found[name]
			info.Name, info.Subscribers = name, len(t.subs)
			found[name] = info
		}
	}
	h.mu.Unlock()
	names := slices.Sorted(maps.Keys(found))
	limit := pageLimit(q.Limit)
	page := TopicPage{More: len(names) > limit}
	rules := h.rules.Load()
	for _, name := range names[:min(limit, len(names))] {
		info := found[name]
		info.Rule = rules.of(name).Pattern
		page.Topics = append(page.Topics, info)
	}
	return page
}

// Stats returns the hub's figures.
func (h *Hub) Stats() Stats {
	var s Stats
	if b, ok := h.broker.(*MemoryBroker); ok {
		b.mu.Lock()
		s.Topics, s.HistoryBytes = len(b.order), b.held
		b.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Subscribers, s.Subscriptions = len(h.subscribers)-h.stats.suspended, h.stats.subscriptions
	s.QueuedMessages, s.QueuedBytes = h.stats.queuedMessages, h.stats.queuedBytes
	s.Topics = max(s.Topics, len(h.topics))
	for _, r := range *h.rules.Load() {
		s.Rules = append(s.Rules, *r.counts)
	}
	return s
}
