package auth

import (
	"container/heap"
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
)

// Revoke refuses, from now on, all tokens of a user that were issued before now; those without `iat` count as such. It does not
// end sessions. Since `iat` is in whole seconds, tokens issued later in this same second are refused too.
//
// A revocation is remembered, in memory, until no token can have lived for so long (Config.MaxLife). When Config.MaxRevocations are
// remembered, the error is an *hub.Error with unavailable; older ones are not forgotten for it.
func (a *Authenticator) Revoke(user string) error {
	if err := CheckUser(user); err != nil {
		return hub.Errorf(hub.CodeBadRequest, "%v", err)
	}
	r := a.rules.Load()
	life := r.MaxLife + 2*r.Leeway // the issuer's clock and ours, each as far off as is allowed
	if r.AllowNoExpiry {
		life = 0
	}
	return a.revoked.add(user, time.Now(), life, r.MaxRevocations)
}

// Revoked reports whether a user's tokens were revoked at that time or later.
func (a *Authenticator) Revoked(user string, since time.Time) bool {
	at, is := a.revoked.time(user)
	return is && !at.Before(since)
}

// revocations are users and when their tokens were revoked, the oldest first. The zero value is empty.
type revocations struct {
	mu     sync.Mutex
	byUser map[string]*list.Element
	order  list.List // of revocation
}

type revocation struct {
	user string
	at   time.Time
}

// add remembers a revocation. Those older than life are forgotten; life 0: none are.
func (s *revocations) add(user string, now time.Time, life time.Duration, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.order.Front(); e != nil && life > 0; e = s.order.Front() {
		old := e.Value.(revocation)
		if now.Sub(old.at) <= life {
			break
		}
		s.order.Remove(e)
		delete(s.byUser, old.user)
	}
	if e := s.byUser[user]; e != nil {
		e.Value = revocation{user, now}
		s.order.MoveToBack(e)
		return nil
	}
	if s.order.Len() >= most {
		return hub.Errorf(hub.CodeUnavailable, "%d revocations are remembered and no more fit; "+
			"replace the key that signs tokens, or allow more (max-revocations)", most)
	}
	if s.byUser == nil {
		s.byUser = map[string]*list.Element{}
	}
	s.byUser[user] = s.order.PushBack(revocation{user, now})
	return nil
}

func (s *revocations) time(user string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byUser[user]
	if e == nil {
		return time.Time{}, false
	}
	return e.Value.(revocation).at, true
}

func (s *revocations) covers(user string, issued *jwt.NumericDate) bool {
	at, is := s.time(user)
	return is && (issued == nil || !issued.After(at))
}

// usedTokens are the tokens that were accepted once and have not expired. The zero value is empty.
type usedTokens struct {
	mu     sync.Mutex
	known  map[[sha256.Size]byte]struct{}
	byDate usedHeap
}

type usedToken struct {
	id      [sha256.Size]byte
	expires time.Time
}

// take marks a token as used, or says that it was.
func (s *usedTokens) take(iss, jti string, expires, now time.Time, most int) error {
	id := sha256.Sum256([]byte(iss + "\x00" + jti)) // so that each costs the same, however long its names are
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.byDate) > 0 && !s.byDate[0].expires.After(now) {
		delete(s.known, heap.Pop(&s.byDate).(usedToken).id)
	}
	if _, was := s.known[id]; was {
		return hub.Errorf(hub.CodeTokenInvalid, "the token has been used before, and is good for one use; get a new one")
	}
	if len(s.byDate) >= most {
		wait := s.byDate[0].expires.Sub(now)
		return &hub.Error{Code: hub.CodeUnavailable, Message: "too many tokens were used lately; try again later", Retry: wait}
	}
	if s.known == nil {
		s.known = map[[sha256.Size]byte]struct{}{}
	}
	s.known[id] = struct{}{}
	heap.Push(&s.byDate, usedToken{id, expires})
	return nil
}

// usedHeap has what expires next at its top.
type usedHeap []usedToken

func (h usedHeap) Len() int           { return len(h) }
func (h usedHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h usedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *usedHeap) Push(x any)        { *h = append(*h, x.(usedToken)) }
func (h *usedHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
