package natsbroker

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// pass lets time pass as brokers see it, in steps of their audits, while these nodes renew their leases as hubs do.
func pass(t *testing.T, by time.Duration, clocks []*clock, brokers []*Broker, renewing ...*spy) {
	t.Helper()
	step := hub.LeaseTime / 6
	for past := time.Duration(0); past < by; past += step {
		for _, c := range clocks {
			c.advance(step)
		}
		for _, s := range renewing {
			if !s.renew() {
				t.Error("a lease that is renewed in time is over")
			}
		}
		var auditing sync.WaitGroup
		for _, b := range brokers {
			auditing.Go(b.roster.auditNow) // all at once: they compete for who declares whom dead
		}
		auditing.Wait()
	}
}

// A node dies without a word. The clocks of the others differ by hours, and none is right.
func TestDeadNode(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	var clocks []*clock
	var brokers []*Broker
	var nodes []*spy
	for i := range 4 {
		c := newClock(time.Date(2001+i, 2, 3, 4, 5, 6, 7, time.UTC))
		b := openRoster(t, o, c.settings(), s)
		clocks, brokers, nodes = append(clocks, c), append(brokers, b), append(nodes, attachSpy(t, b))
	}
	dead, alive := nodes[3], nodes[:3]
	for _, n := range alive {
		n.watch("t")
		n.watch("u")
	}
	for _, n := range alive {
		n.enter("t", "ann")
	}
	dead.enter("t", "ann")
	dead.enter("t", "bob")
	dead.enter("u", "cid")
	for _, n := range alive {
		n.sees("t", "ann", "bob")
		n.sees("u", "cid")
	}
	pass(t, hub.LeaseTime-time.Second, clocks[:3], brokers[:3], alive...)
	for _, n := range alive {
		n.sees("t", "ann", "bob")
		n.sees("u", "cid")
	}
	pass(t, hub.LeaseTime/3, clocks[:3], brokers[:3], alive...)
	for _, n := range alive {
		n.sees("t", "ann")
		n.sees("u")
		if got := n.present("u", 10); got.Count != 0 {
			t.Errorf("present are %+v", got)
		}
		if got := n.present("t", 10); got.Count != 1 || got.Connections != 3 {
			t.Errorf("present are %+v", got)
		}
		want := []string{"t ann true", "t bob true", "u cid true", "t bob false", "u cid false"}
		n.mu.Lock()
		slices.Sort(n.told)
		slices.Sort(want)
		if !slices.Equal(n.told, want) {
			t.Errorf("told %q, want %q", n.told, want)
		}
		n.mu.Unlock()
	}
	if left := keys(t, brokers[0], entriesOf(dead.id())); len(left) > 0 {
		t.Errorf("the dead node left %q", left)
	}
	if got := state(t, brokers[0], dead.id()); got != leaseCleared {
		t.Errorf("the lease of the dead node is in state %d", got)
	}

	// It was only asleep: it wakes up and goes on writing, until it finds out.
	before := dead.id()
	dead.enter("t", "eve")
	dead.leave("t", "bob")
	for _, n := range alive {
		n.sees("t", "ann")
	}
	if dead.renew() {
		t.Fatal("a lease that was over is kept")
	}
	if dead.id() == before {
		t.Error("the node has the same lease")
	}
	if got := dead.present("t", 10); got.Count != 1 {
		t.Errorf("before the node enters anew, present are %+v", got)
	}
	dead.enter("t", "bob")
	for _, n := range alive {
		n.sees("t", "ann", "bob")
	}
	eventually(t, "the end of what was written under the old lease", func() bool { return len(keys(t, brokers[0], entriesOf(before))) == 0 })
	if !dead.renew() {
		t.Error("the new lease is not kept")
	}
}

// An observer that was asleep, or cut off, does not declare those dead whom it has not seen.
func TestObserverAsleep(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	c := newClock(time.Now())
	a, b := attachSpy(t, openRoster(t, o, c.settings(), s)), attachSpy(t, openRoster(t, o, c.settings(), s))
	a.watch("t")
	b.enter("t", "bob")
	a.sees("t", "bob")
	for range 2 {
		a.b.roster.auditNow()
		c.advance(100 * hub.LeaseTime)
		a.b.roster.auditNow()
		c.advance(-200 * hub.LeaseTime) // a clock that is set back
		a.b.roster.auditNow()
	}
	a.sees("t", "bob")
	if !a.renew() || !b.renew() {
		t.Error("a lease is over")
	}
}

// Whoever declared a node dead has died itself before it has removed what the node left.
func TestUnfinishedEnd(t *testing.T) {
	s := startServer(t, server.Options{})
	c := newClock(time.Now())
	b := openRoster(t, Options{Name: newName()}, c.settings(), s)
	a, dead := attachSpy(t, b), attachSpy(t, b)
	a.watch("t")
	dead.enter("t", "bob")
	a.sees("t", "bob")
	if _, err := b.roster.bucket.put(t.Context(), leaseKeys+dead.id(), leaseValue{State: leaseOver}.encode()); err != nil {
		t.Fatal(err)
	}
	a.sees("t")
	if n := len(keys(t, b, entriesOf(dead.id()))); n != 1 {
		t.Fatalf("%d entries", n)
	}
	pass(t, 2*hub.LeaseTime, []*clock{c}, []*Broker{b}, a)
	if left := keys(t, b, entriesOf(dead.id())); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	if got := state(t, b, dead.id()); got != leaseCleared {
		t.Errorf("the lease is in state %d", got)
	}
}

// A renewal that was stored, but not confirmed, does not end the lease.
func TestRenewalNotConfirmed(t *testing.T) {
	s := startServer(t, server.Options{})
	n := attachSpy(t, openRoster(t, Options{Name: newName()}, automatic(), s))
	a, err := n.b.roster.of(n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.b.roster.bucket.put(t.Context(), leaseKeys+n.id(), leaseValue{Address: a.address}.encode()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !n.renew() {
			t.Error("the lease is over")
		}
	}
}

// A lease that was ended is a lease that was not renewed: one of both wins.
func TestRenewalAgainstEnd(t *testing.T) {
	s := startServer(t, server.Options{})
	o := Options{Name: newName()}
	c := newClock(time.Now())
	watcher, other := attachSpy(t, openRoster(t, o, c.settings(), s)), attachSpy(t, openRoster(t, o, c.settings(), s))
	watcher.watch("t")
	for range 20 {
		other.enter("t", "bob")
		watcher.sees("t", "bob")
		old := other.id()
		watcher.b.roster.mu.Lock()
		sequence := watcher.b.roster.leases.all[old].sequence
		watcher.b.roster.mu.Unlock()
		var kept bool
		var ended error
		var both sync.WaitGroup
		both.Go(func() { kept = other.renew() })
		both.Go(func() { ended = watcher.b.roster.endLease(old, sequence, true) })
		both.Wait()
		if kept != (ended != nil) {
			t.Fatalf("the renewal was kept: %v, the lease could not be ended: %v", kept, ended)
		}
		if kept {
			other.leave("t", "bob")
		}
		watcher.sees("t")
	}
}
