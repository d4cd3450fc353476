package quotes

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	interest = 3 * time.Second  // for which a subscription counts after it was seen
	asking   = time.Second      // between looks at who is subscribed, while the exchange is open
	patience = 30 * time.Second // that the exchange stays open for nobody
)

// audience knows which topics anybody listens to, on any node. Its methods may be called from any goroutine.
type audience struct {
	wake chan struct{} // has an element when somebody has come

	mu    sync.Mutex
	until map[string]time.Time // by topic; guarded by mu
	last  time.Time            // when anybody was interested last; guarded by mu
}

func newAudience() *audience {
	return &audience{wake: make(chan struct{}, 1), until: make(map[string]time.Time)}
}

// expect says that somebody is about to listen.
func (a *audience) expect(topic string, now time.Time) {
	a.mu.Lock()
	a.see(topic, now)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *audience) see(topic string, now time.Time) {
	a.until[topic] = now.Add(interest)
	a.last = now
}

// look asks who is subscribed. What nodes that do not answer would have said is forgotten after a while.
func (a *audience) look(ctx context.Context, h *hub.Hub) {
	page, _ := h.Topics(ctx, hub.TopicQuery{Pattern: prefix + ">", Limit: 1000}) // on an error it has what is known
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range page.Topics {
		if t.Subscribers > 0 {
			a.see(t.Name, now)
		}
	}
	for topic, until := range a.until {
		if now.After(until) {
			delete(a.until, topic)
		}
	}
}

// listens reports whether anybody listens to a topic.
func (a *audience) listens(topic string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.until[topic])
}

// gone reports whether nobody has listened to anything for a while.
func (a *audience) gone(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Sub(a.last) > patience
}

// marshal is for what has a form in JSON.
func marshal(v any) []byte {
	p, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return p
}

func unmarshal(p []byte, into any) bool { return json.Unmarshal(p, into) == nil }
