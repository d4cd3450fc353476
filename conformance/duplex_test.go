package conformance_test

import (
	"context"
	"net"
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

const maxMessage = 64 << 20

// options compresses also the shortest messages, so that every case of RFC 7692 sees Duplex's compressor.
func options(mode websocket.CompressionMode) websocket.Options {
	return websocket.Options{MaxMessage: maxMessage, Outbox: maxMessage, Compression: websocket.Compression{Mode: mode, Threshold: 1}}
}

// echoing answers every message with itself.
var echoing = &websocket.HandlerFuncs{OnMessage: func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
	_ = c.Write(context.Background(), typ, p)
}}

// driven starts a Server on a listener of its own and returns its URL.
func driven(t *testing.T, driver websocket.Driver, o websocket.Options) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &websocket.Server{Handler: echoing, Driver: driver, Accept: websocket.AcceptOptions{Options: o}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-done })
	return "ws://" + ln.Addr().String() + "/"
}

// mounted puts a Server under net/http.
func mounted(t *testing.T, driver websocket.Driver, o websocket.Options) string {
	t.Helper()
	return hosted(t, &websocket.Server{Handler: echoing, Driver: driver, Accept: websocket.AcceptOptions{Options: o}})
}

// accepted uses Accept and the blocking style.
func accepted(t *testing.T, _ websocket.Driver, o websocket.Options) string {
	t.Helper()
	return hosted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Options: o})
		if err != nil {
			return
		}
		_ = echo(r.Context(), c)
	}))
}

func hosted(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/"
}

// echo answers messages until the connection ends.
func echo(ctx context.Context, c *websocket.Conn) error {
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
}

func expected(t *testing.T, name string) conformance.Expected {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	e, err := conformance.ReadExpected(f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func compare(t *testing.T, r *conformance.Report, err error, e conformance.Expected) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Summary())
	for _, d := range r.Compare(e) {
		t.Error(d)
	}
}

// patient is for machines that are busy with other tests at the same time.
const patient = 30 * time.Second

func TestDuplexServer(t *testing.T) {
	for _, s := range []struct {
		name     string
		start    func(*testing.T, websocket.Driver, websocket.Options) string
		driver   websocket.Driver
		mode     websocket.CompressionMode
		options  conformance.Options
		expected string
	}{
		{"goroutine driver", driven, websocket.DriverGoroutine, websocket.CompressionTakeover, conformance.Options{}, "expected.json"},
		{"loop driver", driven, websocket.DriverLoop, websocket.CompressionTakeover, conformance.Options{}, "expected.json"},
		{"Accept", accepted, websocket.DriverAuto, websocket.CompressionTakeover, conformance.Options{SkipLarge: true}, "expected.json"},
		{"goroutine driver under net http", mounted, websocket.DriverGoroutine, websocket.CompressionTakeover, conformance.Options{SkipLarge: true}, "expected.json"},
		{"loop driver under net http", mounted, websocket.DriverLoop, websocket.CompressionTakeover, conformance.Options{SkipLarge: true}, "expected.json"},
		{"goroutine driver without takeover", driven, websocket.DriverGoroutine, websocket.CompressionNoTakeover, conformance.Options{SkipLarge: true}, "expected-no-takeover.json"},
		{"loop driver without takeover", driven, websocket.DriverLoop, websocket.CompressionNoTakeover, conformance.Options{SkipLarge: true}, "expected-no-takeover.json"},
		{"goroutine driver without compression", driven, websocket.DriverGoroutine, websocket.CompressionOff, conformance.Options{SkipLarge: true, Only: []string{"6455-[0-79]*", "6455-10*", "7692-6-*"}}, "expected.json"},
		{"loop driver without compression", driven, websocket.DriverLoop, websocket.CompressionOff, conformance.Options{SkipLarge: true, Only: []string{"6455-[0-79]*", "6455-10*", "7692-6-*"}}, "expected.json"},
	} {
		t.Run(s.name, func(t *testing.T) {
			s.options.Timeout = patient
			r, err := conformance.TestServer(context.Background(), s.start(t, s.driver, options(s.mode)), &s.options)
			compare(t, r, err, expected(t, s.expected))
		})
	}
}

func TestDuplexClient(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     websocket.CompressionMode
		options  conformance.Options
		expected string
	}{
		{"with takeover", websocket.CompressionTakeover, conformance.Options{}, "expected.json"},
		{"without takeover", websocket.CompressionNoTakeover, conformance.Options{SkipLarge: true}, "expected-no-takeover.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &websocket.DialOptions{Options: options(c.mode)}
			c.options.Timeout = patient
			r, err := conformance.TestClient(context.Background(), func(ctx context.Context, url string) error {
				conn, err := websocket.Dial(ctx, url, o)
				if err != nil {
					return err
				}
				return echo(ctx, conn)
			}, &c.options)
			compare(t, r, err, expected(t, c.expected))
		})
	}
}
