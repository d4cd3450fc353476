package webapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/duplex-websocket/duplex/websocket"
)

// plan is what a socket was asked for, checked.
type plan struct {
	url, origin string
	options     *Options // from withDefaults
}

func newPlan(rawURL string, protocols []string, o *Options) (*plan, error) {
	href, origin, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	if err := checkProtocols(protocols); err != nil {
		return nil, err
	}
	options, err := o.withDefaults(protocols)
	if err != nil {
		return nil, err
	}
	return &plan{href, origin, options}, nil
}

// connection is the life of one connection, from the attempt to open it to its
// end: the part that WebSocket and Reconnecting share. It fires open and message;
// what its end means is its owner's business.
type connection struct {
	// Immutable once run is called.
	*plan
	target  Socket
	events  *EventTarget
	prepare func(ctx context.Context, o *websocket.DialOptions) error // changes the options of this attempt; may be nil
	opening func() []Event                                            // makes the events before open; may be nil
	opened  func()                                                    // called after the listeners of open; may be nil
	ctx     context.Context
	giveUp  context.CancelFunc

	writer sync.WaitGroup

	// Guarded by mu.
	mu       sync.Mutex
	changed  sync.Cond // signals a change of queue, closing or over
	state    ReadyState
	binary   BinaryType
	chosen   agreement
	conn     *websocket.Conn
	queue    []outgoing
	queued   int64 // payload bytes in queue
	inFlight int64 // payload bytes given to conn that the network may not have
	unsent   int64 // payload bytes that will never be sent
	closing  *closeFrame
	over     bool // the connection is over: the writer must end
}

type agreement struct{ protocol, extensions string }

type outgoing struct {
	typ  websocket.MessageType
	data []byte
}

type closeFrame struct {
	code   websocket.StatusCode
	reason string
}

func newConnection(p *plan, target Socket, events *EventTarget) *connection {
	c := &connection{plan: p, target: target, events: events, binary: p.options.BinaryType}
	c.changed.L = &c.mu
	c.ctx, c.giveUp = context.WithCancel(context.Background())
	return c
}

// run opens the connection, fires its events and returns how it ended.
func (c *connection) run() error {
	defer c.giveUp()
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	open := false
	c.events.postAndWait(func() (events []Event) {
		if open = c.setOpen(); !open {
			return nil
		}
		if c.opening != nil {
			events = c.opening()
		}
		return append(events, &OpenEvent{target: c.target, connection: c})
	}, func() {
		if open && c.opened != nil {
			c.opened()
		}
	})
	if !open {
		_ = conn.CloseNow() // it returns how the connection ended before, which is of no interest
		return context.Canceled
	}
	err = c.read()
	c.mu.Lock()
	c.over = true
	c.changed.Broadcast()
	c.mu.Unlock()
	c.writer.Wait()
	return err
}

// dial does the handshake, and the check that the standard adds to it.
func (c *connection) dial() (*websocket.Conn, error) {
	options := c.options.Dial
	if c.prepare != nil {
		if options.Header = options.Header.Clone(); options.Header == nil {
			options.Header = http.Header{}
		}
		if err := c.prepare(c.ctx, &options); err != nil {
			return nil, err
		}
	}
	conn, err := websocket.Dial(c.ctx, c.url, &options)
	if err != nil {
		return nil, err
	}
	if len(options.Subprotocols) > 0 && conn.Subprotocol() == "" {
		_ = conn.CloseNow() // the connection fails for a better reason than its error
		return nil, &websocket.HandshakeError{
			Status: 101,
			Reason: fmt.Sprintf("the server chose none of the subprotocols %q", options.Subprotocols),
			Header: conn.ResponseHeader(),
		}
	}
	return conn, nil
}

// setOpen changes the state, unless Close was called meanwhile.
func (c *connection) setOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Connecting {
		return false
	}
	c.state = Open
	c.chosen = agreement{c.conn.Subprotocol(), c.conn.Extensions()}
	c.writer.Add(1)
	go c.write()
	return true
}

// read fires the messages and returns how the connection ended. It waits for the
// listeners, so that the peer feels it when they are slow.
func (c *connection) read() error {
	for {
		typ, data, err := c.conn.Read(context.Background())
		if err != nil {
			return err
		}
		if c.readyState() == Open {
			c.events.postAndWait(func() []Event { return c.message(typ, data) }, nil)
		}
	}
}

// message makes the event, or none when the state is not open any more.
func (c *connection) message(typ websocket.MessageType, data []byte) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Open {
		return nil
	}
	e := &MessageEvent{Origin: c.origin, target: c.target}
	switch {
	case typ == websocket.Text:
		e.Data = string(data)
	case c.binary == BinaryTypeBlob:
		e.Data = Blob{data}
	default:
		e.Data = data
	}
	return []Event{e}
}

// sendAny is the standard's send.
func (c *connection) sendAny(data any) error {
	m, err := newOutgoing(data)
	if err != nil {
		return err
	}
	return c.send(m)
}

func newOutgoing(data any) (outgoing, error) {
	switch data := data.(type) {
	case string:
		return outgoing{websocket.Text, []byte(toUSV(data))}, nil
	case []byte:
		return outgoing{websocket.Binary, append([]byte(nil), data...)}, nil
	case Blob:
		return outgoing{websocket.Binary, data.data}, nil
	}
	return outgoing{}, &DOMException{"TypeError", fmt.Sprintf("cannot send a %T: use a string, a []byte or a Blob", data)}
}

func (c *connection) send(m outgoing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == Connecting:
		return &DOMException{"InvalidStateError", "the socket is still connecting; send after the open event"}
	case c.state != Open:
		c.unsent += int64(len(m.data))
		return nil
	case c.buffered()+int64(len(m.data)) > int64(c.options.MaxBuffered):
		// "Flag the WebSocket as full": the message counts, the connection fails.
		c.unsent += int64(len(m.data))
		c.state = Closing
		go c.conn.CloseNow()
		return nil
	}
	c.push(m)
	return nil
}

// push queues a message for the writer. mu is held.
func (c *connection) push(m outgoing) {
	c.queue = append(c.queue, m)
	c.queued += int64(len(m.data))
	c.changed.Broadcast()
}

// write is the writer's goroutine: it hands the queue to the connection as it
// finds room, and the close frame behind it.
func (c *connection) write() {
	defer c.writer.Done()
	for {
		m, frame := c.next()
		switch {
		case m != nil:
			if err := c.conn.Write(context.Background(), m.typ, m.data); err != nil {
				_ = c.conn.CloseNow() // in case it lives: what cannot be written must not be left out in silence
				return
			}
			c.written()
		case frame != nil:
			_ = c.conn.Close(context.Background(), frame.code, frame.reason) // how it ended is what Read returns
			return
		default:
			return
		}
	}
}

// next waits for what to do next: a message, a close frame, or nothing more.
func (c *connection) next() (*outgoing, *closeFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && len(c.queue) == 0 && c.closing == nil {
		c.changed.Wait()
	}
	switch {
	case c.over:
		return nil, nil
	case len(c.queue) > 0:
		m := c.queue[0]
		return &m, nil
	}
	return nil, c.closing
}

// written takes the head of the queue off. Until then it counted as queued, so
// that what Write did not take can still go over another connection.
func (c *connection) written() {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int64(len(c.queue[0].data))
	c.queue[0] = outgoing{}
	c.queue = c.queue[1:]
	c.queued -= n
	c.inFlight += n
	c.settle()
}

// settle returns how much of what the connection took the network has not. Frames
// are not smaller than their payload unless they are compressed, so the outbox
// bounds it. mu is held.
func (c *connection) settle() int64 {
	if c.conn == nil {
		return 0
	}
	// A connection that ended has let go of its outbox, sent or not.
	if inOutbox := int64(c.conn.Buffered()); c.conn.Err() == nil {
		c.inFlight = min(c.inFlight, inOutbox)
	}
	return c.inFlight
}

// buffered is bufferedAmount with mu held.
func (c *connection) buffered() int64 { return c.queued + c.settle() + c.unsent }

func (c *connection) bufferedAmount() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buffered()
}

// close is the standard's close, after its checks.
func (c *connection) close(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case Connecting:
		c.state = Closing
		c.giveUp()
	case Open:
		c.state = Closing
		c.closing = &closeFrame{code, reason}
		c.changed.Broadcast()
	}
}

// end makes the state Closed and freezes bufferedAmount.
func (c *connection) end(clean bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if clean {
		c.inFlight = 0 // the close frame came behind it
	}
	c.unsent += c.queued + c.inFlight
	c.state, c.conn, c.queue, c.queued, c.inFlight = Closed, nil, nil, 0, 0
}

// takeBack ends a connection that ended with err, and returns the messages that it
// never took, and at most how many bytes it took in vain. Only a closing handshake
// that this side began comes behind all that was sent.
func (c *connection) takeBack(err error) (untaken []outgoing, lost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	untaken, lost = c.queue, c.inFlight+c.unsent
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if ok && closed.Local && closed.Code != websocket.StatusAbnormalClosure {
		lost = c.unsent
	}
	c.state, c.conn, c.queue, c.queued, c.inFlight, c.unsent = Closed, nil, nil, 0, 0, 0
	return untaken, lost
}

func (c *connection) readyState() ReadyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *connection) agreed() agreement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chosen
}

func (c *connection) binaryType() BinaryType {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.binary
}

func (c *connection) setBinaryType(t BinaryType) {
	if !t.valid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binary = t
}

// closeEvent makes the close event of a connection that ended with err. Without a
// close frame from the peer the code is 1006, whatever went wrong (RFC 6455,
// section 7.1.5); losing the connection is a failure (section 7.2.1).
func closeEvent(target Socket, err error) *CloseEvent {
	e := &CloseEvent{Code: websocket.StatusAbnormalClosure, target: target}
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.StatusAbnormalClosure {
		e.Code, e.Reason, e.WasClean = closed.Code, closed.Reason, true
	}
	return e
}

// adopt takes messages that a Reconnecting kept, unless the state is not open.
func (c *connection) adopt(list []outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Open {
		return false
	}
	for _, m := range list {
		c.push(m)
	}
	return true
}

// backlog returns how many messages wait for the writer.
func (c *connection) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}
