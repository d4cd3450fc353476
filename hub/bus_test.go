package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns two hubs on one broker.
func pair(t *testing.T, b Broker, o Options) (one, two *fixture) {
	t.Helper()
	o.Broker = b
	return newFixture(t, o), newFixture(t, o)
}

// spy is a broker that writes down what goes over the wire between nodes.
type spy struct {
	*MemoryBroker
	mu             sync.Mutex
	sent, answered []string
}

func (s *spy) Call(ctx context.Context, n Node, method string, data []byte) ([]byte, error) {
	answer, err := s.MemoryBroker.Call(ctx, n, method, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.answered = append(s.sent, string(data)), append(s.answered, string(answer))
	return answer, err
}

// A request is answered by another node if this one has nobody for it.
func TestRequestsAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &spy{MemoryBroker: NewMemoryBroker(MemoryOptions{})}
		one, two := pair(t, b, Options{Hooks: Hooks{Request: func(_ context.Context, r *Request) (Reply, error) {
			if r.Method == "hook.knows" {
				return Reply{Data: []byte("1")}, nil
			}
			return Reply{}, Errorf(CodeUnknownMethod, "the hook does not know it")
		}}})
		handle := func(f *fixture, method string, answer RequestHandler) {
			t.Helper()
			if err := f.hub.Handle(method, answer); err != nil {
				t.Fatal(err)
			}
		}
		handle(two, "shop.*", func(ctx context.Context, r *Request) (Reply, error) {
			switch r.Method {
			case "shop.echo":
				return Reply{Data: r.Data, Binary: r.Binary}, nil
			case "shop.who":
				return Reply{Data: fmt.Appendf(nil, "%q", r.Session+" "+r.Identity.User+" "+string(r.Identity.Info))}, nil
			case "shop.closed":
				return Reply{}, &Error{"shop.closed", "come tomorrow", time.Minute}
			case "shop.refused":
				return Reply{}, Errorf(CodeForbidden, "not you")
			case "shop.impostor":
				return Reply{}, Errorf(CodeTokenExpired, "I am the hub")
			case "shop.broken":
				return Reply{}, errors.New("secret")
			case "shop.garbage":
				return Reply{Data: []byte("{")}, nil
			case "shop.slow":
				<-ctx.Done()
				return Reply{}, ctx.Err()
			}
			panic("no")
		})
		handle(one, "bank.local", func(context.Context, *Request) (Reply, error) { return Reply{Data: []byte(`"here"`)}, nil })
		handle(two, "bank.>", func(context.Context, *Request) (Reply, error) { return Reply{Data: []byte(`"there"`)}, nil })

		s, err := one.hub.Connect(Connecting{Session: "s1", Sink: newInbox(), Identity: Identity{
			User: "ann", Info: []byte(`{"name":"Ann"}`), Grants: []Grant{{"a.>", ActPublish}}, Expires: time.Now().Add(time.Hour).UTC(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ask := func(method, data string, binary bool) (Reply, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			p, err := s.Request(ctx, method, []byte(data), binary)
			if err != nil {
				t.Fatal(err)
			}
			return p.Wait()
		}
		for _, c := range []struct {
			method, data string
			binary       bool
			want         string
		}{
			{"shop.echo", `{"a":1}`, false, `{"a":1}`}, {"shop.echo", "\x00\xff", true, "\x00\xff"}, {"shop.who", "", false, `"s1 ann {\"name\":\"Ann\"}"`},
			{"bank.local", "", false, `"here"`}, {"bank.far", "", false, `"there"`}, {"hook.knows", "", false, "1"},
		} {
			if got, err := ask(c.method, c.data, c.binary); err != nil || string(got.Data) != c.want || got.Binary != c.binary {
				t.Errorf("%s: %q, %v", c.method, got.Data, err)
			}
		}
		for method, want := range map[string]*Error{
			"shop.closed": {"shop.closed", "come tomorrow", time.Minute}, "shop.refused": {CodeForbidden, "not you", 0},
			"shop.impostor": {CodeInternal, "the server could not decide", 0}, "shop.broken": {CodeInternal, "the server could not decide", 0},
			"shop.panics": {CodeInternal, "the server could not decide", 0}, "shop.garbage": {CodeInternal, "the server could not decide", 0},
			"nobody.knows": {CodeUnknownMethod, "nobody answers nobody.knows", 0},
		} {
			_, err := ask(method, "", false)
			var got *Error
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("%s: %#v", method, err)
			}
		}
		began := time.Now()
		_, err = ask("shop.slow", "", false)
		one.refused(CodeTimeout, err)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}

		// The one who answers goes.
		two.hub.Close()
		_, err = ask("shop.echo", "1", false)
		one.refused(CodeUnknownMethod, err)

		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		// The wire: what goes there is read by the next release, and by the last one.
		want := `{"session":"s1","identity":{"User":"ann","Anonymous":false,"Info":"eyJuYW1lIjoiQW5uIn0=","Grants":[{"Pattern":"a.\u003e","Actions":2}],` +
			`"Expires":"2000-01-01T01:00:00Z"},"data":"eyJhIjoxfQ==","timeout":5000000000}`
		if b.sent[0] != want {
			t.Errorf("sent %s", b.sent[0])
		}
		if b.answered[0] != `{"data":"eyJhIjoxfQ=="}` || b.answered[1] != `{"data":"AP8=","binary":true}` {
			t.Errorf("answered %s and %s", b.answered[0], b.answered[1])
		}
		if all := strings.Join(b.answered, "\n"); !strings.Contains(all, `{"error":{"code":"shop.closed","message":"come tomorrow","retry":60000000000}}`) {
			t.Errorf("answered %s", all)
		}

	})
}

func TestAnswerToNonsense(t *testing.T) {
	f := newFixture(t, Options{})
	f.check(f.hub.Handle("a", func(context.Context, *Request) (Reply, error) { return Reply{}, nil }))
	for _, c := range [][2]string{{"a", "{"}, {"b", "{}"}} {
		var got remoteReply
		if err := json.Unmarshal(f.hub.Answer(t.Context(), c[0], []byte(c[1])), &got); err != nil || got.Error == nil {
			t.Errorf("%s: %+v, %v", c, got, err)
		}
	}
	for _, command := range []string{commandDisconnect, commandSessions, commandTopics, commandReplace, commandUnsubscribe, "newer"} {
		if got := f.hub.Do(command, []byte("?")); got != nil {
			t.Errorf("%s: %s", command, got)
		}
	}
	f.hub.HandleCommand("bad", func([]byte) []byte { panic("no") })
	if got := f.hub.Do("bad", nil); got != nil {
		t.Errorf("a panic is answered with %s", got)
	}
}

// Presence is over all nodes: so is who comes and goes.
func TestPresenceAcrossNodes(t *testing.T) {
	one, two := pair(t, NewMemoryBroker(MemoryOptions{}), one(TopicOptions{Presence: PresenceFull}))
	ann, a := one.connect("1", "ann")
	one.subscribe(ann, "x", SubscribeOptions{Presence: true})
	bob1, _ := one.connect("2", "bob")
	bob2, _ := two.connect("3", "bob")
	two.subscribe(bob2, "x", SubscribeOptions{})
	one.subscribe(bob1, "x", SubscribeOptions{})
	bob2.Close()
	if p, err := two.hub.Presence(t.Context(), "x"); err != nil || p.Count != 2 || p.Connections != 2 {
		t.Errorf("present: %+v, %v", p, err)
	}
	bob1.Close()
	two.publish(bob2of(two), "x", "1")
	a.expect(t, "x ann join", "x bob join", "x bob leave", "x carl: 1")
}

func bob2of(f *fixture) *Subscriber {
	s, _ := f.connect("4", "carl")
	return s
}

// A client that comes back on another node goes on there, and its old connection ends.
func TestReplacedAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := pair(t, NewMemoryBroker(MemoryOptions{}), one(TopicOptions{Presence: PresenceFull}))
		connect := func(f *fixture, user string, turn uint64) (*Subscriber, *inbox) {
			b := newInbox()
			s, err := f.hub.Connect(Connecting{Session: "s", Identity: Identity{User: user}, Sink: b, Turn: turn})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s, b
		}
		watcher, w := one.connect("w", "watcher")
		one.subscribe(watcher, "x", SubscribeOptions{Presence: true})
		w.take()
		first, a := connect(one, "ann", 1)
		one.subscribe(first, "x", SubscribeOptions{})
		one.subscribe(first, "y", SubscribeOptions{})
		second, b := connect(two, "ann", 2)
		synctest.Wait()
		if a.ending() == nil || a.ending().Code != EndReplaced || b.ending() != nil {
			t.Fatalf("ended: %v, %v", a.ending(), b.ending())
		}
		first.Close() // as its connection does
		time.Sleep(5 * time.Second)
		two.subscribe(second, "x", SubscribeOptions{})
		time.Sleep(time.Minute)
		w.expect(t, "x ann join")
		if p, err := one.hub.Presence(t.Context(), "x"); err != nil || p.Connections != 2 {
			t.Errorf("present: %+v, %v", p, err)
		}
		if p, err := one.hub.Presence(t.Context(), "y"); err != nil || p.Connections != 0 {
			t.Errorf("present in what it did not come back to: %+v, %v", p, err)
		}

		// It goes back at once, and what the second node says late does no harm.
		third, c := connect(one, "ann", 3)
		one.hub.replaced([]replacement{{"s", "ann", 2}, {"s", "ann", 3}, {"s", "eve", 9}, {"?", "ann", 9}})
		synctest.Wait()
		if c.ending() != nil || b.ending() == nil || b.ending().Code != EndReplaced {
			t.Errorf("ended: %v, %v", c.ending(), b.ending())
		}
		one.subscribe(third, "x", SubscribeOptions{})
		third.Suspend(5 * time.Second) // its connection is lost, and made on the other node just in time
		time.Sleep(4900 * time.Millisecond)
		fourth, _ := connect(two, "ann", 4)
		time.Sleep(5 * time.Second)
		two.subscribe(fourth, "x", SubscribeOptions{})
		time.Sleep(time.Minute)
		w.expect(t)
		fourth.Close()
		w.expect(t, "x ann leave")
		for _, f := range []*fixture{one, two} {
			if n := len(f.hub.subscribers); n > 1 || f.hub.stats.suspended != 0 {
				t.Errorf("%d subscribers, %d suspended", n, f.hub.stats.suspended)
			}
		}
	})
}

// Thousands who come back from a node that has died do not wait for it.
func TestReplacementsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &dead{MemoryBroker: NewMemoryBroker(MemoryOptions{})}
		f := newFixture(t, Options{Broker: b})
		began := time.Now()
		for i := range 3500 {
			s, err := f.hub.Connect(Connecting{Session: fmt.Sprint(i), Identity: Identity{User: "u"}, Sink: newInbox(), Turn: 2})
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		if time.Since(began) > 0 {
			t.Error("they waited")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		f.hub.replacements.mu.Lock()
		defer f.hub.replacements.mu.Unlock()
		if n := b.casts.Load(); n < 4 || n > 5 || f.hub.replacements.running {
			t.Errorf("%d commands", n)
		}
	})
}

// dead is a broker with a node that never answers.
type dead struct {
	*MemoryBroker
	casts atomic.Int64
}

func (d *dead) Cast(ctx context.Context, _ Node, _ string, _ []byte) ([][]byte, error) {
	d.casts.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}
