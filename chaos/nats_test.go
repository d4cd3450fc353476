package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestMain lets the tests' own program be a NATS server.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "nats" {
		if err := runNATS(os.Getenv("CHAOS_NATS"), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// threeServers starts three NATS servers behind proxies, with a stream on all of them.
func threeServers(t *testing.T) *world {
	t.Helper()
	o := &options{topology: "nats", network: "links", dir: t.TempDir(), seed: 1}
	w, err := newWorld(o, "..")
	if err != nil {
		t.Fatal(err)
	}
	w.nodes = nil
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		for _, m := range w.mishaps {
			t.Error(m)
		}
	})
	if err := w.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := connect(t, w, w.nats[0])
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{"x.>"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	return w
}

// connect connects to one server.
func connect(t *testing.T, w *world, to *natsServer) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("nats://" + w.network.reach(self, to.name, serviceNATS))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// another waits until another server than one leads the stream, and returns it.
func another(t *testing.T, w *world, one *natsServer) *natsServer {
	t.Helper()
	var leads *natsServer
	if err := await(t.Context(), 30*time.Second, "another leader", func() string {
		for _, n := range w.nats { // one that is cut off may take itself for the leader for a while
			if n != one && n.ask("leader "+streamName) {
				leads = n
				return ""
			}
		}
		return "there is none"
	}); err != nil {
		t.Fatal(err)
	}
	return leads
}

// store stores a message by way of a server, sooner or later, and returns its place.
func store(t *testing.T, w *world, by *natsServer) uint64 {
	t.Helper()
	js := connect(t, w, by)
	var place uint64
	if err := await(t.Context(), 30*time.Second, "a message to be stored", func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		ack, err := js.Publish(ctx, "x.a", []byte("hello"))
		if err != nil {
			return err.Error()
		}
		place = ack.Sequence
		return ""
	}); err != nil {
		t.Fatal(err)
	}
	return place
}

// TestServers: the leader of the stream is found; when proxies cut it off, another one leads, and it comes back. One that is stopped does not answer.
func TestServers(t *testing.T) {
	w := threeServers(t)
	first := another(t, w, nil)
	before := store(t, w, first)
	each := func(do func(a, b string) error) {
		t.Helper()
		for _, n := range w.nats {
			if n == first {
				continue
			}
			if err := do(first.name, n.name); err != nil {
				t.Fatal(err)
			}
		}
	}
	each(w.network.cut) // but not from us
	second := another(t, w, first)
	if after := store(t, w, second); after <= before {
		t.Errorf("a message is at %d behind %d", after, before)
	}
	each(w.network.mend)
	if err := await(t.Context(), readyWithin, "all servers to be ready", w.natsReady); err != nil {
		t.Fatal(err)
	}
	if err := second.pause(); err != nil {
		t.Fatal(err)
	}
	if second.ask("ready") {
		t.Error("a server that is stopped answers")
	}
	if err := second.resume(); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), readyWithin, "an answer", func() string {
		if !second.ask("ready") {
			return "there is none"
		}
		return ""
	}); err != nil {
		t.Fatal(err)
	}
}
