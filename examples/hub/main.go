// Command hub has topics inside a Go program: who may do what, pushing from the program, answering requests, and a client that comes
// back after a lost connection without missing anything.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

func main() {
	h, err := hub.New(hub.Options{Topics: []hub.Rule{
		{Pattern: "scores.*", TopicOptions: hub.TopicOptions{HistoryMessages: 100, Publish: hub.Nobody}}, // only the program publishes
		{Pattern: "chat.>", TopicOptions: hub.TopicOptions{HistoryMessages: 50, Presence: hub.PresenceFull}},
	}})
	check(err)
	defer h.Close()
	check(h.Handle("scores.final", func(_ context.Context, r *hub.Request) (hub.Reply, error) {
		if string(r.Data) != `"tea-coffee"` {
			return hub.Reply{}, hub.Errorf("scores.unknown", "there is no match %s", r.Data)
		}
		return hub.Reply{Data: []byte(`"3:2"`)}, nil
	}))
	mux := http.NewServeMux()
	mux.Handle("/ws", session.New(h, session.Options{}))
	server := httptest.NewServer(mux)
	defer server.Close()

	ctx := context.Background()
	c, err := client.Dial(ctx, strings.Replace(server.URL, "http", "ws", 1)+"/ws", nil)
	check(err)
	defer c.Close(ctx)
	scores, err := c.Subscribe(ctx, "scores.*", nil)
	check(err)
	for goals := range 3 {
		push(ctx, h, "scores.tea-coffee", map[string]int{"tea": goals})
		if goals == 1 { // the connection is lost, and made again; the third goal is not
			all, err := h.Sessions(ctx, hub.SessionQuery{})
			check(err)
			_, err = h.Disconnect(ctx, hub.Selector{User: all.Sessions[0].User}, hub.End{Code: hub.EndRestart, Reconnect: true})
			check(err)
		}
	}
	for messages := 0; messages < 3; {
		event, err := scores.Next(ctx)
		check(err)
		if m, ok := event.(*client.Message); ok {
			fmt.Println(m.Topic, string(m.Data))
			messages++
		}
	}
	_, err = c.Publish(ctx, "scores.tea-coffee", client.Publication{Data: []byte(`{"tea":99}`)})
	fmt.Println(err)
	reply, err := c.Request(ctx, client.Request{Method: "scores.final", Data: []byte(`"tea-coffee"`)})
	check(err)
	fmt.Println(string(reply.Data))
}

// push publishes on behalf of the program.
func push(ctx context.Context, h *hub.Hub, topic string, v any) {
	data, err := json.Marshal(v)
	check(err)
	_, err = h.Publish(ctx, topic, hub.Publication{Data: data})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Output:
// scores.tea-coffee {"tea":0}
// scores.tea-coffee {"tea":1}
// scores.tea-coffee {"tea":2}
// duplex: you may not publish to scores.tea-coffee (forbidden)
// "3:2"
