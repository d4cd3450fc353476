package interop

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/duplex-websocket/duplex/websocket"
)

// Our client against servers on other libraries, every setting of theirs against every setting of ours.
func TestTheirServers(t *testing.T) {
	for _, r := range rivals {
		for _, theirs := range r.settings {
			for ours := range ourSettings {
				t.Run(fmt.Sprintf("%s %s, ours %s", r.name, theirs, ours), func(t *testing.T) {
					t.Parallel()
					testTheirServer(t, r, theirs, ours)
				})
			}
		}
	}
}

// startTheirs runs a server of another library.
func startTheirs(t *testing.T, r rival, setting string) (url string, ended <-chan ending) {
	t.Helper()
	all := make(chan ending, 16)
	h := httptest.NewServer(r.handler(setting, []string{"chat.v2", "chat.v1"}, all))
	t.Cleanup(h.Close)
	return "ws" + strings.TrimPrefix(h.URL, "http"), all
}

// dialOurs connects and counts bytes.
func dialOurs(t *testing.T, url, setting string) (c *websocket.Conn, in, out *atomic.Int64, err error) {
	t.Helper()
	in, out = new(atomic.Int64), new(atomic.Int64)
	o := &websocket.DialOptions{Options: ourOptions(setting, []string{"chat.v1"})}
	o.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		return meteredConn{c, in, out}, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if c, err = websocket.Dial(ctx, url, o); err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, in, out, err
}

func testTheirServer(t *testing.T, r rival, theirs, ours string) {
	url, ended := startTheirs(t, r, theirs)
	c, in, out, err := dialOurs(t, url, ours)
	if ours == "9 and 10 bits" && theirs != "off" && brokenWindow[r.name] {
		if err == nil || !strings.Contains(err.Error(), "server_max_window_bits") {
			t.Errorf("an answer that passes over server_max_window_bits: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.Subprotocol() != "chat.v1" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	agreed := strings.HasPrefix(c.Extensions(), "permessage-deflate")
	declined := ours == "9 and 10 bits" && (r.name == "coder" || r.name == "gobwas") // they have no smaller windows, and say so
	if want := theirs != "off" && ours != "off" && !declined; agreed != want {
		t.Errorf("agreed on %q", c.Extensions())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	total := exchangeOurs(ctx, t, c)
	if agreed && (in.Load() > total/2 || out.Load() > total/2) {
		t.Errorf("compressed %d bytes to %d sent and %d received", total, out.Load(), in.Load())
	}
	if err := writeOurParts(ctx, c, websocket.Text, []string{"Vi", "", fragmented, "fragmentiert"}); err != nil {
		t.Fatal(err)
	}
	expectOurs(ctx, t, c, websocket.Text, "Vi"+fragmented+"fragmentiert")
	sendOurs(ctx, t, c, fragmentsCommand)
	expectOurs(ctx, t, c, websocket.Text, fragmented)
	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	if err := <-pinged; err != nil {
		t.Error(err)
	}
	sendOurs(ctx, t, c, pingCommand)
	expectOurs(ctx, t, c, websocket.Text, ponged)
	if err := c.Close(ctx, 4001, "genug 够了"); err != nil {
		t.Error(err)
	}
	if got, want := awaitEnding(t, ended), (ending{4001, "genug 够了"}); got != want {
		t.Errorf("their server saw %v, want %v", got, want)
	}
}

// brokenWindow are servers that agree to compression but pass over our offer's server_max_window_bits=9, or answer a larger one. They
// would then use a window that we did not consent to, so RFC 7692 section 7.1.2.1 makes the connection fail.
var brokenWindow = map[string]bool{"gorilla": true, "gws": true}

// exchangeOurs returns how many bytes of payload went each way.
func exchangeOurs(ctx context.Context, t *testing.T, c *websocket.Conn) (total int64) {
	t.Helper()
	for _, m := range messages() {
		for _, typ := range []websocket.MessageType{websocket.Text, websocket.Binary} {
			if err := c.Write(ctx, typ, []byte(m)); err != nil {
				t.Fatalf("write %d bytes: %v", len(m), err)
			}
			expectOurs(ctx, t, c, typ, m)
			total += int64(len(m))
		}
	}
	return total
}

func sendOurs(ctx context.Context, t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(ctx, websocket.Text, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expectOurs(ctx context.Context, t *testing.T, c *websocket.Conn, typ websocket.MessageType, want string) {
	t.Helper()
	gotType, got, err := c.Read(ctx)
	if err != nil {
		t.Fatalf("waiting for %d bytes: %v", len(want), err)
	}
	if gotType != typ || string(got) != want {
		t.Fatalf("got %v of %d bytes %.40q, want %v of %d bytes %.40q", gotType, len(got), got, typ, len(want), want)
	}
}

// Every code, begun by either side.
func TestCloseCodesWithTheirServers(t *testing.T) {
	for _, r := range rivals {
		for _, e := range endings {
			if cannot(r, e.code) {
				continue
			}
			t.Run(fmt.Sprintf("%s %d", r.name, e.code), func(t *testing.T) {
				t.Parallel()
				url, ended := startTheirs(t, r, "off")
				closeFromOurClient(t, url, e, ended)
				closeFromTheirServer(t, r, url, e)
			})
		}
	}
}

func closeFromOurClient(t *testing.T, url string, e ending, ended <-chan ending) {
	c, _, _, err := dialOurs(t, url, "off")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Close(ctx, websocket.StatusCode(e.code), e.reason); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := awaitEnding(t, ended); got != e {
		t.Errorf("their server saw %v", got)
	}
}

func closeFromTheirServer(t *testing.T, r rival, url string, e ending) {
	if r.name == "gws" && e.code == 1005 {
		return // it always sends a code
	}
	c, _, _, err := dialOurs(t, url, "off")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sendOurs(ctx, t, c, fmt.Sprintf("%s%d %s", closeCommand, e.code, e.reason))
	_, _, err = c.Read(ctx)
	if got := ourEnding(err); got != e {
		t.Errorf("our client saw %v", got)
	}
}
