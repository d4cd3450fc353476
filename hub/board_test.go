package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// reader takes the notes of a board.
type reader struct {
	mu    sync.Mutex
	notes []string
}

func (r *reader) take(data []byte, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, string(data))
}

// sorted is what it knows, and forgets.
func (r *reader) sorted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.notes
	r.notes = nil
	slices.Sort(got)
	return got
}

func (f *fixture) board(name string) (*Board, *reader) {
	f.Helper()
	r := &reader{}
	b, err := f.hub.Board(f.Context(), name, r.take)
	if err != nil {
		f.Fatal(err)
	}
	return b, r
}

func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := NewMemoryBroker(MemoryOptions{})
		one, two := pair(t, memory, one(TopicOptions{HistoryMessages: 1, HistoryAge: time.Minute}))
		b1, r1 := one.board("x")
		_, r2 := two.board("x")
		_, other := two.board("y")
		post := func(key, text string) {
			t.Helper()
			if err := b1.Post(t.Context(), key, []byte(text), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		post("a", "a1")
		post("b", "b1")
		post("a", "a2")
		for _, r := range []*reader{r1, r2} {
			if got := r.sorted(); !slices.Equal(got, []string{"a1", "a2", "b1"}) {
				t.Errorf("told %q", got)
			}
		}
		// Whoever starts later is told the last note of each key, for as long as it is good for.
		_, r3 := newFixture(t, Options{Broker: memory}).board("x")
		if got := r3.sorted(); !slices.Equal(got, []string{"a2", "b1"}) {
			t.Errorf("a new node knows %q", got)
		}
		if got := other.sorted(); len(got) != 0 {
			t.Errorf("another board has %q", got)
		}
		// What was missed is read again.
		two.hub.Missed("$x.*.*", GapLost, Position{memory.epoch, memory.last})
		two.hub.Missed("", GapEpoch, Position{memory.epoch, memory.last})
		two.hub.Missed("$y.*.*", GapLost, Position{memory.epoch, memory.last})
		synctest.Wait()
		r2.sorted() // it may be told again what it knew
		post("c", "c1")
		two.hub.Missed("", GapLost, Position{memory.epoch, memory.last})
		synctest.Wait()
		if got := slices.Compact(r2.sorted()); !slices.Equal(got, []string{"c1"}) {
			t.Errorf("told %q", got)
		}
		time.Sleep(2 * time.Hour)
		_, r4 := newFixture(t, Options{Broker: memory}).board("x")
		if got := r4.sorted(); len(got) != 0 {
			t.Errorf("two hours later a new node knows %q", got)
		}
	})
}

func TestPostFirst(t *testing.T) {
	one, two := pair(t, NewMemoryBroker(MemoryOptions{}), Options{})
	b1, _ := one.board("x")
	b2, r := two.board("x")
	var wg sync.WaitGroup
	firsts := make([]bool, 20)
	for i := range firsts {
		wg.Go(func() {
			b := b1
			if i%2 == 1 {
				b = b2
			}
			var err error
			if firsts[i], err = b.PostFirst(t.Context(), "key", []byte("n"), time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(firsts, func(first bool) bool { return !first })); n != 1 || len(r.sorted()) != 1 {
		t.Errorf("%d were first", n)
	}
	if err := b1.Post(t.Context(), "k", make([]byte, boardBytes+1), 0); !errors.Is(err, &Error{Code: CodeTooLarge}) {
		t.Errorf("a large note: %v", err)
	}
	for _, name := range []string{"", "a.b", "$a", "*"} {
		if _, err := one.hub.Board(t.Context(), name, r.take); !errors.Is(err, &Error{Code: CodeBadTopic}) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// away is a broker that cannot be read for a while.
type away struct {
	*MemoryBroker
	failing atomic.Int64
}

func (a *away) Read(ctx context.Context, q ReadQuery) (Log, error) {
	if a.failing.Add(-1) >= 0 {
		return Log{}, Errorf(CodeUnavailable, "away")
	}
	return a.MemoryBroker.Read(ctx, q)
}

// A board is read again until that succeeds.
func TestBoardComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &away{MemoryBroker: NewMemoryBroker(MemoryOptions{})}
		f := newFixture(t, Options{Broker: broker})
		b, r := f.board("x")
		f.check(b.Post(t.Context(), "a", []byte("a"), 0))
		r.sorted()
		broker.failing.Store(3 * boardShelves)
		f.hub.Missed("", GapLost, Position{broker.epoch, broker.last})
		time.Sleep(time.Minute)
		if got := slices.Compact(r.sorted()); !slices.Equal(got, []string{"a"}) || broker.failing.Load() >= 0 {
			t.Errorf("told %q", got)
		}
		broker.failing.Store(1)
		if _, err := f.hub.Board(t.Context(), "y", r.take); !errors.Is(err, &Error{Code: CodeUnavailable}) {
			t.Errorf("opened without being read: %v", err)
		}
		broker.failing.Store(1 << 30)
		f.hub.Missed("", GapLost, Position{broker.epoch, broker.last})
		synctest.Wait()
		f.hub.Close() // ends the attempts
		time.Sleep(2 * boardRetry)
	})
}

// What is the hub's own cannot be reached by names nor by patterns.
func TestReservedTopics(t *testing.T) {
	f := newFixture(t, Options{Topics: []Rule{{">", TopicOptions{HistoryMessages: 10, Presence: PresenceFull}}}})
	board, _ := f.board("x")
	ann, a := f.connect("1", "ann")
	f.subscribe(ann, ">", SubscribeOptions{})
	f.subscribe(ann, "*.*", SubscribeOptions{})
	since := f.subscribe(ann, "a", SubscribeOptions{}).Position
	f.check(board.Post(t.Context(), "k", []byte("secret"), 0))
	a.expect(t)
	bob, b := f.connect("2", "bob")
	f.subscribe(bob, ">", SubscribeOptions{Since: &since})
	f.subscribe(bob, "*.>", SubscribeOptions{Last: 10})
	f.subscribe(bob, "*.*", SubscribeOptions{Since: &Position{"old", 1}})
	if got := b.take(); strings.Contains(strings.Join(got, " "), "secret") {
		t.Errorf("heard %q", got)
	}
	name := "$x.whatever"
	_, err := ann.Publish(t.Context(), name, data("1"))
	f.refused(CodeBadTopic, err)
	_, err = f.hub.Publish(t.Context(), name, data("1"))
	f.refused(CodeBadTopic, err)
	_, err = ann.History(t.Context(), name, HistoryQuery{})
	f.refused(CodeBadTopic, err)
	_, err = f.hub.History(t.Context(), name, HistoryQuery{})
	f.refused(CodeBadTopic, err)
	_, err = ann.Presence(t.Context(), name)
	f.refused(CodeBadTopic, err)
	_, err = ann.Subscribe(t.Context(), "$x.*.*", SubscribeOptions{})
	f.refused(CodeBadTopic, err)
	_, err = f.hub.Connect(Connecting{Session: "3", Identity: Identity{User: "eve", Grants: []Grant{{"$x.*.*", ActAll}}}, Sink: newInbox()})
	f.refused(CodeBadTopic, err)
	for _, c := range [][2]string{{">", "$x"}, {"*", "$x"}, {"*.*", "$x.y"}, {">", "$x.>"}} {
		if Covers(c[0], c[1]) {
			t.Errorf("%s covers %s", c[0], c[1])
		}
	}
	if page, err := f.hub.Topics(t.Context(), TopicQuery{}); err != nil || len(page.Topics) != 1 {
		t.Errorf("topics: %+v, %v", page, err)
	}
}
