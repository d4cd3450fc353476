package support

import (
	"context"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	glance   = time.Second      // how often the desk is looked at
	round    = 15 * time.Second // how often all conversations are
	patience = time.Minute      // how long an agent may be away from a conversation
)

// duty is what visitors are told about the desk.
type duty struct {
	Agents int `json:"agents"`
}

// watch tells visitors how many agents there are, and gives back to the queue what agents have left behind. One node does.
func (s *support) watch(ctx context.Context) {
	var rounds time.Time
	told := -1
	gone := make(map[string]time.Time) // since when agents have been away who have a conversation
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		err := s.glance(ctx, &told)
		if now := time.Now(); err == nil && now.Sub(rounds) >= round {
			rounds = now
			err = s.collect(ctx, &gone, now)
		}
		if err != nil && ctx.Err() == nil {
			s.env.Logger.Debug("the desk is not seen", "error", err) // and looked at again
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// glance tells how many agents there are, if that has changed.
func (s *support) glance(ctx context.Context, told *int) error {
	desk, err := s.env.Hub.Presence(ctx, topicDesk)
	if err != nil || desk.Count == *told {
		return err
	}
	if _, err := showcase.JSON(ctx, s.env.Hub, topicState, "", duty{desk.Count}); err != nil {
		return err
	}
	*told = desk.Count
	return nil
}

// collect releases what agents have who have been away for too long.
func (s *support) collect(ctx context.Context, gone *map[string]time.Time, now time.Time) error {
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	desk, err := s.env.Hub.Presence(ctx, topicDesk)
	if err != nil {
		return err
	}
	here, away := make(map[string]bool), make(map[string]time.Time)
	for _, u := range desk.Users {
		here[u.User] = true
	}
	for _, c := range all {
		user := c.holder()
		if user == "" || c.Closed || here[user] {
			continue
		}
		since, known := (*gone)[user]
		if !known {
			since = now
		}
		away[user] = since
		if now.Sub(since) < patience {
			continue
		}
		if _, err := showcase.JSON(ctx, s.env.Hub, topicTalk+c.ID, "", event{Kind: released, From: user}); err != nil {
			return err
		}
	}
	*gone = away
	return nil
}
