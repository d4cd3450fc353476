package prooftest

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

// startServer serves a hub at a URL until the test ends.
func startServer(t *testing.T, o hub.Options, authenticate func(context.Context, *session.Attempt) (hub.Identity, error)) (*hub.Hub, string) {
	t.Helper()
	h, err := hub.New(o)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(session.New(h, session.Options{Authenticate: authenticate}))
	t.Cleanup(func() {
		h.Close()
		web.Close()
	})
	return h, "ws" + strings.TrimPrefix(web.URL, "http")
}

func dial(t *testing.T, ctx context.Context, url string, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(ctx, url, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// TestTokensAreRefreshed: a connection outlives its tokens.
func TestTokensAreRefreshed(t *testing.T) {
	const life = 2500 * time.Millisecond
	var refreshes int // Authenticate is called by one connection
	refreshed := make(chan struct{})
	_, url := startServer(t, hub.Options{}, func(_ context.Context, a *session.Attempt) (hub.Identity, error) {
		if a.Refresh {
			if refreshes++; refreshes == 2 {
				close(refreshed)
			}
		}
		return hub.Identity{User: "ann", Expires: time.Now().Add(life)}, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var given int
	var mu sync.Mutex
	var states []client.State
	c := dial(t, ctx, url, client.Options{
		Token: func(context.Context) (string, error) {
			given++
			return fmt.Sprint("token ", given), nil
		},
		OnStatus: func(s client.Status) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s.State)
		},
	})
	select {
	case <-refreshed:
	case <-ctx.Done():
		t.Fatal("the token is not refreshed")
	}
	if _, err := c.Publish(ctx, "a", client.Publication{}); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(states) != "[connecting online]" {
		t.Errorf("the states were %v", states)
	}
}

// TestConversation: everything that a client can ask for, of a real server.
func TestConversation(t *testing.T) {
	full := hub.TopicOptions{HistoryMessages: 10, Presence: hub.PresenceFull}
	h, url := startServer(t, hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: full}}}, func(_ context.Context, a *session.Attempt) (hub.Identity, error) {
		return hub.Identity{User: a.Token}, nil
	})
	if err := h.Handle("sum", func(_ context.Context, r *hub.Request) (hub.Reply, error) {
		if !r.Binary {
			return hub.Reply{}, hub.Errorf("sum.bytes", "I add bytes")
		}
		return hub.Reply{Data: []byte{r.Data[0] + r.Data[1]}, Binary: true}, nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	user := func(name string) *client.Client {
		return dial(t, ctx, url, client.Options{Info: []byte(`{"of":"` + name + `"}`), Token: func(context.Context) (string, error) { return name, nil }})
	}
	ann, bob := user("ann"), user("bob")
	s, err := ann.Subscribe(ctx, "room", &client.SubscribeOptions{Presence: true})
	if err != nil {
		t.Fatal(err)
	}
	bobs, err := bob.Subscribe(ctx, "room", nil)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := bob.Publish(ctx, "room", client.Publication{ID: "m", Data: []byte{0, 255}, Binary: true, Key: "k", Meta: []byte(`{"a":1}`), NotToMe: true})
	if err != nil {
		t.Fatal(err)
	}
	again, err := bob.Publish(ctx, "room", client.Publication{ID: "m", Data: []byte("1")})
	if err != nil || !again.Duplicate || again.Position != receipt.Position {
		t.Errorf("%+v after %+v, %v", again, receipt, err)
	}
	who, err := ann.Presence(ctx, "room")
	if err != nil || who.Count != 2 || len(who.Users) != 2 || string(who.Users[1].Info) != `{"of":"bob"}` {
		t.Errorf("%+v, %v", who, err)
	}
	if err := bobs.Unsubscribe(ctx); err != nil {
		t.Error(err)
	}
	if _, err := bobs.Next(ctx); !errors.Is(err, client.ErrUnsubscribed) {
		t.Errorf("he got his own message, or %v", err)
	}
	var told []string
	for range 4 {
		e, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.(type) {
		case *client.Join:
			told = append(told, e.User.Name+" comes")
		case *client.Leave:
			told = append(told, e.User.Name+" goes")
		case *client.Message:
			told = append(told, fmt.Sprintf("%s %s %q %s %s %v", e.From.Name, e.ID, e.Data, e.Key, e.Meta, e.Position == receipt.Position))
		}
	}
	if got := strings.Join(told, ", "); got != `ann comes, bob comes, bob m "\x00\xff" k {"a":1} true, bob goes` {
		t.Error(got)
	}
	if page, err := bob.History(ctx, "room", client.HistoryQuery{}); err != nil || len(page.Messages) != 1 || page.More || page.Messages[0].Position != receipt.Position {
		t.Errorf("%+v, %v", page, err)
	}
	if r, err := bob.Request(ctx, client.Request{Method: "sum", Data: []byte{1, 2}, Binary: true}); err != nil || len(r.Data) != 1 || r.Data[0] != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := bob.Request(ctx, client.Request{Method: "sum", Data: []byte("1")}); !errors.Is(err, &client.Error{Code: "sum.bytes"}) {
		t.Error(err)
	}
}
