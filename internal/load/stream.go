package load

import (
	"encoding/binary"

	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

const (
	// smallMessage is the size up to which every byte of every reply is compared;
	// above it, of one in sixteen.
	smallMessage = 4096

	// overrun is how many bytes of frames follow the end of a stream, so that a
	// write need not stop there.
	overrun = 256 << 10
)

// stream is the endless sequence of masked frames that every connection sends,
// encoded once: all frames up to count, then again from loop. It is not changed
// after newStream.
type stream struct {
	op          protocol.Opcode
	frames      []byte
	ends        []int // where each frame ends in frames; those from count on repeat
	loop, count int
	replies     [][]byte // what the reply to each frame must carry

	// expect is what an echo of the whole stream looks like when each reply is
	// one plain frame, and reply the length of one; 0 when replies are compressed
	// or too large to compare them all.
	expect []byte
	reply  int
}

// variant is what a stream depends on, of that on which a handshake agreed.
type variant struct {
	deflate, takeover bool
	bits              int // window of this side
}

func variantOf(p *deflate.Params) variant {
	if p == nil {
		return variant{}
	}
	return variant{true, !p.ClientNoContextTakeover, p.ClientMaxWindowBits}
}

// newStream encodes the payloads, which have one size.
func newStream(payloads [][]byte, op protocol.Opcode, v variant) *stream {
	s := &stream{op: op}
	first := protocol.FrameHeader{Fin: true, Opcode: op, Masked: true}
	if !v.deflate {
		for _, p := range payloads {
			s.add(first, p, p)
		}
		s.expectPlain()
		return s.close()
	}
	first.Rsv = protocol.RSV1
	zip := deflate.NewCompressor(&deflate.Options{Level: deflateLevel, Budget: deflate.NewBudget(1 << 40)}, v.bits, v.takeover)
	defer zip.Close()
	rounds := 1
	if v.takeover {
		// A frame may refer to the history before it. The first round has nothing
		// before it, the second has the first; from the third on everything repeats
		// (the payloads together exceed the history), so the second is the loop.
		rounds, s.loop = 2, len(payloads)
	}
	for range rounds {
		for _, p := range payloads {
			s.add(first, zip.AppendMessage(nil, p), p)
		}
	}
	return s.close()
}

// add appends one frame. Its key differs from the next one's; it need not be
// unpredictable here.
func (s *stream) add(h protocol.FrameHeader, payload, reply []byte) {
	h.Length = int64(len(payload))
	binary.LittleEndian.PutUint32(h.Key[:], 0x9e3779b9*uint32(len(s.ends)+1))
	s.frames = protocol.AppendHeader(s.frames, h)
	at := len(s.frames)
	s.frames = append(s.frames, payload...)
	protocol.Mask(s.frames[at:], h.Key, 0)
	s.ends = append(s.ends, len(s.frames))
	s.replies = append(s.replies, reply)
}

func (s *stream) expectPlain() {
	if len(s.replies[0]) > smallMessage {
		return
	}
	for _, p := range s.replies {
		s.expect = protocol.AppendHeader(s.expect, protocol.FrameHeader{Fin: true, Opcode: s.op, Length: int64(len(p))})
		s.expect = append(s.expect, p...)
	}
	s.reply = len(s.expect) / len(s.replies)
}

// close adds the overrun.
func (s *stream) close() *stream {
	s.count = len(s.ends)
	whole := len(s.frames)
	for i := s.loop; len(s.frames) < whole+overrun && len(s.ends) < s.count+maxInFlight; i++ {
		s.frames = append(s.frames, s.frames[s.start(i):s.ends[i]]...)
		s.ends = append(s.ends, len(s.frames))
	}
	return s
}

// start is where frame i begins.
func (s *stream) start(i int) int {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// following returns the reply that is expected behind reply i.
func (s *stream) following(i int) int {
	if i++; i == s.count {
		return s.loop
	}
	return i
}
