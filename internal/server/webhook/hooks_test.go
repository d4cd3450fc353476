package webhook

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

func TestConnect(t *testing.T) {
	reply := `{}`
	b := answering(t, func(w http.ResponseWriter, r *http.Request) { text(reply)(w, r) })
	c := all(t, b.URL)
	c.Connect.Headers = []string{"cookie", "X-Tenant"}
	h := newHooks(t, c, Options{})
	expires := time.Now().Add(time.Hour)
	base := hub.Identity{User: "~1", Anonymous: true, Expires: expires, Grants: []hub.Grant{{Pattern: "a", Actions: hub.ActAll}}}
	ask := func() (hub.Identity, error) {
		return h.Authenticate(next(base, nil))(t.Context(), &session.Attempt{
			Token: "opaque", Session: "s1", RemoteAddr: "203.0.113.7:1234", Info: []byte(`{"n":1}`), Refresh: true,
			Header: http.Header{"Cookie": {"sid=1"}, "Origin": {"https://app.example"}, "Authorization": {"Bearer x"}, "X-Tenant": {"a", "b"}},
		})
	}
	if i, err := ask(); err != nil || !reflect.DeepEqual(i, base) {
		t.Errorf("unchanged: %+v, %v", i, err)
	}
	want := map[string]any{
		"type": "connect", "session": "s1", "user": "~1", "anonymous": true, "info": map[string]any{"n": 1.0}, "refresh": true, "token": "opaque",
		"remoteAddr": "203.0.113.7:1234", "headers": map[string]any{"Cookie": "sid=1", "Origin": "https://app.example", "X-Tenant": "a, b"},
	}
	if q := b.last(t); !reflect.DeepEqual(q.asked, want) || q.header.Get(headerEvent) != "connect" ||
		q.header.Get("Content-Type") != "application/json" || q.header.Get("Idempotency-Key") == "" {
		t.Errorf("asked %v, %v", q.asked, q.header)
	}
	soon := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	reply = `{"user":"bob","info":{"a": 1},"topics":{"chat.>":["publish"]},"expires":` + millis(soon) + `}`
	if i, err := ask(); err != nil || i.User != "bob" || i.Anonymous || string(i.Info) != `{"a":1}` || !i.Expires.Equal(soon) ||
		!reflect.DeepEqual(i.Grants, []hub.Grant{{Pattern: "chat.>", Actions: hub.ActPublish}}) {
		t.Errorf("changed: %+v, %v", i, err)
	}
	reply = `{"expires":` + millis(time.Now().Add(2*time.Hour)) + `,"topics":null}`
	if i, err := ask(); err != nil || !i.Expires.Equal(expires) || i.Grants != nil {
		t.Errorf("longer than the token: %+v, %v", i, err)
	}
	reply = `{"error":{"code":"token-expired","message":"log in again"}}`
	_, err := ask()
	refused(t, err, hub.CodeTokenExpired, "log in again")
	reply = `{"error":{"code":"unavailable","retry":1500}}`
	_, err = ask()
	if why := refused(t, err, hub.CodeUnavailable, "refused"); why.Retry != 1500*time.Millisecond {
		t.Errorf("retry %v", why.Retry)
	}
	before := b.count()
	if _, err := h.Authenticate(next(hub.Identity{}, hub.Errorf(hub.CodeTokenInvalid, "x")))(t.Context(),
		&session.Attempt{}); !errors.Is(err, &hub.Error{Code: hub.CodeTokenInvalid}) || b.count() != before {
		t.Errorf("a wrong token: %v", err)
	}
}

func millis(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

func TestSubscribe(t *testing.T) {
	reply := `{}`
	b := answering(t, func(w http.ResponseWriter, r *http.Request) { text(reply)(w, r) })
	c := all(t, b.URL)
	c.Subscribe.Topics = []string{"vip.>", "chat.*.private"}
	h := newHooks(t, c, Options{}).HubHooks()
	ask := func(topic string) error {
		return h.Subscribe(&hub.SubscribeCall{Context: t.Context(), Session: "s1", Identity: &ann, Topic: topic})
	}
	if err := ask("vip.a"); err != nil {
		t.Fatal(err)
	}
	if q := b.last(t).asked; !reflect.DeepEqual(q, map[string]any{
		"type": "subscribe", "session": "s1", "user": "ann", "info": map[string]any{"name": "Ann"}, "topic": "vip.a",
	}) {
		t.Errorf("asked %v", q)
	}
	reply = `{"error":{"code":"forbidden","message":"not for you"}}`
	refused(t, ask("vip.a"), hub.CodeForbidden, "not for you")
	refused(t, ask("*.a"), hub.CodeForbidden, "")
	refused(t, ask(">"), hub.CodeForbidden, "")
	refused(t, ask("chat.>"), hub.CodeForbidden, "")
	before := b.count()
	for _, other := range []string{"vip", "chat.a", "chat.a.public", "chat.*", "other.>"} {
		if err := ask(other); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	if b.count() != before {
		t.Error("it was asked about topics that are none of its business")
	}
}

func TestPublish(t *testing.T) {
	reply := `{}`
	b := answering(t, func(w http.ResponseWriter, r *http.Request) { text(reply)(w, r) })
	c := all(t, b.URL)
	c.Publish.Topics = []string{"chat.>"}
	h := newHooks(t, c, Options{}).HubHooks()
	ask := func(topic string, p hub.Publication) (hub.Publication, error) {
		err := h.Publish(&hub.PublishCall{Context: t.Context(), Session: "s1", Identity: &ann, Topic: topic, Publication: &p})
		return p, err
	}
	hi := hub.Publication{ID: "m1", Key: "k", Data: []byte(`{"text":"<hi>"}`), Meta: []byte(`{"lang":"en"}`), NotToMe: true}
	if p, err := ask("chat.a", hi); err != nil || !reflect.DeepEqual(p, hi) {
		t.Errorf("unchanged: %+v, %v", p, err)
	}
	if q := b.last(t).asked; !reflect.DeepEqual(q, map[string]any{
		"type": "publish", "session": "s1", "user": "ann", "info": map[string]any{"name": "Ann"}, "topic": "chat.a", "messageId": "m1", "key": "k",
		"meta": map[string]any{"lang": "en"}, "data": map[string]any{"text": "<hi>"},
	}) {
		t.Errorf("asked %v", q)
	}
	reply = `{"data":{"text":"***"},"key":"","meta":{"moderated":true}}`
	if p, err := ask("chat.a", hi); err != nil || string(p.Data) != `{"text":"***"}` || p.Binary || p.Key != "" ||
		string(p.Meta) != `{"moderated":true}` || p.ID != "m1" || !p.NotToMe {
		t.Errorf("rewritten: %+v, %v", p, err)
	}
	reply = `{"data":null,"meta":null,"key":null}`
	if p, err := ask("chat.a", hi); err != nil || string(p.Data) != "null" || p.Meta != nil || p.Key != "k" {
		t.Errorf("rewritten to null: %+v, %v", p, err)
	}
	reply = `{"base64":"AP8="}`
	if p, err := ask("chat.a", hi); err != nil || string(p.Data) != "\x00\xff" || !p.Binary {
		t.Errorf("rewritten to bytes: %+v, %v", p, err)
	}
	reply = `{}`
	if p, err := ask("chat.a", hub.Publication{Data: []byte{0xff}, Binary: true}); err != nil || string(p.Data) != "\xff" ||
		b.last(t).asked["base64"] != "/w==" || b.last(t).asked["data"] != nil {
		t.Errorf("bytes: %+v, %v, asked %v", p, err, b.last(t).asked)
	}
	reply = `{"error":{"code":"rate","message":"slowly","retry":100}}`
	_, err := ask("chat.a", hi)
	refused(t, err, hub.CodeRate, "slowly")
	if _, err := ask("quotes.a", hi); err != nil {
		t.Errorf("another topic: %v", err)
	}
}

func TestRequest(t *testing.T) {
	reply := `{"data":{"order":17}}`
	b := answering(t, func(w http.ResponseWriter, r *http.Request) { text(reply)(w, r) })
	c := all(t, b.URL)
	c.Request.Methods = []string{"orders.*"}
	h := newHooks(t, c, Options{}).HubHooks()
	ask := func(method string, data []byte, binary bool) (hub.Reply, error) {
		return h.Request(t.Context(), &hub.Request{Method: method, Session: "s1", Identity: &ann, Data: data, Binary: binary})
	}
	if r, err := ask("orders.create", []byte(`{"item":"tea"}`), false); err != nil || string(r.Data) != `{"order":17}` || r.Binary {
		t.Errorf("got %+v, %v", r, err)
	}
	q := b.last(t)
	if !reflect.DeepEqual(q.asked, map[string]any{
		"type": "request", "session": "s1", "user": "ann", "info": map[string]any{"name": "Ann"}, "method": "orders.create",
		"data": map[string]any{"item": "tea"},
	}) || q.header.Get("Idempotency-Key") != "" {
		t.Errorf("asked %v, %v", q.asked, q.header)
	}
	reply = `{"base64":"AP8="}`
	if r, err := ask("orders.create", []byte{1}, true); err != nil || string(r.Data) != "\x00\xff" || !r.Binary ||
		b.last(t).asked["base64"] != "AQ==" {
		t.Errorf("got %+v, %v", r, err)
	}
	reply = `{}`
	if r, err := ask("orders.create", nil, false); err != nil || r.Data != nil {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, has := b.last(t).asked["data"]; has {
		t.Error("a request without data has some")
	}
	reply = `{"error":{"code":"orders.sold-out","message":"no tea"}}`
	_, err := ask("orders.create", nil, false)
	refused(t, err, "orders.sold-out", "no tea")
	before := b.count()
	_, err = ask("users.list", nil, false)
	refused(t, err, hub.CodeUnknownMethod, "nobody answers users.list")
	if b.count() != before {
		t.Error("it was asked about another method")
	}
}

// TestOneHookOnly: hooks without an address are not asked.
func TestOneHookOnly(t *testing.T) {
	b := answering(t, text(`{"error":{"code":"forbidden"}}`))
	h := newHooks(t, Config{Publish: TopicHook{URL: b.URL}, SecretFile: secretFile(t)}, Options{})
	for name, try := range tries(t, h) {
		switch err := try(t.Context()); name {
		case eventPublish:
			refused(t, err, hub.CodeForbidden, "")
		case eventRequest:
			refused(t, err, hub.CodeUnknownMethod, "")
		default:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if b.count() != 1 {
		t.Errorf("%d calls", b.count())
	}
	if err := h.Reload(Config{}); err != nil {
		t.Fatal(err)
	}
	if err := tries(t, h)[eventPublish](t.Context()); err != nil {
		t.Errorf("after the hook has gone: %v", err)
	}
	if err := h.Reload(Config{Publish: TopicHook{URL: b.URL}}); err == nil {
		t.Error("a hook without a secret was accepted")
	}
}

// TestWithHub: the hooks in their place.
func TestWithHub(t *testing.T) {
	b := answering(t, func(w http.ResponseWriter, r *http.Request) {
		reply := map[string]string{
			eventSubscribe: `{"error":{"code":"forbidden","message":"no"}}`, eventPublish: `{"data":"rewritten"}`, eventRequest: `{"data":17}`,
		}[r.Header.Get(headerEvent)]
		_, _ = io.WriteString(w, reply)
	})
	hooks := newHooks(t, all(t, b.URL), Options{})
	h, err := hub.New(hub.Options{Hooks: hooks.HubHooks(), Logger: quiet, Topics: []hub.Rule{{Pattern: ">",
		TopicOptions: hub.TopicOptions{HistoryMessages: 5}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s, err := h.Connect(hub.Connecting{Session: "s1", Identity: ann, Sink: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Subscribe(t.Context(), "chat.a", hub.SubscribeOptions{})
	refused(t, err, hub.CodeForbidden, "no")
	if _, err := s.Publish(t.Context(), "chat.a", hub.Publication{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if page, err := h.History(t.Context(), "chat.a", hub.HistoryQuery{}); err != nil || string(page.Messages[0].Data) != `"rewritten"` {
		t.Errorf("%+v, %v", page, err)
	}
	pending, err := s.Request(t.Context(), "orders.create", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := pending.Wait(); err != nil || string(reply.Data) != "17" {
		t.Errorf("%+v, %v", reply, err)
	}
}

type nowhere struct{}

func (nowhere) Deliver(*hub.Message) bool { return true }
func (nowhere) End(hub.End)               {}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		both bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a.b", "a", false}, {"a.*", "a.b", true}, {"a.*", "a.b.c", false}, {"a.>", "a.b.c", true},
		{"a.>", "a", false}, {">", "a", true}, {">", "*", true}, {"a.*.c", "a.b.*", true}, {"a.*.c", "*.b.d", false}, {"a.>", "*.b", true},
		{"a.>", "b.>", false}, {"*.*", "a.>", true}, {"*", "a.>", false}, {"*", "*", true}, {"a.b.>", "a.*", false},
	} {
		if overlap(c.a, c.b) != c.both || overlap(c.b, c.a) != c.both {
			t.Errorf("%s and %s: not %v", c.a, c.b, c.both)
		}
	}
}

func TestConfig(t *testing.T) {
	file := secretFile(t)
	good := Config{Connect: ConnectHook{URL: "https://app.example.com/x"}, Publish: TopicHook{URL: "http://127.0.0.1:1/"},
		Request: RequestHook{URL: "http://[::1]:1/"}, SecretFile: file}
	if err := good.Validate(); err != nil || !good.Used() || (Config{}).Used() {
		t.Fatal(err)
	}
	short := file + ".short"
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*Config)) Config {
		c := good
		change(&c)
		return c
	}
	for says, c := range map[string]Config{
		"secret-file: is needed":                    with(func(c *Config) { c.SecretFile = "" }),
		"secret-file: open ":                        with(func(c *Config) { c.SecretFile = file + ".missing" }),
		"secret-file: a secret has at least 32":     with(func(c *Config) { c.SecretFile = short }),
		`connect.url: "http://app.example.com" can`: with(func(c *Config) { c.Connect.URL = "http://app.example.com" }),
		"publish.url: an address such as":           with(func(c *Config) { c.Publish.URL = "app.example.com" }),
		"request.url: a user in the address":        with(func(c *Config) { c.Request.URL = "https://a:b@app.example.com" }),
		"subscribe.url: an address":                 with(func(c *Config) { c.Subscribe.URL = "unix:///x" }),
		"publish.topics[1]: ":                       with(func(c *Config) { c.Publish.Topics = []string{"a", "b..c"} }),
		"subscribe.topics: at most 256, not 257":    with(func(c *Config) { c.Subscribe.Topics = make([]string, 257) }),
		"request.methods[0]: ":                      with(func(c *Config) { c.Request.Methods = []string{""} }),
		"connect.headers: at most 32":               with(func(c *Config) { c.Connect.Headers = make([]string, 33) }),
		"timeout: between 1ms and 30s, not 1m0s":    with(func(c *Config) { c.Timeout = time.Minute }),
		"concurrency: between 1 and 10000, not -1":  with(func(c *Config) { c.Concurrency = -1 }),
		"queue: between 1 and 1000000, not -1":      with(func(c *Config) { c.Queue = -1 }),
		"max-response: between 1 and 67108864":      with(func(c *Config) { c.MaxResponse = -1 }),
	} {
		if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	if err := with(func(c *Config) { c.Connect.URL, c.Insecure = "http://app.example.com", true }).Validate(); err != nil {
		t.Error(err)
	}
}
