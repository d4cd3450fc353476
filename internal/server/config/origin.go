package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// checkOrigin holds a pattern to the rules of websocket.AcceptOptions.OriginPatterns, where it ends up: one scheme, a host or all its
// sub-domains, one port or all. It is here so that a mistake is told with its line.
func checkOrigin(text string) error {
	scheme, rest, found := strings.Cut(strings.ToLower(text), "://")
	var err error
	switch {
	case text == "*" || found && (rest == "*" || rest == "*:*"):
		err = errors.New("it would let every website act as its visitors; name the sites")
	case text == "null":
		err = errors.New("every sandboxed page of every website has this origin; name the sites")
	case !found:
		err = fmt.Errorf("the scheme is missing; write https://%s", text)
	case scheme != "http" && scheme != "https":
		err = fmt.Errorf("an origin is that of a page; write https://%s or http://%s", rest, rest)
	case strings.ContainsAny(rest, "/?#@"):
		err = errors.New("an origin has no path, query or user; write scheme, host and port only, without a slash at the end")
	default:
		err = checkOriginHost(rest)
	}
	if err != nil {
		return fmt.Errorf("the origin %q: %w", text, err)
	}
	return nil
}

// checkOriginHost takes what follows the scheme, in lower case.
func checkOriginHost(rest string) error {
	rest, anyPort := strings.CutSuffix(rest, ":*")
	rest, subdomains := strings.CutPrefix(rest, "*.")
	host := rest
	if i := strings.LastIndexByte(rest, ':'); !anyPort && i > strings.LastIndexByte(rest, ']') {
		host = rest[:i]
		if n, err := strconv.ParseUint(rest[i+1:], 10, 16); err != nil || n == 0 || rest[i+1] == '0' {
			return fmt.Errorf("%q is not a port", rest[i+1:])
		}
	}
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); !closed || err != nil || !a.Is6() {
			return fmt.Errorf("%q is not an IPv6 address", host)
		}
		return nil
	}
	switch {
	case strings.Contains(host, "*"):
		return errors.New(`"*" may stand only as "*." before the host, for its sub-domains, and as the port`)
	case host == "":
		return errors.New("it has no host")
	case subdomains && strings.Trim(host, ".") != host:
		return errors.New(`"*." must be followed by a host`)
	}
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return fmt.Errorf("%q cannot stand in a host; browsers send names of other scripts in their xn-- form", c)
		}
	}
	return nil
}
