package protocol

import (
	"bytes"
	"strings"
)

// scanHead looks for the end of a message head and checks the limits on the way;
// it looks at line ends only, so that calling it again for each few bytes that
// arrive stays cheap. n is the length of the head with its empty line, 0 if more
// bytes are needed. lines counts the field lines. What it returns for a prefix of
// the input, if not "more", it returns for every longer input too. firstTooLong
// is the status for a first line that passes the limit.
func scanHead(buf []byte, l Limits, firstTooLong int) (n, lines int, err error) {
	window := buf[:min(len(buf), l.TotalBytes)]
	for start := 0; ; lines++ {
		length := bytes.IndexByte(window[start:], '\n')
		seen := length
		if length < 0 {
			seen = len(window) - start
		}
		if seen > l.HeaderBytes+len("\r") {
			if start == 0 {
				return 0, 0, refuse(firstTooLong, "the first line is longer than the limit of %d bytes", l.HeaderBytes)
			}
			return 0, 0, errLineTooLong(l)
		}
		if length < 0 {
			if len(buf) > l.TotalBytes {
				return 0, 0, errHeadTooLarge(l)
			}
			return 0, 0, nil
		}
		// RFC 9112 section 2.2 lets a recipient take a bare LF as a line end;
		// whoever does reads other lines than a proxy in front of it that does
		// not, which is what request smuggling is made of.
		if length == 0 || window[start+length-1] != '\r' {
			return 0, 0, refuse(statusBadRequest, "a line ends with LF alone; lines end with CRLF (RFC 9112 section 2.2)")
		}
		next := start + length + 1
		if length == 1 && start > 0 {
			return next, lines - 1, nil // the empty line; the first line is none of the fields
		}
		if lines > l.HeaderCount {
			return 0, 0, errTooManyLines(l)
		}
		start = next
	}
}

// parseFields parses the field lines of a head, each of which ends with CRLF. All
// names and values share the memory of s.
func parseFields(s string, lines int) (Header, error) {
	h := make(Header, lines)
	backing := make([]string, lines)
	for s != "" {
		var line string
		line, s, _ = strings.Cut(s, "\r\n")
		name, value, err := parseField(line)
		if err != nil {
			return nil, err
		}
		if old, ok := h[name]; ok {
			h[name] = append(old, value)
			continue
		}
		backing[0] = value
		h[name] = backing[:1:1]
		backing = backing[1:]
	}
	return h, nil
}

// parseField parses one field line (RFC 9112 section 5).
func parseField(line string) (name, value string, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		// RFC 9112 section 5.2: a server must reject obs-fold or replace it by
		// spaces.
		return "", "", refuse(statusBadRequest, "a header line begins with white space; folded lines are not allowed (RFC 9112 section 5.2)")
	}
	name, value, found := strings.Cut(line, ":")
	if !found {
		return "", "", refuse(statusBadRequest, "header line %s has no colon", quote(line))
	}
	if !isToken(name) {
		// RFC 9112 section 5.1: white space between name and colon must be
		// refused with 400.
		return "", "", refuse(statusBadRequest, "header name %s is not a token, and no space may stand before the colon (RFC 9112 section 5.1)",
			quote(name))
	}
	if !only(value, byteText) {
		return "", "", refuse(statusBadRequest, "the value of header %s has a control character: %s", quote(name), quote(value))
	}
	return canonicalName(name), trimSpace(value), nil
}

// parseVersion parses "HTTP/1.1" (RFC 9112 section 2.3).
func parseVersion(s string) (major, minor int, ok bool) {
	digits, found := strings.CutPrefix(s, "HTTP/")
	if !found || len(digits) != 3 || digits[1] != '.' || !isDigit(digits[0]) || !isDigit(digits[2]) {
		return 0, 0, false
	}
	return int(digits[0] - '0'), int(digits[2] - '0'), true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
