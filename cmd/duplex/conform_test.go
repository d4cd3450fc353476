package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/conformance"
	"github.com/duplex-websocket/duplex/websocket"
)

// echoServer starts an echo server, or one that sends every message back in upper case.
func echoServer(t *testing.T, upper bool) string {
	t.Helper()
	srv := httptest.NewServer(&websocket.Server{Handler: &websocket.HandlerFuncs{
		OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
			if upper {
				p = bytes.ToUpper(p)
			}
			_ = c.Write(context.Background(), typ, p)
		},
	}})
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/"
}

func TestConformServer(t *testing.T) {
	dir := t.TempDir()
	page, data := filepath.Join(dir, "r.html"), filepath.Join(dir, "r.json")
	var out, errs bytes.Buffer
	args := []string{"conform", "server", echoServer(t, false), "--only", "6455-5.5.3-*", "--only", "6455-5.2-01", "--report", page, "--report", data}
	if code := run(t.Context(), args, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "7 cases") {
		t.Errorf("summary: %s", out.String())
	}
	var report conformance.Report
	p, err := os.ReadFile(data)
	if err != nil || json.Unmarshal(p, &report) != nil || len(report.Results) != 7 {
		t.Errorf("%v, %d results", err, len(report.Results))
	}
	if p, err = os.ReadFile(page); err != nil || !bytes.HasPrefix(p, []byte("<!DOCTYPE html>")) {
		t.Errorf("the page: %v", err)
	}
}

func TestConformServerFails(t *testing.T) {
	expected := filepath.Join(t.TempDir(), "expected.json")
	if err := os.WriteFile(expected, []byte(`{"6455-5.2-02": {"verdict": "failed", "reason": "it shouts"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	shouting := echoServer(t, true)
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a failed case", []string{shouting, "--only", "6455-5.2-02"}, exitProtocol, "1 of 1 cases failed"},
		{"expected to fail", []string{shouting, "--only", "6455-5.2-02", "--expected", expected}, exitOK, ""},
		{"better than expected", []string{shouting, "--only", "6455-5.5.3-01", "--only", "6455-5.2-02", "--expected", expected}, exitProtocol, "6455-5.5.3-01"},
		{"not a WebSocket server", []string{"ws" + strings.TrimPrefix(page.URL, "http")}, exitUnreachable, "404"},
		{"nobody there", []string{"ws://127.0.0.1:1/"}, exitUnreachable, "refused"},
		{"no URL", []string{"127.0.0.1:80"}, exitUsage, ""},
		{"no such case", []string{shouting, "--only", "nothing"}, exitUsage, "no case"},
		{"an odd report", []string{shouting, "--report", "r.txt"}, exitUsage, ".html or .json"},
		{"no such file", []string{shouting, "--expected", "/nonexistent"}, exitUsage, "nonexistent"},
		{"a bad header", []string{shouting, "-H", "nonsense"}, exitUsage, "nonsense"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var errs bytes.Buffer
			code := run(t.Context(), append([]string{"conform", "server", "--quiet"}, c.args...), io.Discard, &errs)
			if code != c.code || !strings.Contains(errs.String(), c.says) {
				t.Errorf("exit %d, want %d: %s", code, c.code, errs.String())
			}
		})
	}
}

func TestConformClient(t *testing.T) {
	said, errs := io.Pipe()
	var out bytes.Buffer
	done := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		done <- run(ctx, []string{"conform", "client", "--listen", "127.0.0.1:0", "--only", "6455-5.5.3-*"}, &out, errs)
		_ = errs.Close()
	}()
	line := make([]byte, 200)
	n, err := said.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	base := "ws://" + strings.TrimSuffix(strings.Fields(string(line[:n]))[2][len("ws://"):], ":")
	err = conformance.Drive(t.Context(), base, "ours", func(ctx context.Context, url string) error {
		c, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			return err
		}
		defer func() { _ = c.CloseNow() }()
		for {
			typ, p, err := c.Read(ctx)
			if err != nil {
				return err
			}
			if err := c.Write(ctx, typ, p); err != nil {
				return err
			}
		}
	}, &conformance.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Error(err)
		cancel() // without its last question, the command would wait for ever
	}
	if code := <-done; code != exitOK || !strings.Contains(out.String(), "client ours: 6 cases") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}
