package protocol

import (
	"iter"
	"sort"
	"strings"
)

// Header holds the fields of an HTTP message head. Its keys are canonical as in
// net/http ("Sec-Websocket-Key"), so that protocol.Header(r.Header) converts
// without a copy. Each element of a value is one field line. A Header may be read
// from many goroutines at once; who writes to it must be alone.
type Header map[string][]string

// Get returns the first value of the field name, or "" if there is none. The case
// of name does not matter.
func (h Header) Get(name string) string {
	if v := h[canonicalName(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns all values of the field name, one for each field line. The case
// of name does not matter. The slice is the Header's own.
func (h Header) Values(name string) []string {
	return h[canonicalName(name)]
}

// Elements yields the elements of a comma-separated list field, over all its
// lines and in their order, without the white space around them. Empty elements
// are left out, as RFC 9110 section 5.6.1.2 asks of a recipient. Quoted strings
// are not known here: for Sec-WebSocket-Extensions there is [ParseExtensions].
func (h Header) Elements(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for line != "" {
				var element string
				element, line, _ = strings.Cut(line, ",")
				if element = trimSpace(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// HasToken reports whether the list field name has the element token, in any case
// of letters, on any of its lines.
func (h Header) HasToken(name, token string) bool {
	for element := range h.Elements(name) {
		if equalFold(element, token) {
			return true
		}
	}
	return false
}

// Limits bounds what a peer may make us read and keep before the handshake is
// decided. A field that is zero or negative means its default.
type Limits struct {
	HeaderCount int // field lines of one head; default 100
	HeaderBytes int // bytes of one line, without its CRLF, the first line included; default 8192
	TotalBytes  int // bytes of the whole head, with the empty line that ends it; default 32768
}

// Defaults of Limits.
const (
	DefaultHeaderCount = 100
	DefaultHeaderBytes = 8 << 10
	DefaultTotalBytes  = 32 << 10
)

func (l Limits) withDefaults() Limits {
	if l.HeaderCount <= 0 {
		l.HeaderCount = DefaultHeaderCount
	}
	if l.HeaderBytes <= 0 {
		l.HeaderBytes = DefaultHeaderBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = DefaultTotalBytes
	}
	return l
}

// check applies the limits to a header that somebody else has parsed (net/http
// allows 1 MiB and any number of lines).
func (l Limits) check(h Header) *HandshakeError {
	l = l.withDefaults()
	count, total := 0, 0
	for name, values := range h {
		for _, v := range values {
			line := len(name) + len(": ") + len(v)
			count++
			total += line + len("\r\n")
			if line > l.HeaderBytes {
				return errLineTooLong(l)
			}
		}
	}
	switch {
	case count > l.HeaderCount:
		return errTooManyLines(l)
	case total > l.TotalBytes:
		return errHeadTooLarge(l)
	}
	return nil
}

// checkTarget is check for the request target, which counts as a line.
func (l Limits) checkTarget(target string) *HandshakeError {
	if l = l.withDefaults(); len(target) > l.HeaderBytes {
		return refuse(statusURITooLong, "the request target is longer than the limit of %d bytes", l.HeaderBytes)
	}
	return nil
}

func errLineTooLong(l Limits) *HandshakeError {
	return refuse(statusHeaderTooLarge, "a header line is longer than the limit of %d bytes", l.HeaderBytes)
}

func errTooManyLines(l Limits) *HandshakeError {
	return refuse(statusHeaderTooLarge, "there are more header lines than the limit of %d", l.HeaderCount)
}

func errHeadTooLarge(l Limits) *HandshakeError {
	return refuse(statusHeaderTooLarge, "the header is larger than the limit of %d bytes in all", l.TotalBytes)
}

// Classes of bytes in a message head.
const (
	byteToken byte = 1 << iota // tchar, RFC 9110 section 5.6.2
	byteText                   // what a field value may hold: RFC 9110 section 5.5
	byteHost                   // RFC 3986 section 3.2.2, with the port and the brackets of IPv6
)

// byteClass says for each byte to which classes it belongs.
var byteClass = func() (table [256]byte) {
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []byte("!#$%&'*+-.^_`|~" + alphanumeric) {
		table[c] |= byteToken
	}
	for _, c := range []byte("-._~!$&'()*+;=%:[]" + alphanumeric) {
		table[c] |= byteHost
	}
	table['\t'] |= byteText
	for c := 0x20; c < 0x100; c++ {
		if c != 0x7f {
			table[c] |= byteText
		}
	}
	return table
}()

// only reports whether all bytes of s are of the class.
func only(s string, class byte) bool {
	for i := range len(s) {
		if byteClass[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool { return s != "" && only(s, byteToken) }

// trimSpace removes the optional white space of RFC 9110 section 5.6.3, which is
// less than what strings.TrimSpace removes.
func trimSpace(s string) string { return strings.Trim(s, " \t") }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// equalFold compares without regard to the case of ASCII letters only.
// strings.EqualFold knows Unicode, for which the long s and the Kelvin sign equal
// "s" and "k"; in the token "websocket" that would be two other spellings of it.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// canonicalName returns a field name as net/http spells it: upper case at the
// start and behind each hyphen, lower case elsewhere. A name that is so already,
// which is the rule on the wire, costs no allocation. A name that is not a token
// is returned as it is.
func canonicalName(name string) string {
	if known, ok := knownNames[name]; ok {
		return known
	}
	start := true
	canonical := true
	for i := range len(name) {
		c := name[i]
		if byteClass[c]&byteToken == 0 {
			return name
		}
		if start && c != upper(c) || !start && c != lower(c) {
			canonical = false
		}
		start = c == '-'
	}
	if canonical {
		return name
	}
	b := []byte(name)
	start = true
	for i, c := range b {
		if start {
			b[i] = upper(c)
		} else {
			b[i] = lower(c)
		}
		start = c == '-'
	}
	return string(b)
}

// knownNames saves canonicalName the work for what handshakes are full of, in the
// spelling of the RFC and in that of net/http.
var knownNames = func() map[string]string {
	known := make(map[string]string)
	for _, name := range []string{
		"Host", "Upgrade", "Connection", "Origin", "User-Agent", "Content-Length", "Transfer-Encoding", "Cookie",
		"Pragma", "Cache-Control", "Accept-Encoding", "Accept-Language",
		"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions", "Sec-Websocket-Accept",
	} {
		known[name], known[wireName(name)] = name, name
	}
	return known
}()

// wireName returns the spelling of RFC 6455 for its own fields. Field names have
// no case, but some peers think that they have.
func wireName(name string) string {
	const ours = "Sec-Websocket-"
	if rest, ok := strings.CutPrefix(name, ours); ok {
		return "Sec-WebSocket-" + rest
	}
	return name
}

// appendFields appends the fields in alphabetical order, so that equal headers
// give equal bytes. The caller has checked them.
func appendFields(dst []byte, h Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range h[name] {
			dst = appendField(dst, wireName(name), value)
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// checkField guards against response and request splitting: a field that the
// application made from what a user sent must not end the line (or the head)
// early.
func checkField(name, value string) *HandshakeError {
	if !isToken(name) {
		return refuse(statusInternal, "header name %s is not a token (RFC 9110 section 5.6.2)", quote(name))
	}
	if !only(value, byteText) {
		return refuse(statusInternal, "the value of header %s has a line break or another control character: %s", name, quote(value))
	}
	return nil
}
