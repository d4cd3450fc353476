package rooms

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// model is the hub written down naively: what each member of one topic must have received.
type model struct {
	history []string
	inboxes map[string][]string
}

func (m *model) deliver(event string) {
	for id := range m.inboxes {
		m.inboxes[id] = append(m.inboxes[id], event)
	}
}

// TestModel drives a hub and the model with the same random steps and compares what everybody got.
func TestModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		const keep = 3
		h := New(Options{Presence: true, HistoryMessages: keep})
		m := model{inboxes: map[string][]string{}}
		real := map[string]*inbox{}
		places := map[string]*Membership{}
		for step := range 60 {
			id := string(rune('a' + random.IntN(4)))
			place := places[id]
			switch n := random.IntN(4); {
			case place == nil:
				m.deliver("join " + id)
				m.inboxes[id] = slices.Clone(m.history)
				real[id] = &inbox{}
				places[id] = real[id].enter(t, h, "x", id)
			case n == 0:
				delete(m.inboxes, id)
				m.deliver("leave " + id)
				place.Leave()
				delete(places, id)
			default:
				event := fmt.Sprintf("%s: %d", id, step)
				m.history = append(m.history, event)
				m.history = m.history[max(0, len(m.history)-keep):]
				m.deliver(event)
				say(t, place, fmt.Sprint(step))
			}
		}
		for id := range places {
			if got := real[id].take(); !slices.Equal(got, m.inboxes[id]) {
				t.Fatalf("seed %d, member %s:\ngot  %q\nwant %q", seed, id, got, m.inboxes[id])
			}
		}
	}
}

// TestConcurrent has members come, speak and go all at once. Whoever is in the topic from the start sees one order; every
// newcomer sees a gapless piece of exactly that order: history first, then what follows, nothing twice.
func TestConcurrent(t *testing.T) {
	const speakers, rounds = 4, 150
	h := New(Options{HistoryMessages: 20})
	var witness, second inbox
	first := witness.enter(t, h, "x", "witness")
	second.enter(t, h, "x", "second")

	var wg sync.WaitGroup
	visits := make([][]*inbox, speakers)
	for s := range speakers {
		wg.Go(func() {
			for round := range rounds {
				b := &inbox{}
				m, err := h.Join("x", b.joining(fmt.Sprint("s", s)))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := m.Publish(Publication{Data: fmt.Append(nil, round)}); err != nil {
					t.Error(err)
				}
				m.Leave()
				visits[s] = append(visits[s], b)
			}
		})
		wg.Go(func() { // topics that come and go, to shake the bookkeeping of idle topics
			for round := range rounds {
				b := &inbox{}
				if m, err := h.Join(fmt.Sprint("t", round%5), b.joining(fmt.Sprint(s))); err == nil {
					m.Leave()
				}
			}
		})
	}
	wg.Wait()

	order := witness.take()
	if len(order) != speakers*rounds {
		t.Fatalf("the witness saw %d messages of %d", len(order), speakers*rounds)
	}
	if !slices.Equal(order, second.take()) {
		t.Error("two members saw different orders")
	}
	position := map[string]int{}
	for i, event := range order {
		position[event] = i
	}
	for s := range speakers {
		for round, visit := range visits[s] {
			own := fmt.Sprintf("s%d: %d", s, round)
			got := visit.take()
			if !slices.Contains(got, own) {
				t.Fatalf("visitor %q did not see its own message: %q", own, got)
			}
			for i := 1; i < len(got); i++ {
				if position[got[i]] != position[got[i-1]]+1 {
					t.Fatalf("visitor %q saw a hole or a repetition: %q", own, got)
				}
			}
		}
	}
	first.Leave()
	if h.Len() != 1 {
		t.Errorf("%d topics are left, want 1", h.Len())
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 100, 2000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h := New(Options{})
			var publisher *Membership
			for i := range members {
				m, err := h.Join("x", Joining{Presence: Presence{ID: fmt.Sprint(i)}, Subscriber: subscriberFunc(func(*Message) {})})
				if err != nil {
					b.Fatal(err)
				}
				publisher = m
			}
			data := []byte("a message")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := publisher.Publish(Publication{Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
