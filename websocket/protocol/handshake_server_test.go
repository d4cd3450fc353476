package protocol

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// sample is the handshake of RFC 6455, section 1.2, without its last lines.
const sample = "GET /chat HTTP/1.1\r\n" +
	"Host: server.example.com\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Version: 13\r\n"

// answer parses raw as a whole request head and answers it.
func answer(t *testing.T, terms *Terms, raw string) (Agreement, error) {
	t.Helper()
	req, n, err := ParseRequest([]byte(raw), terms.Limits)
	if err != nil {
		return Agreement{}, err
	}
	if n != len(raw) {
		t.Fatalf("ParseRequest took %d of %d bytes", n, len(raw))
	}
	return terms.Answer(&req)
}

// mustRefuse demands a HandshakeError with this status whose reason contains
// part.
func mustRefuse(t *testing.T, err error, status int, part string) *HandshakeError {
	t.Helper()
	refused, ok := errors.AsType[*HandshakeError](err)
	if !ok {
		t.Fatalf("error is %v, want a *HandshakeError", err)
	}
	if refused.Status != status || !strings.Contains(refused.Reason, part) {
		t.Fatalf("refused with %d: %s\nwant %d: ...%s...", refused.Status, refused.Reason, status, part)
	}
	return refused
}

// RFC 6455, section 1.3 and 4.2.2: the example of the RFC, byte for byte.
func TestServerHandshakeOfTheRFC(t *testing.T) {
	terms := &Terms{Subprotocols: []string{"chat"}}
	a, err := answer(t, terms, sample+"Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := AppendResponse([]byte("before|"), &a, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "before|HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
		"Sec-WebSocket-Protocol: chat\r\n" +
		"\r\n"
	if string(got) != want {
		t.Errorf("response is\n%s\nwant\n%s", got, want)
	}
}

// RFC 6455, section 4.2.1: what a server must and must not take.
func TestServerHandshakeRules(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(sample, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		return strings.Replace(sample, old, new, 1) + "\r\n"
	}
	const (
		upgrade    = "Upgrade: websocket\r\n"
		connection = "Connection: Upgrade\r\n"
		key        = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version    = "Sec-WebSocket-Version: 13\r\n"
	)
	tests := []struct {
		name   string
		raw    string
		status int // 0: accepted
		reason string
	}{
		{"whole", sample + "\r\n", 0, ""},
		{"empty line before", "\r\n" + sample + "\r\n", 0, ""},
		{"POST", replace("GET", "POST"), 405, `GET request, not "POST"`},
		{"lower case method is another method", replace("GET", "get"), 405, `"get"`},
		{"HTTP/1.0", replace("HTTP/1.1", "HTTP/1.0"), 505, "HTTP/1.1"},
		{"HTTP/1.2", replace("HTTP/1.1", "HTTP/1.2"), 0, ""},
		{"HTTP/2.0", replace("HTTP/1.1", "HTTP/2.0"), 505, "HTTP/1.1"},
		{"whole URL", replace("/chat", "http://other.example/chat"), 0, ""},

		{"no Host", replace("Host: server.example.com\r\n", ""), 400, "no Host"},
		{"empty Host", replace("server.example.com", ""), 400, "Host"},
		{"two Hosts", replace("Host: server.example.com\r\n", "Host: a\r\nHost: a\r\n"), 400, "2 Host headers"},
		{"Host with a path", replace("server.example.com", "a/b"), 400, "not a host"},
		{"Host with user information", replace("server.example.com", "u@a"), 400, "not a host"},
		{"Host list", replace("server.example.com", "a, b"), 400, "not a host"},
		{"Host of IPv6", replace("server.example.com", "[::1]:8080"), 0, ""},

		{"no Upgrade", replace(upgrade, ""), 426, "Upgrade: websocket"},
		{"other Upgrade", replace("websocket", "h2c"), 426, "Upgrade: websocket"},
		{"Upgrade in capitals", replace("Upgrade: websocket", "UPGRADE: WebSocket"), 0, ""},
		{"Upgrade list", replace("websocket", "h2c, websocket"), 0, ""},
		{"Upgrade over two lines", replace(upgrade, "Upgrade: h2c\r\nUpgrade: websocket\r\n"), 0, ""},
		{"Upgrade with the Kelvin sign", replace("websocket", "websoc\u212Aet"), 426, "Upgrade"},
		{"Upgrade with a suffix", replace("websocket", "websockets"), 426, "Upgrade"},

		{"no Connection", replace(connection, ""), 400, "Connection: Upgrade"},
		{"Connection without upgrade", replace(connection, "Connection: keep-alive\r\n"), 400, "Connection: Upgrade"},
		{"Connection list in capitals", replace(connection, "connection: keep-alive,UPGRADE\r\n"), 0, ""},
		{"Connection over two lines", replace(connection, "Connection: keep-alive\r\nConnection:\tupgrade \r\n"), 0, ""},
		{"Connection with empty elements", replace(connection, "Connection: ,, upgrade ,\r\n"), 0, ""},

		{"no Key", replace(key, ""), 400, "no Sec-WebSocket-Key"},
		{"two Keys", replace(key, key+key), 400, "2 Sec-WebSocket-Key headers"},
		{"Key of 15 bytes", replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400, "16 bytes"},
		{"Key of 17 bytes", replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE="), 400, "16 bytes"},
		{"Key of 18 bytes", replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh"), 400, "16 bytes"},
		{"Key without padding", replace("ZQ==", "ZQ"), 400, "16 bytes"},
		{"Key of base64url", replace("dGhl", "-_hl"), 400, "16 bytes"},
		{"Key in two parts", replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs, ZSBub25jZQ"), 400, "16 bytes"},
		{"empty Key", replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400, "16 bytes"},
		{"Key with space around", replace("dGhlIHNhbXBsZSBub25jZQ==", "  dGhlIHNhbXBsZSBub25jZQ== \t"), 0, ""},

		{"no Version", replace(version, ""), 426, "version 13"},
		{"Version 8", replace("13", "8"), 426, `"8"`},
		{"Version 14", replace("13", "14"), 426, `"14"`},
		{"Version 013", replace("13", "013"), 426, `"013"`},
		{"Version list", replace("13", "13, 8"), 426, "version 13"},
		{"two Versions", replace(version, version+version), 426, "exactly one"},

		{"no body", replace(version, version+"Content-Length: 0\r\n"), 0, ""},
		{"body", replace(version, version+"Content-Length: 5\r\n"), 400, "body"},
		{"chunked body", replace(version, version+"Transfer-Encoding: chunked\r\n"), 400, "body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := answer(t, &Terms{}, test.raw)
			if test.status != 0 {
				mustRefuse(t, err, test.status, test.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.AcceptKey != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("AcceptKey is %q", a.AcceptKey)
			}
		})
	}
}

// The headers that certain statuses must come with.
func TestServerRefusalHeaders(t *testing.T) {
	_, err := answer(t, &Terms{}, strings.Replace(sample, "GET", "PUT", 1)+"\r\n")
	if got := mustRefuse(t, err, 405, "").Header.Get("Allow"); got != "GET" { // RFC 9110, section 15.5.6
		t.Errorf("Allow is %q", got)
	}
	_, err = answer(t, &Terms{}, strings.Replace(sample, ": 13", ": 7", 1)+"\r\n")
	h := mustRefuse(t, err, 426, "").Header
	if h.Get("Sec-WebSocket-Version") != "13" || h.Get("Upgrade") != "websocket" { // RFC 6455, section 4.4
		t.Errorf("header of 426 is %v", h)
	}
}

// A parser other than ours may hand over what ParseRequest would not.
func TestAnswerToOthersParsers(t *testing.T) {
	header := func() Header {
		return (&Terms{}).RequestHeader("dGhlIHNhbXBsZSBub25jZQ==")
	}
	with := func(name string, values ...string) Header {
		h := header()
		h[name] = values
		return h
	}
	tests := []struct {
		name   string
		req    Request
		status int
	}{
		{"Host left in the header", Request{"GET", "/", 1, 1, "", with("Host", "a")}, 0},
		{"two Hosts left", Request{"GET", "/", 1, 1, "", with("Host", "a", "b")}, 400},
		{"two Hosts left beside Host", Request{"GET", "/", 1, 1, "a", with("Host", "a", "b")}, 400},
		{"no Host at all", Request{"GET", "/", 1, 1, "", header()}, 400},
		{"HTTP/2", Request{"GET", "/", 2, 0, "a", header()}, 505},
		{"HTTP/3", Request{"GET", "/", 3, 0, "a", header()}, 505},
		{"HTTP/0.9", Request{"GET", "/", 0, 9, "a", header()}, 505},
		{"key with line breaks", Request{"GET", "/", 1, 1, "a", with("Sec-Websocket-Key", "dGhlIHNhbXBs\r\nZSBub25jZQ==")}, 400},
		{"nil header", Request{"GET", "/", 1, 1, "a", nil}, 426},
		{"no values", Request{"GET", "/", 1, 1, "a", with("Sec-Websocket-Key")}, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := (&Terms{}).Answer(&test.req)
			if test.status != 0 {
				mustRefuse(t, err, test.status, "")
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// RFC 6455, section 4.2.2, item 5.5, and section 4.1, item 10.
func TestServerSubprotocol(t *testing.T) {
	tests := []struct {
		name   string
		ours   string
		lines  []string
		want   string
		reason string
	}{
		{"none offered", "a b", nil, "", ""},
		{"none known", "", []string{"a, b"}, "", ""},
		{"server's order wins", "b a", []string{"a, b"}, "b", ""},
		{"over two lines", "c", []string{"a", "b, c"}, "c", ""},
		{"case matters", "chat", []string{"Chat"}, "", ""},
		{"no common one", "x", []string{"a"}, "", ""},
		{"space around", "b", []string{" a ,\tb "}, "b", ""},
		{"empty elements", "b", []string{",a,,b,"}, "b", ""},
		{"names of object members", "a", []string{"constructor, __proto__, a"}, "a", ""},
		{"empty", "a", []string{""}, "", "empty"},
		{"commas only", "a", []string{",", ","}, "", "empty"},
		{"no token", "a", []string{"a, b c"}, "", `"b c" in Sec-WebSocket-Protocol is not a token`},
		{"no token behind the choice", "a", []string{"a", "é"}, "", "not a token"},
		{"quoted", "a", []string{`"a"`}, "", "not a token"},
		{"twice", "a", []string{"a, b, a"}, "", "twice"},
		{"twice over lines", "a", []string{"b", "b"}, "", "twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			terms := &Terms{Subprotocols: strings.Fields(test.ours)}
			raw := sample
			for _, line := range test.lines {
				raw += "Sec-WebSocket-Protocol: " + line + "\r\n"
			}
			a, err := answer(t, terms, raw+"\r\n")
			if test.reason != "" {
				mustRefuse(t, err, 400, test.reason)
				return
			}
			if err != nil || a.Subprotocol != test.want {
				t.Errorf("subprotocol is %q, %v; want %q", a.Subprotocol, err, test.want)
			}
		})
	}
}

// RFC 6455, section 9.1, and RFC 7692, section 5.1.
func TestServerExtensions(t *testing.T) {
	on := &deflate.Options{}
	tests := []struct {
		name    string
		options *deflate.Options
		lines   []string
		agreed  bool
		refused bool
	}{
		{"off", nil, []string{"permessage-deflate"}, false, false},
		{"off, malformed", nil, []string{"permessage-deflate; ="}, false, true},
		{"none offered", on, nil, false, false},
		{"offered", on, []string{"permessage-deflate"}, true, false},
		{"with parameters", on, []string{"permessage-deflate; client_max_window_bits; server_max_window_bits=10"}, true, false},
		{"quoted parameter", on, []string{`permessage-deflate; server_max_window_bits="10"`}, true, false},
		{"unknown only", on, []string{"x-webkit-deflate-frame, mux; max-channels=4"}, false, false},
		{"unknown, then known", on, []string{"bbf-usp-protocol", "permessage-deflate"}, true, false},
		{"wrong parameter", on, []string{"permessage-deflate; nonsense"}, false, false},
		{"wrong first offer, right second", on, []string{"permessage-deflate; server_max_window_bits=99, permessage-deflate"}, true, false},
		{"malformed behind the choice", on, []string{"permessage-deflate, ;"}, false, true},
		{"empty", on, []string{""}, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := sample
			for _, line := range test.lines {
				raw += "Sec-WebSocket-Extensions: " + line + "\r\n"
			}
			a, err := answer(t, &Terms{Deflate: test.options}, raw+"\r\n")
			if test.refused {
				mustRefuse(t, err, 400, "Sec-WebSocket-Extensions")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (a.Deflate != nil) != test.agreed || (a.Extensions != "") != test.agreed {
				t.Errorf("Deflate is %v and Extensions %q; agreed should be %v", a.Deflate, a.Extensions, test.agreed)
			}
			if test.agreed && a.Extensions != a.Deflate.String() {
				t.Errorf("Extensions is %q, want %q", a.Extensions, a.Deflate.String())
			}
		})
	}
}

// RFC 7692, section 5: the client's first acceptable offer is the one.
func TestServerTakesTheFirstOffer(t *testing.T) {
	terms := &Terms{Deflate: &deflate.Options{}}
	a, err := answer(t, terms, sample+
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	if err != nil || a.Deflate == nil || !a.Deflate.ServerNoContextTakeover {
		t.Errorf("agreed %v, %v; want the first offer", a.Deflate, err)
	}
	a, err = answer(t, terms, sample+
		"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate; server_no_context_takeover\r\n\r\n")
	if err != nil || a.Deflate == nil || a.Deflate.ServerNoContextTakeover {
		t.Errorf("agreed %v, %v; want the first offer", a.Deflate, err)
	}
}

func TestAppendResponseExtra(t *testing.T) {
	a := &Agreement{AcceptKey: "k", Subprotocol: "p", Extensions: "permessage-deflate"}
	got, err := AppendResponse(nil, a, Header{"Set-Cookie": {"a=1", "b=2"}, "Server": {"duplex"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: k\r\n" +
		"Sec-WebSocket-Protocol: p\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" +
		"Server: duplex\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
	if string(got) != want {
		t.Errorf("response is\n%s\nwant\n%s", got, want)
	}
}

// A field that comes from what a user sent must not split the response.
func TestAppendResponseRefusesSplitting(t *testing.T) {
	for name, extra := range map[string]Header{
		"CRLF in a value":      {"X-Name": {"bob\r\nSet-Cookie: admin=1"}},
		"LF in a value":        {"X-Name": {"bob\nSet-Cookie: admin=1"}},
		"CR in a value":        {"X-Name": {"bob\rx"}},
		"NUL in a value":       {"X-Name": {"bob\x00"}},
		"bad second value":     {"X-Name": {"bob", "\n"}},
		"CRLF in a name":       {"X\r\nY": {"1"}},
		"colon in a name":      {"X:Y": {"1"}},
		"space in a name":      {"X ": {"1"}},
		"empty name":           {"": {"1"}},
		"Upgrade":              {"Upgrade": {"h2c"}},
		"Connection, any case": {"connection": {"close"}},
		"Accept":               {"Sec-WebSocket-Accept": {"x"}},
		"Protocol":             {"Sec-Websocket-Protocol": {"x"}},
		"Extensions":           {"sec-websocket-extensions": {"x"}},
		"Content-Length":       {"Content-Length": {"5"}},
		"Transfer-Encoding":    {"Transfer-Encoding": {"chunked"}},
	} {
		t.Run(name, func(t *testing.T) {
			dst, err := AppendResponse([]byte("x"), &Agreement{}, extra)
			mustRefuse(t, err, 500, "header")
			if string(dst) != "x" {
				t.Errorf("dst became %q", dst)
			}
		})
	}
}

func TestAnswerChangesNothing(t *testing.T) {
	req, _, err := ParseRequest([]byte(sample+"\r\n"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(req.Header)
	if _, err := (&Terms{}).Answer(&req); err != nil {
		t.Fatal(err)
	}
	if len(before) != len(req.Header) {
		t.Error("Answer changed the header")
	}
}
