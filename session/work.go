package session

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

const (
	// stallAfter is how long a connection is not read because one of its commands waits for the broker. Then it is read again, so that pings
	// are answered and a stalled broker does not look like a dead server; the commands wait.
	stallAfter = time.Second
	maxWaiting = 64 // commands of a connection that wait for one before them; then it is not read

	maxRefusals = 1000 // topics, see refusals
)

// worker runs the commands of a connection one after the other.
type worker struct {
	mu      sync.Mutex
	busy    bool       // a command runs; guarded by mu
	waiting []*command // guarded by mu
	room    *sync.Cond // waiting has become shorter

	refusals refusals // of the command that runs
}

// work runs a command, when those before it have ended.
func (s *session) work(h *hub.Subscriber, c *command) {
	if s.server.hub.IsLocal() {
		s.run(h, c)
		return
	}
	w := &s.worker
	w.mu.Lock()
	if w.busy && c.Type == "ping" {
		w.mu.Unlock()
		s.run(h, c)
		return
	}
	if w.busy {
		if w.room == nil {
			w.room = sync.NewCond(&w.mu)
		}
		for len(w.waiting) >= maxWaiting {
			w.room.Wait()
		}
	}
	if w.busy {
		w.waiting = append(w.waiting, c)
		w.mu.Unlock()
		return
	}
	w.busy = true
	w.mu.Unlock()
	first := make(chan struct{})
	go s.runAll(h, c, first)
	patience := time.NewTimer(stallAfter)
	defer patience.Stop()
	select {
	case <-first:
	case <-patience.C:
	}
}

// runAll runs a command, and those that come meanwhile.
func (s *session) runAll(h *hub.Subscriber, c *command, first chan struct{}) {
	w := &s.worker
	for {
		s.runSafely(h, c)
		w.mu.Lock()
		w.busy = len(w.waiting) > 0
		if w.busy {
			c, w.waiting = w.waiting[0], w.waiting[1:]
			w.room.Signal()
		}
		busy := w.busy
		w.mu.Unlock()
		if first != nil {
			close(first)
			first = nil
		}
		if !busy {
			return
		}
	}
}

// runSafely is run where no handler's caller would take care of a panic.
func (s *session) runSafely(h *hub.Subscriber, c *command) {
	defer func() {
		if r := recover(); r != nil {
			s.server.options.Logger.Error("a command panicked", "panic", r, "stack", string(debug.Stack()))
			_ = s.conn.Close(noWait, websocket.StatusInternalError, "")
		}
	}()
	s.run(h, c)
}

// run runs a command and answers it.
func (s *session) run(h *hub.Subscriber, c *command) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if err := commands[c.Type](s, ctx, h, c); err != nil {
		s.fail(c.ID, err)
	}
}

// refusals are the topics of which a publication was refused a moment ago because the broker could not take it. What its sender had sent behind
// it, before it could know, is refused as well: otherwise the order of its messages would be another when it sends the first one again.
type refusals map[string]time.Time

// check refuses a publication that comes too soon behind one that was refused.
func (r refusals) check(topic string) error {
	wait := time.Until(r[topic])
	if wait <= 0 {
		delete(r, topic)
		return nil
	}
	return &hub.Error{Code: hub.CodeUnavailable, Message: "a message to " + topic + " before it was refused", Retry: wait}
}

// note takes note of how a publication ended.
func (r *refusals) note(topic string, err error) {
	var refused *hub.Error
	if !errors.As(err, &refused) || refused.Code != hub.CodeUnavailable || refused.Retry == 0 {
		return
	}
	if *r == nil || len(*r) >= maxRefusals {
		*r = make(refusals)
	}
	const early = 9 // tenths: clocks of clients are a little off
	(*r)[topic] = time.Now().Add(refused.Retry * early / 10)
}
