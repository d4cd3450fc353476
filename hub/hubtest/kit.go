package hubtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

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
