// Command interceptor looks at each request before the upgrade, as HandshakeInterceptors of Spring do: it refuses who has no name, and puts
// the name among the attributes of the connection, where the handler finds it.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/websocket"
)

type nameKey struct{}

// login sees the request while it can still be refused with any status.
func login(u *websocket.Upgrade) error {
	name := u.Request.URL.Query().Get("user_id")
	if name == "" {
		return &websocket.HandshakeError{Status: http.StatusUnauthorized, Reason: "add ?user_id=NAME"}
	}
	u.SetAttribute(nameKey{}, name)
	return nil
}

func main() {
	server := httptest.NewServer(&websocket.Server{
		Accept: websocket.AcceptOptions{Interceptors: []func(*websocket.Upgrade) error{login}},
		Handler: &websocket.HandlerFuncs{OnOpen: func(c *websocket.Conn) {
			c.Send(websocket.Text, fmt.Appendf(nil, "welcome, %v", c.Attribute(nameKey{})))
		}},
	})
	defer server.Close()

	ctx := context.Background()
	_, err := websocket.Dial(ctx, server.URL, nil)
	if refused, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		fmt.Printf("%d: %s\n", refused.Status, bytes.TrimSpace(refused.Body))
	}
	c, err := websocket.Dial(ctx, server.URL+"/im?user_id=7", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseNow()
	_, message, err := c.Read(ctx)
	fmt.Println(string(message), err)
}

// Output:
// 401: add ?user_id=NAME
// welcome, 7 <nil>
