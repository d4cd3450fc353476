package rooms

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inbox is a Subscriber that writes down what it gets.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (b *inbox) Deliver(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, describe(m))
}

func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

func describe(m *Message) string {
	if m.Kind != KindData {
		return m.Kind.String() + " " + m.Publisher.ID
	}
	return m.Publisher.ID + ": " + string(m.Data)
}

// enter joins and writes the history into the inbox first, as a real subscriber does.
func (b *inbox) enter(t *testing.T, h *Hub, topic, id string) *Membership {
	t.Helper()
	m, err := h.Join(topic, b.joining(id))
	if err != nil {
		t.Fatalf("Join(%q, %q): %v", topic, id, err)
	}
	return m
}

func (b *inbox) joining(id string) Joining {
	return Joining{Presence: Presence{ID: id}, Subscriber: b, Welcome: func(w Welcome) {
		for _, m := range w.History {
			b.Deliver(m)
		}
	}}
}

func say(t *testing.T, m *Membership, text string) {
	t.Helper()
	if delivered, err := m.Publish(Publication{Data: []byte(text)}); err != nil || !delivered {
		t.Fatalf("Publish(%q) = %v, %v", text, delivered, err)
	}
}

func (b *inbox) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := b.take(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEveryMemberGetsEveryMessage(t *testing.T) {
	h := New(Options{})
	var ann, bob, eve inbox
	a := ann.enter(t, h, "room.a", "ann")
	b := bob.enter(t, h, "room.a", "bob")
	eve.enter(t, h, "room.b", "eve")
	say(t, a, "hi")
	say(t, b, "hello")
	if _, err := h.Publish("room.a", Publication{Data: []byte("notice")}); err != nil {
		t.Fatal(err)
	}
	b.Leave()
	b.Leave() // does nothing
	say(t, a, "gone?")
	ann.expect(t, "ann: hi", "bob: hello", ": notice", "ann: gone?")
	bob.expect(t, "ann: hi", "bob: hello", ": notice")
	eve.expect(t)
	if _, err := b.Publish(Publication{}); !errors.Is(err, ErrNotMember) {
		t.Errorf("publishing after Leave: %v", err)
	}
}

func TestPresence(t *testing.T) {
	h := New(Options{Presence: true})
	var ann, bob inbox
	ann.enter(t, h, "x", "ann")
	var welcome Welcome
	j := bob.joining("bob")
	j.Welcome = func(w Welcome) { welcome = w }
	b, err := h.Join("x", j)
	if err != nil {
		t.Fatal(err)
	}
	if ids := idsOf(welcome.Members); !slices.Equal(ids, []string{"ann", "bob"}) {
		t.Errorf("members in the welcome: %v", ids)
	}
	if ids := idsOf(h.Members("x")); !slices.Equal(ids, []string{"ann", "bob"}) || h.Count("x") != 2 {
		t.Errorf("members: %v, count %d", ids, h.Count("x"))
	}
	if h.Member("x", "bob") != Subscriber(&bob) || h.Member("x", "eve") != nil || h.Member("y", "bob") != nil {
		t.Error("Member found the wrong subscriber")
	}
	b.Leave()
	ann.expect(t, "join bob", "leave bob")
	bob.expect(t)
	if h.Members("nowhere") != nil || h.Count("nowhere") != 0 {
		t.Error("a topic that does not exist has members")
	}
}

func idsOf(all []Presence) []string {
	var ids []string
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestReplace(t *testing.T) {
	h := New(Options{Presence: true})
	var old, other, next inbox
	was := old.enter(t, h, "x", "ann")
	other.enter(t, h, "x", "bob")
	old.take()

	j := next.joining("ann")
	if _, err := h.Join("x", j); !errors.Is(err, ErrTaken) {
		t.Fatalf("taken id: %v", err)
	}
	j.Replace = func(s Subscriber) bool { return s != Subscriber(&old) }
	if _, err := h.Join("x", j); !errors.Is(err, ErrTaken) {
		t.Fatalf("replacement refused: %v", err)
	}
	var replaced Subscriber
	j.Replace = func(s Subscriber) bool { return s == Subscriber(&old) }
	j.Welcome = func(w Welcome) { replaced = w.Replaced }
	now, err := h.Join("x", j)
	if err != nil {
		t.Fatal(err)
	}
	if replaced != Subscriber(&old) {
		t.Error("the welcome does not say who was replaced")
	}
	was.Leave() // too late: must not throw the newcomer out
	say(t, now, "still me")
	old.expect(t)
	next.expect(t, "ann: still me")
	other.expect(t, "ann: still me")
	if _, err := was.Publish(Publication{}); !errors.Is(err, ErrNotMember) {
		t.Errorf("publishing after being replaced: %v", err)
	}
}

func TestHistoryBounds(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		publish []string
		want    []string
	}{
		{"none by default", Options{}, []string{"a", "b"}, nil},
		{"count", Options{HistoryMessages: 2}, []string{"a", "b", "c"}, []string{"bob: b", "bob: c"}},
		{"bytes", Options{HistoryMessages: 9, HistoryBytes: 5}, []string{"aa", "bb", "cc"}, []string{"bob: bb", "bob: cc"}},
		{"too large for the topic", Options{HistoryMessages: 9, HistoryBytes: 3}, []string{"aa", "bbbb"}, nil},
		{"after too large", Options{HistoryMessages: 9, HistoryBytes: 3}, []string{"aa", "bbbb", "c"}, []string{"bob: c"}},
		{"total", Options{HistoryMessages: 9, HistoryBytes: 9, TotalBytes: 4}, []string{"aa", "bb", "cc"}, []string{"bob: bb", "bob: cc"}},
		{"too large in total", Options{HistoryMessages: 9, HistoryBytes: 9, TotalBytes: 4}, []string{"aa", "bbbbb"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := New(c.options)
			var bob, ann inbox
			b := bob.enter(t, h, "x", "bob")
			for _, text := range c.publish {
				say(t, b, text)
			}
			ann.enter(t, h, "x", "ann")
			ann.expect(t, c.want...)
		})
	}
}

func TestIdleTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{HistoryMessages: 5, Linger: time.Minute})
		var ann inbox
		m := ann.enter(t, h, "silent", "ann")
		m.Leave()
		if h.Len() != 0 {
			t.Error("an empty topic without history was not freed at once")
		}

		m = ann.enter(t, h, "x", "ann")
		say(t, m, "one")
		m.Leave()
		ann.take()
		time.Sleep(59 * time.Second)
		m = ann.enter(t, h, "x", "ann")
		ann.expect(t, "ann: one")
		time.Sleep(time.Hour) // somebody is in it: it stays
		m.Leave()
		time.Sleep(59 * time.Second)
		if h.Len() != 1 || h.kept.Load() != 3 {
			t.Errorf("%d topics, %d bytes kept before the linger time is over", h.Len(), h.kept.Load())
		}
		time.Sleep(2 * time.Second)
		if h.Len() != 0 || h.kept.Load() != 0 {
			t.Errorf("%d topics, %d bytes kept afterwards", h.Len(), h.kept.Load())
		}
	})
}

func TestIdleTopicsMakeRoom(t *testing.T) {
	h := New(Options{HistoryMessages: 5, MaxTopics: 2, TotalBytes: 10, HistoryBytes: 10})
	for _, topic := range []string{"a", "b"} {
		if _, err := h.Publish(topic, Publication{Data: []byte("1234")}); err != nil {
			t.Fatal(err)
		}
	}
	var ann inbox
	c := ann.enter(t, h, "c", "ann") // takes the place of topic a
	if h.lookup("a") != nil || h.lookup("b") == nil || h.Len() != 2 {
		t.Fatal("the oldest idle topic should have been freed")
	}
	say(t, c, "12345678") // takes the bytes of topic b
	if h.lookup("b") != nil || h.kept.Load() != 8 {
		t.Errorf("b should have been freed for its bytes; %d kept", h.kept.Load())
	}
	ann.enter(t, h, "d", "ann")
	if _, err := h.Join("e", ann.joining("ann")); !errors.Is(err, ErrTooManyTopics) {
		t.Errorf("third topic: %v", err)
	}
	if _, err := h.Publish("e", Publication{}); !errors.Is(err, ErrTooManyTopics) {
		t.Errorf("publishing to a third topic: %v", err)
	}
}

func TestRetriesAreNotDeliveredTwice(t *testing.T) {
	h := New(Options{Remember: 2})
	var ann, bob inbox
	a := ann.enter(t, h, "x", "ann")
	b := bob.enter(t, h, "x", "bob")
	for _, c := range []struct {
		m    *Membership
		id   string
		want bool
	}{
		{a, "1", true}, {a, "1", false},
		{b, "1", true}, // another publisher's id is another id
		{a, "1", false},
		{a, "2", true},
		{a, "1", true}, // forgotten: two newer ones are remembered
		{b, "", true}, {b, "", true},
	} {
		if got, err := c.m.Publish(Publication{ID: c.id, Data: []byte(c.id)}); got != c.want || err != nil {
			t.Errorf("%s publishes %q: %v, %v; want %v", c.m.Presence().ID, c.id, got, err, c.want)
		}
	}
	ann.expect(t, "ann: 1", "bob: 1", "ann: 2", "ann: 1", "bob: ", "bob: ")
}

func TestEncodedOnce(t *testing.T) {
	h := New(Options{})
	encodings := 0
	encode := func(m *Message) any { encodings++; return "<" + string(m.Data) + ">" }
	var seen []any
	for i := range 10 {
		s := subscriberFunc(func(m *Message) { seen = append(seen, m.Encoded(encode)) })
		if _, err := h.Join("x", Joining{Presence: Presence{ID: fmt.Sprint(i)}, Subscriber: s}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Publish("x", Publication{Data: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	if encodings != 1 || len(seen) != 10 || seen[9] != "<hi>" {
		t.Errorf("%d encodings for %d subscribers: %v", encodings, len(seen), seen)
	}
}

type subscriberFunc func(*Message)

func (f subscriberFunc) Deliver(m *Message) { f(m) }

func TestNamesAndLimits(t *testing.T) {
	h := New(Options{MaxName: 12, MaxMembers: 1})
	var ann inbox
	for name, ok := range map[string]bool{
		"a": true, "room.a": true, "房间.一": true, "a-b_c": true, "twelve.bytes": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "a b": false, "a\tb": false, "a\x00": false,
		"*": false, "a.>": false, "\xff": false, "thirteen.byte": false, "a\u200bb": false,
	} {
		_, err := h.Join(name, ann.joining(name+"x"))
		if name == "twelve.bytes" || name == "thirteen.byte" {
			_, err = h.Join(name, ann.joining("x"))
		}
		if ok && err != nil || !ok && !errors.Is(err, ErrTopicName) {
			t.Errorf("Join(%q): %v", name, err)
		}
	}
	for _, id := range []string{"", "thirteen bytes", "\xff"} {
		if _, err := h.Join("b", ann.joining(id)); !errors.Is(err, ErrMemberID) {
			t.Errorf("member id %q: %v", id, err)
		}
	}
	if _, err := h.Join("a", ann.joining("second")); !errors.Is(err, ErrTopicFull) {
		t.Errorf("second member: %v", err)
	}
	if _, err := h.Publish("a..b", Publication{}); !errors.Is(err, ErrTopicName) {
		t.Errorf("publishing to a bad name: %v", err)
	}
	if err := CheckTopic(strings.Repeat("x", 256), 0); !errors.Is(err, ErrTopicName) {
		t.Errorf("default length: %v", err)
	}
}
