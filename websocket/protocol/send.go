package protocol

import (
	"errors"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// Errors of a Sender's owner, not of the peer.
var (
	ErrNotOpen     = errors.New("websocket: a close frame was sent, no more messages can be")
	ErrInterleaved = errors.New("websocket: another message is still being sent in fragments")
	ErrInvalidText = errors.New("websocket: a text message must be valid UTF-8; send other bytes as binary")
)

// Sender is the sending half of an endpoint. Its methods append frames to a
// slice that the caller sends in that order.
type Sender struct {
	config     *Config
	deflater   *deflate.Compressor // nil unless compression was agreed
	state      State
	message    Opcode // of the fragmented message being sent, 0 when there is none
	compressed bool   // that message has RSV1
	text       utf8Checker
}

// State returns where the connection stands. It is StateOpen from the start:
// an endpoint begins when the opening handshake is done.
func (s *Sender) State() State { return s.state }

// Compresses reports whether messages can be sent compressed.
func (s *Sender) Compresses() bool { return s.deflater != nil }

// Close gives back what the Sender holds. No more messages can be sent.
func (s *Sender) Close() {
	s.state = StateClosed
	if s.deflater != nil {
		s.deflater.Close()
		s.deflater = nil
	}
}

// AppendMessage appends a whole message in one frame; op is OpText or
// OpBinary. With compress it is deflated if that was agreed.
func (s *Sender) AppendMessage(dst []byte, op Opcode, p []byte, compress bool) ([]byte, error) {
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	if s.message != 0 {
		return dst, ErrInterleaved
	}
	if op == OpText && !utf8.Valid(p) {
		return dst, ErrInvalidText
	}
	if !compress || s.deflater == nil {
		return s.appendFrame(dst, FrameHeader{Fin: true, Opcode: op}, p), nil
	}
	packed := GetBuffer(len(p)/2 + 64)
	packed.B = s.deflater.AppendMessage(packed.B, p)
	dst = s.appendFrame(dst, FrameHeader{Fin: true, Opcode: op, Rsv: RSV1}, packed.B)
	packed.Release()
	return dst, nil
}

// AppendStart appends the frame of a whole message as AppendMessage does without
// compression, but only the first n bytes of its payload; the caller sends the
// rest of p right behind. It is for large messages of a server, whose payload is
// not masked and need not be copied.
func (s *Sender) AppendStart(dst []byte, op Opcode, p []byte, n int) ([]byte, error) {
	switch {
	case s.state != StateOpen:
		return dst, ErrNotOpen
	case s.message != 0:
		return dst, ErrInterleaved
	case op == OpText && !utf8.Valid(p):
		return dst, ErrInvalidText
	}
	dst = AppendHeader(dst, FrameHeader{Fin: true, Opcode: op, Length: int64(len(p))})
	return append(dst, p[:n]...), nil
}

// AppendAside appends a whole message that the caller holds back until the
// fragmented message that is being sent has ended. It is never compressed: a
// compressor's order must be the order on the wire.
func (s *Sender) AppendAside(dst []byte, op Opcode, p []byte) ([]byte, error) {
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	if op == OpText && !utf8.Valid(p) {
		return dst, ErrInvalidText
	}
	return s.appendFrame(dst, FrameHeader{Fin: true, Opcode: op}, p), nil
}

// AppendFragment appends the next frame of a message sent in parts; fin marks
// the last (section 5.4). op and compress count for the first frame only. After
// an error the message stands where it stood.
func (s *Sender) AppendFragment(dst []byte, op Opcode, p []byte, fin, compress bool) ([]byte, error) {
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	text := s.text
	if s.message == 0 {
		text = utf8Checker{}
	} else {
		op = s.message
	}
	if op == OpText && (!text.write(p) || fin && !text.complete()) {
		return dst, ErrInvalidText
	}
	s.text = text
	h := FrameHeader{Fin: fin, Opcode: OpContinuation}
	if s.message == 0 {
		s.message, s.compressed = op, compress && s.deflater != nil
		h.Opcode = op
		if s.compressed {
			h.Rsv = RSV1
		}
	}
	if fin {
		s.message = 0
	}
	if !s.compressed {
		return s.appendFrame(dst, h, p), nil
	}
	packed := GetBuffer(len(p)/2 + 64)
	packed.B = s.deflater.AppendPart(packed.B, p, fin)
	dst = s.appendFrame(dst, h, packed.B)
	packed.Release()
	return dst, nil
}

// AppendFramed appends a message that AppendPrepared made for the same role;
// compressed says that it was made with compression. The message's bytes are
// the same for every connection, so a compressor with context takeover starts
// afresh afterwards (RFC 7692, section 7.1.1.1 lets a sender always do so; a
// receiver's window merely holds more than the sender refers to).
func (s *Sender) AppendFramed(dst, framed []byte, compressed bool) ([]byte, error) {
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	if s.message != 0 {
		return dst, ErrInterleaved
	}
	if compressed && s.deflater != nil {
		s.deflater.Reset()
	}
	return append(dst, framed...), nil
}

// AppendPing appends a ping with at most MaxControlPayload bytes (section 5.5.2).
func (s *Sender) AppendPing(dst, p []byte) ([]byte, error) {
	return s.appendControl(dst, OpPing, p)
}

// AppendPong appends an unsolicited pong (section 5.5.3).
func (s *Sender) AppendPong(dst, p []byte) ([]byte, error) {
	return s.appendControl(dst, OpPong, p)
}

func (s *Sender) appendControl(dst []byte, op Opcode, p []byte) ([]byte, error) {
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	if len(p) > MaxControlPayload {
		return dst, errControlPayload
	}
	return s.appendFrame(dst, FrameHeader{Fin: true, Opcode: op}, p), nil
}

var errControlPayload = errors.New("websocket: a ping or pong carries at most 125 bytes")

// AppendClose appends a close frame and starts the closing handshake
// (section 7.1.2). Code and reason must pass CheckClose.
func (s *Sender) AppendClose(dst []byte, code StatusCode, reason string) ([]byte, error) {
	if err := CheckClose(code, reason); err != nil {
		return dst, err
	}
	if s.state != StateOpen {
		return dst, ErrNotOpen
	}
	s.state = StateClosing
	return s.appendClose(dst, code, reason), nil
}

func (s *Sender) appendClose(dst []byte, code StatusCode, reason string) []byte {
	var buf [MaxControlPayload]byte
	return s.appendFrame(dst, FrameHeader{Fin: true, Opcode: OpClose}, closePayload(&buf, code, reason))
}

// Reply appends what the protocol answers to an event by itself: a pong to a
// ping, a close frame to a close frame or to a failure. It is where the
// connection's state follows what arrived.
func (s *Sender) Reply(dst []byte, ev *Event) []byte {
	switch ev.Kind {
	case EventPing: // section 5.5.2: also while our own close frame is unanswered
		if s.state != StateClosed {
			dst = s.appendFrame(dst, FrameHeader{Fin: true, Opcode: OpPong}, ev.Payload)
		}
	case EventClose: // section 5.5.1: echo the code, unless ours is out already
		if s.state == StateOpen {
			dst = s.appendClose(dst, ev.Code, "")
		}
		s.state = StateClosed
	case EventFailed: // section 7.1.7
		if s.state == StateOpen {
			dst = s.appendClose(dst, ev.Err.Code, ev.Err.Reason)
		}
		s.state = StateClosed
	}
	return dst
}

// appendFrame appends one frame, masked if we are the client (section 5.3).
func (s *Sender) appendFrame(dst []byte, h FrameHeader, p []byte) []byte {
	if s.config.Role == Server {
		if len(p) < len16 { // AppendHeader's first case, on the hot path
			b0 := byte(h.Opcode) | h.Rsv
			if h.Fin {
				b0 |= finBit
			}
			dst = append(dst, b0, byte(len(p)))
			return append(dst, p...)
		}
		h.Length = int64(len(p))
		dst = AppendHeader(dst, h)
		return append(dst, p...)
	}
	h.Length = int64(len(p))
	h.Masked, h.Key = true, newMaskKey()
	dst = AppendHeader(dst, h)
	start := len(dst)
	dst = append(dst, p...)
	Mask(dst[start:], h.Key, 0)
	return dst
}

// AppendPrepared appends a whole unmasked message, as a server sends it, that
// AppendFramed can send on any number of connections. If deflater is not nil
// the message is compressed with it; it must be one without context takeover.
func AppendPrepared(dst []byte, op Opcode, p []byte, deflater *deflate.Compressor) []byte {
	s := Sender{config: &Config{Role: Server}, deflater: deflater, state: StateOpen}
	dst, _ = s.AppendMessage(dst, op, p, deflater != nil) // cannot fail: the state is open
	return dst
}
