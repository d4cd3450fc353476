// Package showcasetest lets tests of an app come in as anybody.
package showcasetest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// Key is what makes somebody an operator where not everybody is.
const Key = "key"

// Place is an app on a hub of its own.
type Place struct {
	*testing.T
	Hub *hub.Hub
	End func() // stops the app and then the hub; at the end of the test it happens by itself
}

// Open starts an app. Several places may share a broker: they are the nodes of a cluster, or a server and the one that was there before
// it. Everybody is an operator if so wanted.
func Open(t *testing.T, broker hub.Broker, everybody bool, maker showcase.Maker) *Place {
	t.Helper()
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{
		Everybody: func() bool { return everybody }, Valid: func(key string) bool { return key == Key },
	}}
	apps, err := showcase.New(env, maker)
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
	return &Place{t, h, end}
}

// OpenBare has the rules of an app, and nothing that decides.
func OpenBare(t *testing.T, broker hub.Broker, maker showcase.Maker) *Place {
	t.Helper()
	apps, err := showcase.New(&showcase.Env{Logger: slog.New(slog.DiscardHandler)}, maker)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: apps.Rules(), Broker: broker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &Place{t, h, h.Close}
}

// Someone is connected to a place.
type Someone struct {
	*hub.Subscriber
	t    *testing.T
	mu   sync.Mutex
	seen []*hub.Message // guarded by mu
	news chan struct{}  // has room for one: something was seen
}

// Enter connects an anonymous user under a name.
func (p *Place) Enter(user, name string) *Someone {
	p.Helper()
	who := &Someone{t: p.T, news: make(chan struct{}, 1)}
	identity := hub.Identity{User: user, Anonymous: true, Info: JSON(p.T, map[string]string{"name": name})}
	sub, err := p.Hub.Connect(hub.Connecting{Session: "session-" + user, Identity: identity, Sink: who})
	if err != nil {
		p.Fatal(err)
	}
	who.Subscriber = sub
	p.Cleanup(sub.Close)
	return who
}

// Deliver implements hub.Sink.
func (w *Someone) Deliver(m *hub.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, m)
	select {
	case w.news <- struct{}{}:
	default:
	}
	return true
}

// End implements hub.Sink.
func (w *Someone) End(hub.End) {}

// Seen returns the data of what was published to a topic and has come so far.
func (w *Someone) Seen(topic string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var data []string
	for _, m := range w.seen {
		if m.Kind == hub.KindData && m.Topic == topic {
			data = append(data, string(m.Data))
		}
	}
	return data
}

// Await waits until exactly this data has come through a topic.
func (w *Someone) Await(topic, data string) {
	w.t.Helper()
	for !slices.Contains(w.Seen(topic), data) {
		select {
		case <-w.news:
		case <-w.t.Context().Done():
			w.t.Fatalf("never seen: %s", data)
		}
	}
}

// Listen subscribes, beginning with the last messages that the topic keeps.
func (w *Someone) Listen(topic string, last int) error {
	began, err := w.Subscribe(w.t.Context(), topic, hub.SubscribeOptions{Last: last})
	if err == nil {
		began.Begin()
	}
	return err
}

// Say publishes what has a form in JSON; a string is taken for JSON.
func (w *Someone) Say(topic string, data any) error {
	w.t.Helper()
	p, is := data.(string)
	if !is {
		p = string(JSON(w.t, data))
	}
	_, err := w.Publish(w.t.Context(), topic, hub.Publication{Data: []byte(p)})
	return err
}

// Ask requests something.
func (w *Someone) Ask(method string, question, answer any) error {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	pending, err := w.Request(ctx, method, JSON(w.t, question), false)
	if err != nil {
		return err
	}
	reply, err := pending.Wait()
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(reply.Data, answer)
}

// JSON is a value in JSON.
func JSON(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// WantCode checks that something was refused, and with which code.
func WantCode(t *testing.T, err error, code hub.Code, what string) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}
