package load

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// feedIn feeds a connection n bytes at a time.
func feedIn(c *conn, b []byte, n int) (messages int, wrong *failure) {
	var t tally
	for len(b) > 0 && wrong == nil {
		var done int
		done, wrong = c.feed(b[:min(n, len(b))], &t)
		messages += done
		b = b[min(n, len(b)):]
	}
	if int64(messages) != t.messages || int64(messages) != c.received {
		panic("the counts differ")
	}
	return messages, wrong
}

// The checks of the replies must find what is wrong. Each case is what a server
// sends after the texts "hello" and "again" came, in this order.
func TestReplies(t *testing.T) {
	s := newStream([][]byte{[]byte("hello"), []byte("again")}, protocol.OpText, variant{})
	for name, c := range map[string]struct {
		reply    string
		messages int
		kind     Kind
		want     string
	}{
		"right":                      {"\x81\x05hello\x81\x05again\x81\x05hello", 3, "", ""},
		"in fragments":               {"\x01\x02he\x80\x03llo\x81\x05again", 2, "", ""},
		"fragments and pings":        {"\x81\x05hello\x01\x02ag\x89\x00\x00\x00\x80\x03ain\x8a\x03abc\x81\x05hello", 3, "", ""},
		"other content":              {"\x81\x05hello\x81\x05agaiN", 1, WrongReply, "reply 1 differs"},
		"other order":                {"\x81\x05again", 0, WrongReply, "reply 0 differs"},
		"one is missing":             {"\x81\x05hello\x81\x05hello", 1, WrongReply, "reply 1 differs"},
		"shorter":                    {"\x81\x04hell", 0, WrongReply, "reply 0 has 4 bytes, and 5 were sent"},
		"longer":                     {"\x81\x06hello!", 0, WrongReply, "longer than the 5 bytes"},
		"other type":                 {"\x82\x05hello", 0, WrongReply, "reply 0 is binary, and what was sent is text"},
		"masked":                     {"\x81\x85....hello", 0, Protocol, "masked"},
		"compressed without consent": {"\xc1\x05hello", 0, Protocol, "no compression was agreed"},
		"reserved bit":               {"\xa1\x05hello", 0, Protocol, "reserved bits"},
		"continuation of nothing":    {"\x80\x05hello", 0, Protocol, "continuation"},
		"message inside a message":   {"\x01\x02he\x81\x03llo", 0, Protocol, "inside"},
		"fragmented ping":            {"\x09\x00", 0, Protocol, "control frame"},
		"long form of a length":      {"\x81\x7e\x00\x05hello", 0, Protocol, "broke the protocol"},
		"closed":                     {"\x81\x05hello\x88\x05\x03\xf1bad", 1, Closed, `1009 (message too big): "bad"`},
		"closed without a code":      {"\x88\x00", 0, Closed, "without a code"},
		"unknown opcode":             {"\x83\x00", 0, Protocol, "opcode"},
	} {
		for step := 1; step <= len(c.reply); step++ { // in every piece size
			messages, wrong := feedIn(&conn{stream: s}, []byte(c.reply), step)
			switch {
			case messages != c.messages:
				t.Errorf("%s, %d bytes at a time: %d messages, not %d", name, step, messages, c.messages)
			case (wrong == nil) != (c.kind == ""):
				t.Errorf("%s, %d bytes at a time: %v", name, step, wrong)
			case wrong != nil && (wrong.kind != c.kind || !strings.Contains(wrong.Error(), c.want)):
				t.Errorf("%s, %d bytes at a time: %s: %v, not %s: %s", name, step, wrong.kind, wrong, c.kind, c.want)
			}
		}
	}
}

// Of large messages one in sixteen is compared; the length always is.
func TestLargeReplies(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 1000)
	s := newStream([][]byte{large}, protocol.OpBinary, variant{})
	reply := func(p []byte) []byte {
		return append(protocol.AppendHeader(nil, protocol.FrameHeader{Fin: true, Opcode: protocol.OpBinary, Length: int64(len(p))}), p...)
	}
	wrong := bytes.Clone(large)
	wrong[7777]++
	c := &conn{stream: s}
	if n, f := feedIn(c, bytes.Repeat(reply(large), 16), 1000); n != 16 || f != nil {
		t.Fatal(n, f)
	}
	if n, f := feedIn(&conn{stream: s}, reply(wrong), 1000); n != 0 || f == nil || f.kind != WrongReply {
		t.Error("the first message may differ:", n, f)
	}
	if n, f := feedIn(&conn{stream: s}, reply(large[1:]), 999); n != 0 || f == nil || f.kind != WrongReply {
		t.Error("a message may be too short:", n, f)
	}
}

func TestCompressedReplies(t *testing.T) {
	const sent = "hello hello hello"
	s := newStream([][]byte{[]byte(sent)}, protocol.OpText, variant{deflate: true, bits: 15})
	for text, kind := range map[string]Kind{sent: "", "hello hello hellO": WrongReply, "hello hello": WrongReply, "hello hello hello!": WrongReply} {
		zip := deflate.NewCompressor(nil, 15, false)
		z := zip.AppendMessage(nil, []byte(text))
		c := &conn{stream: s}
		c.in.inflate = &inflater{deflate: deflate.NewDecompressor(nil, 15, false)}
		n, wrong := feedIn(c, append([]byte{0xc1, byte(len(z))}, z...), 3)
		if (kind == "") != (wrong == nil && n == 1) || wrong != nil && wrong.kind != kind {
			t.Errorf("%q: %d messages, %v", text, n, wrong)
		}
	}
	c := &conn{stream: s}
	c.in.inflate = &inflater{deflate: deflate.NewDecompressor(nil, 15, false)}
	if _, wrong := feedIn(c, []byte("\xc1\x03\xff\xff\xff"), 5); wrong == nil || wrong.kind != Protocol {
		t.Error("garbage:", wrong)
	}
	if n, wrong := feedIn(&conn{stream: s, in: parser{inflate: &inflater{}}}, []byte("\x81\x11"+sent), 5); n != 1 || wrong != nil {
		t.Error("a server need not compress every message:", n, wrong)
	}
}

// What leaves is what a server must be able to read, whatever the socket takes at
// a time, and control frames never stand inside of others.
func TestStreamsAreReadable(t *testing.T) {
	for _, mode := range compressions {
		for _, size := range []int{0, 25, 125, 126, 3000, 70000} {
			config := Config{Size: size, Compression: mode}
			texts := payloads(&config)
			v := variant{mode != websocket.CompressionOff, mode == websocket.CompressionTakeover, 10}
			c := &conn{stream: newStream(texts, protocol.OpBinary, v), owed: 3*len(texts) + 5}
			wire := sendInPieces(t, c, 7777)
			var endpoint protocol.Endpoint
			var inflate *deflate.Decompressor
			if v.deflate {
				inflate = deflate.NewDecompressor(nil, v.bits, v.takeover)
			}
			endpoint.Init(&protocol.Config{Role: protocol.Server}, nil, inflate)
			messages, pings := 0, 0
			for rest := wire; len(rest) > 0; {
				ev, n, _ := endpoint.Next(rest, nil)
				switch rest = rest[n:]; ev.Kind {
				case protocol.EventData:
					if !bytes.Equal(ev.Payload, texts[messages%len(texts)]) {
						t.Fatalf("%s, %d bytes: message %d differs", compressionNames[mode], size, messages)
					}
					messages++
				case protocol.EventPing:
					pings++
				case protocol.EventFailed:
					t.Fatalf("%s, %d bytes, message %d: %v", compressionNames[mode], size, messages, ev.Err)
				}
			}
			if messages != 3*len(texts)+5 || pings == 0 {
				t.Errorf("%s, %d bytes: %d messages, %d pings", compressionNames[mode], size, messages, pings)
			}
			endpoint.Close()
		}
	}
}

// sendInPieces sends all that c owes through a socket that takes few bytes at a
// time, with a ping now and then.
func sendInPieces(t *testing.T, c *conn, most int) (wire []byte) {
	t.Helper()
	for turn := 0; c.owed > 0 || len(c.urgent) > 0; turn++ {
		if turn%100 == 0 && c.owed > 0 {
			c.urgent = appendControl(c.urgent, protocol.OpPing, []byte("are you there?"))
		}
		wrong := c.send(func(_ link, p []byte) (int, error) {
			n := min(len(p), most)
			wire = append(wire, p[:n]...)
			if n < len(p) {
				return n, errNoRoom
			}
			return n, nil
		})
		if wrong != nil {
			t.Fatal(wrong)
		}
	}
	return wire
}

func TestPayloads(t *testing.T) {
	for _, size := range []int{0, 1, 40, 64, 1024, 4096} {
		seen := map[string]bool{}
		for _, p := range payloads(&Config{Size: size, Text: true}) {
			if len(p) != size || !utf8.Valid(p) {
				t.Fatalf("size %d: %d bytes %q", size, len(p), p)
			}
			seen[string(p)] = true
		}
		if size >= 128 && len(seen) != 64 {
			t.Errorf("size %d: only %d different payloads", size, len(seen))
		}
	}
	if all := payloads(&Config{Size: 100, Same: true}); !bytes.Equal(all[0], all[63]) {
		t.Error("they should be the same")
	}
}

func TestTimes(t *testing.T) {
	var q times
	next, gone := int64(0), int64(0)
	for round := range 100 {
		for range round % 7 {
			q.push(next/3, 1)
			next++
		}
		for range round % 5 {
			if at, n := q.pop(1); n == 1 {
				if at != gone/3 {
					t.Fatalf("message %d is of %d", gone, at)
				}
				gone++
			}
		}
	}
	for _, n := q.pop(100); n > 0; _, n = q.pop(100) {
		gone += n
	}
	if gone != next {
		t.Errorf("%d went in, %d came out", next, gone)
	}
}
