// Command router mounts handlers by path and subprotocol, as the router of WebSocket-Node does: the path is the business of the HTTP mux,
// and each service says which subprotocols it speaks.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/websocket"
)

// service answers each message with how it was understood.
func service(name string, subprotocols ...string) *websocket.Server {
	return &websocket.Server{
		Accept: websocket.AcceptOptions{Options: websocket.Options{Subprotocols: subprotocols}},
		Handler: &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, message []byte) {
			c.Send(typ, fmt.Appendf(nil, "%s, in %q: %s", name, c.Subprotocol(), message))
		}},
	}
}

func main() {
	mux := http.NewServeMux()
	mux.Handle("/chat", service("chat", "superchat", "chat")) // the best first
	mux.Handle("/lws-mirror", service("mirror", "lws-mirror-protocol"))
	server := httptest.NewServer(mux)
	defer server.Close()

	ctx := context.Background()
	for _, c := range []struct {
		path   string
		offers []string
	}{
		{"/chat", []string{"chat", "superchat"}}, {"/chat", []string{"chat"}}, {"/lws-mirror", []string{"lws-mirror-protocol"}},
		{"/chat", nil}, {"/nowhere", []string{"chat"}},
	} {
		conn, err := websocket.Dial(ctx, server.URL+c.path, &websocket.DialOptions{Options: websocket.Options{Subprotocols: c.offers}})
		if err != nil {
			fmt.Println(c.path, "refused")
			continue
		}
		check(conn.Write(ctx, websocket.Text, []byte("hello")))
		_, message, err := conn.Read(ctx)
		check(err)
		fmt.Println(c.path, "→", string(message))
		check(conn.Close(ctx, websocket.StatusNormalClosure, ""))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Output:
// /chat → chat, in "superchat": hello
// /chat → chat, in "chat": hello
// /lws-mirror → mirror, in "lws-mirror-protocol": hello
// /chat → chat, in "": hello
// /nowhere refused
