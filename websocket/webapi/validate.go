package webapi

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/duplex-websocket/duplex/websocket"
)

// parseURL does the constructor's steps 1 to 7: it returns the URL as the url
// attribute shows it, and its origin. There is no base URL, so that a relative
// URL is an error.
func parseURL(raw string) (href, origin string, _ error) {
	raw = strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	if strings.Contains(raw, "#") {
		return "", "", syntaxError("the URL has a fragment (#); write %%23 for the character")
	}
	u, err := url.Parse(raw)
	if err != nil {
		if parse, ok := err.(*url.Error); ok {
			err = parse.Err // without the URL, which may hold a password
		}
		return "", "", syntaxError("the URL is not valid: %v", err)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	case "":
		return "", "", syntaxError("the URL has no scheme; it should start with ws:// or wss://")
	default:
		return "", "", syntaxError("the URL's scheme %q is not ws, wss, http or https", u.Scheme)
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return "", "", syntaxError("the URL has no host; it should look like %s://host/path", u.Scheme)
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", "", syntaxError("the URL's port %q is not between 0 and 65535", port)
		}
	}
	u = (&url.URL{}).ResolveReference(u) // takes "." and ".." out of the path
	u.Host = serializeHost(u)
	if u.Path == "" {
		u.Path = "/"
	}
	u.RawQuery = escapeQuery(u.RawQuery)
	return u.String(), u.Scheme + "://" + u.Host, nil
}

// serializeHost returns the host in lower case, without a default port.
func serializeHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"ws": ":80", "wss": ":443"} {
		if u.Scheme == scheme {
			host = strings.TrimSuffix(host, port)
		}
	}
	return strings.TrimSuffix(host, ":")
}

// escapeQuery escapes the standard's query percent-encode set; net/url leaves a
// query as it was written.
func escapeQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// redacted is a URL for a log: without user, password and query.
func redacted(href string) string {
	u, err := url.Parse(href)
	if err != nil {
		return "" // not reached: it was parsed before
	}
	u.User, u.RawQuery, u.ForceQuery = nil, "", false
	return u.String()
}

// checkProtocols does step 9: names are tokens (RFC 6455, section 4.1), each
// once. Browsers compare them without regard to case.
func checkProtocols(protocols []string) error {
	seen := make(map[string]bool, len(protocols))
	for _, name := range protocols {
		if !isToken(name) {
			return syntaxError("subprotocol %q is not a token: use letters, digits and !#$%%&'*+-.^_`|~", name)
		}
		lower := strings.ToLower(name)
		if seen[lower] {
			return syntaxError("subprotocol %q is listed twice", name)
		}
		seen[lower] = true
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// maxReason is the most bytes of a close frame's reason (RFC 6455, section 5.5).
const maxReason = 123

// checkClose validates the arguments of Close as the standard does, and returns
// them as the close frame needs them.
func checkClose(code websocket.StatusCode, reason string) (websocket.StatusCode, string, error) {
	if code != 0 && code != websocket.StatusNormalClosure && (code < 3000 || code > 4999) {
		return 0, "", &DOMException{"InvalidAccessError", fmt.Sprintf("close code %d is not 1000 or between 3000 and 4999", uint16(code))}
	}
	reason = toUSV(reason)
	if len(reason) > maxReason {
		return 0, "", syntaxError("the close reason has %d bytes; at most %d are allowed", len(reason), maxReason)
	}
	switch {
	case code != 0:
		return code, reason, nil
	case reason != "":
		return websocket.StatusNormalClosure, reason, nil
	}
	return websocket.StatusNoStatus, "", nil // a close frame without a body
}

// toUSV converts to the standard's USVString.
func toUSV(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func syntaxError(format string, args ...any) error {
	return &DOMException{"SyntaxError", fmt.Sprintf(format, args...)}
}
