package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

const (
	// maxRefusalBody is how much of a refusing answer's body the error keeps.
	maxRefusalBody = 1024

	// refusalBodyWait bounds the wait for that body: the refusal is known, and
	// a body that does not come must not delay it.
	refusalBodyWait = time.Second

	// parseStep is how many bytes without a line end are awaited before they
	// are checked against the limits again.
	parseStep = 1024

	// maxInterim is how many 1xx answers may precede the real one (RFC 9110,
	// section 15.2).
	maxInterim = 8
)

// answer is an HTTP answer's header, and what was read behind it.
type answer struct {
	response protocol.Response
	buf      []byte
	n        int // bytes of buf that the header took
}

func (a *answer) rest() []byte { return a.buf[a.n:] }

// readAnswer reads the header of an answer, passing over 1xx other than 101.
func readAnswer(conn net.Conn, limits protocol.Limits) (*answer, error) {
	r := answerReader{conn: conn, limits: limits}
	for range maxInterim {
		a, err := r.next()
		if err != nil {
			return nil, err
		}
		if s := a.response.Status; s >= 200 || s == http.StatusSwitchingProtocols {
			return a, nil
		}
		r.buf = a.rest()
	}
	return nil, &HandshakeError{Reason: "the server sent more than 8 interim answers (1xx)"}
}

// answerReader reads one answer after the other from conn.
type answerReader struct {
	conn   net.Conn
	limits protocol.Limits
	buf    []byte
}

func (r *answerReader) next() (*answer, error) {
	parsed := 0 // length of buf when it was last parsed
	for chunk := r.buf; ; {
		// Parsing starts over each time, so it waits for a line or for many
		// bytes: a server that sends byte by byte must not make it costly.
		if parsed == 0 || bytes.IndexByte(chunk, '\n') >= 0 || len(r.buf) >= parsed+parseStep {
			if a, err := r.parse(); a != nil || err != nil {
				return a, err
			}
			parsed = len(r.buf)
		}
		var err error
		if chunk, err = r.read(); err != nil {
			return nil, err
		}
	}
}

// parse returns nil, nil when more bytes are needed.
func (r *answerReader) parse() (*answer, error) {
	if len(r.buf) == 0 {
		return nil, nil
	}
	if reason := notHTTP(r.buf); reason != "" {
		return nil, &HandshakeError{Reason: reason}
	}
	response, n, err := protocol.ParseResponse(r.buf, r.limits)
	if err != nil {
		return nil, &HandshakeError{Reason: reasonOf(err), Err: err}
	}
	if n == 0 {
		return nil, nil
	}
	return &answer{response: response, buf: r.buf, n: n}, nil
}

// read appends what the connection has to buf and returns the new part.
func (r *answerReader) read() ([]byte, error) {
	var chunk [4096]byte
	n, err := r.conn.Read(chunk[:])
	if n > 0 {
		r.buf = append(r.buf, chunk[:n]...)
		return r.buf[len(r.buf)-n:], nil
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, wrong := r.parse(); wrong != nil {
		return nil, wrong
	}
	return nil, &HandshakeError{
		Reason: "the server ended the connection before it answered; is it a WebSocket server, and is the scheme (ws or wss) right?",
		Err:    io.ErrUnexpectedEOF,
	}
}

// notHTTP returns what the first bytes of an answer reveal when they cannot
// begin an HTTP/1 answer.
func notHTTP(b []byte) string {
	const http1 = "HTTP/1."
	if k := min(len(b), len(http1)); string(b[:k]) == http1[:k] {
		return ""
	}
	switch {
	case b[0] == 0x15 || b[0] == 0x16: // TLS alert, TLS handshake record
		return "the server speaks TLS where plain HTTP was expected; use wss://"
	case b[0] == 0x00 || bytes.HasPrefix(b, []byte("HTTP/2")): // a SETTINGS frame starts with its length
		return "the server speaks HTTP/2 only; WebSocket needs HTTP/1.1"
	}
	return "not a WebSocket server: its answer is not HTTP"
}

// describeTLS makes the errors of the commonest mistakes say what to do.
func describeTLS(err error) error {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		reason := "the server does not speak TLS on this port"
		if string(record.RecordHeader[:]) == "HTTP/" {
			reason = "the server speaks plain HTTP where TLS was expected; use ws:// or the port where it speaks TLS"
		}
		return &HandshakeError{Reason: reason, Err: err}
	}
	if errors.Is(err, io.EOF) {
		return &HandshakeError{Reason: "the server ended the connection during the TLS handshake; does it speak TLS on this port?", Err: io.ErrUnexpectedEOF}
	}
	return err
}

// refusal reads the start of the body of an answer that is not 101 and makes
// the error of it.
func refusal(conn net.Conn, a *answer) *HandshakeError {
	e := &HandshakeError{Status: a.response.Status, Header: http.Header(a.response.Header)}
	source := io.Reader(bytes.NewReader(a.buf))
	if !isRedirect(e.Status) { // nobody reads a redirect's body, and waiting for it delays the next step
		conn.SetReadDeadline(time.Now().Add(refusalBodyWait)) // without deadlines the context still bounds it
		source = io.MultiReader(source, conn)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(source), &http.Request{Method: http.MethodGet}); err == nil {
		// An error here means a body cut short, of which what came is kept.
		e.Body, _ = io.ReadAll(io.LimitReader(resp.Body, maxRefusalBody))
	}
	e.Reason = describeRefusal(e)
	return e
}

// refusalAdvice says what a status usually means for a WebSocket client.
var refusalAdvice = map[int]string{
	http.StatusOK:                      "an ordinary page, not a WebSocket; is the path right?",
	http.StatusBadRequest:              "it does not accept the handshake; is it a WebSocket server?",
	http.StatusUnauthorized:            "it wants credentials; set Header's Authorization, or user:password in the URL",
	http.StatusForbidden:               "it does not allow this origin, user or address",
	http.StatusNotFound:                "is the path right?",
	http.StatusMethodNotAllowed:        "not a WebSocket; is the path right?",
	http.StatusRequestTimeout:          "it was too slow for the server; try again",
	http.StatusGone:                    "nothing is here any more",
	http.StatusUpgradeRequired:         "it speaks another version of the protocol",
	http.StatusTooManyRequests:         "too many connections or attempts; try again later",
	http.StatusInternalServerError:     "the server failed",
	http.StatusNotImplemented:          "not a WebSocket server",
	http.StatusBadGateway:              "the proxy in front of the server does not reach it",
	http.StatusServiceUnavailable:      "the server is not ready; try again later",
	http.StatusGatewayTimeout:          "the proxy in front of the server does not reach it",
	http.StatusHTTPVersionNotSupported: "not a WebSocket server: it does not speak HTTP/1.1",
}

// httpsHints are what common servers write when plain HTTP reaches their TLS
// port: Go's, nginx's, Apache's.
var httpsHints = []string{"HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port", "speaking plain HTTP to an SSL-enabled"}

func describeRefusal(e *HandshakeError) string {
	reason := http.StatusText(e.Status)
	if reason == "" {
		reason = "a status that HTTP does not know"
	}
	if e.Status == http.StatusBadRequest {
		for _, hint := range httpsHints {
			if bytes.Contains(e.Body, []byte(hint)) {
				return reason + "; it speaks TLS where plain HTTP was expected; use wss://"
			}
		}
	}
	if advice := refusalAdvice[e.Status]; advice != "" {
		reason += "; " + advice
	}
	if after := e.Header.Get("Retry-After"); after != "" {
		reason += " (Retry-After: " + after + ")"
	}
	return reason
}

// reasonOf returns the sentence of a protocol.HandshakeError without a prefix,
// because the error around it has one.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*protocol.HandshakeError](err); ok {
		return e.Reason
	}
	return err.Error()
}
