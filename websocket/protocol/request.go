package protocol

import "strings"

// Request is the head of an HTTP/1.x request, as [ParseRequest] reads it or as
// somebody else has read it.
type Request struct {
	Method string // "GET"
	Target string // the request target as it was sent: "/chat?room=1", or a whole URL in a request to a proxy
	Major  int    // HTTP version: 1 and 1 for HTTP/1.1
	Minor  int
	Host   string // the Host field, or the authority of a whole URL in Target (RFC 9112 section 3.2.2)
	Header Header // without Host, as in net/http
}

// ParseRequest parses the head of an HTTP/1.x request at the start of buf. n is
// the number of bytes that it took; if n is 0 and err is nil, the head is not
// complete: call again with the same bytes and more behind them. The result does
// not depend on how the bytes were split. Limits are enforced as soon as they are
// passed, also when the end of the head has not come. An error is a
// [*HandshakeError] whose Status is the answer to give before closing. The
// Request shares no memory with buf.
//
// It is stricter than net/http: lines end with CRLF, and there is no obs-fold, no
// white space before a colon, no second Host. It knows nothing of bodies;
// [Terms.Answer] refuses a handshake that has one.
func ParseRequest(buf []byte, l Limits) (req Request, n int, err error) {
	l = l.withDefaults()
	// RFC 9112 section 2.2: an empty line before the request line should be
	// ignored.
	skip := 0
	if len(buf) > 0 && buf[0] == '\r' {
		if len(buf) == 1 {
			return Request{}, 0, nil
		}
		if buf[1] != '\n' {
			return Request{}, 0, refuse(statusBadRequest, "the request begins with a lone CR")
		}
		skip = 2
	}
	buf = buf[skip:]
	if len(buf) == 0 {
		return Request{}, 0, nil
	}
	if err := checkFirstByte(buf[0]); err != nil {
		return Request{}, 0, err
	}
	n, lines, err := scanHead(buf, l, statusURITooLong)
	if n == 0 || err != nil {
		return Request{}, 0, err
	}
	first, fields, _ := strings.Cut(string(buf[:n-len("\r\n")]), "\r\n")
	if req, err = parseRequestLine(first); err != nil {
		return Request{}, 0, err
	}
	if req.Header, err = parseFields(fields, lines); err != nil {
		return Request{}, 0, err
	}
	if err := req.takeHost(); err != nil {
		return Request{}, 0, err
	}
	return req, skip + n, nil
}

// checkFirstByte refuses at once what cannot become a request, instead of waiting
// for a line end that never comes.
func checkFirstByte(c byte) error {
	const tlsHandshake = 0x16
	switch {
	case c == tlsHandshake:
		return refuse(statusBadRequest, "this is a TLS handshake, but the port speaks plain HTTP: use ws:// and http:// here")
	case byteClass[c]&byteToken == 0:
		return refuse(statusBadRequest, "byte 0x%02x cannot begin an HTTP request", c)
	}
	return nil
}

// parseRequestLine parses "GET /chat HTTP/1.1" (RFC 9112 section 3), with exactly
// one space between the parts.
func parseRequestLine(line string) (Request, error) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, found := strings.Cut(rest, " ")
	if !found || !isToken(method) {
		return Request{}, refuse(statusBadRequest, "%s is not a request line, such as \"GET /chat HTTP/1.1\"", quote(line))
	}
	major, minor, ok := parseVersion(version)
	if !ok {
		return Request{}, refuse(statusBadRequest, "%s is not an HTTP version, such as \"HTTP/1.1\"", quote(version))
	}
	if major != 1 {
		return Request{}, refuse(statusVersion, "the request line says HTTP/%d.%d; this server reads HTTP/1.1", major, minor)
	}
	if !validTarget(method, target) {
		return Request{}, refuse(statusBadRequest, "%s is not a request target, such as \"/chat\"", quote(target))
	}
	return Request{Method: method, Target: target, Major: major, Minor: minor}, nil
}

// validTarget checks the form of a request target (RFC 9112 section 3.2), not
// what its path means.
func validTarget(method, target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	switch {
	case strings.HasPrefix(target, "/"):
		return true
	case method == "CONNECT":
		return target != "" && only(target, byteHost)
	case target == "*":
		return method == "OPTIONS"
	}
	_, ok := authority(target)
	return ok
}

// authority returns the host and port of a target in absolute form,
// "http://example.com:80/chat".
func authority(target string) (host string, ok bool) {
	scheme, rest, found := strings.Cut(target, "://")
	if !found || !isScheme(scheme) {
		return "", false
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	// RFC 9110 section 4.2.4: user information in a received URI is treated as an
	// error.
	return rest, rest != "" && only(rest, byteHost)
}

// isScheme reports whether s is a URI scheme (RFC 3986 section 3.1).
func isScheme(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// takeHost moves the Host field out of the header. RFC 9112 section 3.2: a
// request without Host, with two of them or with one that is no host is answered
// with 400; only HTTP/1.0 may leave it away.
func (r *Request) takeHost() error {
	hosts := r.Header["Host"]
	delete(r.Header, "Host")
	switch {
	case len(hosts) > 1:
		return refuse(statusBadRequest, "there are %d Host headers; exactly one is allowed (RFC 9112 section 3.2)", len(hosts))
	case len(hosts) == 1:
		r.Host = hosts[0]
	case r.Minor > 0:
		return refuse(statusBadRequest, "there is no Host header, which HTTP/1.1 demands (RFC 9112 section 3.2)")
	}
	if !only(r.Host, byteHost) {
		return refuse(statusBadRequest, "Host %s is not a host and port, such as \"example.com:8080\"", quote(r.Host))
	}
	if !strings.HasPrefix(r.Target, "/") {
		if host, ok := authority(r.Target); ok {
			r.Host = host
		}
	}
	return nil
}

// AppendRequest appends the head of a GET request over HTTP/1.1 to dst: target is
// the path with its query, host the Host field. Fields are written in
// alphabetical order. A target, host or field that would break out of its line,
// or a Host in h, is an error and dst is returned as it was.
func AppendRequest(dst []byte, target, host string, h Header) ([]byte, error) {
	if !validTarget("GET", target) {
		return dst, failure("%s is not a request target, such as \"/chat\"", quote(target))
	}
	if host == "" || !only(host, byteHost) {
		return dst, failure("%s is not a host and port, such as \"example.com:8080\"", quote(host))
	}
	for name, values := range h {
		if equalFold(name, "Host") {
			return dst, failure("the header has a Host; it comes from the URL")
		}
		for _, value := range values {
			if err := checkField(name, value); err != nil {
				err.Status = 0
				return dst, err
			}
		}
	}
	dst = append(dst, "GET "...)
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	dst = appendField(dst, "Host", host)
	dst = appendFields(dst, h)
	return append(dst, "\r\n"...), nil
}
