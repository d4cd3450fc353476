package conformance

import "fmt"

// fragmentCases test RFC 6455 section 5.4.
func fragmentCases(t *table) {
	const section = "6455-5.4"
	for _, kind := range kinds {
		name := opcodeName(kind)
		for _, n := range []int{1, 2, 13, 125, 126, 1000} {
			f := message(kind, 1000)
			t.add(section, fmt.Sprintf("%s of 1000 bytes in fragments of %d", name, n), send(cut(f, n)...), expect(f))
		}
		f := message(kind, 100)
		t.add(section, name+" in 100 fragments of one byte, each in its own write", sendEach(cut(f, 1)...), expect(f))
		t.add(section, name+" in fragments of 7, in writes of one byte", sendChopped(1, cut(f, 7)...), expect(f))
		big := message(kind, 70000)
		t.add(section, name+" of 70000 bytes in fragments of 65535", send(cut(big, 65535)...), expect(big))
		t.add(section, name+" of 70000 bytes in fragments of 65536", send(cut(big, 65536)...), expect(big))
		t.add(section, name+" in 1000 fragments of one byte", send(cut(message(kind, 1000), 1)...), expect(message(kind, 1000)))
		empty := frame{opcode: kind}
		t.add(section, name+" of three empty fragments", send(empty, cont("").more(), cont("")), expect(frame{fin: true, opcode: kind}))
		full := frame{fin: true, opcode: kind, payload: []byte("in the middle")}
		t.add(section, name+" with empty fragments around", send(empty, cont("").more(), cont("in the middle").more(), cont("").more(), cont("")), expect(full))
		t.add(section, name+" ended by an empty fragment", send(frame{opcode: kind, payload: full.payload}, cont("")), expect(full))
	}
	controlBetween(t, section)
	brokenFragments(t, section)
	var empties []frame
	for range 500 {
		empties = append(empties, cont("").more())
	}
	sequence := append(append([]frame{text("start ").more()}, empties...), cont("end"))
	t.add(section, "500 empty fragments in the middle", send(sequence...), expect(text("start end")))
	var pairs, whole []frame
	for i := range 50 {
		f := message(kinds[i%2], 20+i)
		pairs, whole = append(pairs, cut(f, 9)...), append(whole, f)
	}
	t.add(section, "50 fragmented messages in a row", send(pairs...), expect(whole...))
	t.add(section, "50 fragmented messages in a row, in writes of 5 bytes", sendChopped(5, pairs...), expect(whole...))
}

// controlBetween puts control frames between fragments, which must be allowed.
func controlBetween(t *table, section string) {
	ab := text("first second")
	parts := func(between ...frame) []frame {
		return append(append([]frame{text("first ").more()}, between...), cont("second"))
	}
	one := []frame{pong("between"), ab}
	t.add(section, "a ping between two fragments", send(parts(ping("between"))...), expect(one...))
	t.add(section, "a ping between two fragments, each in its own write", sendEach(parts(ping("between"))...), expect(one...))
	t.add(section, "a ping between two fragments, in single bytes", sendChopped(1, parts(ping("between"))...), expect(one...))
	t.add(section, "a ping between two fragments is answered before the message ends",
		send(text("first ").more(), ping("now")), answersNow("now", cont("second"), ab))
	t.add(section, "an empty ping between two fragments", send(parts(ping(""))...), expect(pong(""), ab))
	full := string(filler(opText, 125))
	t.add(section, "a ping of 125 bytes between two fragments", send(parts(ping(full))...), expect(pong(full), ab))
	t.add(section, "a pong that nobody asked for between two fragments", send(parts(pong("unasked"))...), expect(ab))
	t.add(section, "pings between five fragments",
		send(text("1").more(), ping("a"), cont("2").more(), ping("b"), cont("3").more(), ping("c"), cont("4").more(), ping("d"), cont("5")),
		expect(pong("a"), pong("b"), pong("c"), pong("d"), text("12345")))
	t.add(section, "ten pings between two fragments",
		send(parts(ping("0"), ping("1"), ping("2"), ping("3"), ping("4"), ping("5"), ping("6"), ping("7"), ping("8"), ping("9"))...),
		expect(pong("0"), pong("1"), pong("2"), pong("3"), pong("4"), pong("5"), pong("6"), pong("7"), pong("8"), pong("9"), ab))
	t.add(section, "a close frame between two fragments", send(parts(closing(1000, ""))...), expectClose(1000))
}

// answersNow expects the pong before rest is sent, which ends the message. Later is allowed: section 5.5.2 says as soon as is
// practical.
func answersNow(payload string, rest, whole frame) step {
	return step{says: "answers with a pong at once, then " + expectText([]frame{whole}), do: func(s *session) error {
		answers := []frame{whole}
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			s.note("a ping inside an unfinished message is not answered before the message ends (section 5.5.2: as soon as is practical)")
			answers = []frame{pong(payload), whole}
		case e.kind != evPong || string(e.payload) != payload:
			return failed("got %s, expected a pong of %d bytes", e, len(payload))
		}
		s.send(rest)
		return expect(answers...).do(s)
	}}
}

func brokenFragments(t *table, section string) {
	good := text("good")
	t.add(section, "a continuation of nothing, with FIN", send(cont("x")), expectFailure(1002))
	t.add(section, "a continuation of nothing, without FIN", send(cont("x").more()), expectFailure(1002))
	t.add(section, "an empty continuation of nothing", send(cont("")), expectFailure(1002))
	t.add(section, "a continuation of nothing, in single bytes", sendChopped(1, cont("x")), expectFailure(1002))
	t.add(section, "a continuation of nothing, then a good text", send(cont("x"), good), expectFailure(1002))
	t.add(section, "a continuation behind a whole message", send(good, cont("x")), expectFailureAfter([]frame{good}, 1002))
	t.add(section, "a continuation behind a fragmented message that has ended", send(text("go").more(), cont("od"), cont("x")), expectFailureAfter([]frame{good}, 1002))
	t.add(section, "continuations of nothing and a text, all without FIN", send(cont("a").more(), text("b").more(), cont("c")), expectFailure(1002))
	for _, kind := range kinds {
		name := opcodeName(kind)
		t.add(section, "a text begins, then a whole "+name, send(text("a").more(), raw(kind, "b")), expectFailure(1002))
		t.add(section, "a text begins, then another "+name+" begins", send(text("a").more(), raw(kind, "b").more(), cont("c")), expectFailure(1002))
		t.add(section, "a binary message begins, then an empty "+name, send(binaryOf([]byte{1}).more(), raw(kind, "")), expectFailure(1002))
		t.add(section, "a third fragment says "+name, send(text("a").more(), cont("b").more(), raw(kind, "c")), expectFailure(1002))
	}
	t.add(section, "a new text behind a ping inside an unfinished one", send(text("a").more(), ping("p"), text("b")), expectFailureAfter([]frame{pong("p")}, 1002))
}

// controlCases test RFC 6455 sections 5.5, 5.5.2 and 5.5.3.
func controlCases(t *table) {
	for _, f := range []frame{ping("x"), pong("x"), closing(1000, "")} {
		name := opcodeName(f.opcode)
		t.add("6455-5.5", "a fragmented "+name, send(f.more(), cont("y")), expectFailure(1002))
		t.add("6455-5.5", "a "+name+" without FIN inside a message", send(text("a").more(), f.more(), cont("b")), expectFailure(1002))
		for _, n := range []int{126, 127, 65535, 65536} {
			long := raw(f.opcode, string(filler(opText, n)))
			if f.opcode == opClose {
				long = closing(1000, string(filler(opText, n-2)))
			}
			t.add("6455-5.5", fmt.Sprintf("a %s of %d bytes", name, n), send(long), expectFailure(1002))
		}
		t.add("6455-5.5", "a "+name+" of 126 bytes, in single bytes", sendChopped(1, raw(f.opcode, string(filler(opText, 126)))), expectFailure(1002))
	}
	pingCases(t)
}

func pingCases(t *table) {
	const section = "6455-5.5.2"
	for _, n := range []int{0, 1, 2, 3, 4, 5, 8, 64, 123, 124, 125} {
		p := string(filler(opText, n))
		t.add(section, fmt.Sprintf("a ping of %d bytes", n), send(ping(p)), expect(pong(p)))
	}
	for _, n := range []int{0, 1, 125} {
		p := string(filler(opText, n))
		t.add(section, fmt.Sprintf("a ping of %d bytes, in single bytes", n), sendChopped(1, ping(p)), expect(pong(p)))
	}
	binary := string([]byte{0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff})
	t.add(section, "a ping that is not UTF-8", send(ping(binary)), expect(pong(binary)))
	var pings, pongs, mixed, answers []frame
	for i := range 10 {
		pings, pongs = append(pings, ping(fmt.Sprint("ping ", i))), append(pongs, pong(fmt.Sprint("ping ", i)))
		mixed = append(mixed, ping(fmt.Sprint(i)), text(fmt.Sprint("text ", i)))
		answers = append(answers, pong(fmt.Sprint(i)), text(fmt.Sprint("text ", i)))
	}
	t.add(section, "ten pings in one write, answered in order", send(pings...), expect(pongs...))
	t.add(section, "ten pings in writes of one byte", sendChopped(1, pings...), expect(pongs...))
	t.add(section, "ten pings and ten texts in turn", send(mixed...), expect(answers...))
	var many, manyPongs []frame
	for i := range 500 {
		many, manyPongs = append(many, ping(fmt.Sprint(i))), append(manyPongs, pong(fmt.Sprint(i)))
	}
	t.add(section, "500 pings in one write", send(many...), expect(manyPongs...))
	t.add(section, "a ping behind a large message", send(message(opBinary, 100000), ping("behind")), expect(message(opBinary, 100000), pong("behind")))
	var split []step
	for i := 1; i <= 7; i++ {
		split = append(split, sendSplit(i, ping("split")), expect(pong("split")))
	}
	t.add(section, "a ping split behind each byte of its header", split...)
	unaskedPongs(t)
}

func unaskedPongs(t *table) {
	const section = "6455-5.5.3"
	hello := text("still here")
	t.add(section, "an empty pong that nobody asked for", send(pong(""), hello), expect(hello))
	t.add(section, "a pong of 125 bytes that nobody asked for", send(pong(string(filler(opText, 125))), hello), expect(hello))
	t.add(section, "a pong, a ping, a pong", send(pong("a"), ping("b"), pong("c")), expect(pong("b")))
	t.add(section, "a pong that is not UTF-8", send(pong("\xff\xfe\x00"), hello), expect(hello))
	// PRISMA-2021-0118: a library panicked on the second pong of the same payload.
	var same []frame
	for range 20 {
		same = append(same, pong("again"))
	}
	t.add(section, "20 equal pongs", send(append(same, hello)...), expect(hello), stillServes())
	t.add(section, "pongs in single bytes", sendChopped(1, pong(""), pong("x"), hello), expect(hello))
}
