package showcase

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newEnv() *Env {
	return &Env{Logger: quiet, Operators: &Operators{Everybody: func() bool { return false }, Valid: func(key string) bool { return key == "right" }}}
}

// open makes a showcase with its hub.
func open(t *testing.T, env *Env, makers ...Maker) (*Showcase, *hub.Hub) {
	t.Helper()
	s, err := New(env, makers...)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); h.Close() })
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	return s, h
}

type deaf struct{}

func (deaf) Deliver(*hub.Message) bool { return true }
func (deaf) End(hub.End)               {}

func visitor(t *testing.T, h *hub.Hub, name string) *hub.Subscriber {
	t.Helper()
	who, err := h.Connect(hub.Connecting{Session: name, Identity: hub.Identity{User: "~" + name, Anonymous: true}, Sink: deaf{}})
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func request(t *testing.T, who *hub.Subscriber, method, data string) (string, error) {
	t.Helper()
	pending, err := who.Request(t.Context(), method, []byte(data), false)
	if err != nil {
		return "", err
	}
	reply, err := pending.Wait()
	return string(reply.Data), err
}

func wantCode(t *testing.T, what string, err error, code hub.Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

// shop is an app with a topic that only who asks in the right way may hear.
func shop(*Env) (*App, error) {
	return &App{
		Name:   "shop",
		Topics: []hub.Rule{{Pattern: "demo.shop.>", TopicOptions: hub.TopicOptions{}}},
		Subscribe: func(call *hub.SubscribeCall) error {
			if strings.ContainsAny(call.Topic, "*>") {
				return hub.Errorf("shop.secret", "one by one")
			}
			return nil
		},
		Publish: func(call *hub.PublishCall) error {
			if len(call.Publication.Data) > 10 {
				return hub.Errorf("shop.too-long", "that is too long")
			}
			return nil
		},
		Requests: map[string]hub.RequestHandler{
			"double": Answering(func(_ context.Context, _ *hub.Request, n int) (int, error) { return 2 * n, nil }),
		},
		Routes: map[string]http.Handler{"GET /shop/hello": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })},
	}, nil
}

func TestAppsDecide(t *testing.T) {
	env := newEnv()
	alone := true
	env.Operators.Everybody = func() bool { return alone }
	s, h := open(t, env, shop)
	ann := visitor(t, h, "ann")
	for topic, code := range map[string]hub.Code{"demo.shop.a": "", "demo.shop.*": "shop.secret", "demo.shop.>": "shop.secret", "demo.>": "", ">": "", "news.>": ""} {
		_, err := ann.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
		wantCode(t, topic, err, code)
	}
	alone = false
	bob := visitor(t, h, "bob")
	for topic, code := range map[string]hub.Code{"demo.>": hub.CodeForbidden, ">": hub.CodeForbidden, "*.shop.a": hub.CodeForbidden, "news.>": ""} {
		_, err := bob.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
		wantCode(t, topic+" where others reach the server", err, code)
	}
	if _, err := request(t, bob, "demo.operator", `{"key":"right"}`); err != nil {
		t.Error(err)
	}
	_, err := bob.Subscribe(t.Context(), "demo.>", hub.SubscribeOptions{})
	wantCode(t, "an operator", err, "")
	granted, err := h.Connect(hub.Connecting{Session: "eve", Sink: deaf{}, Identity: hub.Identity{User: "eve", Grants: []hub.Grant{{Pattern: ">", Actions: hub.ActSubscribe}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = granted.Subscribe(t.Context(), "demo.>", hub.SubscribeOptions{})
	wantCode(t, "somebody with a grant", err, "")
	_, err = ann.Publish(t.Context(), "demo.shop.a", hub.Publication{Data: []byte(`"this is long"`)})
	wantCode(t, "publish", err, "shop.too-long")
	_, err = ann.Publish(t.Context(), "elsewhere", hub.Publication{Data: []byte(`"this is long"`)})
	wantCode(t, "publish elsewhere", err, "")

	answer, err := request(t, ann, "demo.shop.double", "21")
	if answer != "42" || err != nil {
		t.Errorf("double: %s, %v", answer, err)
	}
	_, err = request(t, ann, "demo.shop.double", `"many"`)
	wantCode(t, "double", err, hub.CodeBadRequest)

	mux := http.NewServeMux()
	s.Register(mux, func(string, Socket) { t.Error("there is no socket") })
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/shop/hello", nil))
	if w.Body.String() != "hello" {
		t.Errorf("route: %q", w.Body)
	}
}

// TestOperators: who has shown the key, and for as long as the session lasts.
func TestOperators(t *testing.T) {
	env := newEnv()
	_, h := open(t, env)
	ann := visitor(t, h, "ann")
	_, err := request(t, ann, "demo.operator", `{"key":"wrong"}`)
	wantCode(t, "a wrong key", err, codeNotOperator)
	_, err = request(t, ann, "demo.operator", `{}`)
	wantCode(t, "no key", err, codeNotOperator)
	wantCode(t, "before", env.Operators.Check("ann"), codeNotOperator)
	_, err = request(t, ann, "demo.operator", `{"key":"right"}`)
	wantCode(t, "the key", err, "")
	wantCode(t, "after", env.Operators.Check("ann"), "")
	wantCode(t, "another session", env.Operators.Check("bob"), codeNotOperator)
	for i := range maxOperators {
		wantCode(t, "many", env.Operators.admit("other"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "right"), "")
	}
	wantCode(t, "after very many others", env.Operators.Check("ann"), codeNotOperator)
	env.Operators.Everybody = func() bool { return true }
	wantCode(t, "on a machine of one's own", env.Operators.Check("bob"), "")
}

// TestDir: what an app writes outlasts the process where there is a place for that, and is gone otherwise.
func TestDir(t *testing.T) {
	for _, data := range []string{"", t.TempDir()} {
		env := newEnv()
		env.Data = data
		s, err := New(env)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := env.Dir("files")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/a", []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Close()
		_, err = os.Stat(dir + "/a")
		if lasts := err == nil; lasts != (data != "") || lasts != env.Lasts() {
			t.Errorf("with %q: %v", data, err)
		}
	}
}

// distant makes a broker look as one of a cluster does.
type distant struct{ *hub.MemoryBroker }

// TestSolo: of two nodes one works at a time, and the other takes over when that one has ended.
func TestSolo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := distant{hub.NewMemoryBroker(hub.MemoryOptions{})}
		var mu sync.Mutex
		working := make(map[int]bool) // guarded by mu
		set := func(i int, yes bool) {
			mu.Lock()
			defer mu.Unlock()
			if working[i] = yes; !yes {
				delete(working, i)
			}
		}
		nodes := make([]func(), 2)
		for i := range nodes {
			h, err := hub.New(hub.Options{Broker: broker, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if h.IsLocal() {
				t.Fatal("this broker is not taken for one of a cluster")
			}
			ctx, end := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				Solo(ctx, h, "work", func(ctx context.Context) {
					set(i, true)
					<-ctx.Done()
					set(i, false)
				})
			}()
			nodes[i] = func() { end(); <-done }
		}
		one := func() int {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(working) != 1 {
				t.Fatalf("%d nodes work", len(working))
			}
			for i := range working {
				return i
			}
			return -1
		}
		time.Sleep(term + 2*courtesy)
		first := one()
		for range 20 {
			time.Sleep(term / 2)
			if one() != first {
				t.Fatal("the work changes its place without need")
			}
		}
		nodes[first]()
		time.Sleep(3 * term)
		if one() == first {
			t.Error("who has ended still works")
		}
		nodes[1-first]()
	})
}
