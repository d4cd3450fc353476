package locations

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// census knows what is in which cell. It is a subscriber of its own hub, so it counts the people of other nodes as well.
type census struct {
	*hub.Subscriber

	mu  sync.Mutex
	all map[string]sighting // by id; guarded by mu
}

// sighting is where something was seen, and when.
type sighting struct {
	cell   string // "X.Y"
	person bool
	at     time.Time
}

// counts is what is published of it.
type counts struct {
	Cells    map[string]int `json:"cells"`
	Couriers int            `json:"couriers"`
	People   int            `json:"people"`
}

func takeCensus(ctx context.Context, h *hub.Hub) (*census, error) {
	c := &census{all: make(map[string]sighting)}
	var err error
	c.Subscriber, err = h.Listen(c)
	if err != nil {
		return nil, err
	}
	subscribed, err := c.Subscribe(ctx, allCells, hub.SubscribeOptions{Last: 1000})
	if err != nil {
		c.Close()
		return nil, err
	}
	subscribed.Begin()
	return c, nil
}

// Deliver implements hub.Sink.
func (c *census) Deliver(m *hub.Message) bool {
	id, kind, gone := "", "", false
	if m.Kind == hub.KindData {
		id, kind, gone = decodeReport(m.Data)
	}
	if id == "" {
		return true
	}
	cell := strings.TrimPrefix(m.Topic, cellPrefix)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !gone {
		c.all[id] = sighting{cell, kind == kindPerson, m.Time}
	} else if c.all[id].cell == cell {
		delete(c.all, id)
	}
	return true
}

// End implements hub.Sink.
func (c *census) End(hub.End) {}

// count is what has been seen lately.
func (c *census) count(now time.Time) counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := counts{Cells: make(map[string]int)}
	for id, s := range c.all {
		if now.Sub(s.at) > silence {
			delete(c.all, id)
			continue
		}
		n.Cells[s.cell]++
		if s.person {
			n.People++
		} else {
			n.Couriers++
		}
	}
	return n
}
