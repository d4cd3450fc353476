package hub

import (
	"cmp"
	"context"
)

// Bounds of pages.
const (
	defaultPage = 100
	maxPage     = 1000
)

// History returns a part of what a topic keeps, for the program itself. The errors are *Error, or that of ctx.
func (h *Hub) History(ctx context.Context, topic string, q HistoryQuery) (HistoryPage, error) {
	if err := CheckTopic(topic); err != nil {
		return HistoryPage{}, err
	}
	return h.history(ctx, h.rules.Load().of(topic), topic, q)
}

// History returns a part of what a topic keeps, if the subscriber may read it. The errors are *Error, or that of ctx.
func (s *Subscriber) History(ctx context.Context, topic string, q HistoryQuery) (HistoryPage, error) {
	if err := CheckTopic(topic); err != nil {
		return HistoryPage{}, err
	}
	rules := *s.hub.rules.Load()
	identity := s.Identity()
	if !rules.may(&identity, ActHistory, topic) {
		return HistoryPage{}, Errorf(CodeForbidden, "you may not read the history of %s", topic)
	}
	return s.hub.history(ctx, rules.of(topic), topic, q)
}

func (h *Hub) history(ctx context.Context, r *rule, topic string, q HistoryQuery) (HistoryPage, error) {
	limit := cmp.Or(q.Limit, defaultPage)
	switch {
	case r.HistoryMessages == 0:
		return HistoryPage{}, Errorf(CodeNoHistory, "%s keeps no history", topic)
	case limit < 0 || limit > maxPage:
		return HistoryPage{}, Errorf(CodeBadRequest, "limit is 1 to %d", maxPage)
	}
	rules := *h.rules.Load()
	log, err := h.broker.Read(ctx, rules.query(ReadQuery{Topic: topic, Limit: limit, Before: q.Before, After: q.After, Forward: q.Forward}))
	if err != nil {
		return HistoryPage{}, err
	}
	page := HistoryPage{Epoch: log.Top.Epoch, Messages: log.Messages, More: log.More, Lost: q.Forward && !log.Lost.IsZero()}
	if q.Epoch == "" || q.Epoch == page.Epoch {
		return page, nil
	}
	// Offsets of another epoch mean nothing here: what there is begins anew.
	if log, err = h.broker.Read(ctx, rules.query(ReadQuery{Topic: topic, Limit: limit, Forward: q.Forward})); err != nil {
		return HistoryPage{}, err
	}
	return HistoryPage{Epoch: log.Top.Epoch, Messages: log.Messages, More: log.More, Lost: true}, nil
}

// Presence returns who is in a topic, for the program itself. The errors are *Error, or that of ctx.
func (h *Hub) Presence(ctx context.Context, topic string) (Present, error) {
	if err := CheckTopic(topic); err != nil {
		return Present{}, err
	}
	return h.presence(ctx, h.rules.Load().of(topic), topic)
}

// Presence returns who is in a topic, if the subscriber may know. The errors are *Error, or that of ctx.
func (s *Subscriber) Presence(ctx context.Context, topic string) (Present, error) {
	if err := CheckTopic(topic); err != nil {
		return Present{}, err
	}
	rules := *s.hub.rules.Load()
	identity := s.Identity()
	if !rules.may(&identity, ActPresence, topic) {
		return Present{}, Errorf(CodeForbidden, "you may not know who is in %s", topic)
	}
	return s.hub.presence(ctx, rules.of(topic), topic)
}

func (h *Hub) presence(ctx context.Context, r *rule, topic string) (Present, error) {
	switch r.Presence {
	case PresenceFull:
		return h.broker.Present(ctx, topic, maxPage)
	case PresenceCount:
		return h.broker.Present(ctx, topic, 0)
	default:
		return Present{}, Errorf(CodeNoPresence, "%s does not know who is there", topic)
	}
}
