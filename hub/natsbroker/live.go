package natsbroker

import (
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxNumbered = 100_000 // topics whose messages this node numbers at one time
	maxRecent   = 100_000 // IDs of messages that are not stored
)

// live is what a node remembers of messages that nothing stores: their numbers, so that whoever misses one sees it, and their IDs, so
// that a retry is not a second message.
type live struct {
	node string // immutable: what all runs of this node begin with

	mu      sync.Mutex
	forgot  int               // how often numbers have been forgotten, which begins a new run; guarded by mu, as is what follows
	numbers map[string]uint64 // of the last message to each topic
	recent  map[string]published
	order   []string // the keys of recent, oldest first
}

// published is a message with an ID, as it was first seen.
type published struct {
	run
	until time.Time // for how long it is remembered
}

func newLive() *live {
	return &live{node: rand.Text()[:12], numbers: make(map[string]uint64), recent: make(map[string]published)}
}

// send gives the next message to a topic its number, unless one with its ID was seen within a window. Messages leave in the order of their
// numbers; one that could not be sent has none.
func (l *live) send(m *hub.Message, window time.Duration, send func(run) error) (duplicate bool, err error) {
	topic := m.Topic
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.numbers) >= maxNumbered {
		clear(l.numbers)
		l.forgot++
	}
	r := run{l.node + strconv.Itoa(l.forgot), l.numbers[topic] + 1}
	if !l.note(m, r, window) {
		return true, nil
	}
	if err := send(r); err != nil {
		l.forget(m)
		return false, err
	}
	l.numbers[topic] = r.number
	return false, nil
}

// first reports whether no other message with this one's ID has been seen. It may be asked several times about the same message.
func (l *live) first(m *hub.Message, r run, window time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.note(m, r, window)
}

// note remembers a message, unless another one with its ID is remembered. The caller holds mu.
func (l *live) note(m *hub.Message, r run, window time.Duration) (first bool) {
	if m.ID == "" {
		return true
	}
	key, now := messageID(m), time.Now()
	for len(l.order) > 0 && (len(l.order) >= maxRecent || now.After(l.recent[l.order[0]].until)) {
		delete(l.recent, l.order[0])
		l.order = l.order[1:]
	}
	before, known := l.recent[key]
	switch {
	case known && now.Before(before.until):
		return before.run == r
	case !known:
		l.order = append(l.order, key)
	}
	l.recent[key] = published{r, now.Add(window)}
	return true
}

// forget forgets a message that could not be published after all. The caller holds mu.
func (l *live) forget(m *hub.Message) {
	if m.ID != "" {
		l.recent[messageID(m)] = published{} // order still has it
	}
}
