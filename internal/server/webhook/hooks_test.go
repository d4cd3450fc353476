package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	if q := b.last(t); !reflect.DeepEqual(q.asked, want) || q.header.Get(headerEvent) != "connect" || q.header.Get("Content-Type") != "application/json" || q.header.Get("Idempotency-Key") == "" {
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
	if _, err := h.Authenticate(next(hub.Identity{}, hub.Errorf(hub.CodeTokenInvalid, "x")))(t.Context(), &session.Attempt{}); !errors.Is(err, &hub.Error{Code: hub.CodeTokenInvalid}) || b.count() != before {
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
	if p, err := ask("chat.a", hi); err != nil || string(p.Data) != `{"text":"***"}` || p.Binary || p.Key != "" || string(p.Meta) != `{"moderated":true}` || p.ID != "m1" || !p.NotToMe {
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
	if p, err := ask("chat.a", hub.Publication{Data: []byte{0xff}, Binary: true}); err != nil || string(p.Data) != "\xff" || b.last(t).asked["base64"] != "/w==" || b.last(t).asked["data"] != nil {
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
		"type": "request", "session": "s1", "user": "ann", "info": map[string]any{"name": "Ann"}, "method": "orders.create", "data": map[string]any{"item": "tea"},
	}) || q.header.Get("Idempotency-Key") != "" {
		t.Errorf("asked %v, %v", q.asked, q.header)
	}
	reply = `{"base64":"AP8="}`
	if r, err := ask("orders.create", []byte{1}, true); err != nil || string(r.Data) != "\x00\xff" || !r.Binary || b.last(t).asked["base64"] != "AQ==" {
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

// counters are a Meter.
type counters struct {
	called, failed atomic.Int32
}

func (c *counters) meter() Meter {
	return Meter{
		Called: func(_ string, took time.Duration) {
			if took >= 0 {
				c.called.Add(1)
			}
		},
		Failed: func(string) { c.failed.Add(1) },
	}
}

// TestBackendsInTrouble: whatever a backend does wrong, no client gets through because of it.
func TestBackendsInTrouble(t *testing.T) {
	trap := answering(t, text(`{}`))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, `{}`) }
	}
	for name, handle := range map[string]http.HandlerFunc{
		"error":          status(500),
		"not found":      status(404),
		"created":        status(201),
		"unauthorized":   status(401),
		"empty":          text(``),
		"null":           text(`null`),
		"list":           text(`[]`),
		"page":           text(`<html>{}</html>`),
		"more behind it": text(`{} {}`),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, `{}`)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append([]byte(`{}`), bytes.Repeat([]byte(" "), 1000)...))
		},
		"not UTF-8":              text("{\"data\":\"\xff\"}"),
		"misspelt":               text(`{"eror":{"code":"forbidden"}}`),
		"error without code":     text(`{"error":{"message":"no"}}`),
		"error is text":          text(`{"error":"no"}`),
		"code of another kind":   text(`{"error":{"code":"already-subscribed"}}`),
		"code that nobody knows": text(`{"error":{"code":"nope"}}`),
		"long message":           text(`{"error":{"code":"forbidden","message":"` + strings.Repeat("x", 1025) + `"}}`),
		"long retry":             text(`{"error":{"code":"forbidden","retry":1e9}}`),
		"negative retry":         text(`{"error":{"code":"forbidden","retry":-1}}`),
		"hang up":                func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.URL, http.StatusTemporaryRedirect)
		},
		"redirect, see other": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, http.StatusSeeOther) },
	} {
		t.Run(name, func(t *testing.T) {
			b := answering(t, handle)
			c := all(t, b.URL)
			c.MaxResponse = 1000 + 400
			if name == "huge" {
				c.MaxResponse = 1000
			}
			var n counters
			for hook, try := range tries(t, newHooks(t, c, Options{Meter: n.meter()})) {
				if why := refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer"); why.Retry == 0 {
					t.Errorf("%s: no retry", hook)
				}
			}
			if n.called.Load() == 0 || n.called.Load() != n.failed.Load() {
				t.Errorf("%d calls, %d failures", n.called.Load(), n.failed.Load())
			}
		})
	}
	if trap.count() > 0 {
		t.Error("a redirect was followed")
	}
	for name, wrong := range map[string]string{
		eventConnect + " user": `{"user":"a\nb"}`, eventConnect + " anonymous user": `{"user":"~a"}`, eventConnect + " info": `{"info":[]}`,
		eventConnect + " topics": `{"topics":{"a..b":["publish"]}}`, eventConnect + " action": `{"topics":{"a":["fly"]}}`,
		eventConnect + " past": `{"expires":1}`, eventConnect + " expires": `{"expires":"soon"}`, eventConnect + " field": `{"usr":"bob"}`,
		eventSubscribe + " field": `{"allow":false}`, eventPublish + " two": `{"data":1,"base64":"AA=="}`, eventPublish + " base64": `{"base64":"!"}`,
		eventPublish + " meta": `{"meta":[]}`, eventPublish + " large meta": `{"meta":{"a":"` + strings.Repeat("x", 1024) + `"}}`,
		eventPublish + " key": `{"key":7}`, eventPublish + " long key": `{"data":1,"key":"` + strings.Repeat("x", 256) + `"}`, eventPublish + " topic": `{"data":1,"topic":"other"}`,
		eventPublish + " meta type": `{"data":1,"meta":7}`, eventRequest + " field": `{"result":1}`, eventRequest + " two": `{"data":1,"base64":"AA=="}`,
	} {
		t.Run(name, func(t *testing.T) {
			hook, _, _ := strings.Cut(name, " ")
			h := newHooks(t, all(t, answering(t, text(wrong)).URL), Options{})
			refused(t, tries(t, h)[hook](t.Context()), hub.CodeUnavailable, "does not answer")
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := "http://" + listener.Addr().String()
		listener.Close()
		for _, try := range tries(t, newHooks(t, all(t, address), Options{})) {
			refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer")
		}
	})
	t.Run("no content", func(t *testing.T) {
		for name, try := range tries(t, newHooks(t, all(t, answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }).URL), Options{})) {
			if err := try(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestSlowBackend: a call has an end, whoever's patience ends first.
func TestSlowBackend(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	c := all(t, b.URL)
	c.Timeout = 50 * time.Millisecond
	for name, try := range tries(t, newHooks(t, c, Options{})) {
		began := time.Now()
		refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer")
		if took := time.Since(began); took < c.Timeout || took > patience {
			t.Errorf("%s took %v", name, took)
		}
	}
	c.Timeout = 0
	var n counters
	for name, try := range tries(t, newHooks(t, c, Options{Meter: n.meter()})) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := try(ctx); name == eventRequest && !errors.Is(err, context.DeadlineExceeded) || name != eventRequest && !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if n.failed.Load() != 0 {
		t.Error("a client's own timeout counts as a failure of the backend")
	}
}

// TestTurns: so many calls at once, so many that wait, and no more.
func TestTurns(t *testing.T) {
	release := make(chan struct{})
	var now, most atomic.Int32
	begun := make(chan struct{}, 10)
	b := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		begun <- struct{}{}
		<-release
		now.Add(-1)
		_, _ = io.WriteString(w, `{}`)
	})
	c := all(t, b.URL)
	c.Concurrency, c.Queue, c.Timeout = 2, 3, maxTimeout
	h := newHooks(t, c, Options{})
	try := tries(t, h)[eventSubscribe]
	results := make(chan error, 6)
	for range 2 {
		go func() { results <- try(t.Context()) }()
		<-begun
	}
	for range 3 {
		go func() { results <- try(t.Context()) }()
	}
	for h.caller.Load().waiting.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	refused(t, try(t.Context()), hub.CodeUnavailable, "")
	gone, leave := context.WithCancel(t.Context())
	leave()
	refused(t, try(gone), hub.CodeUnavailable, "")
	close(release)
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 || b.count() != 5 || h.caller.Load().waiting.Load() != 0 {
		t.Errorf("%d at once, %d calls", most.Load(), b.count())
	}
}

// TestConnectionsAreReused: calls one after another take one connection.
func TestConnectionsAreReused(t *testing.T) {
	b := answering(t, text(`{"data":1}`))
	try := tries(t, newHooks(t, all(t, b.URL), Options{}))[eventPublish]
	for range 20 {
		if err := try(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	peers := map[string]bool{}
	for _, q := range b.calls {
		peers[q.peer] = true
	}
	if len(peers) != 1 || len(b.calls) != 20 {
		t.Errorf("%d connections for %d calls", len(peers), len(b.calls))
	}
}

// TestFailuresAreLoggedSeldom: a backend that is down does not fill the log.
func TestFailuresAreLoggedSeldom(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	b := answering(t, text(`[]`))
	h := newHooks(t, all(t, b.URL), Options{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	try := tries(t, h)[eventSubscribe]
	for range 50 {
		refused(t, try(t.Context()), hub.CodeUnavailable, "")
	}
	h.lastTold.Add(-int64(time.Second))
	refused(t, try(t.Context()), hub.CodeUnavailable, "")
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "a webhook failed"); n > 5 || n < 2 || !strings.Contains(log.String(), "no JSON object") || !strings.Contains(log.String(), "failures before") {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
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
	h, err := hub.New(hub.Options{Hooks: hooks.HubHooks(), Logger: quiet, Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{HistoryMessages: 5}}}})
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
	good := Config{Connect: ConnectHook{URL: "https://app.example.com/x"}, Publish: TopicHook{URL: "http://127.0.0.1:1/"}, Request: RequestHook{URL: "http://[::1]:1/"}, SecretFile: file}
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
