package websocket

import (
	"context"
	"sync"

	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Prepared is a message to send to many connections: it is framed once, and
// compressed at most once for each window size and level that the connections
// have agreed on, however many there are. A connection with context takeover
// takes the same bytes and starts its context afresh. One of 16 KiB or more is
// not copied into the outboxes where it waits.
//
// A Prepared is safe for concurrent use. It keeps a copy of the message.
type Prepared struct {
	typ     MessageType
	payload []byte
	plain   []byte // framed as a server sends it

	mu       sync.Mutex
	variants []preparedVariant
}

type preparedVariant struct {
	bits, level int
	framed      []byte
}

// NewPrepared prepares a message. It copies p.
func NewPrepared(typ MessageType, p []byte) *Prepared {
	framed := protocol.AppendPrepared(make([]byte, 0, len(p)+protocol.MaxHeaderLength), protocol.Opcode(typ), p, nil)
	return &Prepared{typ: typ, plain: framed, payload: framed[len(framed)-len(p):]}
}

// Type returns the message's type.
func (m *Prepared) Type() MessageType { return m.typ }

// Payload returns the message. It must not be changed.
func (m *Prepared) Payload() []byte { return m.payload }

// compressed returns the message framed and compressed for a window and level.
func (m *Prepared) compressed(o *Options, bits int) []byte {
	level := o.Compression.Level
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.variants {
		if v.bits == bits && v.level == level {
			return v.framed
		}
	}
	compressor := deflate.NewCompressor(o.deflateOptions(), bits, false)
	defer compressor.Close()
	framed := protocol.AppendPrepared(nil, protocol.Opcode(m.typ), m.payload, compressor)
	m.variants = append(m.variants, preparedVariant{bits, level, framed})
	return framed
}

// SendPrepared sends a prepared message without ever waiting; see Send.
func (c *Conn) SendPrepared(m *Prepared) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasRoom(len(m.plain)) {
		return c.overflow()
	}
	return c.enqueuePrepared(m)
}

// WritePrepared sends a prepared message and waits for room; see Write.
func (c *Conn) WritePrepared(ctx context.Context, m *Prepared) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.waitRoom(ctx, len(m.plain)); err != nil {
		return err
	}
	return c.enqueuePrepared(m)
}

// bunch is for how many messages like the first an outbox has room before it grows.
const bunch = 8

// enqueuePrepared is enqueue for a prepared message. mu is held. A client
// masks every frame with a key of its own, so there nothing can be shared.
func (c *Conn) enqueuePrepared(m *Prepared) error {
	if c.config.Role == protocol.Client || c.streaming() {
		return c.enqueue(m.typ, m.payload)
	}
	framed, compressed := m.plain, false
	if c.sender.Compresses() && len(m.payload) >= c.options.Compression.Threshold {
		framed, compressed = m.compressed(c.options, c.details.agreement.Deflate.ServerMaxWindowBits), true
	}
	if len(framed) >= shareBytes {
		_, err := c.sender.AppendFramed(nil, nil, compressed)
		if err == nil {
			c.share(framed)
		}
		return c.pushed(err, true)
	}
	if c.out == nil { // who publishes one message often publishes more before they leave
		c.out = protocol.GetBuffer(max(len(framed), min(bunch*len(framed), corkBuffer)))
	}
	c.makeRoom(len(framed))
	var err error
	c.out.B, err = c.sender.AppendFramed(c.out.B, framed, compressed)
	return c.pushed(err, true)
}
