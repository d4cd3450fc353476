package webapi

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
)

// Listener is a function that AddEventListener registers. It is a pointer, as
// functions in Go cannot be compared and RemoveEventListener must find it.
type Listener struct{ handle func(Event) }

// NewListener returns a Listener that calls f.
func NewListener(f func(Event)) *Listener { return &Listener{handle: f} }

// ListenerOptions are those of AddEventListener that concern a socket.
type ListenerOptions struct {
	// Once removes the listener when its first event comes.
	Once bool
}

// EventTarget keeps the listeners of a socket and calls them. It is a part of
// WebSocket and Reconnecting.
//
// The events of one socket are fired in order and never two at once: a listener
// that takes its time delays the next event, and when it does not take messages,
// the peer feels it. A listener may call every method of its socket. One that
// panics is reported to the logger; the others are called all the same.
//
// In a browser a script registers its listeners before the first event can come.
// Here the connection may be faster than the program. So an event for which no
// listener or handler was ever registered is kept until one is, and fired then:
// registering after New misses nothing. That holds for the first listener of a
// type; the second may miss what the first one heard. Register for open first, or
// set the handlers in Options, where the order of open and the first messages
// matters.
// Up to 1,024 events or 1 MiB of messages are kept; when more comes, nobody
// cares, and all but the close event go unheard, as in a browser.
type EventTarget struct {
	logger *slog.Logger

	// Guarded by mu.
	mu        sync.Mutex
	listeners map[string][]*registration
	claimed   map[string]bool // types for which anybody ever registered
	kept      []keptEvent     // events of types that nobody claimed
	keptBytes int
	keptEver  uint64
	late      []keptEvent // events that were kept and are now to be fired, before tasks
	tasks     []task
	running   bool // a goroutine works through tasks
	ended     bool // the last event was fired, or kept
	done      chan struct{}
}

// registration is one listener of one type. Guarded by the target's mu.
type registration struct {
	listener *Listener // nil for the handler of OnOpen and its like
	handle   func(Event)
	once     bool
	removed  bool
}

// task makes the next events, at the moment when they are fired: the state of the
// socket changes together with its events.
type task struct {
	run   func() []Event
	after func() // called when the listeners have returned; may be nil
}

// keptEvent is an event with its place among those that were kept.
type keptEvent struct {
	place uint64
	event Event
}

// What is kept for listeners that come late.
const (
	maxKeptEvents = 1024
	maxKeptBytes  = 1 << 20
)

func (t *EventTarget) init(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	t.logger = logger
	t.listeners = make(map[string][]*registration)
	t.claimed = make(map[string]bool)
	t.done = make(chan struct{})
}

// AddEventListener registers a listener for a type of events. It does nothing
// when l is nil or registered for the type already. Listeners are called in the
// order of their registration; one that is added while an event is fired is not
// called for that event.
func (t *EventTarget) AddEventListener(typ string, l *Listener, options ...ListenerOptions) {
	if l == nil || l.handle == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.listeners[typ] {
		if r.listener == l {
			return
		}
	}
	r := &registration{listener: l, handle: l.handle}
	for _, o := range options {
		r.once = r.once || o.Once
	}
	t.register(typ, r)
}

// RemoveEventListener takes a listener back. It is not called any more when
// RemoveEventListener returns, not even for an event that is being fired, but a
// call under way goes on.
func (t *EventTarget) RemoveEventListener(typ string, l *Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.listeners[typ] {
		if r.listener == l && l != nil {
			t.unregister(typ, r)
			return
		}
	}
}

// OnOpen sets the handler of open events; nil unsets it. A handler takes its
// place among the listeners when it is first set, and keeps it when replaced.
func (t *EventTarget) OnOpen(f func(*OpenEvent)) { setHandler(t, TypeOpen, f) }

// OnMessage sets the handler of message events; nil unsets it.
func (t *EventTarget) OnMessage(f func(*MessageEvent)) { setHandler(t, TypeMessage, f) }

// OnError sets the handler of error events; nil unsets it.
func (t *EventTarget) OnError(f func(*ErrorEvent)) { setHandler(t, TypeError, f) }

// OnClose sets the handler of the close event; nil unsets it.
func (t *EventTarget) OnClose(f func(*CloseEvent)) { setHandler(t, TypeClose, f) }

func setHandler[E Event](t *EventTarget, typ string, f func(E)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var present *registration
	for _, r := range t.listeners[typ] {
		if r.listener == nil {
			present = r
		}
	}
	handle := func(e Event) { f(e.(E)) }
	switch {
	case f == nil && present != nil:
		t.unregister(typ, present)
	case f == nil:
	case present != nil:
		present.handle = handle
	default:
		t.register(typ, &registration{handle: handle})
	}
}

// Done returns a channel that is closed when the close event has been fired and
// its listeners, also those that were registered late but before this call, have
// returned.
func (t *EventTarget) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended || !t.running && len(t.late) == 0 {
		return t.done
	}
	caughtUp := make(chan struct{})
	t.tasks = append(t.tasks, task{run: noEvents, after: func() { close(caughtUp) }})
	t.start()
	return caughtUp
}

// end is called when the close event was fired, or kept for a listener to come.
func (t *EventTarget) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.late) > 0 { // fired before tasks
		t.tasks = append(t.tasks, task{run: noEvents, after: t.end})
		return
	}
	t.ended = true
	close(t.done)
}

func noEvents() []Event { return nil }

// register adds r, and fires what was kept for its type. mu is held.
func (t *EventTarget) register(typ string, r *registration) {
	t.listeners[typ] = append(t.listeners[typ], r)
	if t.claimed[typ] {
		return
	}
	t.claimed[typ] = true
	var rest []keptEvent
	for _, k := range t.kept {
		if k.event.Type() == typ {
			t.late = append(t.late, k)
		} else {
			rest = append(rest, k)
		}
	}
	slices.SortFunc(t.late, func(a, b keptEvent) int { return cmp.Compare(a.place, b.place) })
	t.kept = rest
	if typ == TypeMessage {
		t.keptBytes = 0
	}
	t.start()
}

// unregister removes r. mu is held.
func (t *EventTarget) unregister(typ string, r *registration) {
	r.removed = true
	// A new slice: the old one may be being walked through.
	t.listeners[typ] = slices.DeleteFunc(slices.Clone(t.listeners[typ]), func(other *registration) bool { return other == r })
}

// post queues a task.
func (t *EventTarget) post(run func() []Event, after func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tasks = append(t.tasks, task{run: run, after: after})
	t.start()
}

// postAndWait queues a task and waits until it is done. It must not be called by
// a listener.
func (t *EventTarget) postAndWait(run func() []Event, after func()) {
	done := make(chan struct{})
	t.post(run, func() {
		if after != nil {
			after()
		}
		close(done)
	})
	<-done
}

// start makes sure that a goroutine works through the tasks. mu is held.
func (t *EventTarget) start() {
	if !t.running && len(t.tasks)+len(t.late) > 0 {
		t.running = true
		go t.work()
	}
}

func (t *EventTarget) work() {
	for {
		next, ok := t.next()
		if !ok {
			return
		}
		t.do(next)
	}
}

// next takes the next task; without one, the goroutine ends.
func (t *EventTarget) next() (next task, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.late) > 0:
		late := t.late[0].event
		t.late = t.late[1:]
		next = task{run: func() []Event { return []Event{late} }}
	case len(t.tasks) > 0:
		next = t.tasks[0]
		t.tasks[0] = task{}
		if t.tasks = t.tasks[1:]; len(t.tasks) == 0 {
			t.tasks = nil
		}
	default:
		t.running = false
		return task{}, false
	}
	return next, true
}

// do works through one task. A listener may end the goroutine with
// runtime.Goexit, as a failing test does; the events go on in a fresh one.
func (t *EventTarget) do(next task) {
	finished := false
	defer func() {
		if next.after != nil {
			next.after()
		}
		if !finished {
			t.mu.Lock()
			t.running = false
			t.start()
			t.mu.Unlock()
		}
	}()
	for _, e := range next.run() {
		t.fire(e)
	}
	finished = true
}

// fire calls the listeners of an event, or keeps it for those to come.
func (t *EventTarget) fire(e Event) {
	t.mu.Lock()
	list := t.listeners[e.Type()]
	if !t.claimed[e.Type()] {
		t.keep(e)
	}
	t.mu.Unlock()
	for _, r := range list {
		t.mu.Lock()
		handle, removed := r.handle, r.removed
		if r.once && !removed {
			t.unregister(e.Type(), r)
		}
		t.mu.Unlock()
		if !removed {
			t.call(handle, e)
		}
	}
}

// keep keeps an event of a type that nobody claimed. mu is held.
func (t *EventTarget) keep(e Event) {
	t.keptEver++
	t.kept = append(t.kept, keptEvent{t.keptEver, e})
	if m, ok := e.(*MessageEvent); ok {
		t.keptBytes += m.size()
	}
	if len(t.kept) <= maxKeptEvents && t.keptBytes <= maxKeptBytes {
		return
	}
	t.logger.Warn("websocket: events come and nobody listens; they are dropped", "url", redacted(e.Target().URL()))
	for _, typ := range []string{TypeOpen, TypeMessage, TypeError, TypeStateChange} {
		t.claimed[typ] = true
	}
	t.kept, t.keptBytes = nil, 0
}

func (e *MessageEvent) size() int {
	switch data := e.Data.(type) {
	case string:
		return len(data)
	case Blob:
		return data.Size()
	case []byte:
		return len(data)
	}
	return 0
}

// call calls one listener and survives its panic.
func (t *EventTarget) call(handle func(Event), e Event) {
	defer func() {
		if v := recover(); v != nil {
			t.logger.Error("websocket: a listener panicked", "event", e.Type(), "url", redacted(e.Target().URL()),
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	handle(e)
}
