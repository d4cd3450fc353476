package natsbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
)

// attachAll attaches nodes at brokers of their own.
func attachAll(t *testing.T, n int) (all []*spy) {
	t.Helper()
	s := startServer(t, server.Options{MaxPayload: 64 << 10})
	o := Options{Name: newName()}
	for i := range n {
		s := attachSpy(t, openRoster(t, o, automatic(), s))
		s.does(func(command string, data []byte) []byte { return fmt.Appendf(nil, "%d did %q %s", i, command, data) })
		s.answers(func(_ context.Context, method string, data []byte) []byte {
			return fmt.Appendf(nil, "%d answers %q %s", i, method, data)
		})
		all = append(all, s)
	}
	return all
}

// A command goes to all others, whatever it is called; who does not do it is named, and does not hold up the answers of the rest.
func TestCastToSilentNodes(t *testing.T) {
	n := attachAll(t, 5)
	const strange = "do it *.>\r\nX: \u00fc"
	answers, err := n[0].b.Cast(t.Context(), n[0], strange, []byte("now"))
	if err != nil || len(answers) != 4 {
		t.Fatalf("answered %q, %v", answers, err)
	}
	slices.SortFunc(answers, bytes.Compare)
	if want := fmt.Sprintf("1 did %q now", strange); string(answers[0]) != want {
		t.Errorf("answered %q, want %q", answers[0], want)
	}

	release := make(chan struct{})
	defer close(release)
	n[1].does(func(string, []byte) []byte { <-release; return nil })
	n[2].does(func(string, []byte) []byte { return make([]byte, 60<<10) })
	n[3].b.bus.detach(n[3]) // it has died: nobody is there, but its lease is
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	answers, err = n[0].b.Cast(ctx, n[0], "x", nil)
	if len(answers) != 1 || string(answers[0]) != `4 did "x" ` {
		t.Errorf("answered %q", answers)
	}
	if !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
		t.Fatal(err)
	}
	for i, reason := range map[int]string{1: "no answer in time", 2: "larger than NATS carries", 3: "not there"} {
		a, err2 := n[i].b.roster.of(n[i])
		if err2 != nil {
			t.Fatal(err2)
		}
		if !strings.Contains(err.Error(), a.address+" (") || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q does not name %s, %s", err, a.address, reason)
		}
	}
	if !strings.Contains(err.Error(), "3 of 4 ") {
		t.Error(err)
	}

	n[3].b.roster.detach(n[3]) // and now it has left
	n[1].does(n[4].Do)
	n[2].does(n[4].Do)
	if answers, err := n[0].b.Cast(t.Context(), n[0], "x", nil); err != nil || len(answers) != 3 {
		t.Errorf("answered %q, %v", answers, err)
	}
	if _, err := n[0].b.Cast(t.Context(), n[0], "x", make([]byte, 64<<10)); !errors.Is(err, &hub.Error{Code: hub.CodeTooLarge}) {
		t.Errorf("too large a command: %v", err)
	}
}

// A node does not answer itself; one of the others does.
func TestCallGoesToOthers(t *testing.T) {
	n := attachAll(t, 3)
	for _, each := range n[:2] {
		if _, err := each.b.Offer(each, "sum.*"); err != nil {
			t.Fatal(err)
		}
	}
	var who []string
	for _, from := range []*spy{n[0], n[1], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2], n[2]} {
		answer, err := from.b.Call(t.Context(), from, "sum.up", []byte("1 2"))
		if err != nil {
			t.Fatal(err)
		}
		who = append(who, string(answer[:1]))
	}
	if who[0] != "1" || who[1] != "0" || !slices.Contains(who[2:], "0") || !slices.Contains(who[2:], "1") {
		t.Errorf("answered by %q", who)
	}

	// The lease of one that has died is not over yet.
	n[0].b.bus.detach(n[0])
	for range 5 {
		if answer, err := n[2].b.Call(t.Context(), n[2], "sum.up", nil); err != nil || answer[0] != '1' {
			t.Errorf("answered %q, %v", answer, err)
		}
	}
	if _, err := n[1].b.Call(t.Context(), n[1], "sum.up", nil); !errors.Is(err, &hub.Error{Code: hub.CodeUnknownMethod}) {
		t.Errorf("a node that is the only one gets %v", err)
	}
}

// How long a caller waits is known to whoever answers, and nothing is done twice.
func TestCallInTime(t *testing.T) {
	n := attachAll(t, 3)
	var began, ended atomic.Int32
	returned := make(chan struct{})
	for _, each := range n[1:] {
		each.answers(func(ctx context.Context, _ string, _ []byte) []byte {
			began.Add(1)
			<-ctx.Done()
			ended.Add(1)
			<-returned // too late
			return nil
		})
		if _, err := each.b.Offer(each, "slow"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := n[0].b.Call(ctx, n[0], "slow", nil)
	if close(returned); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	eventually(t, "the end of the handler", func() bool { return ended.Load() == 1 })
	if began.Load() != 1 {
		t.Errorf("%d nodes were asked", began.Load())
	}
}

// A broker works on so many commands and requests at one time, and refuses more at once.
func TestBusy(t *testing.T) {
	n := attachAll(t, 2)
	release := make(chan struct{})
	var working atomic.Int32
	n[1].does(func(string, []byte) []byte {
		working.Add(1)
		<-release
		return nil
	})
	if _, err := n[1].b.Offer(n[1], "m"); err != nil {
		t.Fatal(err)
	}
	var casting sync.WaitGroup
	for range maxJobs {
		casting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
			defer cancel()
			if _, err := n[0].b.Cast(ctx, n[0], "wait", nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "full work", func() bool { return working.Load() == maxJobs })
	if _, err := n[0].b.Cast(t.Context(), n[0], "x", nil); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Error(err)
	}
	if _, err := n[0].b.Call(t.Context(), n[0], "m", nil); !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
		t.Error(err)
	}
	close(release)
	casting.Wait()
	if answer, err := n[0].b.Call(t.Context(), n[0], "m", []byte("2")); err != nil || string(answer) != `1 answers "m" 2` {
		t.Errorf("answered %q, %v", answer, err)
	}
}

// What is offered outlasts a lease.
func TestOffersOutlastLease(t *testing.T) {
	n := attachAll(t, 2)
	withdraw, err := n[1].b.Offer(n[1], "m")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n[0].b.roster.bucket.put(t.Context(), leaseKeys+n[1].id(), leaseValue{State: leaseOver}.encode()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the lease", func() bool {
		_, err := n[0].b.Call(t.Context(), n[0], "m", nil)
		return errors.Is(err, &hub.Error{Code: hub.CodeUnknownMethod})
	})
	if n[1].renew() {
		t.Error("the lease is kept")
	}
	if _, err := n[0].b.Call(t.Context(), n[0], "m", nil); err != nil {
		t.Error(err)
	}
	withdraw()
	withdraw()
	if _, err := n[0].b.Call(t.Context(), n[0], "m", nil); !errors.Is(err, &hub.Error{Code: hub.CodeUnknownMethod}) {
		t.Error(err)
	}
}

// Others' messages that cannot be read do no harm.
func TestBadMessages(t *testing.T) {
	n := attachAll(t, 2)
	a, err := n[1].b.roster.of(n[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{nil, {headerCommand: {"*"}}, {headerMethod: {token("m")}}, {headerMethod: {token("m")}, headerWait: {"-1"}}, {headerMethod: {""}, headerWait: {"1"}}} {
		m := nats.NewMsg(n[0].b.names.commands + a.address)
		m.Header = header
		reply, err := n[0].b.nc.RequestMsg(m, startTimeout)
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.Header.Get(headerOutcome); got != outcomeBad {
			t.Errorf("%v is answered with %q", header, got)
		}
	}
	if err := n[0].b.nc.Publish(n[0].b.names.commands+a.address, nil); err != nil { // nobody waits
		t.Error(err)
	}
	for _, method := range []string{"", "a b", "a..b"} {
		if _, err := n[0].b.Offer(n[0], method); err == nil {
			t.Errorf("%q is offered", method)
		}
		if _, err := n[0].b.Call(t.Context(), n[0], method, nil); err == nil {
			t.Errorf("%q is called", method)
		}
	}
	for i := range maxOffers {
		a.offers = append(a.offers, &offer{fmt.Sprint("m", i)})
	}
	if _, err := n[1].b.Offer(n[1], "one.more"); err == nil || len(a.offers) != maxOffers {
		t.Errorf("%d offers, %v", len(a.offers), err)
	}
}
