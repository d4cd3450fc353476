package load

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// conn is one connection of the load: what it still has to send, and where it
// is in what it receives. Only the engine's goroutine touches it.
type conn struct {
	// What every message touches comes first, in few lines of the cache.
	stream   *stream
	link     link // of the transport
	owed     int  // frames to send
	next     int  // the frame to send next
	pos      int  // where in stream.frames sending goes on: inside frame next
	plainAt  int  // position in stream.expect while replies are plain frames
	received int64
	awaited  int64  // replies that are to come, sent for or still owed
	due      times  // when the messages were sent whose replies are to come; closed loop
	urgent   []byte // control frames that leave before the next frame
	dead     bool
	odd      bool // replies go through the parser now
	blocked  bool // the socket takes nothing now
	watched  bool // the transport tells when it does

	index int // in engine.conns
	slot  int // open loop: which messages of the schedule are this connection's
	in    parser
}

// write is what send needs of a transport.
type write func(l link, p []byte) (int, error)

// send writes as much of what is owed as the socket takes, in one call for all
// frames that lie side by side. c.blocked tells that more is to be sent.
func (c *conn) send(out write) *failure {
	s := c.stream
	for c.owed > 0 || len(c.urgent) > 0 {
		if len(c.urgent) > 0 && c.pos == s.start(c.next) {
			n, err := out(c.link, c.urgent)
			c.urgent = c.urgent[n:]
			if err != nil {
				return c.wait(err)
			}
			continue
		}
		last := min(c.next+c.owed, len(s.ends)) - 1 // of a frame that is half sent, the rest is owed
		n, err := out(c.link, s.frames[c.pos:s.ends[last]])
		c.advance(n, last)
		if err != nil {
			return c.wait(err)
		}
	}
	c.blocked = false
	return nil
}

// advance takes note of n bytes sent, at most to the end of frame last.
func (c *conn) advance(n, last int) {
	s := c.stream
	c.pos += n
	for c.next <= last && s.ends[c.next] <= c.pos {
		c.next++
		c.owed--
	}
	for c.next >= s.count {
		c.next -= s.count - s.loop
		c.pos -= s.ends[s.count-1] - s.start(s.loop)
	}
}

func (c *conn) wait(err error) *failure {
	if errors.Is(err, loop.ErrWouldBlock) {
		c.blocked = true
		return nil
	}
	return failed(Lost, "the connection was lost: %w", err)
}

// feed works through received bytes and returns how many messages they
// completed. Replies that are single plain frames, as almost all are, are
// compared as they lie; parser sees the rest.
func (c *conn) feed(b []byte, t *tally) (messages int, err *failure) {
	s := c.stream
	for len(b) > 0 && s.reply > 0 && !c.odd {
		n := min(len(b), len(s.expect)-c.plainAt)
		if !bytes.Equal(b[:n], s.expect[c.plainAt:c.plainAt+n]) {
			c.leavePlain()
			break
		}
		done := (c.plainAt+n)/s.reply - c.plainAt/s.reply
		if c.plainAt += n; c.plainAt == len(s.expect) {
			c.plainAt = 0
		}
		b = b[n:]
		messages += done
	}
	if messages > 0 {
		c.received += int64(messages)
		t.messages += int64(messages)
		t.replyBytes += int64(messages * len(s.replies[0]))
	}
	if len(b) == 0 {
		return messages, nil
	}
	n, err := c.in.feed(c, b, t)
	if s.reply > 0 && c.in.between() {
		c.odd, c.plainAt = false, c.in.expect*s.reply
	}
	return messages + n, err
}

// leavePlain hands over to the parser: in the middle of a frame it is given what
// was compared of it so far.
func (c *conn) leavePlain() {
	s := c.stream
	c.odd = true
	c.in.expect = c.plainAt / s.reply
	if begun := s.expect[c.in.expect*s.reply : c.plainAt]; len(begun) > 0 {
		_, _ = c.in.feed(c, begun, new(tally)) // the start of a right frame is not wrong and completes nothing
	}
}

// tally counts what all connections received.
type tally struct {
	messages, compressed int64
	replyBytes           int64 // payload as it came, so compressed where it was
	pongs                int64
}

// parser reads frames in any split (RFC 6455 section 5) and checks that the
// messages in them are the replies of a stream.
type parser struct {
	expect  int // the reply that comes next
	head    [protocol.MaxHeaderLength]byte
	headLen int // bytes of a header that came in pieces
	frame   protocol.FrameHeader
	left    int64  // payload of the frame still to come
	inFrame bool   // behind its header
	control []byte // payload of the control frame
	offset  int    // position in the message
	open    bool   // inside a message
	packed  bool   // it is compressed
	inflate *inflater
}

// between tells whether the parser stands between two messages.
func (r *parser) between() bool { return !r.inFrame && !r.open && r.headLen == 0 }

func (r *parser) feed(c *conn, b []byte, t *tally) (messages int, err *failure) {
	for {
		if !r.inFrame {
			if len(b) == 0 {
				return messages, nil
			}
			n, err := r.header(c, b)
			if err != nil {
				return messages, err
			}
			if b = b[n:]; !r.inFrame {
				return messages, nil // the header goes on in the next read
			}
		}
		n := int(min(r.left, int64(len(b))))
		if err := r.payload(c, b[:n]); err != nil {
			return messages, err
		}
		b = b[n:]
		if r.left -= int64(n); r.left > 0 {
			return messages, nil
		}
		r.inFrame = false
		done, err := r.frameEnd(c, t)
		if err != nil {
			return messages, err
		}
		if done {
			messages++
		}
	}
}

// header reads a frame header, perhaps the rest of one, and returns how many
// bytes of b it took.
func (r *parser) header(c *conn, b []byte) (int, *failure) {
	kept := r.headLen
	h := b
	if kept > 0 {
		r.headLen += copy(r.head[kept:], b)
		h = r.head[:r.headLen]
	}
	frame, n, wrong := protocol.ParseHeader(h)
	if wrong != nil {
		return 0, failed(Protocol, "the server broke the protocol: %s", wrong.Reason)
	}
	if n == 0 {
		if kept == 0 {
			r.headLen = copy(r.head[:], b)
		}
		return len(b), nil
	}
	r.frame, r.left, r.inFrame, r.headLen = frame, frame.Length, true, 0
	return n - kept, r.begin(c)
}

// begin checks the frame that starts (RFC 6455 sections 5.2, 5.4 and 5.5).
func (r *parser) begin(c *conn) *failure {
	f := &r.frame
	broken := func(what string) *failure { return failed(Protocol, "the server broke the protocol: %s", what) }
	switch {
	case f.Masked:
		return broken("it sent a masked frame")
	case !f.Opcode.Defined():
		return broken("it sent a frame with opcode " + f.Opcode.String())
	case f.Rsv&^protocol.RSV1 != 0:
		return broken("it sent a frame with reserved bits")
	case f.Opcode.Control():
		if r.control = r.control[:0]; !f.Fin || f.Rsv != 0 || f.Length > protocol.MaxControlPayload {
			return broken("it sent a control frame that is fragmented, compressed or too long")
		}
	case f.Opcode == protocol.OpContinuation:
		if !r.open || f.Rsv != 0 {
			return broken("it sent a continuation without a message")
		}
	case r.open:
		return broken("it began a message inside a message")
	default:
		r.open, r.offset, r.packed = true, 0, f.Rsv != 0
		if r.packed && r.inflate == nil {
			return broken("it sent a compressed message, but no compression was agreed")
		}
		if f.Opcode != c.stream.op {
			return failed(WrongReply, "reply %d is %s, and what was sent is %s", c.received, f.Opcode, c.stream.op)
		}
	}
	return nil
}

func (r *parser) payload(c *conn, b []byte) *failure {
	if r.frame.Opcode.Control() {
		r.control = append(r.control, b...)
		return nil
	}
	if r.packed {
		r.offset += len(b)
		return r.inflate.add(b, c.received)
	}
	want := c.stream.replies[r.expect]
	if r.offset+len(b) > len(want) {
		return failed(WrongReply, "reply %d is longer than the %d bytes sent", c.received, len(want))
	}
	if len(want) <= smallMessage || c.received&15 == 0 {
		if !bytes.Equal(b, want[r.offset:r.offset+len(b)]) {
			return failed(WrongReply, "reply %d differs from what was sent", c.received)
		}
	}
	r.offset += len(b)
	return nil
}

// frameEnd finishes a frame and tells whether it also finished a message.
func (r *parser) frameEnd(c *conn, t *tally) (bool, *failure) {
	if r.frame.Opcode.Control() {
		return false, r.controlEnd(c, t)
	}
	if !r.frame.Fin {
		return false, nil
	}
	want := c.stream.replies[r.expect]
	if r.packed {
		t.compressed++
		if err := r.inflate.check(want, c.received); err != nil {
			return false, err
		}
	} else if r.offset != len(want) {
		return false, failed(WrongReply, "reply %d has %d bytes, and %d were sent", c.received, r.offset, len(want))
	}
	t.messages++
	t.replyBytes += int64(r.offset)
	r.open = false
	c.received++
	r.expect = c.stream.following(r.expect)
	return true, nil
}

func (r *parser) controlEnd(c *conn, t *tally) *failure {
	switch r.frame.Opcode {
	case protocol.OpPing:
		c.urgent = appendControl(c.urgent, protocol.OpPong, r.control)
	case protocol.OpPong:
		t.pongs++
	case protocol.OpClose:
		if len(r.control) >= 2 {
			code := protocol.StatusCode(binary.BigEndian.Uint16(r.control))
			return failed(Closed, "the server closed with %s%s", code, quoted(r.control[2:]))
		}
		return failed(Closed, "the server closed without a code")
	}
	return nil
}

// appendControl appends a masked control frame.
func appendControl(dst []byte, op protocol.Opcode, p []byte) []byte {
	h := protocol.FrameHeader{Fin: true, Opcode: op, Masked: true, Key: [4]byte{0x5a, 0xc3, 0x96, 0x1f}, Length: int64(len(p))}
	dst = append(protocol.AppendHeader(dst, h), p...)
	protocol.Mask(dst[len(dst)-len(p):], h.Key, 0)
	return dst
}

// inflater checks compressed replies. One that is not active lets them pass:
// inflating everything would make the load slower than servers, so some
// connections check, but those check all, because a context needs every message.
type inflater struct {
	deflate *deflate.Decompressor // nil: not active
	packed  []byte
	out     []byte
}

func (f *inflater) add(b []byte, reply int64) *failure {
	if f.deflate == nil {
		return nil
	}
	if len(f.packed)+len(b) > maxSize+maxSize/8 {
		return failed(WrongReply, "reply %d is far longer than what was sent", reply)
	}
	f.packed = append(f.packed, b...)
	return nil
}

func (f *inflater) check(want []byte, reply int64) *failure {
	if f.deflate == nil {
		return nil
	}
	out, err := f.deflate.AppendMessage(f.out[:0], f.packed, len(want))
	switch {
	case errors.Is(err, deflate.ErrTooLarge):
		return failed(WrongReply, "reply %d inflates to more than the %d bytes sent", reply, len(want))
	case err != nil:
		return failed(Protocol, "reply %d: %w", reply, err)
	case !bytes.Equal(out, want):
		return failed(WrongReply, "reply %d inflates to %d bytes that differ from the %d sent", reply, len(out), len(want))
	}
	f.out, f.packed = out, f.packed[:0]
	return nil
}

// times is a queue of when messages were sent: those that left together are one
// entry. It does not allocate once it has grown, and for one message at a time
// not at all.
type times struct {
	head        batch
	ring        []batch // behind head; its length is a power of two
	first, used int
}

type batch struct{ at, n int64 }

func (q *times) push(at, n int64) {
	if q.head.n == 0 {
		q.head = batch{at, n}
		return
	}
	if q.used == len(q.ring) {
		grown := make([]batch, max(1, 2*len(q.ring)))
		for i := range q.used {
			grown[i] = q.ring[(q.first+i)&(len(q.ring)-1)]
		}
		q.ring, q.first = grown, 0
	}
	q.ring[(q.first+q.used)&(len(q.ring)-1)] = batch{at, n}
	q.used++
}

// pop takes up to n messages that left together. It returns 0 when there is
// none: a reply to nothing.
func (q *times) pop(n int64) (at, taken int64) {
	at, taken = q.head.at, min(n, q.head.n)
	if q.head.n -= taken; q.head.n == 0 && q.used > 0 {
		q.head = q.ring[q.first]
		q.first = (q.first + 1) & (len(q.ring) - 1)
		q.used--
	}
	return at, taken
}
