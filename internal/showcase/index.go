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
// whose names are secrets. Its methods may be called from any goroutine; before Open
// has read the table they say that it is unavailable. Nothing bounds it but whoever puts entries there.
type Index[V any] struct {
	Name    string                    // a part of a topic, unique among all
	Life    time.Duration             // how long an entry is kept after it was put; required
	Changed func(key string, value V) // called with every entry that is read or put, on any node; must not block; nil: nobody

	mu      sync.Mutex
	entries map[string]Entry[V] // guarded by mu
	board   *hub.Board          // guarded by mu; nil until everything has been read
}

// Entry is one of an Index.
type Entry[V any] struct {
	Key   string    `json:"key"`
	Value V         `json:"value"`
	Put   time.Time `json:"-"` // when the broker took it
}

var errIndex = &hub.Error{Code: hub.CodeUnavailable, Message: "the server is reading what it knows", Retry: time.Second}

// Open reads the table, and tries until it has or ctx ends. Then it follows what other nodes put there.
func (x *Index[V]) Open(ctx context.Context, h *hub.Hub) {
	for {
		board, err := h.Board(ctx, "showcase-"+x.Name, x.take)
		if err == nil {
			x.mu.Lock()
			x.board = board
			x.mu.Unlock()
			return
		}
		if !wait(ctx, courtesy) {
			return
		}
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
	x.mu.Lock()
	board := x.board
	x.mu.Unlock()
	if board == nil {
		return errIndex
	}
	if err := board.Post(ctx, key, data, x.Life); err != nil {
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
func (x *Index[V]) Get(key string) (value V, known bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.board == nil {
		return value, false, errIndex
	}
	e, known := x.entries[key]
	return e.Value, known && !x.over(e), nil
}

// All returns the entries, the latest first.
func (x *Index[V]) All() ([]Entry[V], error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.board == nil {
		return nil, errIndex
	}
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
