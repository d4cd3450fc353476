package natsbroker

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// TestCatalogue: topics of a pattern, in pages, and none of the hub's own.
func TestCatalogue(t *testing.T) {
	b := openBroker(t, Options{Name: newName()}, startServer(t, server.Options{}))
	h, err := hub.New(hub.Options{Broker: b, Topics: []hub.Rule{{Pattern: "chat.>", TopicOptions: hub.TopicOptions{HistoryMessages: 10}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	board, err := h.Board(t.Context(), "x", func([]byte, time.Time) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := board.Post(t.Context(), "k", []byte("1"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"chat.b", "chat.a", "chat.b", "chat.c.d", "other"} {
		if _, err := h.Publish(t.Context(), topic, hub.Publication{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		pattern, after string
		limit          int
		want           string
	}{
		{">", "", 10, "[{chat.a  0 1 0} {chat.b  0 2 0} {chat.c.d  0 1 0}] false"},
		{"chat.*", "", 10, "[{chat.a  0 1 0} {chat.b  0 2 0}] false"},
		{"chat.>", "chat.a", 1, "[{chat.b  0 2 0}] true"},
		{"chat.>", "chat.b", 1, "[{chat.c.d  0 1 0}] false"},
		{"chat.a", "", 1, "[{chat.a  0 1 0}] false"},
		{"none.>", "", 1, "[] false"},
	} {
		topics, more, err := b.Catalogue(t.Context(), c.pattern, c.after, c.limit)
		if got := fmt.Sprint(topics, more); got != c.want || err != nil {
			t.Errorf("%s after %q: %s, %v; want %s", c.pattern, c.after, got, err, c.want)
		}
	}
	page, err := h.Topics(t.Context(), hub.TopicQuery{})
	if got := fmt.Sprint(page.Topics); got != "[{chat.a chat.> 0 1 0} {chat.b chat.> 0 2 0} {chat.c.d chat.> 0 1 0}]" || err != nil {
		t.Errorf("topics: %s, %v", got, err)
	}
}
