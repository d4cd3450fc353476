package interop

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// What gws calls takeover uses windows of 12 bits unless told otherwise.
var gwsDeflate = map[string]gws.PermessageDeflate{
	"off":             {},
	"no takeover":     {Enabled: true, Threshold: 1},
	"takeover":        {Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
	"server takeover": {Enabled: true, ServerContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
	"client takeover": {Enabled: true, ClientContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
	"12 bits":         {Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true},
	"10 and 9 bits":   {Enabled: true, ServerContextTakeover: true, ClientContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 9},
}

var gwsRival = rival{
	name:     "gws",
	settings: []string{"off", "no takeover", "takeover", "server takeover", "client takeover", "12 bits", "10 and 9 bits"},
	dial:     dialGws,
	handler: func(setting string, subprotocols []string, ended chan<- ending) http.Handler {
		upgrader := gws.NewUpgrader(&gwsServer{ended: ended}, &gws.ServerOption{
			CheckUtf8Enabled: true, PermessageDeflate: gwsDeflate[setting], SubProtocols: subprotocols, ReadMaxPayloadSize: maxMessage})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := upgrader.Upgrade(w, r); err == nil {
				c.ReadLoop()
			}
		})
	},
}

type gwsServer struct {
	gws.BuiltinEventHandler
	ended chan<- ending
}

func (s *gwsServer) OnPing(c *gws.Conn, p []byte) { c.WritePong(p) }
func (s *gwsServer) OnPong(c *gws.Conn, _ []byte) { c.WriteString(ponged) }

func (s *gwsServer) OnClose(_ *gws.Conn, err error) { s.ended <- gwsEnding(err) }

func (s *gwsServer) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	text := m.Data.String()
	code, reason, closing := closeArguments(text)
	switch {
	case text == pingCommand:
		c.WritePing([]byte("from gws"))
	case closing:
		c.WriteClose(uint16(code), []byte(reason))
	case text == fragmentsCommand:
		c.WriteFile(gws.OpcodeText, strings.NewReader(fragmented))
	default:
		c.WriteMessage(m.Opcode, m.Bytes())
	}
}

func gwsEnding(err error) ending {
	if closed, ok := errors.AsType[*gws.CloseError](err); ok {
		if closed.Code == 0 {
			closed.Code = 1005 // gws' way to say that there was none
		}
		return ending{int(closed.Code), string(closed.Reason)}
	}
	return ending{1006, err.Error()}
}

type gwsConn struct {
	gws.BuiltinEventHandler
	inbox
	*gws.Conn
}

func dialGws(t *testing.T, url, setting string, subprotocols []string) (theirConn, string, error) {
	conn := &gwsConn{inbox: newInbox()}
	header := http.Header{}
	if len(subprotocols) > 0 {
		header.Set("Sec-WebSocket-Protocol", strings.Join(subprotocols, ", "))
	}
	c, _, err := gws.NewClient(conn, &gws.ClientOption{
		Addr: url, CheckUtf8Enabled: true, PermessageDeflate: gwsDeflate[setting], RequestHeader: header, ReadMaxPayloadSize: maxMessage})
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { c.NetConn().Close() })
	conn.Conn = c
	go c.ReadLoop()
	return conn, c.SubProtocol(), nil
}

func (c *gwsConn) OnPing(socket *gws.Conn, p []byte) { socket.WritePong(p) }
func (c *gwsConn) OnPong(_ *gws.Conn, p []byte)      { c.pongs <- string(p) }
func (c *gwsConn) OnClose(_ *gws.Conn, err error)    { c.messages <- received{err: gwsEnding(err)} }
func (c *gwsConn) OnMessage(_ *gws.Conn, m *gws.Message) {
	c.messages <- received{text: m.Opcode == gws.OpcodeText, p: bytes.Clone(m.Bytes())}
	m.Close()
}

func (c *gwsConn) opcode(text bool) gws.Opcode {
	if text {
		return gws.OpcodeText
	}
	return gws.OpcodeBinary
}

func (c *gwsConn) write(text bool, p []byte) error { return c.WriteMessage(c.opcode(text), p) }

// fragments uses WriteFile, which cuts frames of 128 KiB.
func (c *gwsConn) fragments(text bool, parts []string) error {
	return c.WriteFile(c.opcode(text), strings.NewReader(strings.Join(parts, "")))
}

func (c *gwsConn) ping(payload string) error {
	if err := c.WritePing([]byte(payload)); err != nil {
		return err
	}
	return c.awaitPong(payload)
}

// close cannot see the peer's answer: gws closes TCP as soon as it has sent its own close frame.
func (c *gwsConn) close(code int, reason string) (int, error) {
	return code, c.WriteClose(uint16(code), []byte(reason))
}
