package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// The boards on which nodes tell each other what to refuse.
const (
	boardRevoked = "revoked"
	boardUsed    = "used"
)

// lateEnd is when a node ends the sessions of a user that another node has revoked, in case that the other one could not reach it to have it done.
const lateEnd = 500 * time.Millisecond

// noteTime is how long telling other nodes may take.
const noteTime = 5 * time.Second

// shared is how an Authenticator talks to those of other nodes.
type shared struct {
	hub           *hub.Hub
	revoked, used *hub.Board
}

// revokedNote and usedNote are what goes from node to node, and is kept for nodes that start later.
type revokedNote struct {
	User string `json:"user"`
	At   int64  `json:"at"` // milliseconds since 1970
}

type usedNote struct {
	ID      []byte `json:"id"`      // as in usedToken
	Expires int64  `json:"expires"` // milliseconds since 1970
}

// Join makes all nodes of the hub's broker refuse what one of them was told to refuse: tokens of users that were revoked, and tokens for
// one use that were used. What the others know is known here when it returns. It is to be called once, before anybody comes in; the error is the broker's.
func (a *Authenticator) Join(ctx context.Context, h *hub.Hub) error {
	s := &shared{hub: h}
	var err error
	if s.revoked, err = h.Board(ctx, boardRevoked, func(data []byte, _ time.Time) { a.learnRevoked(data) }); err != nil {
		return err
	}
	if s.used, err = h.Board(ctx, boardUsed, func(data []byte, _ time.Time) { a.learnUsed(data) }); err != nil {
		return err
	}
	a.shared.Store(s)
	return nil
}

// tellRevoked tells the other nodes.
func (a *Authenticator) tellRevoked(ctx context.Context, user string, at time.Time, life time.Duration) error {
	s := a.shared.Load()
	if s == nil {
		return nil
	}
	note, err := json.Marshal(revokedNote{user, at.UnixMilli()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	if err := s.revoked.Post(ctx, user, note, life); err != nil {
		a.logger.Error("a revocation could not be passed on", "user", user, "error", err)
		return &hub.Error{Code: hub.CodeUnavailable, Retry: time.Second,
			Message: "the user's tokens are refused here, but it could not be stored for the other servers; revoke them again"}
	}
	return nil
}

// learnRevoked also ends the user's sessions that there still are after a while.
func (a *Authenticator) learnRevoked(data []byte) {
	var note revokedNote
	if err := json.Unmarshal(data, &note); err != nil || note.User == "" {
		a.logger.Warn("a revocation of another node cannot be read", "error", err)
		return
	}
	at := time.UnixMilli(note.At)
	if life := a.rules.Load().revocationLife(); life > 0 && time.Since(at) > life {
		return
	}
	s := a.shared.Load()
	if !a.revoked.learn(note.User, at, time.Now()) || s == nil {
		return
	}
	time.AfterFunc(lateEnd, func() {
		who := hub.Selector{User: note.User, Here: true}
		_, _ = s.hub.Disconnect(context.Background(), who, hub.End{Code: hub.EndTokenRevoked, Message: "your token was revoked"}) // nobody else is asked
	})
}

// takeUsed makes sure that no other node has let the token in.
func (a *Authenticator) takeUsed(ctx context.Context, id [sha256.Size]byte, expires, now time.Time) error {
	s := a.shared.Load()
	if s == nil {
		return nil
	}
	note, err := json.Marshal(usedNote{id[:], expires.UnixMilli()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	first, err := s.used.PostFirst(ctx, string(id[:]), note, expires.Sub(now)+time.Second)
	switch {
	case err != nil:
		a.logger.Warn("it is not known whether a token was used elsewhere", "error", err)
		return &hub.Error{Code: hub.CodeUnavailable, Message: "it cannot be made sure now that the token was not used before; come back with a new one",
			Retry: time.Second}
	case !first:
		return errUsed
	}
	return nil
}

func (a *Authenticator) learnUsed(data []byte) {
	var note usedNote
	if err := json.Unmarshal(data, &note); err != nil || len(note.ID) != sha256.Size {
		a.logger.Warn("a used token of another node cannot be read", "error", err)
		return
	}
	if expires := time.UnixMilli(note.Expires); expires.After(time.Now()) {
		a.used.learn([sha256.Size]byte(note.ID), expires)
	}
}
