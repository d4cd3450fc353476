package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/pgtest"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// inbox takes what a subscriber gets.
type inbox struct{ messages chan *hub.Message }

func (i inbox) Deliver(m *hub.Message) bool {
	select {
	case i.messages <- m:
		return true
	default:
		return false
	}
}
func (i inbox) End(hub.End) {}

// visitor is somebody who has the page open.
type visitor struct {
	*hub.Subscriber
	inbox
}

func startPage(t *testing.T, env *showcase.Env) *hub.Hub {
	t.Helper()
	env.Logger = slog.New(slog.DiscardHandler)
	env.Operators = &showcase.Operators{Everybody: func() bool { return true }}
	s, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		h.Close()
	})
	return h
}

func visit(t *testing.T, h *hub.Hub, name string) visitor {
	t.Helper()
	v := visitor{inbox: inbox{make(chan *hub.Message, 100)}}
	info := fmt.Sprintf(`{"name":%q}`, name)
	sub, err := h.Connect(hub.Connecting{Session: "s" + name, Sink: v.inbox, Identity: hub.Identity{User: "~" + name, Anonymous: true, Info: []byte(info)}})
	if err != nil {
		t.Fatal(err)
	}
	v.Subscriber = sub
	return v
}

func (v visitor) ask(t *testing.T, method, question string, answer any) *hub.Error {
	t.Helper()
	p, err := v.Request(t.Context(), "demo.orders."+method, []byte(question), false)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := p.Wait()
	if refused := new(hub.Error); errors.As(err, &refused) {
		return refused
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		t.Fatal(err)
	}
	return nil
}

// next waits for a change.
func (v visitor) next(t *testing.T) (c Change) {
	t.Helper()
	m := <-v.messages
	if err := json.Unmarshal(m.Data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPage: two people and another program change the same table, and everybody sees all of it.
func TestPage(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			env := &showcase.Env{Data: t.TempDir()}
			place := filepath.Join(env.Data, "showcase", "orders", fileName)
			if k.name == "postgres" {
				place = k.new(t)
				env.PostgresFile = filepath.Join(t.TempDir(), "dsn")
				if err := os.WriteFile(env.PostgresFile, []byte(place+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := startPage(t, env)
			ann, bob := visit(t, h, "Ann"), visit(t, h, "Bob")
			sub, err := bob.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			sub.Begin()
			var l listed
			if refused := ann.ask(t, "list", `{}`, &l); refused != nil || len(l.Orders) != 6 || l.Database != k.name || (l.File == place) != (k.name == "sqlite") {
				t.Fatal(l, refused)
			}
			var got outcome
			if refused := ann.ask(t, "add", `{"customer":"Zoe","item":"Tea","quantity":2,"price":150,"status":"new"}`, &got); refused != nil || !got.Done {
				t.Fatal(got, refused)
			}
			if c := bob.next(t); c.By != "Ann" || c.Now == nil || *c.Now != got.Order.draft || c.Version != got.Order.Version {
				t.Errorf("%+v", c)
			}
			k.outside(t, place, fmt.Sprintf("UPDATE %s SET quantity = 9 WHERE id = %d", k.table, got.Order.ID))
			if c := bob.next(t); c.By != "" || c.Program != k.program || c.Now.Quantity != 9 {
				t.Errorf("%+v", c)
			}
			edit := fmt.Sprintf(`{"id":%d,"version":%d,"customer":"Zoe","item":"Tea","quantity":3,"price":150,"status":"new"}`, got.Order.ID, got.Order.Version)
			if refused := bob.ask(t, "change", edit, &got); refused != nil || got.Done || got.Order.Quantity != 9 {
				t.Error(got, refused)
			}
			if refused := bob.ask(t, "remove", fmt.Sprintf(`{"id":%d,"version":%d}`, got.Order.ID, got.Order.Version), &got); refused != nil || !got.Done {
				t.Error(got, refused)
			}
			if refused := bob.ask(t, "remove", edit, &got); refused == nil || refused.Code != codeGone {
				t.Error(refused)
			}
		})
	}
}

// TestHostile: what is malformed is refused in words, and nothing else is disturbed.
func TestHostile(t *testing.T) {
	h := startPage(t, &showcase.Env{Exposed: true})
	eve := visit(t, h, "Eve")
	for _, c := range []struct {
		method, question string
		code             hub.Code
	}{
		{"add", `[]`, hub.CodeBadRequest},
		{"add", `{"customer":5}`, hub.CodeBadRequest},
		{"add", `{"quantity":1e99}`, hub.CodeBadRequest},
		{"add", `{"customer":"a\u0000b","item":"x","quantity":1,"price":1,"status":"new"}`, codeCustomer},
		{"add", `{"customer":"a","item":"x\u202e\n","quantity":1,"price":1,"status":"new"}`, codeItem},
		{"add", `{"customer":"a","item":"x","quantity":0,"price":1,"status":"new"}`, codeQuantity},
		{"change", `{"id":-1,"version":1,"customer":"a","item":"x","quantity":1,"price":1,"status":"new"}`, codeGone},
		{"remove", `{"id":9223372036854775807,"version":1}`, codeGone},
	} {
		var o outcome
		if refused := eve.ask(t, c.method, c.question, &o); refused == nil || refused.Code != c.code || refused.Message == "" {
			t.Errorf("%s %s: %v, %v", c.method, c.question, o, refused)
		}
	}
	for _, at := range []string{"demo.orders.mark.postgres", "demo.orders.*", "demo.orders.>", "demo.orders.other"} {
		if _, err := eve.Subscribe(t.Context(), at, hub.SubscribeOptions{}); err == nil {
			t.Errorf("somebody subscribes to %s", at)
		}
	}
	if _, err := eve.Publish(t.Context(), topic, hub.Publication{Data: []byte(`{}`)}); err == nil {
		t.Error("somebody publishes a change")
	}
	badName := visit(t, h, "<b>")
	var o outcome
	if refused := badName.ask(t, "add", `{"customer":"a","item":"x","quantity":1,"price":1,"status":"new"}`, &o); refused == nil || !strings.HasPrefix(string(refused.Code), "demo.name") {
		t.Error(refused)
	}
	var l listed
	if refused := eve.ask(t, "list", `{}`, &l); refused != nil || len(l.Orders) != 6 || l.File != "" {
		t.Error(l, refused)
	}
}

// TestAway: while there is no database, requests are refused; when it is there, everything goes on.
func TestAway(t *testing.T) {
	place := kinds[1].new(t)
	name := place[strings.LastIndex(place, "=")+1:]
	pgtest.Psql(t, strings.Replace(place, name, "postgres", 1), "DROP DATABASE "+name)
	h := startPage(t, &showcase.Env{Postgres: place})
	ann := visit(t, h, "Ann")
	var l listed
	if refused := ann.ask(t, "list", `{}`, &l); refused == nil || refused.Code != codeUnavailable || refused.Retry == 0 {
		t.Fatal(l, refused)
	}
	pgtest.Psql(t, strings.Replace(place, name, "postgres", 1), "CREATE DATABASE "+name)
	if refused := ann.ask(t, "list", `{}`, &l); refused != nil || len(l.Orders) != 6 {
		t.Fatal(l, refused)
	}
	sub, err := ann.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sub.Begin()
	awaitListener(t, place)
	pgtest.Psql(t, place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'duplex%'",
		"UPDATE duplex.orders SET quantity = 77 WHERE id = 1")
	if c := ann.next(t); c.Now.Quantity != 77 {
		t.Errorf("%+v", c)
	}
	for range 2 * poolSize { // none of the connections that were ended is used
		if refused := ann.ask(t, "list", `{}`, &l); refused != nil {
			t.Error(refused)
		}
	}
}

// awaitListener waits until somebody listens for changes.
func awaitListener(t *testing.T, place string) {
	t.Helper()
	conn := dial(t, place)
	for n := 0; n == 0; {
		err := conn.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'duplex listener' "+
			"AND state = 'idle' AND query IN ('rollback', 'ROLLBACK')").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
	}
}
