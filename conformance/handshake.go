package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 demands it
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// request is an upgrade request as lines, so that a case can spoil any of them.
type request struct {
	line  string   // "GET /path HTTP/1.1"
	lines []string // "Name: value"
}

// response is an answer: as received from a server, or as sent to a client.
type response struct {
	line   string
	status int
	lines  []string
	header http.Header
	err    error // why there is none: TCP ended, or it was not HTTP
}

// edit spoils or changes a handshake.
type edit func(line *string, lines *[]string)

func firstLine(l string) edit { return func(line *string, _ *[]string) { *line = l } }

// without removes a header field.
func without(name string) edit {
	return func(_ *string, lines *[]string) {
		*lines = slices.DeleteFunc(slices.Clone(*lines), func(l string) bool {
			n, _, _ := strings.Cut(l, ":")
			return strings.EqualFold(n, name)
		})
	}
}

// with adds a line as it is.
func with(line string) edit {
	return func(_ *string, lines *[]string) { *lines = append(slices.Clone(*lines), line) }
}

// replaced writes a line in the place of a header field, or at the end if the field is not there.
func replaced(name, line string) edit {
	return func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		i := slices.IndexFunc(out, func(l string) bool {
			n, _, _ := strings.Cut(l, ":")
			return strings.EqualFold(n, name)
		})
		if i < 0 {
			*lines = append(out, line)
			return
		}
		out[i] = line
		*lines = out
	}
}

func head(line string, lines []string) []byte {
	return []byte(line + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// acceptKey is Sec-WebSocket-Accept, RFC 6455 section 4.2.2 item 5.4.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// maxHead bounds the head of a request or response.
const maxHead = 64 << 10

// readHead reads up to and with the empty line.
func readHead(r *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		line, err := r.ReadSlice('\n')
		out = append(out, line...)
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return out, err
		case len(out) > maxHead:
			return out, errors.New("a head of more than 64 KiB")
		case err == nil && len(bytes.TrimRight(line, "\r\n")) == 0 && len(out) > 2:
			return out, nil
		}
	}
}

// dialer reaches the server under test.
type dialer struct {
	url     *url.URL
	header  http.Header
	tls     *tls.Config
	deflate bool // the server accepts plain permessage-deflate
	limit   time.Duration
}

// ErrURL is wrapped by the errors of TestServer and Drive about a URL that cannot be used.
var ErrURL = errors.New("conformance: wrong URL")

func newDialer(rawURL string, o *Options) (*dialer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	d := &dialer{url: u, header: o.Header, limit: o.Timeout}
	switch u.Scheme {
	case "ws", "http":
	case "wss", "https":
		d.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: o.InsecureSkipVerify, NextProtos: []string{"http/1.1"}} //nolint:gosec // asked for by name
	default:
		return nil, fmt.Errorf("%w: %q is not a ws or wss URL", ErrURL, rawURL)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: %q names no host", ErrURL, rawURL)
	}
	return d, nil
}

func (d *dialer) secure() bool { return d.tls != nil }

func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	port := d.url.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[d.secure()]
	}
	addr := net.JoinHostPort(d.url.Hostname(), port)
	if !d.secure() {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	return (&tls.Dialer{Config: d.tls}).DialContext(ctx, "tcp", addr)
}

// request is a good upgrade request.
func (d *dialer) request(key string) request {
	q := request{line: "GET " + d.url.RequestURI() + " HTTP/1.1"}
	q.lines = []string{
		"Host: " + d.url.Host,
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + key,
		"Sec-WebSocket-Version: 13",
	}
	for name, values := range d.header {
		for _, v := range values {
			q.lines = append(q.lines, name+": "+v)
		}
	}
	return q
}

// open connects to the server under test and sends a request with the edits, in pieces of chop bytes (0: whole), with
// behind directly after it. The response is left in s.resp.
func (s *session) open(edits []edit, chop int, behind []byte) error {
	conn, err := s.dial.connect(s.ctx)
	if err != nil {
		return failed("no TCP connection: %v", err)
	}
	s.use(conn, bufio.NewReaderSize(conn, 16<<10))
	var key [16]byte
	for i := range key {
		key[i] = byte(s.keys.Uint32())
	}
	s.req = s.dial.request(base64.StdEncoding.EncodeToString(key[:]))
	for _, e := range edits {
		e(&s.req.line, &s.req.lines)
	}
	p := append(head(s.req.line, s.req.lines), behind...)
	if chop == 0 {
		s.write("handshake: "+s.req.line, p)
	} else {
		s.writeChopped("handshake in pieces", p, chop)
	}
	s.resp = s.readResponse()
	return nil
}

func (s *session) readResponse() response {
	_ = s.conn.SetReadDeadline(time.Now().Add(min(s.untilDeadline(), 2*s.patience)))
	raw, err := readHead(s.r)
	if deadline, ok := s.ctx.Deadline(); ok {
		_ = s.conn.SetReadDeadline(deadline.Add(time.Second))
	}
	if err != nil {
		s.record("<", "no response: "+err.Error(), raw)
		return response{err: err}
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		s.record("<", "not an HTTP response: "+err.Error(), raw)
		return response{err: err}
	}
	_ = resp.Body.Close()
	line, _, _ := strings.Cut(string(raw), "\r\n")
	s.record("<", "handshake: "+line, raw)
	return response{line: line, status: resp.StatusCode, header: resp.Header}
}

// upgraded judges a response to a good request, RFC 6455 section 4.2.2. It reports what was agreed on compression.
func (s *session) upgraded(offer *terms) (*agreement, error) {
	h, p := s.resp.header, s.resp
	switch {
	case p.err != nil:
		return nil, failed("no response to the handshake: %v", p.err)
	case p.status != http.StatusSwitchingProtocols:
		return nil, failed("the handshake was answered with %q", p.line)
	case !strings.HasPrefix(p.line, "HTTP/1.1 "):
		return nil, failed("the answer is not HTTP/1.1: %q", p.line)
	case !strings.EqualFold(strings.TrimSpace(h.Get("Upgrade")), "websocket"):
		return nil, failed("Upgrade is %q, not websocket", h.Get("Upgrade"))
	case !hasToken(h, "Connection", "upgrade"):
		return nil, failed("Connection %q lacks the token Upgrade", h.Values("Connection"))
	case len(h.Values("Sec-Websocket-Accept")) != 1:
		return nil, failed("%d Sec-WebSocket-Accept fields, want one", len(h.Values("Sec-Websocket-Accept")))
	}
	if want := acceptKey(s.req.value("Sec-WebSocket-Key")); h.Get("Sec-Websocket-Accept") != want {
		return nil, failed("Sec-WebSocket-Accept is %q, want %q", h.Get("Sec-Websocket-Accept"), want)
	}
	if got := h.Values("Sec-Websocket-Protocol"); len(got) > 0 && s.req.value("Sec-WebSocket-Protocol") == "" {
		return nil, failed("the answer chose subprotocol %q, which nobody offered", got)
	}
	answer := strings.Join(h.Values("Sec-Websocket-Extensions"), ", ")
	if offer == nil {
		if answer != "" {
			return nil, failed("the answer names extension %q, which nobody offered", answer)
		}
		return nil, nil
	}
	return offer.confirm(answer)
}

func (q *request) value(name string) string {
	for _, l := range q.lines {
		if n, v, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (q *request) values(name string) (out []string) {
	for _, l := range q.lines {
		if n, v, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func hasToken(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// readRequest reads the upgrade request of a client under test.
func readRequest(r *bufio.Reader) (request, *http.Request, []byte, error) {
	rawHead, err := readHead(r)
	if err != nil {
		return request{}, nil, rawHead, err
	}
	hr, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(rawHead)))
	if err != nil {
		return request{}, nil, rawHead, err
	}
	lines := strings.Split(strings.TrimRight(string(rawHead), "\r\n"), "\r\n")
	return request{line: lines[0], lines: lines[1:]}, hr, rawHead, nil
}

// goodResponse is the answer to a client under test.
func (q *request) goodResponse() response {
	return response{line: "HTTP/1.1 101 Switching Protocols", lines: []string{
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Accept: " + acceptKey(q.value("Sec-WebSocket-Key")),
	}}
}
