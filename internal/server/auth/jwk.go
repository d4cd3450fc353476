package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// jwk is a key of a JSON Web Key Set (RFC 7517), as far as it matters for checking signatures. Certificates and addresses of
// certificates (x5c, x5u) are left alone.
type jwk struct {
	Type       string   `json:"kty"`
	ID         string   `json:"kid"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
}

const maxPublished = 100 // keys of one set

// parseSet returns the keys of a set that can check signatures. Others may be there too, for other uses and algorithms.
func parseSet(content []byte) ([]*key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil || set.Keys == nil {
		return nil, errors.New(`the answer is no key set: {"keys":[...]} is needed`)
	}
	if len(set.Keys) > maxPublished {
		return nil, fmt.Errorf("the set has %d keys, more than %d", len(set.Keys), maxPublished)
	}
	var keys []*key
	var unusable error
	for i, raw := range set.Keys {
		var k jwk
		if err := json.Unmarshal(raw, &k); err != nil {
			unusable = fmt.Errorf("keys[%d]: %w", i, err)
			continue
		}
		usable, err := k.parse()
		if err != nil {
			unusable = fmt.Errorf("keys[%d]: %w", i, err)
			continue
		}
		keys = append(keys, usable)
	}
	if len(keys) == 0 {
		return nil, errors.Join(errors.New("the set has no key for RS256, ES256 or EdDSA"), unusable)
	}
	return keys, nil
}

func (k *jwk) parse() (*key, error) {
	if k.Use != "" && k.Use != "sig" || len(k.Operations) > 0 && !slices.Contains(k.Operations, "verify") {
		return nil, errors.New("it is not for signatures")
	}
	parsed := &key{id: k.ID}
	var err error
	switch {
	case k.Type == "RSA":
		parsed.algorithm = RS256
		parsed.public, err = k.rsa()
	case k.Type == "EC" && k.Curve == "P-256":
		parsed.algorithm = ES256
		parsed.public, err = k.ecdsa()
	case k.Type == "OKP" && k.Curve == "Ed25519":
		parsed.algorithm = EdDSA
		parsed.public, err = k.ed25519()
	default:
		return nil, fmt.Errorf("keys of the type %q %s are good for no algorithm here", k.Type, k.Curve)
	}
	if err != nil {
		return nil, err
	}
	if k.Algorithm != "" && k.Algorithm != parsed.algorithm {
		return nil, fmt.Errorf("it is for the algorithm %q", k.Algorithm)
	}
	return parsed, checkPublic(parsed.public, parsed.algorithm)
}

func (k *jwk) rsa() (any, error) {
	n, errN := base64.RawURLEncoding.DecodeString(k.N)
	e, errE := base64.RawURLEncoding.DecodeString(k.E)
	if errN != nil || errE != nil {
		return nil, errors.New("n or e is no base64url")
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() > math.MaxInt32 || exponent.Bit(0) == 0 {
		return nil, errors.New("e is no usable exponent")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func (k *jwk) ecdsa() (any, error) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	const size = 32 // RFC 7518, 6.2.1.2: the full length of a coordinate
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y are %d bytes in base64url each", size)
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
}

func (k *jwk) ed25519() (any, error) {
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x is %d bytes in base64url", ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), nil
}
