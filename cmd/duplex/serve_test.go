package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// beProgram, in the environment, makes the test binary the program itself.
const beProgram = "RUN_AS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is the program in a process of its own.
type process struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr *transcript
	ended          chan error
}

func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), t: t, stdout: newTranscript(), stderr: newTranscript(), ended: make(chan error, 1)}
	p.Env = append(append(os.Environ(), beProgram+"=1"), env...)
	p.Stdout, p.Stderr = p.stdout, p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the process and returns its exit code, or -1 if a signal ended it.
func (p *process) end() int {
	p.t.Helper()
	select {
	case err := <-p.ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(3 * patience):
		p.t.Fatalf("the process does not end: %s", p.stderr)
		return 0
	}
}

func writeConfig(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// say sends a command of the session protocol and returns the first frame that comes then.
func say(t *testing.T, conn *websocket.Conn, command string) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.Text, []byte(command)); err != nil {
		t.Fatal(err)
	}
	return hear(t, conn)
}

func hear(t *testing.T, conn *websocket.Conn) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, content, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var frame map[string]any
	if err := json.Unmarshal(content, &frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

const openedAt = `(http://\S+:\d+/)`

// TestHangup: SIGHUP changes the rules under a connection, and a file that is wrong changes nothing.
func TestHangup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "duplex.yaml")
	writeConfig(t, file, "topics: [{pattern: a, publish: nobody}]\n")
	p := startProcess(t, []string{"DUPLEX_LISTEN=127.0.0.1:0", "DUPLEX_LOG_FORMAT=json"}, "serve", "--config", file)
	address := p.stdout.await(t, openedAt)
	conn := dialTest(t, strings.Replace(address, "http", "ws", 1)+"ws")
	say(t, conn, `{"type":"connect","id":1}`)
	publish := `{"type":"publish","id":2,"topic":"a","data":1}`
	if reply := say(t, conn, publish); reply["code"] != "forbidden" {
		t.Fatal(reply)
	}
	writeConfig(t, file, "topics: [{pattern: a, publsh: anyone}]\n")
	p.signal(syscall.SIGHUP)
	p.stderr.await(t, `"level":"ERROR","msg":"the configuration was not reloaded, (.*)did you mean publish\?"`)
	if reply := say(t, conn, publish); reply["code"] != "forbidden" {
		t.Error(reply)
	}
	writeConfig(t, file, "topics: [{pattern: a, publish: anyone}]\n")
	p.signal(syscall.SIGHUP)
	p.stderr.await(t, `"msg":"the configuration was (reloaded)"`)
	if reply := say(t, conn, publish); reply["type"] != "reply" {
		t.Error(reply)
	}
	p.signal(syscall.SIGTERM)
	if frame := hear(t, conn); frame["type"] != "disconnect" || frame["code"] != "restart" {
		t.Error(frame)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Error(err)
	}
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// TestSecondSignal does not wait for clients that do not go.
func TestSecondSignal(t *testing.T) {
	p := startProcess(t, nil, "serve", "--listen", "127.0.0.1:0", "--drain-timeout", "10m", "--drain-rate", "1")
	address := p.stdout.await(t, openedAt)
	for range 200 { // they do not read, so they do not go
		conn := dialTest(t, strings.Replace(address, "http", "ws", 1)+"ws")
		say(t, conn, `{"type":"connect","id":1}`)
	}
	p.signal(syscall.SIGTERM)
	p.stderr.await(t, `msg=(draining)`)
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != -1 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// TestRefusedAddress: who would let anyone in is told so, and how to go on.
func TestRefusedAddress(t *testing.T) {
	p := startProcess(t, []string{"DUPLEX_LISTEN=:0"}, "serve")
	if code := p.end(); code != exitUsage || !strings.Contains(p.stderr.String(), "without keys for tokens, whoever can reach :0") {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	p = startProcess(t, []string{"DUPLEX_LISTEN=:0"}, "serve", "--insecure-anonymous")
	address := p.stdout.await(t, openedAt)
	response, err := http.Get(address + "readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", response, err)
	}
	p.signal(os.Interrupt)
	if code := p.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// TestShed asks a running server to send clients away.
func TestShed(t *testing.T) {
	stdout, _ := startProgram(t, "serve", "--listen", "127.0.0.1:0", "--drain-retry", "1ms", "--drain-spread", "1ms")
	address := stdout.await(t, openedAt)
	var conns []*websocket.Conn
	for range 5 {
		conn := dialTest(t, strings.Replace(address, "http", "ws", 1)+"ws")
		say(t, conn, `{"type":"connect","id":1}`)
		conns = append(conns, conn)
	}
	shed, errors := runProgram(t, exitOK, "shed", "100%", "--server", strings.Replace(address, "http", "ws", 1)+"ws")
	if shed != "5 clients are told to come back\n" {
		t.Errorf("%q, %q", shed, errors)
	}
	for _, conn := range conns {
		if frame := hear(t, conn); frame["code"] != "restart" || frame["reconnect"] != true {
			t.Error(frame)
		}
	}
}

// TestShedRefusals: what is wrong, and the exit code.
func TestShedRefusals(t *testing.T) {
	key := "a-key-of-more-than-twenty-characters"
	file := filepath.Join(t.TempDir(), "duplex.yaml")
	writeConfig(t, file, fmt.Sprintf("listen: 127.0.0.1:0\napi: {keys: [%s]}\n", key))
	stdout, _ := startProgram(t, "serve", "--config", file)
	address := stdout.await(t, openedAt)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, `"120%" is not a part: write for instance 20%, or 0.2`, []string{"120%"}},
		{exitUsage, `"few" is not a part`, []string{"few"}},
		{exitUsage, "key-missing", []string{"20%", "--server", address}},
		{exitUsage, "give it with --key or DUPLEX_KEY", []string{"20%", "--server", address, "--key", "another-key-of-twenty-characters"}},
		{exitUsage, "is not the address of a server", []string{"20%", "--server", "localhost"}},
		{exitUnreachable, "connection refused", []string{"20%", "--server", "http://127.0.0.1:1"}},
		{exitUsage, "the server answers 405", []string{"20%", "--server", address + "nowhere"}},
	} {
		if _, stderr := runProgram(t, c.code, append([]string{"shed"}, c.args...)...); !strings.Contains(stderr, c.says) {
			t.Errorf("%q: %q does not say %q", c.args, stderr, c.says)
		}
	}
	if shed, _ := runProgram(t, exitOK, "shed", "0.5", "--server", address, "--key", key); shed != "0 clients are told to come back\n" {
		t.Errorf("%q", shed)
	}
}
