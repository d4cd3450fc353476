package protocol

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// RFC 6455, section 5.7: the examples, as they stand there.
func TestSection57Examples(t *testing.T) {
	hello := "48656c6c6f"
	for _, test := range []struct {
		name, wire string
		role       Role
		want       []string
	}{
		{"single-frame unmasked text", "81 05 48 65 6c 6c 6f", Client, []string{"text " + hello}},
		{"single-frame masked text", "81 85 37 fa 21 3d 7f 9f 4d 51 58", Server, []string{"text " + hello}},
		{"fragmented unmasked text", "01 03 48 65 6c 80 02 6c 6f", Client, []string{"text " + hello}},
		{"unmasked ping", "89 05 48 65 6c 6c 6f", Client, []string{"ping " + hello}},
		{"masked pong", "8a 85 37 fa 21 3d 7f 9f 4d 51 58", Server, []string{"pong " + hello}},
	} {
		t.Run(test.name, func(t *testing.T) {
			newPeer(t, test.role, Config{}).feed(unhex(test.wire)).wantEvents(test.want...)
		})
	}
}

// Section 5.2: each form of the length, at its boundaries, both ways.
func TestSection52Lengths(t *testing.T) {
	for _, test := range []struct {
		length int
		header string // as a server sends it
	}{
		{0, "82 00"}, {1, "82 01"}, {125, "82 7d"},
		{126, "82 7e 00 7e"}, {127, "82 7e 00 7f"}, {128, "82 7e 00 80"}, {65535, "82 7e ff ff"},
		{65536, "82 7f 00 00 00 00 00 01 00 00"}, {65537, "82 7f 00 00 00 00 00 01 00 01"},
	} {
		t.Run(fmt.Sprint(test.length), func(t *testing.T) {
			payload := bytes.Repeat([]byte{0xa5}, test.length)
			wire := append(unhex(test.header), payload...)
			server := newPeer(t, Server, Config{})
			out, err := server.AppendMessage(nil, OpBinary, payload, false)
			if err != nil || !bytes.Equal(out, wire) {
				t.Errorf("a server sends %x..., %v", out[:min(len(out), 14)], err)
			}
			newPeer(t, Client, Config{}).feed(wire).wantEvents(fmt.Sprintf("binary %x", payload))
			server.feed(sent(Client, FrameHeader{Fin: true, Opcode: OpBinary}, payload)).wantEvents(fmt.Sprintf("binary %x", payload))
		})
	}
}

func TestSection52LengthErrors(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		code       StatusCode
	}{
		{"125 in 16 bits", "82 7e 00 7d", StatusProtocolError},
		{"0 in 16 bits", "82 7e 00 00", StatusProtocolError},
		{"65535 in 64 bits", "82 7f 00 00 00 00 00 00 ff ff", StatusProtocolError},
		{"0 in 64 bits", "82 7f 00 00 00 00 00 00 00 00", StatusProtocolError},
		{"top bit set", "82 7f 80 00 00 00 00 00 00 00", StatusProtocolError},
		{"all bits set", "82 7f ff ff ff ff ff ff ff ff", StatusProtocolError},
		{"2^63-1", "82 7f 7f ff ff ff ff ff ff ff", StatusMessageTooBig},
		{"one over the limit", "82 7f 00 00 00 00 00 10 00 01", StatusMessageTooBig},
	} {
		t.Run(test.name, func(t *testing.T) {
			newPeer(t, Client, Config{}).feed(unhex(test.wire)).wantFailed(test.code)
		})
	}
}

// Section 5.2: reserved bits and opcodes, at every moment that differs.
func TestSection52Reserved(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		open := in(false, 0, OpText, "a")
		for _, rsv := range []byte{RSV1, RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV2 | RSV3} {
			for _, op := range []Opcode{OpText, OpBinary, OpPing, OpPong, OpClose} {
				newPeer(t, role, Config{}).feed(in(true, rsv, op, "")).wantFailed(StatusProtocolError)
			}
			newPeer(t, role, Config{}).feed(slices.Concat(open, in(true, rsv, OpContinuation, ""))).wantFailed(StatusProtocolError)
		}
		for _, op := range []Opcode{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
			newPeer(t, role, Config{}).feed(in(true, 0, op, "x")).wantFailed(StatusProtocolError)
			newPeer(t, role, Config{}).feed(slices.Concat(open, in(true, 0, op, ""))).wantFailed(StatusProtocolError)
		}
	})
}

// Section 5.1: who masks.
func TestSection51Masking(t *testing.T) {
	newPeer(t, Server, Config{}).feed(unhex("81 01 61")).wantFailed(StatusProtocolError)
	newPeer(t, Client, Config{}).feed(unhex("81 81 00 00 00 00 61")).wantFailed(StatusProtocolError)

	client := newPeer(t, Client, Config{})
	var wire []byte
	keys := map[[4]byte]bool{}
	for range 100 {
		wire, _ = client.AppendMessage(wire, OpText, []byte("Hello"), false)
		wire, _ = client.AppendPing(wire, []byte("p"))
	}
	for _, f := range decodeAll(t, wire) {
		if !f.Masked {
			t.Fatal("a client sent a frame unmasked")
		}
		keys[f.Key] = true
	}
	if len(keys) < 199 { // two equal keys among 200 of 2^32 are a chance of 1 in 200,000
		t.Errorf("only %d keys for 200 frames", len(keys))
	}
}

// Section 5.4: fragments, empty ones included, with control frames between.
func TestSection54Fragmentation(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		wire := slices.Concat(in(false, 0, OpText, ""), in(false, 0, OpContinuation, "ab"), in(true, 0, OpPing, "1"),
			in(false, 0, OpContinuation, ""), in(true, 0, OpPong, "2"), in(true, 0, OpContinuation, "c"), in(true, 0, OpBinary, "d"))
		newPeer(t, role, Config{}).feed(wire).wantEvents("ping 31", "pong 32", "text 616263", "binary 64")

		open := in(false, 0, OpBinary, "a")
		for name, wire := range map[string][]byte{
			"continuation of nothing":       in(true, 0, OpContinuation, ""),
			"continuation after the end":    slices.Concat(open, in(true, 0, OpContinuation, ""), in(true, 0, OpContinuation, "")),
			"text in the middle of binary":  slices.Concat(open, in(true, 0, OpText, "b")),
			"binary in the middle of binay": slices.Concat(open, in(false, 0, OpBinary, "b")),
		} {
			t.Run(name, func(t *testing.T) {
				newPeer(t, role, Config{}).feed(wire).wantFailed(StatusProtocolError)
			})
		}
	})
}

func TestSection54Sending(t *testing.T) {
	p := newPeer(t, Server, Config{})
	wire, err := p.AppendFragment(nil, OpText, []byte("Hel"), false, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AppendMessage(nil, OpText, []byte("x"), false); err != ErrInterleaved {
		t.Errorf("a message inside a message: %v", err)
	}
	wire, _ = p.AppendPing(wire, nil)
	wire, _ = p.AppendFragment(wire, 0, nil, false, false)
	wire, _ = p.AppendFragment(wire, 0, []byte("lo"), true, false)
	wire, _ = p.AppendMessage(wire, OpText, []byte("!"), false)
	if want := unhex("01 03 48 65 6c 89 00 00 00 80 02 6c 6f 81 01 21"); !bytes.Equal(wire, want) {
		t.Errorf("sent %x, want %x", wire, want)
	}
}

func TestSendingInvalidText(t *testing.T) {
	p := newPeer(t, Server, Config{})
	if out, err := p.AppendMessage(nil, OpText, []byte("a\xff"), false); err != ErrInvalidText || len(out) != 0 {
		t.Errorf("%x, %v", out, err)
	}
	out, err := p.AppendFragment(nil, OpText, []byte("\xe2\x82"), false, false)
	if err != nil {
		t.Fatal("a character split over fragments:", err)
	}
	if _, err := p.AppendFragment(nil, OpText, []byte("a"), true, false); err != ErrInvalidText {
		t.Error("a character that is not finished:", err)
	}
	out, err = p.AppendFragment(out, OpText, []byte("\xac"), true, false)
	if err != nil {
		t.Fatal("the message must stand where it stood:", err)
	}
	newPeer(t, Client, Config{}).feed(out).wantEvents("text e282ac")
}

// Section 5.5: control frames are whole and small.
func TestSection55ControlFrames(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		for _, op := range []Opcode{OpClose, OpPing, OpPong} {
			newPeer(t, role, Config{}).feed(in(false, 0, op, "")).wantFailed(StatusProtocolError)
			newPeer(t, role, Config{}).feed(in(true, 0, op, strings.Repeat("\x03\xe8", 63))).wantFailed(StatusProtocolError)
		}
		longest := strings.Repeat("x", 125)
		p := newPeer(t, role, Config{}).feed(in(true, 0, OpPing, longest)).wantEvents(fmt.Sprintf("ping %x", longest))
		if f := decodeAll(t, p.out); len(f) != 1 || f[0].Opcode != OpPong || string(f[0].payload) != longest || f[0].Masked != (role == Client) {
			t.Errorf("answered %+v", f)
		}
		if _, err := p.AppendPing(nil, make([]byte, 126)); err == nil {
			t.Error("a ping of 126 bytes was sent")
		}
	})
}

// Section 5.5.1 and 7: the closing handshake.
func TestSection7CloseReceived(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		longest := strings.Repeat("r", 123)
		for _, test := range []struct{ payload, event, echo string }{
			{"", `close 1005 ""`, ""},
			{"\x03\xe8", `close 1000 ""`, "\x03\xe8"},
			{"\x03\xe8bye", `close 1000 "bye"`, "\x03\xe8"},
			{"\x13\x87" + longest, fmt.Sprintf("close 4999 %q", longest), "\x13\x87"},
		} {
			p := newPeer(t, role, Config{}).feed(slices.Concat(in(true, 0, OpClose, test.payload), in(true, 0, OpText, "late"), []byte{0xff, 0xff}))
			p.wantEvents(test.event) // nothing is processed after a close frame
			f := decodeAll(t, p.out)
			if len(f) != 1 || f[0].Opcode != OpClose || string(f[0].payload) != test.echo || p.State() != StateClosed {
				t.Errorf("close %x answered with %+v, state %v", test.payload, f, p.State())
			}
		}
		for _, test := range []struct {
			payload string
			code    StatusCode
		}{
			{"\x03", StatusProtocolError},
			{"\x03\xe8\xff", StatusInvalidPayload},
			{"\x03\xe8\xed\xa0\x80", StatusInvalidPayload},
		} {
			newPeer(t, role, Config{}).feed(in(true, 0, OpClose, test.payload)).wantFailed(test.code)
		}
	})
}

func TestSection74CodesOnWire(t *testing.T) {
	valid := map[StatusCode]bool{}
	for _, c := range []StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014} {
		valid[c] = true
	}
	for c := range 1 << 16 {
		code := StatusCode(c)
		want := valid[code] || 3000 <= code && code <= 4999
		if code.OnWire() != want {
			t.Errorf("OnWire(%d) = %v", c, !want)
		}
		p := newPeer(t, Server, Config{}).feed(sent(Client, FrameHeader{Fin: true, Opcode: OpClose}, []byte{byte(c >> 8), byte(c)}))
		if want {
			p.wantEvents(fmt.Sprintf(`close %d ""`, c))
		} else {
			p.wantFailed(StatusProtocolError)
		}
		if err := CheckClose(code, ""); (err == nil) != (want || code == StatusNoStatus) {
			t.Errorf("CheckClose(%d) = %v", c, err)
		}
	}
}

func TestSection7CloseSent(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		p := newPeer(t, role, Config{})
		out, err := p.AppendClose(nil, StatusGoingAway, "bye")
		if f := decodeAll(t, out); err != nil || len(f) != 1 || string(f[0].payload) != "\x03\xe9bye" || p.State() != StateClosing {
			t.Fatalf("%v, %+v, %v", err, f, p.State())
		}
		if _, err := p.AppendMessage(nil, OpText, nil, false); err != ErrNotOpen {
			t.Error("a message after a close frame:", err)
		}
		if _, err := p.AppendClose(nil, StatusNormalClosure, ""); err != ErrNotOpen {
			t.Error("a second close frame:", err)
		}
		// Both at once: theirs is no answer to ours, and needs none.
		p.feed(slices.Concat(in(true, 0, OpText, "m"), in(true, 0, OpPing, "p"), in(true, 0, OpClose, "\x03\xe8")))
		p.wantEvents("text 6d", "ping 70", `close 1000 ""`)
		if f := decodeAll(t, p.out); len(f) != 1 || f[0].Opcode != OpPong || p.State() != StateClosed {
			t.Errorf("sent %+v after its close frame, state %v", f, p.State())
		}
	})
}

func TestCloseArguments(t *testing.T) {
	p := newPeer(t, Server, Config{})
	for _, test := range []struct {
		code   StatusCode
		reason string
	}{
		{999, ""}, {1004, ""}, {1005, "reason"}, {1006, ""}, {1015, ""}, {5000, ""},
		{1000, strings.Repeat("x", 124)}, {1000, "\xff"},
	} {
		if out, err := p.AppendClose(nil, test.code, test.reason); err == nil || len(out) > 0 || p.State() != StateOpen {
			t.Errorf("AppendClose(%d, %q) = %x, %v", test.code, test.reason, out, err)
		}
	}
	out, err := p.AppendClose(nil, StatusNoStatus, "")
	if err != nil || !bytes.Equal(out, unhex("88 00")) {
		t.Errorf("a close frame without a code: %x, %v", out, err)
	}
}

// Section 8.1: text that is not UTF-8 fails with 1007, at the byte that breaks it.
func TestSection81InvalidText(t *testing.T) {
	bad := map[string]string{
		"lone continuation": "\x80", "overlong 2": "\xc0", "overlong 2, C1": "\xc1", "overlong 3": "\xe0\x9f", "overlong 4": "\xf0\x8f",
		"surrogate": "\xed\xa0", "above U+10FFFF": "\xf4\x90", "F5": "\xf5", "FE": "\xfe", "FF": "\xff", "interrupted 2": "\xc3a",
		"interrupted 3": "\xe2\x82a", "interrupted 4": "\xf0\x9f\x98a",
	}
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		for name, text := range bad {
			t.Run(name, func(t *testing.T) {
				newPeer(t, role, Config{}).feed(in(true, 0, OpText, "ok"+text)).wantFailed(StatusInvalidPayload)
				// The frame claims more; the failure does not wait for it.
				claim := in(true, 0, OpText, text+strings.Repeat("z", 1000))
				stop := len(claim) - 1000
				newPeer(t, role, Config{}).feed(claim[:stop]).wantFailed(StatusInvalidPayload)
				for cut := range text {
					wire := slices.Concat(in(false, 0, OpText, text[:cut]), in(false, 0, OpContinuation, text[cut:]))
					newPeer(t, role, Config{}).feed(wire).wantFailed(StatusInvalidPayload)
				}
			})
		}
		for _, text := range []string{"\xc3", "\xe2\x82", "\xf0\x9f\x98"} {
			newPeer(t, role, Config{}).feed(in(true, 0, OpText, text)).wantFailed(StatusInvalidPayload)
			newPeer(t, role, Config{}).feed(in(true, 0, OpBinary, text)).wantEvents(fmt.Sprintf("binary %x", text))
		}
	})
}

func TestUnsupportedData(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		newPeer(t, role, Config{Only: OpText}).feed(slices.Concat(in(true, 0, OpText, "a"), in(true, 0, OpBinary, "b"))).wantFailed(StatusUnsupportedData)
		newPeer(t, role, Config{Only: OpBinary}).feed(in(true, 0, OpText, "a")).wantFailed(StatusUnsupportedData)
	})
}

func TestMessageLimit(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		for _, pieces := range []bool{false, true} {
			config := Config{MaxMessage: 10, Pieces: pieces}
			newPeer(t, role, config).feed(slices.Concat(in(false, 0, OpText, "12345"), in(true, 0, OpContinuation, "67890"))).wantEvents("text 31323334353637383930")
			newPeer(t, role, config).feed(in(true, 0, OpText, "12345678901")[:8]).wantFailed(StatusMessageTooBig)
			newPeer(t, role, config).feed(slices.Concat(in(false, 0, OpText, "12345"), in(true, 0, OpContinuation, "678901"))).wantFailed(StatusMessageTooBig)
		}
	})
}

// RFC 7692, sections 6.1 and 6.2: RSV1 belongs to the first frame of a data
// message, and to nothing else.
func TestDeflateRSV1(t *testing.T) {
	bothRoles(t, func(t *testing.T, role Role, in func(bool, byte, Opcode, string) []byte) {
		hello := string(unhex("f2 48 cd c9 c9 07 00")) // RFC 7692, section 7.2.3.1
		newDeflatePeer(t, role, Config{}).feed(in(true, RSV1, OpText, hello)).wantEvents("text 48656c6c6f")
		newDeflatePeer(t, role, Config{}).feed(slices.Concat(in(false, RSV1, OpText, hello[:3]), in(true, 0, OpPing, ""), in(true, 0, OpContinuation, hello[3:]))).
			wantEvents("ping ", "text 48656c6c6f")
		newDeflatePeer(t, role, Config{}).feed(in(true, 0, OpText, "plain")).wantEvents("text 706c61696e")
		newDeflatePeer(t, role, Config{}).feed(slices.Concat(in(false, RSV1, OpText, hello[:3]), in(true, RSV1, OpContinuation, hello[3:]))).wantFailed(StatusProtocolError)
		for _, op := range []Opcode{OpPing, OpPong, OpClose} {
			newDeflatePeer(t, role, Config{}).feed(in(true, RSV1, op, "")).wantFailed(StatusProtocolError)
		}
		newDeflatePeer(t, role, Config{}).feed(in(true, RSV2, OpText, hello)).wantFailed(StatusProtocolError)
		newDeflatePeer(t, role, Config{}).feed(in(true, RSV1, OpText, "\xff\xff")).wantFailed(StatusInvalidPayload)
		newDeflatePeer(t, role, Config{MaxMessage: 4}).feed(in(true, RSV1, OpText, hello)).wantFailed(StatusMessageTooBig)
	})
}

func TestDeflateRoundTrip(t *testing.T) {
	message := []byte(strings.Repeat("all work and no play ", 200))
	for _, from := range []Role{Server, Client} {
		sender, receiver := newDeflatePeer(t, from, Config{}), newDeflatePeer(t, other(from), Config{})
		var wire []byte
		wire, _ = sender.AppendMessage(wire, OpText, message, true)
		wire, _ = sender.AppendMessage(wire, OpText, nil, true)
		wire, _ = sender.AppendFragment(wire, OpBinary, message[:100], false, true)
		wire, _ = sender.AppendPing(wire, nil)
		wire, _ = sender.AppendFragment(wire, OpBinary, nil, false, true)
		wire, _ = sender.AppendFragment(wire, OpBinary, message[100:], true, true)
		if len(wire) > len(message) {
			t.Errorf("%d bytes on the wire", len(wire))
		}
		receiver.feed(wire).wantEvents(fmt.Sprintf("text %x", message), "text ", "ping ", fmt.Sprintf("binary %x", message))
	}
}

// The hot path: a small whole message in, its echo out.
func TestEchoAllocatesNothing(t *testing.T) {
	for _, role := range []Role{Server, Client} {
		p := newPeer(t, role, Config{})
		wire := sent(other(role), FrameHeader{Fin: true, Opcode: OpText}, bytes.Repeat([]byte("a"), 64))
		in, out := make([]byte, len(wire)), make([]byte, 0, 1024)
		allocs := testing.AllocsPerRun(1000, func() {
			copy(in, wire)
			ev, n, reply := p.Next(in, out[:0])
			if ev.Kind != EventData || n != len(in) {
				t.Fatalf("%+v, %d", ev, n)
			}
			if _, err := p.AppendMessage(reply, ev.Opcode, ev.Payload, false); err != nil {
				t.Fatal(err)
			}
			if ev, _, _ := p.Next(nil, reply); ev.Kind != EventNone {
				t.Fatal("an event without input")
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations for one echo", role, allocs)
		}
	}
}
