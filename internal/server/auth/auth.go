package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
)

// MaxToken is the most bytes that a token may have.
const MaxToken = 8 << 10

// Attempt is what a client shows to be let in.
type Attempt = session.Attempt

// Check says who a client is, as session.Options.Authenticate does.
type Check = func(context.Context, *session.Attempt) (hub.Identity, error)

// Options are the surroundings of an Authenticator. The zero value is usable.
type Options struct {
	// Transport fetches the keys of issuers. Default: one of its own, which uses the proxy that the environment names.
	Transport http.RoundTripper
	// Logger is told about issuers that do not answer, and with Debug why a token was refused. Default slog.Default().
	Logger *slog.Logger
}

// Authenticator checks tokens. Its methods may be called from any goroutine.
type Authenticator struct {
	logger    *slog.Logger
	transport http.RoundTripper
	rules     atomic.Pointer[rules]
	revoked   revocations
	used      usedTokens
	shared    atomic.Pointer[shared] // nil: there are no other nodes
}

// rules are what one Config comes to. They never change.
type rules struct {
	Config
	keys      []*key
	issuers   map[string]*issuer // by `iss`
	parser    *jwt.Parser
	validator *jwt.Validator
}

// New makes an Authenticator. The error says which setting, or which file, is wrong and how.
func New(c Config, o Options) (*Authenticator, error) {
	a := &Authenticator{logger: cmp.Or(o.Logger, slog.Default()), transport: o.Transport}
	if a.transport == nil {
		a.transport = newTransport()
	}
	return a, a.Reload(c)
}

// Reload replaces the configuration, and with it all keys, at once; after an error everything stays as it was. Sessions that
// began with a key that is gone live on until their token expires. What is known about revocations, used tokens and the keys
// of issuers that stay is kept.
func (a *Authenticator) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	next := &rules{Config: c.withDefaults(), issuers: map[string]*issuer{}}
	for i, k := range c.Keys {
		loaded, err := loadKey(k)
		if err != nil {
			return fmt.Errorf("keys[%d].file: %w", i, err)
		}
		next.keys = append(next.keys, loaded)
	}
	previous := a.rules.Load()
	for _, s := range c.Issuers {
		next.issuers[s.Issuer] = a.issuerFor(s, previous)
	}
	options := []jwt.ParserOption{jwt.WithStrictDecoding(), jwt.WithLeeway(next.Leeway), jwt.WithIssuedAt()}
	if !c.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	if len(c.Audience) > 0 {
		options = append(options, jwt.WithAudience(c.Audience...))
	}
	next.parser, next.validator = jwt.NewParser(options...), jwt.NewValidator(options...)
	a.rules.Store(next)
	return nil
}

// issuerFor keeps the cache of an issuer whose address stays.
func (a *Authenticator) issuerFor(s Issuer, previous *rules) *issuer {
	found := &issuer{prefix: s.UserPrefix, algorithms: s.Algorithms}
	if len(found.algorithms) == 0 {
		found.algorithms = Algorithms[1:]
	}
	if previous != nil {
		if old := previous.issuers[s.Issuer]; old != nil && old.set.url == s.URL {
			found.set = old.set
			return found
		}
	}
	found.set = newRemoteSet(s.URL, a.transport, a.logger.With("issuer", s.Issuer))
	return found
}

// Authenticate says who a client is; it is for session.Options.Authenticate. The error is an *hub.Error: token-missing, token-invalid,
// token-expired, token-revoked, too-large, or unavailable when the keys of an issuer cannot be had. Its text says nothing about tokens of others or keys.
func (a *Authenticator) Authenticate(ctx context.Context, at *session.Attempt) (hub.Identity, error) {
	r := a.rules.Load()
	if r.Open() {
		return anonymous(at), nil
	}
	token, err := findToken(at, r.Cookie)
	if err != nil {
		return hub.Identity{}, err
	}
	if token == "" {
		if !r.AllowAnonymous || at.Refresh {
			return hub.Identity{}, hub.Errorf(hub.CodeTokenMissing, "a token is needed; this server lets nobody in without one")
		}
		return anonymous(at), nil
	}
	identity, err := a.check(ctx, r, token, time.Now())
	if err != nil {
		a.logger.Debug("a token was refused", "session", at.Session, "remote", at.RemoteAddr, "error", err)
		if why, ok := errors.AsType[*hub.Error](err); ok {
			return hub.Identity{}, why
		}
		return hub.Identity{}, errForged
	}
	return identity, nil
}

// Guard makes of authenticate one that also refuses users who were revoked while it was at work, and so slipped past both Revoke and
// whoever ended the sessions after that. It is for what takes time besides Authenticate, such as webhooks.
func (a *Authenticator) Guard(authenticate Check) Check {
	return func(ctx context.Context, at *session.Attempt) (hub.Identity, error) {
		began := time.Now()
		identity, err := authenticate(ctx, at)
		if err == nil && a.Revoked(identity.User, began) {
			return hub.Identity{}, errRevoked
		}
		return identity, err
	}
}

var (
	errRevoked = hub.Errorf(hub.CodeTokenRevoked, "the token was revoked; get a new one")
	errForged  = hub.Errorf(hub.CodeTokenInvalid, "the token cannot be accepted: its form, its algorithm, its key or its signature is wrong")
)

func anonymous(at *session.Attempt) hub.Identity {
	return hub.Identity{User: at.Anonymous, Anonymous: true}
}

// check works through a token. An error that is no *hub.Error is about a token whose signature has not been verified, so
// whoever sent it learns no more than that.
func (a *Authenticator) check(ctx context.Context, r *rules, token string, now time.Time) (hub.Identity, error) {
	var c claims
	parsed, parts, err := r.parser.ParseUnverified(token, &c)
	if err != nil {
		return hub.Identity{}, err
	}
	prefix, err := r.verify(ctx, parsed, strings.Join(parts[:2], "."), &c)
	if err != nil {
		return hub.Identity{}, err
	}
	if err := refusal(r.validator.Validate(&c)); err != nil {
		return hub.Identity{}, err
	}
	identity, err := c.identity(r, prefix, now)
	if err != nil {
		return hub.Identity{}, err
	}
	if a.revoked.covers(identity.User, c.IssuedAt) {
		return hub.Identity{}, errRevoked
	}
	if r.SingleUse {
		id, expires := usedID(c.Issuer, c.ID), c.ExpiresAt.Add(r.Leeway)
		if err := a.used.take(id, expires, now, r.MaxUsed); err != nil {
			return hub.Identity{}, err
		}
		return identity, a.takeUsed(ctx, id, expires, now)
	}
	return identity, nil
}

// verify finds the key that signed a token and returns what its users begin with.
func (r *rules) verify(ctx context.Context, t *jwt.Token, signed string, c *claims) (prefix string, err error) {
	algorithm := t.Method.Alg()
	if !slices.Contains(Algorithms, algorithm) {
		return "", errors.New("algorithm " + algorithm)
	}
	if _, has := t.Header["crit"]; has {
		return "", errors.New("it has a crit header") // RFC 7515, 4.1.11: what is critical and not understood makes it invalid
	}
	id, _ := t.Header["kid"].(string)
	candidates, err := r.candidates(ctx, c.Issuer, id, algorithm)
	if err != nil {
		return "", err
	}
	for _, k := range candidates {
		if t.Method.Verify(signed, t.Signature, k.public) == nil {
			return k.prefix, nil
		}
	}
	return "", errors.New("no key fits")
}

// candidates are the keys that may have signed a token. What the token says only chooses among the keys that are configured;
// an issuer's keys are fetched from the address that is configured for it, and only if it is.
func (r *rules) candidates(ctx context.Context, iss, id, algorithm string) ([]*key, error) {
	named, isNamed := r.issuers[iss]
	ours := func(k *key) bool { return k.issuer == iss || k.issuer == "" && !isNamed && !r.hasKeyOf(iss) }
	var exact, general []*key
	for _, k := range r.keys {
		switch {
		case k.algorithm != algorithm || !ours(k):
		case id != "" && k.id == id:
			exact = append(exact, k)
		case id == "" || k.id == "":
			general = append(general, k)
		}
	}
	if len(exact) > 0 {
		return exact, nil
	}
	if isNamed && slices.Contains(named.algorithms, algorithm) {
		published, err := named.find(ctx, id, algorithm)
		if len(published) > 0 || err != nil && len(general) == 0 {
			return published, err
		}
	}
	return general, nil
}

func (r *rules) hasKeyOf(iss string) bool {
	return iss != "" && slices.ContainsFunc(r.keys, func(k *key) bool { return k.issuer == iss })
}

// refusal turns what the validator says about a token, whose signature is right, into what the client is told.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return hub.Errorf(hub.CodeTokenInvalid, "the token is meant for another audience")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return hub.Errorf(hub.CodeTokenInvalid, "the token lacks something: %s", missing(err))
	case errors.Is(err, jwt.ErrTokenExpired):
		return hub.Errorf(hub.CodeTokenExpired, "the token has expired; get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return hub.Errorf(hub.CodeTokenInvalid, "the token is not valid yet; the clocks may differ")
	}
	return hub.Errorf(hub.CodeTokenInvalid, "the token's claims cannot be accepted")
}

// missing names the claims that the library found missing; it has no error values for them.
func missing(err error) string {
	var names []string
	for _, name := range []string{"exp", "aud"} {
		if strings.Contains(err.Error(), name+" claim is required") {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// findToken looks for the token in the command, then in the handshake: Authorization, cookie, subprotocol. Two different ones are
// an error, since nobody could say which of the two people it is.
func findToken(at *session.Attempt, cookie string) (string, error) {
	found := []string{at.Token}
	for _, value := range at.Header.Values("Authorization") {
		if scheme, token, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.TrimSpace(token))
		}
	}
	if cookie != "" && len(at.Header["Cookie"]) > 0 {
		for _, c := range (&http.Request{Header: at.Header}).CookiesNamed(cookie) {
			found = append(found, c.Value)
		}
	}
	for _, value := range at.Header.Values("Sec-WebSocket-Protocol") {
		for entry := range strings.SplitSeq(value, ",") {
			if token, is := strings.CutPrefix(strings.TrimSpace(entry), "duplex.token."); is {
				found = append(found, token)
			}
		}
	}
	first := ""
	for _, token := range found {
		switch {
		case token == "" || token == first:
		case len(token) > MaxToken:
			return "", hub.Errorf(hub.CodeTooLarge, "a token has at most %d bytes, not %d", MaxToken, len(token))
		case first != "":
			return "", hub.Errorf(hub.CodeTokenInvalid,
				"there are two different tokens; send one (connect, Authorization, cookie and subprotocol are looked at)")
		default:
			first = token
		}
	}
	return first, nil
}
