package interop

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var gorillaRival = rival{
	name:     "gorilla",
	settings: []string{"off", "no takeover"}, // it has no other
	dial:     dialGorilla,
	handler: func(setting string, subprotocols []string, ended chan<- ending) http.Handler {
		upgrader := websocket.Upgrader{EnableCompression: setting != "off", Subprotocols: subprotocols}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer c.Close()
			ended <- serveGorilla(c)
		})
	},
}

func serveGorilla(c *websocket.Conn) ending {
	c.SetReadLimit(maxMessage)
	c.SetPongHandler(func(string) error { return c.WriteMessage(websocket.TextMessage, []byte(ponged)) })
	for {
		c.SetReadDeadline(time.Now().Add(patience))
		typ, p, err := c.ReadMessage()
		if err != nil {
			return gorillaEnding(err)
		}
		code, reason, closing := closeArguments(string(p))
		switch {
		case string(p) == pingCommand:
			c.WriteControl(websocket.PingMessage, []byte("from gorilla"), time.Now().Add(patience))
		case closing:
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
		case string(p) == fragmentsCommand:
			writeGorillaParts(c, websocket.TextMessage, []string{fragmented})
		default:
			c.WriteMessage(typ, p)
		}
	}
}

// writeGorillaParts writes through NextWriter, which sends a frame whenever its buffer of 4 KiB is full.
func writeGorillaParts(c *websocket.Conn, typ int, parts []string) error {
	w, err := c.NextWriter(typ)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return w.Close()
}

func gorillaEnding(err error) ending {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return ending{closed.Code, closed.Text}
	}
	return ending{1006, err.Error()}
}

type gorillaConn struct {
	*websocket.Conn
	inbox
}

func dialGorilla(t *testing.T, url, setting string, subprotocols []string) (theirConn, string, error) {
	d := websocket.Dialer{EnableCompression: setting != "off", Subprotocols: subprotocols, HandshakeTimeout: patience}
	c, _, err := d.Dial(url, nil)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { c.Close() })
	conn := &gorillaConn{c, newInbox()}
	c.SetReadLimit(maxMessage)
	c.SetPongHandler(func(s string) error { conn.pongs <- s; return nil })
	go conn.pump(func() (bool, []byte, error) {
		typ, p, err := c.ReadMessage()
		if err != nil {
			err = gorillaEnding(err)
		}
		return typ == websocket.TextMessage, p, err
	})
	return conn, c.Subprotocol(), nil
}

func gorillaType(text bool) int {
	if text {
		return websocket.TextMessage
	}
	return websocket.BinaryMessage
}

func (c *gorillaConn) write(text bool, p []byte) error { return c.WriteMessage(gorillaType(text), p) }

func (c *gorillaConn) fragments(text bool, parts []string) error {
	return writeGorillaParts(c.Conn, gorillaType(text), parts)
}

func (c *gorillaConn) ping(payload string) error {
	if err := c.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience)); err != nil {
		return err
	}
	return c.awaitPong(payload)
}

func (c *gorillaConn) close(code int, reason string) (int, error) {
	if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return c.answerToClose()
}
