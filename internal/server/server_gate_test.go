package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/websocket"
)

func TestBehindProxies(t *testing.T) {
	ours := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct{ name, peer, forwarded, client string }{
		{"no proxy", "192.0.2.1:4000", "", "192.0.2.1"},
		{"a stranger claims something", "192.0.2.1:4000", "203.0.113.9", "192.0.2.1"},
		{"one proxy", "10.0.0.1:4000", "203.0.113.9", "203.0.113.9"},
		{"what the client claims", "10.0.0.1:4000", "198.51.100.7, 203.0.113.9", "203.0.113.9"},
		{"two proxies", "10.0.0.1:4000", "203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"two headers", "10.0.0.1:4000", "198.51.100.7|203.0.113.9", "203.0.113.9"},
		{"with a port", "10.0.0.1:4000", "203.0.113.9:55", "203.0.113.9"},
		{"IPv6", "[fd00::1]:4000", "2001:db8::7", "2001:db8::7"},
		{"IPv6 with a port", "[fd00::1]:4000", "[2001:db8::7]:55", "2001:db8::7"},
		{"IPv4 written as IPv6", "[::ffff:10.0.0.1]:4000", "203.0.113.9", "203.0.113.9"},
		{"nonsense", "10.0.0.1:4000", "unknown", "10.0.0.1"},
		{"nothing", "10.0.0.1:4000", "", "10.0.0.1"},
		{"only proxies", "10.0.0.1:4000", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var forwarded []string
			if c.forwarded != "" {
				forwarded = strings.Split(c.forwarded, "|")
			}
			if got := behind(ours, addressOf(c.peer), forwarded); got.String() != c.client {
				t.Errorf("%v, want %s", got, c.client)
			}
		})
	}
}

// TestConnectionsPerAddress counts those clients who are behind a proxy apart.
func TestConnectionsPerAddress(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "proxies: [127.0.0.1]\nlimits: {connections-per-address: 1}\n")})
	from := func(client string) error {
		_, err := dialSession(t, address, &websocket.DialOptions{Header: http.Header{"X-Forwarded-For": {client}}})
		return err
	}
	if err := from("203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	if err := from("203.0.113.10"); err != nil {
		t.Fatal(err)
	}
	if err := from("203.0.113.9"); handshakeError(t, err).Status != http.StatusTooManyRequests {
		t.Error(err)
	}
}

// TestGateRefuses lets nothing through that the origin check has not seen.
func TestGateRefuses(t *testing.T) {
	var g gate
	g.set(&config.Config{Origins: []string{"https://a.example"}})
	passed := false
	handler := g.socket(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }))
	handshake := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	for _, c := range []struct {
		name   string
		change func(http.Header)
		passes bool
	}{
		{"no page", func(http.Header) {}, true},
		{"a page that may", func(h http.Header) { h.Set("Origin", "https://a.example") }, true},
		{"the server's own page", func(h http.Header) { h.Set("Origin", "http://duplex.example") }, true},
		{"another page", func(h http.Header) { h.Set("Origin", "https://b.example") }, false},
		{"a sandboxed page", func(h http.Header) { h.Set("Origin", "null") }, false},
		{"an empty origin", func(h http.Header) { h.Set("Origin", "") }, false},
		{"two origins", func(h http.Header) { h["Origin"] = []string{"https://a.example", "https://b.example"} }, false},
		{"no handshake", func(h http.Header) { h.Set("Origin", "https://b.example"); h.Del("Upgrade") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://duplex.example/ws", nil)
			r.Header = handshake.Clone()
			c.change(r.Header)
			w := httptest.NewRecorder()
			passed = false
			handler.ServeHTTP(w, r)
			if passed != c.passes || !passed && w.Code < 400 {
				t.Errorf("passed: %v, status %d: %s", passed, w.Code, w.Body)
			}
		})
	}
}

// TestOriginPatterns: the configuration accepts nothing that the library does not. What only the library refused would be told to clients.
func TestOriginPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		good    bool
	}{
		{"https://example.com", true}, {"https://EXAMPLE.com:8443", true}, {"http://localhost:*", true}, {"https://*.example.com", true},
		{"https://*.example.com:*", true}, {"http://[::1]:3000", true}, {"http://[::1]", true}, {"http://[::1]:*", true}, {"http://10.0.0.1", true}, {"https://a_b.example", true},
		{"*", false}, {"https://*", false}, {"https://*:*", false}, {"null", false}, {"example.com", false}, {"https://", false}, {"https://*.", false},
		{"https://a.*.b", false}, {"wss://example.com", false}, {"https://example.com/", false}, {"https://user@example.com", false},
		{"https://example.com:0", false}, {"https://example.com:080", false}, {"https://example.com:", false}, {"https://example.com:99999", false},
		{"https://example.com:80:*", false}, {"https://[::1", false}, {"https://[127.0.0.1]", false}, {"https://ex ample.com", false},
		{"https://ex\u00e4mple.com", false}, {"https://*..com", false}, {"https://*.*.com", false}, {"https://:80", false},
	} {
		_, err := config.Load(config.Input{Environ: []string{"DUPLEX_ORIGINS=" + c.pattern}})
		if (err == nil) != c.good {
			t.Errorf("the configuration: %q: %v", c.pattern, err)
		}
		var g gate
		g.set(&config.Config{Origins: []string{c.pattern}})
		r := httptest.NewRequest(http.MethodGet, "http://duplex.example/ws", nil)
		r.Header.Set("Origin", "https://elsewhere.example")
		w := httptest.NewRecorder()
		g.socket(http.NotFoundHandler()).ServeHTTP(w, r)
		if err == nil && w.Code == http.StatusInternalServerError {
			t.Errorf("the library: %q: %d %s", c.pattern, w.Code, w.Body)
		}
	}
}
