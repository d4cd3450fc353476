package edit

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
	"github.com/duplex-websocket/duplex/websocket"
)

// client is a client of y-websocket, as far as messages go.
type client struct {
	*websocket.Conn
	t *testing.T
}

// serve returns the address of a node's endpoint.
func serve(t *testing.T, n *node) string {
	t.Helper()
	sockets := n.editor.socket()
	server := httptest.NewServer(sockets)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sockets.Shutdown(ctx)
		server.Close()
	})
	return server.URL + socketPath
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	c, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return &client{c, t}
}

func (c *client) say(wire []byte) {
	c.t.Helper()
	if err := c.Write(c.t.Context(), websocket.Binary, wire); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next message of a kind.
func (c *client) hear(kind yjs.Kind) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, p, err := c.Read(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		if m, err := yjs.ParseMessage(p); err != nil {
			c.t.Fatal(err)
		} else if m.Kind == kind {
			return m.Data
		}
	}
}

// closed waits for the end of the connection and returns its code.
func (c *client) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			var end *websocket.CloseError
			if !errors.As(err, &end) {
				c.t.Fatal(err)
			}
			return end.Code
		}
	}
}

func TestSocket(t *testing.T) {
	n := start(t, nil)
	url := serve(t, n)
	ann, bob := dial(t, url+"notes"), dial(t, url+"notes")
	ann.say(yjs.AppendSync(nil, yjs.SyncStep1, []byte{0}))
	if got := ann.hear(yjs.SyncStep2); !slices.Equal(got, []byte{0, 0}) {
		t.Errorf("a new document has %x, want nothing", got)
	}
	bob.hear(yjs.SyncStep1) // he is there
	ann.say(yjs.AppendSync(nil, yjs.SyncUpdate, typed(1, 0, "hello ")))
	if got := bob.hear(yjs.SyncUpdate); !bytes.Contains(got, []byte("hello ")) {
		t.Errorf("bob got %q", got)
	}
	// Who comes later lacks what was before, and says what the server lacks.
	cid := dial(t, url+"notes")
	cid.hear(yjs.SyncStep1)
	cid.say(yjs.AppendSync(nil, yjs.SyncStep1, []byte{0}))
	if got := cid.hear(yjs.SyncStep2); !bytes.Contains(got, []byte("hello ")) {
		t.Errorf("cid got %q", got)
	}
	cid.say(yjs.AppendSync(nil, yjs.SyncStep2, typed(3, 0, "from offline")))
	if got := ann.hear(yjs.SyncUpdate); !bytes.Contains(got, []byte("from offline")) {
		t.Errorf("ann got %q, and her own updates should not come back", got)
	}
	// A client of the hub sees the same, and they see what it does.
	page := n.open(t, "~page")
	if whole, _ := n.read(t, "notes"); !bytes.Contains(whole, []byte("hello ")) || !bytes.Contains(whole, []byte("from offline")) {
		t.Errorf("the log has %q", whole)
	}
	page.write(t, "notes", typed(4, 0, "from the page"))
	for _, c := range []*client{ann, cid} {
		if got := c.hear(yjs.SyncUpdate); !bytes.Contains(got, []byte("from the page")) {
			t.Errorf("got %q", got)
		}
	}
}

func TestSocketStates(t *testing.T) {
	n := start(t, nil)
	url := serve(t, n)
	page := n.open(t, "~page")
	page.subscribe(t, topic("notes", partLive))
	ann, bob := dial(t, url+"notes"), dial(t, url+"notes")
	state := func(client, clock uint64, state string) []byte {
		return yjs.AppendAwarenessMessage(nil, yjs.AppendAwareness(nil, []yjs.Awareness{{Client: client, Clock: clock, State: []byte(state)}}))
	}
	next := func(c *client) yjs.Awareness {
		t.Helper()
		states, err := yjs.ParseAwareness(c.hear(yjs.AwarenessKind), 10)
		if err != nil || len(states) != 1 {
			t.Fatal(states, err)
		}
		return states[0]
	}
	bob.hear(yjs.SyncStep1)
	ann.say(state(1, 1, `{"user":{"name":"Ann"}}`))
	if s := next(bob); s.Client != 1 || !strings.Contains(string(s.State), "Ann") {
		t.Errorf("bob sees %v", s)
	}
	next(ann)
	// Bob repeats what he has heard, says that Ann has gone, which is not for him to say, and what nobody should see; then his own.
	bob.say(state(1, 2, `null`))
	bob.say(state(2, 1, `{"user":{"name":"<b>"}}`))
	bob.say(state(2, 2, `{"user":{"name":"Bob"}}`))
	if s := next(ann); s.Client != 2 || s.Clock != 2 {
		t.Errorf("ann sees %v, want only Bob", s)
	}
	bob.say([]byte{3})
	bob.hear(yjs.AwarenessKind)
	_ = bob.CloseNow()
	if s := next(ann); s.Client != 2 || s.State != nil || s.Clock != 3 {
		t.Errorf("ann sees %v, want that Bob has gone", s)
	}
	eventually(t, "the page is told of Ann, of Bob, and that he has gone", func() bool { return len(page.all(topic("notes", partLive))) == 3 })
}

func TestSocketRefusals(t *testing.T) {
	n := start(t, nil)
	url := serve(t, n)
	for _, name := range []string{"", "a.b", "a/b", "%3Cb%3E", strings.Repeat("x", 50)} {
		var refusal *websocket.HandshakeError
		if _, err := websocket.Dial(t.Context(), url+name, nil); !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("document %q: %v, want 400", name, err)
		}
	}
	watcher := dial(t, url+"notes")
	watcher.hear(yjs.SyncStep1)
	for _, test := range []struct {
		name string
		wire []byte
		code websocket.StatusCode
	}{
		{"no message", []byte{9}, closeMalformed},
		{"nothing", nil, closeMalformed},
		{"no update", yjs.AppendSync(nil, yjs.SyncUpdate, []byte{1, 2}), closeMalformed},
		{"no state vector", yjs.AppendSync(nil, yjs.SyncStep1, []byte{1}), closeMalformed},
		{"no states", yjs.AppendAwarenessMessage(nil, []byte{1}), closeMalformed},
		{"too large for a message", make([]byte, maxDocument+65), websocket.StatusMessageTooBig},
		{"too large for a document", yjs.AppendSync(nil, yjs.SyncUpdate, typed(1, 0, strings.Repeat("x", maxDocument-5))), closeMalformed},
	} {
		c := dial(t, url+"notes")
		_ = c.Write(t.Context(), websocket.Binary, test.wire)
		if code := c.closed(); code != test.code {
			t.Errorf("%s: closed with %d, want %d", test.name, code, test.code)
		}
	}
	half := strings.Repeat("x", maxDocument/2)
	c := dial(t, url+"notes")
	c.say(yjs.AppendSync(nil, yjs.SyncUpdate, typed(1, 0, half)))
	if got := watcher.hear(yjs.SyncUpdate); len(got) < len(half) {
		t.Error("what fits has not come")
	}
	c.say(yjs.AppendSync(nil, yjs.SyncUpdate, typed(2, 0, half)))
	if code := c.closed(); code != closeRefused {
		t.Errorf("a document that is full: closed with %d, want %d", code, closeRefused)
	}
	refusal := dial(t, url+"notes")
	if err := refusal.Write(t.Context(), websocket.Text, []byte("text")); err != nil || refusal.closed() != websocket.StatusUnsupportedData {
		t.Errorf("text: %v", refusal.Err())
	}
}
