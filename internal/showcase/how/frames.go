package how

import (
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

const (
	shownBytes = 4 << 10  // of a payload, and of what it inflates to
	mostBytes  = 64 << 10 // of a message
	slackBytes = 1 << 10  // what compressing may add to one of random bytes
)

// frame is one frame as it passed.
type frame struct {
	header  []byte // as on the wire
	payload []byte // as on the wire, of long ones the beginning
	length  int64  // of the payload, in all

	// Of the last frame of a compressed message, if it could be inflated: the beginning of the message and its length.
	message  []byte
	inflated *int
}

// stream finds the frames in what passes in one direction. It believes what it sees, and leaves it to the two ends to judge: they close the
// connection over a frame that is wrong, and that is to be shown.
type stream struct {
	inflater *deflate.Decompressor // nil: there was no compression agreed on, or there is something that cannot be inflated

	header  []byte // of the frame that is passing
	current protocol.FrameHeader
	begun   bool  // header is complete
	passed  int64 // bytes of the payload
	payload []byte

	collecting bool   // the message that is passing is compressed
	collected  []byte // of it, unmasked
	lost       bool   // where frames begin is not known any more
}

// feed calls found for each frame that p completes. It keeps nothing of p.
func (s *stream) feed(p []byte, found func(frame)) {
	for len(p) > 0 && !s.lost {
		if !s.begun {
			p = s.readHeader(p)
		} else {
			p = s.readPayload(p)
		}
		if s.begun && s.passed == s.current.Length {
			found(s.complete())
		}
	}
}

// between reports whether the next byte begins a frame.
func (s *stream) between() bool { return !s.begun && len(s.header) == 0 }

// readHeader takes bytes of a header and returns the rest of p.
func (s *stream) readHeader(p []byte) []byte {
	before := len(s.header)
	s.header = append(s.header, p[:min(len(p), protocol.MaxHeaderLength-before)]...)
	h, n, err := protocol.ParseHeader(s.header)
	switch {
	case err != nil:
		s.lost = true
		return nil
	case n == 0:
		return p[len(s.header)-before:]
	}
	s.header, s.current, s.begun = s.header[:n], h, true
	if h.Opcode == protocol.OpText || h.Opcode == protocol.OpBinary {
		s.collecting, s.collected = h.Rsv&protocol.RSV1 != 0, nil
	}
	return p[n-before:]
}

// readPayload takes bytes of a payload and returns the rest of p.
func (s *stream) readPayload(p []byte) []byte {
	n := int(min(int64(len(p)), s.current.Length-s.passed))
	part := p[:n]
	s.payload = append(s.payload, part[:min(n, shownBytes-len(s.payload))]...)
	if s.collecting && !s.current.Opcode.Control() && s.inflater != nil {
		if len(s.collected)+n > mostBytes+slackBytes {
			s.giveUp()
		} else {
			s.collected = append(s.collected, part...)
			if s.current.Masked {
				protocol.Mask(s.collected[len(s.collected)-n:], s.current.Key, s.passed)
			}
		}
	}
	s.passed += int64(n)
	return p[n:]
}

// complete returns the frame that has passed.
func (s *stream) complete() frame {
	f := frame{header: s.header, payload: s.payload, length: s.current.Length}
	if s.collecting && s.current.Fin && !s.current.Opcode.Control() {
		f.message, f.inflated = s.inflate()
		s.collecting, s.collected = false, nil
	}
	s.header, s.payload, s.begun, s.passed = nil, nil, false, 0
	return f
}

func (s *stream) inflate() (message []byte, length *int) {
	if s.inflater == nil {
		return nil, nil
	}
	message, err := s.inflater.AppendMessage(nil, s.collected, mostBytes)
	if err != nil {
		s.giveUp()
		return nil, nil
	}
	n := len(message)
	return message[:min(n, shownBytes)], &n
}

// giveUp stops inflating: later messages may refer to the one that was lost.
func (s *stream) giveUp() {
	if s.inflater != nil {
		s.inflater.Close()
	}
	s.inflater, s.collected = nil, nil
}
