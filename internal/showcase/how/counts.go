package how

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/wire"
)

// transport is a way to bring messages to a page.
type transport int

const (
	polling transport = iota // asks again and again
	waiting                  // long polling: asks, and is answered when there is something
	events                   // server-sent events: an answer without end
	frames                   // WebSocket
	transports
)

var transportNames = [transports]string{"poll", "wait", "events", "socket"}

const (
	maxRaces     = 256 // counted at one time on one node
	maxFromOne   = 32  // of them, from one address
	raceKept     = 30 * time.Second
	countsEvery  = 250 * time.Millisecond
	requestRate  = 60 // a second, for each race: what long polling takes at the fastest pace is 20
	requestBurst = 60
	mostAtOnce   = 3 // requests of one race and transport: one that was given up may not have been noticed yet
)

type raceKey struct {
	id  string
	run int
}

// tally is what a race has cost at this node.
type tally struct {
	meters   [transports]wire.Meter
	requests [transports]atomic.Int64
	estimate atomic.Bool // some of it was computed

	address string // immutable: who began it

	// Guarded by how.mu.
	active   [transports]int
	allowed  allowance
	used     time.Time
	reported counted
}

// counted is what is published about a race: what this node has counted since it knows of it. A page adds up what different nodes say.
// Behind a reverse proxy the connections are the proxy's, which may write requests in its own way.
type counted struct {
	Node     string `json:"node"`
	Run      int    `json:"run"`
	Estimate bool   `json:"estimate,omitempty"` // requests and answers were computed as HTTP/1.1, because TLS keeps the bytes from us

	Transports [transports]cost `json:"transports"` // polling, long polling, events, WebSocket
}

// cost is that of one transport.
type cost struct {
	Name     string `json:"name"`
	Requests int64  `json:"requests"` // a handshake is one
	In       int64  `json:"in"`       // bytes from the browser
	Out      int64  `json:"out"`
}

// enter counts a request of a race, from an address. leave is called when it is over.
func (h *how) enter(r *race, by transport, address string, now time.Time) (t *tally, leave func(), err *hub.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := raceKey{r.id, r.run}
	t = h.races[at]
	if t == nil {
		if h.isBusy(address) {
			return nil, nil, hub.Errorf(codeBusy, "very many races are on at this server, or from your address; try again in a minute")
		}
		t = &tally{address: address, allowed: allowance{rate: requestRate, burst: requestBurst}}
		h.races[at] = t
	}
	if t.active[by] >= mostAtOnce || !t.allowed.take(now) {
		return nil, nil, hub.Errorf(codeTooFast, "a race may ask %d times a second, and have %d requests at one time", requestRate, mostAtOnce)
	}
	t.active[by]++
	t.used = now
	t.requests[by].Add(1)
	return t, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		t.active[by]--
		t.used = time.Now()
	}, nil
}

// isBusy reports whether there is no room for a race from an address. mu is held.
func (h *how) isBusy(address string) bool {
	same := 0
	for _, t := range h.races {
		if t.address == address {
			same++
		}
	}
	return same >= maxFromOne || len(h.races) >= maxRaces
}

// publishCounts tells the pages, until ctx ends.
func (h *how) publishCounts(ctx context.Context) {
	tick := time.NewTicker(countsEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for id, what := range h.changed(now) {
				// What is lost is made up for by the next.
				if _, err := showcase.JSON(ctx, h.env.Hub, prefix+id.id+counts, "", what); err != nil && ctx.Err() == nil {
					h.env.Logger.Debug("counts of a race are lost", "error", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// changed returns what there is to be told, and forgets races that are over.
func (h *how) changed(now time.Time) map[raceKey]counted {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := make(map[raceKey]counted)
	for at, t := range h.races {
		if what := t.count(h.node, at.run); what != t.reported {
			t.reported = what
			news[at] = what
		} else if t.active == [transports]int{} && now.Sub(t.used) > raceKept {
			delete(h.races, at)
		}
	}
	return news
}

func (t *tally) count(node string, run int) counted {
	what := counted{Node: node, Run: run, Estimate: t.estimate.Load()}
	for i := range what.Transports {
		what.Transports[i] = cost{transportNames[i], t.requests[i].Load(), t.meters[i].In.Load(), t.meters[i].Out.Load()}
	}
	return what
}
