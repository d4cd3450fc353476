package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// end is the sink of a subscriber that tells how it ended.
type end chan hub.End

func (e end) Deliver(*hub.Message) bool { return true }
func (e end) End(why hub.End)           { e <- why }

func (e end) wait(t *testing.T) hub.EndCode {
	t.Helper()
	select {
	case why := <-e:
		return why.Code
	case <-time.After(10 * time.Second):
		t.Fatal("nobody ended it")
		return ""
	}
}

// TestHubs: what hubs do with each other, over NATS: requests, the work of operators, and sessions that go on elsewhere.
func TestHubs(t *testing.T) {
	s := startServer(t, server.Options{})
	name := newName()
	hubs := make([]*hub.Hub, 2)
	for i := range hubs {
		var err error
		hubs[i], err = hub.New(hub.Options{Broker: openBroker(t, Options{Name: name}, s), Topics: []hub.Rule{
			{Pattern: ">", TopicOptions: hub.TopicOptions{Presence: hub.PresenceFull}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(hubs[i].Close)
	}
	one, two := hubs[0], hubs[1]
	connect := func(h *hub.Hub, session, user string, turn uint64) (*hub.Subscriber, end) {
		t.Helper()
		e := make(end, 1)
		s, err := h.Connect(hub.Connecting{Session: session, Identity: hub.Identity{User: user}, Sink: e, Turn: turn})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Subscribe(t.Context(), "room", hub.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got.Begin()
		return s, e
	}
	present := func() string {
		t.Helper()
		p, err := two.Presence(t.Context(), "room")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.Count, " ", p.Connections)
	}

	// Requests.
	if err := two.Handle("shop.*", func(ctx context.Context, r *hub.Request) (hub.Reply, error) {
		switch r.Method {
		case "shop.closed":
			return hub.Reply{}, &hub.Error{Code: "shop.closed", Message: "come tomorrow", Retry: time.Minute}
		case "shop.slow":
			<-ctx.Done()
			return hub.Reply{}, ctx.Err()
		case "shop.broken":
			panic("no")
		}
		return hub.Reply{Data: fmt.Appendf(nil, "%q", r.Identity.User+string(r.Data)), Binary: r.Binary}, nil
	}); err != nil {
		t.Fatal(err)
	}
	ann, annEnds := connect(one, "s1", "ann", 1)
	ask := func(method string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		p, err := ann.Request(ctx, method, []byte("!"), true)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := p.Wait()
		return string(reply.Data), err
	}
	if got, err := ask("shop.open"); got != `"ann!"` || err != nil {
		t.Errorf("answered %s, %v", got, err)
	}
	for method, code := range map[string]hub.Code{
		"shop.closed": "shop.closed", "shop.slow": hub.CodeTimeout, "shop.broken": hub.CodeInternal, "nobody.knows": hub.CodeUnknownMethod,
	} {
		if _, err := ask(method); !errors.Is(err, &hub.Error{Code: code}) {
			t.Errorf("%s: %v, want %s", method, err, code)
		}
	}

	// A session that goes on elsewhere.
	_, bobEnds := connect(two, "s2", "bob", 1)
	_, annEndsThere := connect(two, "s1", "ann", 2)
	if code := annEnds.wait(t); code != hub.EndReplaced {
		t.Errorf("the old connection ended with %s", code)
	}
	if got := present(); got != "2 3" { // the old one for a while yet, so that nobody sees ann go
		t.Errorf("present: %s", got)
	}

	// Operators.
	page, err := one.Sessions(t.Context(), hub.SessionQuery{})
	if err != nil || len(page.Sessions) != 2 || page.More {
		t.Errorf("sessions: %+v, %v", page, err)
	}
	topics, err := one.Topics(t.Context(), hub.TopicQuery{})
	if err != nil || len(topics.Topics) != 1 || topics.Topics[0].Subscribers != 2 {
		t.Errorf("topics: %+v, %v", topics, err)
	}
	if n, err := one.Unsubscribe(t.Context(), hub.Selector{User: "bob"}, "room", hub.Errorf(hub.CodeForbidden, "go")); n != 1 || err != nil {
		t.Errorf("unsubscribed %d, %v", n, err)
	}
	for user, ends := range map[string]end{"ann": annEndsThere, "bob": bobEnds} {
		if n, err := one.Disconnect(t.Context(), hub.Selector{User: user}, hub.End{Code: hub.EndDisconnected}); n != 1 || err != nil {
			t.Errorf("disconnected %d, %v", n, err)
		}
		if code := ends.wait(t); code != hub.EndDisconnected {
			t.Errorf("%s ended with %s", user, code)
		}
	}
}
