package websocket

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Options are the rules of a connection that Accept, Dial and Server share.
// The zero value stands for the defaults that each field names.
type Options struct {
	// Subprotocols are the subprotocols spoken here: a server picks the first
	// of them that the client offers, a client offers all of them in this
	// order (RFC 6455, section 1.9). Default: none.
	Subprotocols []string

	// Compression says whether and how messages are compressed. Default: not.
	Compression Compression

	// MaxMessage is the most bytes that a received message may have, after
	// inflating; a larger one closes the connection with 1009. Default: 1 MiB.
	MaxMessage int64

	// Only refuses messages of the other type with 1003. Default: both types.
	Only MessageType

	// ReadAhead is how many bytes of messages may wait for Read before the
	// connection stops reading from the network. It counts for connections of
	// Accept and Dial. Default: 64 KiB.
	ReadAhead int

	// Outbox is how many bytes of frames may wait for the network. Write waits
	// for room, Send does what Overflow says. A single larger message passes
	// when the outbox is empty; control frames always pass. Default: 1 MiB.
	Outbox int

	// Overflow says what Send does when the outbox is full. Default:
	// OverflowClose.
	Overflow Overflow

	// PingInterval is how long a connection may be silent before it is pinged,
	// and PongTimeout how long the peer may then stay silent before the
	// connection ends with 1006. Both are kept to within 0.2 s. A negative
	// PingInterval never pings. Default: 25 s, 20 s.
	PingInterval time.Duration
	PongTimeout  time.Duration

	// CloseTimeout is how long the peer may take to answer a close frame, and
	// to end TCP after that. Default: 5 s.
	CloseTimeout time.Duration

	// WriteTimeout is how long the network may take no byte of a non-empty
	// outbox before the connection ends. Negative: for ever. Default: 30 s.
	WriteTimeout time.Duration

	// HandshakeTimeout bounds the opening handshake. Default: 10 s.
	HandshakeTimeout time.Duration

	// MaxLifetime closes the connection with 1001 when it is that old.
	// Default: no limit.
	MaxLifetime time.Duration

	// OnControl sees every ping, pong and close frame that arrives, before the
	// connection acts on it. It is called from the connection's reader, must
	// not block, and must not keep payload. Default: nil.
	OnControl func(c *Conn, op protocol.Opcode, payload []byte)

	// Logger receives what no caller can be told, such as a handler's panic.
	// Default: slog.Default().
	Logger *slog.Logger

	checked bool   // withDefaults made this: it is valid and filled in
	clock   *wheel // nil: the process's wheel; tests on a fake clock have their own
}

// wheel returns what wakes the connection.
func (o *Options) wheel() *wheel {
	if o.clock == nil {
		return defaultWheel
	}
	return o.clock
}

// Overflow is what Send does with a message for which the outbox has no room.
type Overflow uint8

// The policies for a slow reader.
const (
	// OverflowClose ends the connection with 1013 (try again later).
	OverflowClose Overflow = iota
	// OverflowDrop drops the message and counts it in Conn.Dropped.
	OverflowDrop
)

// CompressionMode says how permessage-deflate (RFC 7692) is negotiated.
type CompressionMode uint8

// The modes of compression.
const (
	// CompressionOff neither offers nor accepts the extension.
	CompressionOff CompressionMode = iota
	// CompressionNoTakeover compresses each message by itself. An idle
	// connection holds no memory for it.
	CompressionNoTakeover
	// CompressionTakeover lets a message refer to the ones before it, which
	// makes similar messages much smaller. A connection then keeps what it
	// last sent and received, within the Budget.
	CompressionTakeover
)

// Compression configures permessage-deflate.
type Compression struct {
	Mode CompressionMode

	// Level is deflate's effort, 1 (fastest) to 9 (smallest). Default: 1.
	Level int

	// Threshold is the least bytes that a message must have to be compressed.
	// Negative: none. Default: 512 without takeover, 128 with.
	Threshold int

	// ServerMaxWindowBits and ClientMaxWindowBits bound the window that each
	// side's compressor may use, 8 to 15 (RFC 7692, section 7.1.2). Default: 15,
	// except that a server with CompressionTakeover wants 12 of its clients,
	// because it remembers their windows; one that cannot limit its window then
	// sends without takeover.
	ServerMaxWindowBits int
	ClientMaxWindowBits int

	// Budget bounds what the windows of all connections hold together.
	// Default: deflate.DefaultBudget.
	Budget *deflate.Budget
}

// The defaults of Options and Compression.
const (
	defaultMaxMessage          = protocol.DefaultMaxMessage
	defaultReadAhead           = 64 << 10
	defaultOutbox              = 1 << 20
	defaultPingInterval        = 25 * time.Second
	defaultPongTimeout         = 20 * time.Second
	defaultCloseTimeout        = 5 * time.Second
	defaultWriteTimeout        = 30 * time.Second
	defaultHandshakeTimeout    = 10 * time.Second
	defaultThresholdNoTakeover = 512
	defaultThresholdTakeover   = 128
)

// withDefaults returns a checked copy of o in which every default is filled
// in. o may be nil.
func (o *Options) withDefaults() (*Options, error) {
	if o == nil {
		o = &Options{}
	}
	if o.checked {
		return o, nil
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("websocket: invalid options: %w", err)
	}
	out := *o
	setDefault(&out.MaxMessage, defaultMaxMessage)
	setDefault(&out.ReadAhead, defaultReadAhead)
	setDefault(&out.Outbox, defaultOutbox)
	setDefault(&out.PingInterval, defaultPingInterval)
	setDefault(&out.PongTimeout, defaultPongTimeout)
	setDefault(&out.CloseTimeout, defaultCloseTimeout)
	setDefault(&out.WriteTimeout, defaultWriteTimeout)
	setDefault(&out.HandshakeTimeout, defaultHandshakeTimeout)
	if out.Compression.Mode == CompressionTakeover {
		setDefault(&out.Compression.Threshold, defaultThresholdTakeover)
	} else {
		setDefault(&out.Compression.Threshold, defaultThresholdNoTakeover)
	}
	out.checked = true
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return &out, nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (o *Options) validate() error {
	for _, size := range []struct {
		name  string
		value int64
	}{
		{"MaxMessage", o.MaxMessage}, {"ReadAhead", int64(o.ReadAhead)}, {"Outbox", int64(o.Outbox)},
		{"PongTimeout", int64(o.PongTimeout)}, {"CloseTimeout", int64(o.CloseTimeout)},
		{"HandshakeTimeout", int64(o.HandshakeTimeout)}, {"MaxLifetime", int64(o.MaxLifetime)},
	} {
		if size.value < 0 {
			return fmt.Errorf("%s is %d: it must not be negative, 0 means its default", size.name, size.value)
		}
	}
	if o.Only != 0 && o.Only != Text && o.Only != Binary {
		return fmt.Errorf("Only is %d: use Text, Binary or 0 for both", o.Only)
	}
	if o.Overflow > OverflowDrop {
		return fmt.Errorf("Overflow is %d: use OverflowClose or OverflowDrop", o.Overflow)
	}
	if err := checkSubprotocols(o.Subprotocols); err != nil {
		return err
	}
	if o.Compression.Mode > CompressionTakeover {
		return errors.New("Compression.Mode must be CompressionOff, CompressionNoTakeover or CompressionTakeover")
	}
	if d := o.deflateOptions(); d != nil {
		return d.Validate()
	}
	return nil
}

// checkSubprotocols demands what RFC 6455, section 4.1 does: tokens, each once.
func checkSubprotocols(list []string) error {
	seen := make(map[string]bool, len(list))
	for _, name := range list {
		if !protocol.ValidToken(name) {
			return fmt.Errorf("subprotocol %q is not a token: use letters, digits and !#$%%&'*+-.^_`|~", name)
		}
		if seen[name] {
			return fmt.Errorf("subprotocol %q is listed twice", name)
		}
		seen[name] = true
	}
	return nil
}

// deflateOptions maps the compression options to those of package deflate, nil
// when compression is off.
func (o *Options) deflateOptions() *deflate.Options {
	c := &o.Compression
	if c.Mode == CompressionOff {
		return nil
	}
	return &deflate.Options{
		ServerNoContextTakeover: c.Mode == CompressionNoTakeover,
		ClientNoContextTakeover: c.Mode == CompressionNoTakeover,
		ServerMaxWindowBits:     c.ServerMaxWindowBits,
		ClientMaxWindowBits:     c.ClientMaxWindowBits,
		Level:                   c.Level,
		Budget:                  c.Budget,
	}
}

// terms maps the options to what the opening handshake negotiates.
func (o *Options) terms() protocol.Terms {
	return protocol.Terms{Subprotocols: o.Subprotocols, Deflate: o.deflateOptions()}
}
