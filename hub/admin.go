package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// commandTimeout is how long other nodes may take to do a command of an operator, unless the caller's context ends before.
	commandTimeout = 3 * time.Second
	// maxAnswer is how many bytes a node answers to a command: what has no room is on the next page.
	maxAnswer = 512 << 10
)

// The commands of operators. What goes with them, and what comes back, is the JSON of exported types, whose names stay.
const (
	commandDisconnect  = "hub.disconnect"
	commandUnsubscribe = "hub.unsubscribe"
	commandSessions    = "hub.sessions"
	commandTopics      = "hub.topics"
	commandReplace     = "hub.replace"
)

type disconnecting struct {
	Selector
	End
}

type unsubscribing struct {
	Selector
	Topic   string
	Code    Code
	Message string
}

// own returns what does a command of the hub itself, or nil.
func (h *Hub) own(command string) CommandHandler {
	switch command {
	case commandDisconnect:
		return answering(func(q disconnecting) int { return h.disconnect(q) })
	case commandUnsubscribe:
		return answering(func(q unsubscribing) int { return h.unsubscribe(q) })
	case commandSessions:
		return func(data []byte) []byte {
			var q SessionQuery
			if json.Unmarshal(data, &q) != nil {
				return nil
			}
			return h.sessions(q).fitting()
		}
	case commandTopics:
		return func(data []byte) []byte {
			var q TopicQuery
			if json.Unmarshal(data, &q) != nil {
				return nil
			}
			return h.topicsHere(q).fitting()
		}
	case commandReplace:
		return answering(h.replaced)
	}
	return nil
}

// answering makes a command of a function. A question that cannot be read is answered with nothing.
func answering[Q, A any](f func(Q) A) CommandHandler {
	return func(data []byte) []byte {
		var q Q
		if json.Unmarshal(data, &q) != nil {
			return nil
		}
		answer, _ := json.Marshal(f(q)) // numbers and texts have a form in JSON
		return answer
	}
}

// others has all other nodes do a command. The answers of those that did come with an error that names the rest.
func others[A any](ctx context.Context, h *Hub, command string, question any) (answers []A, err error) {
	data, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	all, err := h.Command(ctx, command, data)
	for _, p := range all {
		var a A
		if wrong := json.Unmarshal(p, &a); wrong != nil {
			err = errors.Join(err, Errorf(CodeUnavailable, "another node does not know the command %s", command))
			continue
		}
		answers = append(answers, a)
	}
	return answers, err
}

// total adds up what all nodes have done.
func total(ctx context.Context, h *Hub, here int, command string, question any) (n int, err error) {
	answers, err := others[int](ctx, h, command, question)
	for _, a := range answers {
		here += a
	}
	return here, err
}

func (s *Selector) empty() bool { return s.User == "" && s.Session == "" }

func (s *Selector) matches(o *Subscriber) bool {
	return !s.empty() && !o.identity.program && (s.User == "" || s.User == o.identity.User) && (s.Session == "" || s.Session == o.id)
}

// Disconnect ends subscribers, on all nodes unless who.Here is set, and returns how many. An empty Selector picks nobody. The error, an
// *Error with CodeUnavailable or that of ctx, says which nodes did not answer within 3 seconds; n counts the rest, and doing it again is harmless.
func (h *Hub) Disconnect(ctx context.Context, who Selector, why End) (n int, err error) {
	if who.empty() {
		return 0, nil
	}
	q := disconnecting{who, why}
	if n = h.disconnect(q); who.Here {
		return n, nil
	}
	return total(ctx, h, n, commandDisconnect, q)
}

func (h *Hub) disconnect(q disconnecting) (n int) { return h.end(q.matches, q.End) }

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

// Unsubscribe ends the subscriptions to exactly this topic or pattern, on all nodes unless who.Here is set, and returns how many. Their
// subscribers are told why. An empty Selector picks nobody. The error is as of Disconnect.
func (h *Hub) Unsubscribe(ctx context.Context, who Selector, topic string, why *Error) (n int, err error) {
	if who.empty() {
		return 0, nil
	}
	q := unsubscribing{who, topic, why.Code, why.Message}
	if n = h.unsubscribe(q); who.Here {
		return n, nil
	}
	return total(ctx, h, n, commandUnsubscribe, q)
}

func (h *Hub) unsubscribe(q unsubscribing) (n int) {
	type absence struct {
		user string
		departure
	}
	var left []absence
	why := &Error{Code: q.Code, Message: q.Message}
	h.mu.Lock()
	for _, s := range h.subscribers {
		if sub := s.subs[q.Topic]; sub != nil && q.matches(s) {
			left = append(left, absence{s.identity.User, s.dismiss(sub, why)})
			n++
		}
	}
	h.mu.Unlock()
	for _, a := range left {
		h.leaveLater(a.user, []departure{a.departure})
	}
	return n
}

// Sessions lists subscribers, on all nodes unless q.Here is set. The error is as of Disconnect; the page has what the others answered.
func (h *Hub) Sessions(ctx context.Context, q SessionQuery) (SessionPage, error) {
	q.Limit = pageLimit(q.Limit)
	here := h.sessions(q)
	if q.Here {
		return here, nil
	}
	answers, err := others[SessionPage](ctx, h, commandSessions, q)
	all := []part[SessionInfo]{{here.Sessions, here.More}}
	for _, a := range answers {
		all = append(all, part[SessionInfo]{a.Sessions, a.More})
	}
	id := func(s *SessionInfo) string { return s.ID }
	latest := func(a, b *SessionInfo) { // it was resumed there, and has not ended here yet
		if b.Since.After(a.Since) {
			*a = *b
		}
	}
	var page SessionPage
	page.Sessions, page.More = merge(q.Limit, all, id, latest)
	return page, err
}

// sessions lists subscribers of this hub.
func (h *Hub) sessions(q SessionQuery) SessionPage {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*Subscriber
	for id, s := range h.subscribers {
		if id > q.After && !s.suspended && !s.identity.program && (q.empty() || q.matches(s)) {
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

// fitting returns the page as an answer to another node.
func (p SessionPage) fitting() []byte {
	for {
		answer, _ := json.Marshal(p)
		switch n := len(p.Sessions); {
		case len(answer) <= maxAnswer:
			return answer
		case n > 1:
			p.Sessions, p.More = p.Sessions[:n/2], true
		default:
			p.Sessions[0].Topics = p.Sessions[0].Topics[:len(p.Sessions[0].Topics)/2]
		}
	}
}

// IsSubscribed reports whether a session that is at this node is subscribed to exactly this topic or pattern. It asks nobody.
func (h *Hub) IsSubscribed(session, topic string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.subscribers[session]
	return s != nil && s.subs[topic] != nil
}

func pageLimit(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// part is the page of one node.
type part[T any] struct {
	entries []T // sorted
	more    bool
}

// merge makes one page of those of all nodes. join takes into a what another node says about the same.
func merge[T any](limit int, parts []part[T], key func(*T) string, join func(a, b *T)) (page []T, more bool) {
	found := make(map[string]*T)
	end := "" // behind this, a node has more than it told
	for _, p := range parts {
		if n := len(p.entries); p.more && n > 0 {
			if last := key(&p.entries[n-1]); !more || last < end {
				end = last
			}
			more = true
		}
		for i := range p.entries {
			e := &p.entries[i]
			if known := found[key(e)]; known != nil {
				join(known, e)
			} else {
				found[key(e)] = e
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if len(page) == limit || more && k > end {
			return page, true
		}
		page = append(page, *found[k])
	}
	return page, more
}

// Cataloguer is a Broker that can list the topics that it remembers. A hub with another one lists only topics with subscribers.
type Cataloguer interface {
	// Catalogue lists at most limit topics that a pattern matches, sorted by name, from behind the name after on, and says whether there are
	// more. It fills in Name, Messages and Offset. A broker that applies limits only when it reads may count more messages than
	// there are to be read, and one for which it would cost much leaves Offset 0.
	Catalogue(ctx context.Context, pattern, after string, limit int) (topics []TopicInfo, more bool, err error)
}

var _ Cataloguer = (*MemoryBroker)(nil)

// Catalogue implements Cataloguer.
func (b *MemoryBroker) Catalogue(_ context.Context, pattern, after string, limit int) (topics []TopicInfo, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.order {
		if l.name > after && Match(pattern, l.name) {
			topics = append(topics, TopicInfo{Name: l.name, Messages: len(l.kept), Offset: l.last})
		}
	}
	slices.SortFunc(topics, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	return topics[:min(limit, len(topics))], len(topics) > limit, nil
}

// Topics lists the topics that have subscribers on any node, or are remembered by the broker if that is a Cataloguer. The error is as of
// Disconnect, or the broker's, or about the pattern; the page has what is known all the same.
func (h *Hub) Topics(ctx context.Context, q TopicQuery) (TopicPage, error) {
	q.Pattern, q.Limit = cmp.Or(q.Pattern, ">"), pageLimit(q.Limit)
	if err := CheckPattern(q.Pattern); err != nil {
		return TopicPage{}, err
	}
	here := h.topicsHere(q)
	answers, err := others[TopicPage](ctx, h, commandTopics, q)
	all := []part[TopicInfo]{{here.Topics, here.More}}
	for _, a := range answers {
		all = append(all, part[TopicInfo]{a.Topics, a.More})
	}
	if c, ok := h.broker.(Cataloguer); ok {
		kept, more, wrong := c.Catalogue(ctx, q.Pattern, q.After, q.Limit)
		all, err = append(all, part[TopicInfo]{kept, more}), errors.Join(err, wrong)
	}
	name := func(t *TopicInfo) string { return t.Name }
	var page TopicPage
	page.Topics, page.More = merge(q.Limit, all, name, func(a, b *TopicInfo) {
		a.Subscribers += b.Subscribers
		a.Messages, a.Offset = max(a.Messages, b.Messages), max(a.Offset, b.Offset)
	})
	rules := h.rules.Load()
	for i := range page.Topics {
		page.Topics[i].Rule = rules.of(page.Topics[i].Name).Pattern
	}
	return page, err
}

// topicsHere lists the topics that have subscribers here.
func (h *Hub) topicsHere(q TopicQuery) (page TopicPage) {
	h.mu.Lock()
	for name, t := range h.topics {
		if name > q.After && Match(q.Pattern, name) {
			page.Topics = append(page.Topics, TopicInfo{Name: name, Subscribers: len(t.subs)})
		}
	}
	h.mu.Unlock()
	slices.SortFunc(page.Topics, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	limit := pageLimit(q.Limit)
	page.More = len(page.Topics) > limit
	page.Topics = page.Topics[:min(limit, len(page.Topics))]
	return page
}

// fitting returns the page as an answer to another node.
func (p TopicPage) fitting() []byte {
	for {
		answer, _ := json.Marshal(p)
		if len(answer) <= maxAnswer {
			return answer
		}
		p.Topics, p.More = p.Topics[:len(p.Topics)/2], true
	}
}

// Stats returns the figures of this hub, and of a MemoryBroker.
func (h *Hub) Stats() Stats {
	var s Stats
	if b, ok := h.broker.(*MemoryBroker); ok {
		b.mu.Lock()
		s.Topics, s.HistoryBytes = len(b.order), b.held
		b.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Subscribers, s.Subscriptions = len(h.subscribers)-h.stats.suspended-h.stats.listeners, h.stats.subscriptions
	s.QueuedMessages, s.QueuedBytes = h.stats.queuedMessages, h.stats.queuedBytes
	s.Topics = max(s.Topics, len(h.topics))
	for _, r := range *h.rules.Load() {
		s.Rules = append(s.Rules, *r.counts)
	}
	return s
}
