package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// TestDrain: clients are told when to come back, each at a time of its own, at the configured pace; operators see it happen.
func TestDrain(t *testing.T) {
	log := newLogbook()
	settings := configured(t, "drain: {rate: 100, retry: 2s, spread: 3s}\nadmin: {listen: '127.0.0.1:0'}\n")
	address, stop := startStoppable(t, Config{Settings: settings, Log: log})
	admin := attribute(t, log.await(t, "listening", "admin="), "admin")
	const clients = 40
	var peers []*peer
	for range clients {
		peers = append(peers, join(t, address, ""))
	}
	began := time.Now()
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	peers[0].await("disconnect")
	if response, body := get(t, admin+"readyz", nil); response.StatusCode != http.StatusServiceUnavailable || body != "draining\n" {
		t.Errorf("readyz: %d %q", response.StatusCode, body)
	}
	afters := map[float64]bool{}
	for _, p := range peers[1:] {
		why := p.await("disconnect")
		after, _ := why["after"].(float64)
		if why["code"] != "restart" || why["reconnect"] != true || after < 2000 || after > 5000 {
			t.Errorf("%v", why)
		}
		afters[after] = true
		if _, err := p.next(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("closed with %v", err)
		}
	}
	if len(afters) < clients/2 {
		t.Errorf("only %d different times to come back", len(afters))
	}
	<-stopped
	if took := time.Since(began); took < clients*time.Second/100*8/10 {
		t.Errorf("%d clients were sent away in %v, which is faster than 100 a second", clients, took)
	}
	log.await(t, "stopped")
	for _, url := range []string{address, admin} {
		if _, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")); err == nil {
			t.Errorf("%s is still open", url)
		}
	}
}

// TestDrainDeadline cuts off who does not go.
func TestDrainDeadline(t *testing.T) {
	address, stop := startStoppable(t, Config{Settings: configured(t, "drain: {timeout: 200ms, rate: 50}\n")})
	for range 50 {
		join(t, address, "")
	}
	began := time.Now()
	stop() // nobody reads, so nobody answers the close frame
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// TestDrainDelay: for a while the server only says that it is going to stop.
func TestDrainDelay(t *testing.T) {
	n, err := newNode(Config{Settings: configured(t, "drain: {delay: 1h}\n"), Log: newLogbook()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := n.listen(ctx); err != nil {
		t.Fatal(err)
	}
	n.start()
	address := n.public.url()
	ann := join(t, address, "")
	drained := make(chan error)
	go func() { drained <- n.drain(ctx) }()
	n.config.Log.(*logbook).await(t, "not ready any more", "delay=1h")
	if response, body := get(t, address+"readyz", nil); response.StatusCode != 503 || body != "draining\n" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	for _, p := range []*peer{ann, join(t, address, "")} {
		if reply := p.ask(map[string]any{"type": "ping"}); reply["type"] != "reply" {
			t.Error(reply)
		}
	}
	cancel()
	if err := <-drained; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// attribute returns one value of a line of the log.
func attribute(t *testing.T, line, key string) string {
	t.Helper()
	_, rest, found := strings.Cut(line, " "+key+"=")
	if !found {
		t.Fatalf("no %s in %q", key, line)
	}
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return strings.Trim(value, `"`)
}

// reloader asks a server to read its configuration again.
type reloader chan os.Signal

func (r reloader) now() { r <- os.Interrupt } // any signal will do
