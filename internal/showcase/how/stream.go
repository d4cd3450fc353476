package how

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// streams serves the race's WebSocket, which sends each message as soon as it is made.
type streams struct {
	*websocket.Server
	app *how
}

// runner is a connection of a race.
type runner struct {
	race  race
	tally *tally // nil before admit
	leave func()
	taken bool // the connection was taken over: leave is called when it closes
}

type runnerKey struct{}

func (h *how) newStream() *streams {
	s := &streams{app: h}
	accept := h.env.Accept
	accept.Compression = websocket.Compression{} // the others do without, too
	accept.MaxMessage, accept.MaxLifetime = shownBytes, 2*raceTime
	accept.Interceptors = append(accept.Interceptors[:len(accept.Interceptors):len(accept.Interceptors)], s.admit)
	s.Server = &websocket.Server{Accept: accept, Handler: &websocket.HandlerFuncs{OnOpen: s.open, OnClose: s.closed}}
	return s
}

// ServeHTTP implements http.Handler.
func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	run := &runner{leave: func() {}}
	r = r.WithContext(context.WithValue(r.Context(), runnerKey{}, run))
	wrapped := &hijacking{w, func(nc net.Conn, _ []byte) net.Conn {
		run.taken = true
		_, _ = run.tally.counting(frames, w, r) // the request; what comes behind it is none of a browser
		return &metered{nc, &run.tally.meters[frames]}
	}}
	s.Server.ServeHTTP(wrapped, r)
	if !run.taken {
		run.leave()
	}
}

// admit checks what is asked for.
func (s *streams) admit(u *websocket.Upgrade) error {
	run, ok := u.Request.Context().Value(runnerKey{}).(*runner)
	if !ok {
		return errors.New("how: a handshake without its race")
	}
	if s.Len() >= maxConnections {
		return errBusy()
	}
	now := time.Now()
	var err error
	if run.race, err = parseRace(u.Request.URL.Query(), now); err != nil {
		return &websocket.HandshakeError{Status: http.StatusBadRequest, Reason: asRefusal(err).Message}
	}
	t, leave, refused := s.app.enter(&run.race, frames, clientOf(u.Request), now)
	if refused != nil {
		return &websocket.HandshakeError{Status: statusOf(refused), Reason: refused.Message}
	}
	run.tally, run.leave = t, leave
	u.SetAttribute(runnerKey{}, run)
	return nil
}

func (s *streams) open(c *websocket.Conn) {
	if run, ok := c.Attribute(runnerKey{}).(*runner); ok {
		go run.send(c)
	}
}

func (s *streams) closed(c *websocket.Conn, _ error) {
	if run, ok := c.Attribute(runnerKey{}).(*runner); ok {
		run.leave()
	}
}

// send sends what is made until the race or the connection is over.
func (r *runner) send(c *websocket.Conn) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := r.race.after + 1; n <= r.race.last(); n++ {
		timer.Reset(time.Until(r.race.made(n)))
		select {
		case <-timer.C:
		case <-c.Done():
			return
		}
		if err := c.Send(websocket.Text, r.race.message(n)); err != nil {
			return
		}
	}
	_ = c.Close(context.Background(), websocket.StatusNormalClosure, "the race is over") // an error says that it is over already
}

// asRefusal returns the refusal that an error is.
func asRefusal(err error) *hub.Error {
	if refused, ok := errors.AsType[*hub.Error](err); ok {
		return refused
	}
	return hub.Errorf(codeBadRace, "%s", err)
}
