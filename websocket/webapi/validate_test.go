package webapi

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket"
)

// WHATWG WebSockets, constructor, steps 1 to 7.
func TestURL(t *testing.T) {
	for _, c := range []struct{ raw, href, origin string }{
		{"ws://example.com", "ws://example.com/", "ws://example.com"},
		{"wss://example.com/", "wss://example.com/", "wss://example.com"},
		{"http://example.com/a", "ws://example.com/a", "ws://example.com"},
		{"https://example.com/a", "wss://example.com/a", "wss://example.com"},
		{"HTTPS://EXAMPLE.com:443/A", "wss://example.com/A", "wss://example.com"},
		{"ws://example.com:80", "ws://example.com/", "ws://example.com"},
		{"ws://example.com:443", "ws://example.com:443/", "ws://example.com:443"},
		{"wss://host:445/im?user_id=xxx", "wss://host:445/im?user_id=xxx", "wss://host:445"},
		{"ws://host/a/./b/../c", "ws://host/a/c", "ws://host"},
		{"  ws://host/  \n", "ws://host/", "ws://host"},
		{"ws://host/a b?c d\"é", "ws://host/a%20b?c%20d%22%C3%A9", "ws://host"},
		{"ws://[::1]:8080/", "ws://[::1]:8080/", "ws://[::1]:8080"},
		{"ws://user:pass@host/", "ws://user:pass@host/", "ws://host"},
	} {
		href, origin, err := parseURL(c.raw)
		if err != nil || href != c.href || origin != c.origin {
			t.Errorf("%q is %q of %q, %v; want %q of %q", c.raw, href, origin, err, c.href, c.origin)
		}
	}
	for _, raw := range []string{
		"", "host", "/path", "//host/path", "mailto:x", "ftp://host/", "ws:", "ws://", "ws:///x",
		"ws://host/#frag", "ws://host/#", "ws://host:65536/", "ws://ho st/", "ws://host/%zz",
	} {
		if _, err := New(raw); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: error is %v, want a SyntaxError", raw, err)
		}
	}
}

// WHATWG WebSockets, constructor, step 9.
func TestProtocols(t *testing.T) {
	for _, list := range [][]string{{""}, {"a b"}, {"a,b"}, {"a", "a"}, {"a", "A"}, {"é"}, {"a\x7f"}, {"a/b"}, {"(a)"}} {
		_, err := New("ws://127.0.0.1:1/", list...)
		if !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: error is %v, want a SyntaxError", list, err)
		}
	}
	if err := checkProtocols([]string{"chat", "superchat", "v1.example.com", "a!#$%&'*+-.^_`|~9"}); err != nil {
		t.Error(err)
	}
}

func TestOptionsChecked(t *testing.T) {
	bad := Options{}
	bad.Dial.Subprotocols = []string{"x"}
	for _, o := range []*Options{&bad, {BinaryType: "text"}, {MaxBuffered: -1}} {
		if _, err := NewWithOptions("ws://127.0.0.1:1/", nil, o); !errors.Is(err, ErrSyntax) {
			t.Errorf("%+v: error is %v", o, err)
		}
	}
	for _, o := range []*ReconnectOptions{{BaseDelay: -1}, {QueueBytes: -1}, {BaseDelay: 5, MaxDelay: 4}, {Options: bad}} {
		if _, err := NewReconnecting("ws://127.0.0.1:1/", nil, o); !errors.Is(err, ErrSyntax) {
			t.Errorf("%+v: error is %v", o, err)
		}
	}
}

// WHATWG WebSockets, close, steps 1 and 2.
func TestCloseArguments(t *testing.T) {
	for _, c := range []struct {
		code   websocket.StatusCode
		reason string
		want   error
	}{
		{0, "", nil}, {0, "why", nil}, {1000, "", nil}, {3000, "x", nil}, {4999, strings.Repeat("x", 123), nil},
		{1, "", ErrInvalidAccess}, {999, "", ErrInvalidAccess}, {1001, "", ErrInvalidAccess}, {1005, "", ErrInvalidAccess},
		{2999, "", ErrInvalidAccess}, {5000, "", ErrInvalidAccess}, {65535, "", ErrInvalidAccess},
		{1000, strings.Repeat("x", 124), ErrSyntax}, {1000, strings.Repeat("é", 62), ErrSyntax}, {0, strings.Repeat("x", 124), ErrSyntax},
		{1001, strings.Repeat("x", 124), ErrInvalidAccess}, // the code is checked first
		{1000, strings.Repeat("\xffa", 31), ErrSyntax},     // with U+FFFD they are 124 bytes
	} {
		if _, _, err := checkClose(c.code, c.reason); !errors.Is(err, c.want) {
			t.Errorf("close(%d, %d bytes): error is %v, want %v", c.code, len(c.reason), err, c.want)
		}
	}
	if errors.Is(ErrSyntax, ErrInvalidAccess) || !strings.Contains(ErrSyntax.Error(), "SyntaxError") {
		t.Error("exceptions are not told apart by their name")
	}
}

func TestBlob(t *testing.T) {
	data := []byte("abcdef")
	b := NewBlob(data)
	data[0] = 'X'
	if b.Size() != 6 || b.Text() != "abcdef" || string(b.Bytes()) != "abcdef" {
		t.Errorf("blob is %q", b.Text())
	}
	b.Bytes()[0] = 'X'
	for _, c := range []struct {
		start, end int
		want       string
	}{{0, 6, "abcdef"}, {1, 3, "bc"}, {-2, 6, "ef"}, {0, -1, "abcde"}, {4, 2, ""}, {-99, 99, "abcdef"}, {7, 9, ""}} {
		if got := b.Slice(c.start, c.end).Text(); got != c.want {
			t.Errorf("slice(%d, %d) is %q, want %q", c.start, c.end, got, c.want)
		}
	}
	if got, err := io.ReadAll(b.Slice(1, 3).Stream()); err != nil || string(got) != "bc" {
		t.Errorf("stream is %q, %v", got, err)
	}
	if got := NewBlob([]byte("a\xff")).Text(); got != "a\uFFFD" {
		t.Errorf("text is %q", got)
	}
}

func TestNames(t *testing.T) {
	for state, want := range map[interface{ String() string }]string{
		Connecting: "CONNECTING", Open: "OPEN", Closing: "CLOSING", Closed: "CLOSED", ReadyState(4): "unknown",
		StateConnecting: "connecting", StateOpen: "open", StateWaiting: "waiting", StateClosing: "closing", StateClosed: "closed", State(5): "unknown",
	} {
		if got := state.String(); got != want {
			t.Errorf("name is %q, want %q", got, want)
		}
	}
}
