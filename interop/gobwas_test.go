package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

var gobwasRival = rival{
	name:     "gobwas",
	settings: []string{"off", "no takeover"}, // its wsflate helpers keep no context
	dial:     dialGobwas,
	handler: func(setting string, subprotocols []string, ended chan<- ending) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u := ws.HTTPUpgrader{Protocol: func(offered string) bool {
				for _, s := range subprotocols {
					if s == offered {
						return true
					}
				}
				return false
			}}
			extension := wsflate.Extension{Parameters: wsflate.DefaultParameters}
			if setting != "off" {
				u.Negotiate = extension.Negotiate
			}
			conn, rw, _, err := u.Upgrade(r, w)
			if err != nil {
				return
			}
			defer conn.Close()
			_, deflate := extension.Accepted()
			ended <- (&gobwasEnd{conn: conn, br: rw.Reader, state: ws.StateServerSide, deflate: deflate}).serve()
		})
	},
}

// A gobwasEnd is one side of a connection on gobwas' frames: it has no connection type of its own.
type gobwasEnd struct {
	conn    net.Conn
	br      *bufio.Reader
	state   ws.State
	deflate bool
	onPong  func(payload []byte)
}

// next reads a message and answers control frames on the way.
func (e *gobwasEnd) next() (bool, []byte, error) {
	var message ws.Frame
	for {
		e.conn.SetReadDeadline(time.Now().Add(patience))
		f, err := ws.ReadFrame(e.br)
		if err != nil {
			return false, nil, err
		}
		if f.Header.Masked {
			f = ws.UnmaskFrameInPlace(f)
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			e.send(ws.NewPongFrame(f.Payload))
		case ws.OpPong:
			if e.onPong != nil {
				e.onPong(f.Payload)
			}
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			e.send(ws.NewCloseFrame(f.Payload))
			if len(f.Payload) == 0 {
				code = ws.StatusNoStatusRcvd
			}
			return false, nil, ending{int(code), reason}
		default:
			if f.Header.OpCode != ws.OpContinuation {
				message = ws.Frame{Header: f.Header}
			}
			message.Payload = append(message.Payload, f.Payload...)
			if f.Header.Fin {
				return e.whole(message)
			}
		}
	}
}

// whole turns the collected frames into a message.
func (e *gobwasEnd) whole(f ws.Frame) (bool, []byte, error) {
	f.Header.Fin, f.Header.Masked, f.Header.Length = true, false, int64(len(f.Payload))
	compressed, err := wsflate.IsCompressed(f.Header)
	if err != nil {
		return false, nil, err
	}
	if compressed {
		if !e.deflate {
			return false, nil, errors.New("compressed without consent")
		}
		if f, err = wsflate.DecompressFrame(f); err != nil {
			return false, nil, fmt.Errorf("decompress: %w", err)
		}
	}
	return f.Header.OpCode == ws.OpText, f.Payload, nil
}

// send masks as the role demands.
func (e *gobwasEnd) send(f ws.Frame) error {
	if e.state.ClientSide() {
		f.Payload = bytes.Clone(f.Payload)
		f = ws.MaskFrameInPlace(f)
	}
	return ws.WriteFrame(e.conn, f)
}

func (e *gobwasEnd) message(text bool, p []byte) error {
	op := ws.OpBinary
	if text {
		op = ws.OpText
	}
	f := ws.NewFrame(op, true, p)
	if e.deflate {
		var err error
		if f, err = wsflate.CompressFrame(f); err != nil {
			return err
		}
	}
	return e.send(f)
}

// parts sends each part as a frame, uncompressed: a message may always be.
func (e *gobwasEnd) parts(text bool, parts []string) error {
	op := ws.OpBinary
	if text {
		op = ws.OpText
	}
	for i, part := range parts {
		if err := e.send(ws.NewFrame(op, i == len(parts)-1, []byte(part))); err != nil {
			return err
		}
		op = ws.OpContinuation
	}
	return nil
}

func (e *gobwasEnd) closeFrame(code int, reason string) error {
	if code == 1005 {
		return e.send(ws.NewCloseFrame(nil))
	}
	return e.send(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (e *gobwasEnd) serve() ending {
	e.onPong = func([]byte) { e.message(true, []byte(ponged)) }
	for {
		text, p, err := e.next()
		if err != nil {
			if closed, ok := errors.AsType[ending](err); ok {
				return closed
			}
			return ending{1006, err.Error()}
		}
		code, reason, closing := closeArguments(string(p))
		switch {
		case string(p) == pingCommand:
			e.send(ws.NewPingFrame([]byte("from gobwas")))
		case closing:
			e.closeFrame(code, reason)
		case string(p) == fragmentsCommand:
			w := wsutil.NewWriterSize(e.conn, e.state, ws.OpText, 512)
			io.WriteString(w, fragmented)
			w.Flush()
		default:
			e.message(text, p)
		}
	}
}

type gobwasConn struct {
	*gobwasEnd
	inbox
}

func dialGobwas(t *testing.T, url, setting string, subprotocols []string) (theirConn, string, error) {
	d := ws.Dialer{Protocols: subprotocols, Timeout: patience}
	if setting != "off" {
		d.Extensions = []httphead.Option{wsflate.DefaultParameters.Option()}
	}
	conn, br, hs, err := d.Dial(context.Background(), url)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { conn.Close() })
	if br == nil {
		br = bufio.NewReader(conn)
	}
	c := &gobwasConn{&gobwasEnd{conn: conn, br: br, state: ws.StateClientSide, deflate: len(hs.Extensions) > 0}, newInbox()}
	c.onPong = func(p []byte) { c.pongs <- string(p) }
	go c.pump(c.next)
	return c, hs.Protocol, nil
}

func (c *gobwasConn) write(text bool, p []byte) error { return c.message(text, p) }

func (c *gobwasConn) fragments(text bool, parts []string) error { return c.parts(text, parts) }

func (c *gobwasConn) ping(payload string) error {
	if err := c.send(ws.NewPingFrame([]byte(payload))); err != nil {
		return err
	}
	return c.awaitPong(payload)
}

func (c *gobwasConn) close(code int, reason string) (int, error) {
	if err := c.closeFrame(code, reason); err != nil {
		return 0, err
	}
	return c.answerToClose()
}
