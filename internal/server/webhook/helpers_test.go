package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

const (
	secret   = "0123456789abcdef0123456789abcdef"
	patience = 10 * time.Second
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// question is one call that a backend got.
type question struct {
	header http.Header
	body   string
	peer   string // its address
	asked  map[string]any
}

// backend is an application on a real socket, and what it was asked.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	calls []question
}

// answering starts a backend that answers every call like this.
func answering(t *testing.T, handle http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return // whoever asked has gone
		}
		q := question{header: r.Header, body: string(content), peer: r.RemoteAddr}
		if err := json.Unmarshal(content, &q.asked); err != nil {
			t.Errorf("a question is %q", content)
		}
		b.mu.Lock()
		b.calls = append(b.calls, q)
		b.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.calls)
}

// last is the last call.
func (b *backend) last(t *testing.T) question {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) == 0 {
		t.Fatal("the backend was not asked")
	}
	return b.calls[len(b.calls)-1]
}

func secretFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// all is a configuration with every hook at one address.
func all(t *testing.T, url string) Config {
	return Config{
		Connect: ConnectHook{URL: url}, Subscribe: TopicHook{URL: url}, Publish: TopicHook{URL: url}, Request: RequestHook{URL: url},
		SecretFile: secretFile(t),
	}
}

func newHooks(t *testing.T, c Config, o Options) *Hooks {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	h, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var ann = hub.Identity{User: "ann", Info: []byte(`{"name":"Ann"}`)}

// next stands for the check of tokens.
func next(i hub.Identity, err error) func(context.Context, *session.Attempt) (hub.Identity, error) {
	return func(context.Context, *session.Attempt) (hub.Identity, error) { return i, err }
}

// tries are one call of each hook.
func tries(t *testing.T, h *Hooks) map[string]func(context.Context) error {
	hooks := h.HubHooks()
	return map[string]func(context.Context) error{
		eventConnect: func(ctx context.Context) error {
			i, err := h.Authenticate(next(ann, nil))(ctx, &session.Attempt{Session: "s1"})
			if err != nil && i.User != "" {
				t.Errorf("an identity beside an error: %+v", i)
			}
			return err
		},
		eventSubscribe: func(ctx context.Context) error {
			return hooks.Subscribe(&hub.SubscribeCall{Context: ctx, Session: "s1", Identity: &ann, Topic: "chat.lobby"})
		},
		eventPublish: func(ctx context.Context) error {
			p := hub.Publication{Data: []byte(`{"text":"hi"}`), Key: "k"}
			err := hooks.Publish(&hub.PublishCall{Context: ctx, Session: "s1", Identity: &ann, Topic: "chat.lobby", Publication: &p})
			if err != nil && (string(p.Data) != `{"text":"hi"}` || p.Key != "k" || p.Meta != nil) {
				t.Errorf("the message was changed although it was refused: %+v", p)
			}
			return err
		},
		eventRequest: func(ctx context.Context) error {
			_, err := hooks.Request(ctx, &hub.Request{Method: "orders.create", Session: "s1", Identity: &ann, Data: []byte(`1`)})
			return err
		},
	}
}

// refused checks the code of an error and that its text has some words.
func refused(t *testing.T, err error, code hub.Code, words string) *hub.Error {
	t.Helper()
	why, ok := errors.AsType[*hub.Error](err)
	if !ok || why.Code != code || !strings.Contains(why.Message, words) {
		t.Fatalf("got %v, want %s with %q", err, code, words)
	}
	return why
}
