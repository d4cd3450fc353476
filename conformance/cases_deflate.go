package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// compressed is a message as our compressor writes it.
func (s *session) compressed(f frame) frame {
	f.payload = s.squeeze.message(f.payload)
	return f.withRSV(rsv1)
}

// sendCompressed sends messages, each compressed and in fragments of n bytes (0: whole), all in one write.
func sendCompressed(n int, messages ...frame) step {
	return step{do: func(s *session) error {
		var out []frame
		for _, m := range messages {
			f := s.compressed(m)
			if n == 0 {
				out = append(out, f)
			} else {
				out = append(out, cut(f, n)...)
			}
		}
		s.send(out...)
		return nil
	}}
}

// quotes is text as services send it: the same names over and over, numbers in between.
func quotes(n int) frame {
	r := rand.New(rand.NewPCG(7692, uint64(n)))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, `{"symbol":"SYM%03d","bid":%d.%02d,"ask":%d.%02d,"volume":%d},`, r.IntN(500), r.IntN(900), r.IntN(100), r.IntN(900), r.IntN(100), r.IntN(1e6))
	}
	return text(b.String()[:n])
}

// noise is n bytes that hardly compress.
func noise(n int) frame {
	r := rand.New(rand.NewPCG(1951, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return binaryOf(p)
}

// farRepeats repeats noise at a distance just beyond a window of the given bits, so that a compressor that does not
// honour its window is tempted. A fixed piece lies between the pieces of noise: fast compressors skip ahead in data that
// does not compress, and would miss the repeats.
func farRepeats(bits int) frame {
	var once []byte
	random := noise(window(bits)*24/49 + 100).payload
	for len(random) > 0 {
		n := min(24, len(random))
		once = append(append(once, random[:n]...), "the same piece every time"...)
		random = random[n:]
	}
	return binaryOf(append(append(append([]byte{}, once...), once...), once...))
}

// agreements are the terms that all peers with compression are asked for.
func agreements() []terms {
	out := []terms{
		{}, {clientHint: true}, {serverNoTakeover: true}, {clientNoTakeover: true}, {serverNoTakeover: true, clientNoTakeover: true},
	}
	for bits := 8; bits <= 15; bits++ {
		out = append(out, terms{serverBits: bits}, terms{clientBits: bits})
	}
	return append(out,
		terms{serverBits: 9, clientBits: 9}, terms{serverBits: 12, clientBits: 10}, terms{serverBits: 15, clientBits: 15},
		terms{serverBits: 9, serverNoTakeover: true}, terms{clientBits: 9, clientNoTakeover: true},
		terms{serverNoTakeover: true, clientNoTakeover: true, serverBits: 10, clientBits: 11},
		terms{serverNoTakeover: true, clientNoTakeover: true, serverBits: 15, clientHint: true},
	)
}

// takeovers are the two terms that all cases but those of negotiation run with. The hint is what browsers offer, so that a
// server with a fault in negotiation can still show how it compresses.
var takeovers = []terms{{clientHint: true}, {serverNoTakeover: true, clientNoTakeover: true, clientHint: true}}

// negotiationCases test RFC 7692 sections 5 and 7.1.
func negotiationCases(t *table) {
	for _, a := range agreements() {
		bits := 15
		for _, b := range []int{a.serverBits, a.clientBits} {
			if b != 0 {
				bits = min(bits, b)
			}
		}
		messages := []frame{quotes(0), quotes(1), quotes(100), quotes(1000), quotes(10000), quotes(100000), noise(5000), quotes(1000), quotes(1000)}
		if bits < 15 {
			once := noise(window(bits)).payload
			edge := binaryOf(append(append([]byte{}, once...), once...)) // matches that reach to the last byte of the window
			messages = append(messages, farRepeats(bits), farRepeats(bits), edge)
		}
		section := "7692-7.1.1"
		if bits < 15 || a.serverBits+a.clientBits > 0 || a.clientHint {
			section = "7692-7.1.2"
		}
		t.add(section, "agreed: "+a.offer(), sendCompressed(0, messages...), expect(messages...)).with(a)
	}
	for _, bad := range badParams {
		offerCases(t, bad)
	}
	listCases(t)
	answerParams(t)
}

// badParams are parameters that no offer and no answer may have, RFC 7692 section 7.1.
var badParams = []string{
	"server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=0",
	"server_max_window_bits=-9", "server_max_window_bits=abc", "server_max_window_bits=08", "server_max_window_bits=10.0",
	"server_max_window_bits=99999999999999999999", "client_max_window_bits=7", "client_max_window_bits=16",
	"client_max_window_bits=0", "client_max_window_bits=012", "client_max_window_bits=x", "server_no_context_takeover=1",
	"client_no_context_takeover=true", "unknown_parameter", "unknown_parameter=10",
	"server_no_context_takeover; server_no_context_takeover", "client_no_context_takeover; client_no_context_takeover",
	"server_max_window_bits=10; server_max_window_bits=10",
}

// offerCases: a server must decline a wrong offer and look at the next one, section 5.1 and 7.1.
func offerCases(t *table, bad string) {
	const section = "7692-7.1"
	t.add(section, "offer: "+bad, step{says: "declines and upgrades without compression", do: func(s *session) error {
		if err := s.openExtension(extension + "; " + bad); err != nil {
			return err
		}
		if s.resp.status >= 400 {
			s.note("the whole handshake was refused with %q; declining the offer is enough", s.resp.line)
			return nil
		}
		if got := s.resp.header.Get("Sec-Websocket-Extensions"); got != "" {
			return failed("the server accepted the wrong offer with %q", got)
		}
		return s.worksNow()
	}}).onlyServer().byHand()
	t.add(section, "offers: "+bad+", then a good one", step{says: "takes the second offer", do: func(s *session) error {
		if err := s.openExtension(extension + "; " + bad + ", " + extension); err != nil {
			return err
		}
		return s.agreesOn(&terms{})
	}}).onlyServer().byHand()
	t.add(section, "answer: "+bad, answer([]frame{text("hello"), ping("")}, with("Sec-WebSocket-Extensions: "+extension+"; "+bad)), gone()).onlyClient().byHand()
}

// openExtension opens a connection to a server that is known to have compression.
func (s *session) openExtension(value string) error {
	if !s.dial.deflate {
		return unimplemented("the server does not accept %s", extension)
	}
	return s.open([]edit{with("Sec-WebSocket-Extensions: " + value)}, 0, nil)
}

// agreesOn expects that the server accepted t and that a compressed message comes back.
func (s *session) agreesOn(t *terms) error {
	if s.resp.status >= 400 {
		s.note("the whole handshake was refused with %q", s.resp.line)
		return nil
	}
	if s.resp.status == 101 && s.resp.header.Get("Sec-Websocket-Extensions") == "" {
		s.note("no offer was accepted, although one was good")
		return s.worksNow()
	}
	a, err := s.upgraded(t)
	if err != nil {
		return err
	}
	s.begin(a)
	m := quotes(500)
	s.send(s.compressed(m))
	return expect(m).do(s)
}

// listCases are offers in unusual but lawful form.
func listCases(t *table) {
	const section = "7692-5.1"
	offers := []struct {
		value string
		terms terms
	}{
		{extension + ", " + extension, terms{}},
		{"x-unknown, " + extension, terms{}},
		{extension + "; client_max_window_bits, " + extension, terms{clientHint: true}},
		{extension + `; server_max_window_bits="15"`, terms{serverBits: 15}},
		{extension + `;client_max_window_bits="12"`, terms{clientBits: 12}},
		{extension + "  ;  server_no_context_takeover  ", terms{serverNoTakeover: true}},
		{extension + "\t;\tclient_no_context_takeover", terms{clientNoTakeover: true}},
		{extension + "; client_no_context_takeover; server_no_context_takeover", terms{clientNoTakeover: true, serverNoTakeover: true}},
		{"," + extension + ",", terms{}},
	}
	for _, o := range offers {
		t.add(section, "offer: "+o.value, step{says: "accepts", do: func(s *session) error {
			if err := s.openExtension(o.value); err != nil {
				return err
			}
			return s.agreesOn(&o.terms)
		}}).onlyServer().byHand()
	}
	t.add(section, "offers in two fields", step{says: "accepts", do: func(s *session) error {
		if !s.dial.deflate {
			return unimplemented("the server does not accept %s", extension)
		}
		if err := s.open([]edit{with("Sec-WebSocket-Extensions: x-unknown"), with("Sec-WebSocket-Extensions: " + extension)}, 0, nil); err != nil {
			return err
		}
		return s.agreesOn(&terms{})
	}}).onlyServer().byHand()
}

// answerParams are answers that a client must refuse, or must understand in an unusual form.
func answerParams(t *table) {
	const section = "7692-7.1"
	ext := func(v string) edit { return with("Sec-WebSocket-Extensions: " + v) }
	for _, v := range []string{extension + "; client_max_window_bits", extension + ", " + extension, extension + ", x-unknown", extension + "; mode=fast"} {
		t.add(section, "answer: "+v, answer([]frame{text("hello"), ping("")}, ext(v)), gone()).onlyClient().byHand()
	}
	t.add(section, "answer: client_max_window_bits that was not offered", step{says: "fails the connection", do: func(s *session) error {
		if strings.Contains(s.offered, "client_max_window_bits") {
			s.decline()
			return unimplemented("the client offers client_max_window_bits")
		}
		if err := answer([]frame{text("hello"), ping("")}, ext(extension+"; client_max_window_bits=10")).do(s); err != nil {
			return err
		}
		return gone().do(s)
	}}).onlyClient().byHand()
}

// sizes of compressed messages.
var deflateSizes = []int{0, 1, 2, 3, 16, 64, 125, 126, 256, 1024, 4096, 16384, 32768, 65535, 65536, 131072}

// compressedCases test RFC 7692 sections 6 and 7.2 with sizes, kinds and fragments.
func compressedCases(t *table) {
	const section = "7692-7.2"
	for i, terms := range takeovers {
		name := []string{"with takeover", "without takeover"}[i]
		for _, n := range deflateSizes {
			for _, f := range []frame{quotes(n), noise(n)} {
				t.add(section, fmt.Sprintf("%s of %d bytes, three times, %s", opcodeName(f.opcode), n, name),
					sendCompressed(0, f, f, f), expect(f, f, f)).with(terms)
			}
		}
		for i, f := range []frame{quotes(1 << 20), noise(1 << 20), binaryOf(make([]byte, 1<<20))} {
			what := []string{"quotes", "noise", "zeros"}[i]
			t.add(section, "1 MiB of "+what+", twice, "+name, sendCompressed(0, f, f), expect(f, f)).with(terms).large()
			t.add(section, "1 MiB of "+what+" in fragments of 1000 bytes, "+name, sendCompressed(1000, f), expect(f)).with(terms).large()
		}
		for _, n := range []int{1, 2, 7, 64, 125, 126, 1000} {
			f := quotes(5000)
			t.add("7692-6.1", fmt.Sprintf("text of 5000 bytes in fragments of %d bytes, twice, %s", n, name), sendCompressed(n, f, f), expect(f, f)).with(terms)
		}
		var many []frame
		for i := range 1000 {
			many = append(many, quotes(40+i%50))
		}
		t.add(section, "1000 short messages, "+name, sendCompressed(0, many...), expect(many...)).with(terms)
		once := noise(32768)
		twice := binaryOf(append(append([]byte{}, once.payload...), once.payload...))
		t.add(section, "matches 32768 bytes back, "+name, sendCompressed(0, twice, once, twice), expect(twice, once, twice)).with(terms)
		t.add(section, "40 messages of 3000 bytes: the window moves on, "+name, sendCompressed(0, slidingMessages()...), expect(slidingMessages()...)).with(terms)
		mixedCases(t, terms, name)
	}
}

func slidingMessages() []frame {
	var out []frame
	for i := range 40 {
		out = append(out, quotes(3000+i*7))
	}
	return out
}

// mixedCases mix what is compressed with what is not, and with control frames.
func mixedCases(t *table, terms terms, name string) {
	const section = "7692-6.1"
	a, b := quotes(300), quotes(500)
	t.add(section, "plain messages only, "+name, send(a, b, binaryOf(nil)), expect(a, b, binaryOf(nil))).with(terms)
	t.add(section, "plain and compressed in turn, "+name, sendCompressed(0, a), send(b), sendCompressed(0, b), send(a), sendCompressed(0, a, b), expect(a, b, b, a, a, b)).with(terms)
	t.add(section, "a plain fragmented message between compressed ones, "+name, sendCompressed(0, a), send(cut(b, 50)...), sendCompressed(0, a), expect(a, b, a)).with(terms)
	t.add(section, "a ping between the fragments, "+name, sendParts(a, func(parts []frame) []frame {
		return append([]frame{parts[0], ping("between")}, parts[1:]...)
	}), expect(pong("between"), a)).with(terms)
	t.add(section, "the first fragment is empty, "+name, sendParts(a, func(parts []frame) []frame {
		first := parts[0]
		first.payload = nil
		parts[0].opcode, parts[0].rsv = opContinuation, 0
		return append([]frame{first}, parts...)
	}), expect(a)).with(terms)
	t.add(section, "the last fragment is empty, "+name, sendParts(a, func(parts []frame) []frame {
		parts[len(parts)-1].fin = false
		return append(parts, cont(""))
	}), expect(a)).with(terms)
	t.add(section, "compressed, in writes of one byte, "+name, step{do: func(s *session) error {
		p, note := s.encode([]frame{s.compressed(a), s.compressed(b)})
		s.writeChopped(note, p, 1)
		return nil
	}}, expect(a, b)).with(terms)
	t.add(section, "control frames are never compressed, "+name, sendCompressed(0, a), send(ping("plain")), sendCompressed(0, b), expect(a, pong("plain"), b)).with(terms)
	t.add(section, "a compressed message, then the closing handshake, "+name, sendCompressed(0, a), send(closing(1000, "done")), expect(a), expectClose(1000)).with(terms)
}

// sendParts sends a compressed message in fragments of 50 bytes, changed by f.
func sendParts(m frame, f func([]frame) []frame) step {
	return step{do: func(s *session) error { s.send(f(cut(s.compressed(m), 50))...); return nil }}
}
