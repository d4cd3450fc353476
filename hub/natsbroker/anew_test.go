package natsbroker

import (
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

// Whoever publishes to a stream that was made again finds out by the acknowledgement: a receipt never names a place of the old one.
func TestPublishToRecreated(t *testing.T) {
	a, b := twoBrokers(t)
	publish(t, a, "t", "1")
	before := publish(t, b, "t", "2")
	if err := a.js.DeleteStream(t.Context(), a.names.stream); err != nil {
		t.Fatal(err)
	}
	if err := a.stream.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	after := publish(t, a, "t", "3")
	if got := publish(t, b, "t", "4"); got.Epoch != after.Epoch || got.Epoch == before.Epoch || got.Offset <= after.Offset {
		t.Errorf("the other node published at %v, behind %v, and %v in the old stream", got, after, before)
	}
}

// Who begins at the beginning of a stream that has removed nothing misses nothing, also when it was made to keep more.
func TestFromTheBeginning(t *testing.T) {
	a, _ := twoBrokers(t)
	first := publish(t, a, "t", "1")
	long := plenty
	long.Messages = 2 * leastPerTopic
	if _, err := a.Publish(t.Context(), &hub.Message{Topic: "u", Data: []byte("2")}, long); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"t", "u", "v", "*"} {
		for what, q := range map[string]hub.ReadQuery{
			"page": {Topic: topic, Forward: true, Limit: 10}, "since": {Topic: topic, Since: &hub.Position{Epoch: first.Epoch}},
		} {
			if texts, log := read(t, a, q); !log.Lost.IsZero() {
				t.Errorf("%s of %s has %q, and misses messages up to %v", what, topic, texts, log.Lost)
			}
		}
	}
}

// A stream that was made again has removed nothing, although nobody has set a mark in it yet.
func TestNothingIsLostInRecreated(t *testing.T) {
	a, _ := twoBrokers(t)
	publish(t, a, "t", "1")
	if err := a.js.DeleteStream(t.Context(), a.names.stream); err != nil {
		t.Fatal(err)
	}
	if err := a.stream.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	position := publish(t, a, "other", "2")
	publish(t, a, "t", "3")
	for _, topic := range []string{"t", "u", "*"} {
		if texts, log := read(t, a, hub.ReadQuery{Topic: topic, Since: &position}); !log.Lost.IsZero() {
			t.Errorf("since %v, %s has %q and misses messages up to %v", position, topic, texts, log.Lost)
		}
	}
}

// That something is lost which nothing stores does not keep what is stored from coming, even if it was known of already.
func TestLostAmongStored(t *testing.T) {
	a, b := twoBrokers(t)
	bare := func(text string) {
		t.Helper()
		if _, err := b.Publish(t.Context(), &hub.Message{Topic: "bare", Data: []byte(text)}, hub.Retention{}); err != nil {
			t.Fatal(err)
		}
		if err := b.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	node := attach(t, a, ">")
	node.forgets = true
	bare("1")
	node.expect(">", "1")
	last := publish(t, b, "t", "2")
	node.expect(">", "1", "2")
	deafen(t, a, ">", func() { bare("lost") })
	a.saw(last.Offset + 1) // the next one is on its way
	bare("3")
	node.expect(">", "1", "2", "gap lost", "3")
	publish(t, b, "t", "4")
	node.expect(">", "1", "2", "gap lost", "3", "4")
}
