package protocol

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzHeader: what parses encodes to what it was parsed from, and no prefix
// parses.
func FuzzHeader(f *testing.F) {
	for _, length := range []int64{0, 125, 126, 65535, 65536, 1 << 40} {
		f.Add(AppendHeader(nil, FrameHeader{Fin: true, Opcode: OpText, Length: length}))
		f.Add(AppendHeader(nil, FrameHeader{Rsv: RSV1, Opcode: OpPing, Masked: true, Key: testKey, Length: length}))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, n, err := ParseHeader(in)
		if n > len(in) || n > MaxHeaderLength {
			t.Fatalf("n = %d of %d bytes", n, len(in))
		}
		if n == 0 || err != nil {
			return
		}
		if again := AppendHeader(nil, h); !bytes.Equal(again, in[:n]) {
			t.Fatalf("%x parsed to %+v, which is %x", in[:n], h, again)
		}
		for i := range n {
			if _, m, err := ParseHeader(in[:i]); m != 0 || err != nil {
				t.Fatalf("%d of %d bytes parsed: %d, %v", i, n, m, err)
			}
		}
	})
}

// FuzzEndpoint: any split of the input gives the same events and the same
// output as one piece, for both roles, whole messages and pieces, with and
// without compression.
func FuzzEndpoint(f *testing.F) {
	frames := func(by Role, deflate bool) (wire []byte) {
		var rsv byte
		if deflate {
			rsv = RSV1
		}
		wire = append(wire, sent(by, FrameHeader{Fin: true, Opcode: OpText}, []byte("héllo €😀"))...)
		wire = append(wire, sent(by, FrameHeader{Opcode: OpBinary, Rsv: rsv}, unhex("f248cd"))...)
		wire = append(wire, sent(by, FrameHeader{Fin: true, Opcode: OpPing}, []byte("ping"))...)
		wire = append(wire, sent(by, FrameHeader{Fin: true, Opcode: OpContinuation}, unhex("c9c90700"))...)
		wire = append(wire, sent(by, FrameHeader{Fin: true, Opcode: OpBinary}, make([]byte, 300))...)
		return append(wire, sent(by, FrameHeader{Fin: true, Opcode: OpClose}, []byte("\x03\xe8bye"))...)
	}
	for flags := range byte(8) {
		f.Add(flags, frames(other(Role(flags&1)), flags&4 != 0), []byte{1, 2, 3, 5, 8, 13})
	}
	f.Add(byte(0), unhex("82 ff 80 00 00 00 00 00 00 00 00 00 00 00"), []byte{1, 1, 1})
	f.Add(byte(0), unhex("b3 7e 00 00"), []byte{1, 1, 1})
	f.Fuzz(func(t *testing.T, flags byte, wire, splits []byte) {
		role, config := Role(flags&1), Config{MaxMessage: 4096, Pieces: flags&2 != 0}
		build := newPeer
		if flags&4 != 0 {
			build = newDeflatePeer
		}
		whole := build(t, role, config).feed(wire)
		split := build(t, role, config).feedSplit(wire, cuts(splits, len(wire))...)
		single := build(t, role, config).feedSplit(wire, cuts([]byte{1}, len(wire))...)
		inPlace := build(t, role, config).feedInPlace(wire, cuts(splits, len(wire))...)
		for name, p := range map[string]*peer{"split": split, "byte by byte": single, "in place": inPlace} {
			if a, b := transcript(whole), transcript(p); a != b {
				t.Fatalf("whole: %s\n%s: %s", a, name, b)
			}
			if role == Server && !bytes.Equal(whole.out, p.out) || len(whole.out) != len(p.out) { // a client's keys are random
				t.Fatalf("whole sent %x, %s sent %x", whole.out, name, p.out)
			}
		}
		decodeAll(t, whole.out)
	})
}

// cuts turns bytes into ascending positions, repeating the steps over the input.
func cuts(steps []byte, n int) (at []int) {
	if len(steps) == 0 {
		return nil
	}
	for pos, i := 0, 0; ; i++ {
		pos += int(steps[i%len(steps)])%64 + 1
		if steps[i%len(steps)] == 1 {
			pos-- // a 1 means single bytes
		}
		if pos >= n {
			return at
		}
		at = append(at, pos)
	}
}

// transcript joins a peer's events. A message that failed after some of its
// pieces were reported is the failure alone: how much was reported before
// depends on the split.
func transcript(p *peer) string {
	var kept []string
	for _, e := range p.events {
		if !strings.HasSuffix(e, "+") {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, " | ")
}
