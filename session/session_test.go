package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// fixture is a hub with its server, and clients that speak by hand.
type fixture struct {
	*testing.T
	hub    *hub.Hub
	server *Server
	url    string
	ctx    context.Context
}

func newFixture(t *testing.T, ho hub.Options, so Options) *fixture {
	t.Helper()
	h, err := hub.New(ho)
	if err != nil {
		t.Fatal(err)
	}
	s := New(h, so)
	web := httptest.NewServer(s)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(func() {
		h.Close()
		done, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		_ = s.socket.Shutdown(done)
		web.Close()
		cancel()
	})
	return &fixture{t, h, s, web.URL, ctx}
}

func one(o hub.TopicOptions) hub.Options {
	return hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: o}}}
}

// client is one connection.
type client struct {
	*fixture
	conn *websocket.Conn
}

func (f *fixture) dial(o *websocket.DialOptions) *client {
	f.Helper()
	if o == nil {
		o = &websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{Subprotocol}}}
	}
	o.MaxMessage = 16 << 20
	c, err := websocket.Dial(f.ctx, f.url, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.CloseNow() })
	return &client{f, c}
}

func (c *client) send(frame string, a ...any) {
	c.Helper()
	if err := c.conn.Write(c.ctx, websocket.Text, fmt.Appendf(nil, frame, a...)); err != nil {
		c.Fatal(err)
	}
}

func (c *client) read() string {
	c.Helper()
	_, p, err := c.conn.Read(c.ctx)
	if err != nil {
		c.Fatal(err)
	}
	return string(p)
}

// expect reads frames, which must be these; * stands for anything but a quotation mark.
func (c *client) expect(want ...string) {
	c.Helper()
	for _, w := range want {
		if got := c.read(); !like(got, w) {
			c.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

func like(got, want string) bool {
	parts := strings.Split(want, "*")
	for i, part := range parts {
		at := strings.Index(got, part)
		if at < 0 || i == 0 && at > 0 || strings.Contains(got[:at], `"`) && i > 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return got == "" || strings.HasSuffix(want, "*") && !strings.Contains(got, `"`)
}

// ask sends a command with an id and returns its answer; nothing else may come before it.
func (c *client) ask(frame string, a ...any) map[string]any {
	c.Helper()
	c.send(frame, a...)
	var reply map[string]any
	if err := json.Unmarshal([]byte(c.read()), &reply); err != nil {
		c.Fatal(err)
	}
	return reply
}

func (c *client) refused(code, frame string, a ...any) {
	c.Helper()
	if reply := c.ask(frame, a...); reply["type"] != "error" || reply["code"] != code {
		c.Errorf("%s is answered with %v, want %s", fmt.Sprintf(frame, a...), reply, code)
	}
}

// closed waits for the end, and returns the last frames before it.
func (c *client) closed(code websocket.StatusCode, reason string) (last []string) {
	c.Helper()
	for {
		_, p, err := c.conn.Read(c.ctx)
		if err == nil {
			last = append(last, string(p))
			continue
		}
		var ended *websocket.CloseError
		if !errors.As(err, &ended) || ended.Code != code || !like(ended.Reason, reason) {
			c.Errorf("closed with %v, want %d %q", err, code, reason)
		}
		return last
	}
}

func (f *fixture) connect(user string) *client {
	f.Helper()
	c := f.dial(nil)
	if reply := c.ask(`{"type":"connect","id":1,"token":"%s","info":{"name":"%s"}}`, user, user); reply["type"] != "reply" {
		f.Fatalf("connect: %v", reply)
	}
	return c
}

// named lets everybody be who the token says.
func named(_ context.Context, a *Attempt) (hub.Identity, error) {
	switch {
	case a.Token == "":
		return hub.Identity{}, hub.Errorf(hub.CodeTokenMissing, "a token is needed")
	case a.Token == "bad":
		return hub.Identity{}, hub.Errorf(hub.CodeTokenInvalid, "no")
	case a.Token == "broken":
		return hub.Identity{}, errors.New("secret")
	case a.Token == "panic":
		panic("secret")
	}
	return hub.Identity{User: a.Token}, nil
}

func TestConversation(t *testing.T) {
	f := newFixture(t, one(hub.TopicOptions{HistoryMessages: 10, Presence: hub.PresenceFull}), Options{Authenticate: named})
	ann, bob := f.connect("ann"), f.connect("bob")
	ann.send(`{"type":"subscribe","id":2,"topic":"chat.lobby","presence":true}`)
	ann.expect(`{"type":"reply","id":2,"topic":"chat.lobby","epoch":"*","offset":0}`, `{"type":"join","topic":"chat.lobby","user":"ann","info":{"name":"ann"}}`)
	bob.send(`{"type":"subscribe","id":2,"topic":"chat.*"}`)
	bob.expect(`{"type":"reply","id":2,"topic":"chat.*","epoch":"*","offset":0}`)
	bob.send(`{"type":"publish","id":3,"topic":"chat.lobby","messageId":"m1","key":"k\"","meta":{"a":1},"data":{"text":"<hi> 你好"}}`)
	message := `,"offset":1,"time":*,"messageId":"m1","key":"k\"","from":{"user":"bob","info":{"name":"bob"}},"meta":{"a":1},"data":{"text":"<hi> 你好"}}`
	bob.expect(`{"type":"message","topic":"chat.lobby","sub":"chat.*"`+message, `{"type":"reply","id":3,"epoch":"*","offset":1}`)
	ann.expect(`{"type":"message","topic":"chat.lobby"` + message)
	bob.send(`{"type":"publish","id":4,"topic":"chat.lobby","messageId":"m1","data":1}`)
	bob.expect(`{"type":"reply","id":4,"epoch":"*","offset":1,"duplicate":true}`)
	bob.send(`{"type":"publish","id":5,"topic":"chat.lobby","echo":false,"data":null}`)
	bob.expect(`{"type":"reply","id":5,"epoch":"*","offset":2}`)
	ann.expect(`{"type":"message","topic":"chat.lobby","offset":2,"time":*,"from":{"user":"bob","info":{"name":"bob"}},"data":null}`)

	binary := appendFrame(nil, []byte(`{"type":"publish","id":6,"topic":"chat.lobby"}`), true, []byte{0, 255})
	if err := bob.conn.Write(f.ctx, websocket.Binary, binary); err != nil {
		t.Fatal(err)
	}
	_, p, err := ann.conn.Read(f.ctx)
	if n := int(p[0])<<8 | int(p[1]); err != nil || !bytes.Equal(p[2+n:], []byte{0, 255}) {
		t.Errorf("binary: %q, %v", p, err)
	}
	bob.read()
	bob.expect(`{"type":"reply","id":6,"epoch":"*","offset":3}`)

	ann.send(`{"type":"history","id":7,"topic":"chat.lobby","limit":2}`)
	ann.expect(`{"type":"message","topic":"chat.lobby","offset":2,"time":*,"from":{"user":"bob","info":{"name":"bob"}},"data":null,"reply":7}`)
	if p := ann.read(); !strings.HasSuffix(p, "\"reply\":7}\x00\xff") {
		t.Errorf("history: %q", p)
	}
	ann.expect(`{"type":"reply","id":7,"epoch":"*","messages":2,"more":true}`)
	ann.send(`{"type":"presence","id":8,"topic":"chat.lobby"}`)
	ann.expect(`{"type":"reply","id":8,"count":1,"connections":1,"users":[{"user":"ann","info":{"name":"ann"},"connections":1}]}`)
	ann.send(`{"type":"ping","id":9}`)
	ann.expect(`{"type":"reply","id":9}`)
	ann.send(`{"type":"unsubscribe","id":10,"topic":"chat.lobby"}`)
	ann.expect(`{"type":"reply","id":10}`)
	bob.send(`{"type":"publish","topic":"chat.lobby","data":1}`)
	ann.send(`{"type":"ping","id":11}`)
	ann.expect(`{"type":"reply","id":11}`)
}

func TestResumeOverTheWire(t *testing.T) {
	f := newFixture(t, one(hub.TopicOptions{HistoryMessages: 2}), Options{})
	a := f.dial(nil)
	hello := a.ask(`{"type":"connect","id":1}`)
	user, _ := hello["user"].(string)
	if !strings.HasPrefix(user, "~") || hello["ping"] != 25000.0 {
		t.Fatalf("connected with %v", hello)
	}
	at := a.ask(`{"type":"subscribe","id":2,"topic":"t"}`)
	b := f.dial(nil)
	again := b.ask(`{"type":"connect","id":1,"resume":"%s"}`, hello["resume"])
	if again["user"] != user || again["session"] != hello["session"] {
		t.Errorf("resumed as %v", again)
	}
	if last := a.closed(4409, "replaced"); !slices.Equal(last, []string{`{"type":"disconnect","code":"replaced","message":"the session goes on elsewhere","reconnect":false}`}) {
		t.Errorf("the old connection got %q", last)
	}
	for range 2 {
		b.ask(`{"type":"publish","id":3,"topic":"t","data":1}`)
	}
	subscribe := `{"type":"subscribe","id":4,"topic":"t","since":{"epoch":"%s","offset":%v}}`
	if r := b.ask(subscribe, at["epoch"], at["offset"]); r["recovered"] != true || r["offset"] != at["offset"] {
		t.Errorf("resumed with %v", r)
	}
	b.expect(`{"type":"message","topic":"t","offset":1,"time":*,"from":{"user":"*"},"data":1}`)
	b.expect(`{"type":"message","topic":"t","offset":2,"time":*,"from":{"user":"*"},"data":1}`)
	c := f.dial(nil)
	if other := c.ask(`{"type":"connect","id":1,"resume":"AAAA%s"}`, hello["resume"]); other["user"] == user {
		t.Error("a forged secret resumes")
	}
	if r := c.ask(subscribe, "other", 3); r["recovered"] != false || r["offset"] != 0.0 || r["epoch"] != at["epoch"] {
		t.Errorf("resumed another epoch with %v", r)
	}
	c.expect(fmt.Sprintf(`{"type":"gap","topic":"t","reason":"epoch","since":{"epoch":"other","offset":3},"until":{"epoch":"%v","offset":0}}`, at["epoch"]))
}
