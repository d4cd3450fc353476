package scores

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// spectator writes down what happens, by match.
type spectator struct {
	mu     sync.Mutex
	events map[string][]event
}

func (s *spectator) Deliver(m *hub.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e event
	if json.Unmarshal(m.Data, &e) == nil {
		s.events[m.Topic] = append(s.events[m.Topic], e)
	}
	return true
}

func (s *spectator) End(hub.End) {}

// watch subscribes to all matches, from the beginning of what is kept.
func watch(t *testing.T, h *hub.Hub, name string) *spectator {
	t.Helper()
	s := &spectator{events: make(map[string][]event)}
	who, err := h.Connect(hub.Connecting{Session: name, Identity: hub.Identity{User: name, Anonymous: true}, Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := who.Subscribe(t.Context(), prefix+"*", hub.SubscribeOptions{Last: 1000})
	if err != nil {
		t.Fatal(err)
	}
	begun.Begin()
	return s
}

// check demands each match from its first event on, once and in order, and its score to follow from its goals. It returns how many
// matches have been seen to their end.
func (s *spectator) check(t *testing.T) (finished int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, events := range s.events {
		var score [2]int
		for i, e := range events {
			if e.N != i+1 {
				t.Fatalf("%s: event %d of %s stands at place %d", topic, e.N, e.Kind, i+1)
			}
			if e.Kind == goal {
				score[map[string]int{"home": 0, "away": 1}[e.Side]]++
			}
			if e.Score != score {
				t.Fatalf("%s: %v after %v by its goals", topic, e.Score, score)
			}
			if e.Kind == fullTime {
				finished++
			}
		}
	}
	return finished
}

// begin starts the app on a hub; end ends it, as the end of a process would.
func begin(t *testing.T, h *hub.Hub) (end func()) {
	t.Helper()
	s, err := showcase.New(&showcase.Env{Logger: quiet}, New)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	return s.Close
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newHub(t *testing.T) *hub.Hub {
	t.Helper()
	app, err := New(&showcase.Env{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: app.Topics, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestEverybodySeesEverything, in order and once: who is there from the beginning, and who comes late. That holds when the app is ended
// in the middle of all matches, and begun anew.
func TestEverybodySeesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		defer h.Close()
		early := watch(t, h, "early")
		end := begin(t, h)
		time.Sleep(cycle + cycle/3)
		end()
		time.Sleep(10 * minute)
		end = begin(t, h)
		defer end()
		time.Sleep(2 * cycle)
		late := watch(t, h, "late")
		synctest.Wait()
		if finished := early.check(t); finished < 2*pitches {
			t.Errorf("%d matches were seen to their end", finished)
		}
		late.check(t)
		for topic, events := range early.events {
			if got := late.events[topic]; len(got) != len(events) {
				t.Errorf("%s: whoever came late has seen %d events of %d", topic, len(got), len(events))
			}
		}
	})
}

// TestMatchesAreWritten: from the kick-off to the final whistle, the same each time, and no more than a topic keeps.
func TestMatchesAreWritten(t *testing.T) {
	for round := range int64(200) {
		script, again := write(1, round), write(1, round)
		first, last := script[0], script[len(script)-1]
		if len(script) > maxEvents || first.Kind != kickOff || last.Kind != fullTime || first.Home == first.Away {
			t.Fatalf("round %d: %d events, %+v to %+v", round, len(script), first, last)
		}
		for i := range script {
			if script[i] != again[i] {
				t.Fatalf("round %d: %+v, and then %+v", round, script[i], again[i])
			}
		}
	}
}

// TestOnlyTheServerTells: a visitor cannot score.
func TestOnlyTheServerTells(t *testing.T) {
	h := newHub(t)
	defer h.Close()
	who, err := h.Connect(hub.Connecting{Session: "a", Identity: hub.Identity{User: "a", Anonymous: true}, Sink: &spectator{events: map[string][]event{}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = who.Publish(context.Background(), prefix+"0-1", hub.Publication{Data: []byte(`{"kind":"goal"}`)})
	if want := (&hub.Error{Code: hub.CodeForbidden}); err == nil || !want.Is(err) {
		t.Errorf("publishing: %v", err)
	}
}
