package natsbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
)

// Who came and went leaves nothing behind.
func TestNothingLeftBehind(t *testing.T) {
	s := startServer(t, server.Options{})
	b := openRoster(t, Options{Name: newName()}, automatic(), s)
	b.roster.bucket.marker = time.Second
	n := attachSpy(t, b)
	subscriptions := b.nc.NumSubscriptions()
	n.watch("t")
	m := &model{connections: make(map[string]int)}
	churn(t, m, "t", 200, 20, n)
	for i := range 200 {
		for n.leaves("t", fmt.Sprint("user ", i)) {
		}
	}
	n.sees("t")
	member, err := b.roster.memberOf(n)
	if err != nil {
		t.Fatal(err)
	}
	member.mu.Lock()
	if len(member.all) > 0 || len(member.ready) > 0 {
		t.Errorf("%d entries are remembered, %d to be written", len(member.all), len(member.ready))
	}
	member.mu.Unlock()
	eventually(t, "the end of all markers", func() bool {
		found, err := b.js.Stream(t.Context(), b.roster.bucket.stream)
		return err == nil && found.CachedInfo().State.Msgs == 1 // the lease
	})
	b.Unwatch(n, "t")
	if got := b.nc.NumSubscriptions(); got != subscriptions {
		t.Errorf("%d subscriptions, and %d before", got, subscriptions)
	}
	if len(b.roster.watches) > 0 {
		t.Error("a topic that nobody watches is remembered")
	}
}

// All of a broker's goroutines and subscriptions end with it.
func TestDetachedNode(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	watcher, leaver := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	watcher.watch("t")
	leaver.watch("t")
	leaver.watch("t")
	leaver.enter("t", "ann")
	leaver.b.Unwatch(leaver, "t")
	leaver.enter("t", "bob") // it watches still
	for _, n := range []*spy{watcher, leaver} {
		n.sees("t", "ann", "bob")
	}
	id := leaver.id()
	leaver.b.bus.detach(leaver)
	leaver.b.roster.detach(leaver)
	watcher.sees("t")
	leaver.sees("t", "ann", "bob") // it is told nothing any more
	if left := keys(t, watcher.b, entriesOf(id)); len(left) > 0 {
		t.Errorf("left behind are %q", left)
	}
	gone := &hub.Error{Code: hub.CodeUnavailable}
	_, err := leaver.b.Renew(t.Context(), leaver)
	_, err2 := leaver.b.Cast(t.Context(), leaver, "x", nil)
	_, err3 := leaver.b.Offer(leaver, "x")
	for _, err := range []error{
		leaver.b.Enter(t.Context(), leaver, "t", hub.Publisher{User: "u"}, false), leaver.b.Leave(t.Context(), leaver, "t", "u"),
		leaver.b.Watch(t.Context(), leaver, "t"), err, err2, err3,
	} {
		if !errors.Is(err, gone) {
			t.Errorf("a detached node gets %v", err)
		}
	}
	leaver.b.Unwatch(leaver, "t")
}

// The bucket is deleted while nodes use it.
func TestBucketBeginsAnew(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName(), Memory: true}
	a, b := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	for i := range 50 { // the sequences of the new bucket are lower than those of the old one
		b.enter("t", fmt.Sprint("user ", i))
	}
	a.until("50 users", func() bool { return len(a.here) == 50 })
	if err := a.b.js.DeleteStream(t.Context(), a.b.roster.bucket.stream); err != nil {
		t.Fatal(err)
	}
	a.sees("t")
	for _, n := range []*spy{a, b} {
		if n.renew() {
			t.Error("a lease outlasts the bucket")
		}
	}
	b.enter("t", "user 1")
	b.enter("t", "ann")
	a.sees("t", "user 1", "ann")
	b.leave("t", "user 1")
	a.sees("t", "ann")
	if p := a.present("t", 10); p.Count != 1 || p.Connections != 1 {
		t.Errorf("present are %+v", p)
	}
}

// What cannot be stored is said, and is as if it had not been; who leaves while NATS is away has left when it is back.
func TestNATSAway(t *testing.T) {
	so := server.Options{StoreDir: t.TempDir(), Port: freePort(t)}
	s := startServer(t, so)
	o := Options{Name: newName()}
	a, b := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	b.enter("t", "ann")
	b.enter("t", "ann")
	b.enter("t", "bob")
	a.sees("t", "ann", "bob")
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "the loss of the connection", func() bool { return !b.b.nc.IsConnected() && !a.b.nc.IsConnected() })
	away := &hub.Error{Code: hub.CodeUnavailable}
	_, renewing := b.b.Renew(t.Context(), b)
	_, present := b.b.Present(t.Context(), "t", 1)
	_, casting := b.b.Cast(t.Context(), b, "x", nil)
	_, calling := b.b.Call(t.Context(), b, "x", nil)
	_, secret := b.b.Secret(t.Context(), "x")
	for name, err := range map[string]error{
		"enter": b.b.Enter(t.Context(), b, "t", hub.Publisher{User: "late"}, false), "leave": b.b.Leave(t.Context(), b, "t", "bob"),
		"enter again": b.b.Enter(t.Context(), b, "t", hub.Publisher{User: "ann"}, false), "leave once": b.b.Leave(t.Context(), b, "t", "ann"),
		"watch": b.b.Watch(t.Context(), b, "u"), "renew": renewing, "present": present, "cast": casting, "call": calling, "secret": secret,
	} {
		if !errors.Is(err, away) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.b.Enter(ctx, b, "t", hub.Publisher{User: "late"}, false); !errors.Is(err, context.Canceled) && !errors.Is(err, away) {
		t.Error(err)
	}
	startServer(t, so)
	a.sees("t", "ann")
	eventually(t, "one connection", func() bool { p := a.present("t", 10); return p.Count == 1 && p.Connections == 1 })
	if !a.renew() || !b.renew() {
		t.Error("a lease was over")
	}
}

// Those who are only counted cost one key for a topic and node.
func TestCounted(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	a, b := attachSpy(t, openRoster(t, o, automatic(), s)), attachSpy(t, openRoster(t, o, automatic(), s))
	a.watch("t")
	for i := range 1000 {
		for _, n := range []*spy{a, b} {
			if err := n.b.Enter(t.Context(), n, "t", hub.Publisher{User: fmt.Sprint("user ", i)}, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.enter("t", "ann")
	is := func(n *spy, count, connections int) {
		t.Helper()
		eventually(t, fmt.Sprint(count, " users"), func() bool {
			p := n.present("t", 0)
			return p.Count == count && p.Connections == connections && p.Users == nil
		})
	}
	is(a, 2001, 2001)
	is(b, 2001, 2001)
	if p := b.present("t", 10); p.Count != 1 || len(p.Users) != 1 {
		t.Errorf("in full there are %+v", p)
	}
	if n := len(keys(t, a.b, entriesIn(token("t")))); n != 3 {
		t.Errorf("%d keys", n)
	}
	for i := range 999 {
		b.leave("t", fmt.Sprint("user ", i))
		b.leave("t", fmt.Sprint("user ", i)) // it has left
	}
	is(a, 1002, 1002)
	b.b.bus.detach(b)
	b.b.roster.detach(b)
	is(a, 1000, 1000)
	a.sees("t")
}

// All nodes get the same secret, whoever asks first.
func TestSecret(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	var brokers []*Broker
	for range 3 {
		brokers = append(brokers, openRoster(t, o, automatic(), s))
	}
	overheard, err := brokers[0].nc.SubscribeSync(brokers[0].options.Name + ".>")
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]byte, 12)
	var asking sync.WaitGroup
	for i := range got {
		asking.Go(func() {
			var err error
			if got[i], err = brokers[i%3].Secret(t.Context(), "resume *"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for _, secret := range got {
		if len(secret) != secretBytes || !bytes.Equal(secret, got[0]) {
			t.Errorf("the secret is %x and %x", secret, got[0])
		}
	}
	other, err := brokers[0].Secret(t.Context(), "another")
	if err != nil || bytes.Equal(other, got[0]) {
		t.Errorf("two secrets are the same, or %v", err)
	}
	if err := brokers[0].nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := overheard.NextMsg(time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(got, func(secret []byte) bool { return bytes.Contains(m.Data, secret) }) {
			t.Errorf("the secret is published on %s", m.Subject)
		}
	}
	if _, err := brokers[0].Secret(t.Context(), ""); err == nil {
		t.Error("a secret without a name")
	}
}
