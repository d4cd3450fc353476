package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// serve starts a WebSocket server whose connections are handled by handle, and returns its ws:// URL.
func serve(t *testing.T, o *websocket.AcceptOptions, handle func(ctx context.Context, c *websocket.Conn)) string {
	t.Helper()
	server := httptest.NewServer(handler(t, o, handle))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func handler(t *testing.T, o *websocket.AcceptOptions, handle func(ctx context.Context, c *websocket.Conn)) http.Handler {
	ctx := t.Context()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, o)
		if err != nil {
			return
		}
		defer c.CloseNow()
		handle(ctx, c)
	})
}

func echo(ctx context.Context, c *websocket.Conn) {
	for {
		typ, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		if c.Write(ctx, typ, p) != nil {
			return
		}
	}
}

// closing returns a handler that closes at once.
func closing(code websocket.StatusCode, reason string) func(context.Context, *websocket.Conn) {
	return func(ctx context.Context, c *websocket.Conn) { c.Close(ctx, code, reason) }
}

// silent says nothing until the client closes.
func silent(ctx context.Context, c *websocket.Conn) {
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return
		}
	}
}

// frames returns the URL of a server that answers the handshake and then sends these bytes, whatever they are, and
// ends the connection.
func frames(t *testing.T, sent string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
			protocol.AcceptKey(r.Header.Get("Sec-WebSocket-Key")), sent)
		rw.Flush()
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

type result struct {
	stdout, stderr string
	code           int
	err            error
}

// parse reads arguments as the command line does.
func parse(t *testing.T, args ...string) (*connectCmd, error) {
	t.Helper()
	var cli struct {
		Connect connectCmd `cmd:"" help:"Connect."`
	}
	parser, err := kong.New(&cli, kong.Name("duplex"), kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"connect"}, args...))
	return &cli.Connect, err
}

// pipe is a console without a terminal.
func pipe(stdin io.Reader, stdout, stderr io.Writer) *console {
	return &console{stdin: stdin, stdout: stdout, stderr: stderr, getenv: func(string) string { return "" }}
}

// connect runs the command in this process, with pipes.
func connect(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return connectOn(t, t.Context(), func(stdout, stderr io.Writer) *console {
		return pipe(strings.NewReader(stdin), stdout, stderr)
	}, args...)
}

func connectOn(t *testing.T, ctx context.Context, con func(stdout, stderr io.Writer) *console, args ...string) result {
	t.Helper()
	cmd, err := parse(t, args...)
	if err != nil {
		return result{stderr: err.Error(), code: exitCode(err), err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err = cmd.run(ctx, con(&stdout, &stderr))
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return result{stdout.String(), stderr.String(), exitCode(err), err}
}

func (r result) want(t *testing.T, code int, stdout string) {
	t.Helper()
	if r.code != code || r.stdout != stdout {
		t.Errorf("exit code %d, output %q; want %d, %q. Standard error:\n%s", r.code, r.stdout, code, stdout, r.stderr)
	}
}

func (r result) says(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("standard error does not say %q:\n%s", w, r.stderr)
		}
	}
}

func TestConnectSends(t *testing.T) {
	url := serve(t, nil, echo)
	big := strings.Repeat("x", 300<<10)
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"one shot", "ignored\n", []string{"-x", "hello", "--count", "1"}, "hello\n"},
		{"several shots", "", []string{"-x", "a,b", "-x", "c", "--count", "2"}, "a,b\nc\n"},
		{"lines", "a\nb\r\n\nlast", []string{"--count", "4"}, "a\nb\n\nlast\n"},
		{"slashes in a pipe are text", "/quit\n", []string{"--count", "1"}, "/quit\n"},
		{"slash commands on request", "/hex 0061\n//x\n", []string{"--slash", "--count", "2"}, strings.TrimLeft(hex.Dump([]byte("\x00a")), "") + "/x\n"},
		{"binary lines", "a\xff\n", []string{"--binary", "--raw", "--count", "1"}, "a\xff"},
		{"whole input", "a\nb\n", []string{"--whole", "--raw", "--count", "1"}, "a\nb\n"},
		{"whole binary input", "a\n\xff", []string{"--whole", "--binary", "--raw", "--count", "1"}, "a\n\xff"},
		{"JSON", "", []string{"-x", `{"a":[1]}`, "--json", "--count", "1"}, "{\n  \"a\": [\n    1\n  ]\n}\n"},
		{"compression", strings.Repeat("hello hello hello\n", 3), []string{"--compression", "takeover", "--count", "3"}, strings.Repeat("hello hello hello\n", 3)},
		{"no more than count", "a\nb\nc\n", []string{"--count", "2"}, "a\nb\n"},
		{"count of 0 waits", "a\n", []string{"--wait", "200ms"}, "a\n"},
		{"a megabyte", "", []string{"-x", big, "--count", "1"}, big + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			connect(t, c.stdin, append(c.args, url)...).want(t, exitOK, c.want)
		})
	}
}

// A server that answers while we still send must not make each wait for the other.
func TestConnectSendsAndReceivesAtOnce(t *testing.T) {
	input := strings.Repeat(strings.Repeat("y", 64<<10)+"\n", 400)
	r := connect(t, input, "--count", "400", "--wait", "15s", serve(t, nil, echo))
	if r.code != exitOK || r.stdout != input {
		t.Errorf("exit code %d, %d of %d bytes came back: %s", r.code, len(r.stdout), len(input), r.stderr)
	}
}

func TestConnectWaitsForAnswers(t *testing.T) {
	url := serve(t, nil, silent)
	r := connect(t, "", "-x", "hello?", "--wait", "50ms", url)
	r.want(t, exitOK, "")
	r.says(t, "closed with 1000 (normal closure)")

	r = connect(t, "", "-x", "hello?", "--count", "1", "--wait", "50ms", url)
	r.want(t, exitNoAnswer, "")
	r.says(t, "0 messages came, --count asks for 1")

	r = connect(t, "", "--count", "2", serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		c.Write(ctx, websocket.Text, []byte("one"))
		c.Close(ctx, websocket.StatusNormalClosure, "")
	}))
	r.want(t, exitNoAnswer, "one\n")
}

func TestConnectExitCodes(t *testing.T) {
	for _, c := range []struct {
		name  string
		url   string
		code  int
		words []string
	}{
		{"1000", serve(t, nil, closing(1000, "good \x1b[2J bye")), exitOK, []string{"closed by the server with 1000 (normal closure): good \\x1b[2J bye"}},
		{"1001", serve(t, nil, closing(1001, "")), exitOK, []string{"1001 (going away)"}},
		{"no code", frames(t, "\x88\x00"), exitOK, []string{"1005 (no status received)"}},
		{"1002", serve(t, nil, closing(1002, "")), exitProtocol, []string{"1002 (protocol error)"}},
		{"1007", serve(t, nil, closing(1007, "")), exitProtocol, []string{"1007"}},
		{"1008", serve(t, nil, closing(1008, "go away")), exitAbnormal, []string{"1008 (policy violation): go away"}},
		{"1011", serve(t, nil, closing(1011, "")), exitAbnormal, []string{"1011"}},
		{"4001", serve(t, nil, closing(4001, "token expired")), exitAbnormal, []string{"4001: token expired"}},
		{"lost", frames(t, ""), exitAbnormal, []string{"the connection was lost"}},
		{"lost within a frame", frames(t, "\x81\x05he"), exitAbnormal, []string{"the connection was lost"}},
		{"reserved bit", frames(t, "\xc1\x02hi"), exitProtocol, []string{"the server broke the protocol", "1002"}},
		{"masked", frames(t, "\x81\x81\x00\x00\x00\x00x"), exitProtocol, []string{"the server broke the protocol"}},
		{"invalid UTF-8", frames(t, "\x81\x01\xff"), exitProtocol, []string{"the server broke the protocol", "1007"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := connect(t, "", "--wait=-1s", c.url)
			r.want(t, c.code, "")
			r.says(t, c.words...)
		})
	}
	t.Run("too long", func(t *testing.T) {
		r := connect(t, "", "-x", strings.Repeat("x", 200), "--max-message", "100", "--wait=-1s", serve(t, nil, echo))
		r.want(t, exitAbnormal, "")
		r.says(t, "a message was longer than --max-message (100 bytes)")
	})
	t.Run("closed before all was sent", func(t *testing.T) {
		input, writer := io.Pipe()
		url := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
			c.Read(ctx)
			c.Close(ctx, websocket.StatusNormalClosure, "enough")
		})
		go func() {
			for {
				if _, err := io.WriteString(writer, "more\n"); err != nil {
					return
				}
			}
		}()
		r := connectOn(t, t.Context(), func(stdout, stderr io.Writer) *console { return pipe(input, stdout, stderr) }, url)
		input.Close()
		if r.code != exitAbnormal {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
}

func TestConnectRefused(t *testing.T) {
	answer := func(status int, header http.Header, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return "ws" + strings.TrimPrefix(server.URL, "http") + "/there"
	}
	secure := httptest.NewUnstartedServer(handler(t, nil, echo))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse its certificate
	secure.StartTLS()
	t.Cleanup(secure.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	noHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noHTTP.Close() })
	go func() {
		for {
			c, err := noHTTP.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 mail ready\r\n")
			c.Close()
		}
	}()
	for _, c := range []struct {
		name  string
		url   string
		words []string
	}{
		{"a page", answer(200, nil, "<html>\x1b[31m"), []string{"status 200", "is the path right?", `it says: <html>\x1b[31m`}},
		{"login", answer(401, nil, "who?"), []string{"status 401", "--user NAME:PASSWORD", "it says: who?"}},
		{"forbidden", answer(403, nil, ""), []string{"status 403", "--origin"}},
		{"not found", answer(404, nil, "404 page not found\n"), []string{"status 404", "is the path right?"}},
		{"busy", answer(503, http.Header{"Retry-After": {"7"}}, ""), []string{"status 503", "Retry-After: 7"}},
		{"nobody listens", "ws://" + nobody, []string{"nothing listens at " + nobody}},
		{"no HTTP", "ws://" + noHTTP.Addr().String(), []string{"not a WebSocket server: its answer is not HTTP"}},
		{"TLS that nobody vouches for", "wss" + strings.TrimPrefix(secure.URL, "https"), []string{"--ca FILE", "--insecure-skip-verify"}},
		{"plain to TLS", "ws" + strings.TrimPrefix(secure.URL, "https"), []string{"wss://"}},
		{"TLS to plain", "wss" + strings.TrimPrefix(answer(404, nil, ""), "ws"), []string{"ws://"}},
		{"no such name", "ws://no-such-host.invalid/", []string{"the name no-such-host.invalid cannot be looked up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := connect(t, "", c.url)
			r.want(t, exitUnreachable, "")
			r.says(t, append(c.words, "cannot connect to ")...)
		})
	}
}

func TestConnectUsage(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noPEM, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		say  string
	}{
		{"no URL", nil, "expected \"<url>\""},
		{"no scheme", []string{"localhost:8080/echo"}, "has no scheme; try ws://localhost:8080/echo"},
		{"no scheme, port of TLS", []string{"example.com:443"}, "try wss://example.com:443"},
		{"wrong scheme", []string{"ftp://example.com/x"}, "use ws:// or, encrypted, wss://"},
		{"no host", []string{"ws:///echo"}, "names no host"},
		{"fragment", []string{"ws://localhost/#top"}, "fragment"},
		{"not a URL", []string{"ws://[::1/"}, "is not a URL"},
		{"port", []string{"ws://localhost:99999/"}, "99999"},
		{"header", []string{"-H", "nonsense", "ws://x"}, "write it as 'Name: value'"},
		{"header injection", []string{"-H", "A: b\r\nC: d", "ws://x"}, "one line"},
		{"own header", []string{"-H", "sec-websocket-key: x", "ws://x"}, "writes Sec-Websocket-Key itself"},
		{"subprotocol as header", []string{"-H", "Sec-WebSocket-Protocol: x", "ws://x"}, "use --subprotocol"},
		{"subprotocol", []string{"--subprotocol", "a b", "ws://x"}, "is not a token"},
		{"user", []string{"--user", "me", "ws://x"}, "NAME:PASSWORD"},
		{"compression", []string{"--compression", "best", "ws://x"}, "off"},
		{"CA file", []string{"--ca", "no/such", "ws://x"}, "--ca: open no/such"},
		{"CA without certificate", []string{"--ca", noPEM, "ws://x"}, "no certificate in PEM form"},
		{"cert without key", []string{"--cert", "x", "ws://x"}, "--cert and --key belong together"},
		{"proxy", []string{"--proxy", "ftp://x", "ws://x"}, "socks5://HOST:PORT"},
		{"whole and -x", []string{"--whole", "-x", "a", "ws://x"}, "-x does not read"},
		{"raw and JSON", []string{"--raw", "--json", "ws://x"}, "--raw"},
		{"count", []string{"--count=-1", "ws://x"}, "--count"},
		{"-x that is no text", []string{"-x", "\xff", "ws://x"}, "--binary sends bytes"},
		{"-x with a wrong command", []string{"--slash", "-x", "/hex 1", "ws://x"}, "two for each byte"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := connect(t, "", c.args...)
			r.want(t, exitUsage, "")
			r.says(t, c.say)
		})
	}
	t.Run("line that is no text", func(t *testing.T) {
		r := connect(t, "good\nbad\xff\n", "--wait=-1s", serve(t, nil, silent))
		r.want(t, exitUsage, "")
		r.says(t, "standard input, line 2: not valid UTF-8")
	})
	t.Run("raw on a terminal", func(t *testing.T) {
		r := connectOn(t, t.Context(), func(stdout, stderr io.Writer) *console {
			con := pipe(strings.NewReader(""), stdout, stderr)
			con.stdoutTerminal = true
			return con
		}, "--raw", "ws://localhost")
		r.want(t, exitUsage, "")
		r.says(t, "--raw would let the server write anything to your terminal")
	})
}

func TestConnectHandshake(t *testing.T) {
	requests := make(chan *http.Request, 1)
	o := &websocket.AcceptOptions{
		Options:        websocket.Options{Subprotocols: []string{"chat"}, Compression: websocket.Compression{Mode: websocket.CompressionTakeover}},
		OriginPatterns: []string{"https://*.example.com"},
		Interceptors: []func(*websocket.Upgrade) error{func(u *websocket.Upgrade) error {
			requests <- u.Request
			return nil
		}},
	}
	url := serve(t, o, closing(1000, ""))
	r := connect(t, "", "-H", "X-One: 1", "-H", "X-Two: a, b", "--user", "me:secret", "--origin", "https://www.example.com",
		"--subprotocol", "other", "--subprotocol", "chat", "--compression", "no-takeover", url+"/im?user_id=7")
	r.want(t, exitOK, "")
	r.says(t, "connected to "+url+"/im?user_id=7, subprotocol chat, permessage-deflate")
	request := <-requests
	if user, password, ok := request.BasicAuth(); !ok || user != "me" || password != "secret" {
		t.Errorf("user %q, password %q", user, password)
	}
	for name, want := range map[string]string{"X-One": "1", "X-Two": "a, b", "Origin": "https://www.example.com"} {
		if got := request.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if request.RequestURI != "/im?user_id=7" {
		t.Errorf("request for %q", request.RequestURI)
	}
}

func TestConnectTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(handler(t, nil, echo))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	url := "wss" + strings.TrimPrefix(server.URL, "https")
	for _, args := range [][]string{
		{"--ca", ca},
		{"--ca", ca, "--server-name", "example.com"},
		{"--insecure-skip-verify"},
	} {
		connect(t, "", append(args, "-x", "secret", "--count", "1", url)...).want(t, exitOK, "secret\n")
	}
	r := connect(t, "", "--ca", ca, "--server-name", "example.net", url)
	r.want(t, exitUnreachable, "")
	r.says(t, "--server-name NAME")
}

func TestConnectUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler(t, nil, echo)}}
	server.Start()
	t.Cleanup(server.Close)
	connect(t, "", "--unix-socket", path, "-x", "hi", "--count", "1", "ws://localhost/echo").want(t, exitOK, "hi\n")
}

func TestConnectProxy(t *testing.T) {
	target := serve(t, nil, echo)
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(to, from)
		io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	connect(t, "", "--proxy", proxy.URL, "-x", "hi", "--count", "1", target).want(t, exitOK, "hi\n")
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "CONNECT "+u.Host {
		t.Errorf("the proxy was asked %q", got)
	}
}

func TestConnectShowsControlFrames(t *testing.T) {
	r := connect(t, "", "--wait=-1s", frames(t, "\x89\x05hello\x8a\x00\x81\x02hi\x88\x02\x03\xe8"))
	r.want(t, exitOK, "hi\n")
	r.says(t, `< ping "hello"`, "< pong\n", "1000 (normal closure)")
	if strings.Count(connect(t, "", "--quiet", "-x", "hi", "--count", "1", serve(t, nil, echo)).stderr, "\n") != 0 {
		t.Error("--quiet says something")
	}
}

func TestConnectPing(t *testing.T) {
	r := connect(t, "", "--slash", "-x", "/ping", "--wait", "300ms", serve(t, nil, silent))
	r.want(t, exitOK, "")
	r.says(t, "the pong took ")
}

func TestConnectSignal(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	url := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		c.Read(ctx)
		interrupt()
		_, _, err := c.Read(ctx)
		ended <- err
	})
	r := connectOn(t, ctx, func(stdout, stderr io.Writer) *console { return pipe(strings.NewReader("hi\n"), stdout, stderr) }, "--wait=-1s", url)
	r.want(t, exitSignal, "")
	if code := websocket.CloseStatus(<-ended); code != websocket.StatusGoingAway {
		t.Errorf("the server saw %v, want 1001", code)
	}
}

func TestConnectReconnects(t *testing.T) {
	var attempts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempt := attempts.Add(1)
		if attempt == 2 {
			http.Error(w, "restarting", http.StatusServiceUnavailable)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		if attempt == 3 {
			c.Close(r.Context(), websocket.StatusGoingAway, "restarting")
			return
		}
		if attempt == 1 {
			return // lost
		}
		c.Write(r.Context(), websocket.Text, []byte("here again"))
		c.Close(r.Context(), websocket.StatusNormalClosure, "")
	}))
	t.Cleanup(server.Close)
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	r := connect(t, "", "--reconnect", "--wait=-1s", url)
	r.want(t, exitOK, "here again\n")
	r.says(t, "the connection was lost", "connecting again in", "status 503", "1001 (going away): restarting")
	if attempts.Load() != 4 {
		t.Errorf("%d connections, want 4", attempts.Load())
	}

	refused := serve(t, &websocket.AcceptOptions{Interceptors: []func(*websocket.Upgrade) error{
		func(*websocket.Upgrade) error { return &websocket.HandshakeError{Status: 401, Reason: "who?"} },
	}}, echo)
	connect(t, "", "--reconnect", refused).want(t, exitUnreachable, "") // a wrong password stays wrong
}

// The next program in a pipe may end before we do.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestConnectOutputGone(t *testing.T) {
	r := connectOn(t, t.Context(), func(_, stderr io.Writer) *console {
		return pipe(strings.NewReader("hi\n"), brokenPipe{}, stderr)
	}, "--wait=-1s", serve(t, nil, echo))
	r.want(t, exitUsage, "")
	r.says(t, "cannot write the output: broken pipe")
}

func TestConnectHelp(t *testing.T) {
	help := new(connectCmd).Help()
	for _, words := range []string{"/close [CODE [REASON]]", "Exit codes:", "\n  5    fewer messages than --count"} {
		if !strings.Contains(help, words) {
			t.Errorf("the help does not say %q:\n%s", words, help)
		}
	}
}
