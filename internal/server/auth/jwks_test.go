package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

// publisher is an issuer's web server on a real socket, and how often it was asked.
type publisher struct {
	*httptest.Server
	asked atomic.Int32
}

func publish(t *testing.T, answer http.HandlerFunc) *publisher {
	t.Helper()
	p := &publisher{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func TestPublishedKeys(t *testing.T) {
	all := signers()
	p := publish(t, text(set(all[RS256].jwk("r"), all[ES256].jwk("e"), all[EdDSA].jwk("d"))))
	a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "https://id.example.com/", URL: p.URL + "/jwks.json", UserPrefix: "ex:"}}})
	for kid, s := range map[string]signer{"r": all[RS256], "e": all[ES256], "d": all[EdDSA]} {
		accepts(t, a, s.sign(t, say{"kid": kid}, say{"iss": "https://id.example.com/"}), "ex:ann")
		accepts(t, a, s.sign(t, nil, say{"iss": "https://id.example.com/"}), "ex:ann")
		refuses(t, a, s.sign(t, say{"kid": kid}, nil), hub.CodeTokenInvalid, "")
	}
	refuses(t, a, all[RS256].sign(t, say{"kid": "e"}, say{"iss": "https://id.example.com/"}), hub.CodeTokenInvalid, "")
	// The public key as the secret of HS256, and a set's algorithms.
	refuses(t, a, sign(t, jwt.SigningMethodHS256, all[RS256].pem(), say{"kid": "r"}, say{"iss": "https://id.example.com/"}),
		hub.CodeTokenInvalid, "")
	only := newAuth(t, Config{Issuers: []Issuer{{Issuer: "i", URL: p.URL, Algorithms: []string{EdDSA}}}})
	accepts(t, only, all[EdDSA].sign(t, say{"kid": "d"}, say{"iss": "i"}), "ann")
	refuses(t, only, all[RS256].sign(t, say{"kid": "r"}, say{"iss": "i"}), hub.CodeTokenInvalid, "")
	if n := p.asked.Load(); n != 2 {
		t.Errorf("%d fetches by two servers", n)
	}
}

// TestNoFetchForStrangers: no address in a token is ever asked, and no issuer but the token's, if it is configured.
func TestNoFetchForStrangers(t *testing.T) {
	mine, other := signers()[RS256], signers()[EdDSA]
	trap := publish(t, text(set(mine.jwk("k"))))
	p := publish(t, text(set(other.jwk("k"))))
	a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "good", URL: p.URL}, {Issuer: "idle", URL: trap.URL}}, Keys: withSecret(t).Keys})
	for name, header := range map[string]say{
		"nothing": nil, "jku": {"jku": trap.URL}, "x5u": {"x5u": trap.URL}, "kid is an address": {"kid": trap.URL},
		"all": {"jku": trap.URL + "/a", "x5u": trap.URL + "/b", "x5c": []string{trap.URL}, "jwk": mine.jwk("k"), "kid": "k"},
	} {
		for _, iss := range []string{trap.URL, trap.URL + "/.well-known/jwks.json", "good@" + trap.URL, "good ", "GOOD", "",
			"good/../idle", "idle\x00"} {
			t.Run(name+" "+iss, func(t *testing.T) {
				refuses(t, a, mine.sign(t, header, say{"iss": iss}), hub.CodeTokenInvalid, "")
				refuses(t, a, sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, header, say{"iss": iss}), hub.CodeTokenInvalid, "")
			})
		}
	}
	if n := p.asked.Load() + trap.asked.Load(); n != 0 {
		t.Errorf("%d fetches for tokens of strangers", n)
	}
	// An algorithm that is not the issuer's is no reason to ask it either.
	refuses(t, a, hs256(t, say{"iss": "idle"}), hub.CodeTokenInvalid, "")
	refuses(t, a, mine.sign(t, say{"jku": trap.URL, "kid": "k"}, say{"iss": "good"}), hub.CodeTokenInvalid, "")
	accepts(t, a, other.sign(t, say{"jku": trap.URL, "kid": "k"}, say{"iss": "good"}), "ann")
	if p.asked.Load() != 1 || trap.asked.Load() != 0 {
		t.Errorf("%d fetches of the issuer, %d of the trap", p.asked.Load(), trap.asked.Load())
	}
}

// TestSameKeyIDAtTwoIssuers: one cannot sign for the other, in whatever order they are asked.
func TestSameKeyIDAtTwoIssuers(t *testing.T) {
	one, two, three := signers()[ES256], signers()[EdDSA], signers()[RS256]
	p1, p2 := publish(t, text(set(one.jwk("1"), three.jwk("3")))), publish(t, text(set(two.jwk("1"))))
	for _, first := range []string{"one", "two"} {
		a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "one", URL: p1.URL}, {Issuer: "two", URL: p2.URL}}})
		by := func(s signer, kid, iss string) string { return s.sign(t, say{"kid": kid}, say{"iss": iss}) }
		if first == "one" {
			accepts(t, a, by(one, "1", "one"), "ann")
		}
		refuses(t, a, by(one, "1", "two"), hub.CodeTokenInvalid, "")
		refuses(t, a, by(three, "3", "two"), hub.CodeTokenInvalid, "")
		accepts(t, a, by(two, "1", "two"), "ann")
		refuses(t, a, by(two, "1", "one"), hub.CodeTokenInvalid, "")
		accepts(t, a, by(one, "1", "one"), "ann")
		accepts(t, a, by(three, "3", "one"), "ann")
		refuses(t, a, by(one, "1", "two"), hub.CodeTokenInvalid, "")
	}
}

// TestIssuerInTrouble: what is wrong at the issuer is no fault of the token.
func TestIssuerInTrouble(t *testing.T) {
	s := signers()[EdDSA]
	trap := publish(t, text(set(s.jwk("k"))))
	for name, answer := range map[string]http.HandlerFunc{
		"error":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not JSON":      text("<html>"),
		"no set":        text(`{"key":1}`),
		"an empty set":  text(`{"keys":[]}`),
		"only a secret": text(`{"keys":[{"kty":"oct","kid":"k","k":"AAAA"}]}`),
		"huge":          func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), maxSetBytes+1)) },
		"many keys":     text(`{"keys":[` + strings.Repeat(`{},`, maxPublished) + `{}]}`),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "{")
		},
		"redirect to other": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, http.StatusFound) },
		"redirect to itself": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := publish(t, answer)
			a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "i", URL: p.URL}}})
			for range 3 { // only the first asks
				refuses(t, a, s.sign(t, say{"kid": "k"}, say{"iss": "i"}), hub.CodeUnavailable, "its issuer does not answer")
			}
			if n := p.asked.Load(); n > 1 && !strings.HasPrefix(name, "redirect to itself") || n > maxRedirects+1 {
				t.Errorf("%d fetches", n)
			}
		})
	}
	if trap.asked.Load() > 0 {
		t.Error("it followed the issuer to another host")
	}
	t.Run("redirect in the house", func(t *testing.T) {
		p := publish(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/old" {
				http.Redirect(w, r, "/new", http.StatusFound)
				return
			}
			text(set(s.jwk("k")))(w, r)
		})
		a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "i", URL: p.URL + "/old"}}})
		accepts(t, a, s.sign(t, say{"kid": "k"}, say{"iss": "i"}), "ann")
	})
	t.Run("nobody there", func(t *testing.T) {
		p := publish(t, text(""))
		p.Close()
		a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "i", URL: p.URL}}})
		refuses(t, a, s.sign(t, say{"kid": "k"}, say{"iss": "i"}), hub.CodeUnavailable, "")
	})
}

// TestHungryClients: many clients at once cost one fetch, and who goes away takes nobody along.
func TestHungryClients(t *testing.T) {
	s := signers()[EdDSA]
	release, begun := make(chan struct{}), make(chan struct{}, 1)
	p := publish(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		text(set(s.jwk("k")))(w, r)
	})
	a := newAuth(t, Config{Issuers: []Issuer{{Issuer: "i", URL: p.URL}}})
	token := s.sign(t, say{"kid": "k"}, say{"iss": "i"})
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := a.Authenticate(gone, &session.Attempt{Token: token})
		first <- err
	}()
	<-begun
	leave()
	if err := <-first; !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
		t.Errorf("who went away got %v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if i, err := try(t, a, token); err != nil || i.User != "ann" {
				t.Errorf("got %+v, %v", i, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// fakeIssuer answers without a socket, so that time can be the test's.
type fakeIssuer struct {
	asked  int
	answer func() (string, error)
}

func (f *fakeIssuer) RoundTrip(*http.Request) (*http.Response, error) {
	f.asked++
	body, err := f.answer()
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Status: "200 OK", Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}, nil
}

// TestWhenKeysAreFetched: for an unknown kid, but not too often; besides, when they are old; and a day later never without.
func TestWhenKeysAreFetched(t *testing.T) {
	old, new := signers()[EdDSA], signers()[ES256]
	synctest.Test(t, func(t *testing.T) {
		published := set(old.jwk("old"))
		var broken error
		f := &fakeIssuer{answer: func() (string, error) { return published, broken }}
		a, err := New(Config{Issuers: []Issuer{{Issuer: "i", URL: "https://id.example.com"}}}, Options{Transport: f, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		token := func(s signer, kid string) string { return s.sign(t, say{"kid": kid}, say{"iss": "i"}) }
		asked := func(want int) {
			t.Helper()
			if synctest.Wait(); f.asked != want {
				t.Fatalf("%d fetches, want %d", f.asked, want)
			}
		}
		accepts(t, a, token(old, "old"), "ann")
		asked(1)
		for i := range 100 { // somebody invents kids
			refuses(t, a, token(new, fmt.Sprint(i)), hub.CodeTokenInvalid, "")
		}
		asked(1)
		time.Sleep(fetchInterval)
		published = set(old.jwk("old"), new.jwk("new"))
		accepts(t, a, token(new, "new"), "ann")
		asked(2)
		time.Sleep(refreshAfter + time.Second) // a key is taken back: it is still good for whoever finds that out, and then no more
		published = set(new.jwk("new"))
		accepts(t, a, token(old, "old"), "ann")
		asked(3)
		refuses(t, a, token(old, "old"), hub.CodeTokenInvalid, "")
		accepts(t, a, token(new, "new"), "ann")
		asked(3)
		broken = errors.New("no route")
		time.Sleep(maxPublishedAge - time.Second)
		accepts(t, a, token(new, "new"), "ann")
		asked(4)
		time.Sleep(fetchInterval)
		refuses(t, a, token(new, "new"), hub.CodeUnavailable, "")
		asked(5)
		broken = nil
		time.Sleep(fetchInterval)
		accepts(t, a, token(new, "new"), "ann")
		asked(6)
		// A new configuration with the same address keeps the keys, another address does not.
		if err := a.Reload(Config{Issuers: []Issuer{{Issuer: "i", URL: "https://id.example.com", UserPrefix: "i:"}}}); err != nil {
			t.Fatal(err)
		}
		accepts(t, a, token(new, "new"), "i:ann")
		asked(6)
		if err := a.Reload(Config{Issuers: []Issuer{{Issuer: "i", URL: "https://id2.example.com"}}}); err != nil {
			t.Fatal(err)
		}
		accepts(t, a, token(new, "new"), "ann")
		asked(7)
	})
}

func TestSetsWithOtherKeys(t *testing.T) {
	good := signers()[ES256].jwk("good")
	with := func(changes map[string]any) map[string]any {
		k := signers()[ES256].jwk("bad")
		for name, value := range changes {
			k[name] = value
		}
		return k
	}
	for name, bad := range map[string]map[string]any{
		"for encryption":    with(map[string]any{"use": "enc"}),
		"for signing only":  with(map[string]any{"key_ops": []string{"sign"}}),
		"another algorithm": with(map[string]any{"alg": "ES384"}),
		"another curve":     with(map[string]any{"crv": "P-384"}),
		"not on the curve":  with(map[string]any{"x": strings.Repeat("A", 43)}),
		"short coordinate":  with(map[string]any{"x": "AAAA"}),
		"x is a number":     with(map[string]any{"x": 1}),
		"secret":            {"kty": "oct", "k": "AAAA", "kid": "bad"},
		"small RSA":         {"kty": "RSA", "kid": "bad", "n": strings.Repeat("_", 171), "e": "AQAB"},
		"RSA, e is 1":       {"kty": "RSA", "kid": "bad", "n": strings.Repeat("_", 342), "e": "AQ"},
		"RSA, e is even":    {"kty": "RSA", "kid": "bad", "n": strings.Repeat("_", 342), "e": "AQAA"},
		"RSA, e is huge":    {"kty": "RSA", "kid": "bad", "n": strings.Repeat("_", 342), "e": strings.Repeat("_", 100)},
		"huge RSA":          {"kty": "RSA", "kid": "bad", "n": strings.Repeat("_", 2000), "e": "AQAB"},
		"short Ed25519":     {"kty": "OKP", "crv": "Ed25519", "kid": "bad", "x": "AAAA"},
		"X25519":            {"kty": "OKP", "crv": "X25519", "kid": "bad", "x": strings.Repeat("A", 43)},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := parseSet([]byte(set(bad, good)))
			if err != nil || len(keys) != 1 || keys[0].id != "good" {
				t.Errorf("got %d keys, %v", len(keys), err)
			}
			if keys, err := parseSet([]byte(set(bad))); err == nil {
				t.Errorf("got %+v", keys[0])
			}
		})
	}
}

func FuzzParseSet(f *testing.F) {
	for _, s := range signers() {
		f.Add([]byte(set(s.jwk("k"))))
	}
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":null,"y":[]}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := parseSet(content)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		for _, k := range keys {
			if err := checkPublic(k.public, k.algorithm); err != nil {
				t.Error(err)
			}
		}
	})
}
