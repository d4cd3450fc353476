package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/websocket"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start runs the program on a free port until the test ends and returns its address, "http://127.0.0.1:port/".
func start(t *testing.T, config Config) string {
	t.Helper()
	address, _ := startStoppable(t, config)
	return address
}

// startStoppable also returns what stops the server and checks that it ended well.
func startStoppable(t *testing.T, c Config) (address string, stop func()) {
	t.Helper()
	if c.Settings == nil {
		c.Settings = configured(t, "")
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	return launch(t, func(ctx context.Context, ready func(string)) error {
		c.Ready = ready
		return Run(ctx, c)
	})
}

// configured loads a configuration file of that content, and listens on a free port of 127.0.0.1 unless the file says otherwise.
func configured(t *testing.T, content string) *config.Loaded {
	t.Helper()
	file := filepath.Join(t.TempDir(), "duplex.yaml")
	if !strings.Contains("\n"+content, "\nlisten:") {
		content = "listen: 127.0.0.1:0\n" + content
	}
	rewrite(t, file, content)
	loaded, err := config.Load(config.Input{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func rewrite(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func startEcho(t *testing.T, config EchoConfig) string {
	t.Helper()
	config.Listen, config.Logger = "127.0.0.1:0", quiet
	address, _ := launch(t, func(ctx context.Context, ready func(string)) error {
		config.Ready = ready
		return RunEcho(ctx, config)
	})
	return address
}

func launch(t *testing.T, run func(context.Context, func(string)) error) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func(url string) { ready <- url }) }()
	select {
	case address = <-ready:
	case err := <-ended:
		t.Fatalf("the server did not start: %v", err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(3 * patience):
			t.Error("the server does not stop")
		}
	}
	t.Cleanup(stop)
	return address, stop
}

// frame is anything that the chat sends.
type frame struct {
	Type, Code, Room, Name, ID, From, Text, MIME string
	Members                                      []string
	History                                      int
	Time, Retry                                  int64
	Limits                                       limits
	picture                                      []byte
}

// client is one person in a room.
type client struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, address string, query url.Values) (*client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	target := strings.Replace(address, "http", "ws", 1) + "chat?" + query.Encode()
	conn, err := websocket.Dial(ctx, target, &websocket.DialOptions{Options: websocket.Options{MaxMessage: 32 << 20, Logger: quiet}})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{conn, t}, nil
}

// enter goes into the lobby and reads the welcome.
func enter(t *testing.T, address, name string) (*client, frame) {
	t.Helper()
	return enterWith(t, address, url.Values{"room": {"lobby"}, "name": {name}})
}

func enterWith(t *testing.T, address string, query url.Values) (*client, frame) {
	t.Helper()
	c, err := dial(t, address, query)
	if err != nil {
		t.Fatalf("entering with %v: %v", query, err)
	}
	return c, c.expect("welcome")
}

func (c *client) next() (frame, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	typ, p, err := c.Read(ctx)
	if err != nil {
		return frame{}, err
	}
	if typ == websocket.Binary {
		h, picture, err := parsePicture(p)
		if err != nil {
			c.t.Fatalf("the server sent a broken picture: %v", err)
		}
		return frame{Type: "picture", ID: h.ID, From: h.From, Name: h.Name, MIME: h.MIME, Time: h.Time, picture: append([]byte(nil), picture...)}, nil
	}
	var f frame
	if err := json.Unmarshal(p, &f); err != nil {
		c.t.Fatalf("the server sent %.100q: %v", p, err)
	}
	return f, nil
}

// expect reads the next frame, which must be of that type.
func (c *client) expect(typ string) frame {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for %q: %v", typ, err)
	}
	if f.Type != typ {
		c.t.Fatalf("waiting for %q, got %q %s from %q: %.100q", typ, f.Type, f.Code, f.From+f.Name, f.Text)
	}
	return f
}

// expectText reads the next frame, which must be that text.
func (c *client) expectText(from, text string) {
	c.t.Helper()
	if f := c.expect("message"); f.From != from || f.Text != text {
		c.t.Fatalf("got %q from %q, want %q from %q", f.Text, f.From, text, from)
	}
}

// expectClose reads until the connection ends, which must be with that code.
func (c *client) expectClose(code websocket.StatusCode) {
	c.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			if got := websocket.CloseStatus(err); got != code {
				c.t.Fatalf("closed with %v (%v), want %v", got, err, code)
			}
			return
		}
	}
}

func (c *client) sendText(text string) {
	c.t.Helper()
	c.sendJSON(incoming{Type: "text", Text: text})
}

func (c *client) sendJSON(v any) {
	c.t.Helper()
	c.sendRaw(websocket.Text, mustJSON(v))
}

func (c *client) sendRaw(typ websocket.MessageType, p []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.Write(ctx, typ, p); err != nil {
		c.t.Fatalf("sending %d bytes: %v", len(p), err)
	}
}

func (c *client) sendPicture(id, name string, picture []byte) {
	c.t.Helper()
	p, err := appendPicture(nil, pictureHeader{ID: id, Name: name}, picture)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sendRaw(websocket.Binary, p)
}

// get asks for a page.
func get(t *testing.T, address string, header http.Header) (*http.Response, string) {
	t.Helper()
	return request(t, http.MethodGet, address, header)
}

func request(t *testing.T, method, address string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response, "" // the body is the connection
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func handshakeError(t *testing.T, err error) *websocket.HandshakeError {
	t.Helper()
	refused, ok := errors.AsType[*websocket.HandshakeError](err)
	if !ok {
		t.Fatalf("%v is not a refused handshake", err)
	}
	return refused
}
