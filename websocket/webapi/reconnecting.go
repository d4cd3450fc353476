package webapi

import (
	"errors"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// Reconnecting is a WebSocket that opens a new connection when one is lost. Every
// method may be called from any goroutine, also by listeners.
//
// It fires a statechange event for each change of State; open each time that a
// connection is open; message; error for each attempt that failed and each
// connection that ended without a closing handshake; and close once, last, when it
// is over for good: after Close, when Fatal says so, or after MaxFailures.
//
// What Send takes is sent in order and at most once: a message that a lost
// connection had begun to send is not repeated, because it may have arrived. Who
// needs more numbers the messages; see StateEvent.Lost.
type Reconnecting struct {
	EventTarget

	// Immutable.
	*plan
	options *ReconnectOptions
	backoff backoff
	stop    chan struct{} // closed by Close
	hurry   chan struct{} // ends the wait for the next attempt

	// Guarded by mu.
	mu       sync.Mutex
	state    State
	current  *connection
	direct   bool // the queue was given to current, which takes what follows
	queue    []outgoing
	queued   int64 // payload bytes in queue
	binary   BinaryType
	openedAt time.Time // of current, zero before it opens
	failures int
}

// NewReconnecting begins to open a connection to a ws, wss, http or https URL and
// returns at once. A URL or a subprotocol that is not valid is ErrSyntax. o may be
// nil.
func NewReconnecting(url string, protocols []string, o *ReconnectOptions) (*Reconnecting, error) {
	r, err := newReconnecting(url, protocols, o)
	if err != nil {
		return nil, err
	}
	go r.run()
	return r, nil
}

func newReconnecting(url string, protocols []string, o *ReconnectOptions) (*Reconnecting, error) {
	options, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := newPlan(url, protocols, &options.Options)
	if err != nil {
		return nil, err
	}
	r := &Reconnecting{
		plan:    p,
		options: options,
		backoff: newBackoff(options),
		stop:    make(chan struct{}),
		hurry:   make(chan struct{}, 1),
		binary:  p.options.BinaryType,
	}
	r.init(p.options.Dial.Logger)
	p.options.setHandlers(&r.EventTarget)
	r.OnStateChange(options.OnStateChange)
	return r, nil
}

// OnStateChange sets the handler of statechange events; nil unsets it.
func (r *Reconnecting) OnStateChange(f func(*StateEvent)) {
	setHandler(&r.EventTarget, TypeStateChange, f)
}

// run makes one connection after the other.
func (r *Reconnecting) run() {
	for {
		c := r.begin()
		if c == nil {
			r.finish(errClosedByProgram, 0)
			return
		}
		err := c.run()
		lost := r.lose(c, err)
		if r.isFinal(err) {
			r.finish(err, lost)
			return
		}
		r.wait(err, lost)
	}
}

var errClosedByProgram = errors.New("websocket: closed by the program while there was no connection")

// begin makes the next connection, or nil after Close.
func (r *Reconnecting) begin() *connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state >= StateClosing {
		return nil
	}
	c := newConnection(r.plan, r, &r.EventTarget)
	c.setBinaryType(r.binary)
	c.prepare = r.options.Prepare
	c.opening = r.opening
	c.opened = func() { r.flush(c) }
	r.current, r.openedAt = c, time.Time{}
	if r.state != StateConnecting {
		r.post(func() []Event { return r.change(StateEvent{State: StateConnecting}) }, nil)
	}
	return c
}

// change makes e's state the state, unless Close was called, and returns e.
func (r *Reconnecting) change(e StateEvent) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == StateClosing && e.State != StateClosed {
		return nil
	}
	e.Previous, e.Failures, e.target = r.state, r.failures, r
	r.state = e.State
	return []Event{&e}
}

// opening is called when a connection opens, before its open event.
func (r *Reconnecting) opening() []Event {
	r.mu.Lock()
	r.openedAt = time.Now()
	r.mu.Unlock()
	return r.change(StateEvent{State: StateOpen})
}

// flush gives the queue to the connection, when the listeners of open have had
// their chance to go first.
func (r *Reconnecting) flush(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.adopt(r.queue) {
		r.queue, r.queued, r.direct = nil, 0, true
	}
}

// lose takes from an ended connection what it did not begin to send, and returns
// how many bytes are lost.
func (r *Reconnecting) lose(c *connection, err error) (lost int64) {
	untaken, lost := c.takeBack(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.direct = nil, false
	if r.options.RejectOffline {
		untaken, r.queue, r.queued = append(untaken, r.queue...), nil, 0
		for _, m := range untaken {
			lost += int64(len(m.data))
		}
		return lost
	}
	for _, m := range untaken {
		r.queued += int64(len(m.data))
	}
	r.queue = append(untaken, r.queue...)
	return lost
}

// isFinal counts the failure and reports whether it was the last.
func (r *Reconnecting) isFinal(err error) bool {
	r.mu.Lock()
	if !r.openedAt.IsZero() && time.Since(r.openedAt) >= r.options.StableAfter {
		r.failures = 0
	}
	r.failures++
	failures, closing := r.failures, r.state == StateClosing
	r.mu.Unlock()
	return closing || r.options.Fatal(err) || r.options.MaxFailures > 0 && failures >= r.options.MaxFailures
}

// wait tells how the last connection ended and waits for the next attempt.
func (r *Reconnecting) wait(err error, lost int64) {
	r.mu.Lock()
	delay := r.backoff.delay(r.failures, err)
	r.openedAt = time.Time{}
	r.mu.Unlock()
	select {
	case <-r.hurry: // meant for an earlier wait
	default:
	}
	r.post(func() []Event {
		events := r.change(StateEvent{State: StateWaiting, Delay: delay, Err: err, Lost: lost})
		if closeEvent(r, err).WasClean {
			return events
		}
		return append([]Event{&ErrorEvent{Err: err, target: r}}, events...)
	}, nil)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.hurry:
	case <-r.stop:
	}
}

// finish fires the last events. err is how the last connection or attempt ended.
func (r *Reconnecting) finish(err error, lost int64) {
	closed := closeEvent(r, err)
	r.post(func() []Event {
		var events []Event
		if r.failed(closed) {
			events = []Event{&ErrorEvent{Err: err, target: r}}
		}
		return append(append(events, r.change(StateEvent{State: StateClosed, Err: err, Lost: lost})...), closed)
	}, r.end)
}

// failed reports whether the last connection's end is an error, which giving up
// an attempt on Close is not.
func (r *Reconnecting) failed(closed *CloseEvent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !closed.WasClean && (r.state != StateClosing || !r.openedAt.IsZero())
}

// URL returns the URL that was given, in its normal form.
func (r *Reconnecting) URL() string { return r.url }

// State returns the state.
func (r *Reconnecting) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// ReadyState returns the state as a WebSocket has it: StateWaiting is Connecting.
func (r *Reconnecting) ReadyState() ReadyState {
	return [...]ReadyState{Connecting, Open, Connecting, Closing, Closed}[r.State()]
}

// Protocol returns the subprotocol of the present connection, or "".
func (r *Reconnecting) Protocol() string { return r.agreed().protocol }

// Extensions returns the extensions of the present connection, or "".
func (r *Reconnecting) Extensions() string { return r.agreed().extensions }

func (r *Reconnecting) agreed() agreement {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return agreement{}
	}
	return r.current.agreed()
}

// BinaryType returns what the Data of a binary message is.
func (r *Reconnecting) BinaryType() BinaryType {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.binary
}

// SetBinaryType sets what the Data of a binary message is, for this and all later
// connections. A value that is not in the standard is ignored.
func (r *Reconnecting) SetBinaryType(t BinaryType) {
	if !t.valid() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.binary = t
	if r.current != nil {
		r.current.setBinaryType(t)
	}
}

// BufferedAmount returns how many bytes of messages were given to Send, have not
// reached the network, and are not lost. After the end it is what was never sent.
func (r *Reconnecting) BufferedAmount() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buffered()
}

func (r *Reconnecting) buffered() int64 {
	if r.current == nil {
		return r.queued
	}
	return r.queued + r.current.bufferedAmount()
}

// Send sends a string as a text message, or a []byte or Blob as a binary one, or
// queues it for the next connection, and returns at once. Data may be reused. The
// errors are ErrQueueFull, ErrOffline, ErrEnded and ErrType. A message larger than
// QueueBytes passes when there is a connection and nothing else waits.
func (r *Reconnecting) Send(data any) error {
	m, err := newOutgoing(data)
	if err != nil {
		return err
	}
	n := int64(len(m.data))
	r.mu.Lock()
	defer r.mu.Unlock()
	online := r.current != nil && r.state == StateOpen
	waiting := r.buffered()
	switch {
	case r.state >= StateClosing:
		return ErrEnded
	case !online && r.options.RejectOffline:
		return ErrOffline
	case waiting+n > int64(r.options.QueueBytes) && !(online && waiting == 0):
		return ErrQueueFull
	case r.messages() >= r.options.QueueMessages:
		return ErrQueueFull
	case r.direct && r.current.adopt([]outgoing{m}):
		return nil
	}
	r.queue = append(r.queue, m)
	r.queued += n
	return nil
}

// messages returns how many messages wait. mu is held.
func (r *Reconnecting) messages() int {
	n := len(r.queue)
	if r.current != nil {
		n += r.current.backlog()
	}
	return n
}

// Retry ends the wait for the next attempt, for example because the program knows
// that the network is back. It does nothing in another state.
func (r *Reconnecting) Retry() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

// Close ends it for good. With a connection it begins the closing handshake behind
// what was sent before; without one, what is queued is dropped and close with 1006
// follows. The arguments are those of WebSocket.Close. It does not wait; see Done.
func (r *Reconnecting) Close(code websocket.StatusCode, reason string) error {
	code, reason, err := checkClose(code, reason)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state >= StateClosing {
		return nil
	}
	previous := r.state
	r.state = StateClosing
	close(r.stop)
	failures := r.failures
	r.post(func() []Event {
		return []Event{&StateEvent{State: StateClosing, Previous: previous, Failures: failures, target: r}}
	}, nil)
	if r.current != nil {
		r.current.close(code, reason)
	}
	return nil
}
