package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

func revoke(t *testing.T, a *Authenticator, user string) {
	t.Helper()
	if err := a.Revoke(context.Background(), user); err != nil {
		t.Fatal(err)
	}
}

func TestRevoke(t *testing.T) {
	c := withSecret(t)
	c.MaxLife = time.Hour
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		time.Sleep(time.Minute)
		before, noIAT, bob := hs256(t, nil), hs256(t, say{"iat": nil}), hs256(t, say{"sub": "bob"})
		accepts(t, a, before, "ann")
		accepts(t, a, noIAT, "ann")
		start := time.Now()
		time.Sleep(time.Millisecond)
		revoke(t, a, "ann")
		if !a.Revoked("ann", start) || a.Revoked("ann", time.Now().Add(1)) || a.Revoked("bob", start) {
			t.Error("Revoked is wrong")
		}
		for _, token := range []string{before, noIAT, hs256(t, nil)} { // the last in the same second
			refuses(t, a, token, hub.CodeTokenRevoked, "the token was revoked; get a new one")
		}
		accepts(t, a, bob, "bob")
		time.Sleep(time.Second)
		accepts(t, a, hs256(t, nil), "ann")
		refuses(t, a, hs256(t, say{"iat": nil}), hub.CodeTokenRevoked, "")
		// A new configuration does not forget it.
		if err := a.Reload(c); err != nil {
			t.Fatal(err)
		}
		refuses(t, a, before, hub.CodeTokenRevoked, "")
		// Once more: newer tokens too.
		second := hs256(t, nil)
		time.Sleep(time.Second)
		revoke(t, a, "ann")
		refuses(t, a, second, hub.CodeTokenRevoked, "")
		for _, user := range []string{"", "~anonymous", "a\x00b"} {
			if err := a.Revoke(context.Background(), user); !errors.Is(err, &hub.Error{Code: hub.CodeBadRequest}) {
				t.Errorf("%q: %v", user, err)
			}
		}
	})
}

// TestGuard: who is revoked while a slow backend thinks about it does not come in.
func TestGuard(t *testing.T) {
	c := withSecret(t)
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		slow := a.Guard(func(ctx context.Context, at *session.Attempt) (hub.Identity, error) {
			identity, err := a.Authenticate(ctx, at)
			time.Sleep(3 * time.Second)
			return identity, err
		})
		at := &session.Attempt{Token: hs256(t, nil)}
		if i, err := slow(t.Context(), at); err != nil || i.User != "ann" {
			t.Errorf("got %+v, %v", i, err)
		}
		time.AfterFunc(time.Second, func() { revoke(t, a, "ann") })
		i, err := slow(t.Context(), &session.Attempt{Token: hs256(t, nil)})
		refused(t, i, err, hub.CodeTokenRevoked, "revoked")
		time.Sleep(time.Second)
		if i, err := slow(t.Context(), &session.Attempt{Token: hs256(t, nil)}); err != nil || i.User != "ann" {
			t.Errorf("later: %+v, %v", i, err)
		}
	})
}

// TestRevocationsAreBounded: nothing is forgotten before its time, and after it everything is.
func TestRevocationsAreBounded(t *testing.T) {
	c := withSecret(t)
	c.MaxLife, c.MaxRevocations = time.Hour, 3
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		first := hs256(t, say{"sub": "u0", "exp": time.Now().Add(time.Hour + 30*time.Second).Unix()}) // as long as one can live
		time.Sleep(time.Second)
		for i := range 3 {
			revoke(t, a, fmt.Sprint("u", i))
			time.Sleep(time.Minute)
		}
		for range 1000 {
			revoke(t, a, "u2") // takes no room
		}
		if err := a.Revoke(context.Background(), "u3"); !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			t.Fatalf("the fourth: %v", err)
		}
		refuses(t, a, first, hub.CodeTokenRevoked, "")
		time.Sleep(time.Hour - 3*time.Minute + 58*time.Second) // the last moment of the first
		refuses(t, a, first, hub.CodeTokenRevoked, "")
		time.Sleep(4 * time.Second)
		refuses(t, a, first, hub.CodeTokenExpired, "")
		revoke(t, a, "u3")
		if n := a.revoked.order.Len(); n != 3 || len(a.revoked.byUser) != 3 {
			t.Errorf("%d revocations", n)
		}
		if _, remembered := a.revoked.find("u0"); remembered {
			t.Error("the oldest is still there")
		}
	})
}

func TestRevocationsWithoutExpiry(t *testing.T) {
	c := withSecret(t)
	c.AllowNoExpiry = true
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		token := hs256(t, say{"exp": nil})
		time.Sleep(time.Second)
		revoke(t, a, "ann")
		time.Sleep(10 * 365 * 24 * time.Hour)
		revoke(t, a, "bob")
		refuses(t, a, token, hub.CodeTokenRevoked, "")
	})
}

func TestSingleUse(t *testing.T) {
	c := withSecret(t)
	c.SingleUse, c.MaxUsed = true, 3
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		one := func(jti string) string {
			return hs256(t, say{"jti": jti, "exp": time.Now().Add(time.Minute).Unix(), "sub": "u" + jti})
		}
		token := one("1")
		accepts(t, a, token, "u1")
		refuses(t, a, token, hub.CodeTokenInvalid, "has been used before, and is good for one use")
		if _, err := a.Authenticate(t.Context(), &session.Attempt{Token: token, Refresh: true}); !errors.Is(err,
			&hub.Error{Code: hub.CodeTokenInvalid}) {
			t.Errorf("the same as a refresh: %v", err)
		}
		refuses(t, a, hs256(t, nil), hub.CodeTokenInvalid, "jti")
		// What is refused for another reason is not used up.
		time.Sleep(time.Second)
		revoke(t, a, "u2")
		refuses(t, a, hs256(t, say{"jti": "2", "sub": "u2"}), hub.CodeTokenRevoked, "")
		accepts(t, a, hs256(t, say{"jti": "2", "sub": "u3", "exp": time.Now().Add(time.Minute).Unix()}), "u3")
		// The same id of another issuer is another token.
		accepts(t, a, hs256(t, say{"jti": "2", "iss": "other", "exp": time.Now().Add(time.Minute).Unix()}), "ann")
		refuses(t, a, one("3"), hub.CodeUnavailable, "later")
		time.Sleep(29 * time.Second)
		refuses(t, a, token, hub.CodeTokenInvalid, "used")
		time.Sleep(61 * time.Second)
		refuses(t, a, token, hub.CodeTokenExpired, "")
		accepts(t, a, one("3"), "u3")
		if len(a.used.known) != 1 || len(a.used.byDate) != 1 {
			t.Errorf("%d used tokens are remembered", len(a.used.known))
		}
	})
}

// TestSingleUseAtOnce: of many who replay a token, one comes in.
func TestSingleUseAtOnce(t *testing.T) {
	c := withSecret(t)
	c.SingleUse = true
	a := newAuth(t, c)
	token := hs256(t, say{"jti": "1"})
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := try(t, a, token); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d came in", in.Load())
	}
}
