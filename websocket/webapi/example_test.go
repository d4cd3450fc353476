package webapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/webapi"
)

// shout answers every message in capitals.
func shout(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	for {
		typ, p, err := c.Read(context.Background())
		if err != nil {
			return
		}
		c.Write(context.Background(), typ, []byte(strings.ToUpper(string(p))))
	}
}

func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(shout))
	defer server.Close()

	ws, err := webapi.New(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	ws.OnOpen(func(*webapi.OpenEvent) { ws.Send("hello") })
	ws.OnMessage(func(e *webapi.MessageEvent) {
		fmt.Println(e.Data)
		ws.Close(1000, "")
	})
	ws.OnClose(func(e *webapi.CloseEvent) { fmt.Println(e.Code, e.WasClean) })
	<-ws.Done()
	// Output:
	// HELLO
	// 1000 (normal closure) true
}

func ExampleNewReconnecting() {
	server := httptest.NewServer(http.HandlerFunc(shout))
	defer server.Close()

	ws, err := webapi.NewReconnecting(server.URL, nil, &webapi.ReconnectOptions{
		OnStateChange: func(e *webapi.StateEvent) { fmt.Println(e.Previous, "to", e.State) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ws.OnMessage(func(e *webapi.MessageEvent) {
		fmt.Println(e.Data)
		ws.Close(1000, "")
	})
	ws.Send("queued until there is a connection")
	<-ws.Done()
	// Output:
	// connecting to open
	// QUEUED UNTIL THERE IS A CONNECTION
	// open to closing
	// closing to closed
}
