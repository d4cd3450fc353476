package edit

import (
	"sync"

	"github.com/duplex-websocket/duplex/hub"
)

const maxInbox = 256 // messages; further ones wait in the hub, by their topics' rules

// inbox is the end of a room's subscriptions: the hub must not be held up, so messages wait here.
type inbox struct {
	wake  chan struct{} // has something when there are messages
	ended chan struct{} // closed when the hub has ended the session

	mu       sync.Mutex
	messages []*hub.Message
	refused  bool // the hub has been told that there is no room
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Deliver implements hub.Sink.
func (i *inbox) Deliver(m *hub.Message) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.messages) >= maxInbox {
		i.refused = true
		return false
	}
	i.messages = append(i.messages, m)
	select {
	case i.wake <- struct{}{}:
	default:
	}
	return true
}

// End implements hub.Sink.
func (i *inbox) End(hub.End) { close(i.ended) }

// take returns what waits. refused: the hub waits to be told that there is room again.
func (i *inbox) take() (batch []*hub.Message, refused bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	batch, refused = i.messages, i.refused
	i.messages, i.refused = nil, false
	return batch, refused
}
