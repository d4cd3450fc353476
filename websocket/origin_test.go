package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// upgradeRequest is a valid handshake to host as net/http presents it. local is
// the address at which it arrived.
func upgradeRequest(host, local string, header http.Header) *http.Request {
	r := &http.Request{
		Method: "GET", RequestURI: "/", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: host, RemoteAddr: "192.0.2.1:1234",
		Header: http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"},
		},
	}
	for name, values := range header {
		r.Header[name] = values
	}
	addr := net.Addr(&net.UnixAddr{Name: "@", Net: "unix"})
	if local != "" {
		addr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local))
	}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, addr))
}

// RFC 6455, section 10.2, and RFC 6454: scheme, host and port, exactly.
func TestOriginSame(t *testing.T) {
	tests := []struct {
		origin, host, local, scheme string // scheme: "tls", or an X-Forwarded-Proto
		allowed                     bool
	}{
		// In plain, at the port that Host names: the scheme is http.
		{"http://a.example:8080", "a.example:8080", "192.0.2.9:8080", "", true},
		{"HTTP://A.Example:8080", "a.example:8080", "192.0.2.9:8080", "", true},
		{"http://a.example:8080", "A.EXAMPLE:8080", "192.0.2.9:8080", "", true},
		{"https://a.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://a.example:8081", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://a.example", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://b.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://sub.a.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://a.example.evil:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"http://evila.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"ws://a.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		{"ftp://a.example:8080", "a.example:8080", "192.0.2.9:8080", "", false},
		// Default ports are the same with and without being written.
		{"http://a.example", "a.example", "192.0.2.9:80", "", true},
		{"http://a.example:80", "a.example", "192.0.2.9:80", "", true},
		{"http://a.example", "a.example:80", "192.0.2.9:80", "", true},
		{"http://a.example:443", "a.example", "192.0.2.9:80", "", false},
		{"http://[::1]:8080", "[::1]:8080", "[::1]:8080", "", true},
		{"http://[::2]:8080", "[::1]:8080", "[::1]:8080", "", false},
		// TLS: the scheme is https.
		{"https://a.example", "a.example", "192.0.2.9:443", "tls", true},
		{"https://a.example", "a.example:443", "192.0.2.9:443", "tls", true},
		{"https://a.example:443", "a.example", "192.0.2.9:443", "tls", true},
		{"https://a.example:8443", "a.example:8443", "192.0.2.9:8443", "tls", true},
		{"http://a.example", "a.example", "192.0.2.9:443", "tls", false},
		{"http://a.example:8443", "a.example:8443", "192.0.2.9:8443", "tls", false},
		{"https://a.example", "a.example:80", "192.0.2.9:80", "tls", false},
		// A proxy that says that it took TLS.
		{"https://a.example", "a.example", "192.0.2.9:8080", "https", true},
		{"https://a.example", "a.example", "192.0.2.9:8080", "HTTPS, http", true},
		{"https://a.example", "a.example", "192.0.2.9:8080", "wss", true},
		{"https://a.example:8080", "a.example:8080", "192.0.2.9:8080", "https", true},
		{"http://a.example", "a.example", "192.0.2.9:8080", "https", false},
		// A proxy that does not say: it may have taken TLS.
		{"https://a.example", "a.example", "192.0.2.9:8080", "", true},
		{"http://a.example", "a.example", "192.0.2.9:8080", "", true},
		{"https://a.example", "a.example", "192.0.2.9:80", "", true},
		{"https://a.example:8443", "a.example:8443", "192.0.2.9:8080", "", true},
		{"https://a.example:8443", "a.example", "192.0.2.9:8080", "", false},
		{"https://b.example", "a.example", "192.0.2.9:8080", "", false},
		{"https://a.example", "a.example", "", "", true},
		// What is no web origin, or no Host.
		{"null", "null", "192.0.2.9:80", "", false},
		{"", "a.example", "192.0.2.9:80", "", false},
		{"a.example", "a.example", "192.0.2.9:80", "", false},
		{"//a.example", "a.example", "192.0.2.9:80", "", false},
		{"http://", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example/", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example/x", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example?", "a.example", "192.0.2.9:80", "", false},
		{"http://user@a.example", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example http://b.example", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example:", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example:0080", "a.example", "192.0.2.9:80", "", false},
		{"http://a.example:99999", "a.example:99999", "192.0.2.9:80", "", false},
		{"http://a.example:+80", "a.example", "192.0.2.9:80", "", false},
		{"http://[a.example]", "[a.example]", "192.0.2.9:80", "", false},
		{"http://::1", "::1", "192.0.2.9:80", "", false},
		{"http://a.example", "", "192.0.2.9:80", "", false},
		{"file://", "a.example", "192.0.2.9:80", "", false},
		{"chrome-extension://a.example", "a.example", "192.0.2.9:80", "", false},
	}
	for _, test := range tests {
		header := http.Header{"Origin": {test.origin}}
		if test.scheme != "" && test.scheme != "tls" {
			header.Set("X-Forwarded-Proto", test.scheme)
		}
		r := upgradeRequest(test.host, test.local, header)
		if test.scheme == "tls" {
			r.TLS = &tls.ConnectionState{}
		}
		err := checkOrigin(r, nil)
		if (err == nil) != test.allowed {
			t.Errorf("Origin %q, Host %q at %s %s: %v, want allowed: %v", test.origin, test.host, test.local, test.scheme, err, test.allowed)
		}
		if refused, ok := errors.AsType[*HandshakeError](err); err != nil && (!ok || refused.Status != 403) {
			t.Errorf("Origin %q: %v is not a refusal with 403", test.origin, err)
		}
	}
}

func TestOriginAbsentOrTwice(t *testing.T) {
	if err := checkOrigin(upgradeRequest("a", "", nil), nil); err != nil {
		t.Errorf("without Origin: %v", err)
	}
	if err := checkOrigin(upgradeRequest("a", "", http.Header{"Origin": {"http://a", "http://a"}}), nil); err == nil {
		t.Error("two Origin headers are allowed")
	}
}

func TestOriginPatterns(t *testing.T) {
	tests := []struct {
		pattern, origin string
		allowed         bool
	}{
		{"https://b.example", "https://b.example", true},
		{"https://b.example", "https://b.example:443", true},
		{"https://b.example:443", "https://b.example", true},
		{"HTTPS://B.Example", "https://b.EXAMPLE", true},
		{"https://b.example", "http://b.example", false},
		{"https://b.example", "https://b.example:8443", false},
		{"https://b.example", "https://a.b.example", false},
		{"https://b.example", "https://b.example.evil", false},
		{"https://b.example:8443", "https://b.example:8443", true},
		{"https://b.example:8443", "https://b.example", false},
		{"http://localhost:*", "http://localhost", true},
		{"http://localhost:*", "http://localhost:5173", true},
		{"http://localhost:*", "https://localhost:5173", false},
		{"http://localhost:*", "http://localhost.evil:5173", false},
		{"http://[::1]:*", "http://[::1]:5173", true},
		{"https://*.b.example", "https://a.b.example", true},
		{"https://*.b.example", "https://x.a.b.example", true},
		{"https://*.b.example", "https://b.example", false},
		{"https://*.b.example", "https://.b.example", false},
		{"https://*.b.example", "https://evilb.example", false},
		{"https://*.b.example", "https://a.b.example.evil", false},
		{"https://*.b.example", "https://a.b.example:8443", false},
		{"https://*.b.example", "http://a.b.example", false},
		{"https://*.b.example:*", "https://a.b.example:8443", true},
		{"https://*.localhost", "https://a.localhost", true},
		{"chrome-extension://abcdef", "chrome-extension://abcdef", true},
		{"chrome-extension://abcdef", "chrome-extension://abcdeg", false},
		{"file://", "file://", true},
		{"file://", "null", false},
	}
	for _, test := range tests {
		patterns, err := parseOriginPatterns([]string{"https://unrelated.example", test.pattern})
		if err != nil {
			t.Errorf("pattern %q: %v", test.pattern, err)
			continue
		}
		err = checkOrigin(upgradeRequest("server.example", "", http.Header{"Origin": {test.origin}}), patterns)
		if (err == nil) != test.allowed {
			t.Errorf("pattern %q, origin %q: %v, want allowed: %v", test.pattern, test.origin, err, test.allowed)
		}
	}
}

func TestOriginPatternErrors(t *testing.T) {
	for pattern, part := range map[string]string{
		"*":                       "InsecureSkipOriginCheck",
		"https://*":               "InsecureSkipOriginCheck",
		"https://*:*":             "InsecureSkipOriginCheck",
		"null":                    "InsecureSkipOriginCheck",
		"b.example":               `write "https://b.example"`,
		"*.b.example":             `write "https://*.b.example"`,
		"//b.example":             "scheme",
		"://b.example":            "scheme://host",
		"":                        "scheme",
		"wss://b.example":         `write "https://b.example"`,
		"ws://b.example":          `write "http://b.example"`,
		"*://b.example":           `"*" may stand only`,
		"https://b.*":             `"*" may stand only`,
		"https://a.*.example":     `"*" may stand only`,
		"https://*b.example":      `"*" may stand only`,
		"https://*.*.example":     `"*" may stand only`,
		"https://b.example:80*":   `"*" may stand only`,
		"https://*.":              "no host",
		"x://*.":                  "followed by a host",
		"https://*..example":      "followed by a host",
		"https://b.example/":      "slash",
		"https://b.example/chat":  "path",
		"https://b.example?x":     "query",
		"https://u@b.example":     "user",
		"https://":                "no host",
		"https://:443":            "no host",
		"https://b.example:":      "port",
		"https://b.example:0":     "port",
		"https://b.example:65536": "port",
		"https://b.example:http":  "port",
		"https://bücher.example":  "xn--",
		"https://b example":       "cannot stand in a host",
		"https://[::1":            "IPv6",
		"1http://b.example":       "scheme://host",
	} {
		_, err := parseOriginPatterns([]string{"https://good.example", pattern})
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("pattern %q: error %v, want one that contains %s", pattern, err, part)
		}
	}
}

// What the refusal tells to add does allow this very origin.
func TestOriginRefusalNamesItsCure(t *testing.T) {
	for _, origin := range []string{
		"https://b.example", "http://B.example:8080", "http://[::1]:80", "https://xn--bcher-kva.example", "chrome-extension://abcdef", "file://",
	} {
		r := upgradeRequest("a.example", "", http.Header{"Origin": {origin}})
		err := checkOrigin(r, nil)
		if err == nil {
			t.Errorf("origin %q is allowed", origin)
			continue
		}
		_, cure, found := strings.Cut(err.Error(), `add "`)
		cure, _, _ = strings.Cut(cure, `"`)
		if !found || !strings.Contains(err.Error(), "AcceptOptions.OriginPatterns") {
			t.Errorf("origin %q: the refusal names no cure: %v", origin, err)
			continue
		}
		patterns, err := parseOriginPatterns([]string{cure})
		if err != nil || checkOrigin(r, patterns) != nil {
			t.Errorf("origin %q: the cure %q does not help: %v", origin, cure, err)
		}
	}
	for _, origin := range []string{"null", "nonsense", "http://a.example/path", "http://\x00"} {
		err := checkOrigin(upgradeRequest("a.example", "", http.Header{"Origin": {origin}}), nil)
		if err == nil || !strings.Contains(err.Error(), "InsecureSkipOriginCheck") {
			t.Errorf("origin %q: %v should name InsecureSkipOriginCheck", origin, err)
		}
	}
}

// GHSA-p8f7-22gq-m7j9 (Phoenix): the wildcard of an allowed origin matched the
// end of the host as text, so that a foreign domain with that end was let in.
func TestSecurityGHSAp8f722gqm7j9OriginWildcard(t *testing.T) {
	patterns, err := parseOriginPatterns([]string{"https://*.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, allowed := range map[string]bool{
		"https://chat.example.com":       true,
		"https://evilexample.com":        false,
		"https://evil-example.com":       false,
		"https://example.com.evil.org":   false,
		"https://chat.example.com.evil":  false,
		"https://chatXexample.com":       false,
		"https://evil.org/.example.com":  false,
		"https://evil.org#.example.com":  false,
		"https://evil.org?.example.com":  false,
		"https://evil.org\\.example.com": false,
		"https://evil.org@.example.com":  false,
		"https://evil.org:.example.com":  false,
	} {
		err := checkOrigin(upgradeRequest("server.example", "", http.Header{"Origin": {origin}}), patterns)
		if (err == nil) != allowed {
			t.Errorf("origin %q: %v, want allowed: %v", origin, err, allowed)
		}
	}
}

// Whatever an Origin is, it is allowed only if it says exactly what Host says.
func FuzzOrigin(f *testing.F) {
	f.Add("http://a.example:8080", "a.example:8080")
	f.Add("https://[::1]", "[::1]")
	f.Add("null", "null")
	f.Add("http://a@b", "b")
	f.Fuzz(func(t *testing.T, origin, host string) {
		if checkOrigin(upgradeRequest(host, "", http.Header{"Origin": {origin}}), nil) != nil {
			return
		}
		o, h := strings.ToLower(origin), strings.ToLower(host)
		for scheme, port := range map[string]string{"http": ":80", "https": ":443"} {
			for _, same := range []string{h, strings.TrimSuffix(h, port), h + port} {
				if o == scheme+"://"+same {
					return
				}
			}
		}
		t.Errorf("origin %q is allowed for Host %q", origin, host)
	})
}
