// Command reconnect is a client that comes back by itself when its server drops it.
package main

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/webapi"
)

func main() {
	var visits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow() // without a closing handshake, as when a machine goes away
		visit := visits.Add(1)
		c.Write(r.Context(), websocket.Text, fmt.Appendf(nil, "visit %d", visit))
		if visit == 3 {
			c.Close(r.Context(), websocket.StatusNormalClosure, "that will do")
		}
		c.Ping(r.Context()) // its pong comes behind the message
	}))
	defer server.Close()

	ws, err := webapi.NewReconnecting("ws"+server.URL[len("http"):], nil, &webapi.ReconnectOptions{
		BaseDelay: 10 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan struct{})
	ws.OnMessage(func(e *webapi.MessageEvent) { fmt.Println(e.Data) })
	ws.OnClose(func(e *webapi.CloseEvent) {
		fmt.Println(e.Code, e.Reason)
		close(ended)
	})
	<-ended
}

// Output:
// visit 1
// visit 2
// visit 3
// 1000 (normal closure) that will do
