package interop

import (
	"fmt"
	"strings"
	"testing"
)

// Other libraries as clients of our server, every setting of theirs against every setting and both styles of ours.
func TestTheirClients(t *testing.T) {
	for _, r := range rivals {
		for _, theirs := range r.settings {
			for ours := range ourSettings {
				for _, style := range styles {
					t.Run(fmt.Sprintf("%s %s, ours %s, %s", r.name, theirs, ours, style), func(t *testing.T) {
						t.Parallel()
						testTheirClient(t, r, theirs, style, ours)
					})
				}
			}
		}
	}
}

func testTheirClient(t *testing.T, r rival, theirs, style, ours string) {
	server := startOurs(t, style, ours, "chat.v2", "chat.v1")
	c, subprotocol, err := r.dial(t, server.url, theirs, []string{"chat.v1", "chat.v2"})
	if err != nil {
		t.Fatal(err)
	}
	// The server's order decides (RFC 6455 section 4.2.2); gws' client takes the first of its own that the answer names.
	if subprotocol != "chat.v2" {
		t.Errorf("subprotocol %q", subprotocol)
	}
	agreed := <-server.extensions
	if want := theirs != "off" && ours != "off"; strings.HasPrefix(agreed, "permessage-deflate") != want {
		t.Errorf("agreed on %q", agreed)
	}
	exchange(t, c)
	if err := c.fragments(true, []string{"Vi", "", fragmented, "fragmentiert"}); err != nil {
		t.Fatal(err)
	}
	expect(t, c, true, "Vi"+fragmented+"fragmentiert")
	if err := c.write(true, []byte(fragmentsCommand)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, true, fragmented)
	if err := c.ping("are you there?"); err != nil {
		t.Error(err)
	}
	if err := c.write(true, []byte(pingCommand)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, true, ponged)
	got, err := c.close(4001, "genug 够了")
	if err != nil {
		t.Error(err)
	}
	if got != 4001 {
		t.Errorf("our answer to their close: %d", got)
	}
	if got, want := awaitEnding(t, server.ended), (ending{4001, "genug 够了"}); got != want {
		t.Errorf("our server saw %v, want %v", got, want)
	}
}

// exchange sends every message as text and as binary and expects it back.
func exchange(t *testing.T, c theirConn) {
	t.Helper()
	for _, m := range messages() {
		for _, text := range []bool{true, false} {
			if err := c.write(text, []byte(m)); err != nil {
				t.Fatalf("write %d bytes: %v", len(m), err)
			}
			expect(t, c, text, m)
		}
	}
}

func expect(t *testing.T, c theirConn, text bool, want string) {
	t.Helper()
	gotText, got, err := c.read()
	if err != nil {
		t.Fatalf("waiting for %d bytes: %v", len(want), err)
	}
	if gotText != text || string(got) != want {
		t.Fatalf("got %d bytes %.40q (text: %v), want %d bytes %.40q (text: %v)", len(got), got, gotText, len(want), want, text)
	}
}

// Every code that may stand in a close frame (RFC 6455 section 7.4), begun by either side.
func TestCloseCodesWithTheirClients(t *testing.T) {
	for _, r := range rivals {
		for _, style := range styles {
			for _, e := range endings {
				if cannot(r, e.code) {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %d", r.name, style, e.code), func(t *testing.T) {
					t.Parallel()
					server := startOurs(t, style, "off")
					closeFromTheirClient(t, r, server, e)
					closeTowardsTheirClient(t, r, server, e)
				})
			}
		}
	}
}

var endings = []ending{{1000, ""}, {1000, "done"}, {1001, "leaving"}, {1002, "your fault"}, {1003, "text only"}, {1007, "not UTF-8"}, {1008, "policy"},
	{1009, "too big"}, {1010, "extension"}, {1011, "our fault"}, {1012, "restart"}, {1013, "later"}, {1014, "gateway"}, {3000, "registered"}, {4999, strings.Repeat("é", 61)}, {1005, ""}}

// answersWith is the code with which a library answers a close frame; RFC 6455 section 5.5.1 wants the same code again.
func answersWith(r rival, code int) int {
	switch {
	case r.name == "gws" && code == 1014:
		return 1002 // it does not know this one
	case r.name == "gws" && code >= 1000 && code < 3000 && code != 1005:
		return 1000 // whatever it was
	}
	return code
}

// cannot tells which codes a library neither sends nor understands.
func cannot(r rival, code int) bool {
	// gorilla takes 1014, which is in IANA's registry but not in RFC 6455, for a breach.
	return r.name == "gorilla" && code == 1014
}

func closeFromTheirClient(t *testing.T, r rival, server *ourServer, e ending) {
	if r.name == "gws" && e.code == 1005 {
		return // it always sends a code
	}
	c, _, err := r.dial(t, server.url, "off", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.close(e.code, e.reason); err != nil || got != e.code {
		t.Errorf("our answer: %d, %v", got, err)
	}
	if got := awaitEnding(t, server.ended); got != e {
		t.Errorf("our server saw %v", got)
	}
}

func closeTowardsTheirClient(t *testing.T, r rival, server *ourServer, e ending) {
	c, _, err := r.dial(t, server.url, "off", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.write(true, fmt.Appendf(nil, "%s%d %s", closeCommand, e.code, e.reason)); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.read()
	if got, err := endingOf(err); err != nil || got != e {
		t.Errorf("their client saw %v, %v", got, err)
	}
	if got := awaitEnding(t, server.ended); got.code != answersWith(r, e.code) {
		t.Errorf("our server, which began, ended with %v", got)
	}
}
