package main

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbioServer uses nbio's own engine (epoll, pooled payloads) with its defaults; nbio checks UTF-8 itself. It compresses without
// takeover only. The broadcast writes from the handler: nbio queues in user space what a socket does not take.
func nbioServer(o options) error {
	if o.compression == "takeover" {
		return errCannot("nbio", o)
	}
	logging.SetLevel(logging.LevelError)
	var mu sync.Mutex
	all := map[*websocket.Conn]struct{}{}
	upgrader := websocket.NewUpgrader()
	upgrader.CheckOrigin = func(*http.Request) bool { return true }
	upgrader.KeepaliveTime = 0
	upgrader.MessageLengthLimit = maxMessage
	upgrader.EnableCompression(o.compression != "off")
	upgrader.OnOpen(func(c *websocket.Conn) {
		if o.broadcast {
			mu.Lock()
			all[c] = struct{}{}
			mu.Unlock()
		}
	})
	upgrader.OnClose(func(c *websocket.Conn, _ error) {
		if o.broadcast {
			mu.Lock()
			delete(all, c)
			mu.Unlock()
		}
	})
	upgrader.OnMessage(func(c *websocket.Conn, typ websocket.MessageType, data []byte) {
		if !o.broadcast {
			c.EnableWriteCompression(len(data) >= threshold)
			c.WriteMessage(typ, data)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for other := range all {
			other.WriteMessage(typ, data)
		}
	})
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   []string{o.listen},
		ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.Upgrade(w, r, nil) // it answers a failed one itself
		}),
	})
	upgrader.Engine = engine
	if err := engine.Start(); err != nil {
		return err
	}
	<-engine.BaseCtx.Done()
	return fmt.Errorf("nbio: engine stopped")
}
