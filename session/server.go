package session

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// Server serves the sessions of a hub. It is an http.Handler for WebSocket handshakes. Its methods may be called from any goroutine.
type Server struct {
	hub      *hub.Hub // immutable
	options  Options  // immutable; the Limits that hold are in limits
	limits   atomic.Pointer[Limits]
	socket   *websocket.Server // immutable
	resume   *resumer          // immutable
	draining atomic.Bool
}

// New returns a server for a hub.
func New(h *hub.Hub, o Options) *Server {
	s := &Server{hub: h, options: o.withDefaults(), resume: newResumer(o.Key, o.PreviousKeys)}
	s.SetLimits(o.Limits)
	accept := s.options.Accept
	accept.Subprotocols = []string{Subprotocol}
	accept.MaxMessage = int64(s.options.MaxFrame)
	accept.Outbox = s.options.Outbox
	accept.Overflow = websocket.OverflowDrop // what the outbox has no room for waits in the hub
	accept.Interceptors = append(slices.Clone(accept.Interceptors), s.checkSubprotocol)
	if accept.Logger == nil {
		accept.Logger = s.options.Logger
	}
	s.socket = &websocket.Server{
		Handler: handler{s}, Accept: accept, Driver: s.options.Driver,
		DrainCode: websocket.StatusServiceRestart, DrainRate: -1, DrainRetry: s.options.DrainRetry,
	}
	return s
}

// ServeHTTP answers a WebSocket handshake.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		http.Error(w, "the server stops; come back in a moment", http.StatusServiceUnavailable)
		return
	}
	s.socket.ServeHTTP(w, r)
}

// SetLimits replaces the limits; a zero field stands for its default.
func (s *Server) SetLimits(l Limits) {
	l = l.withDefaults()
	s.limits.Store(&l)
}

// Len returns how many connections there are, those included that have not connected to the hub yet.
func (s *Server) Len() int { return s.socket.Len() }

// checkSubprotocol refuses clients that want to speak something else.
func (s *Server) checkSubprotocol(u *websocket.Upgrade) error {
	offered := u.Request.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) == 0 {
		return nil
	}
	for name := range strings.SplitSeq(strings.Join(offered, ","), ",") {
		if strings.TrimSpace(name) == Subprotocol {
			return nil
		}
	}
	return &websocket.HandshakeError{Status: http.StatusBadRequest, Reason: "the subprotocol here is " + Subprotocol + ": offer it, or none"}
}

// Shutdown refuses new connections, tells all clients when to come back, at the pace of Limits.DrainRate, and returns when all have gone. It returns the error of
// ctx if that ends first; then it has cut off the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.drain(ctx, s.sessions())
	return s.socket.Shutdown(ctx)
}

// Shed sends away a part of the clients, picked at random, so that they come back to other servers. fraction is from 0 to 1. It
// returns how many it picked; they are told at the pace of Limits.DrainRate, until ctx ends.
func (s *Server) Shed(ctx context.Context, fraction float64) int {
	all := s.sessions()
	n := int(fraction*float64(len(all)) + 0.5)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	picked := all[:max(0, min(n, len(all)))]
	go s.drain(ctx, picked)
	return len(picked)
}

func (s *Server) sessions() []*session {
	var all []*session
	s.socket.Range(func(c *websocket.Conn) bool {
		if one, ok := c.Attribute(sessionKey{}).(*session); ok {
			all = append(all, one)
		}
		return true
	})
	return all
}

// drainTick is how often some clients are told.
const drainTick = 20 * time.Millisecond

// drain tells clients to come back, as many in each tick as are due by then.
func (s *Server) drain(ctx context.Context, all []*session) {
	limits := s.limits.Load()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	began, told := time.Now(), 0
	for {
		due := 1 + int(float64(limits.DrainRate)*time.Since(began).Seconds())
		for ; told < min(due, len(all)); told++ {
			after := limits.DrainRetry + rand.N(limits.DrainSpread+1)
			all[told].End(hub.End{Code: hub.EndRestart, Message: "the server restarts", Reconnect: true, After: after})
		}
		if told == len(all) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
