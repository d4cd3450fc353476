package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// patience is for what comes a little later. Nothing waits for so long unless the test fails.
const patience = 20 * time.Second

// recorder is a node that writes down what it is told.
type recorder struct {
	t       *testing.T
	forgets bool // nothing that it follows can be fetched

	mu      sync.Mutex
	at      map[string][]string // what was delivered, and "reason until" for what was missed
	changed *sync.Cond
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{t: t, at: make(map[string][]string)}
	r.changed = sync.NewCond(&r.mu)
	return r
}

func (r *recorder) note(at, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at[at] = append(r.at[at], what)
	r.changed.Broadcast()
}

func (r *recorder) Deliver(at string, m *hub.Message) { r.note(at, string(m.Data)) }
func (r *recorder) Missed(at string, reason hub.GapReason, _ hub.Position) {
	r.note(at, "gap "+string(reason))
}
func (r *recorder) PresenceChanged(string, hub.Publisher, bool)            {}
func (r *recorder) Keeps(string) bool                                      { return !r.forgets }
func (r *recorder) Do(string, []byte) []byte                               { return nil }
func (r *recorder) Answer(context.Context, string, []byte) (answer []byte) { return nil }

// expect waits until everything that came is what is wanted.
func (r *recorder) expect(at string, want ...string) {
	r.t.Helper()
	late := time.AfterFunc(patience, func() { r.note("late", "") })
	defer late.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.at[at]) < len(want) && r.at["late"] == nil {
		r.changed.Wait()
	}
	if !slices.Equal(r.at[at], want) {
		r.t.Fatalf("of %s came %q, want %q", at, shorten(r.at[at]), shorten(want))
	}
}

func shorten(texts []string) []string {
	if len(texts) > 20 {
		return append(slices.Clone(texts[:10]), texts[len(texts)-10:]...)
	}
	return texts
}

// attach attaches a recorder that follows topics and patterns.
func attach(t *testing.T, b *Broker, follows ...string) *recorder {
	t.Helper()
	r := newRecorder(t)
	detach, err := b.Attach(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(detach)
	for _, at := range follows {
		if err := b.Follow(t.Context(), r, at); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var plenty = hub.Retention{Messages: 100, Age: time.Hour, Bytes: 1 << 20, Window: time.Minute, WindowIDs: 100}

func publish(t *testing.T, b *Broker, topic string, texts ...string) (last hub.Position) {
	t.Helper()
	for _, text := range texts {
		receipt, err := b.Publish(t.Context(), &hub.Message{Topic: topic, Data: []byte(text)}, plenty)
		if err != nil {
			t.Fatal(err)
		}
		last = receipt.Position
	}
	return last
}

// publishSoon publishes when the broker can again.
func publishSoon(t *testing.T, b *Broker, topic, text string) hub.Position {
	t.Helper()
	for began := time.Now(); ; {
		receipt, err := b.Publish(t.Context(), &hub.Message{Topic: topic, ID: text, Data: []byte(text)}, plenty)
		if err == nil {
			return receipt.Position
		}
		if !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) || time.Since(began) > patience {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func query(q hub.ReadQuery) hub.ReadQuery {
	q.Keeps = func(string) hub.Retention { return plenty }
	q.Least = plenty.Age
	return q
}

func read(t *testing.T, b *Broker, q hub.ReadQuery) (texts []string, log hub.Log) {
	t.Helper()
	log, err := b.Read(t.Context(), query(q))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range log.Messages {
		texts = append(texts, string(m.Data))
	}
	return texts, log
}

// numbers returns the texts of a range of numbers.
func numbers(from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprint(i))
	}
	return texts
}
