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
	"sync"
	"sync/atomic"

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
	// Immutable.
	options *Options
	config  protocol.Config
	nc      net.Conn
	socket  *loop.Socket // nil where there is no raw I/O
	sink    sink
	release func()  // gives the place in a ConnLimit back
	server  *Server // whose registry holds the connection, or nil
	serial  uint32

	// Owned by the reader.
	receiver protocol.Receiver

	// Atomic.
	activity atomic.Uint32 // when bytes last arrived, and whether the reader waits for more
	dropped  atomic.Uint64
	closing  atomic.Bool // we sent a close frame: what arrives is not delivered any more

	timer timer // owned by the wheel

	// Guarded by mu.
	mu         sync.Mutex
	sender     protocol.Sender
	ahead      []chunk          // frames for the network that come before those in out
	aheadBytes int              // bytes in ahead
	out        *protocol.Buffer // frames for the network, nil when there are none
	sent       int              // how much of out the network has
	aside      *protocol.Buffer // messages that wait for a streamed one to end
	stream     *messageWriter   // the streamed message, or nil
	corkSlot   int8             // where the cork's watch knows us, or noSlot
	corked     bool             // a batch is being worked through: gather what is sent
	flushing   bool             // a goroutine writes out
	full       bool             // somebody found no room: OnDrain is owed
	broken     bool             // the transport must not be touched any more
	over       bool             // the outbox is given up
	lost       int              // bytes that were in it
	final      error            // how the connection ended, nil while it lives
	room       chan struct{}    // closed when there may be room, or the stream has ended
	done       chan struct{}    // closed with final
	details    details
	pingSent   uint32 // wheel tick of the unanswered keepalive ping, or 0
	closeBy    uint32 // wheel tick by which the closing handshake must be over, or 0
	born       uint32 // wheel tick
}

// details is what most connections set once or never.
type details struct {
	agreement  protocol.Agreement
	request    *http.Request
	response   http.Header
	attributes map[any]any
	pongs      map[string]chan struct{} // by payload
	drain      func()
}

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

var serials atomic.Uint32

// newConn makes the Conn of an established connection. It lives from start on.
func newConn(e established, to sink, pieces bool) *Conn {
	c := &Conn{
		options:  e.options,
		config:   protocol.Config{Role: e.role, MaxMessage: e.options.MaxMessage, Pieces: pieces, Only: protocol.Opcode(e.options.Only)},
		nc:       e.conn,
		socket:   loop.NewSocket(e.conn, readBuffers{}),
		sink:     to,
		release:  e.release,
		serial:   serials.Add(1),
		corkSlot: noSlot,
		details:  details{agreement: e.agreement, request: e.request, response: e.response, attributes: e.attributes},
	}
	compressor, decompressor := codecs(&e)
	var endpoint protocol.Endpoint
	endpoint.Init(&c.config, compressor, decompressor)
	c.receiver, c.sender = endpoint.Receiver, endpoint.Sender
	return c
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
	in := newInbox(e.options.ReadAhead)
	c := newConn(e, in, true)
	c.start(e.buffered)
	return c
}

// Subprotocol returns the agreed subprotocol, or "".
func (c *Conn) Subprotocol() string { return c.details.agreement.Subprotocol }

// Extensions returns the agreed extensions as they stand in the handshake's
// Sec-WebSocket-Extensions, or "".
func (c *Conn) Extensions() string { return c.details.agreement.Extensions }

// LocalAddr returns the local network address.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the peer's network address, which behind a reverse proxy
// is the proxy's.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Request returns the upgrade request on the server's side, nil on the
// client's. A Server lets go of it after Handler.Open unless KeepRequest is
// set; then Request returns nil too.
func (c *Conn) Request() *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.details.request
}

// ResponseHeader returns the header of the handshake's answer on the client's
// side, nil on the server's. It must not be changed.
func (c *Conn) ResponseHeader() http.Header { return c.details.response }

// Attribute returns what an interceptor or SetAttribute stored under key, or nil.
func (c *Conn) Attribute(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.details.attributes[key]
}

// SetAttribute stores value under key for the connection's life; a nil value
// deletes it. Use a type of your own as the key, as with context.WithValue.
func (c *Conn) SetAttribute(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value == nil {
		delete(c.details.attributes, key)
		return
	}
	if c.details.attributes == nil {
		c.details.attributes = make(map[any]any)
	}
	c.details.attributes[key] = value
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
