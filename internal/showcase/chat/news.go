package chat

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	newsEvery = 200 * time.Millisecond // at most so often for each room
	newsAgain = 5 * time.Second        // after the hub did not let us listen
	newsLook  = 30 * time.Second       // between looks whether anybody still wants to know
)

// announce tells in chat.<room>.news that something was said in a room, for pages that show another one: they ask then how much
// they have not read. It listens to all rooms as any subscriber does, so it knows what really has its place, whoever published it; on each
// node by itself, as it does no harm to be told twice. Until somebody wants to know it does nothing. It works until ctx ends.
func (c *chat) announce(ctx context.Context) {
	for {
		select {
		case <-c.wanted:
		case <-ctx.Done():
			return
		}
		if c.app.Claimed() {
			continue
		}
		if err := c.listen(ctx); err != nil && ctx.Err() == nil {
			c.env.Logger.Debug("what is new in rooms is not announced", "error", err)
			select {
			case <-time.After(newsAgain):
				wake(c.wanted)
			case <-ctx.Done():
			}
		}
	}
}

// listen announces until nobody wants to know any more, or the subscription or ctx ends.
func (c *chat) listen(ctx context.Context) error {
	heard := newHeard()
	s, err := c.env.Hub.Listen(heard)
	if err != nil {
		return err
	}
	defer s.Close()
	subscribed, err := s.Subscribe(ctx, roomPattern, hub.SubscribeOptions{})
	if err != nil {
		return err
	}
	subscribed.Begin()
	pause, look := time.NewTicker(newsEvery), time.NewTicker(newsLook)
	defer pause.Stop()
	defer look.Stop()
	for {
		select {
		case <-heard.some:
		case <-look.C:
			if !c.isWanted(ctx) {
				return nil
			}
			continue
		case <-heard.ended:
			return hub.ErrEnded
		case <-ctx.Done():
			return nil
		}
		for topic, offset := range heard.take() {
			if _, err := showcase.JSON(ctx, c.env.Hub, topic+"."+news, "", map[string]uint64{"offset": offset}); err != nil && ctx.Err() == nil {
				c.env.Logger.Debug("that something was said is not announced", "topic", topic, "error", err) // the next message will be
			}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// isWanted reports whether anybody is at a topic of news, or has just come.
func (c *chat) isWanted(ctx context.Context) bool {
	page, err := c.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: newsPattern, Limit: 1000})
	if err != nil || page.More || slices.ContainsFunc(page.Topics, func(t hub.TopicInfo) bool { return t.Subscribers > 0 }) {
		return true
	}
	select {
	case <-c.wanted:
		return true
	default:
		return false
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// heard is a hub.Sink that notes in which rooms something was said.
type heard struct {
	some  chan struct{} // has something while there is something to take
	ended chan struct{} // closed when nothing more comes

	mu    sync.Mutex
	rooms map[string]uint64 // topic -> offset of the last message; guarded by mu
}

func newHeard() *heard {
	return &heard{some: make(chan struct{}, 1), ended: make(chan struct{}), rooms: make(map[string]uint64)}
}

// Deliver implements hub.Sink. It always has room: there is one note for each room.
func (h *heard) Deliver(m *hub.Message) bool {
	switch {
	case m.Kind == hub.KindUnsubscribed:
		h.end()
	case m.Topic != "": // a gap means that something was said, too
		h.mu.Lock()
		h.rooms[m.Topic] = m.Offset
		h.mu.Unlock()
		wake(h.some)
	}
	return true
}

// End implements hub.Sink.
func (h *heard) End(hub.End) { h.end() }

func (h *heard) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.ended:
	default:
		close(h.ended)
	}
}

func (h *heard) take() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	rooms := h.rooms
	h.rooms = make(map[string]uint64)
	return rooms
}
