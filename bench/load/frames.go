package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/klauspost/compress/flate"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// A stream is the endless sequence of masked frames that every connection sends, encoded once: frames[0] to the last, then
// again from loop. The reply to frame i must carry replies[i].
type stream struct {
	bytes   []byte
	ends    []int // where frame i ends in bytes
	loop    int   // first frame of the part that repeats
	replies [][]byte
}

// start is the position of frame i in bytes.
func (s *stream) start(i int) int {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// appendFrame appends one whole masked frame. The masking key differs from frame to frame; it need not be unpredictable here.
func appendFrame(dst []byte, first byte, payload []byte, key uint32) []byte {
	dst = append(dst, first)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var k [4]byte
	binary.LittleEndian.PutUint32(k[:], key)
	dst = append(dst, k[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	for i := range payload {
		dst[at+i] ^= k[i&3]
	}
	return dst
}

// newStream encodes the payloads for connections that agreed on a.
func newStream(payloads [][]byte, op byte, a agreement) (*stream, error) {
	if !a.deflate {
		s := &stream{}
		for _, p := range payloads {
			s.add(0x80|op, p, p)
		}
		return s, nil
	}
	if a.clientNoTakeover {
		s := &stream{}
		for _, p := range payloads {
			s.add(0xc0|op, deflateAll([][]byte{p}, a.clientBits)[0], p)
		}
		return s, nil
	}
	// With context takeover a frame may refer to the 32 KiB before it. The first round has nothing before it, the second has the
	// first; from the third on everything repeats, so the second round is the loop. The payloads together exceed the window.
	rounds := append(append([][]byte{}, payloads...), payloads...)
	s := &stream{loop: len(payloads)}
	for i, z := range deflateAll(rounds, a.clientBits) {
		s.add(0xc0|op, z, rounds[i])
	}
	return s, nil
}

func (s *stream) add(first byte, payload, reply []byte) {
	s.bytes = appendFrame(s.bytes, first, payload, 0x9e3779b9*uint32(len(s.ends)+1))
	s.ends = append(s.ends, len(s.bytes))
	s.replies = append(s.replies, reply)
}

// deflateAll compresses messages one after the other with one history, each ended by a flush whose last four bytes are left out
// (RFC 7692 section 7.2.1). A browser would use zlib's level 6.
func deflateAll(messages [][]byte, windowBits int) [][]byte {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, 6)
	if windowBits < 15 {
		w, err = flate.NewWriterWindow(&buf, 1<<windowBits)
	}
	if err != nil {
		panic(fmt.Sprintf("deflate with a window of %d bits: %v", windowBits, err)) // 8 to 15: checked in the handshake
	}
	var out [][]byte
	for _, m := range messages {
		buf.Reset()
		w.Write(m) // writes to memory do not fail
		w.Flush()
		out = append(out, bytes.Clone(bytes.TrimSuffix(buf.Bytes(), []byte{0, 0, 0xff, 0xff})))
	}
	return out
}

// payloads makes count different payloads of size bytes: random ones for binary, a JSON text such as a quote service sends for
// text and for everything compressed. One word in ten of the text is Chinese.
func payloads(count, size int, json bool) [][]byte {
	r := rand.New(rand.NewPCG(1, 2)) // the same in every run
	var out [][]byte
	for i := range count {
		p := make([]byte, size)
		if json {
			p = jsonText(r, i, size)
		} else {
			for j := range p {
				p[j] = byte(r.Uint32())
			}
		}
		out = append(out, p)
	}
	return out
}

var symbols = []string{"AAPL", "MSFT", "GOOG", "AMZN", "TSLA", "NVDA", "贵州茅台", "腾讯控股"}

// jsonText is an array of quotes, cut to exactly size bytes by spaces at its end.
func jsonText(r *rand.Rand, n, size int) []byte {
	p := fmt.Appendf(nil, `{"type":"quotes","seq":%d,"items":[`, n)
	for i := 0; ; i++ {
		item := fmt.Appendf(nil, `{"symbol":"%s","price":%d.%02d,"volume":%d,"side":"%s"}`, symbols[r.IntN(len(symbols))],
			100+r.IntN(900), r.IntN(100), r.IntN(10000)*10, [2]string{"buy", "sell"}[r.IntN(2)])
		if len(p)+len(item)+3 > size {
			break
		}
		if i > 0 {
			p = append(p, ',')
		}
		p = append(p, item...)
	}
	p = append(p, "]}"...)
	if len(p) > size { // shorter than the shortest document: plain letters
		return bytes.Repeat([]byte("a"), size)
	}
	return append(p, bytes.Repeat([]byte(" "), size-len(p))...)
}
