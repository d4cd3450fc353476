package session

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// Each thing that a client can do wrong has its own code, and harms nothing else.
func TestRefusals(t *testing.T) {
	nothing := hub.Identity{User: "nobody"}
	f := newFixture(t, hub.Options{
		MaxSubscriptions: 3,
		Topics: []hub.Rule{
			{Pattern: "closed.>", TopicOptions: hub.TopicOptions{Subscribe: hub.Nobody, Publish: hub.Granted, ReadHistory: hub.Granted, ReadPresence: hub.Granted, Presence: hub.PresenceFull, HistoryMessages: 1}},
			{Pattern: "small", TopicOptions: hub.TopicOptions{MaxBytes: 10, MaxSubscribers: 1}},
			{Pattern: "slow", TopicOptions: hub.TopicOptions{PublishRate: 1}},
		},
	}, Options{Authenticate: func(context.Context, *Attempt) (hub.Identity, error) { return nothing, nil }})
	if err := f.hub.Handle("shop.>", func(context.Context, *hub.Request) (hub.Reply, error) {
		return hub.Reply{}, hub.Errorf("shop.closed", "come tomorrow")
	}); err != nil {
		t.Fatal(err)
	}
	c := f.connect("x")
	c.refused("already-connected", `{"type":"connect","id":2}`)
	c.refused("unknown-command", `{"type":"subscirbe","id":2}`)
	c.refused("bad-request", `{"type":"subscribe","id":2,"topic":[]}`)
	for _, topic := range []string{"", "a..b", ".a", "a.", "a b", "a\\u0000b", "a\\nb", "a\\u202eb", "a.b*", ">.a", strings.Repeat("x", 256)} {
		c.refused("bad-topic", `{"type":"subscribe","id":2,"topic":"%s"}`, topic)
		c.refused("bad-topic", `{"type":"publish","id":2,"topic":"%s","data":1}`, topic)
	}
	c.refused("bad-topic", `{"type":"publish","id":2,"topic":"a.*","data":1}`)
	c.refused("bad-topic", `{"type":"history","id":2,"topic":"a.>"}`)
	c.refused("forbidden", `{"type":"subscribe","id":2,"topic":"closed.a"}`)
	c.refused("forbidden", `{"type":"subscribe","id":2,"topic":">"}`)
	c.refused("forbidden", `{"type":"subscribe","id":2,"topic":"*.a"}`)
	c.refused("forbidden", `{"type":"publish","id":2,"topic":"closed.a","data":1}`)
	c.refused("forbidden", `{"type":"history","id":2,"topic":"closed.a"}`)
	c.refused("forbidden", `{"type":"presence","id":2,"topic":"closed.a"}`)
	c.refused("no-history", `{"type":"history","id":2,"topic":"a"}`)
	c.refused("no-presence", `{"type":"presence","id":2,"topic":"a"}`)
	c.refused("no-presence", `{"type":"subscribe","id":2,"topic":"a","presence":true}`)
	c.refused("bad-request", `{"type":"subscribe","id":2,"topic":"a","last":-1}`)
	c.refused("bad-request", `{"type":"subscribe","id":2,"topic":"a","last":1001}`)
	c.refused("bad-request", `{"type":"history","id":2,"topic":"a","limit":-1,"before":3,"after":1}`)
	c.refused("bad-request", `{"type":"publish","id":2,"topic":"a"}`)
	c.refused("bad-request", `{"type":"publish","id":2,"topic":"a","data":1,"messageId":"a b"}`)
	c.refused("too-large", `{"type":"publish","id":2,"topic":"small","data":"0123456789"}`)
	c.refused("too-large", `{"type":"publish","id":2,"topic":"a","data":1,"key":"%s"}`, strings.Repeat("k", 256))
	c.refused("too-large", `{"type":"publish","id":2,"topic":"a","data":1,"meta":{"a":"%s"}}`, strings.Repeat("k", 1024))
	c.refused("not-subscribed", `{"type":"unsubscribe","id":2,"topic":"a"}`)
	c.refused("unknown-method", `{"type":"request","id":2,"method":"nothing"}`)
	c.refused("shop.closed", `{"type":"request","id":2,"method":"shop.buy"}`)
	c.refused("bad-request", `{"type":"request","id":2,"method":"shop.buy","timeout":30001}`)
	c.ask(`{"type":"subscribe","id":2,"topic":"small"}`)
	c.refused("already-subscribed", `{"type":"subscribe","id":2,"topic":"small"}`)
	c.ask(`{"type":"subscribe","id":2,"topic":"b"}`)
	c.ask(`{"type":"subscribe","id":2,"topic":"c"}`)
	c.refused("too-many-subscriptions", `{"type":"subscribe","id":2,"topic":"d"}`)
	if r := c.ask(`{"type":"publish","id":2,"topic":"slow","data":1}`); r["type"] != "reply" {
		t.Errorf("the first message: %v", r)
	}
	if r := c.ask(`{"type":"publish","id":2,"topic":"slow","data":1}`); r["code"] != "rate" || r["retry"].(float64) < 1 || r["retry"].(float64) > 1002 {
		t.Errorf("the second message: %v", r)
	}
	c.send(`{"type":"unknown"}`)
	c.expect(`{"type":"error","code":"unknown-command","message":"there is no command \"unknown\""}`)
	other := f.connect("y")
	other.refused("topic-full", `{"type":"subscribe","id":2,"topic":"small"}`)
	if n := f.hub.Stats(); n.Subscriptions != 3 || n.Subscribers != 2 {
		t.Errorf("afterwards: %+v", n)
	}
}

func TestLetIn(t *testing.T) {
	f := newFixture(t, hub.Options{}, Options{Authenticate: named, Limits: Limits{ConnectTimeout: 200 * time.Millisecond}, MaxFrame: 1 << 16})
	for _, c := range []struct {
		frame, error string
		code         websocket.StatusCode
		reason       string
	}{
		{`{"type":"connect","id":1}`, "token-missing", 4401, "token-missing"},
		{`{"type":"connect","id":1,"token":"bad"}`, "token-invalid", 4401, "token-invalid"},
		{`{"type":"connect","id":1,"token":"broken"}`, "unavailable", 4503, "unavailable"},
		{`{"type":"connect","id":1,"token":"panic"}`, "unavailable", 4503, "unavailable"},
		{`{"type":"connect","id":1,"token":"a\u0000"}`, "bad-request", 4403, "forbidden"},
		{`{"type":"connect","id":1,"token":"a","info":{"a":"` + strings.Repeat("x", 1024) + `"}}`, "too-large", 4403, "forbidden"},
		{`{"type":"subscribe","id":1,"topic":"a"}`, "not-connected", 4400, "bad-frame"},
		{`{"type":"connect"`, "", 4400, "bad-frame"},
		{`{"type":"connect","id":1,"token":"` + strings.Repeat("x", 1<<16) + `"}`, "", 1009, "*"},
		{``, "", 4400, "bad-frame"},
	} {
		one := f.dial(nil)
		one.send("%s", c.frame)
		if c.error != "" {
			if got := one.read(); !strings.Contains(got, `{"type":"error","id":1,"code":"`+c.error+`","message":"`) || strings.Contains(got, "secret") {
				t.Errorf("%.80s is answered with %s", c.frame, got)
			}
		}
		last := one.closed(c.code, c.reason)
		if c.code != 1009 && (len(last) != 1 || !strings.Contains(last[0], `{"type":"disconnect","code":"`+c.reason+`"`)) {
			t.Errorf("%.80s: before the end came %q", c.frame, last)
		}
	}
	quiet := f.dial(nil)
	quiet.closed(4408, "connect-timeout")
	if n := f.hub.Stats().Subscribers; n != 0 {
		t.Errorf("%d are in", n)
	}
	_, err := websocket.Dial(f.ctx, f.url, &websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{"mqtt"}}})
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("another subprotocol: %v", err)
	}
	plain := f.dial(&websocket.DialOptions{})
	if r := plain.ask(`{"type":"connect","id":1,"token":"ann"}`); r["user"] != "ann" {
		t.Errorf("without subprotocol: %v", r)
	}
	many := f.dial(&websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{Subprotocol, "duplex.token.abc"}}})
	if many.conn.Subprotocol() != Subprotocol {
		t.Errorf("agreed on %q", many.conn.Subprotocol())
	}
}

func TestRefresh(t *testing.T) {
	soon := time.Now().Add(300 * time.Millisecond)
	f := newFixture(t, hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{Subscribe: hub.Granted}}}}, Options{
		Authenticate: func(_ context.Context, a *Attempt) (hub.Identity, error) {
			user, pattern, _ := strings.Cut(a.Token, "/")
			i := hub.Identity{User: user, Grants: []hub.Grant{{Pattern: pattern, Actions: hub.ActAll}}}
			if !a.Refresh {
				i.Expires = soon
			}
			if user == "expired" {
				return i, hub.Errorf(hub.CodeTokenExpired, "too late")
			}
			return i, nil
		},
	})
	dial := func(token string) *client {
		c := f.dial(nil)
		if r := c.ask(`{"type":"connect","id":1,"token":"%s"}`, token); r["expires"] != float64(soon.UnixMilli()) {
			t.Fatalf("connected with %v", r)
		}
		return c
	}
	ann, bob := dial("ann/>"), dial("bob/>")
	ann.ask(`{"type":"subscribe","id":2,"topic":"a"}`)
	ann.ask(`{"type":"subscribe","id":3,"topic":"b"}`)
	ann.refused("token-invalid", `{"type":"refresh","id":4,"token":"eve/>"}`)
	ann.refused("token-expired", `{"type":"refresh","id":4,"token":"expired/>"}`)
	ann.send(`{"type":"refresh","id":5,"token":"ann/b"}`)
	ann.expect(`{"type":"unsubscribed","topic":"a","code":"forbidden","message":"you may no longer subscribe to a"}`, `{"type":"reply","id":5}`)
	bob.closed(4401, "token-expired")
	ann.send(`{"type":"publish","id":6,"topic":"b","data":1}`)
	ann.expect(`{"type":"message","topic":"b","offset":1,"time":*,"from":{"user":"ann"},"data":1}`)
	ann.read()
	if n, err := f.hub.Disconnect(f.ctx, hub.Selector{User: "ann"}, hub.End{Code: hub.EndTokenRevoked, Message: "revoked"}); n != 1 || err != nil {
		t.Errorf("%d were disconnected, %v", n, err)
	}
	ann.closed(4401, "token-revoked")
}

func TestFloodOfCommands(t *testing.T) {
	f := newFixture(t, hub.Options{}, Options{Limits: Limits{CommandRate: 10, CommandBurst: 20}})
	c, other := f.connect("a"), f.connect("b")
	for range 20 + floodLimit + 10 {
		if c.conn.Write(f.ctx, websocket.Text, []byte(`{"type":"subscribe","topic":"a"}`)) != nil {
			break // closed already
		}
	}
	last := c.closed(1008, "flood")
	limited := 0
	for _, p := range last {
		if strings.Contains(p, `"code":"rate"`) {
			limited++
		}
	}
	if limited < floodLimit-200 {
		t.Errorf("%d refusals for the rate", limited)
	}
	if r := other.ask(`{"type":"ping","id":2}`); r["type"] != "reply" {
		t.Errorf("another client: %v", r)
	}
}

// Whoever sends commands without reading the answers stops being read, and harms nobody.
func TestAnswersAreNotRead(t *testing.T) {
	f := newFixture(t, one(hub.TopicOptions{HistoryMessages: 1000, HistoryBytes: 64 << 20}), Options{Limits: Limits{CommandRate: 1e6, CommandBurst: 1e6}, Outbox: 64 << 10})
	big := fmt.Sprintf("%q", strings.Repeat("x", 60_000))
	for range 200 {
		if _, err := f.hub.Publish(f.ctx, "t", hub.Publication{Data: []byte(big)}); err != nil {
			t.Fatal(err)
		}
	}
	deaf := f.dial(&websocket.DialOptions{Options: websocket.Options{ReadAhead: 1}})
	deaf.send(`{"type":"connect"}`)
	ctx, cancel := context.WithTimeout(f.ctx, 2*time.Second)
	defer cancel()
	sent := 0
	for ; sent < 10_000; sent++ {
		if deaf.conn.Write(ctx, websocket.Text, []byte(`{"type":"history","id":1,"topic":"t","limit":200}`)) != nil {
			break
		}
	}
	other := f.connect("b")
	if r := other.ask(`{"type":"ping","id":2}`); r["type"] != "reply" {
		t.Errorf("another client: %v", r)
	}
	_ = deaf.conn.CloseNow()
}

func TestDrain(t *testing.T) {
	f := newFixture(t, hub.Options{}, Options{Limits: Limits{DrainRate: 40, DrainRetry: time.Second, DrainSpread: time.Second}})
	all := make([]*client, 10)
	for i := range all {
		all[i] = f.connect("x")
	}
	if n := f.server.Shed(f.ctx, 0.2); n != 2 {
		t.Fatalf("%d were shed", n)
	}
	for f.server.Len() > 8 { // they answer the close frame by themselves
		time.Sleep(time.Millisecond)
	}
	if err := f.server.Shutdown(f.ctx); err != nil {
		t.Error(err)
	}
	for _, c := range all {
		last := c.closed(1012, "retry-after=*ms")
		var after int
		if len(last) == 1 {
			_, _ = fmt.Sscanf(last[0], `{"type":"disconnect","code":"restart","message":"the server restarts","reconnect":true,"after":%d}`, &after)
		}
		if after < 1000 || after > 2000 {
			t.Errorf("before the end came %q", last)
		}
	}
	if _, err := websocket.Dial(f.ctx, f.url, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a new client: %v", err)
	}
	if n := f.hub.Stats().Subscribers; n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}
