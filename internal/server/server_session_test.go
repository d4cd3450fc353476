package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/websocket"
)

// peer is a client of the session protocol.
type peer struct {
	*websocket.Conn
	t *testing.T
}

func dialSession(t *testing.T, address string, o *websocket.DialOptions) (*peer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, strings.Replace(address, "http", "ws", 1)+"ws", o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &peer{conn, t}, nil
}

// join connects and says who it is.
func join(t *testing.T, address, token string) *peer {
	t.Helper()
	p, err := dialSession(t, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reply := p.ask(map[string]any{"type": "connect", "token": token}); reply["type"] != "reply" {
		t.Fatalf("connect: %v", reply)
	}
	return p
}

// ask sends a command and returns its answer.
func (p *peer) ask(command map[string]any) map[string]any {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	command["id"] = 1
	if err := p.Write(ctx, websocket.Text, mustJSON(command)); err != nil {
		p.t.Fatal(err)
	}
	for {
		frame, err := p.next()
		if err != nil {
			p.t.Fatalf("waiting for the answer to %v: %v", command, err)
		}
		if frame["id"] != nil {
			return frame
		}
	}
}

func (p *peer) next() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	_, content, err := p.Read(ctx)
	if err != nil {
		return nil, err
	}
	var frame map[string]any
	return frame, json.Unmarshal(content, &frame)
}

// await reads until a frame of that type.
func (p *peer) await(typ string) map[string]any {
	p.t.Helper()
	for {
		frame, err := p.next()
		if err != nil {
			p.t.Fatalf("waiting for %q: %v", typ, err)
		}
		if frame["type"] == typ {
			return frame
		}
	}
}

// logbook is a log that tests read while it is written.
type logbook struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newLogbook() *logbook { return &logbook{changed: make(chan struct{}, 1)} }

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits for a line that contains all parts, and returns it.
func (l *logbook) await(t *testing.T, parts ...string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		for line := range strings.Lines(l.String()) {
			if containsAll(line, parts) {
				return line
			}
		}
		select {
		case <-l.changed:
		case <-timeout:
			t.Fatalf("no line with %q in\n%s", parts, l)
		}
	}
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

const tokenSecret = "0123456789abcdef0123456789abcdef"

// secretFile is a key for tokens.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func token(t *testing.T, secret, user string) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSessions(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "topics:\n- {pattern: chat.*, history: {messages: 10}, max-bytes: 100}\n")})
	ann, bob := join(t, address, ""), join(t, address, "")
	if reply := ann.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby"}); reply["type"] != "reply" {
		t.Fatal(reply)
	}
	if reply := bob.ask(map[string]any{"type": "publish", "topic": "chat.lobby", "data": "hi"}); reply["type"] != "reply" {
		t.Fatal(reply)
	}
	if m := ann.await("message"); m["data"] != "hi" || m["topic"] != "chat.lobby" {
		t.Errorf("%v", m)
	}
	if reply := bob.ask(map[string]any{"type": "publish", "topic": "chat.lobby", "data": strings.Repeat("x", 200)}); reply["code"] != "too-large" {
		t.Errorf("the topic's rule does not hold: %v", reply)
	}
}

// TestLimits: what is configured bounds a client.
func TestLimits(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "limits: {subscriptions: 1, connections: 2, frame: 1KiB, commands-rate: 0.001, commands-burst: 5}\n")})
	ann := join(t, address, "")
	ann.ask(map[string]any{"type": "subscribe", "topic": "a"})
	if reply := ann.ask(map[string]any{"type": "subscribe", "topic": "b"}); reply["code"] != "too-many-subscriptions" {
		t.Errorf("%v", reply)
	}
	for range 5 {
		ann.ask(map[string]any{"type": "ping"})
	}
	if reply := ann.ask(map[string]any{"type": "ping"}); reply["code"] != "rate" {
		t.Errorf("%v", reply)
	}
	bob := join(t, address, "")
	if _, err := dialSession(t, address, nil); handshakeError(t, err).Status != http.StatusServiceUnavailable {
		t.Errorf("a third connection: %v", err)
	}
	if err := bob.Write(t.Context(), websocket.Text, bytes.Repeat([]byte("x"), 2048)); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.next(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a large frame: %v", err)
	}
}

// TestTokens: with keys nobody comes in without one, and neither the showcase nor the figures are there for everybody.
func TestTokens(t *testing.T) {
	settings := configured(t, "listen: :0\ntokens: {keys: [{file: "+secretFile(t, tokenSecret)+", algorithm: HS256}]}\n")
	log := newLogbook()
	address := start(t, Config{Settings: settings, Log: log})
	log.await(t, "listening", "mode=tokens")
	ann := join(t, address, token(t, tokenSecret, "ann"))
	if reply := ann.ask(map[string]any{"type": "subscribe", "topic": "a"}); reply["type"] != "reply" {
		t.Error(reply)
	}
	stranger, err := dialSession(t, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reply := stranger.ask(map[string]any{"type": "connect"}); reply["code"] != "token-missing" {
		t.Error(reply)
	}
	for path, status := range map[string]int{"": 404, "chat": 404, "echo": 404, "metrics": 403, "healthz": 200, "readyz": 200} {
		if response, _ := get(t, address+path, nil); response.StatusCode != status {
			t.Errorf("/%s: %d", path, response.StatusCode)
		}
	}
}
