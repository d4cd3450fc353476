package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// shownScreen collects what a terminal would show and lets a test wait for it.
type shownScreen struct {
	mu      sync.Mutex
	written strings.Builder
	changed chan struct{}
}

func (s *shownScreen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.Write(p)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *shownScreen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// person is somebody at a terminal: keys go in, a screen shows what comes.
type person struct {
	t      *testing.T
	keys   io.Writer
	screen *shownScreen
	ended  chan error
	raw    *bool
}

const (
	keyUp        = "\x1b[A"
	keyLeft      = "\x1b[D"
	keyEnter     = "\r"
	keyBackspace = "\x7f"
	keyCtrlC     = "\x03"
	keyCtrlD     = "\x04"
)

// sit starts the command at a terminal.
func sit(t *testing.T, args ...string) *person {
	t.Helper()
	cmd, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	stdin, keys := io.Pipe()
	p := &person{t: t, keys: keys, screen: &shownScreen{changed: make(chan struct{}, 1)}, ended: make(chan error, 1), raw: new(bool)}
	con := &console{
		stdin: stdin, stdout: p.screen, stderr: p.screen, stdinTerminal: true, stdoutTerminal: true, stderrTerminal: true,
		raw: func() (func(), error) {
			*p.raw = true
			return func() { *p.raw = false }, nil
		},
		size:   func() (int, int, error) { return 100, 30, nil },
		getenv: func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	t.Cleanup(func() { keys.Close() })
	go func() {
		p.ended <- cmd.run(ctx, con)
		stdin.Close() // nobody takes keys any more
	}()
	return p
}

func (p *person) press(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.keys, keys); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits until the screen has shown the text.
func (p *person) sees(text string) {
	p.t.Helper()
	p.seesTimes(1, text)
}

func (p *person) seesTimes(n int, text string) {
	p.t.Helper()
	timeout := time.After(10 * time.Second)
	for strings.Count(p.screen.text(), text) < n {
		select {
		case <-p.screen.changed:
		case <-timeout:
			p.t.Fatalf("the screen does not show %q:\n%q", text, p.screen.text())
		}
	}
}

func (p *person) leaves(code int) {
	p.t.Helper()
	if err := <-p.ended; exitCode(err) != code {
		p.t.Errorf("exit code %d (%v), want %d", exitCode(err), err, code)
	}
	if *p.raw {
		p.t.Error("the terminal stays in raw mode")
	}
}

func TestPromptSendsAndShows(t *testing.T) {
	p := sit(t, serve(t, nil, echo))
	p.sees("* connected to ws://127.0.0.1")
	p.press("helo" + keyLeft + "l" + keyEnter)
	p.sees("< hello\r\n")
	p.press(keyUp + " again" + keyEnter)
	p.sees("< hello again\r\n")
	p.press("你好" + keyEnter)
	p.sees("< 你好\r\n")
	p.press("你好" + keyBackspace)
	p.sees(eraseLine + "> 你") // drawn anew, without half a character
	p.press(keyEnter)
	p.sees("< 你\r\n")
	p.press("/hex 00ff" + keyEnter)
	p.sees("< binary, 2 bytes\r\n  00000000  00 ff ")
	p.press("/text \x1b[200~a\x1b[201~" + keyEnter) // pasted
	p.sees("< a\r\n")
	p.press("/he\t" + "lp" + keyEnter)
	p.sees("/close [CODE [REASON]]")
	p.press("/info" + keyEnter)
	p.sees("subprotocol  none")
	p.press("/ping" + keyEnter)
	p.sees("* the pong took ")
	p.press("/nosuch" + keyEnter)
	p.sees("! /nosuch is no command")
	p.press(strings.Repeat("z", longestLine+5) + keyEnter)
	p.sees("it may be cut and was not sent")
	p.press(keyCtrlD)
	p.sees("* closed with 1000 (normal closure)")
	p.leaves(exitOK)
}

func TestPromptShowsNothingThatActs(t *testing.T) {
	p := sit(t, serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		c.Write(ctx, websocket.Text, []byte("\x1b]0;gotcha\x07\x1b[2Jhi\r\n> fake"))
		c.Close(ctx, 4000, "\x1b[31m")
	}))
	p.sees(`< \x1b]0;gotcha\x07\x1b[2Jhi\r` + "\r\n  > fake")
	p.leaves(exitAbnormal)
	for _, sequence := range []string{"\x1b]0;", "\x1b[2J", "\x1b[31m"} {
		if strings.Contains(p.screen.text(), sequence) {
			t.Errorf("the screen was sent %q", sequence)
		}
	}
}

func TestPromptClosesAsAsked(t *testing.T) {
	ended := make(chan error, 1)
	url := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		_, _, err := c.Read(ctx)
		ended <- err
	})
	p := sit(t, url)
	p.sees("* connected")
	p.press("/close 3001 see you" + keyEnter)
	p.leaves(exitOK)
	var want = &websocket.CloseError{Code: 3001, Reason: "see you"}
	if err := <-ended; !sameClose(err, want) {
		t.Errorf("the server saw %v, want %v", err, want)
	}

	p = sit(t, url)
	p.sees("* connected")
	p.press("half a line" + keyCtrlC)
	p.leaves(exitOK)
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the server saw %v, want 1000", err)
	}
}

func sameClose(err error, want *websocket.CloseError) bool {
	closed, ok := err.(*websocket.CloseError)
	return ok && closed.Code == want.Code && closed.Reason == want.Reason
}

// A person can leave although a message is stuck: the server does not read.
func TestPromptLeavesWhileSending(t *testing.T) {
	stuck := make(chan struct{})
	url := serve(t, &websocket.AcceptOptions{Options: websocket.Options{ReadAhead: 1, MaxMessage: 64 << 20}}, func(ctx context.Context, c *websocket.Conn) {
		<-stuck
	})
	defer close(stuck)
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sit(t, url)
	p.sees("* connected")
	for range 5 {
		p.press("/file " + file + keyEnter)
	}
	p.press(keyCtrlD)
	p.leaves(exitAbnormal) // the server cannot answer the close frame
}

func TestPromptOffline(t *testing.T) {
	first := make(chan struct{}, 1)
	first <- struct{}{}
	url := serve(t, nil, func(ctx context.Context, c *websocket.Conn) {
		select {
		case <-first:
			c.CloseNow()
		default:
			echo(ctx, c)
		}
	})
	p := sit(t, "--reconnect", url)
	p.sees("! the connection was lost")
	p.sees("* connecting again in ")
	p.seesTimes(2, "* connected to")
	p.press("back" + keyEnter)
	p.sees("< back")
	p.press("/quit" + keyEnter)
	p.leaves(exitOK)
}

func TestPromptHistoryFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	url := serve(t, nil, echo)
	p := sit(t, "--history", file, url)
	p.sees("* connected")
	p.press("first" + keyEnter + "second" + keyEnter + "second" + keyEnter)
	p.sees("< second")
	p.press(keyCtrlD)
	p.leaves(exitOK)
	if text, err := os.ReadFile(file); err != nil || string(text) != "first\nsecond\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: what was sent is for its owner only", info.Mode(), err)
	}

	p = sit(t, "--history", file, url)
	p.sees("* connected")
	p.press(keyUp + keyUp + "!" + keyEnter)
	p.sees("< first!")
	p.press(keyCtrlD)
	p.leaves(exitOK)
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for range historyKept {
		h.Add("a")
		h.Add("b")
		h.Add("")
	}
	if h.Len() != historyKept || h.At(0) != "b" || h.At(1) != "a" {
		t.Errorf("%d lines, the last ones %q and %q", h.Len(), h.At(0), h.At(1))
	}
}
