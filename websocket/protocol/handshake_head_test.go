package protocol

import (
	"reflect"
	"strings"
	"testing"
)

// RFC 9112, sections 2 to 5, as far as a handshake needs it.
func TestParseRequest(t *testing.T) {
	raw := "GET /chat?a=1 HTTP/1.1\r\nhost: h:80\r\nX-EMPTY:\r\nx-a: 1\r\nSEC-WEBSOCKET-KEY:\t k \t\r\nX-A: 2 3\r\n\r\nbehind"
	req, n, err := ParseRequest([]byte(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := Request{Method: "GET", Target: "/chat?a=1", Major: 1, Minor: 1, Host: "h:80",
		Header: Header{"X-Empty": {""}, "X-A": {"1", "2 3"}, "Sec-Websocket-Key": {"k"}}}
	if !reflect.DeepEqual(req, want) {
		t.Errorf("got %+v\nwant %+v", req, want)
	}
	if raw[n:] != "behind" {
		t.Errorf("left %q", raw[n:])
	}
}

func TestParseRequestKeepsNothingOfTheBuffer(t *testing.T) {
	buf := []byte(sample + "\r\n")
	req, _, err := ParseRequest(buf, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(buf)
	if req.Header.Get("Upgrade") != "websocket" || req.Host != "server.example.com" || req.Target != "/chat" {
		t.Errorf("request changed with the buffer: %+v", req)
	}
}

func TestParseRequestHost(t *testing.T) {
	for _, test := range []struct{ target, host, want string }{
		{"/", "a:1", "a:1"},
		{"http://b:2/x", "a:1", "b:2"}, // RFC 9112, section 3.2.2
		{"HTTP://b?q", "a", "b"},
		{"ws://b", "a", "b"},
		{"/http://b/", "a", "a"},
		{"http://b/http://c/", "a", "b"},
	} {
		req, _, err := ParseRequest([]byte("GET "+test.target+" HTTP/1.1\r\nHost: "+test.host+"\r\n\r\n"), Limits{})
		if err != nil || req.Host != test.want {
			t.Errorf("target %s, Host %s: got %q, %v; want %q", test.target, test.host, req.Host, err, test.want)
		}
	}
}

func TestParseRequestMalformed(t *testing.T) {
	const host = "Host: h\r\n"
	tests := []struct {
		name   string
		raw    string
		status int
		reason string
	}{
		{"TLS", "\x16\x03\x01\x02\x00", 400, "TLS"},
		{"SOCKS", "\x05\x01\x00", 400, "0x05"},
		{"space first", " GET / HTTP/1.1\r\n", 400, "0x20"},
		{"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\n", 400, "0x0d"},
		{"lone CR first", "\rGET", 400, "CR"},
		{"HTTP/0.9", "GET /\r\n\r\n", 400, "request line"},
		{"no method", "/ HTTP/1.1\r\n" + host + "\r\n", 400, "0x2f"},
		{"bad method", "G(T / HTTP/1.1\r\n" + host + "\r\n", 400, "request line"},
		{"two spaces", "GET  / HTTP/1.1\r\n" + host + "\r\n", 400, ""},
		{"space behind", "GET / HTTP/1.1 \r\n" + host + "\r\n", 400, "HTTP version"},
		{"tab between", "GET\t/\tHTTP/1.1\r\n" + host + "\r\n", 400, "request line"},
		{"space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400, "HTTP version"},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"CR in the target", "GET /\r HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"relative target", "GET chat HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"star", "GET * HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"user information", "GET http://u:p@h/ HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"no authority", "GET http:///x HTTP/1.1\r\n" + host + "\r\n", 400, "request target"},
		{"version in lower case", "GET / http/1.1\r\n" + host + "\r\n", 400, "HTTP version"},
		{"version of two digits", "GET / HTTP/1.10\r\n" + host + "\r\n", 400, "HTTP version"},
		{"version without minor", "GET / HTTP/1\r\n" + host + "\r\n", 400, "HTTP version"},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0"},

		{"bare LF", "GET / HTTP/1.1\nHost: h\n\n", 400, "CRLF"},
		{"bare LF in the fields", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400, "CRLF"},
		{"bare LF as the last line", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400, "CRLF"},
		{"bare CR", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400, "control character"},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\r\n\r\n", 400, "control character"},
		{"CR CR LF as the last line", "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n", 400, "no colon"},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, "folded"},
		{"obs-fold with tab", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb: c\r\n\r\n", 400, "folded"},
		{"space first in the fields", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, "white space"},
		{"space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, "colon"},
		{"tab before the colon", "GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", 400, "colon"},
		{"no name", "GET / HTTP/1.1\r\n: h\r\n\r\n", 400, "not a token"},
		{"no colon", "GET / HTTP/1.1\r\nHost\r\n\r\n", 400, "no colon"},
		{"name above ASCII", "GET / HTTP/1.1\r\nHost: h\r\nX\xe9: y\r\n\r\n", 400, "not a token"},
		{"parentheses in a name", "GET / HTTP/1.1\r\nHost: h\r\nX(1): y\r\n\r\n", 400, "not a token"},
		{"NUL in a name", "GET / HTTP/1.1\r\nHost: h\r\nX\x00: y\r\n\r\n", 400, "not a token"},
		{"NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400, "control character"},
		{"NUL at a value's edge", "GET / HTTP/1.1\r\nHost: h\r\nX: \x00\r\n\r\n", 400, "control character"},
		{"DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n", 400, "control character"},
		{"vertical tab in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\vb\r\n\r\n", 400, "control character"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, n, err := ParseRequest([]byte(test.raw), Limits{})
			mustRefuse(t, err, test.status, test.reason)
			if n != 0 {
				t.Errorf("took %d bytes beside an error", n)
			}
		})
	}
}

func TestParseResponse(t *testing.T) {
	raw := "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n\x81\x00"
	resp, n, err := ParseResponse([]byte(raw), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := Response{Status: 101, Reason: "Switching Protocols", Major: 1, Minor: 1,
		Header: Header{"Upgrade": {"websocket"}, "Set-Cookie": {"a", "b"}}}
	if !reflect.DeepEqual(resp, want) {
		t.Errorf("got %+v\nwant %+v", resp, want)
	}
	if raw[n:] != "\x81\x00" {
		t.Errorf("left %q", raw[n:])
	}
}

func TestParseResponseMalformed(t *testing.T) {
	for name, raw := range map[string]string{
		"TLS alert":         "\x15\x03\x01\x00\x02\x02\x46",
		"empty line first":  "\r\nHTTP/1.1 101 x\r\n\r\n",
		"SSH":               "SSH-2.0-OpenSSH\r\n",
		"HTTP without rest": "HTTP\r\n\r\n",
		"version":           "HTTP/1.x 101 x\r\n\r\n",
		"status of 2":       "HTTP/1.1 10 x\r\n\r\n",
		"status of 4":       "HTTP/1.1 1010 x\r\n\r\n",
		"status 000":        "HTTP/1.1 000 x\r\n\r\n",
		"status no number":  "HTTP/1.1 1a1 x\r\n\r\n",
		"signed status":     "HTTP/1.1 +11 x\r\n\r\n",
		"two spaces":        "HTTP/1.1  101 x\r\n\r\n",
		"control in reason": "HTTP/1.1 101 a\x00\r\n\r\n",
		"bare LF":           "HTTP/1.1 101 x\nUpgrade: websocket\n\n",
		"obs-fold":          "HTTP/1.1 101 x\r\nA: b\r\n c\r\n\r\n",
		"space, colon":      "HTTP/1.1 101 x\r\nA : b\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := ParseResponse([]byte(raw), Limits{})
			mustRefuse(t, err, 0, "")
			if n != 0 {
				t.Errorf("took %d bytes beside an error", n)
			}
		})
	}
}

// Every proper prefix of a good head needs more, and more behind it does not
// change it.
func TestParseNeedsMore(t *testing.T) {
	request := []byte("\r\n" + sample + "\r\n")
	response := []byte(sampleAnswer + "\r\n")
	for i := range request {
		if _, n, err := ParseRequest(request[:i], Limits{}); n != 0 || err != nil {
			t.Fatalf("request: %d bytes gave %d, %v", i, n, err)
		}
	}
	for i := range response {
		if _, n, err := ParseResponse(response[:i], Limits{}); n != 0 || err != nil {
			t.Fatalf("response: %d bytes gave %d, %v", i, n, err)
		}
	}
}

// Each limit holds at its exact value, and is reported as soon as it is
// passed, without waiting for the end of the head.
func TestParseLimits(t *testing.T) {
	const first = "GET / HTTP/1.1\r\n"
	lines := func(n int) string { return strings.Repeat("A: b\r\n", n) }
	tests := []struct {
		name   string
		limits Limits
		raw    string
		status int // 0: accepted
	}{
		{"count reached", Limits{HeaderCount: 5}, first + "Host: h\r\n" + lines(4) + "\r\n", 0},
		{"count passed", Limits{HeaderCount: 5}, first + "Host: h\r\n" + lines(5), 431},
		{"default count reached", Limits{}, first + "Host: h\r\n" + lines(99) + "\r\n", 0},
		{"default count passed", Limits{}, first + "Host: h\r\n" + lines(100), 431},

		{"line reached", Limits{HeaderBytes: 20}, first + "Host: h\r\nX: 89012345678901234\r\n\r\n", 0},
		{"line passed", Limits{HeaderBytes: 20}, first + "Host: h\r\nX: 890123456789012345\r\n", 431},
		{"line passed without an end", Limits{HeaderBytes: 20}, first + "Host: h\r\nX: 8901234567890123456", 431},
		{"name passed", Limits{HeaderBytes: 20}, first + strings.Repeat("n", 22), 431},
		{"default line passed", Limits{}, first + "X: " + strings.Repeat("a", 8<<10), 431},

		{"first line reached", Limits{HeaderBytes: 20}, "GET /567890 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
		{"first line passed", Limits{HeaderBytes: 20}, "GET /5678901 HTTP/1.1\r\n", 414},
		{"first line passed without an end", Limits{HeaderBytes: 20}, "GET /" + strings.Repeat("a", 17), 414},
		{"method without an end", Limits{}, strings.Repeat("G", 8<<10+2), 414},

		{"total reached", Limits{TotalBytes: 27}, first + "Host: h\r\n\r\n", 0},
		{"total passed", Limits{TotalBytes: 26}, first + "Host: h\r\n\r\n", 431},
		{"total passed without an end", Limits{TotalBytes: 26}, first + "Host: hhhhh", 431},
		{"default total passed", Limits{HeaderCount: 1 << 20}, first + lines(32<<10), 431},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, n, err := ParseRequest([]byte(test.raw), test.limits)
			if test.status != 0 {
				mustRefuse(t, err, test.status, "limit")
			} else if err != nil || n != len(test.raw) {
				t.Fatalf("took %d of %d bytes, %v", n, len(test.raw), err)
			}
		})
	}
}

// The limits hold too for what somebody else has parsed, on both sides.
func TestLimitsOfParsedHeaders(t *testing.T) {
	many := make(Header)
	many["X"] = make([]string, DefaultHeaderCount+1)
	for name, h := range map[string]Header{
		"count": many,
		"line":  {"X": {strings.Repeat("a", DefaultHeaderBytes)}},
		"total": {"X": {strings.Repeat("a", 8000), strings.Repeat("a", 8000), strings.Repeat("a", 8000), strings.Repeat("a", 8000), strings.Repeat("a", 800)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Terms{}).Answer(&Request{Method: "GET", Target: "/", Major: 1, Minor: 1, Host: "h", Header: h})
			mustRefuse(t, err, 431, "limit")
			_, err = (&Terms{}).Check(&Response{Status: 101, Major: 1, Minor: 1, Header: h}, sampleKey)
			mustRefuse(t, err, 0, "limit")
		})
	}
	_, err := (&Terms{}).Answer(&Request{Method: "GET", Target: "/" + strings.Repeat("a", DefaultHeaderBytes), Major: 1, Minor: 1, Host: "h"})
	mustRefuse(t, err, 414, "limit")
}

// A reconnect storm parses many heads.
func TestParseRequestAllocations(t *testing.T) {
	raw := []byte(sample + "Origin: http://example.com\r\nUser-Agent: x\r\nAccept-Encoding: gzip\r\n\r\n")
	allocations := testing.AllocsPerRun(100, func() {
		if _, _, err := ParseRequest(raw, Limits{}); err != nil {
			t.Fatal(err)
		}
	})
	// The head as one string, the values as one slice, the map, and a name for
	// each Sec-WebSocket field, which net/http spells otherwise than the wire.
	if allocations > 6 {
		t.Errorf("%v allocations", allocations)
	}
	if allocations := testing.AllocsPerRun(100, func() { ParseRequest(raw[:len(raw)-1], Limits{}) }); allocations != 0 {
		t.Errorf("%v allocations for an incomplete head", allocations)
	}
}

func TestHeaderNames(t *testing.T) {
	for in, want := range map[string]string{
		"host": "Host", "HOST": "Host", "Sec-WebSocket-Key": "Sec-Websocket-Key", "x--y": "X--Y", "-a": "-A", "a-": "A-",
		"1a": "1a", "Content-Type": "Content-Type", "not a token": "not a token", "é": "é", "": "", "x_Y": "X_y",
	} {
		if got := canonicalName(in); got != want {
			t.Errorf("canonicalName(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestValidToken(t *testing.T) {
	for s, want := range map[string]bool{"chat": true, "v1.2+x": true, "!#$%&'*+-.^_`|~9": true, "": false, "a b": false, "a,b": false, "a/b": false, "é": false, "a\n": false} {
		if ValidToken(s) != want {
			t.Errorf("ValidToken(%q) is %v", s, !want)
		}
	}
}

// A whole handshake of a browser, as the server sees it.
func BenchmarkHandshakeServer(b *testing.B) {
	raw := []byte(sample + "Origin: https://server.example.com\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
	terms := &Terms{}
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		req, _, err := ParseRequest(raw, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		a, err := terms.Answer(&req)
		if err != nil {
			b.Fatal(err)
		}
		if out, err = AppendResponse(out[:0], &a, nil); err != nil {
			b.Fatal(err)
		}
	}
}
