// Command groups has groups as Django Channels does: a consumer adds itself to groups, discards itself from them, and sends to all of a group.
// The channel layer is a hub, so groups reach over all nodes if its broker does.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// consumer is one connection. It is the sink of a subscriber, whose topics are its groups.
type consumer struct {
	conn   *websocket.Conn
	groups *hub.Subscriber
}

// Deliver sends what comes from a group to the client.
func (c *consumer) Deliver(m *hub.Message) bool {
	c.conn.Send(websocket.Text, fmt.Appendf(nil, "%s: %s", m.Topic, m.Data))
	return true
}

// End closes the connection when the layer says so.
func (c *consumer) End(hub.End) { c.conn.CloseNow() }

func (c *consumer) groupAdd(ctx context.Context, group string) error {
	in, err := c.groups.Subscribe(ctx, group, hub.SubscribeOptions{})
	if err == nil {
		in.Begin()
	}
	return err
}

func (c *consumer) groupSend(ctx context.Context, group string, message []byte) error {
	_, err := c.groups.Publish(ctx, group, hub.Publication{Data: fmt.Appendf(nil, "%q", message)})
	return err
}

// serve is the consumer's life: it joins the group that the URL names, and sends there what its client says.
func serve(layer *hub.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		ctx, c := r.Context(), &consumer{conn: conn}
		name := r.URL.Query().Get("user")
		if c.groups, err = layer.Connect(hub.Connecting{Session: name, Identity: hub.Identity{User: name}, Sink: c}); err != nil {
			return
		}
		defer c.groups.Close() // leaves all groups
		group := r.PathValue("group")
		if err := c.groupAdd(ctx, group); err != nil {
			conn.Close(ctx, websocket.StatusPolicyViolation, err.Error())
			return
		}
		for {
			_, message, err := conn.Read(ctx)
			if err != nil || c.groupSend(ctx, group, message) != nil {
				return
			}
		}
	}
}

func main() {
	layer, err := hub.New(hub.Options{})
	check(err)
	defer layer.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ws/{group}", serve(layer))
	server := httptest.NewServer(mux)
	defer server.Close()

	ctx := context.Background()
	dial := func(group, user string) *websocket.Conn {
		c, err := websocket.Dial(ctx, server.URL+"/ws/"+group+"?user="+user, nil)
		check(err)
		check(c.Write(ctx, websocket.Text, []byte("this is "+user)))
		read(ctx, c) // our own first message: we are in the group
		return c
	}
	ann, bob := dial("tea", "ann"), dial("tea", "bob")
	fmt.Println("ann heard", read(ctx, ann))
	eve := dial("coffee", "eve")
	check(bob.Write(ctx, websocket.Text, []byte("more tea?")))
	fmt.Println("ann heard", read(ctx, ann))
	check(eve.Write(ctx, websocket.Text, []byte("only coffee here")))
	fmt.Println("eve heard", read(ctx, eve))
}

func read(ctx context.Context, c *websocket.Conn) string {
	_, message, err := c.Read(ctx)
	check(err)
	return string(message)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Output:
// ann heard tea: "this is bob"
// ann heard tea: "more tea?"
// eve heard coffee: "only coffee here"
