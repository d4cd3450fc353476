// Command rooms has rooms as Socket.IO does: whoever is in a room hears what is said there, and can ask who else is. A room is a topic.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

func main() {
	h, err := hub.New(hub.Options{Topics: []hub.Rule{{Pattern: "room.*", TopicOptions: hub.TopicOptions{Presence: hub.PresenceFull}}}})
	check(err)
	defer h.Close()
	server := httptest.NewServer(session.New(h, session.Options{}))
	defer server.Close()

	ctx := context.Background()
	enter := func(name, room string) (*client.Client, *client.Subscription) {
		c, err := client.Dial(ctx, strings.Replace(server.URL, "http", "ws", 1), &client.Options{Info: fmt.Appendf(nil, `{"name":%q}`, name)})
		check(err)
		in, err := c.Subscribe(ctx, "room."+room, nil)
		check(err)
		return c, in
	}
	ann, tea := enter("Ann", "tea")
	_, alsoTea := enter("Bob", "tea")
	_, coffee := enter("Cid", "coffee")

	_, err = ann.Publish(ctx, "room.tea", client.Publication{Data: []byte(`"the kettle boils"`)})
	check(err)
	_, err = h.Publish(ctx, "room.coffee", hub.Publication{Data: []byte(`"from the program itself"`)}) // to(room).emit
	check(err)
	for _, room := range []*client.Subscription{tea, alsoTea, coffee} {
		event, err := room.Next(ctx)
		check(err)
		if m, ok := event.(*client.Message); ok {
			fmt.Println(m.Topic, string(m.Data))
		}
	}
	present, err := ann.Presence(ctx, "room.tea")
	check(err)
	fmt.Println(present.Count, "people in the tea room")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Output:
// room.tea "the kettle boils"
// room.tea "the kettle boils"
// room.coffee "from the program itself"
// 2 people in the tea room
