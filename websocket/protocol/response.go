package protocol

import "strings"

// Response is the head of an HTTP/1.x response.
type Response struct {
	Status int    // 101
	Reason string // "Switching Protocols"; may be empty
	Major  int    // HTTP version: 1 and 1 for HTTP/1.1
	Minor  int
	Header Header
}

// ParseResponse parses the head of an HTTP/1.x response at the start of buf. It
// works as [ParseRequest] does; the Status of its errors is 0, since nobody is
// there to be answered. A server may send informational responses (100, 102, 103)
// before the one that counts: the caller skips them, and bounds how many it
// takes.
func ParseResponse(buf []byte, l Limits) (resp Response, n int, err error) {
	l = l.withDefaults()
	if len(buf) == 0 {
		return Response{}, 0, nil
	}
	if buf[0] != 'H' {
		return Response{}, 0, failure("byte 0x%02x does not begin an HTTP response; does the server speak TLS (wss, https) on this port?", buf[0])
	}
	n, lines, err := scanHead(buf, l, 0)
	if err == nil && n > 0 {
		first, fields, _ := strings.Cut(string(buf[:n-len("\r\n")]), "\r\n")
		if resp, err = parseStatusLine(first); err == nil {
			resp.Header, err = parseFields(fields, lines)
		}
	}
	if err != nil {
		return Response{}, 0, clientError(err)
	}
	return resp, n, nil
}

// parseStatusLine parses "HTTP/1.1 101 Switching Protocols" (RFC 9112 section 4).
// The space before an empty reason may be missing, as many servers leave it away.
func parseStatusLine(line string) (Response, error) {
	version, rest, _ := strings.Cut(line, " ")
	status, reason, _ := strings.Cut(rest, " ")
	major, minor, ok := parseVersion(version)
	if !ok || len(status) != 3 || status[0] == '0' || !isDigit(status[0]) || !isDigit(status[1]) || !isDigit(status[2]) {
		return Response{}, failure("%s is not a status line, such as \"HTTP/1.1 101 Switching Protocols\"", quote(line))
	}
	if !only(reason, byteText) {
		return Response{}, failure("the status line has a control character: %s", quote(line))
	}
	code := int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0')
	return Response{Status: code, Reason: reason, Major: major, Minor: minor}, nil
}
