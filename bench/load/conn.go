package main

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// A conn is one connection of the load: what it still has to send, and where it is in what it receives. Only the loop's
// goroutine touches it.
type conn struct {
	fd      int
	stream  *stream
	dialect dialect // nil: replies carry what was sent, and nothing around it

	// sending
	owed int // frames to send
	next int // index of the frame to send next
	pos  int // where in stream.bytes sending goes on: inside frame next
	sent int

	// receiving
	expect   int // index of the frame whose reply comes next
	received int
	head     [10]byte // a frame header that came in pieces
	headLen  int
	left     uint64 // payload of the current frame still to come
	inFrame  bool
	frame    byte   // first byte of the current frame
	control  []byte // payload of the current control frame
	offset   int    // position in the current message
	open     bool   // inside a message
	packed   bool   // the current message is compressed
	inflate  *inflater
	text     []byte // of a dialect: the current message
}

// A tally counts what all connections received.
type tally struct {
	messages, compressed int
	pongs                int
	ready                int // clients of a dialect that are subscribed
	replyBytes           int // payload bytes as they came, so compressed where compressed
}

// send writes as much of what is owed as the socket takes, in one call for all frames that lie side by side.
func (c *conn) send() error {
	s := c.stream
	for c.owed > 0 {
		last := min(c.next+c.owed, len(s.ends)) - 1
		chunk := s.bytes[c.pos:s.ends[last]]
		n, errno := rawWrite(c.fd, chunk)
		if errno == unix.EAGAIN {
			return nil // edge-triggered: told when there is room
		}
		if errno != 0 {
			return fmt.Errorf("write: %w", errno)
		}
		c.pos += n
		for c.next <= last && s.ends[c.next] <= c.pos {
			c.next++
			c.owed--
			c.sent++
		}
		if c.next == len(s.ends) {
			c.next, c.pos = s.loop, s.start(s.loop)
		}
	}
	return nil
}

// feed works through received bytes and returns how many messages they completed.
func (c *conn) feed(b []byte, t *tally) (messages int, err error) {
	for {
		if !c.inFrame {
			if len(b) == 0 {
				return messages, nil
			}
			n, err := c.header(b)
			if err != nil {
				return messages, err
			}
			b = b[n:]
			if !c.inFrame {
				return messages, nil // the header goes on in the next read
			}
		}
		n := int(min(c.left, uint64(len(b))))
		if err := c.payload(b[:n]); err != nil {
			return messages, err
		}
		b = b[n:]
		c.left -= uint64(n)
		if c.left > 0 {
			return messages, nil
		}
		c.inFrame = false
		done, err := c.frameEnd(t)
		if err != nil {
			return messages, err
		}
		if done {
			messages++
		}
	}
}

// header reads a frame header, perhaps the rest of one, and returns how many bytes of b it took.
func (c *conn) header(b []byte) (int, error) {
	kept := c.headLen
	h := b
	if kept > 0 {
		c.headLen += copy(c.head[kept:], b)
		h = c.head[:c.headLen]
	}
	size := 2
	if len(h) >= 2 {
		switch h[1] & 0x7f {
		case 126:
			size = 4
		case 127:
			size = 10
		}
	}
	if len(h) < size {
		if kept == 0 {
			c.headLen = copy(c.head[:], b)
		}
		return len(b), nil
	}
	if h[1]&0x80 != 0 {
		return 0, fmt.Errorf("masked frame from a server")
	}
	switch size {
	case 2:
		c.left = uint64(h[1])
	case 4:
		c.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 10:
		c.left = binary.BigEndian.Uint64(h[2:])
	}
	c.frame = h[0]
	c.headLen = 0
	c.inFrame = true
	return size - kept, c.begin()
}

// begin checks the frame that starts (RFC 6455 section 5.4).
func (c *conn) begin() error {
	switch op := c.frame & 0x0f; op {
	case opText, opBinary:
		if c.open {
			return fmt.Errorf("new message inside a message")
		}
		c.open, c.offset, c.text = true, 0, c.text[:0]
		c.packed = c.frame&0x40 != 0
		if c.packed && c.inflate == nil {
			return fmt.Errorf("compressed message, but no compression was agreed")
		}
	case opContinuation:
		if !c.open {
			return fmt.Errorf("continuation without a message")
		}
	case opPing, opPong, opClose:
		c.control = c.control[:0]
	default:
		return fmt.Errorf("opcode %d", op)
	}
	return nil
}

// bigMessage is the size from which on only one message in sixteen is compared byte by byte.
const bigMessage = 4096

func (c *conn) payload(b []byte) error {
	if c.frame&0x08 != 0 {
		c.control = append(c.control, b...)
		return nil
	}
	if c.dialect != nil {
		c.text = append(c.text, b...)
	} else if c.packed {
		c.inflate.add(b)
	} else {
		want := c.stream.replies[c.expect]
		if c.offset+len(b) > len(want) {
			return fmt.Errorf("reply %d: longer than the %d bytes sent", c.received, len(want))
		}
		if len(want) < bigMessage || c.received&15 == 0 {
			if !bytes.Equal(b, want[c.offset:c.offset+len(b)]) {
				return fmt.Errorf("reply %d: differs from what was sent", c.received)
			}
		}
	}
	c.offset += len(b)
	return nil
}

// frameEnd finishes a frame and tells whether it also finished a message.
func (c *conn) frameEnd(t *tally) (bool, error) {
	if c.frame&0x08 != 0 {
		return false, c.controlEnd(t)
	}
	if c.frame&0x80 == 0 {
		return false, nil
	}
	c.open = false
	if c.dialect != nil {
		return c.understand(t)
	}
	want := c.stream.replies[c.expect]
	if c.packed {
		t.compressed++
		if err := c.inflate.check(want); err != nil {
			return false, fmt.Errorf("reply %d: %w", c.received, err)
		}
	} else if c.offset != len(want) {
		return false, fmt.Errorf("reply %d: %d bytes, %d were sent", c.received, c.offset, len(want))
	}
	t.messages++
	t.replyBytes += c.offset
	c.advance()
	return true, nil
}

// advance turns to the next reply.
func (c *conn) advance() {
	c.received++
	if c.expect++; c.expect == len(c.stream.replies) {
		c.expect = c.stream.loop
	}
}

func (c *conn) controlEnd(t *tally) error {
	switch c.frame & 0x0f {
	case opPing: // a server that checks whether we live; rare, so a frame of its own between whole frames only
		if c.pos != c.stream.start(c.next) {
			return nil // a frame is half sent; the server has our data as a sign of life
		}
		if _, errno := rawWrite(c.fd, appendFrame(nil, 0x80|opPong, c.control, 0)); errno != 0 && errno != unix.EAGAIN {
			return fmt.Errorf("pong: %w", errno)
		}
	case opPong:
		t.pongs++
	case opClose:
		if len(c.control) >= 2 {
			return fmt.Errorf("server closed: %d %s", binary.BigEndian.Uint16(c.control), c.control[2:])
		}
		return fmt.Errorf("server closed without a code")
	}
	return nil
}
