package edit

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/natsbroker"
	"github.com/duplex-websocket/duplex/internal/natsserver"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

// attach returns the broker of another node on the same NATS server.
func attach(t *testing.T, server *natsserver.Server) hub.Broker {
	t.Helper()
	conn, err := nats.Connect("", natsbroker.ConnOptions(nats.InProcessServer(server))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	broker, err := natsbroker.New(t.Context(), natsbroker.Options{Conn: conn, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return broker
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatal("never happened: ", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Clients of two nodes, of the hub and of y-websocket, edit the same document; JetStream keeps it.
func TestCluster(t *testing.T) {
	server, err := natsserver.Start(t.Context(), natsserver.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	one, two := start(t, attach(t, server)), start(t, attach(t, server))
	ann := one.open(t, "~ann")
	ann.subscribe(t, topic("notes", partLog))
	ann.subscribe(t, topic("notes", partSnapshot))
	robot := dial(t, serve(t, two)+"notes")
	robot.hear(yjs.SyncStep1)

	updates, text := letters(1, compactUpdates+20)
	for _, u := range updates[:20] {
		robot.say(yjs.AppendSync(nil, yjs.SyncUpdate, u))
	}
	eventually(t, "ann has what the robot writes", func() bool { return len(ann.all(topic("notes", partLog))) == 20 })
	ann.write(t, "notes", updates[20:]...)
	for heard := 20; heard < len(updates); heard++ {
		robot.hear(yjs.SyncUpdate)
	}
	eventually(t, "there is a snapshot", func() bool { return len(ann.all(topic("notes", partSnapshot))) > 0 })
	one.stop()
	two.stop()

	three := start(t, attach(t, server))
	state, err := three.state(t.Context(), nil, struct{ Document string }{"notes"})
	if want := (yjs.StateVector{1: uint64(len(text))}).Append(nil); err != nil || !bytes.Equal(state.Vector, want) || state.Updates != 20 {
		t.Errorf("%+v, %v: want vector %x, and 20 updates behind the snapshot", state, err, want)
	}
	if whole, _ := three.read(t, "notes"); !bytes.Contains(whole, []byte(text)) {
		t.Errorf("the text is not what it was: %q", whole)
	}
	if snapshots := ann.all(topic("notes", partSnapshot)); len(snapshots) != 1 {
		t.Errorf("%d snapshots, want one of the two nodes'", len(snapshots))
	}
	list, err := three.documents(t.Context(), nil, struct{}{})
	if err != nil || len(list.Documents) != 1 || list.Documents[0].Name != "notes" {
		t.Errorf("the list has %v, %v", list, err)
	}
}
