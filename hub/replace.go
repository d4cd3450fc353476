package hub

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	replaceTimeout = time.Second
	maxReplace     = 1000    // sessions in one command
	maxReplacing   = 100_000 // that wait; of those beyond, old connections end by themselves
)

// replacement says that a session goes on elsewhere. Its JSON goes to other nodes.
type replacement struct {
	Session string
	User    string
	Turn    uint64 // Connecting.Turn there
}

// replacements wait to be told to other nodes.
type replacements struct {
	mu      sync.Mutex
	waiting []replacement
	running bool
}

// replaceElsewhere ends the earlier connections that a session has on other nodes. It does not wait for that: thousands come at once
// when a node has gone, which would have to be waited for too.
func (h *Hub) replaceElsewhere(one replacement) {
	r := &h.replacements
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= maxReplacing {
		return
	}
	if r.waiting = append(r.waiting, one); !r.running {
		r.running = true
		go h.tellReplacements()
	}
}

func (h *Hub) tellReplacements() {
	r := &h.replacements
	for {
		r.mu.Lock()
		n := min(maxReplace, len(r.waiting))
		some := r.waiting[:n:n]
		r.waiting = r.waiting[n:]
		if n == 0 {
			r.waiting, r.running = nil, false
		}
		r.mu.Unlock()
		if n == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), replaceTimeout)
		if _, err := others[int](ctx, h, commandReplace, some); err != nil {
			h.options.Logger.Debug("old connections of sessions may go on for a while", "sessions", n, "error", err)
		}
		cancel()
	}
}

// replaced ends connections whose sessions go on on another node, and says how many.
func (h *Hub) replaced(all []replacement) (n int) {
	for _, r := range all {
		if user, leave, ended := h.replacedOne(r); ended {
			h.leaveLater(user, leave)
			n++
		}
	}
	return n
}

// replacedOne leaves the presence of the old connection behind for a while, for the new one to come into the same topics.
func (h *Hub) replacedOne(r replacement) (user string, leave []departure, ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.subscribers[r.Session]
	if old == nil || old.turn >= r.Turn || old.identity.User != r.User {
		return "", nil, false // it has come here since
	}
	old.endLocked(End{Code: EndReplaced, Message: "the session goes on elsewhere"})
	topics := old.bequeath()
	leave = old.closeLocked()
	if len(topics) == 0 || h.closed {
		return r.User, append(leave, absences(maps.Keys(topics))...), true
	}
	heir := &Subscriber{
		hub: h, id: old.id, since: old.since, turn: r.Turn, identity: old.identity, ended: true, suspended: true, inherited: topics,
	}
	h.subscribers[heir.id] = heir
	h.stats.suspended++
	heir.grace = time.AfterFunc(inheritance, heir.Close)
	return r.User, leave, true
}
