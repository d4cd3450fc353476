package hub

import (
	"cmp"
	"slices"
	"time"
)

// subscription is one subscriber's place in a topic or pattern. Hub.mu guards it.
type subscription struct {
	owner    *Subscriber // immutable
	at       *place      // immutable
	index    int         // in at.subs
	presence bool        // wants to be told of joins and leaves
	followed bool        // the broker delivers for it, and has to be told of its end
	watched  bool        // the same for joins and leaves
	entered  bool        // is present in the topic, and has to leave
	gone     bool        // has ended
	last     uint64      // offset of the last message handed over, or of the position it began with
	read     uint64      // everything up to this offset has been read already; a broker may deliver it later
	queue    *queue      // what waits, while anything does; see offer
}

// queue is what waits for one subscription: because it has not begun, because its subscriber is slow, or because messages before it wait.
type queue struct {
	held     bool // the subscription has not begun
	reading  bool // what it begins with is being read
	overflow bool // meanwhile more came than may wait, so that it has to be read again
	items    []*Message
	head     int // of items; those before it are gone
	count    int // of items that are not nil
	bytes    int64
	byKey    map[topicKey]int // of SlowLatest: where in items

	// What the subscription begins with may wait on top of what the policy allows.
	allowedMessages int
	allowedBytes    int64

	missed, anew, lost, slow, superseded loss // what is to be told; anew of the end of an epoch
}

type topicKey struct{ topic, key string }

// loss is a gap that grows until it can be told.
type loss struct {
	gap   *Gap
	topic string // of a pattern: the only one concerned, or empty for any
	rule  *rule
}

// Bounds on what may wait, on top of what the policy allows, while a subscription is being read.
const (
	meanwhileMessages = 1000
	meanwhileBytes    = 1 << 20
)

// batch is how many messages of one subscription leave before those of the next have their turn.
const batch = 16

// offer hands a message over, or lets it wait.
func (s *subscription) offer(m *Message, r *rule) {
	o := s.owner
	if o.ended || m.Kind == KindData && m.Offset != 0 && m.Offset <= s.read {
		return
	}
	if s.queue == nil {
		if !o.blocked && o.sink.Deliver(m) {
			s.delivered(m, r)
			return
		}
		o.blocked = true
		s.queue = &queue{}
		o.waiting = append(o.waiting, s)
	}
	s.enqueue(m, r)
}

func (s *subscription) delivered(m *Message, r *rule) {
	if m.Kind == KindData {
		s.last = cmp.Or(m.Offset, s.last)
		r.counts.Deliveries++
	}
}

// enqueue lets a message wait, by the policy of its topic.
func (s *subscription) enqueue(m *Message, r *rule) {
	q := s.queue
	if q.overflow {
		return
	}
	latest := r.Slow == SlowLatest && m.Kind == KindData
	if latest && !q.reading {
		s.supersede(m, r)
	}
	s.add(m, latest)
	if q.reading {
		if q.count > r.SlowMessages+s.owner.hub.meanwhile || q.bytes > r.SlowBytes+meanwhileBytes {
			s.clear()
			q.overflow = true
		}
		return
	}
	for q.count > r.SlowMessages+q.allowedMessages || q.bytes > r.SlowBytes+q.allowedBytes {
		switch {
		case r.Slow == SlowDisconnect:
			r.counts.Slow++
			s.owner.endLocked(End{Code: EndSlow, Message: "you did not read as fast as " + m.Topic + " comes", Reconnect: true})
			return
		default:
			s.dropOldest(r)
		}
	}
}

func (s *subscription) add(m *Message, keyed bool) {
	q := s.queue
	if keyed {
		if q.byKey == nil {
			q.byKey = make(map[topicKey]int)
		}
		q.byKey[topicKey{m.Topic, m.Key}] = len(q.items)
	}
	q.items = append(q.items, m)
	s.count(1, m.Size())
}

func (s *subscription) count(n int, bytes int64) {
	s.queue.count += n
	s.queue.bytes += bytes
	stats := &s.owner.hub.stats
	stats.queuedMessages += n
	stats.queuedBytes += bytes
}

// supersede drops the message that waits under the same key as m. The order of offsets is kept, since m goes to the end.
func (s *subscription) supersede(m *Message, r *rule) {
	q := s.queue
	i, waits := q.byKey[topicKey{m.Topic, m.Key}]
	if !waits {
		return
	}
	old := q.items[i]
	q.items[i] = nil
	s.count(-1, -old.Size())
	r.counts.Superseded++
	s.lose(&q.superseded, GapSuperseded, old, r)
	if len(q.items)-q.head > 2*q.count+batch {
		q.compact()
	}
}

// compact closes the holes that superseded messages leave.
func (q *queue) compact() {
	items := make([]*Message, 0, q.count+batch)
	for _, m := range q.items[q.head:] {
		if m == nil {
			continue
		}
		key := topicKey{m.Topic, m.Key}
		if _, keyed := q.byKey[key]; keyed && m.Kind == KindData {
			q.byKey[key] = len(items)
		}
		items = append(items, m)
	}
	q.items, q.head = items, 0
}

func (s *subscription) dropOldest(r *rule) {
	m := s.pop()
	if m.Kind == KindData {
		r.counts.Dropped++
	}
	s.lose(&s.queue.slow, GapSlow, m, r)
}

// pop takes the first message that waits; there is one.
func (s *subscription) pop() *Message {
	q := s.queue
	for q.items[q.head] == nil {
		q.head++
	}
	m := q.items[q.head]
	q.items[q.head] = nil
	key := topicKey{m.Topic, m.Key}
	if i, keyed := q.byKey[key]; keyed && i == q.head {
		delete(q.byKey, key)
	}
	q.head++
	s.count(-1, -m.Size())
	if q.head > batch && 2*q.head > len(q.items) {
		q.compact()
	}
	return m
}

func (s *subscription) lose(l *loss, reason GapReason, m *Message, r *rule) {
	if l.gap == nil {
		at := Position{s.at.epoch, s.last}
		*l = loss{&Gap{Reason: reason, Since: at, Until: at}, m.Topic, r}
	}
	if l.topic != m.Topic {
		l.topic = ""
	}
	if m.Kind != KindData {
		l.gap.Presence = true
		return
	}
	l.gap.Until.Offset = max(l.gap.Until.Offset, m.Offset)
	l.gap.Count++
}

// miss tells of messages that the broker could not deliver.
func (s *subscription) miss(reason GapReason, until Position, r *rule) {
	o := s.owner
	if o.ended {
		return
	}
	if s.queue == nil {
		s.queue = &queue{}
		o.waiting = append(o.waiting, s)
	}
	q := s.queue
	if q.reading { // to be read anew
		s.clear()
		q.overflow = true
		return
	}
	l, since, presence := &q.lost, Position{s.at.epoch, s.last}, false
	if until.Epoch != s.at.epoch { // what waits has no place in the new epoch, and this gap contains what was lost of it already
		presence = q.dropsPresence()
		s.clear()
		q.slow, q.superseded, q.lost = loss{}, loss{}, loss{}
		l, reason = &q.anew, GapEpoch
		s.last, s.read = until.Offset, until.Offset
	}
	if l.gap == nil {
		*l = loss{&Gap{Reason: reason, Since: since}, "", r}
		if s.at.rule != nil {
			l.topic = s.at.name
		}
	}
	l.gap.Until = until
	l.gap.Presence = l.gap.Presence || presence
	if !q.held && !o.blocked {
		o.drain()
	}
}

// dropsPresence reports whether joins or leaves are among what waits, or have been lost already.
func (q *queue) dropsPresence() bool {
	for _, l := range [...]*loss{&q.slow, &q.superseded} {
		if l.gap != nil && l.gap.Presence {
			return true
		}
	}
	return slices.ContainsFunc(q.items, func(m *Message) bool { return m != nil && m.Kind != KindData })
}

// clear forgets what waits without telling.
func (s *subscription) clear() {
	q := s.queue
	s.count(-q.count, -q.bytes)
	q.items, q.head, q.byKey = nil, 0, nil
}

// flush hands over what waits, at most a batch of it. It reports whether nothing is left; the subscriber is blocked when there was no room.
func (s *subscription) flush() (done bool) {
	q, o := s.queue, s.owner
	// In this order: those behind the beginning of a new epoch are of that one.
	for _, l := range [...]*loss{&q.missed, &q.anew, &q.lost, &q.slow, &q.superseded} {
		if l.gap == nil {
			continue
		}
		if !o.sink.Deliver(s.gapMessage(l)) {
			o.blocked = true
			return false
		}
		l.rule.counts.Gaps++
		*l = loss{}
	}
	for n := 0; q.count > 0; n++ {
		if n == batch {
			return false
		}
		m := s.peek()
		if !o.sink.Deliver(m) {
			o.blocked = true
			return false
		}
		s.pop()
		r := s.ruleOf(m)
		s.delivered(m, r)
		if q.allowedMessages > 0 {
			q.allowedMessages--
			q.allowedBytes = max(0, q.allowedBytes-m.Size())
		} else if meter := o.hub.options.Meter.Delivered; meter != nil && m.Kind == KindData {
			meter(r.Pattern, time.Since(m.Time))
		}
	}
	s.queue = nil
	return true
}

func (s *subscription) peek() *Message {
	q := s.queue
	for q.items[q.head] == nil {
		q.head++
	}
	return q.items[q.head]
}

func (s *subscription) ruleOf(m *Message) *rule {
	if s.at.rule != nil {
		return s.at.rule
	}
	return s.owner.hub.rules.Load().of(m.Topic)
}

func (s *subscription) gapMessage(l *loss) *Message {
	if s.at.rule == nil {
		return &Message{Kind: KindGap, Topic: l.topic, Pattern: s.at.name, Gap: l.gap}
	}
	return &Message{Kind: KindGap, Topic: s.at.name, Gap: l.gap}
}
