// Package scores is the server part of the scores page: football matches, each of them a topic with history. Whoever comes late, or comes
// back, reads the topic from its beginning or from where it was, so that everybody has seen every event once and in order.
package scores

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix  = "demo.scores." // then the match
	pitches = 4              // matches at one time
	cycle   = 2 * time.Minute
	minute  = time.Second // of a match, in our time
	keep    = 30 * time.Minute
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	s := &scores{env}
	return &showcase.App{
		Name: "scores",
		Topics: []hub.Rule{{Pattern: prefix + "*", TopicOptions: hub.TopicOptions{
			HistoryMessages: maxEvents, HistoryAge: keep, Publish: hub.Nobody,
		}}},
		Solo: s.play,
	}, nil
}

type scores struct{ env *showcase.Env }

// play has matches on every pitch, one after the other. What happens in a match follows from its name alone, so a node that takes over,
// or a server that was started again, goes on with it.
func (s *scores) play(ctx context.Context) {
	next := make([]progress, pitches)
	tick := time.NewTicker(minute)
	defer tick.Stop()
	for {
		for pitch := range next {
			if err := s.advance(ctx, pitch, &next[pitch], time.Now()); err != nil && ctx.Err() == nil {
				s.env.Logger.Debug("a match waits for its broker", "pitch", pitch, "error", err) // and goes on where it was
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// progress is how much of the match on a pitch has been told.
type progress struct {
	match  string
	script []event
	told   int
}

// advance tells what has happened on a pitch up to now.
func (s *scores) advance(ctx context.Context, pitch int, p *progress, now time.Time) error {
	since := now.Add(-time.Duration(pitch) * cycle / pitches) // the pitches do not all begin at once
	round := since.UnixNano() / int64(cycle)
	if match := fmt.Sprintf("%d-%d", pitch, round); match != p.match {
		told, err := s.told(ctx, match)
		if err != nil {
			return err
		}
		*p = progress{match, write(pitch, round), told}
	}
	played := since.Sub(time.Unix(0, round*int64(cycle)))
	for p.told < len(p.script) && p.script[p.told].after() <= played {
		e := &p.script[p.told]
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		// The ID makes it harmless to say it twice, as when nobody knows whether the first time succeeded.
		if _, err := s.env.Hub.Publish(ctx, prefix+p.match, hub.Publication{ID: fmt.Sprint(e.N), Data: data}); err != nil {
			return err
		}
		p.told++
	}
	return nil
}

// told returns how many events of a match have been published already.
func (s *scores) told(ctx context.Context, match string) (int, error) {
	page, err := s.env.Hub.History(ctx, prefix+match, hub.HistoryQuery{Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return 0, err
	}
	var last event
	if err := json.Unmarshal(page.Messages[0].Data, &last); err != nil {
		return 0, fmt.Errorf("scores: what is in the history of %s is no event: %w", match, err)
	}
	return last.N, nil
}
