package edit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

// typed is the update of a client that goes on typing: everything behind what it has typed before.
func typed(client, clock uint64, text string) []byte {
	b := binary.AppendUvarint([]byte{1, 1}, client)
	b = binary.AppendUvarint(b, clock)
	if clock == 0 {
		b = append(b, 4, 1, 4, 't', 'e', 'x', 't')
	} else {
		b = binary.AppendUvarint(binary.AppendUvarint(append(b, 0x84), client), clock-1)
	}
	b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	return append(b, 0)
}

// deleted is the update of somebody who deletes what a client has typed.
func deleted(client, clock, length uint64) []byte {
	b := binary.AppendUvarint([]byte{0, 1}, client)
	return binary.AppendUvarint(binary.AppendUvarint(append(b, 1), clock), length)
}

// node is a server with the app. Those with the same broker are a cluster, or one and what it is after a restart.
type node struct {
	*hub.Hub
	*editor
	stop func()
}

func start(t *testing.T, broker hub.Broker) *node {
	t.Helper()
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler)}
	n := &node{}
	all, err := showcase.New(env, func(env *showcase.Env) (*showcase.App, error) {
		n.editor = newEditor(env)
		return n.editor.app(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n.Hub, err = hub.New(hub.Options{Topics: all.Rules(), Broker: broker, Hooks: all.Hooks(hub.Hooks{}), Logger: env.Logger}); err != nil {
		t.Fatal(err)
	}
	if err := all.Start(n.Hub); err != nil {
		t.Fatal(err)
	}
	n.stop = sync.OnceFunc(func() {
		all.Close()
		n.Hub.Close()
	})
	t.Cleanup(n.stop)
	return n
}

// window is a client of the hub, with what it has heard.
type window struct {
	*hub.Subscriber
	mu    sync.Mutex
	heard []*hub.Message
}

func (w *window) Deliver(m *hub.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, m)
	return true
}

func (w *window) End(hub.End) {}

func (w *window) all(topic string) (found []*hub.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.heard {
		if m.Topic == topic {
			found = append(found, m)
		}
	}
	return found
}

func (n *node) open(t *testing.T, user string) *window {
	t.Helper()
	w := &window{}
	var err error
	if w.Subscriber, err = n.Connect(hub.Connecting{Session: user, Identity: hub.Identity{User: user, Anonymous: true}, Sink: w}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *window) subscribe(t *testing.T, topic string) {
	t.Helper()
	begun, err := w.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begun.Begin()
}

func (w *window) publish(topic string, data []byte) error {
	_, err := w.Publish(context.Background(), topic, hub.Publication{Data: data, Binary: true})
	return err
}

// write publishes updates, as far as the rate allows.
func (w *window) write(t *testing.T, name string, updates ...[]byte) {
	t.Helper()
	for _, u := range updates {
		err := w.publish(topic(name, partLog), u)
		for errors.Is(err, &hub.Error{Code: hub.CodeRate}) {
			time.Sleep(100 * time.Millisecond)
			err = w.publish(topic(name, partLog), u)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read does what a client does that opens a document: the snapshot, and the log behind it.
func (n *node) read(t *testing.T, name string) (whole []byte, behind int) {
	t.Helper()
	var updates [][]byte
	var from uint64
	for _, p := range []part{partSnapshot, partLog} {
		page, err := n.History(t.Context(), topic(name, p), hub.HistoryQuery{Forward: true, After: from, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			updates = append(updates, m.Data)
			if p == partSnapshot {
				var c content
				c.restart(page.Epoch)
				c.compacted(m)
				from = c.covered
			} else {
				behind++
			}
		}
	}
	whole, err := yjs.MergeUpdates(updates...)
	if err != nil {
		t.Fatal(err)
	}
	return whole, behind
}

func refused(t *testing.T, err error, code hub.Code) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%v, want it refused with %s", err, code)
	}
}

// letters are updates of somebody who types so many letters.
func letters(client uint64, n int) (updates [][]byte, text string) {
	for i := range n {
		letter := string(rune('a' + i%26))
		updates = append(updates, typed(client, uint64(i), letter))
		text += letter
	}
	return updates, text
}

func TestLogIsCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann, bob := n.open(t, "~ann"), n.open(t, "~bob")
		bob.subscribe(t, topic("notes", partLog))
		bob.subscribe(t, topic("notes", partLive))
		updates, text := letters(1, 2*compactUpdates+10)
		ann.write(t, "notes", updates...)
		synctest.Wait()
		whole, behind := n.read(t, "notes")
		if behind != 10 || !bytes.Contains(whole, []byte(text)) {
			t.Errorf("%d updates behind the snapshot, want 10, and the text as one: %q", behind, whole)
		}
		if heard := bob.all(topic("notes", partLog)); len(heard) != len(updates) {
			t.Errorf("a client that was there got %d messages of the log, want the %d updates and no snapshot", len(heard), len(updates))
		}
		if notes := bob.all(topic("notes", partLive)); len(notes) != 2 || !strings.Contains(string(notes[1].Data), `"updates":100`) {
			t.Errorf("%d notes about snapshots, want 2", len(notes))
		}
		state, err := n.state(t.Context(), nil, struct{ Document string }{"notes"})
		if err != nil || state.Updates != 10 || state.Snapshot < 2*compactUpdates || state.Snapshot > 2*compactUpdates+100 {
			t.Errorf("%+v, %v: want 10 updates behind a snapshot of little more than its text", state, err)
		}
		time.Sleep(time.Second) // ann has written as fast as is allowed
		refused(t, ann.publish(topic("notes", partLog), updates[3]), codeKnown)
	})
}

func TestDeletedTextIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann := n.open(t, "~ann")
		half := strings.Repeat("x", maxDocument/2)
		for i := range 3 { // more than there is room for, if what is deleted counted
			at := uint64(i * len(half))
			ann.write(t, "big", typed(1, at, half), deleted(1, at, uint64(len(half))))
		}
		synctest.Wait()
		if whole, _ := n.read(t, "big"); len(whole) > 4*maxDocument {
			t.Errorf("%d bytes are kept", len(whole))
		}
		ann.write(t, "big", typed(2, 0, half))
		synctest.Wait()
		refused(t, ann.publish(topic("big", partLog), typed(3, 0, half+"y")), codeFull)
		ann.write(t, "big", deleted(2, 0, 10), typed(2, uint64(len(half)), "there is room again"))
	})
}

// Updates that are small and cost much are refused, too.
func TestCostly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann := n.open(t, "~ann")
		many := func(clients, from uint64) []byte { // each has one struct, which is nothing but its length
			b := binary.AppendUvarint(nil, clients)
			for client := range clients {
				b = append(binary.AppendUvarint(append(b, 1), from+client), 0, 0, 1)
			}
			return append(b, 0)
		}
		refused(t, ann.publish(topic("notes", partLog), many(maxStructs+1, 1)), codeMalformed)
		ann.write(t, "notes", many(maxStructs-10, 1))
		synctest.Wait()
		refused(t, ann.publish(topic("notes", partLog), many(20, 1_000_000)), codeFull)
		ann.write(t, "notes", many(5, 1_000_000))
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{}) // outlasts the server, as a data directory does
		n := start(t, broker)
		updates, text := letters(1, compactUpdates+5)
		n.open(t, "~ann").write(t, "notes", updates...)
		synctest.Wait()
		n.stop()
		n = start(t, broker)
		state, err := n.state(t.Context(), nil, struct{ Document string }{"notes"})
		if want := (yjs.StateVector{1: uint64(len(text))}).Append(nil); err != nil || !bytes.Equal(state.Vector, want) {
			t.Errorf("vector %x after a restart, want %x (%v)", state.Vector, want, err)
		}
		bob := n.open(t, "~bob")
		refused(t, bob.publish(topic("notes", partLog), updates[0]), codeKnown)
		bob.write(t, "notes", typed(1, uint64(len(text)), "more"))
		if whole, _ := n.read(t, "notes"); !bytes.Contains(whole, []byte(text+"more")) {
			t.Errorf("the text is not what it was, with more: %q", whole)
		}
	})
}

// A room that nobody needs is closed, and what is behind the snapshot becomes part of it, so that a document is kept as a whole.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann := n.open(t, "~ann")
		ann.write(t, "notes", typed(1, 0, "a few words"))
		time.Sleep(3 * idle)
		synctest.Wait()
		if n.peek("notes") != nil {
			t.Error("the room is still open")
		}
		if whole, behind := n.read(t, "notes"); behind != 0 || !bytes.Contains(whole, []byte("a few words")) {
			t.Errorf("%d updates behind the snapshot of an idle document", behind)
		}
		ann.write(t, "notes", typed(1, 11, "!"))
	})
}

func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{})
		one, two := start(t, broker), start(t, broker)
		ann, bob := one.open(t, "~ann"), two.open(t, "~bob")
		ann.subscribe(t, topic("notes", partSnapshot))
		a, textA := letters(1, compactUpdates)
		b, textB := letters(2, compactUpdates)
		for i := range a {
			ann.write(t, "notes", a[i])
			bob.write(t, "notes", b[i])
			synctest.Wait()
		}
		if snapshots := ann.all(topic("notes", partSnapshot)); len(snapshots) != 2 {
			t.Errorf("%d snapshots of 200 updates, want 2: both nodes make the same", len(snapshots))
		}
		whole, _ := one.read(t, "notes")
		if !bytes.Contains(whole, []byte(textA)) || !bytes.Contains(whole, []byte(textB)) {
			t.Errorf("a text is missing: %q", whole)
		}
	})
}

// When the broker has forgotten everything, a node that has the document open brings it back.
func TestForgetfulBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann := n.open(t, "~ann")
		ann.write(t, "notes", typed(1, 0, "kept in mind"))
		synctest.Wait()
		n.peek("notes").reread() // as after a gap
		synctest.Wait()
		if page, err := n.History(t.Context(), topic("notes", partSnapshot), hub.HistoryQuery{}); err != nil || len(page.Messages) != 1 || !bytes.Contains(page.Messages[0].Data, []byte("kept in mind")) {
			t.Errorf("no snapshot of what the node had: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		ann, bob := n.open(t, "~ann"), n.open(t, "~bob")
		for _, pattern := range []string{prefix + "*", prefix + ">", prefix + "a.b", prefix + "notes.live.x", prefix + "<b>", prefix + strings.Repeat("x", maxName+1)} {
			if _, err := ann.Subscribe(t.Context(), pattern, hub.SubscribeOptions{}); err == nil {
				t.Errorf("%s can be subscribed to", pattern)
			}
		}
		log, live := topic("notes", partLog), topic("notes", partLive)
		refused(t, ann.publish(log, []byte("no update")), codeMalformed)
		refused(t, ann.publish(log, nil), codeMalformed)
		refused(t, ann.publish(log, []byte{0, 0}), codeKnown)
		refused(t, ann.publish(log, make([]byte, maxDocument+1)), hub.CodeTooLarge)
		refused(t, ann.publish(topic("notes", partSnapshot), typed(1, 0, "x")), hub.CodeForbidden)
		refused(t, ann.publish(topic("a b", partLog), typed(1, 0, "x")), hub.CodeBadTopic)
		refused(t, ann.publish(topic("a/b", partLog), typed(1, 0, "x")), codeName)
		_, err := ann.Publish(t.Context(), log, hub.Publication{Data: []byte(`{"text":1}`)})
		refused(t, err, codeMalformed)
		_, err = ann.Publish(t.Context(), live, hub.Publication{Data: []byte(`{"snapshot":1}`)})
		refused(t, err, codeStates)
		if _, err := n.state(t.Context(), nil, struct{ Document string }{"a.b"}); err == nil {
			t.Error("the state of a document that cannot be is told")
		}
		ann.write(t, "notes", typed(1, 0, "x"))
		told := func(client, clock uint64, state string) []byte {
			return yjs.AppendAwareness(nil, []yjs.Awareness{{Client: client, Clock: clock, State: []byte(state)}})
		}
		if err := ann.publish(live, told(1, 1, `{"user":{"name":"Ann"}}`)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		refused(t, bob.publish(live, told(1, 2, `null`)), codeNotYours)
		refused(t, bob.publish(live, told(2, 1, `{"user":{"name":"<b>"}}`)), codeStates)
		refused(t, bob.publish(live, told(2, 1, `{"user":7}`)), codeStates)
		refused(t, bob.publish(live, told(2, 1, `[]`)), codeStates)
		refused(t, bob.publish(live, told(2, 1, `{"x":"`+strings.Repeat("x", maxStates)+`"}`)), hub.CodeTooLarge)
		if count := n.peek("notes").countPeople(); count != 1 {
			t.Errorf("%d people are there, want Ann", count)
		}
		time.Sleep(3 * lifetime)
		synctest.Wait()
		if count := n.peek("notes").countPeople(); count != 0 {
			t.Errorf("%d people are there long after they were last heard", count)
		}
	})
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		for i := range maxDocuments {
			w := n.open(t, fmt.Sprintf("~%d", i))
			w.write(t, fmt.Sprintf("n%d", i), typed(1, 0, "x"))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * listFresh)
		answer, err := n.documents(t.Context(), nil, struct{}{})
		if err != nil || len(answer.Documents) != maxDocuments || answer.Documents[0].Name != fmt.Sprintf("n%d", maxDocuments-1) {
			t.Fatalf("%d documents, %v; want the newest first", len(answer.Documents), err)
		}
		ann := n.open(t, "~ann")
		refused(t, ann.publish(topic("another", partLog), typed(1, 0, "x")), codeMany)
		ann.write(t, "n7", typed(1, 1, "y"))
	})
}

// Asking for documents that nobody has written does not keep others from theirs.
func TestVainRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, nil)
		for i := range maxRooms + 50 {
			if _, err := n.state(t.Context(), nil, struct{ Document string }{fmt.Sprintf("n%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		n.open(t, "~ann").write(t, "notes", typed(1, 0, "x"))
		if rooms := len(n.rooms); rooms > maxRooms {
			t.Errorf("%d rooms are open", rooms)
		}
	})
}
