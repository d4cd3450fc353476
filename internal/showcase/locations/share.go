package locations

import (
	"context"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	silence    = 6 * time.Second // after which somebody who shares a position is gone; the page says where it is every two seconds
	perSecond  = 5               // positions of one user, on average and at once
	fastest    = 70.0            // metres a second: 250 km/h
	inaccuracy = 60.0            // metres by which a position may be off
	maxSharers = 10_000          // at one node

	codeNoPosition hub.Code = "map.not-a-position"
	codeOffMap     hub.Code = "map.off-map"
	codeTooFast    hub.Code = "map.too-fast"
	codeTooOften   hub.Code = "map.too-often"
	codeTooMany    hub.Code = "map.too-many"
	codeNoCell     hub.Code = "map.no-such-cell"
)

// sharers are the people at this node who share where they are. Its methods may be called from any goroutine.
type sharers struct {
	env *showcase.Env

	mu  sync.Mutex
	all map[string]*sharer // by user; guarded by mu
}

// sharer is one of them.
type sharer struct {
	sync.Mutex // held while a position is published, so that positions keep their order
	name       string
	at         place
	since      time.Time // of the position
	allowance  float64   // positions that may come now
	counted    time.Time // when it was
	shown      bool
	gone       bool // taken out of the table
}

// position is what a page says of itself. Numbers that are absent, or too large for one, are no position.
type position struct{ Lat, Lon *float64 }

// share shows where somebody is.
func (s *sharers) share(ctx context.Context, r *hub.Request, q position) (struct{}, error) {
	none := struct{}{}
	name, err := showcase.NameOf(r.Identity)
	if err != nil {
		return none, err
	}
	if q.Lat == nil || q.Lon == nil || !(place{*q.Lat, *q.Lon}).isFinite() {
		return none, hub.Errorf(codeNoPosition, "a position has lat, from -90 to 90, and lon, from -180 to 180, in degrees")
	}
	at := place{*q.Lat, *q.Lon}
	if !at.isOnMap() {
		return none, hub.Errorf(codeOffMap, "%.5f, %.5f is off the map, which reaches from %g to %g in latitude and from %g to %g in longitude",
			at.Lat, at.Lon, south, north, west, east)
	}
	p, err := s.take(r.Identity.User)
	if err != nil {
		return none, err
	}
	defer p.Unlock()
	if err := p.check(at, time.Now()); err != nil {
		return none, err
	}
	if p.shown && cellOf(p.at) != cellOf(at) {
		if err := publishGone(ctx, s.env.Hub, r.Identity.User, cellOf(p.at)); err != nil {
			return none, err
		}
	}
	p.name, p.at, p.since, p.shown = name, at, time.Now(), true
	return none, publishReport(ctx, s.env.Hub, report{ID: r.Identity.User, Name: name, Kind: kindPerson, place: at})
}

// stop takes somebody off the map.
func (s *sharers) stop(ctx context.Context, r *hub.Request, _ struct{}) (struct{}, error) {
	s.mu.Lock()
	p := s.all[r.Identity.User]
	s.mu.Unlock()
	if p == nil {
		return struct{}{}, nil
	}
	return struct{}{}, s.remove(ctx, r.Identity.User, p, func() bool { return true })
}

// take locks a user's entry, which it makes if there is none.
func (s *sharers) take(user string) (*sharer, error) {
	for {
		s.mu.Lock()
		p := s.all[user]
		if p == nil {
			if len(s.all) >= maxSharers {
				s.mu.Unlock()
				return nil, hub.Errorf(codeTooMany, "%d people share their positions already", maxSharers)
			}
			p = &sharer{allowance: perSecond, since: time.Now(), counted: time.Now()}
			s.all[user] = p
		}
		s.mu.Unlock()
		p.Lock()
		if !p.gone {
			return p, nil
		}
		p.Unlock() // it was taken out in the meantime
	}
}

// check refuses positions that come too often, or are further away than anybody travels.
func (p *sharer) check(at place, now time.Time) error {
	p.allowance = min(perSecond, p.allowance+now.Sub(p.counted).Seconds()*perSecond)
	p.counted = now
	if p.allowance < 1 {
		return &hub.Error{Code: codeTooOften, Message: "a position may change 5 times a second", Retry: time.Second / perSecond}
	}
	passed := now.Sub(p.since).Seconds()
	if far := p.at.to(at); p.shown && far > fastest*passed+inaccuracy {
		return hub.Errorf(codeTooFast, "%.0f m in %.1f s: nobody is as fast; stop sharing first to begin elsewhere", far, passed)
	}
	p.allowance--
	return nil
}

// remove takes an entry out if it is still as wanted, and says so in its cell.
func (s *sharers) remove(ctx context.Context, user string, p *sharer, wanted func() bool) error {
	p.Lock()
	defer p.Unlock()
	if p.gone || !wanted() {
		return nil
	}
	if p.shown {
		if err := publishGone(ctx, s.env.Hub, user, cellOf(p.at)); err != nil {
			return err // and is tried again
		}
	}
	p.gone = true
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, user)
	return nil
}

// expire takes out who has not said anything for a while, until ctx ends.
func (s *sharers) expire(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		all := make(map[string]*sharer, len(s.all))
		for user, p := range s.all {
			all[user] = p
		}
		s.mu.Unlock()
		for user, p := range all {
			silent := func() bool { return time.Since(p.since) > silence }
			if err := s.remove(ctx, user, p, silent); err != nil && ctx.Err() == nil {
				s.env.Logger.Debug("somebody stays on the map for now", "error", err)
			}
		}
	}
}
