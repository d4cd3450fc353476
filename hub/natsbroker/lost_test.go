package natsbroker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

// deafen makes a broker miss what is published to a topic while f runs, as a network does.
func deafen(t *testing.T, b *Broker, topic string, f func()) {
	t.Helper()
	fs := b.follows
	fs.mu.Lock()
	followed := fs.at[topic]
	delete(fs.bySub, followed.sub)
	fs.mu.Unlock()
	if err := followed.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	f()
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := fs.subscribe(followed); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func twoBrokers(t *testing.T) (a, b *Broker) {
	t.Helper()
	s := startServer(t, server.Options{})
	return openBroker(t, Options{}, s), openBroker(t, Options{}, s)
}

// The next message says that others were before it; they are fetched, and come in order.
func TestMissedIsFetched(t *testing.T) {
	a, b := twoBrokers(t)
	node := attach(t, a, "t")
	publish(t, b, "t", "1")
	node.expect("t", "1")
	deafen(t, a, "t", func() { publish(t, b, "t", "2", "3", "4") })
	publish(t, b, "t", "5", "6")
	node.expect("t", "1", "2", "3", "4", "5", "6")
}

// Nothing comes behind the last message, so it is asked for.
func TestMissedAtTheEndIsFetched(t *testing.T) {
	a, b := twoBrokers(t)
	node := attach(t, a, "t")
	publish(t, b, "t", "1")
	node.expect("t", "1")
	deafen(t, a, "t", func() { publish(t, b, "t", "2", "3") })
	a.follows.checkAll(0)
	node.expect("t", "1", "2", "3")
	publish(t, b, "t", "4")
	node.expect("t", "1", "2", "3", "4")
}

// What the stream does not have any more is told as a gap.
func TestMissedIsGone(t *testing.T) {
	a, b := twoBrokers(t)
	node := attach(t, a, "t")
	publish(t, b, "t", "1")
	node.expect("t", "1")
	deafen(t, a, "t", func() { publish(t, b, "t", numbers(2, 2+leastPerTopic+10)...) })
	publish(t, b, "t", "last")
	kept := numbers(2+10+1, 2+leastPerTopic+10)
	node.expect("t", append(append([]string{"1", "gap lost"}, kept...), "last")...)
}

// Of a message that was removed before anybody asked for it, the next one knows that it was there.
func TestRemovedBeforeTheNext(t *testing.T) {
	a, b := twoBrokers(t)
	node := attach(t, a, "t")
	publish(t, b, "t", "1")
	node.expect("t", "1")
	var gone uint64
	deafen(t, a, "t", func() { gone = publish(t, b, "t", "2").Offset })
	a.follows.mu.Lock()
	f := a.follows.at["t"]
	a.follows.mu.Unlock()
	f.mu.Lock() // so that the next one cannot be looked at yet
	publish(t, b, "t", "3")
	found, err := b.js.Stream(t.Context(), b.names.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.DeleteMsg(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	f.mu.Unlock()
	node.expect("t", "1", "gap lost", "3")
}

// A purged stream loses what somebody had not read yet, and says so; who was at the end has lost nothing.
func TestPurge(t *testing.T) {
	a, b := twoBrokers(t)
	early := publish(t, a, "t", "1")
	end := publish(t, a, "t", "2", "3")
	found, err := b.js.Stream(t.Context(), b.names.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if texts, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &early}); len(texts) > 0 || log.Lost.Offset < end.Offset {
		t.Errorf("read %q, lost up to %d, of %d", texts, log.Lost.Offset, end.Offset)
	}
	later := publish(t, a, "t", "4")
	if texts, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &end}); !slices.Equal(texts, []string{"4"}) || log.Lost.Offset >= later.Offset {
		t.Errorf("read %q, lost up to %d", texts, log.Lost.Offset)
	}
	if texts, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &later}); len(texts) > 0 || !log.Lost.IsZero() {
		t.Errorf("read %q, lost up to %d", texts, log.Lost.Offset)
	}
}

// Somebody who is away for a short time misses nothing in a topic in which nothing happens, however much happens in others.
func TestQuietTopic(t *testing.T) {
	a, b := twoBrokers(t)
	publish(t, a, "busy", numbers(0, 10)...)
	_, log := read(t, a, hub.ReadQuery{Topic: "quiet"})
	publish(t, a, "busy", numbers(0, 3*leastPerTopic)...)
	for _, broker := range []*Broker{a, b} {
		if texts, log := read(t, broker, hub.ReadQuery{Topic: "quiet", Since: &log.Top}); len(texts) > 0 || !log.Lost.IsZero() {
			t.Errorf("read %q, lost up to %d", texts, log.Lost.Offset)
		}
	}
}

// A stream that somebody deletes is made again, under another epoch, and everybody is told.
func TestRecreated(t *testing.T) {
	a, b := twoBrokers(t)
	node := attach(t, a, "t", "*")
	before := publish(t, b, "t", "1", "2")
	node.expect("t", "1", "2")
	node.expect("*", "1", "2")
	if err := b.js.DeleteStream(t.Context(), b.names.stream); err != nil {
		t.Fatal(err)
	}
	for _, broker := range []*Broker{b, a} { // or a little later, by themselves
		if err := broker.stream.open(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	node.expect("t", "1", "2", "gap epoch")
	node.expect("*", "1", "2", "gap epoch")
	after := publish(t, b, "t", "3")
	node.expect("t", "1", "2", "gap epoch", "3")
	node.expect("*", "1", "2", "gap epoch", "3")
	if after.Epoch == before.Epoch {
		t.Error("the epoch is as before")
	}
	if texts, log := read(t, a, hub.ReadQuery{Topic: "t", Since: &before}); !slices.Equal(texts, []string{"3"}) || log.Top.Epoch != after.Epoch {
		t.Errorf("read %q up to %v", texts, log.Top)
	}
}

// A store that may have lost what it had acknowledged begins a new epoch, although everything looks as before.
func TestNewEpoch(t *testing.T) {
	s := startServer(t, server.Options{})
	a := openBroker(t, Options{}, s)
	before := publish(t, a, "t", "1")
	b := openBroker(t, Options{NewEpoch: true}, s)
	texts, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &before})
	if !slices.Equal(texts, []string{"1"}) || log.Top.Epoch == before.Epoch {
		t.Errorf("read %q up to %v after %v", texts, log.Top, before)
	}
}

// A topic that keeps more than any before makes the stream keep more. What was removed until then is not known.
func TestFit(t *testing.T) {
	a, b := twoBrokers(t)
	early := publish(t, a, "t", "0")
	publish(t, a, "t", numbers(1, leastPerTopic+50)...)
	long := plenty
	long.Messages = 2000
	receipt, err := a.Publish(t.Context(), &hub.Message{Topic: "t", Data: []byte("more")}, long)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.stream.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, broker := range []*Broker{a, b} {
		if c := broker.stream.config.Load(); c.perTopic != 2048 || c.floors.of(long.Messages) < early.Offset || c.floors.of(long.Messages) > receipt.Offset || c.floors.of(leastPerTopic-1) > 0 {
			t.Errorf("the stream keeps %d of a topic; what was removed until %d is not known", c.perTopic, c.floors)
		}
		log, err := broker.Read(t.Context(), hub.ReadQuery{Topic: "t", Since: &early, Least: long.Age, Keeps: func(string) hub.Retention { return long }})
		if err != nil || log.Lost.IsZero() || len(log.Messages) != leastPerTopic+1 {
			t.Errorf("read %d messages, lost up to %d, %v", len(log.Messages), log.Lost.Offset, err)
		}
	}
	publish(t, a, "t", numbers(0, leastPerTopic+50)...)
	log, err := b.Read(t.Context(), hub.ReadQuery{Topic: "t", Since: &receipt.Position, Least: long.Age, Keeps: func(string) hub.Retention { return long }})
	if err != nil || !log.Lost.IsZero() || len(log.Messages) != leastPerTopic+50 {
		t.Errorf("read %d messages, lost up to %d, %v", len(log.Messages), log.Lost.Offset, err)
	}
}

// Only as much is read of a topic as it keeps.
func TestReadsNoMoreThanItKeeps(t *testing.T) {
	a, _ := twoBrokers(t)
	long := plenty
	long.Messages = 4000
	since := publish(t, a, "t", "x")
	for _, text := range numbers(0, 3000) {
		if _, err := a.Publish(t.Context(), &hub.Message{Topic: "t", Data: []byte(text)}, long); err != nil {
			t.Fatal(err)
		}
	}
	texts, log := read(t, a, hub.ReadQuery{Topic: "t", Since: &since})
	if !slices.Equal(texts, numbers(2900, 3000)) || log.Lost.Offset != log.Messages[0].Offset-1 {
		t.Errorf("read %q, lost up to %d", shorten(texts), log.Lost.Offset)
	}
	if texts, log = read(t, a, hub.ReadQuery{Topic: "t", Limit: 7}); !slices.Equal(texts, numbers(2993, 3000)) || !log.More {
		t.Errorf("read %q", texts)
	}
	start, err := a.startOfLast(t.Context(), a.names.stored+"t", 500, a.seen.Load())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	if err := a.between(t.Context(), a.names.stored+"t", start-1, a.seen.Load(), func(some []entry) { count += len(some) }); err != nil {
		t.Fatal(err)
	}
	if count < 500 || count > 500+chunkMessages {
		t.Errorf("the last 500 are %d", count)
	}
}

// Positions of another node are good here, made up ones are not.
func TestPositionAhead(t *testing.T) {
	a, b := twoBrokers(t)
	at := publish(t, a, "t", "1", "2")
	if _, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &at}); log.Top.Offset < at.Offset || !log.Lost.IsZero() {
		t.Errorf("top is %v, lost up to %v", log.Top, log.Lost)
	}
	at.Offset += 1000
	if _, log := read(t, b, hub.ReadQuery{Topic: "t", Since: &at}); log.Top.Offset >= at.Offset {
		t.Errorf("top is %v", log.Top)
	}
}

// What is stored nowhere is numbered, so that a node that misses some of it knows; a retry at another node is not delivered twice.
func TestBare(t *testing.T) {
	a, b := twoBrokers(t)
	bare := hub.Retention{Window: time.Minute}
	send := func(b *Broker, id, text string) {
		t.Helper()
		if _, err := b.Publish(t.Context(), &hub.Message{Topic: "t", ID: id, Data: []byte(text)}, bare); err != nil {
			t.Fatal(err)
		}
		if err := b.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	node := attach(t, a, "t", "*")
	node.forgets = true
	send(b, "", "1")
	send(b, "", "2")
	node.expect("t", "1", "2")
	deafen(t, a, "t", func() { send(b, "", "3") })
	send(b, "x", "4")
	node.expect("t", "1", "2", "gap lost", "4")
	send(a, "x", "4 again")
	send(a, "", "5")
	node.expect("t", "1", "2", "gap lost", "4", "5")
	node.expect("*", "1", "2", "3", "4", "5")
	a.follows.missed(false)
	node.expect("t", "1", "2", "gap lost", "4", "5", "gap lost")
}

// A stream that is not ours, or of a later version, is left alone.
func TestForeignStream(t *testing.T) {
	s := startServer(t, server.Options{})
	nc := connect(t, s.ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, metadata := range map[string]map[string]string{"foreign": nil, "later": {metaFormat: "2"}} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, Metadata: metadata}); err != nil {
			t.Fatal(err)
		}
		_, err := New(t.Context(), Options{Conn: nc, Name: name})
		var foreign *foreignError
		if !errors.As(err, &foreign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(t.Context(), Options{Conn: nc, Name: "a.b"}); err == nil {
		t.Error("a name with a dot is taken")
	}
}

// Behind the last message that is stored nowhere comes its number, some time later; so a node knows that it has missed it, also when it was the
// first one.
func TestBareEnd(t *testing.T) {
	a, b := twoBrokers(t)
	send := func(topic, text string) {
		t.Helper()
		if _, err := b.Publish(t.Context(), &hub.Message{Topic: topic, Data: []byte(text)}, hub.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	send("old", "1")
	node := attach(t, a, "t", "u", "v", "old")
	send("t", "1")
	node.expect("t", "1")
	deafen(t, a, "t", func() { send("t", "2") })
	deafen(t, a, "u", func() { send("u", "1") })
	deafen(t, a, "v", func() { send("v", "1") })
	send("v", "2")
	node.expect("v", "gap lost", "2")
	node.expect("t", "1", "gap lost")
	node.expect("u", "gap lost")
	send("old", "2") // what was before anybody followed is not missed
	node.expect("old", "2")
}

// Of a burst on a pattern, it is known whether the stream has removed some of it before it came.
func TestBurst(t *testing.T) {
	a, _ := twoBrokers(t)
	const keeps = 4
	a.stream.config.Store(&streamConfig{epoch: a.stream.config.Load().epoch, perTopic: keeps, window: leastWindow})
	f := newFollow(a, "*")
	node := newRecorder(t)
	f.add(node)
	come := func(topic string, offset, pending uint64) {
		e := entry{Message: &hub.Message{Topic: topic, Offset: offset, Data: []byte(topic)}}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count(e, pending)
		f.deliver(e)
	}
	for i := range uint64(10) { // more wait than are kept of a topic, but of each topic fewer
		come(string(rune('a'+i)), 1+i, 9-i)
	}
	for i := range uint64(keeps) {
		come("x", 11+i, keeps-1-i)
	}
	come("x", 20, 0)
	node.expect("*", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "x", "x", "x", "gap lost", "x", "x")
}

// That something of one topic is left says nothing about the other topics of a pattern.
func TestPatternHasLost(t *testing.T) {
	a, b := twoBrokers(t)
	at := publish(t, a, "p.long", "1")
	publish(t, a, "p.short", "2")
	end := publish(t, a, "other", "3")
	found, err := b.js.Stream(t.Context(), b.names.stream)
	if err != nil {
		t.Fatal(err)
	}
	// As after a long time: of all that was before now only what p.long keeps is left.
	for _, subject := range []string{b.names.stored + "p.short", b.names.stored + "other", b.names.tick + "*"} {
		if err := found.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	q := query(hub.ReadQuery{Topic: "p.*", Since: &at})
	q.Least = -slack // so that everything counts as old
	if log, err := b.Read(t.Context(), q); err != nil || len(log.Messages) > 0 || log.Lost.Offset < at.Offset+1 || log.Lost.Offset > end.Offset {
		t.Errorf("read %d messages, lost up to %v of %v, %v", len(log.Messages), log.Lost, end, err)
	}
	publish(t, a, "p.long", "4")
	at.Offset--
	if log, err := b.Read(t.Context(), q); err != nil || len(log.Messages) != 2 || log.Lost.Offset <= at.Offset+1 {
		t.Errorf("read %d messages, lost up to %v, %v", len(log.Messages), log.Lost, err)
	}
}
