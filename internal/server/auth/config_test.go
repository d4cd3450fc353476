package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := Config{
		Keys: []Key{{File: "a", Algorithm: HS256, ID: "1"}, {File: "b", Algorithm: HS256, ID: "1", Issuer: "x"},
			{File: "c", Algorithm: EdDSA}, {File: "d", Algorithm: EdDSA}},
		Issuers: []Issuer{{Issuer: "https://id.example.com/", URL: "https://id.example.com/keys"},
			{Issuer: "dev", URL: "http://localhost:3000/keys"}},
		Cookie: "session", Leeway: time.Minute,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (Config{}).Validate(); err != nil || !(Config{}).Open() || good.Open() {
		t.Fatal(err)
	}
	issuer := func(url string) Config { return Config{Issuers: []Issuer{{Issuer: "i", URL: url}}} }
	for says, c := range map[string]Config{
		"keys[0].file: a path is needed":                {Keys: []Key{{Algorithm: HS256}}},
		`keys[0].algorithm: one of HS256, RS256, ES256`: {Keys: []Key{{File: "a", Algorithm: "none"}}},
		`, not "RS512"`: {Keys: []Key{{File: "a", Algorithm: "RS512"}}},
		"keys[1].id: keys[0] has the same": {Keys: []Key{{File: "a", Algorithm: HS256, ID: "1"},
			{File: "b", Algorithm: HS256, ID: "1"}}},
		"keys[0].user-prefix: at most 64":        {Keys: []Key{{File: "a", Algorithm: HS256, UserPrefix: strings.Repeat("a", 65)}}},
		"keys: at most 64 are allowed, not 65":   {Keys: make([]Key, 65)},
		"issuers[0].issuer: what its tokens say": {Issuers: []Issuer{{URL: "https://id.example.com"}}},
		"issuers[1].issuer: is that of issuers[0]": {Issuers: []Issuer{{Issuer: "i", URL: "https://id.example.com"},
			{Issuer: "i", URL: "https://id.example.com"}}},
		"use https (http is for loopback addresses)": issuer("http://id.example.com/keys"),
		"issuers[0].url: an address such as":         issuer("file:///etc/passwd"),
		`is needed, not ""`:                          issuer(""),
		"a user in the address is not allowed":       issuer("https://a:b@id.example.com"),
		`issuers[0].algorithms[1]: one of RS256`: {Issuers: []Issuer{{Issuer: "i", URL: "https://id.example.com",
			Algorithms: []string{EdDSA, HS256}}}},
		"issuers: at most 16 are allowed, not 17":         {Issuers: make([]Issuer, 17)},
		"issuers[0].user-prefix: a user does not begin":   {Issuers: []Issuer{{Issuer: "i", URL: "https://id.example.com", UserPrefix: "~"}}},
		"leeway: between 0 and 10m0s, not 1h0m0s":         {Leeway: time.Hour},
		"max-life: between 1s":                            {MaxLife: -time.Hour},
		"max-revocations: a positive number, not -1":      {MaxRevocations: -1},
		"max-used: a positive number, not -1":             {MaxUsed: -1},
		"single-use: does not go together":                {SingleUse: true, AllowNoExpiry: true},
		`cookie: "a b" is not the name of a cookie`:       {Cookie: "a b"},
		"audience: an empty one matches nothing":          {Audience: []string{"a", ""}},
		"keys[0].user-prefix: a user is UTF-8 without co": {Keys: []Key{{File: "a", Algorithm: HS256, UserPrefix: "a\n"}}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v:\n%v\nwithout %q", c, err, says)
		}
		if _, err := New(c, Options{}); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func pemOf(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func publicPEM(key any) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	return pemOf("PUBLIC KEY", der, err)
}

func TestKeyFiles(t *testing.T) {
	r, e, d := signers()[RS256], signers()[ES256], signers()[EdDSA]
	private, err := x509.MarshalPKCS8PrivateKey(d.private)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, certificateErr := x509.CreateCertificate(rand.Reader, template, template, e.private.Public(), e.private)
	other, otherErr := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if otherErr != nil {
		t.Fatal(otherErr)
	}
	small := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	for _, c := range []struct{ name, algorithm, content, says string }{
		{"secret", HS256, secret + "\n", ""},
		{"base64", HS256, "base64:" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n", ""},
		{"base64url", HS256, "base64: " + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32))), ""},
		{"short secret", HS256, secret[:31], "at least 32 bytes, not 31"},
		{"short behind base64", HS256, "base64:" + base64.StdEncoding.EncodeToString([]byte(secret[:31])), "at least 32 bytes, not 31"},
		{"no base64", HS256, "base64:" + strings.Repeat("ä", 40), "no base64"},
		{"empty", HS256, "", "not 0"},
		{"public key as secret", HS256, string(r.pem()), "this is a PEM file, and no secret"},
		{"RSA", RS256, string(r.pem()), ""},
		{"RSA, PKCS 1", RS256, pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(r.private.Public().(*rsa.PublicKey)), nil), ""},
		{"certificate", ES256, pemOf("CERTIFICATE", certificate, certificateErr), ""},
		{"text before", EdDSA, "my key\n" + string(d.pem()), ""},
		{"other block before", EdDSA, pemOf("EC PARAMETERS", []byte{1}, nil) + string(d.pem()), ""},
		{"private", EdDSA, pemOf("PRIVATE KEY", private, err), "a private key, which does not belong here"},
		{"Ed25519 for RS256", RS256, string(d.pem()), "the key is one for EdDSA, not for RS256"},
		{"RSA for ES256", ES256, string(r.pem()), "the key is one for RS256, not for ES256"},
		{"P-384", ES256, publicPEM(other.Public()), "P-256, not P-384"},
		{"small RSA", RS256, publicPEM(small), "2048 to 8192 bits, not 1024"},
		{"secret for RS256", RS256, secret, "it holds no public key"},
		{"broken", RS256, pemOf("PUBLIC KEY", []byte("x"), nil), "its PUBLIC KEY cannot be read"},
		{"large", RS256, strings.Repeat("x", maxKeyFile+1), "can be no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Config{Keys: []Key{{File: file(t, c.content), Algorithm: c.algorithm}}}, Options{})
			if c.says == "" && err != nil {
				t.Error(err)
			} else if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "keys[0].file: ")) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}
