package conformance

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// The frames of this suite are written and read here and nowhere else. Nothing of the library under test is used: a
// wrong bit shift in the library must not be able to hide behind the same wrong bit shift in its judge.

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation byte = 0x0
	opText         byte = 0x1
	opBinary       byte = 0x2
	opClose        byte = 0x8
	opPing         byte = 0x9
	opPong         byte = 0xA
)

// The reserved bits of a frame's first byte, as on the wire.
const (
	rsv1 byte = 0x40
	rsv2 byte = 0x20
	rsv3 byte = 0x10
)

// opcodeNames names the opcodes for reports; the reserved ones have no name.
var opcodeNames = [16]string{
	opContinuation: "continuation", opText: "text", opBinary: "binary",
	opClose: "close", opPing: "ping", opPong: "pong",
}

func opcodeName(op byte) string {
	if name := opcodeNames[op&0xF]; name != "" {
		return name
	}
	return fmt.Sprintf("opcode 0x%X", op)
}

// maskRule says whether a frame is sent masked.
type maskRule uint8

const (
	maskByRole maskRule = iota // as RFC 6455 section 5.1 demands
	maskOn
	maskOff
)

// lengthForm is the encoding of the payload's length, RFC 6455 section 5.2.
type lengthForm uint8

const (
	lengthMinimal lengthForm = iota
	length16                 // 126 and two bytes
	length64                 // 127 and eight bytes
)

// frame is one frame, honest or not: every field that an honest sender derives can be overridden.
type frame struct {
	fin     bool
	rsv     byte
	opcode  byte
	payload []byte
	mask    maskRule
	key     *[4]byte   // nil: the session's next key
	form    lengthForm // lengthMinimal: as short as possible
	claim   *uint64    // nil: len(payload) is what the header says
}

func text(s string) frame { return frame{fin: true, opcode: opText, payload: []byte(s)} }

func binaryOf(p []byte) frame { return frame{fin: true, opcode: opBinary, payload: p} }

func cont(s string) frame { return frame{fin: true, opcode: opContinuation, payload: []byte(s)} }

func ping(s string) frame { return frame{fin: true, opcode: opPing, payload: []byte(s)} }

func pong(s string) frame { return frame{fin: true, opcode: opPong, payload: []byte(s)} }

func raw(opcode byte, s string) frame {
	return frame{fin: true, opcode: opcode, payload: []byte(s)}
}

// closing is a close frame with a code and a reason, RFC 6455 section 5.5.1.
func closing(code int, reason string) frame {
	p := binary.BigEndian.AppendUint16(nil, uint16(code))
	return frame{fin: true, opcode: opClose, payload: append(p, reason...)}
}

// more clears FIN: further fragments follow.
func (f frame) more() frame { f.fin = false; return f }

func (f frame) withRSV(bits byte) frame { f.rsv |= bits; return f }

func (f frame) withMask(m maskRule) frame { f.mask = m; return f }

func (f frame) withKey(k [4]byte) frame { f.key = &k; return f }

func (f frame) withForm(l lengthForm) frame { f.form = l; return f }

// claiming writes n as the length, in 64 bits, whatever the payload's length is.
func (f frame) claiming(n uint64) frame { f.claim, f.form = &n, length64; return f }

func (f frame) String() string {
	s := opcodeName(f.opcode)
	if !f.fin {
		s += " (FIN=0)"
	}
	if f.rsv != 0 {
		s += fmt.Sprintf(" RSV=%03b", f.rsv>>4)
	}
	return fmt.Sprintf("%s, %d bytes", s, len(f.payload))
}

// append writes the frame behind dst. masked says what the sender's role demands; key is used when the frame has none.
func (f frame) append(dst []byte, masked bool, key [4]byte) []byte {
	b0 := f.rsv | f.opcode
	if f.fin {
		b0 |= 0x80
	}
	if f.mask != maskByRole {
		masked = f.mask == maskOn
	}
	var b1 byte
	if masked {
		b1 = 0x80
	}
	n := uint64(len(f.payload))
	if f.claim != nil {
		n = *f.claim
	}
	form := f.form
	switch {
	case form == lengthMinimal && n > 0xFFFF:
		form = length64
	case form == lengthMinimal && n > 125:
		form = length16
	}
	switch form {
	case length16:
		dst = binary.BigEndian.AppendUint16(append(dst, b0, b1|126), uint16(n))
	case length64:
		dst = binary.BigEndian.AppendUint64(append(dst, b0, b1|127), n)
	default:
		dst = append(dst, b0, b1|byte(n))
	}
	if !masked {
		return append(dst, f.payload...)
	}
	if f.key != nil {
		key = *f.key
	}
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, f.payload...)
	for i := range dst[start:] {
		dst[start+i] ^= key[i&3]
	}
	return dst
}

// headerLen is the number of bytes in front of the payload when the frame is written with the given masking.
func (f frame) headerLen(masked bool) int {
	g := f
	g.payload = nil
	n := uint64(len(f.payload))
	if f.claim == nil {
		g.claim = &n
	}
	return len(g.append(nil, masked, [4]byte{}))
}

// received is a frame as it came, with what the sender chose where it had a choice.
type received struct {
	frame
	masked bool
	key    [4]byte
	header []byte
}

// maxReceived bounds what the suite holds of one frame of the peer. The largest message it sends itself is 16 MiB.
const maxReceived = 160 << 20

// readFrame reads one frame. It reports what is on the wire; judging it is the session's business.
func readFrame(r *bufio.Reader) (received, error) {
	var f received
	h := make([]byte, 2, 14)
	if _, err := io.ReadFull(r, h); err != nil {
		return f, err
	}
	f.fin, f.rsv, f.opcode = h[0]&0x80 != 0, h[0]&0x70, h[0]&0x0F
	f.masked = h[1]&0x80 != 0
	n := uint64(h[1] & 0x7F)
	extra := 0
	switch n {
	case 126:
		f.form, extra = length16, 2
	case 127:
		f.form, extra = length64, 8
	}
	if f.masked {
		extra += 4
	}
	h = h[:2+extra]
	if _, err := io.ReadFull(r, h[2:]); err != nil {
		return f, cutShort(err)
	}
	switch f.form {
	case length16:
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case length64:
		n = binary.BigEndian.Uint64(h[2:])
	}
	f.header = h
	if n > maxReceived {
		return f, fmt.Errorf("a frame that claims %d bytes", n)
	}
	f.payload = make([]byte, n)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return f, cutShort(err)
	}
	if f.masked {
		copy(f.key[:], h[len(h)-4:])
		for i := range f.payload {
			f.payload[i] ^= f.key[i&3]
		}
	}
	return f, nil
}

// cutShort tells an end inside a frame from an end between two.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// minimal reports whether the length was written in as few bytes as possible, which section 5.2 demands.
func (f *received) minimal() bool {
	n := len(f.payload)
	switch f.form {
	case length16:
		return n > 125
	case length64:
		return n > 0xFFFF
	}
	return true
}

// LogEntry is one step of what went over the wire in a case.
type LogEntry struct {
	AtMillis int64  `json:"at_ms"`           // since the case began
	Dir      string `json:"dir"`             // ">" sent by the suite, "<" sent by the peer, "=" an event
	Note     string `json:"note"`            // in words
	Hex      string `json:"hex,omitempty"`   // the first bytes
	Bytes    int    `json:"bytes,omitempty"` // how many there were in all
}

const (
	logEntries = 64  // of one case; the middle of longer logs is left out
	logBytes   = 160 // of one entry
)

func hexHead(p []byte) string {
	if len(p) > logBytes {
		p = p[:logBytes]
	}
	return hex.EncodeToString(p)
}
