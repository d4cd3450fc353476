package websocket

import (
	"net/http"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// RFC 6455, section 3, and section 4.1 for Host and the request-target.
func TestDialTarget(t *testing.T) {
	for _, c := range []struct{ raw, address, host, request string }{
		{"ws://example.com", "example.com:80", "example.com", "/"},
		{"wss://example.com", "example.com:443", "example.com", "/"},
		{"http://example.com/a", "example.com:80", "example.com", "/a"},
		{"https://example.com/a", "example.com:443", "example.com", "/a"},
		{"WS://EXAMPLE.com:80/", "example.com:80", "example.com", "/"},
		{"wss://host:445/im?user_id=xxx", "host:445", "host:445", "/im?user_id=xxx"},
		{"ws://host:443/", "host:443", "host:443", "/"},
		{"ws://host?", "host:80", "host", "/?"},
		{"ws://host?a=b", "host:80", "host", "/?a=b"},
		{"ws://host/a%2Fb/%E4%BD%A0?q=%20", "host:80", "host", "/a%2Fb/%E4%BD%A0?q=%20"},
		{"ws://host/你 好?q=你 好", "host:80", "host", "/%E4%BD%A0%20%E5%A5%BD?q=%E4%BD%A0%20%E5%A5%BD"},
		{"ws://bücher.example/", "xn--bcher-kva.example:80", "xn--bcher-kva.example", "/"},
		{"ws://[::1]:8080/", "[::1]:8080", "[::1]:8080", "/"},
		{"ws://[::1]/", "[::1]:80", "[::1]", "/"},
		{"ws://[fe80::1%25eth0]/", "[fe80::1%eth0]:80", "[fe80::1]", "/"},
		{"ws://user:pass@host/", "host:80", "host", "/"},
	} {
		got, err := parseTarget(c.raw)
		if err != nil {
			t.Errorf("%q: %v", c.raw, err)
			continue
		}
		if got.address() != c.address || got.hostHeader() != c.host || got.request != c.request {
			t.Errorf("%q: address %q, Host %q, request-target %q; want %q, %q, %q",
				c.raw, got.address(), got.hostHeader(), got.request, c.address, c.host, c.request)
		}
	}
}

func TestDialTargetRefused(t *testing.T) {
	for _, c := range []struct{ raw, says string }{
		{"ws://host/#top", "fragment"},
		{"ws://host/#", "fragment"},
		{"", "scheme"},
		{"host/path", "scheme"},
		{"ftp://host/", `scheme "ftp"`},
		{"ws:host", "no host"},
		{"ws:///path", "no host"},
		{"ws://:80/", "no host"},
		{"ws://host:0/", "port"},
		{"ws://host:65536/", "port"},
		{"ws://host:x/", "port"},
		{"ws://ho st/", "invalid"},
		{"ws://host/a\r\nX: y", "control character"},
		{"ws://host/%zz", "escape"},
	} {
		_, err := parseTarget(c.raw)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: error %v, want one about %q", c.raw, err, c.says)
		}
	}
	_, err := parseTarget("ws://user:secret@host:bad/?token=secret")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v, want one without the password and query", err)
	}
}

// Whatever the URL and the Location, the request stays one request to that host.
func FuzzDialTarget(f *testing.F) {
	f.Add("ws://example.com/a?b", "//other/x?y#z")
	f.Add("wss://user:pass@[fe80::1%25eth0]:8080/a/../b", "../c")
	f.Add("http://b\u00fccher.example?q=\u4f60 x", "https://h:1/%2f")
	f.Fuzz(func(t *testing.T, raw, location string) {
		first, err := parseTarget(raw)
		if err != nil {
			return
		}
		check := func(target *target) {
			request, err := (&dialer{}).appendRequest(nil, &leg{target: target, header: http.Header{}}, "key")
			if err != nil {
				return // refused before a byte was sent
			}
			parsed, n, err := protocol.ParseRequest(request, protocol.Limits{HeaderBytes: 1 << 20, TotalBytes: 1 << 20})
			if err != nil || n != len(request) || parsed.Target != target.request || parsed.Host != target.hostHeader() {
				t.Errorf("%q: request %q is read as %+v, %v", raw, request, parsed, err)
			}
		}
		check(first)
		if next, err := first.resolve(location); err == nil {
			check(next)
			if next.user != first.user {
				t.Errorf("%q: credentials came from the Location %q", raw, location)
			}
		}
	})
}
