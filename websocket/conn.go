// Package websocket speaks WebSocket (RFC 6455, RFC 7692), as a server and as
// a client, in two styles over one Conn.
//
// Blocking: Accept or Dial, then take turns with Read and Write. Event style:
// hand connections to a Server, whose Handler is called for each message; it
// costs far less memory and CPU.
package websocket

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// MessageType says whether a message is text, which is always valid UTF-8, or
// binary. The values are the opcodes of RFC 6455, section 5.2.
type MessageType uint8

// The two types of messages.
const (
	Text   = MessageType(protocol.OpText)
	Binary = MessageType(protocol.OpBinary)
)

// String returns "text" or "binary".
func (t MessageType) String() string { return protocol.Opcode(t).String() }

// Conn is one WebSocket connection. Every method may be called from any
// goroutine.
//
// A Conn always reads, whatever its owner does: pings are answered, silent
// peers are found, and a close frame ends the connection without a call. What
// arrives for Read waits within Options.ReadAhead; while that is full, nothing
// more is read and the peer feels it.
//
// A slow peer costs at most Options.Outbox bytes: Write waits for room, Send
// does what Options.Overflow says.
//
// A context that ends while a call waits ends that call only. A connection
// that ended returns the same final error from every call, a *CloseError or a
// *ProtocolError; both match net.ErrClosed.
type Conn struct {
	// Immutable from start on.
	options *Options
	config  *protocol.Config
	driver  driver
	sink    sink
	release func()  // gives the place in a ConnLimit back
	server  *Server // whose registry holds the connection, or nil
	place   int     // in the registry; owned by it
	front   *front  // during phaseGreeting

	// Used when driver is seated.
	seat  loop.Seat
	local unique.Handle[netip.AddrPort]
	peer  netip.AddrPort

	// Owned by the reader.
	receiver  protocol.Receiver
	concluded bool // the sink knows of the end

	// Atomic.
	activity atomic.Uint32 // when bytes last arrived, and whether the reader waits for more
	closing  atomic.Bool   // we sent a close frame: what arrives is not delivered any more

	timer timer // owned by the wheel

	// Guarded by mu.
	mu         sync.Mutex
	sender     protocol.Sender
	ahead      []chunk          // frames for the network that come before those in out
	aheadBytes int              // bytes in ahead
	out        *protocol.Buffer // frames for the network, nil when there are none
	sent       int              // how much of out the network has
	phase      phase            // written by the reader
	handling   bool             // the reader works through a batch
	corked     bool             // what is sent meanwhile is gathered
	blocked    bool             // the network takes no more: the driver goes on when it does
	lent       bool             // the driver writes from the outbox without mu
	full       bool             // somebody found no room: OnDrain is owed
	broken     bool             // the transport must not be touched any more
	over       bool             // the outbox is given up
	final      error            // how the connection ended, nil while it lives
	done       chan struct{}    // closed with final
	room       chan struct{}    // closed when there may be room, or the stream has ended
	details    *details         // nil until needed
	pingSent   uint32           // wheel tick of the unanswered keepalive ping, or 0
	closeBy    uint32           // wheel tick by which the current phase, or our closing handshake, must be over, or 0
	writeBy    uint32           // wheel tick by which the network must take something, or 0
	born       uint32           // wheel tick
}

// details is what most connections never need.
type details struct {
	agreement  protocol.Agreement
	request    *http.Request
	response   http.Header
	attributes map[any]any
	pongs      map[string]chan struct{} // by payload
	drain      func()
	stream     *messageWriter   // the streamed message, or nil
	aside      *protocol.Buffer // messages that wait for it to end
	dropped    uint64
	lost       int              // bytes that were in the outbox at the end
	head       *protocol.Buffer // the beginning of the upgrade request
}

// phase says what the reader does with what arrives. The goroutine driver knows
// only the first one: it blocks where the loop has others.
type phase uint8

const (
	phaseOpen      phase = iota
	phaseGreeting        // collects the upgrade request
	phaseDraining        // over; discards until the outbox is empty
	phaseLingering       // our output has ended; discards until the peer's does
	phaseGone
)

// established is a connection whose opening handshake is done. Accept, Dial
// and Server all end in one.
type established struct {
	conn       net.Conn
	buffered   []byte // bytes that arrived behind the handshake
	role       protocol.Role
	options    *Options // from withDefaults
	agreement  protocol.Agreement
	request    *http.Request // server
	response   http.Header   // client
	attributes map[any]any
	release    func() // called once when the connection is over; may be nil
}

// sink takes what a connection's reader finds. Its methods are called by the
// reader alone, in the order opened, data, ending, closed.
type sink interface {
	opened(c *Conn)
	// data takes a message, or a piece of one that final ends; p is borrowed.
	// It may block, and then holds up this connection only.
	data(c *Conn, typ MessageType, p []byte, final bool)
	// ending is called before the peer's close frame or mistake is acted on.
	// It may wait until the program has answered what came before.
	ending(c *Conn)
	closed(c *Conn, err error)
}

// newConn makes the Conn of an established connection without a driver. It lives
// from start on. The config may be shared.
func newConn(e established, to sink, config *protocol.Config) *Conn {
	c := &Conn{sink: to}
	c.establish(&e, config)
	return c
}

// establish fills in what is known when the opening handshake is done.
func (c *Conn) establish(e *established, config *protocol.Config) {
	c.mu.Lock() // a loop may already look whether there is something to flush
	defer c.mu.Unlock()
	c.options, c.config, c.release = e.options, config, e.release
	if e.request != nil || e.response != nil || e.attributes != nil || e.agreement != (protocol.Agreement{}) {
		c.details = &details{agreement: e.agreement, request: e.request, response: e.response, attributes: e.attributes}
	}
	compressor, decompressor := codecs(e)
	var endpoint protocol.Endpoint
	endpoint.Init(config, compressor, decompressor)
	c.receiver, c.sender = endpoint.Receiver, endpoint.Sender
}

// configFor returns the protocol's part of the options.
func configFor(role protocol.Role, o *Options, pieces bool) *protocol.Config {
	return &protocol.Config{Role: role, MaxMessage: o.MaxMessage, Pieces: pieces, Only: protocol.Opcode(o.Only)}
}

// codecs makes the two halves of the compression that was agreed.
func codecs(e *established) (*deflate.Compressor, *deflate.Decompressor) {
	p := e.agreement.Deflate
	if p == nil {
		return nil, nil
	}
	o := e.options.deflateOptions()
	if e.role == protocol.Server {
		return deflate.NewCompressor(o, p.ServerMaxWindowBits, !p.ServerNoContextTakeover),
			deflate.NewDecompressor(o, p.ClientMaxWindowBits, !p.ClientNoContextTakeover)
	}
	return deflate.NewCompressor(o, p.ClientMaxWindowBits, !p.ClientNoContextTakeover),
		deflate.NewDecompressor(o, p.ServerMaxWindowBits, !p.ServerNoContextTakeover)
}

// startBlocking makes the Conn of Accept and Dial: its reader fills an inbox.
func startBlocking(e established) *Conn {
	c := newConn(e, newInbox(e.options.ReadAhead), configFor(e.role, e.options, true))
	c.driver = newPump(c, e.conn)
	c.start(e.buffered)
	return c
}

// more returns the details, which it makes if need be. mu is held.
func (c *Conn) more() *details {
	if c.details == nil {
		c.details = &details{}
	}
	return c.details
}

// detailed returns a copy of the details.
func (c *Conn) detailed() (d details) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.details != nil {
		d = *c.details
	}
	return d
}

// Subprotocol returns the agreed subprotocol, or "".
func (c *Conn) Subprotocol() string { return c.detailed().agreement.Subprotocol }

// Extensions returns the agreed extensions as they stand in the handshake's
// Sec-WebSocket-Extensions, or "".
func (c *Conn) Extensions() string { return c.detailed().agreement.Extensions }

// LocalAddr returns the local network address.
func (c *Conn) LocalAddr() net.Addr { return c.driver.localAddr() }

// RemoteAddr returns the peer's network address, which behind a reverse proxy
// is the proxy's.
func (c *Conn) RemoteAddr() net.Addr { return c.driver.remoteAddr() }

// Request returns the upgrade request on the server's side, nil on the
// client's. A Server lets go of it after Handler.Open unless KeepRequest is
// set; then Request returns nil too.
func (c *Conn) Request() *http.Request { return c.detailed().request }

// forgetRequest lets go of the upgrade request.
func (c *Conn) forgetRequest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.details
	if d == nil {
		return
	}
	d.request = nil
	if d.agreement == (protocol.Agreement{}) && d.attributes == nil && d.pongs == nil && d.drain == nil && d.stream == nil && d.dropped == 0 {
		c.details = nil // as it is for most
	}
}

// ResponseHeader returns the header of the handshake's answer on the client's
// side, nil on the server's. It must not be changed.
func (c *Conn) ResponseHeader() http.Header { return c.detailed().response }

// Attribute returns what an interceptor or SetAttribute stored under key, or nil.
func (c *Conn) Attribute(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.details == nil {
		return nil
	}
	return c.details.attributes[key]
}

// SetAttribute stores value under key for the connection's life; a nil value
// deletes it. Use a type of your own as the key, as with context.WithValue.
func (c *Conn) SetAttribute(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.more()
	if value == nil {
		delete(d.attributes, key)
		return
	}
	if d.attributes == nil {
		d.attributes = make(map[any]any)
	}
	d.attributes[key] = value
}

// State returns where the connection stands.
func (c *Conn) State() protocol.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final != nil {
		return protocol.StateClosed
	}
	return c.sender.State()
}

// Done returns a channel that is closed when the connection is over.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doneLocked()
}

func (c *Conn) doneLocked() chan struct{} {
	if c.done == nil {
		c.done = make(chan struct{})
		if c.final != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err returns how the connection ended, or nil while it lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.final
}

// errNotSendable tells why the sender takes no more.
func (c *Conn) errNotSendable(err error) error {
	if c.final != nil {
		return c.final
	}
	if errors.Is(err, protocol.ErrNotOpen) {
		return &CloseError{Code: StatusNormalClosure, Reason: "the closing handshake has begun", Local: true}
	}
	return err
}

// wait waits for ch on behalf of a caller that holds mu, and holds it again
// afterwards. It fails when ctx ends or the connection does.
func (c *Conn) wait(ctx context.Context, ch <-chan struct{}) error {
	done := c.doneLocked()
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return nil // the caller looks at final
	}
}
