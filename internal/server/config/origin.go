package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// OriginPattern says which pages may connect: one scheme, a host or all its sub-domains, one port or all.
type OriginPattern struct {
	scheme, host, port string // in lower case; port as it is compared, with the scheme's default filled in
	subdomains         bool
	anyPort            bool
}

// OriginPatterns returns Origins parsed.
func (c *Config) OriginPatterns() []OriginPattern {
	var all []OriginPattern
	for _, text := range c.Origins {
		if p, err := parseOriginPattern(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// Matches reports whether the value of an Origin header is one of the pattern's.
func (p OriginPattern) Matches(origin string) bool {
	scheme, host, port, err := splitOrigin(origin)
	if err != nil || scheme != p.scheme || !p.anyPort && port != p.port {
		return false
	}
	if !p.subdomains {
		return host == p.host
	}
	sub, found := strings.CutSuffix(host, "."+p.host) // the dot: evilexample.com is not below example.com
	return found && sub != ""
}

// parseOriginPattern has the rules of websocket.AcceptOptions.OriginPatterns.
func parseOriginPattern(text string) (OriginPattern, error) {
	var p OriginPattern
	fail := func(format string, args ...any) (OriginPattern, error) {
		return p, fmt.Errorf("the origin %q: %s", text, fmt.Sprintf(format, args...))
	}
	scheme, rest, found := strings.Cut(strings.ToLower(text), "://")
	switch {
	case text == "*" || found && (rest == "*" || rest == "*:*"):
		return fail("it would let every website act as its visitors; name the sites")
	case !found:
		return fail("the scheme is missing; write https://%s", text)
	case scheme != "http" && scheme != "https":
		return fail("an origin is that of a page; write https://%s or http://%s", rest, rest)
	case strings.ContainsAny(rest, "/?#@"):
		return fail("an origin has no path, query or user; write scheme, host and port only, without a slash at the end")
	}
	rest, p.anyPort = strings.CutSuffix(rest, ":*")
	rest, p.subdomains = strings.CutPrefix(rest, "*.")
	if strings.Contains(rest, "*") {
		return fail(`"*" may stand only as "*." before the host, for its sub-domains, and as the port`)
	}
	var err error
	if p.scheme, p.host, p.port, err = splitOrigin(scheme + "://" + rest); err != nil {
		return fail("%v", err)
	}
	if p.subdomains && strings.Trim(p.host, ".") != p.host {
		return fail(`"*." must be followed by a host`)
	}
	return p, nil
}

// splitOrigin reads "scheme://host" or "scheme://host:port", the only forms that a browser sends for a page of the web.
func splitOrigin(text string) (scheme, host, port string, err error) {
	scheme, rest, found := strings.Cut(strings.ToLower(text), "://")
	port, known := map[string]string{"http": "80", "https": "443"}[scheme]
	if !found || !known {
		return "", "", "", fmt.Errorf("it is not http://HOST or https://HOST")
	}
	host = rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return "", "", "", fmt.Errorf("%q is not a port", port)
		}
	}
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); !closed || err != nil || !a.Is6() {
			return "", "", "", fmt.Errorf("%q is not an IPv6 address", host)
		}
		return scheme, host, port, nil
	}
	if host == "" {
		return "", "", "", fmt.Errorf("it has no host")
	}
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "", "", "", fmt.Errorf("%q cannot stand in a host; browsers send names of other scripts in their xn-- form", c)
		}
	}
	return scheme, host, port, nil
}
