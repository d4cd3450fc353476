package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const secret = "0123456789abcdef0123456789abcdef"

// signer is a private key and what belongs to it.
type signer struct {
	private   crypto.Signer
	method    jwt.SigningMethod
	algorithm string
}

// signers are made once: making RSA keys takes its time.
var signers = sync.OnceValue(func() map[string]signer {
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	e, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, d, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	return map[string]signer{
		RS256: {r, jwt.SigningMethodRS256, RS256}, ES256: {e, jwt.SigningMethodES256, ES256}, EdDSA: {d, jwt.SigningMethodEdDSA, EdDSA},
	}
})

func (s signer) pem() []byte {
	der, err := x509.MarshalPKIXPublicKey(s.private.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// jwk is the public key in the form of RFC 7517.
func (s signer) jwk(id string) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := s.private.Public().(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": id, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes()), "use": "sig",
			"alg": "RS256"}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		return map[string]any{"kty": "EC", "crv": "P-256", "kid": id, "x": b64(point[1:33]), "y": b64(point[33:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(k), "key_ops": []string{"verify"}}
	}
	panic("unknown key")
}

// set is a JWKS.
func set(keys ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// file writes a file for the test and returns its path.
func file(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newAuth(t testing.TB, c Config) *Authenticator {
	t.Helper()
	a, err := New(c, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// withSecret is a configuration with one key, secret.
func withSecret(t testing.TB) Config {
	return Config{Keys: []Key{{File: file(t, secret), Algorithm: HS256}}}
}

// say is a set of claims. Those that a token needs are added by sign.
type say map[string]any

// sign makes a token for ann that is good for an hour, but for what the claims say otherwise; nil takes one away.
func sign(t testing.TB, method jwt.SigningMethod, private any, header, c say) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	for name, value := range c {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token := jwt.NewWithClaims(method, all)
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hs256(t testing.TB, c say) string {
	return sign(t, jwt.SigningMethodHS256, []byte(secret), nil, c)
}

func (s signer) sign(t testing.TB, header, c say) string {
	return sign(t, s.method, s.private, header, c)
}

func try(t testing.TB, a *Authenticator, token string) (hub.Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return a.Authenticate(ctx, &session.Attempt{Token: token, Anonymous: "~x", Session: "s"})
}

// accepts checks that a token is accepted, as user.
func accepts(t testing.TB, a *Authenticator, token, user string) hub.Identity {
	t.Helper()
	i, err := try(t, a, token)
	if err != nil || i.User != user || i.Anonymous {
		t.Fatalf("got %+v, %v; want the user %s", i, err, user)
	}
	return i
}

// refuses checks the code of a refusal and that its text has some words.
func refuses(t testing.TB, a *Authenticator, token string, code hub.Code, words string) {
	t.Helper()
	i, err := try(t, a, token)
	refused(t, i, err, code, words)
}

func refused(t testing.TB, i hub.Identity, err error, code hub.Code, words string) {
	t.Helper()
	why, ok := errors.AsType[*hub.Error](err)
	if !ok || why.Code != code || !strings.Contains(why.Message, words) || i.User != "" {
		t.Fatalf("got %q, %+v; want %s with %q", i.User, err, code, words)
	}
}
