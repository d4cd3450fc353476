package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/duplex-websocket/duplex/websocket"
)

// ourSettings are the ways in which we compress. Negative thresholds compress everything.
var ourSettings = map[string]websocket.Compression{
	"off":           {},
	"no takeover":   {Mode: websocket.CompressionNoTakeover, Threshold: -1},
	"takeover":      {Mode: websocket.CompressionTakeover, Threshold: -1},
	"9 and 10 bits": {Mode: websocket.CompressionTakeover, Threshold: -1, ServerMaxWindowBits: 9, ClientMaxWindowBits: 10},
}

func ourOptions(setting string, subprotocols []string) websocket.Options {
	return websocket.Options{Compression: ourSettings[setting], Subprotocols: subprotocols, MaxMessage: maxMessage, ReadAhead: maxMessage,
		Outbox: 2 * maxMessage}
}

// An ourServer is a running server of ours, in one of both styles.
type ourServer struct {
	url        string
	ended      chan ending
	extensions chan string // what each connection agreed on
}

var styles = []string{"event", "blocking"}

func startOurs(t *testing.T, style, setting string, subprotocols ...string) *ourServer {
	t.Helper()
	return startOursWith(t, style, ourOptions(setting, subprotocols))
}

func startOursWith(t *testing.T, style string, o websocket.Options) *ourServer {
	t.Helper()
	s := &ourServer{ended: make(chan ending, 64), extensions: make(chan string, 64)}
	accept := websocket.AcceptOptions{Options: o}
	h := httptest.NewServer(s.handler(style, accept))
	t.Cleanup(h.Close)
	s.url = "ws" + strings.TrimPrefix(h.URL, "http")
	return s
}

func (s *ourServer) handler(style string, accept websocket.AcceptOptions) http.Handler {
	if style == "event" {
		return &websocket.Server{Accept: accept, Handler: &websocket.HandlerFuncs{
			OnOpen:    func(c *websocket.Conn) { s.extensions <- c.Extensions() },
			OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) { answer(c, typ, p) },
			OnClose:   func(_ *websocket.Conn, err error) { s.ended <- ourEnding(err) },
		}}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &accept)
		if err != nil {
			return
		}
		defer c.CloseNow()
		s.extensions <- c.Extensions()
		for {
			typ, p, err := c.Read(context.Background())
			if err != nil {
				s.ended <- ourEnding(err)
				return
			}
			answer(c, typ, p)
		}
	})
}

// answer echoes or obeys a command. What waits for the peer runs beside the handler, which must return for the peer to be heard.
func answer(c *websocket.Conn, typ websocket.MessageType, p []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	code, reason, closing := closeArguments(string(p))
	switch {
	case string(p) == pingCommand:
		go func() {
			defer cancel()
			if c.Ping(ctx) == nil {
				c.Write(ctx, websocket.Text, []byte(ponged))
			}
		}()
		return
	case closing:
		go func() {
			defer cancel()
			c.Close(ctx, websocket.StatusCode(code), reason)
		}()
		return
	case string(p) == fragmentsCommand:
		writeOurParts(ctx, c, websocket.Text, []string{fragmented[:1000], fragmented[1000:]})
	default:
		c.Write(ctx, typ, p)
	}
	cancel()
}

func writeOurParts(ctx context.Context, c *websocket.Conn, typ websocket.MessageType, parts []string) error {
	w, err := c.Writer(ctx, typ)
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

func ourEnding(err error) ending {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return ending{int(closed.Code), closed.Reason}
	}
	if broke, ok := errors.AsType[*websocket.ProtocolError](err); ok {
		return ending{int(broke.Code), "ProtocolError: " + broke.Reason}
	}
	return ending{0, err.Error()}
}

// A meteredConn counts bytes, to see whether compression really happens.
type meteredConn struct {
	net.Conn
	in, out *atomic.Int64
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}
