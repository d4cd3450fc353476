package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// transcript is an output that several goroutines may write and watch.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{}, 1)} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns what the first group of pattern matches, as soon as it has been printed.
func (s *transcript) await(t *testing.T, pattern string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(s.String()); found != nil {
			return found[1]
		}
		select {
		case <-s.changed:
		case <-timeout:
			t.Fatalf("%q was not printed, but %q", pattern, s)
		}
	}
}

// startProgram runs the program with these arguments until the test ends; it must then exit with 0.
func startProgram(t *testing.T, args ...string) (stdout, stderr *transcript) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr = newTranscript(), newTranscript()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, stdout, stderr) }()
	t.Cleanup(func() {
		cancel()
		select {
		case code := <-ended:
			if code != exitOK {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		case <-time.After(3 * patience):
			t.Error("the program does not end")
		}
	})
	return stdout, stderr
}

func dialTest(t *testing.T, address string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func TestServe(t *testing.T) {
	stdout, _ := startProgram(t, "serve", "--listen", "127.0.0.1:0")
	address := stdout.await(t, `open (http://127\.0\.0\.1:\d+/) in a browser`)
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || !strings.Contains(string(body), "main.js") {
		t.Errorf("the page: %d, %v", response.StatusCode, err)
	}
	conn := dialTest(t, strings.Replace(address, "http", "ws", 1)+"ws")
	for _, c := range []struct{ command, answer string }{
		{`{"type":"connect","id":1,"info":{"name":"Ann"}}`, `"resume":`},
		{`{"type":"subscribe","id":2,"topic":"chat.lobby"}`, `"topic":"chat.lobby"`},
	} {
		if err := conn.Write(t.Context(), websocket.Text, []byte(c.command)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := conn.Read(t.Context()); err != nil || !strings.Contains(string(p), c.answer) {
			t.Errorf("%s: %s, %v", c.command, p, err)
		}
	}
}

func TestEchoVerb(t *testing.T) {
	for _, flags := range [][]string{
		nil, {"--driver", "goroutine"}, {"--driver", "loop"}, {"--compression", "takeover"}, {"--compression=no-takeover", "--mode=broadcast"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			stdout, _ := startProgram(t, append([]string{"echo", "--listen", "127.0.0.1:0"}, flags...)...)
			conn := dialTest(t, stdout.await(t, `^listening on (ws://127\.0\.0\.1:[1-9]\d*/)\n`)+"some/path")
			if err := conn.Write(t.Context(), websocket.Text, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, p, err := conn.Read(t.Context()); err != nil || string(p) != "hello" {
				t.Errorf("got %q, %v", p, err)
			}
		})
	}
}

// TestWrongUse: the exit code says that it is wrong, the text what.
func TestWrongUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"fly"}, "fly"},
		{[]string{"serve", "--port", "1"}, "--port"},
		{[]string{"echo", "--driver", "io_uring"}, "goroutine"},
		{[]string{"echo", "--mode", "shout"}, "broadcast"},
		{[]string{"echo", "--compression", "on"}, "no-takeover"},
		{[]string{"echo", "--listen", taken.Addr().String()}, "in use by"},
		{[]string{"serve", "--listen", taken.Addr().String()}, "in use by"},
		{[]string{"serve", "--listen", "8080"}, "host:port"},
		{[]string{"serve", "--tls-cert", "missing.pem", "--tls-key", "missing.pem"}, "no file missing.pem"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), c.args, &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), c.says) || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, %q", c.args, code, stdout.String(), stderr.String())
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"echo", "--help"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != exitOK || !strings.HasPrefix(stdout.String(), "Usage: duplex") || stderr.Len() > 0 {
			t.Errorf("%q: exit code %d, %q, %q", args, code, stdout.String(), stderr.String())
		}
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version"}, &stdout, &stderr); code != exitOK || !strings.HasPrefix(stdout.String(), "duplex ") {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}
	info.Main.Version = "v1.2.3"
	if line := versionLine(info); !strings.HasPrefix(line, "duplex v1.2.3 (go") || !strings.HasSuffix(line, ", commit 0123456789ab with changes)") {
		t.Error(line)
	}
	if line := versionLine(nil); !strings.HasPrefix(line, "duplex unknown version (") {
		t.Error(line)
	}
}

// TestSignalDrains sends the process what Ctrl-C does.
func TestSignalDrains(t *testing.T) {
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), []string{"echo", "--listen", "127.0.0.1:0"}, stdout, stderr) }()
	conn := dialTest(t, stdout.await(t, `(ws://\S+)`))
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the connection ended with %v", err)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
