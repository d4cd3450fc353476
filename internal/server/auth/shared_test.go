package auth

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// bus is a broker that may be away.
type bus struct {
	*hub.MemoryBroker
	away atomic.Bool
}

func (b *bus) Publish(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	if b.away.Load() {
		return hub.Receipt{}, hub.Errorf(hub.CodeUnavailable, "away")
	}
	return b.MemoryBroker.Publish(ctx, m, r)
}

// member is one node of a cluster.
type member struct {
	*Authenticator
	hub *hub.Hub
}

func join(t *testing.T, b hub.Broker, c Config) member {
	t.Helper()
	m := member{Authenticator: newAuth(t, c)}
	var err error
	if m.hub, err = hub.New(hub.Options{Broker: b, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.hub.Close)
	if err := m.Join(t.Context(), m.hub); err != nil {
		t.Fatal(err)
	}
	return m
}

// guest is a session without a connection.
type guest struct{ ended atomic.Pointer[hub.End] }

func (g *guest) Deliver(*hub.Message) bool { return true }
func (g *guest) End(why hub.End)           { g.ended.Store(&why) }

func (m member) enter(t *testing.T, session, user string) *guest {
	t.Helper()
	g := &guest{}
	if _, err := m.hub.Connect(hub.Connecting{Session: session, Identity: hub.Identity{User: user}, Sink: g}); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestRevokeOnAllNodes: who is revoked on one node is out on all, also on those that start later or that nobody could reach.
func TestRevokeOnAllNodes(t *testing.T) {
	c := withSecret(t)
	c.MaxLife = time.Hour
	synctest.Test(t, func(t *testing.T) {
		b := &bus{MemoryBroker: hub.NewMemoryBroker(hub.MemoryOptions{})}
		one, two := join(t, b, c), join(t, b, c)
		token := hs256(t, nil)
		accepts(t, two.Authenticator, token, "ann")
		ann, bob := two.enter(t, "s1", "ann"), two.enter(t, "s2", "bob")
		start := time.Now()
		time.Sleep(time.Second)
		revoke(t, one.Authenticator, "ann")
		for _, m := range []member{one, two, join(t, b, c)} {
			refuses(t, m.Authenticator, token, hub.CodeTokenRevoked, "")
			accepts(t, m.Authenticator, hs256(t, say{"sub": "bob"}), "bob")
		}
		if !two.Revoked("ann", start) {
			t.Error("who was being let in meanwhile is not stopped")
		}
		time.Sleep(time.Second) // nobody has told the second node to end sessions
		if why := ann.ended.Load(); why == nil || why.Code != hub.EndTokenRevoked || bob.ended.Load() != nil {
			t.Errorf("ended: %v, %v", why, bob.ended.Load())
		}
		// With a new token it is in again, and stays, whatever is read anew.
		accepts(t, two.Authenticator, hs256(t, nil), "ann")
		ann = two.enter(t, "s3", "ann")
		two.hub.Missed("", hub.GapLost, hub.Position{})
		time.Sleep(time.Minute)
		if ann.ended.Load() != nil {
			t.Error("an old revocation ends a new session")
		}
		time.Sleep(2 * time.Hour)
		third := join(t, b, c)
		if n := third.revoked.order.Len(); n != 0 {
			t.Errorf("%d revocations are remembered for longer than any token lives", n)
		}

		b.away.Store(true)
		token = hs256(t, nil)
		if err := one.Revoke(t.Context(), "ann"); err == nil || !err.(*hub.Error).Is(&hub.Error{Code: hub.CodeUnavailable}) {
			t.Errorf("revoked while the bus is away: %v", err)
		}
		refuses(t, one.Authenticator, token, hub.CodeTokenRevoked, "")
		b.away.Store(false)
		revoke(t, one.Authenticator, "ann")
		refuses(t, two.Authenticator, token, hub.CodeTokenRevoked, "")
	})
}

// TestSingleUseOnAllNodes: of all who show a token to any node, one comes in.
func TestSingleUseOnAllNodes(t *testing.T) {
	c := withSecret(t)
	c.SingleUse = true
	synctest.Test(t, func(t *testing.T) {
		b := &bus{MemoryBroker: hub.NewMemoryBroker(hub.MemoryOptions{})}
		nodes := []member{join(t, b, c), join(t, b, c), join(t, b, c)}
		token := hs256(t, say{"jti": "1"})
		var in atomic.Int32
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				if _, err := try(t, nodes[i%3].Authenticator, token); err == nil {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%d came in", in.Load())
		}
		time.Sleep(30 * time.Minute) // the broker may have forgotten by now
		for _, m := range append(nodes, join(t, b, c)) {
			refuses(t, m.Authenticator, token, hub.CodeTokenInvalid, "has been used before")
		}
		b.away.Store(true)
		refuses(t, nodes[0].Authenticator, hs256(t, say{"jti": "2"}), hub.CodeUnavailable, "cannot be made sure")
		b.away.Store(false)
		accepts(t, nodes[1].Authenticator, hs256(t, say{"jti": "3"}), "ann")
		time.Sleep(2 * time.Hour)
		late := join(t, b, c)
		if n := len(late.used.known); n != 0 {
			t.Errorf("%d tokens are remembered that have expired", n)
		}
		// Notes that nobody can read do no harm.
		late.learnRevoked([]byte("{"))
		late.learnUsed([]byte(`{"id":"AA=="}`))
	})
}
