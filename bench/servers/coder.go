package main

import (
	"bytes"
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/coder/websocket"
)

type coderMessage struct {
	typ  websocket.MessageType
	data []byte
}

// coder reads through Reader into pooled buffers; it has no prepared messages, so a broadcast is framed for each connection.
func coder(o options) error {
	accept := &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionThreshold: threshold}
	switch o.compression {
	case "no-takeover":
		accept.CompressionMode = websocket.CompressionNoContextTakeover
	case "takeover":
		accept.CompressionMode = websocket.CompressionContextTakeover
	}
	all := newRoom[coderMessage]()
	return listenHTTP(o, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, accept)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(maxMessage)
		ctx := context.Background()
		if o.broadcast {
			queue := all.join(func() { c.CloseNow() })
			defer all.leave(queue)
			go func() {
				for m := range queue {
					c.Write(ctx, m.typ, m.data)
				}
			}()
		}
		for coderStep(ctx, c, o, all) == nil {
		}
	})
}

func coderStep(ctx context.Context, c *websocket.Conn, o options, all *room[coderMessage]) error {
	typ, reader, err := c.Reader(ctx)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(reader); err != nil {
		return err
	}
	if typ == websocket.MessageText && !utf8.Valid(buf.Bytes()) {
		return c.Close(websocket.StatusInvalidFramePayloadData, "")
	}
	if o.broadcast {
		all.publish(coderMessage{typ, bytes.Clone(buf.Bytes())})
		return nil
	}
	return c.Write(ctx, typ, buf.Bytes())
}
