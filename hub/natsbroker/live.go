package natsbroker

import (
	"crypto/rand"
	"strconv"
	"strings"
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
	recent  map[string]time.Time
	order   []string // the keys of recent, oldest first
}

func newLive() *live {
	return &live{node: rand.Text()[:12], numbers: make(map[string]uint64), recent: make(map[string]time.Time)}
}

// send gives the next message to a topic its number. Messages leave in the order of their numbers; one that could not be sent has none.
func (l *live) send(topic string, send func(run) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.numbers) >= maxNumbered {
		clear(l.numbers)
		l.forgot++
	}
	r := run{l.node + strconv.Itoa(l.forgot), l.numbers[topic] + 1}
	err := send(r)
	if err == nil {
		l.numbers[topic] = r.number
	}
	return err
}

// own reports whether a run is this node's.
func (l *live) own(r run) bool { return strings.HasPrefix(r.id, l.node) }

// first reports whether a message has not been seen within a window, and remembers it.
func (l *live) first(m *hub.Message, window time.Duration) bool {
	if m.ID == "" {
		return true
	}
	key, now := messageID(m), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 && (len(l.order) >= maxRecent || now.After(l.recent[l.order[0]])) {
		delete(l.recent, l.order[0])
		l.order = l.order[1:]
	}
	if until, known := l.recent[key]; known && now.Before(until) {
		return false
	} else if !known {
		l.order = append(l.order, key)
	}
	l.recent[key] = now.Add(window)
	return true
}

// forget forgets a message that could not be published after all.
func (l *live) forget(m *hub.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if key := messageID(m); m.ID != "" {
		l.recent[key] = time.Time{}
	}
}
