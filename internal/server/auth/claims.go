package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
)

// MaxInfo is the most bytes that a user's info may have, without white space.
const MaxInfo = 1 << 10

// MaxGrants is the most patterns that a token may have permissions for.
const MaxGrants = 256

// claims are what a token says. Info and Topics are looked into after the signature has been verified.
type claims struct {
	jwt.RegisteredClaims
	Info   json.RawMessage `json:"info,omitempty"`
	Topics json.RawMessage `json:"topics,omitempty"`
}

// identity is who the claims, which are in force, are about.
func (c *claims) identity(r *rules, prefix string, now time.Time) (hub.Identity, error) {
	user := prefix + c.Subject
	if err := errors.Join(checkSubject(c.Subject), CheckUser(user)); err != nil {
		return hub.Identity{}, invalid("sub", err)
	}
	info, err := ParseInfo(c.Info)
	if err != nil {
		return hub.Identity{}, invalid("info", err)
	}
	grants, err := ParseGrants(c.Topics)
	if err != nil {
		return hub.Identity{}, invalid("topics", err)
	}
	expires, err := c.expires(r, now)
	if err != nil {
		return hub.Identity{}, invalid("exp", err)
	}
	if r.SingleUse && c.ID == "" {
		return hub.Identity{}, hub.Errorf(hub.CodeTokenInvalid, "the token lacks something: jti, since tokens are good for one use here")
	}
	return hub.Identity{User: user, Info: info, Grants: grants, Expires: expires}, nil
}

func invalid(claim string, err error) *hub.Error {
	return hub.Errorf(hub.CodeTokenInvalid, "the token's %s: %v", claim, err)
}

// expires is when a session must end. Leeway is for clocks that differ, not for longer sessions: a session ends at `exp`, if it
// began before.
func (c *claims) expires(r *rules, now time.Time) (time.Time, error) {
	if c.ExpiresAt == nil {
		return time.Time{}, nil
	}
	end, born := c.ExpiresAt.Time, now
	if c.IssuedAt != nil {
		born = c.IssuedAt.Time
	}
	if end.Sub(born) > r.MaxLife+r.Leeway {
		return time.Time{}, fmt.Errorf("it is to live for more than %v", r.MaxLife)
	}
	if !end.After(now) {
		end = end.Add(r.Leeway)
	}
	return end, nil
}

func checkSubject(sub string) error {
	if sub == "" {
		return errors.New("it names the user and is needed")
	}
	return nil
}

// CheckUser holds a user to the rules of the hub, and to that of the protocol that "~" begins the names of anonymous ones.
func CheckUser(user string) error {
	switch {
	case user == "" || len(user) > hub.MaxName:
		return fmt.Errorf("a user has 1 to %d bytes, not %d", hub.MaxName, len(user))
	case !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl):
		return errors.New("a user is UTF-8 without control characters")
	case user[0] == '~':
		return errors.New("a user does not begin with ~, as anonymous ones do")
	}
	return nil
}

// ParseInfo reads what others may see of a user, a JSON object, and takes white space out of it. Nothing, or null, is nil.
func ParseInfo(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, errors.New("an object is needed")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil || !utf8.Valid(raw) {
		return nil, errors.New("it is not JSON")
	}
	if compact.Len() > MaxInfo {
		return nil, fmt.Errorf("at most %d bytes, not %d", MaxInfo, compact.Len())
	}
	return compact.Bytes(), nil
}

// actionNames are what the claim `topics` allows, by the words that it uses.
var actionNames = map[string]hub.Actions{
	"subscribe": hub.ActSubscribe, "publish": hub.ActPublish, "history": hub.ActHistory, "presence": hub.ActPresence,
}

// ParseGrants reads permissions in the form that the claim `topics` and webhooks have:
// {"chat.>":["subscribe","publish"],"quotes.*":["subscribe"]}. Nothing, or null, is no permissions.
func ParseGrants(raw []byte) ([]hub.Grant, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var byPattern map[string][]string
	if err := json.Unmarshal(raw, &byPattern); err != nil {
		return nil, errors.New(`an object such as {"chat.>":["subscribe","publish"]} is needed`)
	}
	if len(byPattern) > MaxGrants {
		return nil, fmt.Errorf("at most %d patterns, not %d", MaxGrants, len(byPattern))
	}
	var grants []hub.Grant
	for pattern, names := range byPattern {
		if err := hub.CheckPattern(pattern); err != nil {
			return nil, err
		}
		actions, err := ParseActions(names)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		if actions != 0 {
			grants = append(grants, hub.Grant{Pattern: pattern, Actions: actions})
		}
	}
	slices.SortFunc(grants, func(a, b hub.Grant) int { return strings.Compare(a.Pattern, b.Pattern) })
	return grants, nil
}

// ParseActions turns words into the set that they name.
func ParseActions(names []string) (hub.Actions, error) {
	var set hub.Actions
	for _, name := range names {
		action, known := actionNames[name]
		if !known {
			return 0, fmt.Errorf("%q is none of subscribe, publish, history, presence", name)
		}
		set |= action
	}
	return set, nil
}
