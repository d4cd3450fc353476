package websocket

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// target is a WebSocket URL taken apart (RFC 6455, section 3).
type target struct {
	secure  bool
	host    string // an ASCII name or an address, without brackets; an IPv6 zone is kept
	port    string
	request string // the request-target: path and query, escaped
	path    string // the path alone, escaped; for messages
	user    *url.Userinfo
}

// secureSchemes maps the schemes that Dial takes to whether they use TLS.
var secureSchemes = map[string]bool{"ws": false, "http": false, "wss": true, "https": true}

// parseTarget checks a URL. Its errors never hold the URL's password or query.
func parseTarget(raw string) (*target, error) {
	// url.Parse drops an empty fragment, and the rule is about any.
	if strings.Contains(raw, "#") {
		return nil, fmt.Errorf("websocket: invalid URL: a fragment (#) is not allowed; write %%23 for the character")
	}
	u, err := url.Parse(raw)
	if err != nil {
		if parse, ok := err.(*url.Error); ok {
			err = parse.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("websocket: invalid URL: %w", err)
	}
	t, err := newTarget(u)
	if err != nil {
		return nil, fmt.Errorf("websocket: invalid URL: %w", err)
	}
	return t, nil
}

func newTarget(u *url.URL) (*target, error) {
	secure, known := secureSchemes[u.Scheme]
	switch {
	case u.Scheme == "":
		return nil, fmt.Errorf("it has no scheme; it should start with ws:// or wss://")
	case !known:
		return nil, fmt.Errorf("scheme %q is not one of ws, wss, http, https", u.Scheme)
	case u.Opaque != "" || u.Hostname() == "":
		return nil, fmt.Errorf("it has no host; it should look like %s://host/path", u.Scheme)
	}
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	t := &target{secure: secure, host: host, port: u.Port(), user: u.User}
	if t.port == "" {
		t.port = t.defaultPort()
	}
	if n, err := strconv.ParseUint(t.port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("port %q is not between 1 and 65535", t.port)
	}
	t.path = u.EscapedPath()
	if !strings.HasPrefix(t.path, "/") {
		t.path = "/" + t.path
	}
	t.request = t.path
	if u.ForceQuery || u.RawQuery != "" {
		t.request += "?" + escapeQuery(u.RawQuery)
	}
	return t, nil
}

// asciiHost returns a host name in lower case and as DNS and the Host header
// need it, such as xn--bcher-kva.example.
func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", fmt.Errorf("host %q is not a valid name", host)
			}
			return ascii, nil
		}
	}
	if strings.Contains(host, ":") {
		return host, nil // an address, whose zone is case-sensitive
	}
	return strings.ToLower(host), nil
}

// escapeQuery escapes what would end or break the request line; net/url leaves
// a query as it was written.
func escapeQuery(query string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (t *target) defaultPort() string {
	if t.secure {
		return "443"
	}
	return "80"
}

// address is what to dial.
func (t *target) address() string { return net.JoinHostPort(t.host, t.port) }

// serverName is the host without an IPv6 zone, which means nothing elsewhere.
func (t *target) serverName() string {
	name, _, _ := strings.Cut(t.host, "%")
	return name
}

// hostHeader is the value of Host: no default port (RFC 6455, section 4.1,
// item 4 of the request's requirements).
func (t *target) hostHeader() string {
	if t.port != t.defaultPort() {
		return net.JoinHostPort(t.serverName(), t.port)
	}
	if name := t.serverName(); !strings.Contains(name, ":") {
		return name
	}
	return "[" + t.serverName() + "]"
}

// httpURL is the URL as cookie jars and proxy functions know it.
func (t *target) httpURL() *url.URL {
	u, err := url.Parse(t.scheme("http", "https") + "://" + t.hostHeader() + t.request)
	if err != nil { // not reached: every part was taken from a parsed URL
		u = &url.URL{Scheme: t.scheme("http", "https"), Host: t.hostHeader(), Path: "/"}
	}
	return u
}

func (t *target) scheme(plain, secure string) string {
	if t.secure {
		return secure
	}
	return plain
}

// sameOrigin compares scheme, host and port.
func (t *target) sameOrigin(other *target) bool {
	return t.secure == other.secure && t.host == other.host && t.port == other.port
}

// String returns the URL for messages: without user, password and query, which
// may be secrets.
func (t *target) String() string {
	return t.scheme("ws", "wss") + "://" + t.hostHeader() + t.path
}

// basicAuthorization returns the header value for a user and password
// (RFC 7617).
func basicAuthorization(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
