package auth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
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

func TestEveryAlgorithm(t *testing.T) {
	for name, s := range signers() {
		t.Run(name, func(t *testing.T) {
			a := newAuth(t, Config{Keys: []Key{{File: file(t, string(s.pem())), Algorithm: name}}})
			accepts(t, a, s.sign(t, nil, nil), "ann")
			accepts(t, a, s.sign(t, say{"kid": "any"}, nil), "ann")
		})
	}
	t.Run("HS256", func(t *testing.T) { accepts(t, newAuth(t, withSecret(t)), hs256(t, nil), "ann") })
}

func TestWhatATokenSays(t *testing.T) {
	a := newAuth(t, withSecret(t))
	exp := time.Now().Add(time.Minute).Truncate(time.Second)
	i := accepts(t, a, hs256(t, say{
		"sub": "Änn 1", "exp": exp.Unix(), "info": map[string]any{"name": "Ann"}, "nbf": time.Now().Unix(),
		"topics": map[string]any{"quotes.*": []string{"subscribe"}, "chat.>": []string{"publish", "subscribe", "history", "presence"},
			"none": []string{}},
	}), "Änn 1")
	want := []hub.Grant{{Pattern: "chat.>", Actions: hub.ActAll}, {Pattern: "quotes.*", Actions: hub.ActSubscribe}}
	if !reflect.DeepEqual(i.Grants, want) || string(i.Info) != `{"name":"Ann"}` || !i.Expires.Equal(exp) {
		t.Errorf("got %+v", i)
	}
	if i := accepts(t, a, hs256(t, say{"info": nil}), "ann"); i.Info != nil || i.Grants != nil {
		t.Errorf("without info and topics: %+v", i)
	}
}

// grants are permissions for n patterns.
func grants(n int) map[string]any {
	topics := map[string]any{}
	for i := range n {
		topics[fmt.Sprintf("t.%d", i)] = []string{"publish"}
	}
	return topics
}

func TestClaimsThatAreRefused(t *testing.T) {
	a := newAuth(t, withSecret(t))
	now := time.Now()
	for _, c := range []struct {
		name   string
		claims say
		code   hub.Code
		words  string
	}{
		{"no sub", say{"sub": nil}, hub.CodeTokenInvalid, "sub: it names the user"},
		{"empty sub", say{"sub": ""}, hub.CodeTokenInvalid, "sub"},
		{"long sub", say{"sub": strings.Repeat("a", 256)}, hub.CodeTokenInvalid, "255 bytes"},
		{"control character in sub", say{"sub": "a\nb"}, hub.CodeTokenInvalid, "control"},
		{"escape in sub", say{"sub": "a\x1b[2J"}, hub.CodeTokenInvalid, "control"},
		{"C1 control in sub", say{"sub": "a\u0085"}, hub.CodeTokenInvalid, "control"},
		{"anonymous sub", say{"sub": "~abc"}, hub.CodeTokenInvalid, "~"},
		{"sub is a number", say{"sub": 17}, hub.CodeTokenInvalid, "form"},
		{"no exp", say{"exp": nil}, hub.CodeTokenInvalid, "lacks something: exp"},
		{"expired", say{"exp": now.Add(-time.Minute).Unix()}, hub.CodeTokenExpired, "expired"},
		{"exp far below any time", say{"exp": -1e300}, hub.CodeTokenExpired, "expired"},
		{"exp is text", say{"exp": "soon"}, hub.CodeTokenInvalid, "form"},
		{"lives too long", say{"exp": now.Add(31 * 24 * time.Hour).Unix()}, hub.CodeTokenInvalid, "exp: it is to live for more than 720h"},
		{"lives too long without iat", say{"exp": now.Add(31 * 24 * time.Hour).Unix(), "iat": nil}, hub.CodeTokenInvalid, "to live"},
		{"not yet", say{"nbf": now.Add(time.Minute).Unix()}, hub.CodeTokenInvalid, "not valid yet"},
		{"from the future", say{"iat": now.Add(time.Minute).Unix()}, hub.CodeTokenInvalid, "not valid yet"},
		{"info is no object", say{"info": []int{1}}, hub.CodeTokenInvalid, "info: an object"},
		{"large info", say{"info": map[string]string{"a": strings.Repeat("x", MaxInfo)}}, hub.CodeTokenInvalid, "info: at most 1024 bytes"},
		{"many grants", say{"topics": grants(MaxGrants + 1)}, hub.CodeTokenInvalid, "topics: at most 256 patterns, not 257"},
		{"topics is a list", say{"topics": []string{"chat.>"}}, hub.CodeTokenInvalid, "topics: an object"},
		{"unknown action", say{"topics": map[string]any{"a": []string{"fly"}}}, hub.CodeTokenInvalid, `"fly" is none of subscribe`},
		{"no pattern", say{"topics": map[string]any{"a..b": []string{"publish"}}}, hub.CodeTokenInvalid, "a part between dots is empty"},
		{"control character in a pattern", say{"topics": map[string]any{"a\tb": []string{"publish"}}}, hub.CodeTokenInvalid, `'\t'`},
		{"huge", say{"junk": strings.Repeat("x", MaxToken)}, hub.CodeTooLarge, "8192 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, a, hs256(t, c.claims), c.code, c.words) })
	}
	t.Run("as many grants as allowed", func(t *testing.T) { accepts(t, a, hs256(t, say{"topics": grants(MaxGrants)}), "ann") })
}

// TestForgedTokens: what was not signed by a key of ours learns only that it is wrong.
func TestForgedTokens(t *testing.T) {
	rsaKey, other := signers()[RS256], signers()[EdDSA]
	a := newAuth(t, Config{Keys: []Key{{File: file(t, string(rsaKey.pem())), Algorithm: RS256, ID: "r1"},
		{File: file(t, secret), Algorithm: HS256}}})
	good := rsaKey.sign(t, say{"kid": "r1"}, nil)
	accepts(t, a, good, "ann")
	parts := strings.Split(good, ".")
	other64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, token := range map[string]string{
		"none":                         sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		"none with kid":                sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, say{"kid": "r1"}, nil),
		"NONE":                         other64(`{"alg":"NONE"}`) + "." + parts[1] + ".",
		"HS256 with the public key":    sign(t, jwt.SigningMethodHS256, rsaKey.pem(), nil, nil),
		"the same, naming the key":     sign(t, jwt.SigningMethodHS256, rsaKey.pem(), say{"kid": "r1"}, nil),
		"HS512 with the right secret":  sign(t, jwt.SigningMethodHS512, []byte(secret), nil, nil),
		"HS256 with another secret":    sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil, nil),
		"HS256 with an empty secret":   sign(t, jwt.SigningMethodHS256, []byte{}, nil, nil),
		"PS256":                        sign(t, jwt.SigningMethodPS256, rsaKey.private, say{"kid": "r1"}, nil),
		"a key that is not ours":       other.sign(t, nil, nil),
		"it brings its key along":      other.sign(t, say{"jwk": other.jwk("x")}, nil),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"another's claims":             parts[0] + "." + other64(`{"sub":"bob","exp":9999999999}`) + "." + parts[2],
		"changed header":               other64(`{"alg":"RS256","kid":"r1","x":1}`) + "." + parts[1] + "." + parts[2],
		"crit":                         rsaKey.sign(t, say{"kid": "r1", "crit": []string{"b64"}, "b64": false}, nil),
		"alg is a list":                other64(`{"alg":["RS256"]}`) + "." + parts[1] + "." + parts[2],
		"no alg":                       other64(`{}`) + "." + parts[1] + "." + parts[2],
		"header is null":               other64(`null`) + "." + parts[1] + "." + parts[2],
		"claims are a list":            parts[0] + "." + other64(`[]`) + "." + parts[2],
		"two parts":                    parts[0] + "." + parts[1],
		"four parts":                   good + ".x",
		"no token":                     "hello",
		"dots":                         "..",
		"control characters":           "a\x00\n.\x1b.c",
		"not UTF-8":                    "\xff\xfe.\xff.\xff",
		"padded":                       good + "==",
		"white space":                  " " + good,
		"expired and forged":           sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil, say{"exp": 1}),
		"another key's id":             sign(t, jwt.SigningMethodHS256, []byte(secret), say{"kid": "r1", "alg": "RS256"}, nil),
		"path in kid":                  sign(t, jwt.SigningMethodHS256, []byte{}, say{"kid": "../../dev/null"}, nil),
		"embedded certificate address": other.sign(t, say{"x5u": "http://127.0.0.1:1/x", "jku": "http://127.0.0.1:1/x"}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, a, token, hub.CodeTokenInvalid, "its form, its algorithm, its key or its signature is wrong")
		})
	}
}

func TestAudience(t *testing.T) {
	c := withSecret(t)
	c.Audience = []string{"chat", "quotes"}
	a := newAuth(t, c)
	accepts(t, a, hs256(t, say{"aud": "chat"}), "ann")
	accepts(t, a, hs256(t, say{"aud": []string{"other", "quotes"}}), "ann")
	refuses(t, a, hs256(t, say{"aud": "other"}), hub.CodeTokenInvalid, "another audience")
	refuses(t, a, hs256(t, say{"aud": "other", "exp": 1}), hub.CodeTokenInvalid, "another audience")
	refuses(t, a, hs256(t, nil), hub.CodeTokenInvalid, "lacks something: aud")
}

func TestIssuersOfKeysInFiles(t *testing.T) {
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	a := newAuth(t, Config{Keys: []Key{
		{File: file(t, one), Algorithm: HS256, Issuer: "one", UserPrefix: "one:"},
		{File: file(t, two), Algorithm: HS256, Issuer: "two"},
		{File: file(t, secret), Algorithm: HS256},
	}})
	by := func(secret, iss string) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), nil, say{"iss": iss})
	}
	accepts(t, a, by(one, "one"), "one:ann")
	accepts(t, a, by(two, "two"), "ann")
	accepts(t, a, by(secret, "three"), "ann")
	accepts(t, a, hs256(t, nil), "ann")
	for _, forged := range []string{by(two, "one"), by(one, "two"), by(one, "three"), by(one, ""), by(secret, "one")} {
		refuses(t, a, forged, hub.CodeTokenInvalid, "signature is wrong")
	}
}

// TestKeysByID: a kid chooses the key, so several can be in force while one replaces another.
func TestKeysByID(t *testing.T) {
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	a := newAuth(t, Config{Keys: []Key{
		{File: file(t, one), Algorithm: HS256, ID: "1"}, {File: file(t, two), Algorithm: HS256, ID: "2"},
	}})
	by := func(secret string, header say) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), header, nil)
	}
	accepts(t, a, by(one, say{"kid": "1"}), "ann")
	accepts(t, a, by(two, say{"kid": "2"}), "ann")
	accepts(t, a, by(two, nil), "ann")
	refuses(t, a, by(two, say{"kid": "1"}), hub.CodeTokenInvalid, "")
	refuses(t, a, by(two, say{"kid": "3"}), hub.CodeTokenInvalid, "")
}

func TestWhereTheTokenIs(t *testing.T) {
	c := withSecret(t)
	c.Cookie = "session"
	a := newAuth(t, c)
	ann, bob := hs256(t, nil), hs256(t, say{"sub": "bob"})
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for _, c := range []struct {
		name   string
		token  string
		header http.Header
		user   string // or the words of the refusal
		code   hub.Code
	}{
		{"connect", ann, nil, "ann", ""},
		{"header", "", header("Authorization", "Bearer "+ann), "ann", ""},
		{"header, lower case", "", header("Authorization", "bearer  "+ann), "ann", ""},
		{"cookie", "", header("Cookie", "a=b; session="+ann), "ann", ""},
		{"another cookie", "", header("Cookie", "sessions="+ann), "a token is needed", hub.CodeTokenMissing},
		{"subprotocol", "", header("Sec-WebSocket-Protocol", "duplex.v1, duplex.token."+ann), "ann", ""},
		{"subprotocol in two headers", "", header("Sec-WebSocket-Protocol", "duplex.v1", "Sec-WebSocket-Protocol", "duplex.token."+ann), "ann", ""},
		{"everywhere", ann, header("Authorization", "Bearer "+ann, "Cookie", "session="+ann, "Sec-WebSocket-Protocol",
			"duplex.token."+ann), "ann", ""},
		{"another scheme beside", ann, header("Authorization", "Basic "+bob), "ann", ""},
		{"nowhere", "", header("Authorization", "Bearer ", "Cookie", "session="), "a token is needed", hub.CodeTokenMissing},
		{"two people", ann, header("Authorization", "Bearer "+bob), "two different tokens", hub.CodeTokenInvalid},
		{"two people in the handshake", "", header("Cookie", "session="+ann, "Sec-WebSocket-Protocol", "duplex.token."+bob),
			"two different tokens", hub.CodeTokenInvalid},
		{"two cookies", "", header("Cookie", "session="+ann+"; session="+bob), "two different tokens", hub.CodeTokenInvalid},
		{"huge in the handshake", "", header("Authorization", "Bearer "+strings.Repeat("x", MaxToken+1)), "8192 bytes", hub.CodeTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, err := a.Authenticate(t.Context(), &session.Attempt{Token: c.token, Header: c.header, Anonymous: "~1"})
			if c.code != "" {
				refused(t, i, err, c.code, c.user)
			} else if err != nil || i.User != c.user {
				t.Errorf("got %+v, %v", i, err)
			}
		})
	}
}

func TestAnonymous(t *testing.T) {
	ask := func(a *Authenticator, at session.Attempt) (hub.Identity, error) {
		at.Anonymous = "~1"
		return a.Authenticate(t.Context(), &at)
	}
	isAnonymous := func(i hub.Identity, err error) {
		t.Helper()
		if err != nil || i.User != "~1" || !i.Anonymous || len(i.Grants) > 0 || !i.Expires.IsZero() {
			t.Errorf("got %+v, %v", i, err)
		}
	}
	open := newAuth(t, Config{})
	isAnonymous(ask(open, session.Attempt{}))
	isAnonymous(ask(open, session.Attempt{Token: "whatever"}))
	isAnonymous(ask(open, session.Attempt{Refresh: true}))

	c := withSecret(t)
	i, err := ask(newAuth(t, c), session.Attempt{})
	refused(t, i, err, hub.CodeTokenMissing, "a token is needed")

	c.AllowAnonymous = true
	both := newAuth(t, c)
	isAnonymous(ask(both, session.Attempt{}))
	i, err = ask(both, session.Attempt{Token: "no token"})
	refused(t, i, err, hub.CodeTokenInvalid, "")
	i, err = ask(both, session.Attempt{Refresh: true})
	refused(t, i, err, hub.CodeTokenMissing, "")
	accepts(t, both, hs256(t, nil), "ann")
}

// TestLeeway: it is for clocks that differ; it does not make sessions longer.
func TestLeeway(t *testing.T) {
	c := withSecret(t)
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, c)
		exp := time.Now().Add(10 * time.Second)
		token := hs256(t, say{"exp": exp.Unix()})
		if i := accepts(t, a, token, "ann"); !i.Expires.Equal(exp) {
			t.Errorf("the session would end at %v, not %v", i.Expires, exp)
		}
		time.Sleep(10*time.Second + 29*time.Second)
		if i := accepts(t, a, token, "ann"); !i.Expires.Equal(exp.Add(30 * time.Second)) {
			t.Errorf("the session would end at %v, after %v", i.Expires, exp)
		}
		time.Sleep(time.Second)
		refuses(t, a, token, hub.CodeTokenExpired, "get a new one")
		accepts(t, a, hs256(t, say{"nbf": time.Now().Add(30 * time.Second).Unix(), "iat": time.Now().Add(30 * time.Second).Unix()}), "ann")
	})
}

func TestNoExpiry(t *testing.T) {
	c := withSecret(t)
	c.AllowNoExpiry = true
	a := newAuth(t, c)
	if i := accepts(t, a, hs256(t, say{"exp": nil}), "ann"); !i.Expires.IsZero() {
		t.Errorf("it expires at %v", i.Expires)
	}
	refuses(t, a, hs256(t, say{"exp": 1}), hub.CodeTokenExpired, "")
}

// TestReload changes keys while tokens are checked: each is checked by the old keys or the new ones.
func TestReload(t *testing.T) {
	one := withSecret(t)
	two := Config{Keys: []Key{{File: file(t, strings.Repeat("2", 32)), Algorithm: HS256}}}
	both := Config{Keys: append(append([]Key{}, one.Keys...), two.Keys...)}
	a := newAuth(t, both)
	token1, token2 := hs256(t, nil), sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("2", 32)), nil, say{"sub": "bob"})
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				_, err1 := try(t, a, token1)
				_, err2 := try(t, a, token2)
				if err1 != nil && err2 != nil && err1.Error() != err2.Error() {
					t.Errorf("%v, %v", err1, err2)
				}
			}
		})
	}
	for range 50 {
		for _, c := range []Config{one, both, two} {
			if err := a.Reload(c); err != nil {
				t.Error(err)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	refuses(t, a, token1, hub.CodeTokenInvalid, "")
	accepts(t, a, token2, "bob")
	if err := a.Reload(Config{Keys: []Key{{File: "missing", Algorithm: HS256}}}); err == nil ||
		!strings.Contains(err.Error(), "keys[0].file: ") {
		t.Errorf("a missing file: %v", err)
	}
	accepts(t, a, token2, "bob")
}

// FuzzToken: whatever comes, the answer is an identity or an *hub.Error, and only what the key has signed is let in.
func FuzzToken(f *testing.F) {
	a := newAuth(f, withSecret(f))
	f.Add(hs256(f, nil), `{"sub":"ann","exp":4102444800}`)
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		`{"sub":"a","exp":1e300,"topics":{"a.>":["publish"]},"info":{}}`)
	f.Add("a.b.c", `{"sub":"a","exp":-9e18,"iat":9e18,"aud":["x"],"topics":null,"info":null}`)
	key := []byte(secret)
	f.Fuzz(func(t *testing.T, token, said string) {
		at := &session.Attempt{Token: token, Anonymous: "~1"}
		if i, err := a.Authenticate(t.Context(), at); err == nil {
			if _, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
				t.Errorf("%q was let in as %q", token, i.User)
			}
		} else if _, ok := err.(*hub.Error); !ok {
			t.Errorf("%T: %v", err, err)
		}
		signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(said))
		signature, err := jwt.SigningMethodHS256.Sign(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		i, err := a.Authenticate(t.Context(), &session.Attempt{Token: signed + "." + base64.RawURLEncoding.EncodeToString(signature),
			Anonymous: "~1"})
		if err == nil && (CheckUser(i.User) != nil || i.Anonymous || len(i.Info) > MaxInfo || len(i.Grants) > MaxGrants ||
			i.Expires.Before(time.Now())) {
			t.Errorf("%q made %+v", said, i)
		}
	})
}
