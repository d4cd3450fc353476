package hub

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

// Bounds on the heap, in bytes; docs/architecture.md names them.
const (
	mostOfTopic        = 500 // an idle topic that keeps nothing, its name of 14 bytes included
	mostOfSubscription = 200
)

// TestMemoryUse measures what idle topics and subscriptions hold.
func TestMemoryUse(t *testing.T) { measureMemory(t, 100_000) }

// BenchmarkMemory does the same for a million of each, which are to fit in 1 GiB.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		topic, subscription := measureMemory(b, 1_000_000)
		b.ReportMetric(topic, "B/topic")
		b.ReportMetric(subscription, "B/subscription")
		b.ReportMetric((topic+subscription)*1e6/(1<<20), "MiB/million")
	}
}

func measureMemory(t testing.TB, n int) (topic, subscription float64) {
	h, err := New(Options{MaxSubscriptions: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	names := make([]string, n) // the broker and the hub share these
	for i := range names {
		names[i] = fmt.Sprintf("room.%09d", i)
	}
	before := heap()
	for _, name := range names { // one message makes a topic known to the broker
		if _, err := h.Publish(context.Background(), name, Publication{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	known := heap()
	subscribers := make([]*Subscriber, 0, n/1000)
	for i, name := range names {
		if i%1000 == 0 {
			s, err := h.Connect(Connecting{Session: fmt.Sprint(i), Identity: Identity{User: "u"}, Sink: newInbox()})
			if err != nil {
				t.Fatal(err)
			}
			subscribers = append(subscribers, s)
		}
		got, err := subscribers[i/1000].Subscribe(context.Background(), name, SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got.Begin()
	}
	subscribed := heap()
	s := h.Stats()
	if s.Subscriptions != n || s.Topics != n {
		t.Fatalf("%+v", s)
	}
	// A second subscription to each topic: that is what a subscription costs, where the topic is there already.
	for i, name := range names {
		if i%1000 == 0 {
			s, err := h.Connect(Connecting{Session: fmt.Sprint("b", i), Identity: Identity{User: "u"}, Sink: newInbox()})
			if err != nil {
				t.Fatal(err)
			}
			subscribers = append(subscribers, s)
		}
		got, err := subscribers[len(subscribers)-1].Subscribe(context.Background(), name, SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got.Begin()
	}
	twice := heap()
	runtime.KeepAlive(names)
	subscription = float64(twice-subscribed) / float64(n)
	topic = float64(known-before)/float64(n) + float64(subscribed-known)/float64(n) - subscription
	t.Logf("a topic holds %.0f bytes (%.0f of them in the broker), a subscription %.0f", topic, float64(known-before)/float64(n), subscription)
	if topic > mostOfTopic || subscription > mostOfSubscription {
		t.Errorf("more than %d and %d", mostOfTopic, mostOfSubscription)
	}
	return topic, subscription
}

// heap returns the bytes of what is reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
