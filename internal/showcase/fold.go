package showcase

import (
	"context"
	"sync"

	"github.com/duplex-websocket/duplex/hub"
)

const maxFolded = 5000 // topics whose state a Fold remembers; of others it reads the whole history

// Fold knows what follows from the messages of topics, each of them a log from whose beginning on everything is kept. Since all nodes
// read the same messages in the same order, all come to the same state: the order of a topic decides, without a lock or a leader. Its
// methods may be called from any goroutine.
type Fold[S any] struct {
	// Apply returns the state after a message, from the zero value on. It must not change what s refers to: others have copies of s.
	Apply func(s S, m *hub.Message) S

	mu     sync.Mutex
	topics map[string]*folded[S] // guarded by mu
}

type folded[S any] struct {
	mu    sync.Mutex // held while the topic is read
	state S
	last  hub.Position // the message that state includes
	some  bool         // there are messages at all
}

// State returns what follows from all messages of a topic up to now, and whether there are any. The errors are those of Hub.History.
func (f *Fold[S]) State(ctx context.Context, h *hub.Hub, topic string) (s S, some bool, err error) {
	t := f.of(topic)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := f.advance(ctx, h, topic, t); err != nil {
		return s, false, err
	}
	if t.some {
		f.remember(topic, t)
	}
	return t.state, t.some, nil
}

// Known returns the state of a topic as far as this node has read it, without asking the broker, and whether it has.
func (f *Fold[S]) Known(topic string) (s S, known bool) {
	f.mu.Lock()
	t := f.topics[topic]
	f.mu.Unlock()
	if t == nil {
		return s, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.some
}

// advance reads what has come since the last time.
func (f *Fold[S]) advance(ctx context.Context, h *hub.Hub, topic string, t *folded[S]) error {
	for {
		page, err := h.History(ctx, topic, hub.HistoryQuery{Forward: true, After: t.last.Offset, Epoch: t.last.Epoch, Limit: 1000})
		if err != nil {
			return err
		}
		if t.some && page.Lost {
			var nothing S
			t.state, t.some, t.last = nothing, false, hub.Position{} // the broker has forgotten what was: only what it has still counts
		}
		t.last.Epoch = page.Epoch
		for _, m := range page.Messages {
			t.state, t.some, t.last.Offset = f.Apply(t.state, m), true, m.Offset
		}
		if !page.More || len(page.Messages) == 0 {
			return nil
		}
	}
}

func (f *Fold[S]) of(topic string) *folded[S] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.topics[topic]; t != nil {
		return t
	}
	return &folded[S]{}
}

// remember keeps the state of a topic that exists, so that nobody fills the memory with names that they make up.
func (f *Fold[S]) remember(topic string, t *folded[S]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.topics == nil {
		f.topics = make(map[string]*folded[S])
	}
	for other := range f.topics {
		if len(f.topics) < maxFolded {
			break
		}
		delete(f.topics, other)
	}
	f.topics[topic] = t
}
