package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// faulty is a broker as its only node sees it, which can be made to lose things.
type faulty struct {
	*hub.MemoryBroker
	node hub.Node
}

func (f *faulty) Attach(n hub.Node) (func(), error) {
	f.node = n
	return f.MemoryBroker.Attach(n)
}

// A session goes on at another server with the same key: same id, same user, so that what is sent again is known; the old connection ends.
func TestResumeAtAnotherServer(t *testing.T) {
	key := []byte(rand.Text())
	ho := one(hub.TopicOptions{HistoryMessages: 10, Presence: hub.PresenceFull})
	ho.Broker = hub.NewMemoryBroker(hub.MemoryOptions{})
	here, there := newFixture(t, ho, Options{Key: key}), newFixture(t, ho, Options{Key: []byte("new"), PreviousKeys: [][]byte{key}})
	foreign := newFixture(t, ho, Options{})
	watcher := there.dial(nil)
	watcher.ask(`{"type":"connect","id":1}`)
	a := here.dial(nil)
	hello := a.ask(`{"type":"connect","id":1}`)
	at := a.ask(`{"type":"subscribe","id":2,"topic":"t"}`)
	watcher.ask(`{"type":"subscribe","id":2,"topic":"t","presence":true}`)
	first := a.ask(`{"type":"publish","id":3,"topic":"t","messageId":"m","data":1}`)
	watcher.expect(`{"type":"join","topic":"t","user":"*"}`) // itself

	b := there.dial(nil)
	again := b.ask(`{"type":"connect","id":1,"resume":"%s"}`, hello["resume"])
	if again["session"] != hello["session"] || again["user"] != hello["user"] {
		t.Errorf("resumed as %v instead of %v", again, hello)
	}
	a.closed(4409, "replaced")
	if r := b.ask(`{"type":"subscribe","id":2,"topic":"t","since":{"epoch":"%s","offset":%v}}`, at["epoch"], at["offset"]); r["recovered"] != true {
		t.Errorf("recovered with %v", r)
	}
	b.expect(`{"type":"message","topic":"t","offset":1,"time":*,"messageId":"m","from":{"user":"*"},"data":1}`)
	if r := b.ask(`{"type":"publish","id":3,"topic":"t","messageId":"m","data":1}`); r["duplicate"] != true || r["offset"] != first["offset"] {
		t.Errorf("sent again: %v", r)
	}
	// Nobody has seen it go or come, and the message came once.
	watcher.expect(`{"type":"message","topic":"t","offset":1,"time":*,"messageId":"m","from":{"user":"*"},"data":1}`)
	watcher.send(`{"type":"ping","id":9}`)
	watcher.expect(`{"type":"reply","id":9}`)

	// The new secret is signed with the new key, which the old server does not know; a server with another key makes a new session.
	for _, f := range []*fixture{here, foreign} {
		c := f.dial(nil)
		if r := c.ask(`{"type":"connect","id":1,"resume":"%s"}`, again["resume"]); r["user"] == hello["user"] || r["session"] == hello["session"] {
			t.Errorf("resumed with a key that is not known: %v", r)
		}
	}
}

// secrets that were made for something else, or changed, do not resume.
func TestSecrets(t *testing.T) {
	r := newResumer([]byte("key"), nil)
	p := pass{"s", "~u\x01", 7}
	secret := r.secret(p)
	if got, ok := r.open(secret); !ok || got != p {
		t.Errorf("opened as %+v, %v", got, ok)
	}
	for _, bad := range []string{"", "A", secret[:20], secret + "A", "A" + secret, strings.ToUpper(secret), strings.Repeat("A", 2*maxResume)} {
		if got, ok := r.open(bad); ok {
			t.Errorf("%q opens as %+v", bad, got)
		}
	}
	if _, ok := newResumer(nil, nil).open(newResumer(nil, nil).secret(p)); ok {
		t.Error("two servers without keys share one")
	}
}

// Messages without a place, messages that the bus has lost, and an epoch that begins while people are connected.
func TestBusOverTheWire(t *testing.T) {
	broker := &faulty{MemoryBroker: hub.NewMemoryBroker(hub.MemoryOptions{})}
	ho := one(hub.TopicOptions{HistoryMessages: 10})
	ho.Broker = broker
	f := newFixture(t, ho, Options{})
	c := f.dial(nil)
	c.ask(`{"type":"connect","id":1}`)
	epoch := c.ask(`{"type":"subscribe","id":2,"topic":"t"}`)["epoch"].(string)
	c.send(`{"type":"subscribe","id":3,"topic":"t.>"}`)
	c.expect(fmt.Sprintf(`{"type":"reply","id":3,"topic":"t.>","epoch":"%s","offset":0}`, epoch))
	broker.node.Deliver("t", &hub.Message{Topic: "t", Time: time.UnixMilli(5), Data: []byte("1")})
	broker.node.Deliver("t.>", &hub.Message{Topic: "t.a", Time: time.UnixMilli(5), Data: []byte{1, 2}, Binary: true})
	c.expect(`{"type":"message","topic":"t","time":5,"data":1}`)
	c.expect("\x00\x35" + `{"type":"message","topic":"t.a","sub":"t.>","time":5}` + "\x01\x02")
	broker.node.Missed("t", hub.GapLost, hub.Position{Epoch: epoch, Offset: 7})
	c.expect(fmt.Sprintf(`{"type":"gap","topic":"t","reason":"lost","since":{"epoch":"%[1]s","offset":0},"until":{"epoch":"%[1]s","offset":7}}`, epoch))
	broker.node.Missed("", hub.GapEpoch, hub.Position{Epoch: "f", Offset: 2})
	gaps := []string{c.read(), c.read()}
	slices.Sort(gaps)
	for i, want := range []string{
		`{"type":"gap","sub":"t.>","reason":"epoch","since":{"epoch":"%s","offset":0},"until":{"epoch":"f","offset":2}}`,
		`{"type":"gap","topic":"t","reason":"epoch","since":{"epoch":"%s","offset":0},"until":{"epoch":"f","offset":2}}`,
	} {
		if want = fmt.Sprintf(want, epoch); gaps[i] != want {
			t.Errorf("got %s, want %s", gaps[i], want)
		}
	}
	broker.node.Deliver("t", &hub.Message{Topic: "t", Offset: 3, Time: time.UnixMilli(5), Data: []byte("3")})
	c.expect(`{"type":"message","topic":"t","offset":3,"time":5,"data":3}`)
}

// distant is a broker for which giving back a subscription takes some milliseconds.
type distant struct {
	*hub.MemoryBroker
	calls atomic.Int64
}

func (d *distant) slow() {
	time.Sleep(2 * time.Millisecond) // what a network takes
	d.calls.Add(1)
}

func (d *distant) Unfollow(n hub.Node, at string) {
	d.slow()
	d.MemoryBroker.Unfollow(n, at)
}

func (d *distant) Leave(ctx context.Context, n hub.Node, topic, user string) error {
	d.slow()
	return d.MemoryBroker.Leave(ctx, n, topic, user)
}

// When very many connections end at once, those that stay are served as before, with a broker that takes its time.
func TestMassDeparture(t *testing.T) {
	const people, topics = 400, 5
	broker := &distant{MemoryBroker: hub.NewMemoryBroker(hub.MemoryOptions{})}
	ho := one(hub.TopicOptions{Presence: hub.PresenceCount})
	ho.Broker = broker
	f := newFixture(t, ho, Options{Patience: -1, Limits: Limits{CommandRate: 1e6, CommandBurst: 1e6}})
	all := make([]*client, people)
	for i := range all {
		all[i] = f.dial(nil)
		all[i].send(`{"type":"connect"}`)
		for topic := range topics {
			all[i].send(`{"type":"subscribe","topic":"t.%d"}`, topic)
		}
		all[i].ask(`{"type":"ping","id":1}`)
	}
	stays := f.dial(nil)
	stays.ask(`{"type":"connect","id":1}`)
	for _, c := range all {
		_ = c.conn.CloseNow()
	}
	var slowest time.Duration
	for stopped := false; !stopped; stopped = broker.calls.Load() >= 2*people*topics {
		began := time.Now()
		stays.ask(`{"type":"ping","id":2}`)
		slowest = max(slowest, time.Since(began))
	}
	// One after the other they would take 8 seconds; while the loop were held, nobody would be answered.
	if slowest > 3*time.Second {
		t.Errorf("a ping took %v", slowest)
	}
	p, err := f.hub.Presence(f.ctx, "t.0")
	if err != nil || p.Connections != 0 {
		t.Errorf("still present: %+v, %v", p, err)
	}
	t.Logf("the slowest of the pings meanwhile took %v", slowest)
}
