// Command echo is a server that answers each message with itself, and a client that talks to it.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/websocket"
)

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered the request
	}
	defer c.CloseNow()
	for {
		typ, message, err := c.Read(r.Context())
		if err != nil {
			fmt.Println("server:", websocket.CloseStatus(err))
			return
		}
		if err := c.Write(r.Context(), typ, message); err != nil {
			return
		}
	}
}

func main() {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		echo(w, r)
	}))
	defer server.Close()

	ctx := context.Background()
	c, err := websocket.Dial(ctx, server.URL, nil) // http:// stands for ws://
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Write(ctx, websocket.Text, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	typ, message, err := c.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("client: %v %s\n", typ, message)
	if err := c.Close(ctx, websocket.StatusNormalClosure, "bye"); err != nil {
		log.Fatal(err)
	}
	<-ended // an HTTP server does not wait for connections that it has handed over
}

// Output:
// client: text hello
// server: 1000 (normal closure)
