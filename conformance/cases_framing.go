package conformance

import (
	"bytes"
	"fmt"
	"strings"
)

// kinds are the two opcodes of data.
var kinds = []byte{opText, opBinary}

// boundaries are the payload lengths around which the encoding of the length changes, RFC 6455 section 5.2.
var boundaries = []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537}

// fillerPeriod is prime, so that pieces of any usual size that were swapped or lost show.
const fillerPeriod = 65521

// fillers holds the longest filler of each kind asked for so far; the shorter ones are its beginnings, so that large cases
// share their bytes. Only the building of the table grows it.
var fillers [2][]byte

// filler is n bytes: text of the alphabet, or all byte values. Nobody may change them.
func filler(opcode byte, n int) []byte {
	p := &fillers[opcode&1]
	if len(*p) < n {
		*p = makeFiller(opcode, n)
	}
	return (*p)[:n:n]
}

func makeFiller(opcode byte, n int) []byte {
	p := make([]byte, n)
	for i := range min(n, fillerPeriod) {
		if opcode == opText {
			p[i] = byte('a' + (i+i/26+i/997)%26)
		} else {
			p[i] = byte(i*7 + i/251)
		}
	}
	for filled := fillerPeriod; filled < n; filled *= 2 {
		copy(p[filled:], p[:filled])
	}
	return p
}

func message(opcode byte, n int) frame {
	return frame{fin: true, opcode: opcode, payload: filler(opcode, n)}
}

// cut splits a message into fragments of n bytes.
func cut(f frame, n int) []frame {
	var out []frame
	rest := f.payload
	for first := true; first || len(rest) > 0; first = false {
		g := f
		g.payload = rest[:min(n, len(rest))]
		rest = rest[len(g.payload):]
		if !first {
			g.opcode, g.rsv = opContinuation, 0
		}
		g.fin = len(rest) == 0
		out = append(out, g)
	}
	return out
}

func framingCases(t *table) {
	const section = "6455-5.2"
	for _, kind := range kinds {
		for _, n := range boundaries {
			f := message(kind, n)
			t.add(section, fmt.Sprintf("%s of %d bytes, in one write", opcodeName(kind), n), send(f), expect(f))
		}
		for _, n := range boundaries {
			f, chop := message(kind, n), 1
			if n > 1000 {
				chop = 997
			}
			t.add(section, fmt.Sprintf("%s of %d bytes, in writes of %d", opcodeName(kind), n, chop), sendChopped(chop, f), expect(f))
		}
		for _, n := range []int{100, 1000, 70000} {
			headerSplits(t, section, message(kind, n))
		}
	}
	for _, n := range []int{2, 3, 5, 7, 64, 1000, 4096} {
		f := message(opBinary, 20000)
		t.add(section, fmt.Sprintf("binary of 20000 bytes, in writes of %d", n), sendChopped(n, f), expect(f))
	}
	many := []frame{}
	for i := range 100 {
		many = append(many, message(kinds[i%2], i*3))
	}
	t.add(section, "100 messages of 0 to 297 bytes in one write", send(many...), expect(many...))
	t.add(section, "100 messages of 0 to 297 bytes in writes of 11 bytes", sendChopped(11, many...), expect(many...))
	same := bytes.Repeat([]byte{0}, 1000)
	t.add(section, "binary of zeros", send(binaryOf(same)), expect(binaryOf(same)))
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	t.add(section, "binary with every byte value", send(binaryOf(all)), expect(binaryOf(all)))
	t.add(section, "text with NUL and control characters", send(text("\x00\x01\t\r\n\x7f\x00")), expect(text("\x00\x01\t\r\n\x7f\x00")))
	lengthCases(t, section)
}

// headerSplits splits the frame once behind every byte of its header.
func headerSplits(t *table, section string, f frame) {
	for i := 1; i <= f.headerLen(true); i++ {
		// Frames of a server have no key: their header is four bytes shorter, and the last splits fall into the payload.
		t.add(section, fmt.Sprintf("%s of %d bytes, split behind byte %d", opcodeName(f.opcode), len(f.payload), i), sendSplit(i, f), expect(f))
	}
}

// lengthCases are lengths that are written wrongly.
func lengthCases(t *table, section string) {
	for _, n := range []int{0, 1, 125} {
		t.add(section, fmt.Sprintf("length %d written in 16 bits", n), send(message(opText, n).withForm(length16)), failsOrAccepts(message(opText, n)))
	}
	for _, n := range []int{0, 125, 126, 65535} {
		t.add(section, fmt.Sprintf("length %d written in 64 bits", n), send(message(opBinary, n).withForm(length64)), failsOrAccepts(message(opBinary, n)))
	}
	t.add(section, "a ping whose length is written in 16 bits", send(ping("x").withForm(length16)), failsOrAccepts(pong("x")))
	t.add(section, "a close frame whose length is written in 64 bits", send(closing(1000, "").withForm(length64)), expectFailureOrClose(1000))
	// The most significant bit of a 64-bit length must be 0: CVE-2026-27889 of nats-server was a panic here.
	for _, n := range []uint64{1 << 63, 1<<63 + 5, 1<<64 - 1} {
		t.add(section, fmt.Sprintf("length %#x, the top bit set", n), send(text("hello").claiming(n)), expectFailure(1002, 1009), stillServes())
		t.add(section, fmt.Sprintf("length %#x on a continuation", n), send(text("hello").more(), cont("x").claiming(n)), expectFailure(1002, 1009), stillServes())
	}
}

// failsOrAccepts: section 5.2 demands the shortest form of senders, but does not say that receivers must check it.
func failsOrAccepts(echo frame) step {
	return step{says: "fails the connection with 1002", do: func(s *session) error {
		e, ok := s.await(s.patience)
		if ok && (e.kind == evMessage && e.opcode == echo.opcode || e.kind == evPong) && bytes.Equal(e.payload, echo.payload) {
			s.note("a length that is not in its shortest form was accepted (section 5.2 demands it of senders)")
			return nil
		}
		if ok {
			s.unread(e)
		}
		return expectFailure(1002).do(s)
	}}
}

// maskingCases test RFC 6455 sections 5.1 and 5.3.
func maskingCases(t *table) {
	const section = "6455-5.1"
	for _, f := range []frame{text("hello"), text(""), binaryOf([]byte{1, 2, 3}), ping("p"), ping(""), pong(""), closing(1000, ""), text("frag").more()} {
		t.add(section, "unmasked "+f.String()+" from a client", send(f.withMask(maskOff)), expectFailure(1002)).onlyServer()
		t.add(section, "masked "+f.String()+" from a server", send(f.withMask(maskOn)), expectFailure(1002)).onlyClient()
	}
	good := text("good")
	t.add(section, "an unmasked frame behind a good one", send(good, text("bad").withMask(maskOff)), expectFailureAfter([]frame{good}, 1002)).onlyServer()
	t.add(section, "an unmasked continuation", send(text("a").more(), cont("b").withMask(maskOff)), expectFailure(1002)).onlyServer()
	t.add(section, "a masked frame behind a good one", send(good, text("bad").withMask(maskOn)), expectFailureAfter([]frame{good}, 1002)).onlyClient()
	t.add(section, "a masked continuation", send(text("a").more(), cont("b").withMask(maskOn)), expectFailure(1002)).onlyClient()
	keyCases(t)
}

func keyCases(t *table) {
	const section = "6455-5.3"
	for _, key := range [][4]byte{{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1}, {0x80, 0, 0, 0}, {0x12, 0x34, 0x56, 0x78}} {
		for _, n := range []int{5, 1003} {
			f := message(opBinary, n)
			t.add(section, fmt.Sprintf("key % x over %d bytes", key, n), send(f.withKey(key)), expect(f)).onlyServer()
		}
	}
	var every []frame
	for b := range 256 {
		every = append(every, text("every key byte").withKey([4]byte{byte(b), byte(b), byte(b), byte(b)}))
	}
	t.add(section, "keys with every byte value", send(every...), expect(every...)).onlyServer()
	var parts []frame
	for i, s := range []string{"frag", "ment", "s of", " odd ", "lengths", "!"} {
		f := cont(s).withKey([4]byte{byte(i), 0xA5, byte(7 * i), 0x5A})
		if i == 0 {
			f.opcode = opText
		}
		f.fin = i == 5
		parts = append(parts, f)
	}
	t.add(section, "each fragment with its own key", send(parts...), expect(text("fragments of odd lengths!"))).onlyServer()
	for n := range 9 {
		f := message(opText, n)
		t.add(section, fmt.Sprintf("a masked text of %d bytes, in single bytes", n), sendChopped(1, f.withKey([4]byte{1, 2, 3, 4})), expect(f)).onlyServer()
	}
	var eight []frame
	for i := range 8 {
		eight = append(eight, text(strings.Repeat("k", i+1)))
	}
	t.add(section, "mask keys of a client change from frame to frame", send(eight...), expect(eight...), step{
		says: "uses another key for each frame", do: func(s *session) error {
			seen := map[[4]byte]int{}
			for _, k := range s.seenKeys {
				seen[k]++
			}
			if len(seen) < len(s.seenKeys)-1 { // two equal ones by chance: once in 150 million runs
				return failed("only %d different keys in %d frames", len(seen), len(s.seenKeys))
			}
			return nil
		},
	}).onlyClient()
}

// reservedCases test the reserved bits and opcodes of RFC 6455 section 5.2.
func reservedCases(t *table) {
	const section = "6455-5.2"
	good := text("good")
	for bits := rsv3; bits <= rsv1|rsv2|rsv3; bits += rsv3 {
		name := fmt.Sprintf("RSV %03b", bits>>4)
		t.add(section, name+" on text", send(text("x").withRSV(bits)), expectFailure(1002))
		t.add(section, name+" on an empty binary message behind a good text", send(good, binaryOf(nil).withRSV(bits)), expectFailureAfter([]frame{good}, 1002))
		t.add(section, name+" on a continuation", send(text("a").more(), cont("b").withRSV(bits)), expectFailure(1002))
		t.add(section, name+" on the first fragment", send(text("a").more().withRSV(bits), cont("b")), expectFailure(1002))
		t.add(section, name+" on a ping", send(ping("x").withRSV(bits)), expectFailure(1002))
		t.add(section, name+" on a pong, in single bytes", sendChopped(1, pong("x").withRSV(bits)), expectFailure(1002))
		t.add(section, name+" on a close frame", send(closing(1000, "").withRSV(bits)), expectFailure(1002))
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		name := fmt.Sprintf("opcode 0x%X", op)
		t.add(section, name+", empty", send(raw(op, "")), expectFailure(1002))
		t.add(section, name+" with a payload, then a ping", send(raw(op, "payload"), ping("")), expectFailure(1002))
		t.add(section, name+" behind a good text", send(good, raw(op, "x")), expectFailureAfter([]frame{good}, 1002))
		t.add(section, name+" between two fragments, in single bytes", sendChopped(1, text("a").more(), raw(op, ""), cont("b")), expectFailure(1002))
		t.add(section, name+" without FIN", send(raw(op, "x").more(), cont("y")), expectFailure(1002))
	}
}
