package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// key is what signatures of one algorithm are checked with. It never changes.
type key struct {
	id, issuer, algorithm, prefix string
	public                        any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey, as the algorithm needs
}

const (
	// MinSecret is the fewest bytes that a secret may have: as many as HS256 makes (RFC 7518, 3.2).
	MinSecret = 32
	// MinRSABits is RFC 7518, 3.3. The upper bound keeps signatures cheap to check.
	MinRSABits = 2048
	maxRSABits = 8192

	maxKeyFile = 1 << 20
)

func loadKey(k Key) (*key, error) {
	content, err := readKeyFile(k.File)
	if err != nil {
		return nil, err
	}
	loaded := &key{id: k.ID, issuer: k.Issuer, algorithm: k.Algorithm, prefix: k.UserPrefix}
	if k.Algorithm == HS256 {
		loaded.public, err = ParseSecret(content)
	} else {
		loaded.public, err = parsePublic(content, k.Algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.File, err)
	}
	return loaded, nil
}

func readKeyFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxKeyFile {
		return nil, fmt.Errorf("%s: is larger than %d bytes and can be no key", name, maxKeyFile)
	}
	return content, nil
}

// ParseSecret reads the content of a secret's file: at least 32 bytes as they are, or in base64 behind "base64:". White space
// around is left out.
func ParseSecret(content []byte) ([]byte, error) {
	text := bytes.TrimSpace(content)
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return nil, errors.New(`this is a PEM file, and no secret; "duplex token --new-secret" makes one`)
	}
	if encoded, is := bytes.CutPrefix(text, []byte("base64:")); is {
		standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(string(encoded)), "="))
		decoded, err := base64.RawStdEncoding.DecodeString(standard)
		if err != nil {
			return nil, errors.New("what follows base64: is no base64")
		}
		text = decoded
	}
	if len(text) < MinSecret {
		return nil, fmt.Errorf(`a secret has at least %d bytes, not %d; "duplex token --new-secret" makes one`, MinSecret, len(text))
	}
	return text, nil
}

// parsePublic reads the first public key of a PEM file, which must be one for this algorithm.
func parsePublic(content []byte, algorithm string) (any, error) {
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New(`it holds no public key: a PEM block "-----BEGIN PUBLIC KEY-----" is needed`)
		}
		var public any
		var err error
		switch {
		case block.Type == "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case block.Type == "CERTIFICATE":
			var certificate *x509.Certificate
			if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = certificate.PublicKey
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errors.New(`it holds a private key, which does not belong here; "openssl pkey -in FILE -pubout" shows its public one`)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("its %s cannot be read: %w", block.Type, err)
		}
		return public, checkPublic(public, algorithm)
	}
}

// checkPublic holds a key to its algorithm, so that no signature is ever checked with a key of another kind.
func checkPublic(public any, algorithm string) error {
	var fits string
	switch k := public.(type) {
	case *rsa.PublicKey:
		fits = RS256
		if bits := k.N.BitLen(); bits < MinRSABits || bits > maxRSABits {
			return fmt.Errorf("an RSA key has %d to %d bits, not %d", MinRSABits, maxRSABits, bits)
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("ES256 needs a key on the curve P-256, not %s", k.Curve.Params().Name)
		}
		fits = ES256
	case ed25519.PublicKey:
		fits = EdDSA
	default:
		return fmt.Errorf("keys of the type %T are good for no algorithm here", public)
	}
	if fits != algorithm {
		return fmt.Errorf("the key is one for %s, not for %s", fits, algorithm)
	}
	return nil
}
