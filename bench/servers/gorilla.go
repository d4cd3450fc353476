package main

import (
	"bytes"
	"net/http"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// gorilla reads into pooled buffers through NextReader: ReadMessage allocates for each message. The write buffers are pooled
// too, which its documentation advises for many connections that write seldom. It knows only compression without takeover.
func gorilla(o options) error {
	if o.compression == "takeover" {
		return errCannot("gorilla", o)
	}
	upgrader := websocket.Upgrader{
		CheckOrigin:       func(*http.Request) bool { return true },
		EnableCompression: o.compression != "off",
		WriteBufferPool:   &sync.Pool{},
	}
	all := newRoom[*websocket.PreparedMessage]()
	return listenHTTP(o, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		c.SetReadLimit(maxMessage)
		if o.broadcast {
			queue := all.join(func() { c.Close() })
			defer all.leave(queue)
			go func() {
				for m := range queue {
					c.EnableWriteCompression(true)
					c.WritePreparedMessage(m)
				}
			}()
		}
		for gorillaStep(c, o, all) == nil {
		}
	})
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func gorillaStep(c *websocket.Conn, o options, all *room[*websocket.PreparedMessage]) error {
	typ, reader, err := c.NextReader()
	if err != nil {
		return err
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(reader); err != nil {
		return err
	}
	if typ == websocket.TextMessage && !utf8.Valid(buf.Bytes()) {
		return c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInvalidFramePayloadData, ""))
	}
	if o.broadcast {
		m, err := websocket.NewPreparedMessage(typ, bytes.Clone(buf.Bytes()))
		if err == nil {
			all.publish(m)
		}
		return err
	}
	c.EnableWriteCompression(buf.Len() >= threshold)
	return c.WriteMessage(typ, buf.Bytes())
}
