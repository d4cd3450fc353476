package live

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	fresh     = time.Second // for how long what was read is taken to be so still; another node may have changed it
	maxLatest = 1000        // topics that are known at one time
)

// latest reads topics whose last message is a whole state, and remembers it for a moment, so that it can be asked about every frame.
// Its methods may be called from any goroutine.
type latest[T any] struct {
	env  *showcase.Env
	kind string

	mu    sync.Mutex
	known map[string]memory[T] // by channel; guarded by mu
}

type memory[T any] struct {
	state T
	read  time.Time
}

func newLatest[T any](env *showcase.Env, kind string) *latest[T] {
	return &latest[T]{env: env, kind: kind, known: make(map[string]memory[T])}
}

// get returns a state that was true within the last second. It is the zero T where there is none.
func (l *latest[T]) get(ctx context.Context, name string) (T, error) {
	l.mu.Lock()
	m, known := l.known[name]
	l.mu.Unlock()
	if known && time.Since(m.read) < fresh {
		return m.state, nil
	}
	return l.read(ctx, name)
}

// read returns the state as it is now.
func (l *latest[T]) read(ctx context.Context, name string) (T, error) {
	var state T
	page, err := l.env.Hub.History(ctx, topic(l.kind, name), hub.HistoryQuery{Limit: 1})
	if err != nil {
		return state, err
	}
	if len(page.Messages) > 0 {
		if err := json.Unmarshal(page.Messages[0].Data, &state); err != nil {
			return state, fmt.Errorf("live: what is in %s is no state of it: %w", topic(l.kind, name), err)
		}
	}
	l.remember(name, state)
	return state, nil
}

// write publishes a new state. Of two with the same id only the first counts; won says that it was this one.
func (l *latest[T]) write(ctx context.Context, name, id string, state T) (won bool, err error) {
	data, err := json.Marshal(state)
	if err != nil {
		return false, err
	}
	receipt, err := l.env.Hub.Publish(ctx, topic(l.kind, name), hub.Publication{ID: id, Data: data})
	if err != nil || receipt.Duplicate {
		return false, err
	}
	l.remember(name, state)
	return true, nil
}

func (l *latest[T]) remember(name string, state T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxLatest {
		clear(l.known) // they can all be read again
	}
	l.known[name] = memory[T]{state, time.Now()}
}
