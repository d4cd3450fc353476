// Package hubtest holds the contract of hub.Broker as tests: every broker must pass TestBroker.
package hubtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// timeout bounds each test of the contract.
const timeout = 30 * time.Second

// TestBroker runs the contract against brokers that open makes; each is used for one test, under a new name of its own, and open
// cleans up through t. What a broker tells its nodes may come a little later than its methods return. A broker whose nodes are
// processes is opened as several of them behind one, which passes calls with a node on to where that was attached.
func TestBroker(t *testing.T, open func(t *testing.T) hub.Broker) {
	for name, test := range map[string]func(*kit){
		"order":          testOrder,
		"at":             testTopicsAndPatterns,
		"order together": testConcurrentPublishers,
		"detach":         testDetach,
		"retries":        testRetries,
		"count":          testRetentionByCount,
		"age":            testRetentionByAge,
		"bytes":          testRetentionByBytes,
		"nothing kept":   testNothingKept,
		"pages":          testPages,
		"patterns":       testPatterns,
		"epoch":          testOtherEpoch,
		"reading":        testReadingWhilePublishing,
		"presence":       testPresence,
		"presence late":  testPresenceOfLatecomers,
		"counted":        testCounted,
		"nodes leave":    testNodeLeaves,
		"commands":       testCast,
		"requests":       testCall,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			t.Cleanup(cancel)
			test(&kit{T: t, broker: open(t), ctx: ctx, keeps: make(map[string]hub.Retention)})
		})
	}
}

// kit is a broker under test.
type kit struct {
	*testing.T
	broker hub.Broker
	ctx    context.Context

	mu    sync.Mutex
	keeps map[string]hub.Retention // by topic; guarded by mu
}

// node writes down what it is told.
type node struct {
	follows []string
	watches string

	mu       sync.Mutex
	messages []*hub.Message            // of the first that it follows
	at       map[string][]*hub.Message // of all of them
	missed   []string
	presence []string
	changed  chan struct{} // holds one when there is news
}

func (n *node) Deliver(at string, m *hub.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.follows {
		if f == at || at == "" && hub.Match(f, m.Topic) {
			n.at[f] = append(n.at[f], m)
			n.messages = n.at[n.follows[0]]
		}
	}
	n.news()
}

func (n *node) Missed(at string, reason hub.GapReason, until hub.Position) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.missed = append(n.missed, fmt.Sprint(at, " ", reason, " ", until))
	n.news()
}

func (n *node) Keeps(string) bool { return true }

func (n *node) Do(command string, data []byte) []byte {
	return fmt.Appendf(nil, "%s %s %p", command, data, n)
}

func (n *node) Answer(_ context.Context, method string, data []byte) []byte {
	return fmt.Appendf(nil, "%s %s %p", method, data, n)
}

func (n *node) PresenceChanged(topic string, who hub.Publisher, here bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if topic == n.watches {
		n.presence = append(n.presence, fmt.Sprintf("%s %s %v", topic, who.User, here))
		n.news()
	}
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
			k.Fatalf("%s did not come; there were %d messages, %q and %q", what, len(n.messages), n.presence, n.missed)
		}
	}
}

// attach attaches a node that follows topics and patterns.
func (k *kit) attach(follows ...string) (*node, func()) {
	k.Helper()
	n := &node{follows: follows, at: make(map[string][]*hub.Message), changed: make(chan struct{}, 1)}
	detach, err := k.broker.Attach(n)
	if err != nil {
		k.Fatal(err)
	}
	detach = sync.OnceFunc(detach)
	k.Cleanup(detach)
	for _, at := range follows {
		if err := k.broker.Follow(k.ctx, n, at); err != nil {
			k.Fatal(err)
		}
	}
	return n, detach
}

// watch attaches a node that wants to know who is in a topic.
func (k *kit) watch(topic string) (*node, func()) {
	k.Helper()
	n, detach := k.attach()
	n.watches = topic
	if err := k.broker.Watch(k.ctx, n, topic); err != nil {
		k.Fatal(err)
	}
	return n, detach
}

var plenty = hub.Retention{Messages: 1000, Age: time.Hour, Bytes: 1 << 30, Window: time.Minute, WindowIDs: 1000}

func (k *kit) publish(topic, text string, r hub.Retention) hub.Receipt {
	k.Helper()
	return k.publishMessage(&hub.Message{Topic: topic, Data: []byte(text)}, r)
}

func (k *kit) publishMessage(m *hub.Message, r hub.Retention) hub.Receipt {
	k.Helper()
	k.mu.Lock()
	k.keeps[m.Topic] = r
	k.mu.Unlock()
	receipt, err := k.broker.Publish(k.ctx, m, r)
	if err != nil {
		k.Fatal(err)
	}
	return receipt
}

func (k *kit) read(q hub.ReadQuery) hub.Log {
	k.Helper()
	q.Least = plenty.Age
	q.Keeps = func(topic string) hub.Retention {
		k.mu.Lock()
		defer k.mu.Unlock()
		if r, known := k.keeps[topic]; known {
			return r
		}
		return plenty
	}
	if !strings.ContainsAny(q.Topic, "*>") {
		q.Least = q.Keeps(q.Topic).Age
	}
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

func testRetentionByAge(k *kit) {
	r := plenty
	r.Age = 2 * time.Second
	base := k.publish("other", "0", plenty).Position
	first := k.publish("t", "1", r).Position
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), 0, false, "1")
	var log hub.Log
	for log.Lost.IsZero() {
		if log = k.read(hub.ReadQuery{Topic: "t", Since: &base}); k.ctx.Err() != nil {
			k.Fatal("an old message is kept")
		}
		time.Sleep(10 * time.Millisecond)
	}
	k.expect(log, first.Offset, false)
	second := k.publish("t", "2", r).Position
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), first.Offset, false, "2")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &first}), 0, false, "2")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &second}), 0, false)
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false, "2")
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
	a, _ := k.attach("t")
	r := hub.Retention{Window: time.Minute, WindowIDs: 10}
	base := k.publish("kept", "0", plenty).Position
	at := k.publish("t", "1", r).Position
	k.wait(a, "a message", func() bool { return len(a.messages) == 1 })
	if log := k.read(hub.ReadQuery{Topic: "t", Since: &base}); len(log.Messages) > 0 || log.Lost.Offset < at.Offset {
		k.Errorf("read %+v, but what was published until %d has been lost", log, at.Offset)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false)
	publish := func() hub.Receipt { return k.publishMessage(&hub.Message{Topic: "t", ID: "x", Data: []byte("2")}, r) }
	publish()
	if again := publish(); !again.Duplicate {
		k.Errorf("a retry is answered with %+v", again)
	}
	k.publish("t", "3", r)
	k.wait(a, "the last message", func() bool { return len(a.messages) == 3 })
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
			m := &hub.Message{Topic: fmt.Sprintf("t.%d", i%5), Data: fmt.Append(nil, i)}
			if _, err := k.broker.Publish(k.ctx, m, plenty); err != nil {
				k.Errorf("message %d: %v", i, err)
				return
			}
		}
	}()
	defer func() { <-done }()
	random := rand.New(rand.NewPCG(1, 2))
	since := hub.Position{Epoch: k.read(hub.ReadQuery{Topic: "t.*"}).Top.Epoch}
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		n, detach := k.attach("t.*")
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
	a, _ := k.watch("t")
	b, _ := k.watch("t")
	enter := func(n *node, user, info string) {
		if err := k.broker.Enter(k.ctx, n, "t", hub.Publisher{User: user, Info: []byte(info)}, false); err != nil {
			k.Fatal(err)
		}
	}
	leave := func(n *node, user string) {
		if err := k.broker.Leave(k.ctx, n, "t", user); err != nil {
			k.Fatal(err)
		}
	}
	enter(a, "ann", `{"v":1}`)
	for _, n := range []*node{a, b} {
		k.wait(n, "a join", func() bool { return slices.Equal(n.presence, []string{"t ann true"}) })
	}
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
	if p, err := k.broker.Present(k.ctx, "t.other", 10); err != nil || p.Count != 0 {
		k.Errorf("present in another topic are %+v, %v", p, err)
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

// Who watches later is told of what changes from then on.
func testPresenceOfLatecomers(k *kit) {
	a, _ := k.watch("t")
	enter := func(n *node, topic, user string) {
		if err := k.broker.Enter(k.ctx, n, topic, hub.Publisher{User: user}, false); err != nil {
			k.Fatal(err)
		}
	}
	strange := "ann *>.\u00fc\u2028" // users are any text
	enter(a, "t", strange)
	k.wait(a, "a join", func() bool { return len(a.presence) == 1 })
	b, _ := k.watch("t")
	enter(b, "t", strange)
	enter(a, "t.u", "bob")
	enter(a, "t", "cid")
	k.wait(b, "a join", func() bool { return slices.Equal(b.presence, []string{"t cid true"}) })
	k.broker.Unwatch(b, "t")
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 2 || p.Connections != 3 || p.Users[0].User != strange {
		k.Errorf("present are %+v, %v", p, err)
	}
}

// Of those who are only counted, it is known about how many there are.
func testCounted(k *kit) {
	a, _ := k.attach()
	b, detach := k.attach()
	for i, n := range []*node{a, b, a, b, a, b} {
		if err := k.broker.Enter(k.ctx, n, "t", hub.Publisher{User: fmt.Sprint(i / 2)}, true); err != nil {
			k.Fatal(err)
		}
	}
	present := func(connections, least, most int) {
		k.Helper()
		var p hub.Present
		for {
			var err error
			if p, err = k.broker.Present(k.ctx, "t", 0); err != nil {
				k.Fatalf("present are %+v, %v", p, err)
			}
			if p.Connections == connections && p.Count >= least && p.Count <= most {
				return
			}
			if k.ctx.Err() != nil {
				k.Fatalf("present are %+v, not %d connections", p, connections)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	present(6, 3, 6)
	if err := k.broker.Leave(k.ctx, a, "t", "0"); err != nil {
		k.Fatal(err)
	}
	present(5, 3, 5)
	detach()
	present(2, 2, 2)
}

func testCast(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
	c, _ := k.attach()
	answers, err := k.broker.Cast(k.ctx, a, "do", []byte("it"))
	var got []string
	for _, answer := range answers {
		got = append(got, string(answer))
	}
	want := []string{fmt.Sprintf("do it %p", b), fmt.Sprintf("do it %p", c)}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		k.Errorf("others answered %q, %v; want %q", got, err, want)
	}
}

func testCall(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
	withdraw, err := k.broker.Offer(b, "sum.*")
	if err != nil {
		k.Fatal(err)
	}
	answer, err := k.broker.Call(k.ctx, a, "sum.up", []byte("1 2"))
	if want := fmt.Sprintf("sum.up 1 2 %p", b); err != nil || string(answer) != want {
		k.Errorf("answered %q, %v; want %q", answer, err, want)
	}
	unknown := func(method string) {
		if _, err := k.broker.Call(k.ctx, a, method, nil); !errors.Is(err, &hub.Error{Code: hub.CodeUnknownMethod}) {
			k.Errorf("%s is answered with %v", method, err)
		}
	}
	unknown("product")
	withdraw()
	unknown("sum.up")
}

func testNodeLeaves(k *kit) {
	a, _ := k.watch("t")
	b, detach := k.watch("t")
	for _, user := range []string{"ann", "bob"} {
		if err := k.broker.Enter(k.ctx, b, "t", hub.Publisher{User: user}, false); err != nil {
			k.Fatal(err)
		}
	}
	if err := k.broker.Enter(k.ctx, a, "t", hub.Publisher{User: "ann"}, false); err != nil {
		k.Fatal(err)
	}
	detach()
	k.wait(a, "a leave", func() bool { return slices.Contains(a.presence, "t bob false") })
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 1 || p.Connections != 1 {
		k.Errorf("present are %+v, %v", p, err)
	}
}
