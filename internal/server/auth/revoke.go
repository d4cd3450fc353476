package auth

import (
	"container/heap"
	"container/list"
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
)

// Revoke refuses, from now on, all tokens of a user that were issued before now; those without `iat` count as such. It does not
// end sessions. Since `iat` is in whole seconds, tokens issued later in this same second are refused too.
//
// A revocation is remembered until no token can have lived for so long (Config.MaxLife): in memory and, after Join, by the broker. When Config.MaxRevocations are
// remembered, the error is an *hub.Error with unavailable; older ones are not forgotten for it. So it is when the broker could not be
// told; then it holds for this node.
func (a *Authenticator) Revoke(ctx context.Context, user string) error {
	if err := CheckUser(user); err != nil {
		return hub.Errorf(hub.CodeBadRequest, "%v", err)
	}
	r, now := a.rules.Load(), time.Now()
	if err := a.revoked.add(user, now, r.revocationLife(), r.MaxRevocations); err != nil {
		return err
	}
	return a.tellRevoked(ctx, user, now, r.revocationLife())
}

// revocationLife is how long a revocation matters; 0: for ever.
func (r *rules) revocationLife() time.Duration {
	if r.AllowNoExpiry {
		return 0
	}
	return r.MaxLife + 2*r.Leeway // the issuer's clock and ours, each as far off as is allowed
}

// Revoked reports whether a user's tokens were revoked at that time or later.
func (a *Authenticator) Revoked(user string, since time.Time) bool {
	r, is := a.revoked.find(user)
	return is && !r.learned.Before(since)
}

// revocations are users and when their tokens were revoked, the oldest first. The zero value is empty.
type revocations struct {
	mu     sync.Mutex
	byUser map[string]*list.Element
	order  list.List // of revocation
}

type revocation struct {
	user    string
	at      time.Time // tokens up to then are refused
	learned time.Time // when this node came to know it
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
	if s.byUser[user] == nil && s.order.Len() >= most {
		return hub.Errorf(hub.CodeUnavailable, "%d revocations are remembered and no more fit; "+
			"replace the key that signs tokens, or allow more (max-revocations)", most)
	}
	s.put(revocation{user, now, now})
	return nil
}

// learn remembers what another node has made sure that there is room for. It reports whether that was news.
func (s *revocations) learn(user string, at, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byUser[user]; e != nil && e.Value.(revocation).at.UnixMilli() >= at.UnixMilli() {
		return false
	}
	s.put(revocation{user, at, now})
	return true
}

// put takes the place of what was known. The caller holds mu.
func (s *revocations) put(r revocation) {
	if e := s.byUser[r.user]; e != nil {
		e.Value = r
		s.order.MoveToBack(e)
		return
	}
	if s.byUser == nil {
		s.byUser = map[string]*list.Element{}
	}
	s.byUser[r.user] = s.order.PushBack(r)
}

func (s *revocations) find(user string) (revocation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byUser[user]
	if e == nil {
		return revocation{}, false
	}
	return e.Value.(revocation), true
}

func (s *revocations) covers(user string, issued *jwt.NumericDate) bool {
	r, is := s.find(user)
	return is && (issued == nil || !issued.After(r.at))
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

// usedID stands for a token: each costs the same, however long its names are.
func usedID(iss, jti string) [sha256.Size]byte { return sha256.Sum256([]byte(iss + "\x00" + jti)) }

var errUsed = hub.Errorf(hub.CodeTokenInvalid, "the token has been used before, and is good for one use; get a new one")

// take marks a token as used, or says that it was.
func (s *usedTokens) take(id [sha256.Size]byte, expires, now time.Time, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.byDate) > 0 && !s.byDate[0].expires.After(now) {
		delete(s.known, heap.Pop(&s.byDate).(usedToken).id)
	}
	if _, was := s.known[id]; was {
		return errUsed
	}
	if len(s.byDate) >= most {
		wait := s.byDate[0].expires.Sub(now)
		return &hub.Error{Code: hub.CodeUnavailable, Message: "too many tokens were used lately; try again later", Retry: wait}
	}
	s.put(id, expires)
	return nil
}

// learn remembers what another node has let in.
func (s *usedTokens) learn(id [sha256.Size]byte, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, was := s.known[id]; !was {
		s.put(id, expires)
	}
}

// put remembers one that is not known. The caller holds mu.
func (s *usedTokens) put(id [sha256.Size]byte, expires time.Time) {
	if s.known == nil {
		s.known = map[[sha256.Size]byte]struct{}{}
	}
	s.known[id] = struct{}{}
	heap.Push(&s.byDate, usedToken{id, expires})
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
