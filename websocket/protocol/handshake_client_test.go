package protocol

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

// sampleAnswer is the answer of RFC 6455, section 1.2, without its last lines.
const sampleAnswer = "HTTP/1.1 101 Switching Protocols\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

func check(t *testing.T, terms *Terms, raw string) (Agreement, error) {
	t.Helper()
	resp, n, err := ParseResponse([]byte(raw), terms.Limits)
	if err != nil {
		return Agreement{}, err
	}
	if n != len(raw) {
		t.Fatalf("ParseResponse took %d of %d bytes", n, len(raw))
	}
	return terms.Check(&resp, sampleKey)
}

// RFC 6455, section 4.1: the request, byte for byte.
func TestClientRequest(t *testing.T) {
	terms := &Terms{Subprotocols: []string{"chat", "superchat"}, Deflate: &deflate.Options{}}
	got, err := AppendRequest(nil, "/chat?room=1", "server.example.com:8080", terms.RequestHeader(sampleKey))
	if err != nil {
		t.Fatal(err)
	}
	want := "GET /chat?room=1 HTTP/1.1\r\n" +
		"Host: server.example.com:8080\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Extensions: " + terms.Deflate.Offer() + "\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Protocol: chat, superchat\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Upgrade: websocket\r\n\r\n"
	if string(got) != want {
		t.Errorf("request is\n%s\nwant\n%s", got, want)
	}
	plain := (&Terms{}).RequestHeader(sampleKey)
	if plain.Values("Sec-WebSocket-Protocol") != nil || plain.Values("Sec-WebSocket-Extensions") != nil {
		t.Errorf("header without offers is %v", plain)
	}
}

func TestAppendRequestRefusesSplitting(t *testing.T) {
	for name, test := range map[string]struct {
		target, host string
		header       Header
	}{
		"space in the target": {"/a b", "h", nil},
		"CRLF in the target":  {"/a\r\nX: y", "h", nil},
		"relative target":     {"a", "h", nil},
		"empty target":        {"", "h", nil},
		"CRLF in the host":    {"/", "h\r\nX: y", nil},
		"empty host":          {"/", "", nil},
		"path in the host":    {"/", "h/x", nil},
		"CRLF in a value":     {"/", "h", Header{"X": {"a\r\nY: b"}}},
		"LF in a name":        {"/", "h", Header{"X\nY": {"a"}}},
		"second Host":         {"/", "h", Header{"host": {"a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			dst, err := AppendRequest([]byte("x"), test.target, test.host, test.header)
			mustRefuse(t, err, 0, "")
			if string(dst) != "x" {
				t.Errorf("dst became %q", dst)
			}
		})
	}
}

// RFC 6455, section 4.1, "the client MUST validate the server's response".
func TestClientChecks(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(sampleAnswer, old) {
			t.Fatalf("%q is not in the sample", old)
		}
		return strings.Replace(sampleAnswer, old, new, 1) + "\r\n"
	}
	const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	tests := []struct {
		name   string
		raw    string
		reason string // "": accepted
	}{
		{"whole", sampleAnswer + "\r\n", ""},
		{"other reason", replace("Switching Protocols", "Web Socket Protocol Handshake"), ""},
		{"no reason", replace(" Switching Protocols", ""), ""},
		{"empty reason", replace("Switching Protocols", ""), ""},
		{"status 200", replace("101 Switching Protocols", "200 OK"), "ordinary page"},
		{"status 403", replace("101 Switching Protocols", "403 Forbidden"), `403 "Forbidden"`},
		{"status 426", "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\n\r\n", `version "8, 7"`},
		{"HTTP/1.0", replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0"},

		{"no Upgrade", replace("Upgrade: websocket\r\n", ""), "Upgrade"},
		{"other Upgrade", replace("websocket", "h2c"), `"h2c"`},
		{"Upgrade in capitals", replace("Upgrade: websocket", "UPGRADE: WEBSOCKET"), ""},
		{"Upgrade list", replace("websocket", "websocket, h2c"), "h2c"},
		{"two Upgrades", replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: websocket\r\n"), "Upgrade"},
		{"Upgrade with the Kelvin sign", replace("websocket", "websoc\u212Aet"), "Upgrade"},

		{"no Connection", replace("Connection: Upgrade\r\n", ""), "Connection"},
		{"Connection without upgrade", replace("Connection: Upgrade", "Connection: close"), `"close"`},
		{"Connection list", replace("Connection: Upgrade", "connection: keep-alive, uPGRADE"), ""},

		{"no Accept", replace(accept, ""), "no Sec-WebSocket-Accept"},
		{"two Accepts", replace(accept, accept+accept), "2 Sec-WebSocket-Accept"},
		{"wrong Accept", replace("s3p", "S3p"), "did not answer this handshake"},
		{"Accept of another key", replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", AcceptKey("x")), "did not answer this handshake"},
		{"Accept with space around", replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", " \ts3pPLMBiTxaQ9kYGzzhZRbK+xOo= "), ""},
		{"Accept with more behind", replace("xOo=", "xOo==="), "did not answer this handshake"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := check(t, &Terms{}, test.raw)
			if test.reason != "" {
				mustRefuse(t, err, 0, test.reason)
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// RFC 6455, section 4.1, item 6.
func TestClientSubprotocol(t *testing.T) {
	tests := []struct {
		name   string
		ours   string
		lines  []string
		want   string
		reason string
	}{
		{"none", "a b", nil, "", ""},
		{"second", "a b", []string{"b"}, "b", ""},
		{"not offered", "a b", []string{"c"}, "", `"c", which was not offered`},
		{"nothing offered", "", []string{"c"}, "", "not offered"},
		{"other case", "a", []string{"A"}, "", "not offered"},
		{"list", "a b", []string{"a, b"}, "", "not offered"},
		{"two lines", "a b", []string{"a", "b"}, "", "at most one"},
		{"empty", "a", []string{""}, "", "not offered"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := sampleAnswer
			for _, line := range test.lines {
				raw += "Sec-WebSocket-Protocol: " + line + "\r\n"
			}
			a, err := check(t, &Terms{Subprotocols: strings.Fields(test.ours)}, raw+"\r\n")
			if test.reason != "" {
				mustRefuse(t, err, 0, test.reason)
				return
			}
			if err != nil || a.Subprotocol != test.want {
				t.Errorf("subprotocol is %q, %v; want %q", a.Subprotocol, err, test.want)
			}
		})
	}
}

// RFC 6455, section 4.1, item 5, and RFC 7692, section 5.
func TestClientExtensions(t *testing.T) {
	on := &deflate.Options{}
	tests := []struct {
		name    string
		options *deflate.Options
		lines   []string
		agreed  bool
		reason  string
	}{
		{"declined", on, nil, false, ""},
		{"agreed", on, []string{"permessage-deflate"}, true, ""},
		{"agreed with parameters", on, []string{"permessage-deflate; server_no_context_takeover"}, true, ""},
		{"not offered", nil, []string{"permessage-deflate"}, false, "not offered"},
		{"other extension", on, []string{"mux"}, false, `"mux", which was not offered`},
		{"twice", on, []string{"permessage-deflate", "permessage-deflate"}, false, "twice"},
		{"twice in a line", on, []string{"permessage-deflate, permessage-deflate"}, false, "twice"},
		{"wrong parameter", on, []string{"permessage-deflate; server_max_window_bits=99"}, false, "parameters"},
		{"malformed", on, []string{"permessage-deflate;"}, false, "malformed"},
		{"empty", on, []string{""}, false, "empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := sampleAnswer
			for _, line := range test.lines {
				raw += "Sec-WebSocket-Extensions: " + line + "\r\n"
			}
			a, err := check(t, &Terms{Deflate: test.options}, raw+"\r\n")
			if test.reason != "" {
				mustRefuse(t, err, 0, test.reason)
				return
			}
			if err != nil || (a.Deflate != nil) != test.agreed {
				t.Errorf("Deflate is %v, %v; agreed should be %v", a.Deflate, err, test.agreed)
			}
		})
	}
}

// RFC 6455, section 4.1, item 7: 16 bytes, fresh each time.
func TestNewKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		key := NewKey()
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != 16 || seen[key] {
			t.Fatalf("key %q: %d bytes, %v, repeated: %v", key, len(raw), err, seen[key])
		}
		seen[key] = true
	}
}

// Both roles of this package agree with each other, whatever is on offer.
func TestRolesAgree(t *testing.T) {
	for _, options := range []*deflate.Options{
		nil, {}, {ServerNoContextTakeover: true}, {ClientNoContextTakeover: true, ServerMaxWindowBits: 10}, {ClientMaxWindowBits: 9},
	} {
		client := &Terms{Subprotocols: []string{"a", "b"}, Deflate: options}
		server := &Terms{Subprotocols: []string{"b", "a"}, Deflate: &deflate.Options{}}
		raw, err := AppendRequest(nil, "/", "h", client.RequestHeader(sampleKey))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := answer(t, server, string(raw))
		if err != nil {
			t.Fatal(err)
		}
		raw, err = AppendResponse(nil, &theirs, nil)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := check(t, client, string(raw))
		if err != nil {
			t.Fatal(err)
		}
		if ours.Subprotocol != "b" || ours.Extensions != theirs.Extensions || (ours.Deflate == nil) != (options == nil) {
			t.Errorf("client has %+v, server has %+v", ours, theirs)
		}
		if ours.Deflate != nil && (ours.Deflate.ServerMaxWindowBits != theirs.Deflate.ServerMaxWindowBits ||
			ours.Deflate.ServerNoContextTakeover != theirs.Deflate.ServerNoContextTakeover ||
			theirs.Deflate.ClientNoContextTakeover && !ours.Deflate.ClientNoContextTakeover ||
			ours.Deflate.ClientMaxWindowBits > theirs.Deflate.ClientMaxWindowBits) {
			t.Errorf("client has %v, server has %v", ours.Deflate, theirs.Deflate)
		}
	}
}
