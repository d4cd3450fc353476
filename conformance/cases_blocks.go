package conformance

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"strings"
)

// deflated is a message whose compressed payload is given as it is.
func deflated(opcode byte, p []byte) frame {
	return frame{fin: true, opcode: opcode, rsv: rsv1, payload: p}
}

// octets reads "f2 48".
func octets(s string) []byte {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic("conformance: " + err.Error()) // a literal of this file
	}
	return p
}

// The messages of RFC 7692 section 7.2.3.
const (
	helloFixed  = "f2 48 cd c9 c9 07 00"
	helloStored = "00 05 00 fa ff 48 65 6c 6c 6f 00"
	helloFinal  = "f3 48 cd c9 c9 07 00 00"
	helloTwo    = "f2 48 05 00 00 00 ff ff ca c9 c9 07 00"
	helloAgain  = "f2 00 11 00 00" // refers to the message before
)

// blockCases test the forms in which RFC 7692 section 7.2.1 lets a sender end and divide a message.
func blockCases(t *table) {
	const section = "7692-7.2.3"
	forms := []struct{ why, octets, plain string }{
		{"a fixed block (7.2.3.1)", helloFixed, "Hello"},
		{"a stored block (7.2.3.3)", helloStored, "Hello"},
		{"a final block, then an empty one (7.2.3.4)", helloFinal, "Hello"},
		{"two blocks (7.2.3.5)", helloTwo, "Hello"},
		{"an empty message (7.2.3.6)", "00", ""},
		{"an empty message, an empty fixed block first", "02 00", ""},
		{"an empty message, an empty final fixed block first", "03 00 00", ""},
		{"a final stored block", "01 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"},
		{"empty stored blocks before and behind", "00 00 00 ff ff 00 00 00 ff ff 00 05 00 fa ff 48 65 6c 6c 6f 00 00 00 ff ff 00 00 00 ff ff 00", "Hello"},
		{"one stored block for each byte", "00 01 00 fe ff 48 00 01 00 fe ff 65 00 01 00 fe ff 6c 00 01 00 fe ff 6c 00 01 00 fe ff 6f 00", "Hello"},
		{"two final blocks in one message (7.2.1)", "f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00", "HelloHello"},
		{"a final block in the middle of a message (7.2.1)", "f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", "HelloHello"},
	}
	for _, f := range forms {
		want := text(f.plain)
		one := deflated(opText, octets(f.octets))
		t.add(section, f.why, send(one), expect(want)).with(takeovers[0])
		t.add(section, f.why+", three times without takeover", send(one, one, one), expect(want, want, want)).with(takeovers[1])
		t.add(section, f.why+", one byte in each fragment", send(cut(one, 1)...), expect(want)).with(takeovers[0])
		t.add(section, f.why+", then an ordinary message", send(one), sendCompressed(0, quotes(200)), expect(want, quotes(200))).with(takeovers[1])
	}
	hello := text("Hello")
	t.add(section, "a message that refers to the one before (7.2.3.2)", needsTakeover(), send(deflated(opText, octets(helloFixed)), deflated(opText, octets(helloAgain))),
		expect(hello, hello)).with(takeovers[0])
	t.add(section, "a message that refers to one before a plain one", needsTakeover(), send(deflated(opText, octets(helloFixed)), text("between"), deflated(opText, octets(helloAgain))),
		expect(hello, text("between"), hello)).with(takeovers[0])
	t.add(section, "a message that refers to the one before, which ended with a final block", needsTakeover(), send(deflated(opText, octets(helloFinal)), deflated(opText, octets(helloAgain))),
		openQuestion("the RFC does not say whether the window outlives a final block", expect(hello, hello))).with(takeovers[0])
	t.add(section, "a compressed message without any bytes", send(deflated(opText, nil)), emptyOrRefused()).with(takeovers[0])
	levelCases(t, section)
}

// needsTakeover ends the case when the agreement does not let us refer to earlier messages.
func needsTakeover() step {
	return step{do: func(s *session) error {
		if !s.squeeze.takeover {
			return unimplemented("no context takeover for the side that tests")
		}
		return nil
	}}
}

// openQuestion makes a failure of the step informational.
func openQuestion(why string, st step) step {
	return step{says: st.says + " (not judged)", do: func(s *session) error {
		if err := st.do(s); err != nil {
			return informational("%s. Here: %v", why, err)
		}
		return nil
	}}
}

// emptyOrRefused: no sender may leave out the 00 of an empty message (section 7.2.3.6). A receiver can take it for corrupt or
// for empty.
func emptyOrRefused() step {
	return step{says: "fails the connection with 1002 or 1007, or takes it for an empty message", do: func(s *session) error {
		e, ok := s.await(s.patience)
		if ok && e.kind == evMessage {
			return sameMessage(text(""), e)
		}
		if ok {
			s.unread(e)
		}
		return expectFailure(1002, 1007).do(s)
	}}
}

// levelCases use all kinds of blocks that compressors write.
func levelCases(t *table, section string) {
	// The standard library's compressor has one window, 32 KiB: the server is not asked whether it wants a smaller one.
	whole := terms{serverNoTakeover: true, clientNoTakeover: true}
	levels := []struct {
		level int
		why   string
	}{
		{flate.NoCompression, "stored blocks only"}, {flate.HuffmanOnly, "Huffman codes only"}, {flate.BestSpeed, "level 1"},
		{flate.DefaultCompression, "level 6"}, {flate.BestCompression, "level 9"},
	}
	for _, l := range levels {
		for _, m := range []frame{quotes(300), quotes(20000), noise(70000)} {
			t.add(section, fmt.Sprintf("%s of %d bytes, %s", opcodeName(m.opcode), len(m.payload), l.why), sendLevel(l.level, 0, m), expect(m)).with(whole)
		}
		m := quotes(2000)
		t.add(section, l.why+", flushed behind every 100 bytes", sendLevel(l.level, 100, m), expect(m)).with(whole)
		t.add(section, l.why+", ended with a final block", sendFinal(l.level, m), expect(m)).with(whole)
	}
}

// needsWindow: flate does not know windows of less than 32 KiB, so a longer message could refer too far back.
func (s *session) needsWindow(n int) error {
	if s.squeeze.bits < 15 && n > window(s.squeeze.bits) {
		return unimplemented("the agreed window has %d bits", s.squeeze.bits)
	}
	return nil
}

func sendLevel(level, flushEach int, m frame) step {
	return step{do: func(s *session) error {
		var out bytes.Buffer
		if err := s.needsWindow(len(m.payload)); err != nil {
			return err
		}
		w, _ := flate.NewWriter(&out, level)
		p := m.payload
		for flushEach > 0 && len(p) > flushEach {
			_, _ = w.Write(p[:flushEach])
			_ = w.Flush()
			p = p[flushEach:]
		}
		_, _ = w.Write(p)
		_ = w.Flush()
		s.send(deflated(m.opcode, trimTail(out.Bytes())))
		return nil
	}}
}

// sendFinal ends the data with BFINAL and the 00 of section 7.2.3.4.
func sendFinal(level int, m frame) step {
	return step{do: func(s *session) error {
		var out bytes.Buffer
		if err := s.needsWindow(len(m.payload)); err != nil {
			return err
		}
		w, _ := flate.NewWriter(&out, level)
		_, _ = w.Write(m.payload)
		_ = w.Close()
		s.send(deflated(m.opcode, append(out.Bytes(), 0)))
		return nil
	}}
}

// corrupt are payloads that are no deflate data. They come as the first message, so that no history explains them.
// truncated ones are cut off: the RFC demands nothing of a receiver that delivers what there is, but it delivers less than
// was sent.
var corrupt = []struct {
	why, octets string
	truncated   bool
}{
	{"block type 3", "06 00", false},
	{"block type 3 with BFINAL", "07 00", false},
	{"all bits set", "ff ff ff ff ff ff", false},
	{"a stored block whose length and complement differ", "00 05 00 00 00 48 65 6c 6c 6f 00", false},
	{"a stored block that is longer than the message", "00 ff ff 00 00 48", true},
	{"a match that reaches back before the first byte", helloAgain, false},
	{"a fixed block that ends in the middle", "f2 48 cd", true},
	{"a dynamic block without codes", "04 00 00 00 00 00", false},
	{"a dynamic block with too many codes", "fc ff ff ff ff ff ff ff", false},
	{"plain text with RSV1", "48 65 6c 6c 6f 20 77 6f 72 6c 64", false},
}

// failsOrDelivers lets a peer deliver the beginning of data that was cut off.
func failsOrDelivers(st step) step {
	return step{says: st.says, do: func(s *session) error {
		e, ok := s.await(s.patience)
		if ok && e.kind == evMessage {
			s.note("data that ends inside a block was delivered as %d bytes", len(e.payload))
			return nil
		}
		if ok {
			s.unread(e)
		}
		return st.do(s)
	}}
}

// brokenCompressionCases are what a receiver must refuse, RFC 7692 sections 6 and 7.2.2.
func brokenCompressionCases(t *table) {
	const section = "7692-7.2.2"
	good := quotes(100)
	for _, c := range corrupt {
		one := deflated(opBinary, octets(c.octets))
		judge := expectFailure(1002, 1007)
		if c.truncated {
			judge = failsOrDelivers(judge)
		}
		t.add(section, "corrupt: "+c.why, send(one), judge, stillServes()).with(takeovers[0])
		t.add(section, "corrupt: "+c.why+", in fragments of one byte", send(cut(one, 1)...), judge).with(takeovers[1])
		t.add(section, "corrupt: "+c.why+", behind a good message", sendCompressed(0, good), expect(good), send(one), judge).with(takeovers[1])
	}
	for _, bad := range []string{"\xff", "\xed\xa0\x80", "\xe2\x82", "\xc0\xaf", "\xf4\x90\x80\x80"} {
		broken := text(strings.Repeat("fine ", 50) + bad)
		t.add("6455-8.1", fmt.Sprintf("invalid, compressed: % x", bad), sendCompressed(0, broken), expectFailure(1007)).with(takeovers[0])
		t.add("6455-8.1", fmt.Sprintf("invalid, compressed and in fragments: % x", bad), sendCompressed(9, broken), expectFailure(1007)).with(takeovers[0])
	}
	t.add("6455-8.1", "valid, compressed, one byte in each fragment", sendCompressed(1, text("κόσμε \U0001F600")), expect(text("κόσμε \U0001F600"))).with(takeovers[0])
	t.add("6455-8.1", "binary, compressed, may hold anything", sendCompressed(0, binaryOf([]byte("\xff\xfe"))), expect(binaryOf([]byte("\xff\xfe")))).with(takeovers[0])
	bitCases(t)
	t.add("7692-8", "72 MiB of zeros in one compressed message", sendBomb(72), bombed(), stillServes()).with(takeovers[1]).large()
	t.add("7692-8", "72 MiB of zeros, compressed, in fragments", sendBombCut(72, 1000), bombed(), stillServes()).with(takeovers[1]).large()
}

// bitCases are reserved bits where compression is agreed on, RFC 7692 section 6.1.
func bitCases(t *table) {
	const section = "7692-6.1"
	hello := deflated(opText, octets(helloFixed))
	parts := func() []frame { return cut(hello, 3) }
	second := parts()
	second[1] = second[1].withRSV(rsv1)
	plain := cut(text("Hello"), 3)
	plain[1] = plain[1].withRSV(rsv1)
	cases := []struct {
		why    string
		frames []frame
	}{
		{"RSV1 on a continuation of a compressed message", second},
		{"RSV1 on a continuation of a plain message", plain},
		{"RSV1 on a ping", []frame{ping("x").withRSV(rsv1)}},
		{"RSV1 on a pong", []frame{pong("x").withRSV(rsv1)}},
		{"RSV1 on a close frame", []frame{closing(1000, "").withRSV(rsv1)}},
		{"RSV1 on a ping between fragments", append([]frame{parts()[0], ping("x").withRSV(rsv1)}, parts()[1:]...)},
		{"RSV2 on a compressed message", []frame{hello.withRSV(rsv2)}},
		{"RSV3 on a compressed message", []frame{hello.withRSV(rsv3)}},
		{"RSV2 on a plain message", []frame{text("Hello").withRSV(rsv2)}},
		{"RSV3 on a plain message", []frame{text("Hello").withRSV(rsv3)}},
		{"RSV1 on a reserved opcode", []frame{raw(3, "x").withRSV(rsv1)}},
	}
	for _, c := range cases {
		t.add(section, c.why, send(c.frames...), expectFailure(1002)).with(takeovers[0])
	}
	t.add("7692-6", "RSV1 on a message that would inflate, without an agreement", send(hello), expectFailure(1002))
	t.add("7692-6", "RSV1 on a fragmented message that would inflate, without an agreement", send(parts()...), expectFailure(1002))
}

// bomb is n MiB of zeros, compressed.
func bomb(mib int) frame {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.DefaultCompression)
	zeros := make([]byte, 1<<20)
	for range mib {
		_, _ = w.Write(zeros)
	}
	_ = w.Flush()
	return deflated(opBinary, trimTail(out.Bytes()))
}

func sendBomb(mib int) step {
	return step{do: func(s *session) error { s.send(bomb(mib)); return nil }}
}

func sendBombCut(mib, n int) step {
	return step{do: func(s *session) error { s.send(cut(bomb(mib), n)...); return nil }}
}

// bombed: a small message that inflates to a large one should be refused with 1009.
func bombed() step {
	return step{says: "refuses it with 1009", do: func(s *session) error {
		e, ok := s.await(s.untilDeadline())
		switch {
		case !ok:
			return failed("nothing came")
		case e.kind == evMessage:
			s.remark("the peer has no limit below 72 MiB: it echoed the message")
			return nil
		case e.kind == evClose || e.kind == evEnd:
			return s.judgeFailure(e, []int{1009})
		}
		return failed("got %s", e)
	}}
}
