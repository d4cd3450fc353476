package natsbroker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// Who comes back to a topic that its node follows is answered without NATS, which is away here.
func TestRecent(t *testing.T) {
	s := startServer(t, server.Options{})
	a, b := openBroker(t, Options{}, s), openBroker(t, Options{}, s)
	old := publish(t, b, "t", "1", "2")
	early := publish(t, b, "t", "3")
	node := attach(t, a, "t")
	middle := publish(t, b, "t", "4")
	end := publish(t, b, "t", "5", "6")
	node.expect("t", "4", "5", "6")
	if texts, _ := read(t, a, hub.ReadQuery{Topic: "t", Since: &old}); !slices.Equal(texts, numbers(3, 7)) { // teaches the node what was before
		t.Fatalf("read %q", texts)
	}
	stop(s)
	for since, want := range map[*hub.Position][]string{&old: numbers(3, 7), &early: numbers(4, 7), &middle: numbers(5, 7), &end: nil} {
		texts, log := read(t, a, hub.ReadQuery{Topic: "t", Since: since})
		if !slices.Equal(texts, want) || !log.Lost.IsZero() || log.Top != end {
			t.Errorf("behind %d: read %q, lost up to %v, top is %v", since.Offset, texts, log.Lost, log.Top)
		}
	}
	if _, log := read(t, a, hub.ReadQuery{Topic: "t"}); log.Top != end {
		t.Errorf("top is %v", log.Top)
	}
	few := query(hub.ReadQuery{Topic: "t", Since: &old})
	few.Keeps = func(string) hub.Retention { return hub.Retention{Messages: 2, Age: time.Hour, Bytes: 1 << 20} }
	if log, err := a.Read(t.Context(), few); err != nil || len(log.Messages) != 2 || log.Lost.Offset != middle.Offset {
		t.Errorf("of a topic that keeps two messages: %d, lost up to %v, %v", len(log.Messages), log.Lost, err)
	}
	// Nobody follows for a moment, as when the only subscriber loses its connection.
	a.Unfollow(node, "t")
	if err := a.Follow(t.Context(), node, "t"); err != nil {
		t.Fatal(err)
	}
	if texts, log := read(t, a, hub.ReadQuery{Topic: "t", Since: &early}); !slices.Equal(texts, numbers(4, 7)) || !log.Lost.IsZero() {
		t.Errorf("after nobody followed: read %q, lost up to %v", texts, log.Lost)
	}
	old.Offset--
	if _, err := a.Read(t.Context(), query(hub.ReadQuery{Topic: "t", Since: &old})); !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
		t.Errorf("behind what is remembered: %v", err)
	}
}

// What a node remembers is bounded: of a topic, and of all topics together. What it forgets it reads from the stream.
func TestRecentIsBounded(t *testing.T) {
	a, b := twoBrokers(t)
	a.follows.linger = 0
	since := publish(t, b, "t", "x")
	node := attach(t, a, "t")
	publish(t, b, "t", numbers(0, recentMessages)...)
	node.expect("t", numbers(0, recentMessages)...)
	long := query(hub.ReadQuery{Topic: "t", Since: &since})
	long.Keeps = func(string) hub.Retention { return hub.Retention{Messages: 1 << 20, Age: time.Hour, Bytes: 1 << 30} }
	all := func(want int) {
		t.Helper()
		if log, err := a.Read(t.Context(), long); err != nil || len(log.Messages) != want {
			t.Errorf("read %d messages of %d, %v", len(log.Messages), want, err)
		}
	}
	f := a.follows.of("t")
	f.mu.Lock()
	if n := len(f.recent.messages); n != recentMessages || f.recent.bytes != a.follows.recent.Load() {
		t.Errorf("%d messages are remembered, %d bytes of %d", n, f.recent.bytes, a.follows.recent.Load())
	}
	f.mu.Unlock()
	all(leastPerTopic)
	big := make([]byte, recentBytes/4)
	for range 4 {
		if _, err := b.Publish(t.Context(), &hub.Message{Topic: "t", Data: big, Binary: true}, plenty); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, "t", "y")
	a.follows.checkAll(0)
	for n := 0; n < recentMessages+5; {
		node.mu.Lock()
		if n = len(node.at["t"]); n < recentMessages+5 {
			node.changed.Wait()
		}
		node.mu.Unlock()
	}
	f.mu.Lock()
	if f.recent.bytes > recentBytes || len(f.recent.messages) > 4 {
		t.Errorf("%d bytes of %d messages are remembered", f.recent.bytes, len(f.recent.messages))
	}
	f.mu.Unlock()
	all(leastPerTopic)
	a.Unfollow(node, "t")
	for began := time.Now(); a.follows.recent.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d bytes are remembered of nothing", a.follows.recent.Load())
		}
	}
}
