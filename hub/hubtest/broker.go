// Package hubtest holds the contract of hub.Broker as tests: every broker must pass TestBroker.
package hubtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// timeout bounds each test of the contract.
const timeout = 30 * time.Second

// TestBroker runs the contract against brokers that open makes; each is used for one test, under a new name of its own, and open
// cleans up through t. What a broker tells its nodes may come a little later than its methods return.
func TestBroker(t *testing.T, open func(t *testing.T) hub.Broker) {
	for name, test := range map[string]func(*kit){
		"order":          testOrder,
		"order together": testConcurrentPublishers,
		"detach":         testDetach,
		"retries":        testRetries,
		"count":          testRetentionByCount,
		"bytes":          testRetentionByBytes,
		"nothing kept":   testNothingKept,
		"pages":          testPages,
		"patterns":       testPatterns,
		"epoch":          testOtherEpoch,
		"reading":        testReadingWhilePublishing,
		"presence":       testPresence,
		"nodes leave":    testNodeLeaves,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			t.Cleanup(cancel)
			test(&kit{t, open(t), ctx})
		})
	}
}

// kit is a broker under test.
type kit struct {
	*testing.T
	broker hub.Broker
	ctx    context.Context
}

// node writes down what it is told.
type node struct {
	mu       sync.Mutex
	messages []*hub.Message
	presence []string
	changed  chan struct{} // holds one when there is news
}

func (n *node) Deliver(m *hub.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages = append(n.messages, m)
	n.news()
}

func (n *node) PresenceChanged(topic string, who hub.Publisher, here bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.presence = append(n.presence, fmt.Sprintf("%s %s %v", topic, who.User, here))
	n.news()
}

func (n *node) news() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// wait waits until what the node was told satisfies done.
func (k *kit) wait(n *node, what string, done func() bool) {
	k.Helper()
	for {
		n.mu.Lock()
		ok := done()
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-n.changed:
		case <-k.ctx.Done():
			n.mu.Lock()
			defer n.mu.Unlock()
			k.Fatalf("%s did not come; there were %d messages and %q", what, len(n.messages), n.presence)
		}
	}
}

func (k *kit) attach() (*node, func()) {
	k.Helper()
	n := &node{changed: make(chan struct{}, 1)}
	detach, err := k.broker.Attach(n)
	if err != nil {
		k.Fatal(err)
	}
	detach = sync.OnceFunc(detach)
	k.Cleanup(detach)
	return n, detach
}

var plenty = hub.Retention{Messages: 1000, Age: time.Hour, Bytes: 1 << 30, Window: time.Minute, WindowIDs: 1000}

func (k *kit) publish(topic, text string, r hub.Retention) hub.Receipt {
	k.Helper()
	return k.publishMessage(&hub.Message{Topic: topic, Data: []byte(text)}, r)
}

func (k *kit) publishMessage(m *hub.Message, r hub.Retention) hub.Receipt {
	k.Helper()
	receipt, err := k.broker.Publish(k.ctx, m, r)
	if err != nil {
		k.Fatal(err)
	}
	return receipt
}

func (k *kit) read(q hub.ReadQuery) hub.Log {
	k.Helper()
	log, err := k.broker.Read(k.ctx, q)
	if err != nil {
		k.Fatal(err)
	}
	return log
}

func texts(messages []*hub.Message) (all []string) {
	for _, m := range messages {
		all = append(all, string(m.Data))
	}
	return all
}

func (k *kit) expect(got hub.Log, lost uint64, more bool, want ...string) {
	k.Helper()
	if !slices.Equal(texts(got.Messages), want) {
		k.Errorf("read %q, want %q", texts(got.Messages), want)
	}
	if got.Lost.Offset != lost {
		k.Errorf("lost up to %d, want %d", got.Lost.Offset, lost)
	}
	if got.More != more {
		k.Errorf("more is %v, want %v", got.More, more)
	}
	if !slices.IsSortedFunc(got.Messages, func(a, b *hub.Message) int { return int(a.Offset) - int(b.Offset) }) {
		k.Error("messages are not in order")
	}
}

func testOrder(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
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
	a, _ := k.attach()
	b, _ := k.attach()
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
		k.wait(n, "all messages", func() bool { return len(n.messages) == publishers*each })
		if !slices.IsSortedFunc(n.messages, func(a, b *hub.Message) int { return int(a.Offset) - int(b.Offset) }) {
			k.Error("messages did not come in the order of offsets")
		}
	}
	if !slices.Equal(texts(a.messages), texts(b.messages)) {
		k.Error("two nodes saw different orders")
	}
	log := k.read(hub.ReadQuery{Topic: "t.*", Since: &hub.Position{Epoch: k.read(hub.ReadQuery{Topic: "t.*"}).Top.Epoch}})
	if !slices.Equal(texts(a.messages), texts(log.Messages)) {
		k.Error("what is kept is not what was delivered")
	}
}

func testDetach(k *kit) {
	a, _ := k.attach()
	b, detach := k.attach()
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
	a, _ := k.attach()
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

func testRetentionByCount(k *kit) {
	r := plenty
	r.Messages = 3
	base := k.publish("other", "0", r).Position
	var at []hub.Position
	for i := range 5 {
		at = append(at, k.publish("t", fmt.Sprint(i), r).Position)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), at[1].Offset, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[0]}), at[1].Offset, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[1]}), 0, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[3]}), 0, false, "4")
	log := k.read(hub.ReadQuery{Topic: "t", Since: &at[4]})
	k.expect(log, 0, false)
	if log.Top.Epoch != base.Epoch || log.Top.Offset < at[4].Offset {
		k.Errorf("top is %v", log.Top)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "never", Since: &base}), 0, false)
}

func testRetentionByBytes(k *kit) {
	r := plenty
	r.Bytes = 64 << 10
	big := string(make([]byte, 20<<10))
	base := k.publish("t", "small", r).Position
	for range 5 {
		k.publish("t", big, r)
	}
	log := k.read(hub.ReadQuery{Topic: "t", Since: &base})
	if n := len(log.Messages); n == 0 || n > 3 || log.Lost.IsZero() {
		k.Errorf("%d messages of 20 KiB are kept in 64 KiB; lost up to %v", n, log.Lost)
	}
}

func testNothingKept(k *kit) {
	a, _ := k.attach()
	r := hub.Retention{Window: time.Minute, WindowIDs: 10}
	base := k.publish("kept", "0", plenty).Position
	at := k.publish("t", "1", r).Position
	k.wait(a, "two messages", func() bool { return len(a.messages) == 2 })
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), at.Offset, false)
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at}), 0, false)
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false)
}

func testPages(k *kit) {
	var at []uint64
	for i := range 10 {
		at = append(at, k.publish("t", fmt.Sprint(i), plenty).Offset)
		k.publish("u", "x", plenty)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3}), 0, true, "7", "8", "9")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Before: at[7]}), 0, true, "4", "5", "6")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 4, Before: at[4]}), 0, false, "0", "1", "2", "3")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Forward: true, After: at[2]}), 0, true, "3", "4", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Forward: true, After: at[6]}), 0, false, "7", "8", "9")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 0}), 0, true)
}

func testPatterns(k *kit) {
	short := plenty
	short.Messages = 1
	base := k.publish("a.x", "1", plenty).Position
	k.publish("a.y", "2", plenty)
	k.publish("b.x", "3", plenty)
	k.publish("a.x.deep", "4", plenty)
	k.publish("a.x", "5", plenty)
	k.expect(k.read(hub.ReadQuery{Topic: "a.*", Since: &base}), 0, false, "2", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "a.>", Since: &base}), 0, false, "2", "4", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "*.x", Limit: 2}), 0, true, "3", "5")
	lost := k.publish("a.z", "6", short)
	k.publish("a.z", "7", short)
	log := k.read(hub.ReadQuery{Topic: "a.*", Since: &base})
	k.expect(log, lost.Offset, false, "2", "5", "7")
	if log.LostTopic != "a.z" && log.LostTopic != "" {
		k.Errorf("lost of topic %q", log.LostTopic)
	}
}

func testOtherEpoch(k *kit) {
	k.publish("t", "1", plenty)
	k.publish("t", "2", plenty)
	log := k.read(hub.ReadQuery{Topic: "t", Since: &hub.Position{Epoch: "another", Offset: 1 << 40}})
	k.expect(log, 0, false, "1", "2")
	if log.Top.Epoch == "another" {
		k.Error("took over a foreign epoch")
	}
}

// What is read up to Top, and what is delivered behind it, is everything.
func testReadingWhilePublishing(k *kit) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			k.publish(fmt.Sprintf("t.%d", i%5), fmt.Sprint(i), plenty)
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	since := hub.Position{Epoch: k.read(hub.ReadQuery{Topic: "t.*"}).Top.Epoch}
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		n, detach := k.attach()
		log := k.read(hub.ReadQuery{Topic: "t.*", Since: &since})
		all := texts(log.Messages)
		time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond) // lets some more come, or none
		n.mu.Lock()
		for _, m := range n.messages {
			if m.Offset > log.Top.Offset {
				all = append(all, string(m.Data))
			}
		}
		n.mu.Unlock()
		detach()
		for i, text := range all {
			if text != fmt.Sprint(i) {
				k.Fatalf("message %d is %s", i, text)
			}
		}
	}
}

func testPresence(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
	enter := func(n *node, user, info string) {
		if err := k.broker.Enter(k.ctx, n, "t", hub.Publisher{User: user, Info: []byte(info)}); err != nil {
			k.Fatal(err)
		}
	}
	leave := func(n *node, user string) {
		if err := k.broker.Leave(k.ctx, n, "t", user); err != nil {
			k.Fatal(err)
		}
	}
	enter(a, "ann", `{"v":1}`)
	enter(a, "ann", `{"v":2}`)
	enter(b, "ann", `{"v":3}`)
	enter(b, "bob", "")
	want := []string{"t ann true", "t bob true"}
	for _, n := range []*node{a, b} {
		k.wait(n, "two joins", func() bool { return slices.Equal(n.presence, want) })
	}
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 2 || p.Connections != 4 || len(p.Users) != 2 || p.Users[0].User != "ann" || p.Users[0].Connections != 3 || string(p.Users[0].Info) != `{"v":3}` {
		k.Errorf("present are %+v, %v", p, err)
	}
	if p, err := k.broker.Present(k.ctx, "t", 1); err != nil || p.Count != 2 || len(p.Users) != 1 {
		k.Errorf("at most one of those present: %+v, %v", p, err)
	}
	leave(a, "ann")
	leave(b, "ann")
	leave(b, "bob")
	leave(b, "nobody")
	want = append(want, "t bob false")
	k.wait(a, "a leave", func() bool { return slices.Equal(a.presence, want) })
	leave(a, "ann")
	want = append(want, "t ann false")
	k.wait(b, "the last leave", func() bool { return slices.Equal(b.presence, want) })
	if p, err := k.broker.Present(k.ctx, "t", 10); err != nil || p.Count != 0 || p.Connections != 0 || len(p.Users) != 0 {
		k.Errorf("afterwards: %+v, %v", p, err)
	}
	if kept, err := k.broker.Renew(k.ctx, a); err != nil || !kept {
		k.Errorf("renewing: %v, %v", kept, err)
	}
}

func testNodeLeaves(k *kit) {
	a, _ := k.attach()
	b, detach := k.attach()
	for _, user := range []string{"ann", "bob"} {
		if err := k.broker.Enter(k.ctx, b, "t", hub.Publisher{User: user}); err != nil {
			k.Fatal(err)
		}
	}
	if err := k.broker.Enter(k.ctx, a, "t", hub.Publisher{User: "ann"}); err != nil {
		k.Fatal(err)
	}
	detach()
	k.wait(a, "a leave", func() bool { return slices.Contains(a.presence, "t bob false") })
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 1 || p.Connections != 1 {
		k.Errorf("present are %+v, %v", p, err)
	}
}
