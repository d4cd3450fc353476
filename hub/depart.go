package hub

import (
	"context"
	"iter"
	"sync"
	"time"
)

const (
	// maxLeaving is how many calls to a broker are on their way at one time to give back what it holds for those who have gone. When a
	// network goes, thousands do at once.
	maxLeaving = 32

	// A broker that does not answer is not waited for when more than manyLeaving have gone: what it was told, it does when it can.
	manyLeaving   = 10_000
	leavePatience = LeaseTime / 3
	manyPatience  = 10 * time.Millisecond
)

// departure is what the broker holds for a subscription that has ended, and is to be given back.
type departure struct {
	at                         string
	followed, watched, entered bool
}

// absences are departures from topics of which nothing but the presence was left.
func absences(topics iter.Seq[string]) (ended []departure) {
	for topic := range topics {
		ended = append(ended, departure{at: topic, entered: true})
	}
	return ended
}

// departures wait to be given back, each for a subscription that there was.
type departures struct {
	mu      sync.Mutex
	waiting []leaving
	workers int
}

type leaving struct {
	user string
	departure
}

// leave gives back what the broker holds for subscriptions of a user that have ended.
func (h *Hub) leave(user string, ended []departure) {
	for _, d := range ended {
		h.giveBack(leaving{user, d}, leavePatience)
	}
}

// leaveLater is leave for those who do not want to know when it is done: it does not wait for a broker beyond this process. What comes
// back meanwhile is counted twice for a moment, so nobody sees it go.
func (h *Hub) leaveLater(user string, ended []departure) {
	if _, prompt := h.broker.(*MemoryBroker); prompt {
		h.leave(user, ended)
		return
	}
	d := &h.departures
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range ended {
		d.waiting = append(d.waiting, leaving{user, one})
	}
	for d.workers < min(maxLeaving, len(d.waiting)) {
		d.workers++
		go h.giveBackAll()
	}
}

// giveBackAll goes on until nothing waits.
func (h *Hub) giveBackAll() {
	d := &h.departures
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.waiting) > 0 {
		next := d.waiting[0]
		d.waiting[0] = leaving{}
		if d.waiting = d.waiting[1:]; len(d.waiting) == 0 {
			d.waiting = nil // lets go of the array
		}
		patience := leavePatience
		if len(d.waiting) > manyLeaving {
			patience = manyPatience
		}
		d.mu.Unlock()
		h.giveBack(next, patience)
		d.mu.Lock()
	}
	d.workers--
}

func (h *Hub) giveBack(d leaving, patience time.Duration) {
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return // it leaves the broker as a whole
	}
	if d.followed {
		h.broker.Unfollow(h, d.at)
	}
	if d.watched {
		h.broker.Unwatch(h, d.at)
	}
	if !d.entered {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.broker.Leave(ctx, h, d.at, d.user); err != nil {
		h.options.Logger.Warn("presence outlasts a connection", "topic", d.at, "error", err)
	}
}
