package notify

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	retry = time.Second
	glass = time.Hour // longest time between two looks
)

// send sends what is due. One node does at a time; should two for a moment, the ids keep them from sending twice.
func (n *notify) send(ctx context.Context) {
	done := make(map[string]bool) // what needs no look any more
	for {
		next, err := n.sendDue(ctx, done, time.Now())
		if err != nil {
			if ctx.Err() == nil {
				n.env.Logger.Debug("notifications wait for the broker", "error", err)
			}
			next = retry
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-n.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// catchUp sends what became due while there was no server. In a cluster it takes a while until it is clear who sends, and another node may
// be doing the same: that is harmless.
func (n *notify) catchUp(ctx context.Context) {
	if _, err := n.sendDue(ctx, make(map[string]bool), time.Now()); err != nil && ctx.Err() == nil {
		n.env.Logger.Debug("notifications are left to who sends what is due", "error", err)
	}
}

// sendDue sends what is due now, and returns how long it is until there may be more.
func (n *notify) sendDue(ctx context.Context, done map[string]bool, now time.Time) (next time.Duration, err error) {
	next = glass
	items, err := n.items.All(ctx)
	if err != nil {
		return next, err
	}
	for id := range done {
		if !slices.ContainsFunc(items, func(e showcase.Entry[item]) bool { return e.Key == id }) {
			delete(done, id)
		}
	}
	for _, e := range items {
		if wait := e.Value.At.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if done[e.Key] {
			continue
		}
		if err := n.sendOne(ctx, e.Value); err != nil {
			return next, err
		}
		done[e.Key] = true
	}
	return next, nil
}

// sendOne does what is left to do of sending a notification: nothing if it is cancelled.
func (n *notify) sendOne(ctx context.Context, i item) error {
	log := topicLog + i.Log
	state, some, err := n.logs.State(ctx, n.env.Hub, log)
	if err != nil || !some || state.finished() {
		return err
	}
	if !state.Due {
		audience, err := n.audience(ctx, state.To)
		if err == nil {
			err = n.tell(ctx, log, "due", event{Kind: due, Audience: audience})
		}
		if err != nil {
			return err
		}
		if state, _, err = n.logs.State(ctx, n.env.Hub, log); err != nil || state.Cancelled {
			return err // somebody was faster
		}
	}
	if err := n.pass(ctx, &state.notice); err != nil {
		return err
	}
	return n.tell(ctx, log, "sent", event{Kind: sent})
}

// pass puts a notification where those read whom it is for. Its id keeps it from being there twice for as long as the broker remembers
// that; a server that was down for longer looks.
func (n *notify) pass(ctx context.Context, what *notice) error {
	topic, err := n.topicOf(ctx, what.To)
	if err != nil {
		if errors.Is(err, &hub.Error{Code: codeTarget}) {
			return nil // whoever it was for has not come for a month
		}
		return err
	}
	page, err := n.env.Hub.History(ctx, topic, hub.HistoryQuery{Limit: maxInbox})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(page.Messages, func(m *hub.Message) bool { return m.ID == what.ID }) {
		return nil
	}
	return n.tell(ctx, topic, what.ID, what)
}

// audience counts for how many people a notification is that is sent now.
func (n *notify) audience(ctx context.Context, to target) (int, error) {
	people, err := n.people.All(ctx)
	count := 0
	for _, e := range people {
		if isFor(to, time.Time{}, e.Key, e.Value) {
			count++
		}
	}
	return count, err
}

// tell publishes as the server. The id keeps it from being there twice.
func (n *notify) tell(ctx context.Context, topic, id string, what any) error {
	data, err := json.Marshal(what)
	if err == nil {
		_, err = n.env.Hub.Publish(ctx, topic, hub.Publication{ID: id, Data: data})
	}
	return err
}
