package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

// fragileBroker can be out of reach.
type fragileBroker struct {
	hub.Broker
	down  atomic.Bool
	asked atomic.Int64
}

func (b *fragileBroker) Ready(context.Context) error {
	b.asked.Add(1)
	if b.down.Load() {
		return errors.New("no connection")
	}
	return nil
}

func TestHealth(t *testing.T) {
	broker := &fragileBroker{Broker: hub.NewMemoryBroker(hub.MemoryOptions{})}
	address := start(t, Config{Broker: broker})
	expect := func(path string, status int, text string) {
		t.Helper()
		response, body := get(t, address+path, nil)
		if response.StatusCode != status || body != text+"\n" || response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("/%s: %d %q", path, response.StatusCode, body)
		}
	}
	expect("healthz", 200, "ok")
	for range 20 {
		expect("readyz", 200, "ok")
	}
	if n := broker.asked.Load(); n > 10 {
		t.Errorf("the broker was asked %d times for 20 requests", n)
	}
	expect("healthz", 200, "ok")
}

// TestUnavailable asks anew when the last answer is old.
func TestUnavailable(t *testing.T) {
	broker := &fragileBroker{}
	h := newHealth(broker)
	if err := h.unavailable(t.Context()); err != nil {
		t.Error(err)
	}
	broker.down.Store(true)
	if err := h.unavailable(t.Context()); err != nil && broker.asked.Load() == 1 {
		t.Error("an answer from nowhere:", err)
	}
	h.asked = h.asked.Add(-2 * readyFresh)
	if err := h.unavailable(t.Context()); err == nil {
		t.Error("the broker is down, and nobody says so")
	}
	address := start(t, Config{Broker: &readyFails{Broker: hub.NewMemoryBroker(hub.MemoryOptions{})}})
	if response, body := get(t, address+"readyz", nil); response.StatusCode != 503 || body != "the broker is unavailable\n" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if response, _ := get(t, address+"healthz", nil); response.StatusCode != 200 {
		t.Errorf("%d: the process lives", response.StatusCode)
	}
}

type readyFails struct{ hub.Broker }

func (*readyFails) Ready(context.Context) error { return errors.New("no connection") }
