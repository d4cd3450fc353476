package support

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// shop is the app on a hub of its own. Several may share a broker, as nodes do, or as a server does with the one that was there before.
type shop struct {
	*testing.T
	hub *hub.Hub
}

func openShop(t *testing.T, broker hub.Broker, everybody bool) (*shop, func()) {
	t.Helper()
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{
		Everybody: func() bool { return everybody }, Valid: func(key string) bool { return key == "key" },
	}}
	apps, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: apps.Rules(), Broker: broker, Hooks: apps.Hooks(hub.Hooks{}), Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := apps.Start(h); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		apps.Close()
		h.Close()
	})
	t.Cleanup(end)
	return &shop{t, h}, end
}

// bareShop has the rules of the app, and nothing that decides.
func bareShop(t *testing.T, broker hub.Broker) *shop {
	t.Helper()
	apps, err := showcase.New(&showcase.Env{Logger: slog.New(slog.DiscardHandler)}, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: apps.Rules(), Broker: broker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &shop{t, h}
}

// someone is a connection to a shop.
type someone struct {
	*hub.Subscriber
	t    *testing.T
	mu   sync.Mutex
	seen []*hub.Message
	news chan struct{} // has room for one: something was seen
}

func (s *shop) enter(user, name string) *someone {
	s.Helper()
	who := &someone{t: s.T, news: make(chan struct{}, 1)}
	info, _ := json.Marshal(map[string]string{"name": name})
	sub, err := s.hub.Connect(hub.Connecting{Session: user + "-session", Identity: hub.Identity{User: user, Anonymous: true, Info: info}, Sink: who})
	if err != nil {
		s.Fatal(err)
	}
	who.Subscriber = sub
	s.Cleanup(sub.Close)
	return who
}

func (w *someone) Deliver(m *hub.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, m)
	select {
	case w.news <- struct{}{}:
	default:
	}
	return true
}

func (w *someone) End(hub.End) {}

// waits until a message is seen for which is returns true.
func (w *someone) waits(what string, is func(*hub.Message) bool) {
	w.t.Helper()
	for {
		w.mu.Lock()
		found := slices.ContainsFunc(w.seen, is)
		w.mu.Unlock()
		if found {
			return
		}
		select {
		case <-w.news:
		case <-w.t.Context().Done():
			w.t.Fatalf("never seen: %s", what)
		}
	}
}

func (w *someone) subscribe(topic string) error {
	began, err := w.Subscribe(w.t.Context(), topic, hub.SubscribeOptions{})
	if err == nil {
		began.Begin()
	}
	return err
}

func (w *someone) publish(topic string, data any) error {
	p, ok := data.(string)
	if !ok {
		p = string(mustJSON(w.t, data))
	}
	_, err := w.Publish(w.t.Context(), topic, hub.Publication{Data: []byte(p)})
	return err
}

func (w *someone) mustDo(id string, events ...event) {
	w.t.Helper()
	for _, e := range events {
		if err := w.publish(topicTalk+id, e); err != nil {
			w.t.Fatalf("%+v: %v", e, err)
		}
	}
}

// request asks until the server knows what it needs.
func (w *someone) request(method string, question, answer any) error {
	w.t.Helper()
	for {
		ctx, cancel := context.WithCancel(w.t.Context())
		pending, err := w.Request(ctx, prefix+method, mustJSON(w.t, question), false)
		if err != nil {
			w.t.Fatal(err)
		}
		reply, err := pending.Wait()
		cancel()
		if errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			runtime.Gosched()
			continue
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(reply.Data, answer)
	}
}

// begin begins a conversation, and returns its id.
func (w *someone) begin() string {
	w.t.Helper()
	var answer struct{ ID string }
	if err := w.request("open", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer.ID
}

// lists returns what an agent sees.
func (w *someone) lists() map[string]conversation {
	w.t.Helper()
	var answer struct{ Conversations []conversation }
	if err := w.request("desk", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]conversation)
	for _, c := range answer.Conversations {
		all[c.ID] = c
	}
	return all
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func wantCode(t *testing.T, err error, code hub.Code, what string) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}
