package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/load"
	"github.com/duplex-websocket/duplex/websocket"
)

// echoAt starts "duplex echo" for the test and returns its URL.
func echoAt(t *testing.T, flags ...string) string {
	t.Helper()
	stdout, _ := startProgram(t, append([]string{"echo", "--listen", "127.0.0.1:0"}, flags...)...)
	return stdout.await(t, `listening on (\S+)`)
}

// bench runs the verb and returns what it printed.
func bench(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	if got := run(ctx, append([]string{"bench"}, args...), &out, &errs); got != code {
		t.Fatalf("%v: exit code %d, not %d\n%s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

func TestBenchText(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	echo := echoAt(t)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{echo, "-c", "5", "-i", "3", "--pid", pid}, []string{`echo, 5 connections, binary of 64 B, 3 in flight`, `(?m)^throughput .* messages/s`,
			`(?m)^latency .*p50 .*p90 .*p99 .*p99\.9 .*max`, `(?m)^server .*CPU .* a message`, `(?m)^this load`, `(?m)^errors +none`}},
		{[]string{echo, "-r", "500", "--text", "-s", "200"}, []string{`100 connections, text of 200 B, 500/s on schedule`, `(?m)^scheduled .* 0 without an answer`, `from the scheduled time`}},
		{[]string{echo, "--mode", "idle", "-c", "20", "--churn", "0"}, []string{`20 idle connections`, `(?m)^connected +20 in`}},
		{[]string{echo, "--mode", "handshake", "-c", "4"}, []string{`handshakes, 4 at a time`, `handshakes/s`}},
		{[]string{echoAt(t, "--mode", "broadcast"), "--mode", "broadcast", "-c", "3"}, []string{`broadcast to 3 subscribers`, `deliveries/s`}},
		{[]string{echoAt(t, "--compression", "takeover"), "--compression", "takeover", "-s", "1000"}, []string{`compressed \(takeover\)`, `(?m)^compressed +100 %`}},
	} {
		stdout, stderr := bench(t, exitOK, append(c.args, "-d", "200ms", "--warm-up", "20ms")...)
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("%v: no %s in\n%s", c.args, want, stdout)
			}
		}
		if stderr != "" {
			t.Errorf("%v: %s", c.args, stderr)
		}
	}
}

// The fields that docs/bench.md promises, with their types.
func TestBenchJSON(t *testing.T) {
	stdout, _ := bench(t, exitOK, echoAt(t), "--json", "-r", "1000", "-d", "300ms", "--warm-up", "0", "--pid", fmt.Sprint(os.Getpid()))
	var fields map[string]any
	if err := json.Unmarshal([]byte(stdout), &fields); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	number := []string{
		"duplex_bench", "seconds", "messages", "messages_per_second", "scheduled", "reply_payload_bytes", "replies_compressed",
		"latency.count", "latency.min_us", "latency.mean_us", "latency.p50_us", "latency.p90_us", "latency.p99_us", "latency.p999_us", "latency.max_us",
		"connect.opened", "connect.seconds", "connect.latency.p50_us", "load.cpu_seconds", "load.cpu_ns_per_message", "load.busy",
		"server.pid", "server.cpu_seconds", "server.cpu_ns_per_message", "server.busy", "server.memory_before_bytes", "server.memory_after_bytes",
		"server.memory_peak_bytes", "setup.connections", "setup.size", "setup.rate", "setup.duration_seconds", "setup.warm_up_seconds",
		"series.0.at_seconds", "series.0.messages", "series.0.messages_per_second", "series.0.p50_us", "series.0.p99_us", "series.0.max_us",
		"distribution.0.percent", "distribution.0.us",
	}
	documented := readDocs(t)
	for _, path := range number {
		if v, ok := at(fields, path).(float64); !ok || math.IsNaN(v) {
			t.Errorf("%s: %v", path, at(fields, path))
		}
		if name := path[strings.LastIndex(path, ".")+1:]; !strings.Contains(documented, "`"+name+"`") {
			t.Errorf("docs/bench.md says nothing about %s", name)
		}
	}
	for path, want := range map[string]any{"duplex_bench": 1.0, "mode": "echo", "interrupted": false, "setup.type": "binary", "setup.compression": "off", "setup.same": false, "setup.rate": 1000.0} {
		if at(fields, path) != want {
			t.Errorf("%s: %v, not %v", path, at(fields, path), want)
		}
	}
	if errs, ok := fields["errors"].([]any); !ok || len(errs) != 0 {
		t.Errorf("errors: %v", fields["errors"])
	}
	if _, err := time.Parse(time.RFC3339, fmt.Sprint(fields["started"])); err != nil {
		t.Error(err)
	}
}

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "bench.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// at finds a value by its path, such as "series.0.p50_us".
func at(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[name]
		case []any:
			v = nil
			if name == "0" && len(node) > 0 {
				v = node[0]
			}
		default:
			return nil
		}
	}
	return v
}

// The page is well-formed, brings everything along, and escapes what the server said.
func TestBenchHTML(t *testing.T) {
	dir := t.TempDir()
	echo := echoAt(t)
	for mode, charts := range map[string]int{"echo": 5, "idle": 4, "handshake": 5} {
		file := filepath.Join(dir, mode+".html")
		stdout, _ := bench(t, exitOK, echo, "--mode", mode, "-c", "60", "-d", "300ms", "--warm-up", "0", "--churn", "10", "--pid", fmt.Sprint(os.Getpid()), "--html", file)
		if !strings.Contains(stdout, "charts in "+file) {
			t.Errorf("%s: %s", mode, stdout)
		}
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, mode, string(page))
		if n := strings.Count(string(page), "<svg "); n != charts {
			t.Errorf("%s: %d charts, not %d", mode, n, charts)
		}
	}
}

func TestBenchHTMLEscapes(t *testing.T) {
	var b bytes.Buffer
	err := writeBenchHTML(&b, &load.Result{
		URL: "ws://x/<script>", Mode: load.Echo, Interrupted: true,
		Errors: []load.Failure{{Kind: load.Closed, Count: 3, First: "<script>alert(1)</script>\x1b[31m"}},
		Series: []load.Point{{At: 1, PerSecond: 5}, {At: 2, PerSecond: 0}, {At: 3, PerSecond: 1e9}},
	})
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, "escaped", b.String())
	if page := b.String(); strings.Contains(page, "<script") || strings.Contains(page, "\x1b") || !strings.Contains(page, "Ended early") {
		t.Error(page)
	}
}

func checkPage(t *testing.T, name, page string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Entity = xml.HTMLEntity
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if outside := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|<script`).FindString(page); outside != "" {
		t.Errorf("%s: the page reaches outside: %q", name, outside)
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Errorf("%s: the page holds what is no number", name)
	}
	if !strings.Contains(page, "prefers-color-scheme: dark") {
		t.Errorf("%s: no dark colours", name)
	}
}

func TestBenchExitCodes(t *testing.T) {
	wrong := &websocket.Server{Handler: &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		switch c.Request().URL.Path {
		case "/other":
			_ = c.Send(typ, append(p[1:], p[0]))
		case "/close":
			go func() { _ = c.Close(context.Background(), 4000, "no more\x07") }()
		}
	}}, KeepRequest: true}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/secret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		wrong.ServeHTTP(w, r)
	}))
	defer site.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	url := "ws" + strings.TrimPrefix(site.URL, "http")
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitUnreachable, []string{"ws://127.0.0.1:1/"}, "nothing listens at 127.0.0.1:1"},
		{exitUnreachable, []string{url + "/secret"}, "who are you?"},
		{exitUnreachable, []string{"ws://" + silent.Addr().String(), "--timeout", "100ms"}, "\n--timeout gives it more time"},
		{exitUnreachable, []string{url + "/close", "--compression", "takeover"}, "does not compress"},
		{exitAbnormal, []string{url + "/close"}, `closed with 4000`},
		{exitProtocol, []string{url + "/other"}, "differs from what was sent"},
		{exitNoAnswer, []string{url + "/silent", "--timeout", "200ms"}, "did not come within 200ms"},
		{exitUsage, []string{"127.0.0.1:1"}, "has no scheme; try ws://127.0.0.1:1"},
		{exitUsage, []string{url, "-c", "100000"}, "connections is 100000: it must be between 1 and 60000"},
		{exitUsage, []string{url, "--size=-1"}, "--size must not be negative"},
		{exitUsage, []string{url, "-d", "2h"}, "duration is 2h0m0s: it must be between 1ms and 1h0m0s"},
		{exitUsage, []string{url, "-r", "1", "-i", "1"}, "exclude each other"},
		{exitUsage, []string{url, "--mode", "nonsense"}, `must be one of`},
		{exitUsage, []string{url, "--pid", "4194303"}, "process 4194303 cannot be watched"},
		{exitUsage, []string{url, "--html", t.TempDir()}, "--html"},
		{exitUsage, []string{url, "-H", "nonsense"}, "write it as 'Name: value'"},
	} {
		args := append(c.args, "--warm-up", "0")
		if c.code != exitUsage {
			args = append(args, "-c", "2", "-d", "5s")
		}
		_, stderr := bench(t, c.code, args...)
		if !strings.Contains(stderr, c.want) || strings.Contains(stderr, "\x07") {
			t.Errorf("%v: no %q in %s", c.args, c.want, stderr)
		}
	}
}

// A signal ends the run early; it reports all the same.
func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	url := echoAt(t)
	go func() { ended <- run(ctx, []string{"bench", url, "-d", "1h", "--progress", "-c", "2"}, stdout, stderr) }()
	stderr.await(t, `(measuring [0-9.]+m?s of 1h0m0s  [0-9,]+ messages/s)`)
	cancel() // as the signal does
	select {
	case code := <-ended:
		if code != exitSignal {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if out := stdout.String(); !strings.Contains(out, "ended early") || !regexp.MustCompile(`throughput +[1-9]`).MatchString(out) {
		t.Error(out)
	}
}

func TestBenchTLS(t *testing.T) {
	server := httptest.NewTLSServer(&websocket.Server{Handler: &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		_ = c.Send(typ, p)
	}}})
	defer server.Close()
	url := "wss" + strings.TrimPrefix(server.URL, "https")
	if _, stderr := bench(t, exitUnreachable, url); !strings.Contains(stderr, "--insecure-skip-verify") {
		t.Error(stderr)
	}
	if stdout, _ := bench(t, exitOK, url, "--insecure-skip-verify", "-c", "3", "-d", "200ms", "--warm-up", "0"); !strings.Contains(stdout, "errors       none") {
		t.Error(stdout)
	}
}

func TestProgressLine(t *testing.T) {
	var b bytes.Buffer
	l := progressLine{w: &b, terminal: true}
	l.show(load.Progress{Phase: "connecting", Connections: 5, Wanted: 10, Failures: 2})
	l.show(load.Progress{Phase: "measuring", Elapsed: 1234 * time.Millisecond, Total: 10 * time.Second, PerSecond: 1234567.8, P50: 1500, P99: 25 * time.Millisecond, Memory: 5 << 20})
	l.end()
	want := eraseLine + "connecting  5 of 10 connections  2 errors" + eraseLine + "measuring 1.2s of 10s  1,234,568 messages/s  p50 1.50 µs  p99 25.0 ms  server 5.00 MiB" + eraseLine
	if b.String() != want {
		t.Errorf("%q, not %q", b.String(), want)
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		span(0.4): "400 ns", span(1): "1.00 µs", span(999): "999 µs", span(12_345): "12.3 ms", span(61e6): "61.0 s",
		bytesText(0): "0 B", bytesText(1023): "1023 B", bytesText(1536): "1.50 KiB", bytesText(-5 << 20): "-5.00 MiB", bytesText(3 << 30): "3.00 GiB",
		grouped(0): "0", grouped(999): "999", grouped(1000): "1,000", grouped(1234567): "1,234,567", grouped(-1000): "-1,000",
		percentile(0): "0 %", percentile(1): "90 %", percentile(2): "99 %", percentile(3): "99.9 %", percentile(5): "99.999 %",
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
