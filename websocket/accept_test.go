package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// patience bounds what a test waits for; it is reached only when it fails.
const patience = 20 * time.Second

const handshake = "GET /chat?user=bob HTTP/1.1\r\nHost: server.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// outcome is what Accept returned.
type outcome struct {
	conn *Conn
	err  error
}

// serveAccept serves Accept with o behind wrap and reports what it returned.
func serveAccept(t *testing.T, o *AcceptOptions, wrap func(http.Handler) http.Handler) (address string, outcomes <-chan outcome) {
	t.Helper()
	results := make(chan outcome, 8)
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if c != nil {
			t.Cleanup(func() { c.CloseNow() })
		}
		results <- outcome{c, err}
	})
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), results
}

// rawDial opens a TCP connection and sends text.
func rawDial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends text and returns all that comes until the server closes.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	answer, err := io.ReadAll(rawDial(t, address, text))
	if err != nil {
		t.Fatalf("the server did not close the connection: %v; it sent %q", err, answer)
	}
	return string(answer)
}

// mustRefuse checks a refusal as the peer sees it: status, a text body, and the
// announcement that the connection closes, which [exchange] has seen.
func mustRefuse(t *testing.T, answer string, status int, part string) *http.Response {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(answer))
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status || !strings.Contains(string(body), part) {
		t.Errorf("status %d, body %q; want %d, ...%s...", resp.StatusCode, body, status, part)
	}
	if !resp.Close {
		t.Errorf("the answer does not say Connection: close: %q", answer)
	}
	if rest, _ := io.ReadAll(reader); len(rest) > 0 {
		t.Errorf("%q follows the answer", rest)
	}
	return resp
}

// RFC 6455, section 4.2.2: the response, byte for byte.
func TestAccept(t *testing.T) {
	address, outcomes := serveAccept(t, &AcceptOptions{
		Options: Options{Subprotocols: []string{"v2", "v1"}, Compression: Compression{Mode: CompressionNoTakeover}},
	}, nil)
	conn := rawDial(t, address, handshake+
		"Sec-WebSocket-Protocol: v1, v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	out := <-outcomes
	if out.err != nil {
		t.Fatal(out.err)
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v2\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	if out.conn.Subprotocol() != "v2" || !strings.HasPrefix(out.conn.Extensions(), "permessage-deflate") {
		t.Errorf("subprotocol %q, extensions %q", out.conn.Subprotocol(), out.conn.Extensions())
	}
	if r := out.conn.Request(); r == nil || r.URL.Query().Get("user") != "bob" {
		t.Errorf("request is %v", r)
	}
}

// A client may send frames right behind its handshake, before it is answered.
func TestAcceptTakesOverBufferedBytes(t *testing.T) {
	address, outcomes := serveAccept(t, nil, nil)
	frame := protocol.AppendHeader(nil, protocol.FrameHeader{Fin: true, Opcode: protocol.OpText, Masked: true, Length: 5})
	rawDial(t, address, handshake+"\r\n"+string(frame)+"hello")
	out := <-outcomes
	if out.err != nil {
		t.Fatal(out.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	typ, p, err := out.conn.Read(ctx)
	if typ != Text || string(p) != "hello" || err != nil {
		t.Errorf("read %v %q, %v", typ, p, err)
	}
}

func TestAcceptRefusals(t *testing.T) {
	invalid := &AcceptOptions{OriginPatterns: []string{"*"}}
	tests := []struct {
		name    string
		options *AcceptOptions
		request string
		status  int
		part    string
	}{
		{"ordinary request", nil, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426, "Upgrade: websocket"},
		{"POST with a body", nil, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 405, "GET"},
		{"HTTP/1.0", nil, strings.Replace(handshake, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n", 505, "proxy_http_version"},
		{"version 8", nil, strings.Replace(handshake, ": 13", ": 8", 1) + "\r\n", 426, "version 13"},
		{"bad key", nil, strings.Replace(handshake, "dGhl", "", 1) + "\r\n", 400, "16 bytes"},
		{"bad extensions", nil, handshake + "Sec-WebSocket-Extensions: a;;b\r\n\r\n", 400, "Sec-WebSocket-Extensions"},
		{"bad subprotocols", nil, handshake + "Sec-WebSocket-Protocol: a, a\r\n\r\n", 400, "twice"},
		{"body", nil, handshake + "Content-Length: 3\r\n\r\nabc", 400, "body"},
		{"chunked body", nil, handshake + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "body"},
		{"foreign origin", nil, handshake + "Origin: https://evil.example\r\n\r\n", 403, `"https://evil.example" to AcceptOptions.OriginPatterns`},
		{"invalid options", invalid, handshake + "\r\n", 500, "Internal Server Error"},
		{"no place", &AcceptOptions{Limit: fullLimit(t)}, handshake + "\r\n", 503, "places"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			address, outcomes := serveAccept(t, test.options, nil)
			resp := mustRefuse(t, exchange(t, address, test.request), test.status, test.part)
			if typ := resp.Header.Get("Content-Type"); typ != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type is %q", typ)
			}
			if test.status == 426 && (resp.Header.Get("Sec-WebSocket-Version") != "13" || resp.Header.Get("Upgrade") != "websocket") {
				t.Errorf("header of 426 is %v", resp.Header)
			}
			out := <-outcomes
			if refused, ok := errors.AsType[*HandshakeError](out.err); !ok || refused.Status != test.status || out.conn != nil {
				t.Errorf("Accept returned %v, %v", out.conn, out.err)
			}
		})
	}
}

func TestConnLimitSet(t *testing.T) {
	l := &ConnLimit{}
	r := httptest.NewRequest("GET", "/", nil)
	take := func() (func(), int) {
		release, err := l.acquire(r)
		var refused *HandshakeError
		if errors.As(err, &refused) {
			return nil, refused.Status
		}
		return release, 0
	}
	first, _ := take()
	l.Set(0, 1)
	second, status := take() // the first came before addresses were counted
	if status != 0 {
		t.Errorf("refused with %d", status)
	}
	if _, status := take(); status != http.StatusTooManyRequests {
		t.Errorf("a second one from the address: %d", status)
	}
	l.Set(2, 0)
	if _, status := take(); status != http.StatusServiceUnavailable {
		t.Errorf("a third one: %d", status)
	}
	first()
	second()
	if n := l.Len(); n != 0 || len(l.byAddress) != 0 {
		t.Errorf("%d places and %d addresses are left", n, len(l.byAddress))
	}
}

func TestCheckOrigin(t *testing.T) {
	o := &AcceptOptions{OriginPatterns: []string{"https://*.example.com"}}
	for origin, status := range map[string]int{
		"": 0, "http://example.com": 0, "https://app.example.com": 0, "https://evil.com": 403, "null": 403, "http://example.com:81": 403,
	} {
		r := httptest.NewRequest("GET", "http://example.com/", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		var refused *HandshakeError
		if err := o.CheckOrigin(r); errors.As(err, &refused) != (status != 0) || status != 0 && refused.Status != status {
			t.Errorf("%q: %v", origin, err)
		}
	}
	r := httptest.NewRequest("GET", "http://example.com/", nil)
	if (&AcceptOptions{OriginPatterns: []string{"*"}}).CheckOrigin(r) == nil {
		t.Error("a malformed pattern allows")
	}
}

func fullLimit(t *testing.T) *ConnLimit {
	l := &ConnLimit{Total: 1}
	mustAcquire(t, l, "192.0.2.1:1")
	return l
}

// The reason of a server's own mistake is for its owner, not for the peer.
func TestAcceptKeepsInternalReasonsInside(t *testing.T) {
	for name, o := range map[string]*AcceptOptions{
		"options":     {OriginPatterns: []string{"secret"}},
		"interceptor": {Interceptors: []func(*Upgrade) error{func(*Upgrade) error { return errors.New("secret") }}},
		"panic": {Interceptors: []func(*Upgrade) error{func(*Upgrade) error { panic("secret") }},
			Options: Options{Logger: slog.New(slog.DiscardHandler)}},
		"header": {Interceptors: []func(*Upgrade) error{func(u *Upgrade) error { u.Header.Set("X", "secret\n"); return nil }}},
		"status": {Interceptors: []func(*Upgrade) error{func(u *Upgrade) error { return &HandshakeError{Status: 101, Reason: "secret"} }}},
	} {
		t.Run(name, func(t *testing.T) {
			address, outcomes := serveAccept(t, o, nil)
			answer := exchange(t, address, handshake+"\r\n")
			mustRefuse(t, answer, 500, "Internal Server Error")
			if strings.Contains(answer, "secret") {
				t.Errorf("the peer is told: %q", answer)
			}
			if out := <-outcomes; !strings.Contains(out.err.Error(), "secret") {
				t.Errorf("the owner is not told: %v", out.err)
			}
		})
	}
}

type userKey struct{}

func TestAcceptInterceptors(t *testing.T) {
	type ctxKey struct{}
	var order []string
	o := &AcceptOptions{Options: Options{Subprotocols: []string{"v1"}}, Interceptors: []func(*Upgrade) error{
		func(u *Upgrade) error {
			order = append(order, "one", u.Subprotocol())
			u.SetAttribute(userKey{}, u.Request.URL.Query().Get("user"))
			u.Header.Add("Set-Cookie", "b=2")
			return nil
		},
		func(u *Upgrade) error {
			order = append(order, "two", fmt.Sprint(u.Attribute(userKey{})), fmt.Sprint(u.Attribute("none")))
			u.Request = u.Request.WithContext(context.WithValue(u.Request.Context(), ctxKey{}, "kept"))
			return nil
		},
	}}
	address, outcomes := serveAccept(t, o, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, field := range []string{"Set-Cookie: a=1", "Content-Type: text/html", "Content-Encoding: gzip", "Connection: close", "Etag: x", "Vary: Origin"} {
				name, value, _ := strings.Cut(field, ": ")
				w.Header().Set(name, value)
			}
			next.ServeHTTP(w, r)
		})
	})
	conn := rawDial(t, address, handshake+"Sec-WebSocket-Protocol: v1\r\n\r\n")
	out := <-outcomes
	if out.err != nil {
		t.Fatal(out.err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookies := strings.Join(resp.Header["Set-Cookie"], " "); cookies != "a=1 b=2" || resp.Header.Get("Vary") != "Origin" || len(resp.Header) != 6 {
		t.Errorf("response header is %v", resp.Header)
	}
	if got := strings.Join(order, " "); got != "one v1 two bob <nil>" {
		t.Errorf("interceptors saw %q", got)
	}
	if got := out.conn.Attribute(userKey{}); got != "bob" {
		t.Errorf("attribute is %v", got)
	}
	if out.conn.Request().Context().Value(ctxKey{}) != "kept" {
		t.Error("the replaced request is lost")
	}
}

func TestAcceptInterceptorRefuses(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		body   string
		header http.Header
	}{
		{"reason", &HandshakeError{Status: 401, Reason: "log in first"}, 401, "log in first\n", nil},
		{"body and header", &HandshakeError{Status: 403, Reason: "no", Body: []byte(`{"error":1}`), Header: http.Header{"Content-Type": {"application/json"}}},
			403, `{"error":1}`, http.Header{"Content-Type": {"application/json"}}},
		{"redirect", &HandshakeError{Status: 307, Header: http.Header{"Location": {"/login"}}}, 307, "Temporary Redirect\n", http.Header{"Location": {"/login"}}},
		{"own status", &HandshakeError{Status: 499, Reason: "x"}, 499, "x\n", nil},
		{"success of another kind", &HandshakeError{Status: 200, Body: []byte("healthy")}, 200, "healthy", nil},
		{"without a body", &HandshakeError{Status: 204}, 204, "", nil},
		{"empty body", &HandshakeError{Status: 403, Body: []byte{}}, 403, "", nil},
		{"headers that would lie", &HandshakeError{Status: 403, Reason: "no", Header: http.Header{"content-length": {"1000"}, "Connection": {"keep-alive"}, "Transfer-Encoding": {"chunked"}}},
			403, "no\n", nil},
		{"wrapped", fmt.Errorf("check: %w", &HandshakeError{Status: 402, Reason: "pay"}), 402, "pay\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limit := &ConnLimit{Total: 1}
			later := false
			address, outcomes := serveAccept(t, &AcceptOptions{Limit: limit, Interceptors: []func(*Upgrade) error{
				func(*Upgrade) error { return test.err },
				func(*Upgrade) error { later = true; return nil },
			}}, nil)
			answer := exchange(t, address, handshake+"\r\n")
			resp := mustRefuse(t, answer, test.status, test.body)
			_, body, _ := strings.Cut(answer, "\r\n\r\n")
			if body != test.body {
				t.Errorf("body is %q, want %q", body, test.body)
			}
			for name := range test.header {
				if resp.Header.Get(name) != test.header.Get(name) {
					t.Errorf("%s is %q", name, resp.Header.Get(name))
				}
			}
			out := <-outcomes
			if refused, ok := errors.AsType[*HandshakeError](out.err); !ok || refused.Status != test.status {
				t.Errorf("Accept returned %v", out.err)
			}
			if later || limit.Len() != 0 {
				t.Errorf("later interceptor called: %v, places taken: %d", later, limit.Len())
			}
		})
	}
}

// A panic is logged with where it happened, refuses, and costs nothing else.
func TestAcceptInterceptorPanics(t *testing.T) {
	var log bytes.Buffer
	limit := &ConnLimit{Total: 1}
	address, outcomes := serveAccept(t, &AcceptOptions{
		Options: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, Limit: limit,
		Interceptors: []func(*Upgrade) error{func(*Upgrade) error { panic("database is gone") }},
	}, nil)
	mustRefuse(t, exchange(t, address, handshake+"\r\n"), 500, "Internal Server Error")
	<-outcomes
	if got := log.String(); !strings.Contains(got, "database is gone") || !strings.Contains(got, "accept_test.go") || !strings.Contains(got, "/chat") {
		t.Errorf("log is %q", got)
	}
	if limit.Len() != 0 {
		t.Error("the place is not given back")
	}
}

// The place belongs to the connection and is given back when that is over.
func TestAcceptLimitIsReleased(t *testing.T) {
	limit := &ConnLimit{Total: 1, PerAddress: 1}
	conns, released := make(chan *Conn), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := upgrade(w, r, &AcceptOptions{Limit: limit})
		if err != nil {
			return
		}
		release := e.release
		e.release = func() { release(); released <- struct{}{} }
		conns <- startBlocking(e)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	for range 3 {
		rawDial(t, address, handshake+"\r\n")
		c := <-conns
		mustRefuse(t, exchange(t, address, handshake+"\r\n"), 503, "try again later")
		if limit.Len() != 1 {
			t.Fatalf("%d places are taken by one connection", limit.Len())
		}
		c.CloseNow()
		<-released
		if limit.Len() != 0 {
			t.Fatalf("%d places are taken after the end", limit.Len())
		}
	}
}

// unwrapping is a middleware's ResponseWriter as net/http asks for it.
type unwrapping struct{ http.ResponseWriter }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// hiding is a middleware's ResponseWriter that hides Hijack.
type hiding struct{ http.ResponseWriter }

func TestAcceptBehindMiddleware(t *testing.T) {
	address, outcomes := serveAccept(t, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(unwrapping{unwrapping{w}}, r) })
	})
	rawDial(t, address, handshake+"\r\n")
	if out := <-outcomes; out.err != nil {
		t.Error(out.err)
	}

	limit := &ConnLimit{}
	address, outcomes = serveAccept(t, &AcceptOptions{Limit: limit}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(hiding{w}, r) })
	})
	mustRefuse(t, exchange(t, address, handshake+"\r\n"), 500, "Internal Server Error")
	if out := <-outcomes; !strings.Contains(out.err.Error(), "websocket.hiding") || !strings.Contains(out.err.Error(), "Unwrap") {
		t.Errorf("the error does not help: %v", out.err)
	}

	address, outcomes = serveAccept(t, &AcceptOptions{Limit: limit}, func(next http.Handler) http.Handler {
		return http.TimeoutHandler(next, patience, "")
	})
	mustRefuse(t, exchange(t, address, handshake+"\r\n"), 500, "Internal Server Error")
	if out := <-outcomes; !strings.Contains(out.err.Error(), "TimeoutHandler") {
		t.Errorf("the error does not help: %v", out.err)
	}
	if limit.Len() != 0 {
		t.Errorf("%d places are not given back", limit.Len())
	}
}

func TestAcceptOverHTTP2(t *testing.T) {
	results := make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := Accept(w, r, nil)
		results <- err
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 505 || !strings.Contains(string(body), "HTTP/2") {
		t.Errorf("%s %s: %q", resp.Proto, resp.Status, body)
	}
	if err := <-results; err == nil {
		t.Error("accepted")
	}
}

// recordingConn notes the deadlines that are set and what is written when.
type recordingConn struct {
	net.Conn
	read, write time.Time
	writtenBy   time.Time // the write deadline at the time of the first Write
	fail        error
	closed      bool
}

func (c *recordingConn) SetDeadline(t time.Time) error      { c.read, c.write = t, t; return nil }
func (c *recordingConn) SetReadDeadline(t time.Time) error  { c.read = t; return nil }
func (c *recordingConn) SetWriteDeadline(t time.Time) error { c.write = t; return nil }
func (c *recordingConn) Close() error                       { c.closed = true; return nil }

func (c *recordingConn) Write(p []byte) (int, error) {
	if c.writtenBy.IsZero() {
		c.writtenBy = c.write
	}
	return len(p), c.fail
}

// hijackable hands out conn, as a server with its own deadlines would.
type hijackable struct {
	*httptest.ResponseRecorder
	conn   *recordingConn
	behind string
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r := bufio.NewReader(strings.NewReader(h.behind))
	r.Peek(len(h.behind))
	return h.conn, bufio.NewReadWriter(r, bufio.NewWriter(io.Discard)), nil
}

// golang/go#8296: deadlines of the HTTP server survive a hijack.
func TestUpgradeClearsDeadlines(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	conn := &recordingConn{read: soon, write: soon}
	w := &hijackable{httptest.NewRecorder(), conn, "frames"}
	started := time.Now()
	e, err := upgrade(w, upgradeRequest("h", "", nil), &AcceptOptions{Options: Options{HandshakeTimeout: 7 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if !conn.read.IsZero() || !conn.write.IsZero() {
		t.Errorf("deadlines are left: %v, %v", conn.read, conn.write)
	}
	if limit := conn.writtenBy.Sub(started); limit < 7*time.Second || limit > 7*time.Second+patience {
		t.Errorf("the response had %v, want 7s", limit)
	}
	if string(e.buffered) != "frames" || cap(e.buffered) > 16 {
		t.Errorf("buffered is %q with room for %d", e.buffered, cap(e.buffered))
	}
}

// A peer that goes away while it is answered leaves nothing behind.
func TestUpgradeWriteFails(t *testing.T) {
	limit := &ConnLimit{}
	conn := &recordingConn{fail: io.ErrClosedPipe}
	_, err := upgrade(&hijackable{httptest.NewRecorder(), conn, ""}, upgradeRequest("h", "", nil), &AcceptOptions{Limit: limit})
	if !errors.Is(err, io.ErrClosedPipe) || !conn.closed || limit.Len() != 0 {
		t.Errorf("error %v, closed %v, %d places taken", err, conn.closed, limit.Len())
	}
}

// kemal#767: a refused upgrade left its connection open for more requests. What
// a client sends behind a handshake may be frames; as HTTP it would be a request
// that the proxy in front has never seen.
func TestSecurityKemal767RefusedUpgradeCloses(t *testing.T) {
	smuggled := "GET /admin HTTP/1.1\r\nHost: server.example\r\n\r\n"
	for name, first := range map[string]string{
		"origin":       handshake + "Origin: https://evil.example\r\n\r\n",
		"key":          strings.Replace(handshake, "dGhl", "", 1) + "\r\n",
		"version":      strings.Replace(handshake, ": 13", ": 12", 1) + "\r\n",
		"keep-alive":   strings.Replace(handshake, "Connection: Upgrade", "Connection: keep-alive, Upgrade", 1) + "Origin: null\r\n\r\n",
		"HTTP/1.0":     strings.Replace(strings.Replace(handshake, "HTTP/1.1", "HTTP/1.0", 1), "Connection: Upgrade", "Connection: keep-alive, Upgrade", 1) + "\r\n",
		"interceptor":  handshake + "X-Refuse: yes\r\n\r\n",
		"body":         handshake + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)),
		"not upgrade":  "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"other method": strings.Replace(handshake, "GET", "DELETE", 1) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan string, 8)
			address, _ := serveAccept(t, &AcceptOptions{Interceptors: []func(*Upgrade) error{func(u *Upgrade) error {
				if u.Request.Header.Get("X-Refuse") != "" {
					return &HandshakeError{Status: 403, Header: http.Header{"Connection": {"keep-alive"}}}
				}
				return nil
			}}}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests <- r.URL.Path
					next.ServeHTTP(w, r)
				})
			})
			answer := exchange(t, address, first+smuggled)
			if n := strings.Count(answer, "\r\nDate: "); n != 1 {
				t.Errorf("%d answers: %q", n, answer)
			}
			if !strings.Contains(answer, "\r\nConnection: close\r\n") && !strings.HasPrefix(answer, "HTTP/1.0") {
				t.Errorf("the answer does not announce the end: %q", answer)
			}
			if path := <-requests; path == "/admin" || len(requests) > 0 {
				t.Error("the second request was served")
			}
		})
	}
}

// CVE-2023-43669 and CVE-2024-37890, through net/http, whose own limits are far
// higher: the refusal is an answer and not a crash.
func TestSecurityCVE202437890AcceptManyHeaders(t *testing.T) {
	address, _ := serveAccept(t, nil, nil)
	mustRefuse(t, exchange(t, address, handshake+strings.Repeat("X: y\r\n", 5000)+"\r\n"), 431, "limit of 100")
}

func TestSecurityCVE202343669AcceptLongHeader(t *testing.T) {
	address, _ := serveAccept(t, nil, nil)
	mustRefuse(t, exchange(t, address, handshake+"X: "+strings.Repeat("y", 100_000)+"\r\n\r\n"), 431, "limit of 8192")
}

// CVE-2021-32640 and GHSA-5v72-xg48-5rpm, through net/http.
func TestSecurityCVE202132640AcceptSpaces(t *testing.T) {
	address, outcomes := serveAccept(t, &AcceptOptions{Options: Options{Subprotocols: []string{"b"}}}, nil)
	rawDial(t, address, handshake+"Sec-WebSocket-Protocol: b"+strings.Repeat(" ", 8000)+",a\r\n\r\n")
	if out := <-outcomes; out.err != nil || out.conn.Subprotocol() != "b" {
		t.Errorf("%v", out.err)
	}
}

func TestSecurityGHSA5v72xg485rpmAcceptExtensionNames(t *testing.T) {
	address, outcomes := serveAccept(t, &AcceptOptions{Options: Options{Compression: Compression{Mode: CompressionTakeover}}}, nil)
	for _, value := range []string{"constructor", "__proto__; constructor=1", "permessage-deflate; toString"} {
		rawDial(t, address, handshake+"Sec-WebSocket-Extensions: "+value+"\r\n\r\n")
		if out := <-outcomes; out.err != nil || out.conn.Extensions() != "" {
			t.Errorf("%s: %v", value, out.err)
		}
	}
}

// upgrade is what Accept does before it starts the connection.
func upgrade(w http.ResponseWriter, r *http.Request, o *AcceptOptions) (established, error) {
	a, err := newAcceptor(o)
	if err != nil {
		return established{}, err
	}
	e, response, err := a.upgrade(w, r)
	if err != nil {
		return established{}, err
	}
	return e, a.send(&e, response)
}
