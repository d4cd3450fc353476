package natsbroker

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// board is one as a node sees it.
type board struct {
	*hub.Board
	hub   *hub.Hub
	mu    sync.Mutex
	notes map[string]bool
}

func openBoard(t *testing.T, b *Broker) *board {
	t.Helper()
	h, err := hub.New(hub.Options{Broker: b, Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{HistoryMessages: 10}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	all := &board{hub: h, notes: make(map[string]bool)}
	all.Board, err = h.Board(t.Context(), "x", func(data []byte, _ time.Time) {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.notes[string(data)] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (b *board) knows(notes ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(notes, func(n string) bool { return !b.notes[n] })
}

// ear is the sink of a subscriber that counts.
type ear struct{ messages, gaps atomic.Int64 }

func (e *ear) Deliver(m *hub.Message) bool {
	if m.Kind == hub.KindGap {
		e.gaps.Add(1)
	} else {
		e.messages.Add(1)
	}
	return true
}

func (e *ear) End(hub.End) {}

// TestBoard: notes reach all nodes and those that start later, one of several who post first is the first, and nobody else notices.
func TestBoard(t *testing.T) {
	s := startServer(t, server.Options{})
	name := newName()
	one, two := openBoard(t, openBroker(t, Options{Name: name}, s)), openBoard(t, openBroker(t, Options{Name: name}, s))

	e := &ear{}
	listener, err := one.hub.Connect(hub.Connecting{Session: "s", Identity: hub.Identity{User: "u"}, Sink: e})
	if err != nil {
		t.Fatal(err)
	}
	began, err := listener.Subscribe(t.Context(), ">", hub.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	began.Begin()

	var all []string
	for i := range 300 { // some shelves have several
		all = append(all, fmt.Sprint("note ", i))
		if err := one.Post(t.Context(), all[i], []byte(all[i]), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Post(t.Context(), all[0], []byte("again"), time.Hour); err != nil {
		t.Fatal(err)
	}
	var first atomic.Int64
	var posting sync.WaitGroup
	for i := range 40 {
		posting.Go(func() {
			b := []*board{one, two}[i%2]
			is, err := b.PostFirst(t.Context(), "first", fmt.Append(nil, "first ", i), time.Hour)
			if err != nil {
				t.Error(err)
			} else if is {
				first.Add(1)
			}
		})
	}
	posting.Wait()
	if n := first.Load(); n != 1 {
		t.Errorf("%d were first", n)
	}
	for deadline := time.Now().Add(10 * time.Second); !two.knows(append(all, "again")...); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other node does not know them all")
		}
	}
	late := openBoard(t, openBroker(t, Options{Name: name}, s))
	if !late.knows(append(all[1:], "again")...) || late.knows(all[0]) {
		t.Error("a node that starts later does not know what there is")
	}

	// Who listens to everything, or comes back to it, neither hears of it nor misses it.
	if _, err := two.hub.Publish(t.Context(), "a", hub.Publication{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); e.messages.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a message is missing")
		}
	}
	if err := listener.Unsubscribe(">"); err != nil {
		t.Fatal(err)
	}
	again, err := listener.Subscribe(t.Context(), ">", hub.SubscribeOptions{Since: &began.Position})
	if err != nil {
		t.Fatal(err)
	}
	if again.Begin(); !again.Recovered || e.gaps.Load() != 0 || e.messages.Load() != 2 {
		t.Errorf("recovered: %v, %d gaps, %d messages", again.Recovered, e.gaps.Load(), e.messages.Load())
	}
}
