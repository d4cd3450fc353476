package showcase

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Index is a small table that all nodes share: each node knows every entry as soon as one has put it there, and knows it after a restart,
// too, where the broker's data outlast that. It is for what an app must be able to list while nobody may subscribe to it, such as topics
// whose names are secrets. Nothing bounds it but whoever puts entries there. Its methods may be called from any goroutine; they wait until
// Open has read the table, and return an error when their context ends before that.
type Index[V any] struct {
	Name    string                    // a part of a topic, unique among all
	Life    time.Duration             // how long an entry is kept after it was put; required
	Changed func(key string, value V) // called with every entry that is read or put, on any node; must not block; nil: nobody

	mu      sync.Mutex
	entries map[string]Entry[V] // guarded by mu
	board   *hub.Board          // set before opened is closed
	opened  chan struct{}       // closed when everything has been read; made by whoever needs it first; guarded by mu
}

// Entry is one of an Index.
type Entry[V any] struct {
	Key   string    `json:"key"`
	Value V         `json:"value"`
	Put   time.Time `json:"-"` // when the broker took it
}

// Open reads the table, and tries until it has or ctx ends. Then it follows what other nodes put there.
func (x *Index[V]) Open(ctx context.Context, h *hub.Hub) {
	for {
		board, err := h.Board(ctx, "showcase-"+x.Name, x.take)
		if err == nil {
			x.board = board
			close(x.whenOpen())
			return
		}
		if !Wait(ctx, courtesy) {
			return
		}
	}
}

func (x *Index[V]) whenOpen() chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.opened == nil {
		x.opened = make(chan struct{})
	}
	return x.opened
}

func (x *Index[V]) wait(ctx context.Context) error {
	select {
	case <-x.whenOpen():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *Index[V]) take(data []byte, posted time.Time) {
	var e Entry[V]
	if json.Unmarshal(data, &e) != nil {
		return // a newer version's
	}
	e.Put = posted
	x.mu.Lock()
	defer x.mu.Unlock()
	if posted.Before(x.entries[e.Key].Put) {
		return
	}
	if x.entries == nil {
		x.entries = make(map[string]Entry[V])
	}
	x.entries[e.Key] = e
	if x.Changed != nil {
		x.Changed(e.Key, e.Value)
	}
}

// Put adds an entry or replaces it. Key and value together take at most 4 KiB as JSON. After an error it may have been put all the same.
func (x *Index[V]) Put(ctx context.Context, key string, value V) error {
	data, err := json.Marshal(Entry[V]{Key: key, Value: value})
	if err != nil {
		return err
	}
	if err := x.wait(ctx); err != nil {
		return err
	}
	if err := x.board.Post(ctx, key, data, x.Life); err != nil {
		return err
	}
	x.take(data, x.before(key)) // for whoever asks before the broker has told
	return nil
}

// before is a time at which an entry may be replaced by what the broker tells, whose clock may be another.
func (x *Index[V]) before(key string) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := time.Now().Add(-time.Minute)
	if known := x.entries[key].Put; known.After(before) {
		return known
	}
	return before
}

// Get returns the entry with a key.
func (x *Index[V]) Get(ctx context.Context, key string) (value V, known bool, err error) {
	if err := x.wait(ctx); err != nil {
		return value, false, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e, known := x.entries[key]
	return e.Value, known && !x.over(e), nil
}

// All returns the entries, the latest first.
func (x *Index[V]) All(ctx context.Context) ([]Entry[V], error) {
	if err := x.wait(ctx); err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]Entry[V], 0, len(x.entries))
	for key, e := range x.entries {
		if x.over(e) {
			delete(x.entries, key)
			continue
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry[V]) int { return cmp.Or(b.Put.Compare(a.Put), cmp.Compare(a.Key, b.Key)) })
	return all, nil
}

func (x *Index[V]) over(e Entry[V]) bool { return time.Since(e.Put) > x.Life }
