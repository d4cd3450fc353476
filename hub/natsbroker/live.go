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

	mu     sync.Mutex
	forgot int                  // how often numbers have been forgotten, which begins a new run; guarded by mu, as is what follows
	lines  map[string]*numbered // by topic
	quiet  map[string]*numbered // those of which the end has still to be told
	recent map[string]published
	order  []string // the keys of recent, oldest first
}

// numbered is what this node has published to a topic in its present run.
type numbered struct {
	run  run
	sent time.Time
	told int // how often the end has been told since
}

// endAfter is when the end of a line is told: a message behind which nothing comes would otherwise be missed in silence.
var endAfter = [...]time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// published is a message with an ID, as it was first seen.
type published struct {
	run
	until time.Time // for how long it is remembered
}

func newLive() *live {
	return &live{node: rand.Text()[:12], lines: make(map[string]*numbered), quiet: make(map[string]*numbered), recent: make(map[string]published)}
}

// send gives the next message to a topic its number, unless one with its ID was seen within a window. Messages leave in the order of their
// numbers; one that could not be sent has none.
func (l *live) send(m *hub.Message, window time.Duration, send func(run) error) (duplicate bool, err error) {
	topic := m.Topic
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= maxNumbered {
		clear(l.lines) // quiet keeps those of which the end has not been told
		l.forgot++
	}
	now := time.Now()
	r := run{id: l.node + strconv.Itoa(l.forgot), number: 1}
	if before := l.lines[topic]; before != nil {
		r.number, r.quiet = before.run.number+1, milliseconds(now.Sub(before.sent))
	}
	if !l.note(m, r, window) {
		return true, nil
	}
	if err := send(r); err != nil {
		l.forget(m)
		return false, err
	}
	l.lines[topic] = &numbered{run: r, sent: now}
	l.quiet[topic] = l.lines[topic]
	return false, nil
}

// milliseconds is at least 1.
func milliseconds(d time.Duration) uint64 { return uint64(max(1, d.Milliseconds())) }

// ends returns the lines whose ends are to be told now, by topic. quiet is the time since the last message there.
func (l *live) ends() map[string]run {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due map[string]run
	now := time.Now()
	for topic, line := range l.quiet {
		silence := now.Sub(line.sent)
		if silence < endAfter[line.told] {
			continue
		}
		if due == nil {
			due = make(map[string]run)
		}
		due[topic] = run{line.run.id, line.run.number, milliseconds(silence)}
		if line.told++; line.told == len(endAfter) {
			delete(l.quiet, topic)
		}
	}
	return due
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
