package hub

import (
	"fmt"
	"testing"
)

// lossy is a broker that loses messages between nodes, and begins new epochs while nodes are attached to it.
type lossy struct{ *MemoryBroker }

// renew forgets everything, as a store does that was made anew.
func (l *lossy) renew(epoch string, last uint64) Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.last = epoch, last
	clear(l.topics)
	l.order, l.oldest, l.held = nil, entries{}, 0
	return Position{epoch, last}
}

func (l *lossy) top() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Position{l.epoch, l.last}
}

// What the broker has lost is told to those whom it concerns, once, before what comes after it.
func TestMissed(t *testing.T) {
	b := &lossy{NewMemoryBroker(MemoryOptions{})}
	o := one(TopicOptions{HistoryMessages: 10})
	o.Broker = b
	f := newFixture(t, o)
	ann, a := f.connect("1", "ann")
	bob, in := f.connect("2", "bob")
	first := f.subscribe(ann, "a.x", SubscribeOptions{}).Position
	f.subscribe(bob, "a.*", SubscribeOptions{})
	f.subscribe(bob, "b", SubscribeOptions{})
	f.publish(ann, "a.x", "1")
	a.take()
	in.take()
	b.last += 5
	f.hub.Missed("a.x", GapLost, b.top())
	f.hub.Missed("nobody", GapLost, b.top())
	f.hub.Missed("nobody.*", GapLost, b.top())
	f.publish(ann, "a.x", "2")
	a.expect(t, fmt.Sprintf("a.x gap lost %d-%d", first.Offset+1, b.last-1), "a.x ann: 2")
	in.expect(t, "a.* a.x ann: 2")
	f.hub.Missed("a.*", GapLost, b.top())
	f.publish(ann, "a.x", "3")
	a.expect(t, "a.x ann: 3")
	in.expect(t, fmt.Sprintf("a.*  gap lost %d-%d", b.last-1, b.last-1), "a.* a.x ann: 3")

	// A reader without room is told when it has room, once, and in the place of what is lost.
	in.setRoom(0)
	f.publish(ann, "a.x", "4")
	f.hub.Missed("a.*", GapLost, b.top())
	b.last += 3
	f.hub.Missed("a.*", GapLost, b.top())
	f.publish(ann, "a.x", "5")
	in.setRoom(-1)
	bob.Ready()
	in.expect(t, fmt.Sprintf("a.*  gap lost %d-%d", 8, b.last-1), "a.* a.x ann: 4", "a.* a.x ann: 5")
}

// A broker that begins a new epoch while people listen: everybody is told, and positions are good in the new one.
func TestNewEpochWhileConnected(t *testing.T) {
	b := &lossy{NewMemoryBroker(MemoryOptions{})}
	o := one(TopicOptions{HistoryMessages: 10})
	o.Broker = b
	f := newFixture(t, o)
	ann, a := f.connect("1", "ann")
	bob, in := f.connect("2", "bob")
	f.subscribe(ann, "x", SubscribeOptions{})
	f.subscribe(bob, ">", SubscribeOptions{})
	for range 5 {
		f.publish(ann, "x", "0")
	}
	a.take()
	in.take()
	in.setRoom(0)
	f.publish(ann, "x", "9")
	a.take()
	until := b.renew("new", 2)
	f.hub.Missed("", GapEpoch, until)
	f.publish(ann, "x", "1") // offset 3, which is behind what they know of the old one
	a.expect(t, "x gap epoch 6-2", "x ann: 1")
	in.setRoom(-1)
	bob.Ready()
	in.expect(t, ">  gap epoch 5-2", "> x ann: 1")

	// Slow readers: what they miss from now on is in the new epoch.
	f.hub.rules.Load().of("x").SlowMessages = 1
	in.setRoom(0)
	f.publish(ann, "x", "2")
	f.publish(ann, "x", "3")
	in.setRoom(-1)
	bob.Ready()
	in.expect(t, "> x gap slow 3-4 (1)", "> x ann: 3")
	// Who comes back with a position of the new epoch misses nothing; one of the old epoch is a gap.
	carl, c := f.connect("3", "carl")
	if got := f.subscribe(carl, "x", SubscribeOptions{Since: &Position{"new", 2}}); !got.Recovered {
		t.Errorf("not recovered: %+v", got)
	}
	c.expect(t, "x ann: 1", "x ann: 2", "x ann: 3")
}

// A broker between nodes may deliver a message after somebody has read it already, who does not get it twice.
func TestDeliveredAfterItWasRead(t *testing.T) {
	f := newFixture(t, one(TopicOptions{HistoryMessages: 10}))
	ann, a := f.connect("1", "ann")
	first := f.publish(ann, "x", "1")
	second := f.publish(ann, "x", "2")
	f.subscribe(ann, "x", SubscribeOptions{Since: &first})
	f.subscribe(ann, "*", SubscribeOptions{Last: 2})
	a.expect(t, "x ann: 2", "* x ann: 1", "* x ann: 2")
	late := func(offset uint64, text string) *Message {
		return &Message{Topic: "x", Offset: offset, Data: []byte(text), From: Publisher{User: "ann"}}
	}
	f.hub.Deliver("x", late(second.Offset, "2"))
	f.hub.Deliver("*", late(second.Offset, "2"))
	f.hub.Deliver("x", late(second.Offset+1, "3"))
	f.hub.Deliver("*", late(second.Offset+1, "3"))
	a.expect(t, "x ann: 3", "* x ann: 3")

	// Offsets of a new epoch begin anew.
	f.hub.Missed("", GapEpoch, Position{"new", 0})
	f.hub.Deliver("x", late(1, "4"))
	a.expect(t, fmt.Sprintf("x gap epoch %d-0", second.Offset+1), fmt.Sprintf("*  gap epoch %d-0", second.Offset+1), "x ann: 4")
}

// Of a new epoch a slow reader is told before what it has missed since then. What it had missed before is contained in that.
func TestNewEpochWhileSlow(t *testing.T) {
	o := one(TopicOptions{HistoryMessages: 10, SlowMessages: 1, Presence: PresenceFull})
	f := newFixture(t, o)
	ann, a := f.connect("1", "ann")
	f.subscribe(ann, "x", SubscribeOptions{Presence: true})
	a.take()
	a.setRoom(0)
	deliver := func(offset uint64) {
		f.hub.Deliver("x", &Message{Topic: "x", Offset: offset, Data: []byte("0"), From: Publisher{User: "bob"}})
	}
	for offset := range uint64(3) {
		deliver(offset + 1)
	}
	f.hub.Missed("x", GapLost, Position{f.hub.topics["x"].epoch, 5})
	f.hub.Missed("x", GapEpoch, Position{"new", 7})
	for offset := range uint64(3) {
		deliver(offset + 8)
	}
	f.hub.Missed("x", GapLost, Position{"new", 12}) // does not change where the new epoch begins
	a.setRoom(-1)
	ann.Ready()
	a.expect(t, "x gap epoch 0-7", "x gap lost 7-12", "x gap slow 7-9 (2)", "x bob: 0")

	// A join that had to wait is lost with what was before the new epoch.
	a.setRoom(0)
	bob, _ := f.connect("2", "bob")
	f.subscribe(bob, "x", SubscribeOptions{})
	f.hub.Missed("x", GapEpoch, Position{"newer", 1})
	a.setRoom(-1)
	ann.Ready()
	a.expect(t, "x gap epoch 10-1 presence")
}
