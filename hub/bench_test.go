package hub

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// counter is a Sink that does what every sink does, and no more: it takes the encoded form.
type counter struct{ got int }

func (c *counter) Deliver(m *Message) bool {
	m.Encoded(func(m *Message) any { return &m.Data })
	c.got++
	return true
}

func (*counter) End(End) {}

func benchHub(b *testing.B, rules ...Rule) *Hub {
	b.Helper()
	h, err := New(Options{Topics: rules})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	return h
}

// benchSubscribe makes n subscribers, each of which subscribes to one topic or pattern.
func benchSubscribe(b *testing.B, h *Hub, n int, topic func(i int) string) []*counter {
	b.Helper()
	all := make([]*counter, n)
	for i := range all {
		all[i] = &counter{}
		s, err := h.Connect(Connecting{Session: fmt.Sprintf("%s.%d", topic(i), i), Identity: Identity{User: "u"}, Sink: all[i]})
		if err != nil {
			b.Fatal(err)
		}
		got, err := s.Subscribe(context.Background(), topic(i), SubscribeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		got.Begin()
	}
	return all
}

var benchData = []byte(`"` + strings.Repeat("a", 126) + `"`)

func benchPublish(b *testing.B, h *Hub, topic string) {
	if _, err := h.Publish(context.Background(), topic, Publication{Data: benchData}); err != nil {
		b.Error(err)
	}
}

// BenchmarkPublish is one message to all subscribers of a topic, without a network behind them.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{0, 1, 1000, 10_000} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			h := benchHub(b)
			all := benchSubscribe(b, h, n, func(int) string { return "chat.lobby" })
			b.ReportAllocs()
			for b.Loop() {
				benchPublish(b, h, "chat.lobby")
			}
			if n > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
				if all[n-1].got != all[0].got || all[0].got < b.N {
					b.Errorf("%d and %d deliveries of %d", all[0].got, all[n-1].got, b.N)
				}
			}
		})
	}
	b.Run("history=1000", func(b *testing.B) {
		h := benchHub(b, Rule{">", TopicOptions{HistoryMessages: 1000}})
		b.ReportAllocs()
		for b.Loop() {
			benchPublish(b, h, "chat.lobby")
		}
	})
	b.Run("id", func(b *testing.B) {
		h := benchHub(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			p := Publication{ID: fmt.Sprintf("m%d", i), Data: benchData}
			if _, err := h.Publish(context.Background(), "chat.lobby", p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPublishTopics publishes from as many goroutines as there are processors, each to a topic of its own with ten subscribers: with
// -cpu 1,2,4 it shows what one lock for all topics costs.
func BenchmarkPublishTopics(b *testing.B) {
	h := benchHub(b)
	benchSubscribe(b, h, 640, func(i int) string { return fmt.Sprintf("room.%d", i%64) })
	var next atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		topic := fmt.Sprintf("room.%d", next.Add(1)%64)
		for p.Next() {
			benchPublish(b, h, topic)
		}
	})
}

// BenchmarkPublishRules finds the last of many rules.
func BenchmarkPublishRules(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			var rules []Rule
			for i := range n {
				rules = append(rules, Rule{Pattern: fmt.Sprintf("service%d.*.events.>", i)})
			}
			h := benchHub(b, rules...)
			topic := fmt.Sprintf("service%d.eu.events.created", n-1)
			for b.Loop() {
				benchPublish(b, h, topic)
			}
		})
	}
}

// BenchmarkMatch finds the patterns that match a topic among many that do not.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("patterns=%d", n), func(b *testing.B) {
			var t patterns
			for i := range n {
				t.open(fmt.Sprintf("tenant%d.*.orders.>", i))
			}
			t.open("*.eu.orders.>")
			b.ReportAllocs()
			for b.Loop() {
				if found := t.match("tenant7.eu.orders.created.v2"); len(found) != 2 {
					b.Fatalf("%d patterns match", len(found))
				}
			}
		})
	}
}

// BenchmarkResume is one subscriber that comes back after 1,000 messages.
func BenchmarkResume(b *testing.B) {
	const missed = 1000
	h := benchHub(b, Rule{">", TopicOptions{HistoryMessages: missed}})
	start, err := h.Publish(context.Background(), "chat.lobby", Publication{Data: benchData})
	if err != nil {
		b.Fatal(err)
	}
	for range missed {
		benchPublish(b, h, "chat.lobby")
	}
	sink := &counter{}
	s, err := h.Connect(Connecting{Session: "s", Identity: Identity{User: "u"}, Sink: sink})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sink.got = 0
		got, err := s.Subscribe(context.Background(), "chat.lobby", SubscribeOptions{Since: &start.Position})
		if err != nil {
			b.Fatal(err)
		}
		if got.Begin(); sink.got != missed || !got.Recovered {
			b.Fatalf("%d messages, recovered %v", sink.got, got.Recovered)
		}
		if err := s.Unsubscribe("chat.lobby"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/missed, "ns/message")
}

// BenchmarkSubscribe is a subscription that comes and goes.
func BenchmarkSubscribe(b *testing.B) {
	h := benchHub(b)
	s, err := h.Connect(Connecting{Session: "s", Identity: Identity{User: "u"}, Sink: &counter{}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := s.Subscribe(context.Background(), "chat.lobby", SubscribeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		got.Begin()
		if err := s.Unsubscribe("chat.lobby"); err != nil {
			b.Fatal(err)
		}
	}
}
