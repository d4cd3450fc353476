// Command broadcast is a server in event style that sends what anybody says to everybody, encoded once.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/websocket"
)

func main() {
	room := &websocket.Server{}
	room.Handler = &websocket.HandlerFuncs{
		OnMessage: func(_ *websocket.Conn, typ websocket.MessageType, message []byte) {
			prepared := websocket.NewPrepared(typ, message)
			room.Range(func(c *websocket.Conn) bool {
				c.SendPrepared(prepared) // never waits; who is too slow is closed with 1013
				return true
			})
		},
	}
	server := httptest.NewServer(room) // a Server is an http.Handler
	defer server.Close()

	ctx := context.Background()
	var people [3]*websocket.Conn
	for i := range people {
		c, err := websocket.Dial(ctx, server.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		if err := c.Ping(ctx); err != nil { // the pong says that the server has counted us in
			log.Fatal(err)
		}
		people[i] = c
	}
	if err := people[0].Write(ctx, websocket.Text, []byte("anybody here?")); err != nil {
		log.Fatal(err)
	}
	for i, c := range people {
		_, message, err := c.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", i+1, message)
	}
	if err := room.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	_, _, err := people[1].Read(ctx)
	fmt.Println(websocket.CloseStatus(err))
}

// Output:
// 1: anybody here?
// 2: anybody here?
// 3: anybody here?
// 1001 (going away)
