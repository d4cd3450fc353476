package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Opcode says what a frame carries (RFC 6455, section 5.2).
type Opcode uint8

// The opcodes that RFC 6455 defines; all others are reserved.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

var opcodeNames = [16]string{
	OpContinuation: "continuation",
	OpText:         "text",
	OpBinary:       "binary",
	OpClose:        "close",
	OpPing:         "ping",
	OpPong:         "pong",
}

// Defined reports whether RFC 6455 gives the opcode a meaning.
func (op Opcode) Defined() bool { return op < 16 && opcodeNames[op] != "" }

// Control reports whether the opcode is one of the control opcodes, reserved
// ones included (section 5.5: the most significant bit of the opcode is 1).
func (op Opcode) Control() bool { return op&0x8 != 0 }

// String returns the opcode's name in lower case, or its number when reserved.
func (op Opcode) String() string {
	if op.Defined() {
		return opcodeNames[op]
	}
	return fmt.Sprintf("opcode %#x", uint8(op))
}

// The reserved bits as they stand in a frame's first byte.
const (
	RSV1 byte = 0x40 // owned by permessage-deflate: "this message is compressed"
	RSV2 byte = 0x20
	RSV3 byte = 0x10

	finBit  byte = 0x80
	maskBit byte = 0x80
	rsvBits      = RSV1 | RSV2 | RSV3
)

const (
	// MaxControlPayload is the most that a control frame may carry (section 5.5).
	MaxControlPayload = 125

	// MaxHeaderLength is the longest frame header: two bytes, an 8-byte length, a key.
	MaxHeaderLength = 14

	len16 = 126 // in the 7-bit length: a 16-bit length follows
	len64 = 127 // a 64-bit length follows
)

// FrameHeader is the part of a frame before its payload (section 5.2).
type FrameHeader struct {
	Fin    bool
	Rsv    byte // RSV1, RSV2, RSV3 as they stand on the wire
	Opcode Opcode
	Masked bool
	Key    [4]byte
	Length int64 // bytes of payload, 0 to 2^63-1
}

// AppendHeader appends h in its minimal encoding. It encodes whatever h says,
// including what RFC 6455 forbids, so that tests can attack with it.
func AppendHeader(dst []byte, h FrameHeader) []byte {
	b0 := byte(h.Opcode&0xF) | h.Rsv&rsvBits
	if h.Fin {
		b0 |= finBit
	}
	var b1 byte
	if h.Masked {
		b1 = maskBit
	}
	switch n := h.Length; {
	case n < len16:
		dst = append(dst, b0, b1|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, b0, b1|len16, byte(n>>8), byte(n))
	default:
		dst = append(dst, b0, b1|len64)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if h.Masked {
		dst = append(dst, h.Key[:]...)
	}
	return dst
}

// headerLength returns how long the header is that starts with these two bytes.
func headerLength(b1 byte) int {
	n := 2
	switch b1 &^ maskBit {
	case len16:
		n += 2
	case len64:
		n += 8
	}
	if b1&maskBit != 0 {
		n += 4
	}
	return n
}

// ParseHeader decodes the header at the start of b and returns its length.
// n is 0 when b does not yet hold all of it. It refuses what can be refused
// without knowing the connection: a length not minimally encoded and a 64-bit
// length with the top bit set (section 5.2). Role, state and extension rules
// are the Endpoint's.
func ParseHeader(b []byte) (h FrameHeader, n int, err *Error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	n = headerLength(b[1])
	if len(b) < n {
		return h, 0, nil
	}
	h.Fin = b[0]&finBit != 0
	h.Rsv = b[0] & rsvBits
	h.Opcode = Opcode(b[0] & 0xF)
	h.Masked = b[1]&maskBit != 0

	switch l := b[1] &^ maskBit; l {
	case len16:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < len16 {
			return h, n, errLengthNotMinimal
		}
	case len64:
		v := binary.BigEndian.Uint64(b[2:])
		if v > math.MaxInt64 {
			return h, n, errLengthTopBit
		}
		if v <= math.MaxUint16 {
			return h, n, errLengthNotMinimal
		}
		h.Length = int64(v)
	default:
		h.Length = int64(l)
	}
	if h.Masked {
		h.Key = [4]byte(b[n-4 : n])
	}
	return h, n, nil
}
