package natsbroker

import (
	"sync/atomic"

	"github.com/duplex-websocket/duplex/hub"
)

// Bounds on what a node remembers, so that those who come back to a topic after a short time, perhaps all of them at once, need not ask NATS.
const (
	recentMessages = 256       // of one topic
	recentBytes    = 256 << 10 // of one topic
	recentTotal    = 64 << 20  // of all topics together
)

// recent is the newest messages of a topic that a node follows: all of them behind base. The follow's lock guards it.
type recent struct {
	total    *atomic.Int64 // bytes of all topics
	base     uint64
	messages []*hub.Message
	bytes    int64
}

// reset forgets everything up to a sequence.
func (r *recent) reset(base uint64) {
	r.total.Add(-r.bytes)
	r.base, r.messages, r.bytes = base, nil, 0
}

// add remembers the next message, and forgets the oldest ones if that is too much.
func (r *recent) add(m *hub.Message) {
	r.messages = append(r.messages, m)
	r.count(m.Size())
	r.trim()
}

// extend remembers the messages before base as well: all those behind a sequence.
func (r *recent) extend(base uint64, before []*hub.Message) {
	r.messages = append(before[:len(before):len(before)], r.messages...)
	r.base = base
	for _, m := range before {
		r.count(m.Size())
	}
	r.trim()
}

func (r *recent) count(bytes int64) {
	r.bytes += bytes
	r.total.Add(bytes)
}

func (r *recent) trim() {
	for len(r.messages) > 0 && (len(r.messages) > recentMessages || r.bytes > recentBytes || r.total.Load() > recentTotal) {
		r.base = r.messages[0].Offset
		r.count(-r.messages[0].Size())
		r.messages[0] = nil
		r.messages = r.messages[1:]
	}
}

// behind returns the messages behind a sequence; ok is false if they are not all remembered.
func (r *recent) behind(after uint64) (entries []entry, ok bool) {
	if after < r.base {
		return nil, false
	}
	for _, m := range r.messages {
		if m.Offset > after {
			entries = append(entries, entry{Message: m})
		}
	}
	return entries, true
}

// remembered answers a query from what this node has of a topic that it follows. ok is false if that is not enough.
func (r *reading) remembered(f *follow) (log hub.Log, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.epoch != r.config.epoch || r.q.Limit > 0 || r.q.Forward || r.q.Least == 0 {
		return hub.Log{}, false
	}
	log.Top = hub.Position{Epoch: f.epoch, Offset: f.last}
	if r.q.Since == nil {
		log.More = len(f.recent.messages) > 0
		return log, true
	}
	if r.q.Since.Epoch != f.epoch || r.q.Since.Offset > f.last {
		return hub.Log{}, false
	}
	entries, ok := f.recent.behind(r.q.Since.Offset)
	if ok {
		r.keep(&log, entries)
	}
	return log, ok
}

// remember takes note of what was read of a topic that this node follows, for others who come back to it.
func (f *follow) remember(since hub.Position, log *hub.Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.epoch != since.Epoch || f.epoch != log.Top.Epoch || !log.Lost.IsZero() || since.Offset >= f.recent.base || log.Top.Offset < f.recent.base {
		return
	}
	var before []*hub.Message
	for _, m := range log.Messages {
		if m.Offset <= f.recent.base {
			before = append(before, m)
		}
	}
	f.recent.extend(since.Offset, before)
}
