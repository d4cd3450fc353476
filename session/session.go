package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// Close codes of this protocol.
const (
	closeBadFrame       websocket.StatusCode = 4400
	closeToken          websocket.StatusCode = 4401
	closeDisconnected   websocket.StatusCode = 4403
	closeConnectTimeout websocket.StatusCode = 4408
	closeReplaced       websocket.StatusCode = 4409
	closeUnavailable    websocket.StatusCode = 4503
)

// closeCodes are the codes with which the hub's reasons close a connection.
var closeCodes = map[hub.EndCode]websocket.StatusCode{
	hub.EndRestart:      websocket.StatusServiceRestart,
	hub.EndSlow:         websocket.StatusTryAgainLater,
	hub.EndReplaced:     closeReplaced,
	hub.EndDisconnected: closeDisconnected,
	hub.EndTokenExpired: closeToken,
	hub.EndTokenRevoked: closeToken,

	endBadFrame: closeBadFrame, endFlood: websocket.StatusPolicyViolation, endConnectTimeout: closeConnectTimeout,
	endUnavailable: closeUnavailable, endForbidden: closeDisconnected,
	hub.EndCode(hub.CodeTokenMissing): closeToken, hub.EndCode(hub.CodeTokenInvalid): closeToken,
}

// Reasons for which this package closes a connection, besides those of the hub.
const (
	endBadFrame       hub.EndCode = "bad-frame"
	endFlood          hub.EndCode = "flood"
	endConnectTimeout hub.EndCode = "connect-timeout"
	endUnavailable    hub.EndCode = "unavailable"
	endForbidden      hub.EndCode = "forbidden"
)

// noWait is a context that has ended.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// floodLimit is how many refusals a client may ignore, without a pause that would fill half of its burst again.
const floodLimit = 1000

type sessionKey struct{}

// session is one connection. It is the hub's Sink.
type session struct {
	server *Server         // immutable
	conn   *websocket.Conn // immutable

	// Owned by the handler of the connection.
	tokens  float64 // of the commands' rate
	filled  time.Time
	refused int         // commands, since the last pause
	timeout *time.Timer // runs until connect; nil afterwards
	header  http.Header // of the handshake, until connect

	worker worker // has its own lock

	turn       uint64                         // connections that the session has had; set before subscriber
	subscriber atomic.Pointer[hub.Subscriber] // nil before connect; set once
	watching   atomic.Bool                    // for room in the outbox
	ended      atomic.Bool
	resumes    atomic.Bool // it ended with the wish that the client comes back
}

// handler takes the events of the connections of a server.
type handler struct{ server *Server }

func (h handler) Open(c *websocket.Conn) {
	s := &session{server: h.server, conn: c, tokens: float64(h.server.limits.Load().CommandBurst), filled: time.Now()}
	if r := c.Request(); r != nil {
		s.header = r.Header
	}
	c.SetAttribute(sessionKey{}, s)
	limit := h.server.limits.Load().ConnectTimeout
	s.timeout = time.AfterFunc(limit, func() {
		s.End(hub.End{Code: endConnectTimeout, Message: fmt.Sprintf("connect within %v", limit), Reconnect: true})
	})
}

func (h handler) Message(c *websocket.Conn, typ websocket.MessageType, p []byte) {
	if s, ok := c.Attribute(sessionKey{}).(*session); ok {
		s.receive(typ == websocket.Binary, p)
	}
}

func (h handler) Close(c *websocket.Conn, err error) {
	s, ok := c.Attribute(sessionKey{}).(*session)
	if !ok {
		return
	}
	s.stopTimeout()
	session := ""
	if subscriber := s.subscriber.Load(); subscriber != nil {
		session = subscriber.ID()
		if patience := h.server.options.Patience; patience > 0 && s.mayComeBack(err) {
			subscriber.Suspend(patience)
		} else {
			subscriber.Close()
		}
	}
	h.server.options.Logger.Debug("a client is gone", "session", session, "remote", c.RemoteAddr(), "reason", err)
}

// stopTimeout also lets go of the timer, since most connections live long.
func (s *session) stopTimeout() {
	if s.timeout != nil {
		s.timeout.Stop()
		s.timeout = nil
	}
}

// mayComeBack reports whether a connection ended in a way after which clients resume: it was lost, or the hub wanted it to end and to be
// made again.
func (s *session) mayComeBack(err error) bool {
	var closed *websocket.CloseError
	return s.resumes.Load() || errors.As(err, &closed) && closed.Code == websocket.StatusAbnormalClosure && !s.ended.Load()
}

// Deliver implements hub.Sink.
func (s *session) Deliver(m *hub.Message) bool {
	prepared := m.Encoded(prepare).(*websocket.Prepared)
	err := s.conn.SendPrepared(prepared)
	if !errors.Is(err, websocket.ErrFull) {
		return true // on its way, or the connection has ended and its Close will come
	}
	if s.watching.Swap(true) {
		return false
	}
	s.conn.OnDrain(func() { s.subscriber.Load().Ready() })
	// Nobody had asked to be told of room before; by now there may be some.
	return !errors.Is(s.conn.SendPrepared(prepared), websocket.ErrFull)
}

// End implements hub.Sink: it says why, as far as there is room, and closes.
func (s *session) End(why hub.End) {
	if s.ended.Swap(true) {
		return
	}
	s.resumes.Store(why.Reconnect && !s.server.draining.Load())
	after := milliseconds(why.After)
	push := appendJSON(nil, disconnectPush{"disconnect", why.Code, why.Message, why.Reconnect, after})
	_ = s.conn.Send(websocket.Text, push) // the close frame says the same in short
	reason := string(why.Code)
	if after > 0 {
		reason = fmt.Sprintf("retry-after=%dms", after)
	}
	_ = s.conn.Close(noWait, closeCodes[why.Code], reason) // the closing handshake goes on by itself
}

// reply sends the answer to a command, and waits while the client does not read: whoever sends commands without reading the answers is
// not read either.
func (s *session) reply(isBinary bool, p []byte) {
	typ := websocket.Text
	if isBinary {
		typ = websocket.Binary
	}
	_ = s.conn.Write(context.Background(), typ, p) // an error means that the connection has ended
}

func (s *session) replyJSON(v any) { s.reply(false, appendJSON(nil, v)) }

// fail answers a command with an error; one that came after the session's end is not answered.
func (s *session) fail(id *uint64, err error) {
	if err == hub.ErrEnded { // it is never wrapped
		return
	}
	var known *hub.Error
	if !errors.As(err, &known) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			known = hub.Errorf(hub.CodeUnavailable, "the server could not do it in time")
		} else {
			s.server.options.Logger.Error("a command failed", "error", err)
			known = hub.Errorf(hub.CodeInternal, "the server failed")
		}
	}
	s.replyJSON(newError(id, known))
}
