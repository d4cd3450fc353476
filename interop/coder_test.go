package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

var coderModes = map[string]websocket.CompressionMode{
	"off":         websocket.CompressionDisabled,
	"no takeover": websocket.CompressionNoContextTakeover,
	"takeover":    websocket.CompressionContextTakeover,
}

var coderRival = rival{
	name:     "coder",
	settings: []string{"off", "no takeover", "takeover"},
	dial:     dialCoder,
	handler: func(setting string, subprotocols []string, ended chan<- ending) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
				CompressionMode: coderModes[setting], CompressionThreshold: 1, Subprotocols: subprotocols})
			if err != nil {
				return
			}
			defer c.CloseNow()
			ended <- serveCoder(c)
		})
	},
}

func serveCoder(c *websocket.Conn) ending {
	ctx := context.Background()
	c.SetReadLimit(maxMessage)
	for {
		typ, p, err := c.Read(ctx)
		if err != nil {
			return coderEnding(err)
		}
		code, reason, closing := closeArguments(string(p))
		switch {
		case string(p) == pingCommand:
			go func() {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				if c.Ping(ctx) == nil {
					c.Write(ctx, websocket.MessageText, []byte(ponged))
				}
			}()
		case closing:
			go c.Close(websocket.StatusCode(code), reason)
		case string(p) == fragmentsCommand:
			writeCoderParts(c, websocket.MessageText, []string{fragmented[:1000], fragmented[1000:]})
		default:
			c.Write(ctx, typ, p)
		}
	}
}

// writeCoderParts makes one frame of each part.
func writeCoderParts(c *websocket.Conn, typ websocket.MessageType, parts []string) error {
	w, err := c.Writer(context.Background(), typ)
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

func coderEnding(err error) ending {
	if closed, ok := errors.AsType[websocket.CloseError](err); ok {
		return ending{int(closed.Code), closed.Reason}
	}
	return ending{1006, err.Error()}
}

type coderConn struct {
	*websocket.Conn
	inbox
}

func dialCoder(t *testing.T, url, setting string, subprotocols []string) (theirConn, string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		CompressionMode: coderModes[setting], CompressionThreshold: 1, Subprotocols: subprotocols})
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(maxMessage)
	conn := &coderConn{c, newInbox()}
	go conn.pump(func() (bool, []byte, error) {
		typ, p, err := c.Read(context.Background())
		if err != nil {
			err = coderEnding(err)
		}
		return typ == websocket.MessageText, p, err
	})
	return conn, c.Subprotocol(), nil
}

func coderType(text bool) websocket.MessageType {
	if text {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

func (c *coderConn) write(text bool, p []byte) error {
	return c.Write(context.Background(), coderType(text), p)
}

func (c *coderConn) fragments(text bool, parts []string) error {
	return writeCoderParts(c.Conn, coderType(text), parts)
}

// ping chooses its own payload; coder compares it itself.
func (c *coderConn) ping(string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.Ping(ctx)
}

func (c *coderConn) close(code int, reason string) (int, error) {
	if err := c.Close(websocket.StatusCode(code), reason); err != nil {
		return 0, err
	}
	return code, nil // coder's Close fails unless the answer has the same code
}
