// Package auth says who a client is: it checks the JWT that a client brings, or gives it an anonymous name. It knows which keys
// count, which tokens were revoked and which were used up, and nothing about connections.
package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says which tokens are accepted. Without Keys and Issuers there are no tokens, and everybody is anonymous.
type Config struct {
	Keys    []Key    `yaml:"keys"`    // keys in files; at most 64
	Issuers []Issuer `yaml:"issuers"` // issuers that publish their keys as a JWKS; at most 16

	// AllowAnonymous lets clients without a token in although there are keys. A token that is not valid is refused all the same.
	AllowAnonymous bool `yaml:"allow-anonymous"`

	Audience []string `yaml:"audience"` // a token must be for one of them (`aud`); default: whatever it says

	Cookie string `yaml:"cookie"` // name of the cookie that may carry the token; default "": none

	Leeway time.Duration `yaml:"leeway"` // how far clocks may differ, for `exp`, `nbf` and `iat`; default 30 s, at most 10 min

	// MaxLife is how long a token may live, from `iat` (or from now, if it has none) to `exp`. Revocations are remembered for so
	// long. Default 30 days.
	MaxLife time.Duration `yaml:"max-life"`

	// AllowNoExpiry accepts tokens without `exp`. Revocations are then never forgotten.
	AllowNoExpiry bool `yaml:"allow-no-expiry"`

	// SingleUse accepts every token once: it must have a `jti`, which is remembered until the token has expired. A client
	// then needs a new token whenever it connects again.
	SingleUse bool `yaml:"single-use"`

	MaxRevocations int `yaml:"max-revocations"` // users whose revocation is remembered; default 100,000
	MaxUsed        int `yaml:"max-used"`        // tokens that are remembered for SingleUse; default 1,000,000
}

// Key is one key and the only algorithm that it is good for.
type Key struct {
	// File holds a public key as PEM, or the secret of HS256: at least 32 bytes as they are, or in base64 behind "base64:".
	// White space around is left out.
	File      string `yaml:"file"`
	Algorithm string `yaml:"algorithm"` // HS256, RS256, ES256 or EdDSA
	// ID is compared with the token's `kid`. Empty: for tokens without a `kid`, and for those whose `kid` is no other key's.
	ID string `yaml:"id"`
	// Issuer is compared with the token's `iss`. Empty: for tokens of any issuer that is not named elsewhere in the Config.
	Issuer string `yaml:"issuer"`
	// UserPrefix is put in front of the user of its tokens, so that two issuers' "ann" are two people.
	UserPrefix string `yaml:"user-prefix"`
}

// Issuer publishes its keys at an address of its own. Nothing that a token says leads to another address.
type Issuer struct {
	Issuer     string   `yaml:"issuer"`      // compared with the token's `iss`
	URL        string   `yaml:"url"`         // of its JWKS; https, or http on a loopback address
	Algorithms []string `yaml:"algorithms"`  // out of RS256, ES256 and EdDSA; default: all three
	UserPrefix string   `yaml:"user-prefix"` // as in Key
}

// The algorithms of signatures, as RFC 7518 and RFC 8037 name them.
const (
	HS256 = "HS256"
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// Algorithms are all that a Key can have. An Issuer's can be all but HS256, whose key nobody publishes.
var Algorithms = []string{HS256, RS256, ES256, EdDSA}

const (
	maxKeys    = 64
	maxIssuers = 16

	defaultLeeway         = 30 * time.Second
	maxLeeway             = 10 * time.Minute
	defaultMaxLife        = 30 * 24 * time.Hour
	maxMaxLife            = 10 * 365 * 24 * time.Hour
	defaultMaxRevocations = 100_000
	defaultMaxUsed        = 1_000_000
)

func (c Config) withDefaults() Config {
	c.Leeway = cmp.Or(c.Leeway, defaultLeeway)
	c.MaxLife = cmp.Or(c.MaxLife, defaultMaxLife)
	c.MaxRevocations = cmp.Or(c.MaxRevocations, defaultMaxRevocations)
	c.MaxUsed = cmp.Or(c.MaxUsed, defaultMaxUsed)
	return c
}

// Open reports whether there is no key, so that everybody is anonymous.
func (c Config) Open() bool { return len(c.Keys) == 0 && len(c.Issuers) == 0 }

// Validate finds everything that is wrong with c by itself, without looking into files. Each error begins with the path of the
// setting, such as "keys[0].algorithm: ".
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	d := c.withDefaults()
	if len(c.Keys) > maxKeys {
		wrong("keys: at most %d are allowed, not %d", maxKeys, len(c.Keys))
	}
	if len(c.Issuers) > maxIssuers {
		wrong("issuers: at most %d are allowed, not %d", maxIssuers, len(c.Issuers))
	}
	if d.Leeway < 0 || d.Leeway > maxLeeway {
		wrong("leeway: between 0 and %v, not %v", maxLeeway, c.Leeway)
	}
	if d.MaxLife < time.Second || d.MaxLife > maxMaxLife {
		wrong("max-life: between 1s and %v, not %v", maxMaxLife, c.MaxLife)
	}
	if d.MaxRevocations < 0 {
		wrong("max-revocations: a positive number, not %d", c.MaxRevocations)
	}
	if d.MaxUsed < 0 {
		wrong("max-used: a positive number, not %d", c.MaxUsed)
	}
	if c.SingleUse && c.AllowNoExpiry {
		wrong("single-use: does not go together with allow-no-expiry, since what never expires would have to be remembered for ever")
	}
	if !validCookieName(c.Cookie) {
		wrong("cookie: %q is not the name of a cookie", c.Cookie)
	}
	if slices.Contains(c.Audience, "") {
		wrong("audience: an empty one matches nothing; leave it out")
	}
	return errors.Join(append(errs, c.validateKeys(), c.validateIssuers())...)
}

func (c Config) validateKeys() error {
	var errs []error
	seen := map[[3]string]int{}
	for i, k := range c.Keys {
		if k.File == "" {
			errs = append(errs, fmt.Errorf("keys[%d].file: a path is needed", i))
		}
		if !slices.Contains(Algorithms, k.Algorithm) {
			errs = append(errs, fmt.Errorf("keys[%d].algorithm: one of %s is needed, not %q", i, strings.Join(Algorithms, ", "), k.Algorithm))
		}
		if err := checkPrefix(k.UserPrefix); err != nil {
			errs = append(errs, fmt.Errorf("keys[%d].user-prefix: %w", i, err))
		}
		name := [3]string{k.Issuer, k.ID, k.Algorithm}
		if other, double := seen[name]; double && k.ID != "" {
			errs = append(errs, fmt.Errorf("keys[%d].id: keys[%d] has the same id, issuer and algorithm", i, other))
		}
		seen[name] = i
	}
	return errors.Join(errs...)
}

func (c Config) validateIssuers() error {
	var errs []error
	seen := map[string]int{}
	for i, s := range c.Issuers {
		if s.Issuer == "" {
			errs = append(errs, fmt.Errorf("issuers[%d].issuer: what its tokens say in iss is needed", i))
		}
		if other, double := seen[s.Issuer]; double {
			errs = append(errs, fmt.Errorf("issuers[%d].issuer: is that of issuers[%d] too", i, other))
		}
		seen[s.Issuer] = i
		if err := checkURL(s.URL); err != nil {
			errs = append(errs, fmt.Errorf("issuers[%d].url: %w", i, err))
		}
		for j, algorithm := range s.Algorithms {
			if algorithm == HS256 || !slices.Contains(Algorithms, algorithm) {
				errs = append(errs, fmt.Errorf("issuers[%d].algorithms[%d]: one of %s is needed, not %q",
					i, j, strings.Join(Algorithms[1:], ", "), algorithm))
			}
		}
		if err := checkPrefix(s.UserPrefix); err != nil {
			errs = append(errs, fmt.Errorf("issuers[%d].user-prefix: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// checkURL accepts addresses whose answer nobody on the way can have changed.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("an address such as https://id.example.com/jwks.json is needed, not %q", address)
	case u.User != nil:
		return errors.New("a user in the address is not allowed")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("%q could be changed on its way: use https (http is for loopback addresses)", address)
	}
	return nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && net.IP(ip.AsSlice()).IsLoopback()
}

func validCookieName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return true
}

const maxPrefix = 64

func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if len(prefix) > maxPrefix {
		return fmt.Errorf("at most %d bytes, not %d", maxPrefix, len(prefix))
	}
	return CheckUser(prefix)
}
