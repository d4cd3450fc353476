package websocket

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A browser lets any page open a WebSocket to any server and sends the server's
// cookies along; it asks nobody. The Origin header, which the page cannot forge,
// is all that a server has to tell its own pages from others (RFC 6455, section
// 10.2). Hence the default: same origin only.

// origin is a parsed web origin (RFC 6454), in lower case.
type origin struct {
	scheme string
	host   string // IPv6 in brackets
	port   string // the scheme's default filled in; "" for a scheme without one
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// String returns the origin as browsers write it, without a default port.
func (o origin) String() string {
	s := o.scheme + "://" + o.host
	if o.port != defaultPorts[o.scheme] {
		s += ":" + o.port
	}
	return s
}

// parseOrigin parses "scheme://host" or "scheme://host:port", the only forms
// that a browser sends besides "null".
func parseOrigin(s string) (origin, error) {
	scheme, rest, found := strings.Cut(strings.ToLower(s), "://")
	if !found || !isScheme(scheme) {
		return origin{}, errors.New(`it is not "scheme://host" or "scheme://host:port"`)
	}
	o := origin{scheme: scheme}
	var err error
	if o.host, o.port, err = splitHost(rest); err != nil {
		return origin{}, err
	}
	if o.port == "" {
		o.port = defaultPorts[scheme]
	}
	// Only web schemes have a host for sure; a page from a file has "file://".
	if o.host == "" && defaultPorts[scheme] != "" {
		return origin{}, errors.New("it has no host")
	}
	return o, nil
}

func isScheme(s string) bool {
	return protocol.ValidToken(s) && 'a' <= s[0] && s[0] <= 'z' && !strings.ContainsAny(s, "!#$%&'*^_`|~")
}

// splitHost splits "host", "host:port", "[v6]" or "[v6]:port" and checks both
// parts.
func splitHost(s string) (host, port string, err error) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || port[0] == '0' {
			return "", "", fmt.Errorf("%q is not a port", port)
		}
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
		if !bracketed || net.ParseIP(inner) == nil {
			return "", "", fmt.Errorf("%q is not an IPv6 address", host)
		}
		return host, port, nil
	}
	for _, c := range []byte(host) {
		if c >= 0x80 {
			return "", "", fmt.Errorf("host %q is not ASCII; browsers send the xn-- form", host)
		}
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "", "", fmt.Errorf("%q cannot stand in a host", c)
		}
	}
	return host, port, nil
}

// originPattern is one parsed element of AcceptOptions.OriginPatterns.
type originPattern struct {
	origin          // host without the "*."
	subdomains bool // any host that ends in "." + host
	anyPort    bool
}

func (p originPattern) matches(o origin) bool {
	if o.scheme != p.scheme || !p.anyPort && o.port != p.port {
		return false
	}
	if !p.subdomains {
		return o.host == p.host
	}
	// The dot is part of what must match: evilexample.com is no sub-domain of
	// example.com, and neither is example.com itself.
	sub, found := strings.CutSuffix(o.host, "."+p.host)
	return found && sub != ""
}

// parseOriginPattern parses "scheme://host", where the host may begin with "*."
// and a port or ":*" may follow.
func parseOriginPattern(s string) (originPattern, error) {
	fail := func(format string, args ...any) (originPattern, error) {
		return originPattern{}, fmt.Errorf("origin pattern %q: %w", s, fmt.Errorf(format, args...))
	}
	scheme, rest, found := strings.Cut(strings.ToLower(s), "://")
	switch {
	case s == "*" || found && (rest == "*" || rest == "*:*"):
		return fail("it would let every website act as its visitors; name the sites," +
			" or set InsecureSkipOriginCheck if that is really what you want")
	case s == "null":
		return fail("every sandboxed page of every website has this origin; only InsecureSkipOriginCheck allows it")
	case !found:
		return fail("the scheme is missing; write \"https://%s\"", s)
	case scheme == "ws" || scheme == "wss":
		return fail("an origin is that of a page; write \"%s://%s\"", strings.Replace(scheme, "ws", "http", 1), rest)
	case strings.ContainsAny(rest, "/?#@"):
		return fail("an origin has no path, query or user; write scheme, host and port only, without a slash at the end")
	}
	var p originPattern
	rest, p.anyPort = strings.CutSuffix(rest, ":*")
	rest, p.subdomains = strings.CutPrefix(rest, "*.")
	if strings.Contains(rest, "*") || strings.Contains(scheme, "*") {
		return fail("\"*\" may stand only as \"*.\" before the host, for its sub-domains, and as the port")
	}
	var err error
	if p.origin, err = parseOrigin(scheme + "://" + rest); err != nil {
		return fail("%w", err)
	}
	if p.subdomains && strings.Trim(p.host, ".") != p.host || p.subdomains && p.host == "" {
		return fail("\"*.\" must be followed by a host")
	}
	return p, nil
}

func parseOriginPatterns(list []string) ([]originPattern, error) {
	var patterns []originPattern
	for _, s := range list {
		p, err := parseOriginPattern(s)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// CheckOrigin reports whether the page that sent a request may connect, by OriginPatterns: it returns nil or the *HandshakeError with
// which the handshake would be refused. It is for handlers with patterns that change, in front of a Server that
// skips its own check; it parses the patterns each time.
func (o *AcceptOptions) CheckOrigin(r *http.Request) error {
	patterns, err := parseOriginPatterns(o.OriginPatterns)
	if err != nil {
		return internalError("", err)
	}
	return checkOrigin(r, patterns)
}

// checkOrigin refuses a request of a page that may not connect.
func checkOrigin(r *http.Request, patterns []originPattern) error {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return nil // not a browser, which could claim any origin anyway
	}
	const onlyInsecure = "only AcceptOptions.InsecureSkipOriginCheck would allow it"
	if len(values) > 1 {
		return forbidden("the request has %d Origin headers; %s", len(values), onlyInsecure)
	}
	if values[0] == "null" {
		return forbidden(`origin "null" (a sandboxed page, a local file, or a redirect between sites) tells nothing; %s`, onlyInsecure)
	}
	o, err := parseOrigin(values[0])
	if err != nil {
		return forbidden("origin %.100q is malformed: %v; %s", values[0], err, onlyInsecure)
	}
	mismatch := compareOrigin(o, r)
	if mismatch == "" {
		return nil
	}
	for _, p := range patterns {
		if p.matches(o) {
			return nil
		}
	}
	return forbidden("a page of %q may not connect: %s; to allow it, add %q to AcceptOptions.OriginPatterns", values[0], mismatch, o)
}

func forbidden(format string, args ...any) error {
	return &HandshakeError{Status: http.StatusForbidden, Reason: fmt.Sprintf(format, args...)}
}

// compareOrigin returns how the origin differs from that of the request, or ""
// if they are the same.
//
// The host and the port of the request are those of its Host header. Its scheme
// is known to be https when it came over TLS, or when a proxy says so in
// X-Forwarded-Proto: a page can set neither. When neither is the case, TLS may
// still have ended at a proxy that is silent. Then a page of https is taken for
// our own too, unless Host names the very port at which the request arrived
// without TLS, so that no proxy stands in between. Taking it is safe, as nobody
// but the owner of the host can serve a page of https there.
func compareOrigin(o origin, r *http.Request) string {
	host, port, err := splitHost(strings.ToLower(r.Host))
	if err != nil || host == "" {
		return fmt.Sprintf("the request's Host %.100q is malformed", r.Host)
	}
	local := port
	if local == "" {
		local = defaultPorts[o.scheme]
	}
	if o.host != host || o.port != local {
		return fmt.Sprintf("the request's Host is %q (a reverse proxy must pass on the Host that it got)", r.Host)
	}
	switch o.scheme {
	case "https":
		if port != "" && port == localPort(r) && !overTLS(r) {
			return "the request came over http and not https (a proxy that ends TLS should set X-Forwarded-Proto)"
		}
		return ""
	case "http":
		if overTLS(r) {
			return "the request came over https and not http"
		}
		return ""
	}
	return "only pages of http and https can be of the same origin"
}

// overTLS reports whether the client is known to have connected with TLS, to us
// or to a proxy.
func overTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	first = strings.ToLower(strings.TrimSpace(first))
	return first == "https" || first == "wss"
}

// localPort returns the port at which the request arrived, or "".
func localPort(r *http.Request) string {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return port
}
