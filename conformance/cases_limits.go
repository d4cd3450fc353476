package conformance

import "fmt"

// limitCases test RFC 6455 section 10.4 (limits) and messages of many sizes and shapes (sections 5.4 and 5.6).
func limitCases(t *table) {
	const section = "6455-10.4"
	for _, n := range []uint64{1 << 31, 1 << 40, 1 << 62, 1<<63 - 1} {
		t.add(section, fmt.Sprintf("a frame claims %#x bytes", n), send(text("hello").claiming(n)), refusesOrWaits(), stillServes())
	}
	t.add(section, "a continuation claims 0x7fffffffffffffff bytes behind one of 100", send(message(opBinary, 100).more(), cont("x").claiming(1<<63-1)), refusesOrWaits(), stillServes())
	t.add(section, "fragments that claim more than 2^64 together", send(binaryOf([]byte("x")).more(), cont("y").more(), cont("z").claiming(1<<63-2)), refusesOrWaits(), stillServes())
	// CVE-2026-48779 of ws: one-byte fragments that never end held far more memory than they carried.
	t.add(section, "131072 fragments of one byte that never end", sendTiny(131072, false), staysOrRefuses(), stillServes()).large()
	t.add(section, "65536 fragments of one byte", sendTiny(65536, true), expect(message(opBinary, 65536))).large()
	t.add(section, "20000 empty fragments, then the end", sendEmpty(20000), expect(text("")))
	sizeCases(t)
}

// sendTiny sends n fragments of one byte in writes of some size.
func sendTiny(n int, end bool) step {
	return step{do: func(s *session) error {
		f := message(opBinary, n)
		parts := cut(f, 1)
		parts[n-1].fin = end
		p, note := s.encode(parts)
		s.writeChopped(note, p, 64<<10)
		return nil
	}}
}

func sendEmpty(n int) step {
	return step{do: func(s *session) error {
		parts := []frame{text("").more()}
		for range n {
			parts = append(parts, cont("").more())
		}
		s.send(append(parts, cont(""))...)
		return nil
	}}
}

// refusesOrWaits judges a claim that no honest peer makes: refusing it at once with 1009 is best. Waiting for the bytes is
// not forbidden, RFC 6455 section 10.4 leaves limits to the implementation.
func refusesOrWaits() step {
	return step{says: "refuses it at once with 1009", do: func(s *session) error {
		e, ok := s.await(s.quiet)
		switch {
		case !ok:
			s.remark("the peer waits for the bytes: it has no limit on a message, or does not look at it before it has read them")
			return hangUp().do(s)
		case e.kind == evClose || e.kind == evEnd:
			return s.judgeFailure(e, []int{1009, 1002})
		case e.kind == evBroken:
			return failed("the peer sent %s", e.why)
		}
		return failed("got %s", e)
	}}
}

// staysOrRefuses is for a message that is small but never ends.
func staysOrRefuses() step {
	return step{says: "answers a ping in between, or refuses the message", do: func(s *session) error {
		s.send(ping("still there?"))
		e, ok := s.await(s.untilDeadline())
		switch {
		case !ok:
			return failed("the peer answers nothing any more")
		case e.kind == evPong && string(e.payload) == "still there?":
			return nil
		case e.kind == evClose || e.kind == evEnd:
			return s.judgeFailure(e, []int{1008, 1009})
		}
		return failed("got %s", e)
	}}
}

// sizeCases carry messages up to 16 MiB, whole, fragmented, and in small pieces.
func sizeCases(t *table) {
	const section = "6455-5.6"
	for _, kind := range kinds {
		name := opcodeName(kind)
		for _, kib := range []int{256, 1024, 4096, 16384} {
			f := message(kind, kib<<10)
			t.add(section, fmt.Sprintf("%s of %d KiB", name, kib), send(f), expect(f)).large()
		}
		for _, n := range []int{64, 1024, 65536, 1 << 20} {
			f := message(kind, 4<<20)
			if n == 64 {
				f = message(kind, 1<<20)
			}
			t.add(section, fmt.Sprintf("%s of %d KiB in fragments of %d bytes", name, len(f.payload)>>10, n), send(cut(f, n)...), expect(f)).large()
		}
		for _, n := range []int{64, 1000, 16000} {
			f := message(kind, 1<<20)
			t.add(section, fmt.Sprintf("%s of 1 MiB in writes of %d bytes", name, n), sendChopped(n, f), expect(f)).large()
		}
	}
	wide := make([]byte, 0, 3<<20)
	for len(wide) < 3<<20 {
		wide = append(wide, "汉字 and \U0001F600 "...)
	}
	f := text(string(wide))
	t.add(section, "3 MiB of Chinese text in fragments of 1021 bytes", send(cut(f, 1021)...), expect(f)).large()
	var burst []frame
	for i := range 2000 {
		burst = append(burst, message(kinds[i%2], 64))
	}
	t.add(section, "2000 messages of 64 bytes in one write", send(burst...), expect(burst...))
	var turns []step
	for i := range 100 {
		f := message(kinds[i%2], i)
		turns = append(turns, send(f), step{do: expect(f).do})
	}
	turns[len(turns)-1].says = "answers each message before the next is sent"
	t.add(section, "100 messages, one after another", turns...)
	both := message(opBinary, 300000)
	t.add(section, "eight messages of 300000 bytes without reading in between", send(both, both, both, both, both, both, both, both),
		expect(both, both, both, both, both, both, both, both)).large()
}
