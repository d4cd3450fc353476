package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/client"
)

// watcher is a client at one certain node that is in the room and sees who else is. Its methods may be called from any goroutine.
type watcher struct {
	node   string
	user   string
	client *client.Client

	mu   sync.Mutex
	here map[string]bool // as the events say
}

// newWatcher connects to a node.
func newWatcher(ctx context.Context, node, address string, token func(string) (string, error)) (*watcher, error) {
	w := &watcher{node: node, user: "watcher-" + node, here: make(map[string]bool)}
	text, err := token(w.user)
	if err != nil {
		return nil, err
	}
	o := &client.Options{
		Token:     func(context.Context) (string, error) { return text, nil },
		BaseDelay: 200 * time.Millisecond, MaxDelay: time.Second, ConnectTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
	o.Dial.PingInterval, o.Dial.PongTimeout, o.Dial.HandshakeTimeout = 2*time.Second, 3*time.Second, 5*time.Second
	if w.client, err = client.New("ws://"+address+"/ws", o); err != nil {
		return nil, err
	}
	s, err := w.client.Subscribe(ctx, room, &client.SubscribeOptions{Presence: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.user, err)
	}
	go w.follow(s)
	return w, nil
}

// follow keeps the list as a program would: the server's when the subscription has begun or was interrupted, and from then on the events.
func (w *watcher) follow(s *client.Subscription) {
	w.refresh()
	for {
		e, err := s.Next(context.Background())
		if err != nil {
			return // closed
		}
		switch e := e.(type) {
		case *client.Join:
			w.note(e.User.Name, true)
		case *client.Leave:
			w.note(e.User.Name, false)
		case *client.Resubscribed:
			w.refresh()
		case *client.Gap:
			if e.Presence {
				w.refresh()
			}
		}
	}
}

func (w *watcher) note(user string, here bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if here {
		w.here[user] = true
	} else {
		delete(w.here, user)
	}
}

func (w *watcher) refresh() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		here, err := w.ask(ctx)
		cancel()
		if err == nil || w.client.Err() != nil {
			w.mu.Lock()
			w.here = here
			w.mu.Unlock()
			return
		}
	}
}

// ask asks the node who is in the room.
func (w *watcher) ask(ctx context.Context) (map[string]bool, error) {
	p, err := w.client.Presence(ctx, room)
	if err != nil {
		return nil, err
	}
	here := make(map[string]bool)
	for _, u := range p.Users {
		here[u.Name] = true
	}
	return here, nil
}

// told returns who is there as the events say.
func (w *watcher) told() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.here)
}

// presenceChecks are the checks of who is in the room.
type presenceChecks struct {
	mu     sync.Mutex
	done   int
	failed []string
	took   []string
}

// wanted says what is wrong with who is there, or nothing.
type wanted func(here map[string]bool) string

func with(user string) wanted {
	return func(here map[string]bool) string {
		if !here[user] {
			return user + " is not there"
		}
		return ""
	}
}

func without(user string) wanted {
	return func(here map[string]bool) string {
		if here[user] {
			return user + " is still there"
		}
		return ""
	}
}

func exactly(users []string) wanted {
	return func(here map[string]bool) string {
		var wrong []string
		for _, u := range users {
			if !here[u] {
				wrong = append(wrong, u+" is not there")
			}
		}
		for _, u := range slices.Sorted(maps.Keys(here)) {
			if !slices.Contains(users, u) {
				wrong = append(wrong, u+" is there")
			}
		}
		return strings.Join(wrong, ", ")
	}
}

// check waits until all watchers have what is wanted, by asking and by events. What is not so after a while is a failure.
func (p *presenceChecks) check(ctx context.Context, what string, by []*watcher, patience time.Duration, want wanted) {
	began := time.Now()
	err := await(ctx, patience, what, func() string {
		for _, w := range by {
			asking, cancel := context.WithTimeout(ctx, 3*time.Second)
			here, err := w.ask(asking)
			cancel()
			if err != nil {
				return fmt.Sprintf("node %s does not say: %v", w.node, err)
			}
			if wrong := want(here); wrong != "" {
				return fmt.Sprintf("node %s says that %s", w.node, wrong)
			}
			if wrong := want(w.told()); wrong != "" {
				return fmt.Sprintf("%s was told that %s", w.user, wrong)
			}
		}
		return ""
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if err != nil {
		p.failed = append(p.failed, err.Error())
		return
	}
	p.took = append(p.took, fmt.Sprintf("%s: after %.1f s", what, time.Since(began).Seconds()))
}
