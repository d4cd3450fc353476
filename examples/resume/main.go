// Command resume is a reader of a topic that is stopped and started again: it goes on behind the last message that it has seen, and is told
// when the server no longer has all that it missed.
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
	h, err := hub.New(hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{HistoryMessages: 4}}}})
	check(err)
	server := httptest.NewServer(session.New(h, session.Options{}))
	defer server.Close()
	defer h.Close()
	url := strings.Replace(server.URL, "http", "ws", 1)

	publish(url, "one", "two", "three")
	seen := read(url, client.SubscribeOptions{Last: 3}, 2) // the third one has been sent to it, but not read
	publish(url, "four")
	seen = read(url, client.SubscribeOptions{Since: seen}, 2)
	publish(url, "five", "six", "seven", "eight", "nine", "ten")
	read(url, client.SubscribeOptions{Since: seen}, 4)
}

// read prints so many messages of the topic, and returns up to where it has read. A real program stores that where it stores what it
// made of the messages.
func read(url string, from client.SubscribeOptions, messages int) client.Position {
	ctx := context.Background()
	c, err := client.Dial(ctx, url, nil)
	check(err)
	defer c.Close(ctx)
	s, err := c.Subscribe(ctx, "work.orders", &from)
	check(err)
	for messages > 0 {
		event, err := s.Next(ctx)
		check(err)
		switch e := event.(type) {
		case *client.Message:
			fmt.Println(string(e.Data))
			messages--
		case *client.Gap:
			fmt.Printf("some after offset %d, up to %d, are lost: %s\n", e.Since.Offset, e.Until.Offset, e.Reason)
		}
	}
	fmt.Println("-- stopped")
	return s.Position()
}

// publish publishes several messages that are on their way at the same time; their order is kept.
func publish(url string, words ...string) {
	ctx := context.Background()
	c, err := client.Dial(ctx, url, nil)
	check(err)
	defer c.Close(ctx)
	var sent []*client.Publishing
	for _, word := range words {
		p, err := c.Send(ctx, "work.orders", client.Publication{Data: fmt.Appendf(nil, "%q", word)})
		check(err)
		sent = append(sent, p)
	}
	for _, p := range sent {
		_, err := p.Receipt(ctx)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Output:
// "one"
// "two"
// -- stopped
// "three"
// "four"
// -- stopped
// some after offset 4, up to 6, are lost: expired
// "seven"
// "eight"
// "nine"
// "ten"
// -- stopped
