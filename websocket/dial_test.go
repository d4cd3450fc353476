package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// dialServer is a server of literal bytes: it reads the head of a request and
// leaves the answer to the test.
type dialServer struct {
	t      *testing.T
	ln     net.Listener
	answer func(conn net.Conn, request string)

	mu       sync.Mutex
	requests []string
	closed   sync.WaitGroup // counts connections until the client ended them
}

func startDialServer(t *testing.T, answer func(conn net.Conn, request string)) *dialServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveDials(t, ln, answer)
}

func serveDials(t *testing.T, ln net.Listener, answer func(conn net.Conn, request string)) *dialServer {
	s := &dialServer{t: t, ln: ln, answer: answer}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.closed.Add(1)
			go s.serve(conn)
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return s
}

func (s *dialServer) serve(conn net.Conn) {
	defer s.closed.Done()
	defer conn.Close()
	request, err := readHead(conn)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	s.answer(conn, request)
	io.Copy(io.Discard, conn) // until the client closes: every failure must do so
}

func (s *dialServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *dialServer) address() string { return s.ln.Addr().String() }

// waitClosed returns when the client has closed every connection.
func (s *dialServer) waitClosed() { s.closed.Wait() }

// readHead reads up to the empty line, byte by byte so as to take no more.
func readHead(conn net.Conn) (string, error) {
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		if _, err := conn.Read(one); err != nil {
			return "", err
		}
		head = append(head, one[0])
	}
	return string(head), nil
}

func requestField(request, name string) string {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		return "unreadable request: " + err.Error()
	}
	if name == "Host" {
		return r.Host
	}
	return strings.Join(r.Header.Values(name), "|")
}

// switching is a correct answer to request, with extra header lines.
func switching(request string, extra ...string) string {
	lines := append([]string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + protocol.AcceptKey(requestField(request, "Sec-WebSocket-Key")),
	}, extra...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func acceptAll(conn net.Conn, request string) { io.WriteString(conn, switching(request)) }

// shake does what Dial does but for starting the connection, which these tests
// do not need.
func shake(ctx context.Context, rawURL string, o *DialOptions) (*established, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	target, err := parseTarget(rawURL)
	if err != nil {
		return nil, err
	}
	return d.dial(ctx, target)
}

// direct are options that no environment influences.
func direct() *DialOptions {
	return &DialOptions{Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
}

func mustShake(t *testing.T, rawURL string, o *DialOptions) *established {
	t.Helper()
	e, err := shake(t.Context(), rawURL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.conn.Close() })
	return e
}

// RFC 6455, section 4.1: the request, byte for byte.
func TestDialRequest(t *testing.T) {
	server := startDialServer(t, func(conn net.Conn, request string) {
		io.WriteString(conn, switching(request, "Sec-WebSocket-Protocol: superchat"))
	})
	o := direct()
	o.Subprotocols = []string{"chat", "superchat"}
	o.Header = http.Header{"Origin": {"http://example.com"}, "X-Two": {"1", "2"}}
	e := mustShake(t, "ws://"+server.address()+"/im?user_id=xxx", o)
	if e.agreement.Subprotocol != "superchat" || e.role != protocol.Client {
		t.Errorf("agreement %+v, role %v", e.agreement, e.role)
	}
	request := server.seen()[0]
	key := requestField(request, "Sec-WebSocket-Key")
	want := strings.Join([]string{
		"GET /im?user_id=xxx HTTP/1.1", "Host: " + server.address(), "Connection: Upgrade", "Origin: http://example.com",
		"Sec-WebSocket-Key: " + key, "Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Version: 13",
		"Upgrade: websocket", "User-Agent: duplex-websocket", "X-Two: 1", "X-Two: 2",
	}, "\r\n") + "\r\n\r\n"
	if request != want {
		t.Errorf("request is\n%s\nwant\n%s", request, want)
	}
	if len(key) != 24 {
		t.Errorf("key %q is not 16 bytes in base64", key)
	}
}

func TestDialHeaders(t *testing.T) {
	server := startDialServer(t, acceptAll)
	o := direct()
	o.Header = http.Header{"Host": {"virtual.example"}, "User-Agent": {""}}
	mustShake(t, "ws://user:p%40ss@"+server.address(), o)
	request := server.seen()[0]
	if got := requestField(request, "Host"); got != "virtual.example" {
		t.Errorf("Host is %q", got)
	}
	if strings.Contains(request, "User-Agent") {
		t.Error("an empty User-Agent was not left away")
	}
	if got := requestField(request, "Authorization"); got != "Basic dXNlcjpwQHNz" {
		t.Errorf("Authorization is %q, want user:p@ss", got)
	}

	o.Header = http.Header{"Authorization": {"Bearer x"}}
	mustShake(t, "ws://user:pass@"+server.address(), o)
	if got := requestField(server.seen()[1], "Authorization"); got != "Bearer x" {
		t.Errorf("Authorization is %q, want the program's", got)
	}
}

func TestDialOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		says   string
	}{
		{"upgrade", http.Header{"Upgrade": {"h2c"}}, "Upgrade, Dial decides it"},
		{"any case", http.Header{"sec-websocket-key": {"x"}}, "sec-websocket-key, Dial decides it"},
		{"subprotocol", http.Header{"Sec-Websocket-Protocol": {"x"}}, "use Subprotocols"},
		{"extensions", http.Header{"Sec-Websocket-Extensions": {"x"}}, "use Compression"},
		{"body", http.Header{"Content-Length": {"3"}}, "no body"},
		{"proxy", http.Header{"Proxy-Authorization": {"x"}}, "proxy's URL"},
		{"name", http.Header{"A b": {"x"}}, "not a header name"},
		{"spelling", http.Header{"x-lower": {"x"}}, "Header.Set"},
		{"injection", http.Header{"X": {"a\r\nB: c"}}, "characters"},
		{"two hosts", http.Header{"Host": {"a", "b"}}, "one host"},
		{"bad host", http.Header{"Host": {"a b"}}, "one host"},
	} {
		_, err := Dial(t.Context(), "ws://127.0.0.1:1/", &DialOptions{Header: c.header})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.says)
		}
	}
	if _, err := newDialer(&DialOptions{Options: Options{Subprotocols: []string{"a b"}}}); err == nil {
		t.Error("an invalid subprotocol was accepted")
	}
}

func TestDialCookies(t *testing.T) {
	server := startDialServer(t, func(conn net.Conn, request string) {
		io.WriteString(conn, switching(request, "Set-Cookie: fresh=1; Path=/", "Set-Cookie: other=2; Path=/elsewhere"))
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := direct()
	o.Jar = jar
	o.Header = http.Header{"Cookie": {"own=0"}}
	mustShake(t, "ws://"+server.address()+"/", o)
	mustShake(t, "ws://"+server.address()+"/", o)
	seen := server.seen()
	if got := requestField(seen[0], "Cookie"); got != "own=0" {
		t.Errorf("first Cookie is %q", got)
	}
	if got := requestField(seen[1], "Cookie"); got != "own=0; fresh=1" {
		t.Errorf("second Cookie is %q", got)
	}
}

// Whatever came behind the 101 belongs to the connection, however it was split.
func TestDialKeepsEarlyBytes(t *testing.T) {
	const hello = "\x81\x05Hello"
	for _, split := range []string{"one piece", "byte by byte"} {
		server := startDialServer(t, func(conn net.Conn, request string) {
			all := "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + switching(request) + hello
			if split == "one piece" {
				io.WriteString(conn, all)
				return
			}
			for i := range len(all) {
				io.WriteString(conn, all[i:i+1])
			}
		})
		e := mustShake(t, "ws://"+server.address()+"/", direct())
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(io.MultiReader(bytes.NewReader(e.buffered), e.conn), got); err != nil || string(got) != hello {
			t.Errorf("%s: behind the handshake came %q, %v", split, got, err)
		}
	}
}

// RFC 6455, section 4.1, "the client MUST validate the server's response".
func TestDialAnswers(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, answer string
		status       int
		says         string
		body         string
	}{
		{"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-A: b\r\n\r\ngone", 404, "is the path right?", "gone"},
		{"page", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", 200, "ordinary page", "page"},
		{"chunked", "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", 403, "does not allow", "abcdefg"},
		{"long body", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 2000\r\n\r\n" + long, 503, "Retry-After: 7", long[:1024]},
		{"body cut short", "HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\nabc", 500, "the server failed", "abc"},
		{"other version", "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n", 426, "another version", ""},
		{"unknown status", "HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", 599, "does not know", ""},
		{"TLS port of Go", "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", 400, "use wss://", "Client sent an HTTP request to an HTTPS server.\n"},
		{"wrong accept", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 101, "Accept", ""},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", 0, "not a WebSocket server", ""},
		{"TLS alert", "\x15\x03\x01\x00\x02\x02\x0a", 0, "use wss://", ""},
		{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00", 0, "HTTP/2 only", ""},
		{"nothing", "", 0, "before it answered", ""},
		{"cut short", "HTTP/1.1 101 Switch", 0, "before it answered", ""},
		{"endless line", "HTTP/1.1 101 " + strings.Repeat("x", 9000), 0, "limit", ""},
		{"many headers", "HTTP/1.1 101 X\r\n" + strings.Repeat("a: b\r\n", 101) + "\r\n", 0, "100", ""},
		{"only interim", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), 0, "interim", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startDialServer(t, func(conn net.Conn, _ string) {
				io.WriteString(conn, c.answer)
				conn.(*net.TCPConn).CloseWrite()
			})
			_, err := Dial(t.Context(), "ws://"+server.address()+"/", direct())
			refused, ok := err.(*HandshakeError)
			if !ok {
				t.Fatalf("error is %T %v, want a *HandshakeError", err, err)
			}
			if refused.Status != c.status || string(refused.Body) != c.body || !strings.Contains(err.Error(), c.says) {
				t.Errorf("status %d, body %q, text %q; want %d, %q and %q", refused.Status, refused.Body, err, c.status, c.body, c.says)
			}
			if c.name == "not found" && refused.Header.Get("X-A") != "b" {
				t.Errorf("header is %v", refused.Header)
			}
			server.waitClosed()
		})
	}
}

// A subprotocol or an extension that was not offered fails the connection.
func TestDialRefusesWhatWasNotOffered(t *testing.T) {
	for _, line := range []string{"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"} {
		server := startDialServer(t, func(conn net.Conn, request string) { io.WriteString(conn, switching(request, line)) })
		_, err := shake(t.Context(), "ws://"+server.address()+"/", direct())
		if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 101 || !strings.Contains(err.Error(), "not offered") {
			t.Errorf("%s: error is %v", line, err)
		}
		server.waitClosed()
	}
}

func TestDialRefusedPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = Dial(t.Context(), "ws://user:secret@"+ln.Addr().String()+"/chat?token=secret", direct())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatalf("error is %v", err)
	}
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
		t.Errorf("error %v does not unwrap to the dial's", err)
	}
	if !strings.HasPrefix(err.Error(), "websocket: no connection to ws://"+ln.Addr().String()+"/chat: ") || strings.Contains(err.Error(), "failed to") {
		t.Errorf("error is %q", err)
	}
}

// pipeDial returns a DialContext that hands the other end of a pipe to serve.
func pipeDial(serve func(conn net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go serve(server)
		return client, nil
	}
}

// The context and HandshakeTimeout bound every stage, and close the connection.
func TestDialTimeouts(t *testing.T) {
	silent := func(closed chan<- struct{}) func(net.Conn) {
		return func(conn net.Conn) { io.Copy(io.Discard, conn); close(closed) }
	}
	stages := []struct {
		name, url string
		proxy     string
	}{
		{"answer", "ws://h/", ""},
		{"TLS", "wss://h/", ""},
		{"CONNECT", "ws://h/", "http://p"},
		{"TLS to the proxy", "ws://h/", "https://p"},
		{"SOCKS5", "ws://h/", "socks5://p"},
	}
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan struct{})
				o := &DialOptions{DialContext: pipeDial(silent(closed)), Proxy: fixedProxy(stage.proxy)}
				o.HandshakeTimeout = 3 * time.Second
				start := time.Now()
				_, err := Dial(t.Context(), stage.url, o)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "HandshakeTimeout") {
					t.Errorf("error is %v, want the timeout", err)
				}
				if passed := time.Since(start); passed != o.HandshakeTimeout {
					t.Errorf("took %v", passed)
				}
				<-closed
			})
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan struct{})
				o := &DialOptions{DialContext: pipeDial(silent(closed)), Proxy: fixedProxy(stage.proxy)}
				ctx, cancel := context.WithCancelCause(t.Context())
				why := errors.New("changed my mind")
				time.AfterFunc(time.Second, func() { cancel(why) })
				_, err := Dial(ctx, stage.url, o)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
					t.Errorf("error is %v, want that of the context", err)
				}
				<-closed
			})
		})
	}
}

// A dialer that heeds its context gives the same error.
func TestDialTimeoutWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := direct()
		o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
		_, err := Dial(t.Context(), "ws://h/", o)
		want := "websocket: no connection to ws://h/: the handshake took longer than 10s (HandshakeTimeout)"
		if err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want %s", err, want)
		}
	})
}

// The body of a refusal is waited for one second only.
func TestDialSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := direct()
		o.DialContext = pipeDial(func(conn net.Conn) {
			readHead(conn)
			io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nab")
			io.Copy(io.Discard, conn)
		})
		start := time.Now()
		_, err := Dial(t.Context(), "ws://h/", o)
		refused, ok := err.(*HandshakeError)
		if !ok || string(refused.Body) != "ab" || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestDialUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "duplex") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := serveDials(t, ln, func(conn net.Conn, request string) {
		if strings.HasPrefix(request, "GET /away ") {
			io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.example/\r\n\r\n")
			return
		}
		if strings.HasPrefix(request, "GET /near ") {
			io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: chat?x=1\r\n\r\n")
			return
		}
		acceptAll(conn, request)
	})
	o := &DialOptions{UnixSocket: path, Proxy: func(*http.Request) (*url.URL, error) {
		return nil, errors.New("a proxy was asked for a Unix socket")
	}}
	mustShake(t, "ws://inside.example/near", o)
	if got := server.seen()[1]; !strings.HasPrefix(got, "GET /chat?x=1 HTTP/1.1\r\nHost: inside.example\r\n") {
		t.Errorf("request is %q", got)
	}
	if _, err := shake(t.Context(), "ws://inside.example/away", o); err == nil || !strings.Contains(err.Error(), "Unix socket") {
		t.Errorf("error is %v", err)
	}
}

// Every limit and the end of the header are found at any pace.
func TestDialSlowAnswer(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		head := "HTTP/1.1 101 X\r\n" + strings.Repeat("a: "+strings.Repeat("b", 100)+"\r\n", 90) + "\r\n"
		for i := range len(head) {
			if _, err := io.WriteString(server, head[i:i+1]); err != nil {
				return
			}
		}
	}()
	a, err := readAnswer(client, protocol.Limits{})
	if err != nil || len(a.response.Header.Values("A")) != 90 {
		t.Fatal(fmt.Sprintf("%+v", a), err)
	}
}
