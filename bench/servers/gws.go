package main

import (
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

// gwsServer uses the upgrader under net/http and a goroutine of its own for the read loop, as gws' README does, so that the
// goroutine of net/http with its larger stack ends. Parallel handling stays off: replies must keep the order. With takeover the
// windows are gws' own default, 12 bits, which costs it less memory and CPU than 15.
func gwsServer(o options) error {
	handler := &gwsHandler{all: map[*gws.Conn]struct{}{}, broadcast: o.broadcast}
	upgrader := gws.NewUpgrader(handler, &gws.ServerOption{
		CheckUtf8Enabled:    true,
		ReadMaxPayloadSize:  maxMessage,
		WriteMaxPayloadSize: maxMessage,
		PermessageDeflate: gws.PermessageDeflate{
			Enabled:               o.compression != "off",
			Threshold:             threshold,
			ServerContextTakeover: o.compression == "takeover",
			ClientContextTakeover: o.compression == "takeover",
		},
	})
	return listenHTTP(o, func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop()
	})
}

type gwsHandler struct {
	gws.BuiltinEventHandler
	broadcast bool
	mu        sync.Mutex
	all       map[*gws.Conn]struct{}
}

func (h *gwsHandler) OnOpen(c *gws.Conn) {
	if h.broadcast {
		h.mu.Lock()
		h.all[c] = struct{}{}
		h.mu.Unlock()
	}
}

func (h *gwsHandler) OnClose(c *gws.Conn, _ error) {
	if h.broadcast {
		h.mu.Lock()
		delete(h.all, c)
		h.mu.Unlock()
	}
}

func (h *gwsHandler) OnPing(c *gws.Conn, payload []byte) { c.WritePong(payload) }

func (h *gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if !h.broadcast {
		c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(m.Opcode, append([]byte(nil), m.Bytes()...))
	defer b.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for other := range h.all {
		b.Broadcast(other)
	}
}
