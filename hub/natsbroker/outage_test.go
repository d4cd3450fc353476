package natsbroker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// stop stops a server before the test ends.
func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func refused(t *testing.T, err error, part string) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) || !strings.Contains(err.Error(), part) {
		t.Errorf("refused with %v, which does not say %q", err, part)
	}
}

// While the server is away publishing fails at once; when it is back, everything goes on where it was.
func TestServerRestarts(t *testing.T) {
	o := server.Options{Port: freePort(t), StoreDir: t.TempDir()}
	s := startServer(t, o)
	a, b := openBroker(t, Options{}, s), openBroker(t, Options{}, s)
	node := attach(t, a, "t", "*")
	before := publish(t, b, "t", "1")
	node.expect("t", "1")
	node.expect("*", "1")
	stop(s)
	for _, broker := range []*Broker{a, b} {
		began := time.Now()
		_, err := broker.Publish(t.Context(), &hub.Message{Topic: "t", Data: []byte("lost")}, plenty)
		refused(t, err, "")
		_, err = broker.Publish(t.Context(), &hub.Message{Topic: "t", Data: []byte("lost")}, hub.Retention{})
		refused(t, err, "no connection")
		if took := time.Since(began); took > 3*defaultPublishTimeout {
			t.Errorf("it took %v to fail", took)
		}
		if err := broker.Ready(t.Context()); err == nil {
			t.Error("the broker is ready")
		}
		if _, err := broker.Read(t.Context(), query(hub.ReadQuery{Topic: "other", Since: &before})); !errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			t.Errorf("read: %v", err)
		}
	}
	startServer(t, o)
	publishSoon(t, b, "t", "2")
	node.expect("t", "1", "2")
	node.expect("*", "1", "2")
	if texts, log := read(t, a, hub.ReadQuery{Topic: "t", Since: &before}); len(texts) != 1 || !log.Lost.IsZero() || log.Top.Epoch != before.Epoch {
		t.Errorf("read %q, lost up to %v, top is %v", texts, log.Lost, log.Top)
	}
	if err := a.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// What was published while a node had no connection is fetched when it has one again, though nothing else comes.
func TestNodeIsCutOff(t *testing.T) {
	servers := startCluster(t)
	a := openBroker(t, Options{Replicas: 3}, servers[0], servers[1])
	b := openBroker(t, Options{Replicas: 3}, servers[2])
	node := attach(t, a, "t", "*", "u")
	publish(t, b, "t", "1")
	node.expect("t", "1")
	node.expect("*", "1")
	for _, s := range servers[:2] {
		if s.ID() == a.nc.ConnectedServerId() {
			stop(s)
		}
	}
	publishSoon(t, b, "t", "2")
	publishSoon(t, b, "t", "3")
	node.expect("t", "1", "2", "3")
	node.expect("*", "1", "2", "3")
	node.mu.Lock()
	defer node.mu.Unlock()
	if len(node.at["u"]) > 0 {
		t.Errorf("a quiet topic was told %q", node.at["u"])
	}
}

// A stream without room refuses, says so, and is not ready; what it has is still there.
func TestFull(t *testing.T) {
	s := startServer(t, server.Options{})
	b := openBroker(t, Options{MaxBytes: 128 << 10}, s)
	node := attach(t, b, "t")
	var err error
	sent := 0
	big := make([]byte, 8<<10)
	for ; err == nil && sent < 1000; sent++ {
		_, err = b.Publish(t.Context(), &hub.Message{Topic: "t", Data: big, Binary: true}, plenty)
	}
	refused(t, err, "there is no room")
	for err = nil; err == nil; { // there is room for small ones still
		_, err = b.Publish(t.Context(), &hub.Message{Topic: "small"}, hub.Retention{Messages: 100, Age: time.Hour, Bytes: 1 << 20})
	}
	if err := b.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "maximum bytes") {
		t.Errorf("ready: %v", err)
	}
	texts, log := read(t, b, hub.ReadQuery{Topic: "t", Limit: 1000})
	if len(texts) != sent-1 || log.More {
		t.Errorf("%d messages are kept of %d", len(texts), sent-1)
	}
	found, err := b.js.Stream(t.Context(), b.names.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "t", "again")
	var all []string
	for range sent - 1 {
		all = append(all, string(big))
	}
	node.expect("t", append(all, "again")...)
}

// Without a majority nothing is stored: whoever publishes is told within the deadline, however many they are, and nothing piles up.
func TestNoMajority(t *testing.T) {
	servers := startCluster(t)
	b := openBroker(t, Options{Replicas: 3, PublishTimeout: time.Second}, servers[0])
	publish(t, b, "t", "1")
	stop(servers[1])
	stop(servers[2])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			_, err := b.Publish(ctx, &hub.Message{Topic: "t", Data: []byte("2")}, plenty)
			refused(t, err, "")
		})
	}
	all.Wait()
	if err := b.Ready(ctx); err == nil {
		t.Error("the broker is ready")
	}
	// What is stored nowhere needs no majority.
	node := newRecorder(t)
	node.forgets = true
	b.mu.Lock()
	b.nodes[node] = struct{}{} // to attach, its lease would have to be stored
	b.mu.Unlock()
	t.Cleanup(func() { b.follows.detach(node) })
	if err := b.Follow(t.Context(), node, "bare"); err != nil {
		t.Error(err)
	}
	if _, err := b.Publish(t.Context(), &hub.Message{Topic: "bare", Data: []byte("1")}, hub.Retention{}); err != nil {
		t.Error(err)
	}
	node.expect("bare", "1")
	b.mu.Lock()
	delete(b.nodes, node)
	b.mu.Unlock()
	for began := time.Now(); b.js.PublishAsyncPending() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d publications wait", b.js.PublishAsyncPending())
		}
	}
}

// A message that is larger than NATS takes is the publisher's mistake.
func TestTooLarge(t *testing.T) {
	s := startServer(t, server.Options{MaxPayload: 64 << 10})
	b := openBroker(t, Options{}, s)
	for _, r := range []hub.Retention{plenty, {}} {
		_, err := b.Publish(t.Context(), &hub.Message{Topic: "t", Data: make([]byte, 65<<10)}, r)
		if !errors.Is(err, &hub.Error{Code: hub.CodeTooLarge}) {
			t.Errorf("refused with %v", err)
		}
	}
}
