package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

var errNoRoom = loop.ErrWouldBlock

// A server that does not echo as it should is found out, over both transports.
func TestWrongServers(t *testing.T) {
	for name, c := range map[string]struct {
		message func(n int64, c *websocket.Conn, p []byte)
		kind    Kind
		want    string
	}{
		"wrong content": {func(n int64, c *websocket.Conn, p []byte) {
			if n == 20 {
				p[len(p)/2]++
			}
			_ = c.Send(websocket.Binary, p)
		}, WrongReply, "differs"},
		"wrong type": {func(n int64, c *websocket.Conn, p []byte) { _ = c.Send(websocket.Text, []byte("no")) }, WrongReply, "reply 0 is text"},
		"doubled": {func(n int64, c *websocket.Conn, p []byte) {
			_ = c.Send(websocket.Binary, p)
			if n == 20 {
				_ = c.Send(websocket.Binary, p)
			}
		}, WrongReply, ""},
		"closes": {func(n int64, c *websocket.Conn, p []byte) {
			if n == 20 {
				go func() { _ = c.Close(context.Background(), 4001, "enough") }()
			}
			_ = c.Send(websocket.Binary, p)
		}, Closed, `4001: "enough"`},
		"drops": {func(n int64, c *websocket.Conn, p []byte) {
			if n == 20 {
				_ = c.CloseNow()
			}
			_ = c.Send(websocket.Binary, p)
		}, Lost, "connection"},
		"falls silent": {func(n int64, c *websocket.Conn, p []byte) {
			if n < 20 {
				_ = c.Send(websocket.Binary, p)
			}
		}, NoAnswer, "3 of 22 replies did not come within 300ms"},
	} {
		for transport, portable := range transports {
			t.Run(name+"/"+transport, func(t *testing.T) {
				var n atomic.Int64
				url := serve(t, handled(websocket.CompressionOff, func(conn *websocket.Conn, _ websocket.MessageType, p []byte) { c.message(n.Add(1), conn, p) }))
				r := try(t, Config{URL: url, Connections: 1, InFlight: 3, WarmUp: -1, Duration: patience, Timeout: 300 * time.Millisecond, portable: portable})
				if len(r.Errors) != 1 || r.Errors[0].Kind != c.kind || r.Errors[0].Count != 1 || !strings.Contains(r.Errors[0].First, c.want) {
					t.Errorf("errors: %+v, not %s: %s", r.Errors, c.kind, c.want)
				}
			})
		}
	}
}

// One connection that fails does not end the others.
func TestOthersGoOn(t *testing.T) {
	var n atomic.Int64
	url := serve(t, handled(websocket.CompressionOff, func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		if n.Add(1) == 100 {
			_ = c.CloseNow()
		}
		_ = c.Send(typ, p)
	}))
	r := try(t, Config{URL: url, Connections: 5, WarmUp: -1, Messages: 3000, Duration: patience})
	if r.Messages < 3000 || len(r.Errors) != 1 || r.Errors[0].Kind != Lost || r.Errors[0].Count != 1 {
		t.Errorf("%d messages; errors: %+v", r.Messages, r.Errors)
	}
}

func TestRefused(t *testing.T) {
	s := echoServer(websocket.CompressionOff)
	s.Accept.Interceptors = []func(*websocket.Upgrade) error{func(*websocket.Upgrade) error {
		return &websocket.HandshakeError{Status: http.StatusForbidden, Reason: "members only"}
	}}
	_, err := Run(t.Context(), Config{URL: serve(t, s)})
	refused, ok := errors.AsType[*websocket.HandshakeError](err)
	if !ok || refused.Status != http.StatusForbidden || !strings.Contains(string(refused.Body), "members only") || kindOf(err) != Refused {
		t.Errorf("%v", err)
	}
}

// A server that takes so many connections and no more: the run goes on with those.
func TestRefusedLater(t *testing.T) {
	s := echoServer(websocket.CompressionOff)
	s.Accept.Limit = &websocket.ConnLimit{Total: 10}
	r := try(t, Config{URL: serve(t, s), Connections: 30, WarmUp: -1, Messages: 1000, Duration: patience})
	if r.Connect.Opened != 10 || r.Messages < 1000 || len(r.Errors) != 1 || r.Errors[0].Kind != Refused || r.Errors[0].Count != 20 {
		t.Errorf("%d opened, %d messages; errors: %+v", r.Connect.Opened, r.Messages, r.Errors)
	}
	if first := r.Errors[0].First; !strings.Contains(first, "503") {
		t.Error(first)
	}
	began := time.Now()
	r = try(t, Config{URL: serve(t, s), Connections: 50_000, WarmUp: -1, Messages: 1000, Duration: patience})
	if n := r.Errors[0].Count; n < hopeless || n > 10*hopeless {
		t.Errorf("%d attempts failed in %s before it gave up", n, time.Since(began))
	}
}

func TestCompressionNotAgreed(t *testing.T) {
	url := serve(t, echoServer(websocket.CompressionOff))
	_, err := Run(t.Context(), Config{URL: url, Compression: websocket.CompressionTakeover})
	if kindOf(err) != Refused || !strings.Contains(err.Error(), "does not compress") {
		t.Errorf("%v", err)
	}
}

// answering is a server whose every connection gets these bytes as the answer to
// its handshake and is then closed.
func answering(t *testing.T, answer func(key string) string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = conn.Write([]byte(answer(request.Header.Get("Sec-Websocket-Key"))))
			}
			_ = conn.Close()
		}
	}()
	return "ws://" + listener.Addr().String() + "/"
}

func TestWrongAnswers(t *testing.T) {
	upgraded := func(key string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + protocol.AcceptKey(key) + "\r\n\r\n"
	}
	for name, c := range map[string]struct {
		answer func(key string) string
		kind   Kind
		want   string
	}{
		"nothing":         {func(string) string { return "" }, Unreachable, "no answer to the handshake"},
		"half an answer":  {func(string) string { return "HTTP/1.1 101 Switching" }, Unreachable, "broke off"},
		"no HTTP":         {func(string) string { return "220 mail ready\r\n" }, Refused, "not HTTP"},
		"a page":          {func(string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" }, Refused, "200 OK, not 101"},
		"a redirect":      {func(string) string { return "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n" }, Refused, "302"},
		"another's key":   {func(string) string { return upgraded("dGhlIHNhbXBsZSBub25jZQ==") }, Refused, "Sec-WebSocket-Accept"},
		"upgraded, ended": {upgraded, "", ""},
	} {
		for _, mode := range []Mode{Echo, Handshake} {
			r, err := Run(t.Context(), Config{URL: answering(t, c.answer), Mode: mode, Connections: 3, WarmUp: -1, Messages: 10, Duration: patience})
			switch {
			case c.kind == "" && mode == Echo: // each connection is lost
				if err != nil || len(r.Errors) != 1 || r.Errors[0].Kind != Lost || r.Errors[0].Count != 3 {
					t.Errorf("%s, %s: %+v, %v", name, mode, r, err)
				}
			case c.kind == "":
				if err != nil || len(r.Errors) != 0 {
					t.Errorf("%s, %s: %+v, %v", name, mode, r, err)
				}
			case err == nil || kindOf(err) != c.kind || !strings.Contains(err.Error(), c.want):
				t.Errorf("%s, %s: %v", name, mode, err)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	for _, mode := range []Mode{Echo, Handshake} {
		if _, err := Run(t.Context(), Config{URL: "ws://" + listener.Addr().String(), Mode: mode}); kindOf(err) != Unreachable {
			t.Errorf("%v", err)
		}
	}
}

func TestLimits(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"mode":                func(c *Config) { c.Mode = "nonsense" },
		"connections":         func(c *Config) { c.Connections = 60_001 },
		"connections is -1":   func(c *Config) { c.Connections = -1 },
		"with the publisher":  func(c *Config) { c.Mode, c.Connections = Broadcast, 60_000 },
		"size":                func(c *Config) { c.Size = 16<<20 + 1 },
		"in flight":           func(c *Config) { c.InFlight = 4097 },
		"rate is":             func(c *Config) { c.Rate = 1e8 },
		"rate is NaN":         func(c *Config) { c.Rate = math.NaN() },
		"rate is -5":          func(c *Config) { c.Rate = -5 },
		"exclude each other":  func(c *Config) { c.Rate, c.InFlight = 10, 10 },
		"idle connections":    func(c *Config) { c.Mode, c.Rate = Idle, 10 },
		"duration":            func(c *Config) { c.Duration = 61 * time.Minute },
		"duration is -1s":     func(c *Config) { c.Duration = -time.Second },
		"warm-up":             func(c *Config) { c.WarmUp = 11 * time.Minute },
		"messages":            func(c *Config) { c.Messages = -1 },
		"timeout":             func(c *Config) { c.Timeout = time.Hour },
		"parallel":            func(c *Config) { c.Parallel = 1025 },
		"connect rate":        func(c *Config) { c.ConnectRate = 1e9 },
		"churn":               func(c *Config) { c.Churn = 10_001 },
		"pid":                 func(c *Config) { c.PID = 1 << 30 },
		"cannot be watched":   func(c *Config) { c.PID = 1<<22 - 1 },
		"must look like ws":   func(c *Config) { c.URL = "ftp://127.0.0.1/" },
		"URL is invalid":      func(c *Config) { c.URL = "ws://127.0.0.1:x/" },
		"must look like ws:/": func(c *Config) { c.URL = "ws:///path" },
	} {
		c := Config{URL: "ws://127.0.0.1:1/", Duration: time.Millisecond}
		change(&c)
		_, err := Run(t.Context(), c)
		if wrong, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(wrong.Error(), want) {
			t.Errorf("want an error about %q, got %T: %v", want, err, err)
		}
	}
}

// Passwords do not get into results or errors.
func TestPasswordStaysInside(t *testing.T) {
	s := echoServer(websocket.CompressionOff)
	s.Accept.Interceptors = []func(*websocket.Upgrade) error{func(u *websocket.Upgrade) error {
		if user, password, _ := u.Request.BasicAuth(); user != "ann" || password != "secret" {
			return fmt.Errorf("not ann")
		}
		return nil
	}}
	url := strings.Replace(serve(t, s), "ws://", "ws://ann:secret@", 1)
	if r := must(t, Config{URL: url, WarmUp: -1, Messages: 10}); strings.Contains(r.URL, "secret") {
		t.Error(r.URL)
	}
	_, err := Run(t.Context(), Config{URL: strings.Replace(url, "/", "/ \x7f", 3)})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
