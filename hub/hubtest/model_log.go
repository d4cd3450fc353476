package hubtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// sent is one publication, however often it was tried.
type sent struct {
	number   int // immutable, as all up to size
	topic    string
	session  string // the one that does not get it, or empty
	user, id string
	key      string
	data     []byte
	began    time.Time

	// guarded by modelLog.mu
	at    place     // where it is stored; zero while it is not known that it is
	known time.Time // since when that is known
	acked time.Time // when it was acknowledged first
	tries int
	bare  bool // it has no place, since its topic keeps nothing
	run   run  // of one that has none
}

// run is what one node publishes to one topic, from when it was opened until it is closed.
type run struct {
	node, life int
	topic      string
}

// place is where a message is, in the order of all messages. Lives of a broker have offsets of their own.
type place struct {
	life   int
	offset uint64
}

func (p place) behind(other place) bool {
	return p.life > other.life || p.life == other.life && p.offset > other.offset
}

// modelLog is the model: everything that was published.
type modelLog struct {
	mu      sync.Mutex
	all     []*sent
	byPlace map[place]*sent
	epochs  map[string]int // the life of the broker that each belongs to
	life    int
	placed  bool               // immutable: topics that keep nothing have places, too
	index   map[string][]*sent // by topic, those that are stored, in order; nil when it is to be made
}

func newLog(placed bool) *modelLog {
	return &modelLog{byPlace: make(map[place]*sent), epochs: make(map[string]int), placed: placed}
}

// add notes a publication before it is tried for the first time.
func (l *modelLog) add(m *sent) *sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.number, m.began = len(l.all), time.Now()
	m.data, _ = json.Marshal(fmt.Sprint(m.number, " ", strings.Repeat("x", m.number%5*m.number%300)))
	l.all = append(l.all, m)
	return m
}

// newLife is called when the broker forgets everything.
func (l *modelLog) newLife() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
}

func (l *modelLog) lifeOf(epoch string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lifeOfLocked(epoch)
}

func (l *modelLog) lifeOfLocked(epoch string) int {
	life, known := l.epochs[epoch]
	if !known {
		life = l.life
		l.epochs[epoch] = life
	}
	return life
}

func (l *modelLog) knownEpochs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.epochs))
}

func (l *modelLog) place(p hub.Position) place { return place{l.lifeOf(p.Epoch), p.Offset} }

// receipt notes that a publication was acknowledged by a node. It returns what is wrong with that.
func (l *modelLog) receipt(m *sent, r hub.Receipt, n *modelNode) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if m.acked.IsZero() {
		m.acked = now
		if !r.Duplicate {
			m.run = run{n.number, n.life, m.topic}
		}
	}
	if m.known.IsZero() {
		m.known = now
	}
	if retentionOf(m.topic).Messages == 0 && !l.placed {
		m.bare = true
		return nil
	}
	return l.locate(m, place{l.lifeOfLocked(r.Epoch), r.Offset}, "its receipt")
}

// locate notes where a message is. The caller holds mu.
func (l *modelLog) locate(m *sent, at place, how string) error {
	if m.at != (place{}) && m.at != at {
		return fmt.Errorf("message %d of %s is at %v, but at %v by %s", m.number, m.topic, m.at, at, how)
	}
	if other := l.byPlace[at]; other != nil && other != m {
		return fmt.Errorf("message %d of %s is at %v by %s, where message %d of %s is", m.number, m.topic, at, how, other.number, other.topic)
	}
	if m.at == (place{}) {
		m.at, l.byPlace[at], l.index = at, m, nil
		if m.known.IsZero() {
			m.known = time.Now()
		}
	}
	return nil
}

// sighted takes a message that somebody has got, in a life of the broker, and returns which one it is, and what is wrong with it.
func (l *modelLog) sighted(got *hub.Message, life int) (*sent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text string
	var number int
	if err := json.Unmarshal(got.Data, &text); err != nil {
		return nil, fmt.Errorf("%q was never published", got.Data)
	}
	if _, err := fmt.Sscan(text, &number); err != nil || number < 0 || number >= len(l.all) {
		return nil, fmt.Errorf("%q was never published", got.Data)
	}
	m := l.all[number]
	if got.Topic != m.topic || got.From.User != m.user || got.ID != m.id || got.Key != m.key || got.Except != m.session ||
		string(got.Data) != string(m.data) {
		return m, fmt.Errorf("message %d is %+v, but was published as %+v", number, got, m)
	}
	if got.Offset == 0 {
		if l.placed || retentionOf(m.topic).Messages > 0 {
			return m, fmt.Errorf("message %d of %s has no offset", number, m.topic)
		}
		m.bare = true
		if m.known.IsZero() {
			m.known = time.Now()
		}
		return m, nil
	}
	return m, l.locate(m, place{life, got.Offset}, "a delivery")
}

// stored returns what is stored of a topic, in order. It is not to be changed.
func (l *modelLog) stored(topic string) []*sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.index == nil {
		l.index = make(map[string][]*sent)
		for _, m := range l.all {
			if m.at != (place{}) {
				l.index[m.topic] = append(l.index[m.topic], m)
			}
		}
		for _, all := range l.index {
			slices.SortFunc(all, func(a, b *sent) int {
				if a.at.behind(b.at) {
					return 1
				}
				return -1
			})
		}
	}
	return l.index[topic]
}

// unknown returns the publications of which it is not known whether they were stored.
func (l *modelLog) unknown() (all []*sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.all {
		if m.acked.IsZero() && m.at == (place{}) && !m.bare {
			all = append(all, m)
		}
	}
	return all
}

// bareOf returns the publications without a place to topics that keep nothing.
func (l *modelLog) bareOf(topics []string) (all []*sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.all {
		if m.bare && slices.Contains(topics, m.topic) {
			all = append(all, m)
		}
	}
	return all
}

// tolerance is how exact the age of messages is.
const tolerance = 50 * time.Millisecond

// lost returns up to where a topic had lost messages at some time, as who knows those up to top sees it: for sure, or perhaps.
func (l *modelLog) lost(topic string, top place, at time.Time, surely bool) (offset uint64) {
	r := retentionOf(topic)
	newer, bytes := 0, int64(0)
	for _, m := range slices.Backward(l.stored(topic)) {
		if m.at.life != top.life || m.at.offset > top.offset || !surely && m.began.After(at) || surely && m.known.After(at) {
			continue
		}
		newer++
		bytes += m.bytes()
		old := !surely && at.Sub(m.began) >= r.Age-tolerance || surely && at.Sub(m.known) >= r.Age+tolerance
		if newer > r.Messages || bytes > r.Bytes || old {
			return m.at.offset
		}
	}
	return 0
}

// bytes is what a message counts in the history.
func (m *sent) bytes() int64 {
	return (&hub.Message{Topic: m.topic, ID: m.id, Key: m.key, Data: m.data, From: hub.Publisher{User: m.user}}).Size()
}

// lostOf is lost for several topics.
func (l *modelLog) lostOf(topics []string, top place, at time.Time, surely bool) map[string]uint64 {
	all := make(map[string]uint64)
	for _, topic := range topics {
		all[topic] = l.lost(topic, top, at, surely)
	}
	return all
}

func most(offsets map[string]uint64) uint64 {
	if len(offsets) == 0 {
		return 0
	}
	return slices.Max(slices.Collect(maps.Values(offsets)))
}
