package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
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
