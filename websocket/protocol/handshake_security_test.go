package protocol

import (
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// CVE-2023-43669 (tungstenite): a very long header, arriving in small pieces,
// was parsed again from its start for each piece, without a limit.
func TestSecurityCVE202343669LongHeader(t *testing.T) {
	for _, test := range []struct {
		name  string
		head  string
		parse func([]byte, Limits) error
	}{
		{"request", "GET / HTTP/1.1\r\nHost: h\r\nX: ", func(b []byte, l Limits) error { _, _, err := ParseRequest(b, l); return err }},
		{"request line", "GET /", func(b []byte, l Limits) error { _, _, err := ParseRequest(b, l); return err }},
		{"response", "HTTP/1.1 101 x\r\nX: ", func(b []byte, l Limits) error { _, _, err := ParseResponse(b, l); return err }},
		{"status line", "HTTP/1.1 101 ", func(b []byte, l Limits) error { _, _, err := ParseResponse(b, l); return err }},
	} {
		t.Run(test.name, func(t *testing.T) {
			buf := []byte(test.head)
			for test.parse(buf, Limits{}) == nil {
				if buf = append(buf, 'a'); len(buf) > DefaultHeaderBytes+100 {
					t.Fatalf("%d bytes without an end were taken", len(buf))
				}
			}
			// An incomplete head costs no memory of its own, so a peer that
			// sends byte by byte buys nothing.
			short := buf[:len(buf)-10]
			if n := testing.AllocsPerRun(10, func() { test.parse(short, Limits{}) }); n != 0 {
				t.Errorf("%v allocations for a head without an end", n)
			}
		})
	}
}

// CVE-2024-37890 (ws): more headers than the limit crashed the server.
func TestSecurityCVE202437890ManyHeaders(t *testing.T) {
	for _, count := range []int{DefaultHeaderCount + 1, 2000, 100_000} {
		_, _, err := ParseRequest([]byte(sample+strings.Repeat("X: y\r\n", count)+"\r\n"), Limits{})
		mustRefuse(t, err, 431, "header lines")
		_, _, err = ParseResponse([]byte(sampleAnswer+strings.Repeat("X: y\r\n", count)+"\r\n"), Limits{})
		mustRefuse(t, err, 0, "header lines")
	}
}

// CVE-2021-32640 (ws): a regular expression over Sec-WebSocket-Protocol took
// quadratic time for a run of spaces. A quadratic pass over these 8 MiB would
// take hours, so that this test ends is the proof.
func TestSecurityCVE202132640Spaces(t *testing.T) {
	spaces := strings.Repeat(" ", 8<<20)
	limits := Limits{HeaderBytes: 16 << 20, TotalBytes: 64 << 20}
	terms := &Terms{Subprotocols: []string{"b"}, Deflate: &deflate.Options{}, Limits: limits}
	for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} {
		for _, value := range []string{"b" + spaces + "b", "b" + spaces + ", c", spaces + "\x01", "b;" + spaces + "=" + spaces + "1",
			`b;c="` + spaces, strings.Repeat(",", 8<<20), strings.Repeat(" ,", 4<<20)} {
			req, _, err := ParseRequest([]byte(sample+name+": "+value+"\r\n\r\n"), limits)
			if err == nil {
				terms.Answer(&req)
			}
		}
	}
}

// GHSA-5v72-xg48-5rpm (ws): names of members that every JavaScript object has,
// used as extension or parameter names, crashed the server.
func TestSecurityGHSA5v72xg485rpmExtensionNames(t *testing.T) {
	terms := &Terms{Deflate: &deflate.Options{}}
	for _, name := range []string{"constructor", "__proto__", "prototype", "toString", "hasOwnProperty", "valueOf"} {
		for _, value := range []string{name, name + "; " + name, name + "; " + name + "=1", "permessage-deflate; " + name,
			"permessage-deflate; " + name + "=" + name} {
			a, err := answer(t, terms, sample+"Sec-WebSocket-Extensions: "+value+"\r\n\r\n")
			if err != nil || a.Deflate != nil {
				t.Errorf("%s: agreed %v, %v; want it declined", value, a.Deflate, err)
			}
			_, err = check(t, terms, sampleAnswer+"Sec-WebSocket-Extensions: "+value+"\r\n\r\n")
			mustRefuse(t, err, 0, "")
		}
	}
}
