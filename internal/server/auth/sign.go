package auth

import (
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
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Said is what a token says, for Sign.
type Said struct {
	User     string
	Life     time.Duration // from now; 0: it never expires
	Topics   map[string][]string
	Info     json.RawMessage // an object, or nil
	Issuer   string
	Audience []string
	ID       string // `jti`; default: a random one
}

// Sign makes a token. The key is the content of a file: a private key as PEM, or a secret as in Key.File. It is for tests and for
// trying out; a program that makes many reads its key once. algorithm "" is the one that the key is good for, and id the
// token's `kid`, if it is to have one. What a server would refuse is an error.
func Sign(keyFile []byte, algorithm, id string, s Said) (string, error) {
	private, method, err := parsePrivate(keyFile)
	if err != nil {
		return "", err
	}
	if algorithm != "" && algorithm != method.Alg() {
		return "", fmt.Errorf("the key is one for %s, not for %s", method.Alg(), algorithm)
	}
	if err := CheckUser(s.User); err != nil {
		return "", err
	}
	info, err := ParseInfo(s.Info)
	if err != nil {
		return "", fmt.Errorf("info: %w", err)
	}
	if s.ID == "" {
		s.ID = rand.Text()
	}
	now := time.Now()
	c := claims{Info: info, RegisteredClaims: jwt.RegisteredClaims{
		Subject: s.User, Issuer: s.Issuer, Audience: s.Audience, ID: s.ID, IssuedAt: jwt.NewNumericDate(now),
	}}
	if s.Life < 0 || s.Life > 0 && s.Life < time.Second {
		return "", fmt.Errorf("a token lives for at least 1s, not %v", s.Life)
	}
	if s.Life > 0 {
		c.ExpiresAt = jwt.NewNumericDate(now.Add(s.Life))
	}
	if len(s.Topics) > 0 {
		if c.Topics, err = json.Marshal(s.Topics); err != nil {
			return "", err
		}
		if _, err := ParseGrants(c.Topics); err != nil {
			return "", err
		}
	}
	token := jwt.NewWithClaims(method, &c)
	if id != "" {
		token.Header["kid"] = id
	}
	signed, err := token.SignedString(private)
	if err == nil && len(signed) > MaxToken {
		err = fmt.Errorf("the token would have %d bytes, and a server takes at most %d", len(signed), MaxToken)
	}
	return signed, err
}

// parsePrivate reads what signs tokens, and says with which method.
func parsePrivate(content []byte) (any, jwt.SigningMethod, error) {
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		private, err := parseBlock(block)
		if err != nil {
			return nil, nil, fmt.Errorf("its %s cannot be read: %w", block.Type, err)
		}
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA} {
			if err = checkPublic(private.Public(), method.Alg()); err == nil {
				return private, method, nil
			}
		}
		return nil, nil, errors.New("a private key for RS256 (2048 bits or more), ES256 (P-256) or EdDSA (Ed25519) is needed")
	}
	if strings.Contains(string(content), "-----BEGIN ") {
		return nil, nil, errors.New("it holds no private key, which is what makes tokens")
	}
	secret, err := ParseSecret(content)
	return secret, jwt.SigningMethodHS256, err
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	signer, is := key.(crypto.Signer)
	if !is {
		return nil, fmt.Errorf("a %T signs nothing", key)
	}
	return signer, nil
}

// NewSecret makes the content of a secret's file, of 32 random bytes.
func NewSecret() []byte {
	secret := make([]byte, MinSecret)
	_, _ = rand.Read(secret) // never fails
	return []byte("base64:" + base64.StdEncoding.EncodeToString(secret) + "\n")
}

// NewKeyPair makes a private and a public key for an algorithm, as PEM.
func NewKeyPair(algorithm string) (private, public []byte, err error) {
	var key crypto.Signer
	switch algorithm {
	case RS256:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("%q has no pair of keys; RS256, ES256 and EdDSA have", algorithm)
	}
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	derPublic, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: derPublic}), nil
}
