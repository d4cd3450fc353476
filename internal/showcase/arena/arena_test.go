package arena

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// fixture is a hub with the arena, in a bubble of synctest.
type fixture struct {
	t     *testing.T
	hub   *hub.Hub
	other *hub.Hub // a second node, at which the game does not run
}

func newFixture(t *testing.T) *fixture {
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{Everybody: func() bool { return true }}}
	s, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	options := hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: env.Logger, Broker: hub.NewMemoryBroker(hub.MemoryOptions{})}
	h, err := hub.New(options)
	if err != nil {
		t.Fatal(err)
	}
	other, err := hub.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		h.Close()
		other.Close()
	})
	return &fixture{t, h, other}
}

// watcher is a page: it knows what it was sent.
type watcher struct {
	*hub.Subscriber
	view  *view
	full  int // snapshots
	delta int
	wrong int
}

func (w *watcher) Deliver(m *hub.Message) bool {
	if m.Kind != hub.KindData {
		return true
	}
	v, err := decode(m.Data, w.view)
	switch {
	case err != nil:
		w.wrong++
	case m.Data[0] == kindFull:
		w.full++
	default:
		w.delta++
	}
	if err == nil {
		w.view = v
	}
	return true
}

func (w *watcher) End(hub.End) {}

func (f *fixture) connect(user, info string) *watcher { return f.connectTo(f.hub, user, info) }

func (f *fixture) connectTo(node *hub.Hub, user, info string) *watcher {
	f.t.Helper()
	w := &watcher{}
	var err error
	w.Subscriber, err = node.Connect(hub.Connecting{
		Session: user, Sink: w, Identity: hub.Identity{User: user, Anonymous: true, Info: []byte(info)},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(w.Close)
	return w
}

func (f *fixture) watch(w *watcher) {
	f.t.Helper()
	s, err := w.Subscribe(context.Background(), ticksTopic, hub.SubscribeOptions{Last: keep})
	if err != nil {
		f.t.Fatal(err)
	}
	s.Begin()
}

func (w *watcher) do(data []byte, binary bool) error {
	_, err := w.Publish(context.Background(), inTopic, hub.Publication{Data: data, Binary: binary})
	return err
}

func (w *watcher) ship(user string) *ship {
	for i := range w.view.Ships {
		if w.view.Ships[i].Owner == ownerOf(user) {
			return &w.view.Ships[i]
		}
	}
	return nil
}

func TestAGame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ann := f.connect("~ann", `{"name":"Ann"}`)
		time.Sleep(time.Minute)
		if page, err := f.hub.History(t.Context(), ticksTopic, hub.HistoryQuery{}); err != nil || len(page.Messages) > 0 {
			t.Errorf("the world runs for nobody: %v (%v)", page, err)
		}
		f.watch(ann)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if ann.view == nil || len(ann.view.Ships) != bots || ann.full < 2 || ann.delta < 30 || ann.wrong > 0 {
			t.Fatalf("after three seconds: %d full, %d deltas, %d wrong", ann.full, ann.delta, ann.wrong)
		}
		if err := ann.do([]byte(`{"do":"join"}`), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tickTime)
		synctest.Wait()
		if s := ann.ship("~ann"); s == nil || s.Name != "Ann" {
			t.Fatalf("the ship of Ann is %+v", s)
		}
		from := *ann.ship("~ann")
		for i := range 20 {
			if err := ann.do([]byte{byte(i + 1), 0, 60, 60, 0}, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tickTime)
		}
		synctest.Wait()
		if s := ann.ship("~ann"); s.Ack < 18 || s.body == from.body {
			t.Errorf("she has not moved: %+v", s)
		}

		bob := f.connect("~bob", `{"name":"Bob"}`)
		f.watch(bob)
		synctest.Wait()
		if bob.view == nil || bob.view.Tick != ann.view.Tick || bob.ship("~ann") == nil || bob.wrong >= perSecond {
			t.Error("a newcomer does not see the game at once")
		}
		if err := ann.do([]byte(`{"do":"leave"}`), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tickTime)
		synctest.Wait()
		if bob.ship("~ann") != nil {
			t.Error("who has left is still there")
		}
		tick := bob.view.Tick
		ann.Close()
		bob.Close()
		time.Sleep(11 * time.Second)
		late := f.connect("~late", "")
		f.watch(late)
		time.Sleep(time.Second)
		synctest.Wait()
		if late.view == nil || late.view.Tick < tick {
			t.Error("it does not begin again")
		}
	})
}

func TestAPilotAtAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ann := f.connectTo(f.other, "~ann", `{"name":"Ann"}`)
		f.watch(ann)
		time.Sleep(time.Second)
		if err := ann.do([]byte(`{"do":"join"}`), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tickTime)
		if err := ann.do([]byte{7, 0, 100, 0, 0}, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * tickTime)
		synctest.Wait()
		if s := ann.ship("~ann"); s == nil || s.Ack != 7 || s.VX == 0 {
			t.Errorf("her ship is %+v", s)
		}
	})
}

func TestHostileInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		eve := f.connect("~eve", `{"name":"<b>Eve</b>"}`)
		refused := func(code hub.Code, data string, binary bool) {
			t.Helper()
			if err := eve.do([]byte(data), binary); !errors.Is(err, &hub.Error{Code: code}) {
				t.Errorf("%q: %v, want %s", data, err, code)
			}
			time.Sleep(time.Second)
		}
		refused(codeMalformed, "", true)
		refused(codeMalformed, "\x01\x00\x00\x00", true)
		refused(codeMalformed, "\x01\x00\x00\x00\x00\x00", true)
		refused(codeMalformed, "\x01\x00\x00\x00\x02", true)
		refused(codeMalformed, "\x01\x00\x7f\x00\x00", true)
		refused(codeMalformed, "\x01\x00\x80\x80\x01", true)
		refused(codeMalformed, "\x01\x00\x64\x64\x01", true)
		refused(hub.CodeTooLarge, string(make([]byte, maxOrder+1)), true)
		refused(codeMalformed, `{"do":"win"}`, false)
		refused(codeMalformed, `[1,2]`, false)
		refused("demo.name-malformed", `{"do":"join"}`, false)
		accepted := 0
		for range 1000 {
			if eve.do([]byte{1, 0, 0, 0, 0}, true) == nil {
				accepted++
			}
		}
		if accepted > inputBurst {
			t.Errorf("%d inputs at once", accepted)
		}
		for topic, code := range map[string]hub.Code{
			inTopic: hub.CodeForbidden, "demo.arena.>": hub.CodeForbidden, "demo.arena.*": hub.CodeForbidden, "demo.arena.other": codePattern,
		} {
			if _, err := eve.Subscribe(t.Context(), topic, hub.SubscribeOptions{}); !errors.Is(err, &hub.Error{Code: code}) {
				t.Errorf("subscribing to %s: %v, want %s", topic, err, code)
			}
		}
		_, err := eve.Publish(t.Context(), ticksTopic, hub.Publication{Data: []byte{1}, Binary: true})
		if !errors.Is(err, &hub.Error{Code: hub.CodeForbidden}) {
			t.Errorf("publishing a snapshot: %v", err)
		}
	})
}

func BenchmarkTick(b *testing.B) {
	w := newWorld(1, 1)
	for i := range 10 {
		w.join(uint32(i+1), "Ann")
	}
	before := w.view(0)
	var data []byte
	for b.Loop() {
		w.step()
		now := w.view(0)
		data = appendDelta(data[:0], before, now)
		before = now
	}
}
