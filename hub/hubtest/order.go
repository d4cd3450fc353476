package hubtest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

func testOrder(k *kit) {
	a, _ := k.attach("t.*")
	b, _ := k.attach("t.*")
	var receipts []hub.Receipt
	for i := range 20 {
		m := &hub.Message{
			Topic: fmt.Sprintf("t.%d", i%3), Data: []byte(fmt.Sprint(i)), Binary: i%2 == 0, Key: "k", Meta: []byte(`{"a":1}`), Except: "s",
			From: hub.Publisher{User: "ann", Info: []byte(`{}`)},
		}
		receipts = append(receipts, k.publishMessage(m, plenty))
	}
	for _, n := range []*node{a, b} {
		k.wait(n, "20 messages", func() bool { return len(n.messages) == 20 })
		for i, m := range n.messages {
			if m.Offset != receipts[i].Offset || string(m.Data) != fmt.Sprint(i) || m.Topic != fmt.Sprintf("t.%d", i%3) || m.Binary != (i%2 == 0) ||
				m.Key != "k" || string(m.Meta) != `{"a":1}` || m.Except != "s" || m.From.User != "ann" || string(m.From.Info) != "{}" {
				k.Errorf("message %d is %+v", i, m)
			}
			if i > 0 && m.Offset <= n.messages[i-1].Offset {
				k.Errorf("offset %d behind %d", m.Offset, n.messages[i-1].Offset)
			}
			if age := time.Since(m.Time); age < -time.Second || age > timeout {
				k.Errorf("the time of a message is off by %v", age)
			}
		}
	}
	if receipts[0].Epoch == "" || receipts[0].Epoch != receipts[19].Epoch {
		k.Errorf("epochs %q and %q", receipts[0].Epoch, receipts[19].Epoch)
	}
}

func testConcurrentPublishers(k *kit) {
	a, _ := k.attach("t.*", "t.1")
	b, _ := k.attach("t.*", "t.1")
	const publishers, each = 8, 50
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				k.publish(fmt.Sprintf("t.%d", i%2), fmt.Sprintf("%d-%d", p, i), plenty)
			}
		})
	}
	wg.Wait()
	for _, n := range []*node{a, b} {
		k.wait(n, "all messages", func() bool { return len(n.at["t.*"]) == publishers*each && len(n.at["t.1"]) == publishers*each/2 })
		for at, messages := range n.at {
			if !slices.IsSortedFunc(messages, func(a, b *hub.Message) int { return int(a.Offset) - int(b.Offset) }) {
				k.Errorf("messages of %s did not come in the order of offsets", at)
			}
		}
	}
	for at := range a.at {
		if !slices.Equal(texts(a.at[at]), texts(b.at[at])) {
			k.Errorf("two nodes saw different orders of %s", at)
		}
	}
	log := k.read(hub.ReadQuery{Topic: "t.*", Since: &hub.Position{Epoch: k.read(hub.ReadQuery{Topic: "t.*"}).Top.Epoch}})
	if !slices.Equal(texts(a.messages), texts(log.Messages)) {
		k.Error("what is kept is not what was delivered")
	}
}

// A node that follows a topic and a pattern that matches it gets its messages for each.
func testTopicsAndPatterns(k *kit) {
	a, _ := k.attach("a.x", "a.*", ">", "b")
	for i, topic := range []string{"a.x", "a.y", "b", "c", "a.x"} {
		k.publish(topic, fmt.Sprint(i), plenty)
	}
	bare := hub.Retention{}
	k.publish("a.x", "5", bare)
	want := map[string][]string{"a.x": {"0", "4", "5"}, "a.*": {"0", "1", "4", "5"}, ">": {"0", "1", "2", "3", "4", "5"}, "b": {"2"}}
	for at, texts := range want {
		k.wait(a, at, func() bool { return len(a.at[at]) >= len(texts) })
	}
	k.broker.Unfollow(a, "a.x")
	last := k.publish("a.x", "6", plenty)
	k.wait(a, "the last message", func() bool {
		return slices.ContainsFunc(a.at["a.*"], func(m *hub.Message) bool { return m.Offset == last.Offset })
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, want := range want {
		got := texts(a.at[at])
		slices.Sort(got) // what is kept nowhere may overtake, and be overtaken
		if got = got[:min(len(got), len(want))]; !slices.Equal(got, want) {
			k.Errorf("of %s came %q, want %q", at, got, want)
		}
	}
	if len(a.missed) > 0 {
		k.Errorf("missed %q", a.missed)
	}
}

func testDetach(k *kit) {
	a, _ := k.attach("t")
	b, detach := k.attach("t")
	k.publish("t", "1", plenty)
	k.wait(b, "a message", func() bool { return len(b.messages) == 1 })
	detach()
	k.publish("t", "2", plenty)
	k.wait(a, "two messages", func() bool { return len(a.messages) == 2 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) != 1 {
		k.Errorf("a detached node got %q", texts(b.messages))
	}
}

func testRetries(k *kit) {
	a, _ := k.attach(">")
	publish := func(user, topic, id, text string) hub.Receipt {
		return k.publishMessage(&hub.Message{Topic: topic, ID: id, Data: []byte(text), From: hub.Publisher{User: user}}, plenty)
	}
	first := publish("ann", "t", "x", "1")
	for range 2 {
		if again := publish("ann", "t", "x", "2"); !again.Duplicate || again.Position != first.Position {
			k.Errorf("a retry is answered with %+v after %+v", again, first)
		}
	}
	for _, other := range []hub.Receipt{publish("bob", "t", "x", "3"), publish("ann", "u", "x", "4"), publish("ann", "t", "y", "5"), publish("ann", "t", "", "6"), publish("ann", "t", "", "7")} {
		if other.Duplicate {
			k.Error("another message is taken for a retry")
		}
	}
	k.wait(a, "six messages", func() bool { return len(a.messages) == 6 })
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false, "1", "3", "5", "6", "7")
}
