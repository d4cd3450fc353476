package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inbox is a Sink that writes down what it gets, for as long as it has room.
type inbox struct {
	mu   sync.Mutex
	room int // messages that it still takes; negative: any number
	got  []string
	end  *End
}

func newInbox() *inbox { return &inbox{room: -1} }

func (b *inbox) Deliver(m *Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room == 0 {
		return false
	}
	b.room--
	b.got = append(b.got, describe(m))
	return true
}

func (b *inbox) End(why End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = &why
}

func (b *inbox) ending() *End {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}

func (b *inbox) setRoom(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room = n
}

func describe(m *Message) string {
	via := ""
	if m.Pattern != "" {
		via = m.Pattern + " "
	}
	switch m.Kind {
	case KindData:
		return fmt.Sprintf("%s%s %s: %s", via, m.Topic, m.From.User, m.Data)
	case KindGap:
		text := fmt.Sprintf("%s%s gap %s %d-%d", via, m.Topic, m.Gap.Reason, m.Gap.Since.Offset, m.Gap.Until.Offset)
		if m.Gap.Count > 0 {
			text += fmt.Sprintf(" (%d)", m.Gap.Count)
		}
		if m.Gap.Presence {
			text += " presence"
		}
		return text
	case KindUnsubscribed:
		return m.Topic + " unsubscribed " + string(m.Reason.Code)
	}
	return fmt.Sprintf("%s %s %s", m.Topic, m.From.User, m.Kind)
}

func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

func (b *inbox) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := b.take(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// fixture is a hub and a few people.
type fixture struct {
	*testing.T
	hub *Hub
}

func newFixture(t *testing.T, o Options) *fixture {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &fixture{t, h}
}

func one(o TopicOptions) Options { return Options{Topics: []Rule{{">", o}}} }

func (f *fixture) connect(session, user string) (*Subscriber, *inbox) {
	f.Helper()
	b := newInbox()
	s, err := f.hub.Connect(Connecting{Session: session, Identity: Identity{User: user, Anonymous: user[0] == '~'}, Sink: b})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	return s, b
}

func (f *fixture) subscribe(s *Subscriber, topic string, o SubscribeOptions) Subscribed {
	f.Helper()
	got, err := s.Subscribe(context.Background(), topic, o)
	if err != nil {
		f.Fatalf("Subscribe(%q): %v", topic, err)
	}
	got.Begin()
	return got
}

func data(text string) Publication { return Publication{Data: []byte(text)} }

func (f *fixture) publish(s *Subscriber, topic, text string) Position {
	f.Helper()
	r, err := s.Publish(context.Background(), topic, data(text))
	if err != nil {
		f.Fatalf("Publish(%q): %v", topic, err)
	}
	return r.Position
}

func (f *fixture) refused(code Code, err error) {
	f.Helper()
	if !errors.Is(err, &Error{Code: code}) {
		f.Errorf("error %v, want one with code %s", err, code)
	}
}

func TestEverySubscriberGetsEveryMessage(t *testing.T) {
	f := newFixture(t, Options{})
	ann, a := f.connect("1", "ann")
	bob, b := f.connect("2", "bob")
	eve, e := f.connect("3", "eve")
	f.subscribe(ann, "room.a", SubscribeOptions{})
	f.subscribe(bob, "room.a", SubscribeOptions{})
	f.subscribe(eve, "room.b", SubscribeOptions{})
	f.publish(ann, "room.a", "1")
	f.publish(bob, "room.a", "2")
	if _, err := f.hub.Publish(context.Background(), "room.a", data("3")); err != nil {
		t.Fatal(err)
	}
	if _, err := ann.Publish(context.Background(), "room.a", Publication{Data: []byte("4"), NotToMe: true}); err != nil {
		t.Fatal(err)
	}
	if err := bob.Unsubscribe("room.a"); err != nil {
		t.Fatal(err)
	}
	f.refused(CodeNotSubscribed, bob.Unsubscribe("room.a"))
	f.publish(eve, "room.a", "5")
	a.expect(t, "room.a ann: 1", "room.a bob: 2", "room.a : 3", "room.a eve: 5")
	b.expect(t, "room.a ann: 1", "room.a bob: 2", "room.a : 3", "room.a ann: 4")
	e.expect(t)
}

func TestPatterns(t *testing.T) {
	f := newFixture(t, Options{})
	ann, a := f.connect("1", "ann")
	for _, pattern := range []string{"chat.*", "chat.>", ">", "*.lobby", "chat.lobby"} {
		f.subscribe(ann, pattern, SubscribeOptions{})
	}
	f.publish(ann, "chat.lobby", "1")
	f.publish(ann, "chat.a.b", "2")
	f.publish(ann, "chat", "3")
	a.expect(t, "chat.lobby ann: 1", "> chat.lobby ann: 1", "chat.> chat.lobby ann: 1", "chat.* chat.lobby ann: 1", "*.lobby chat.lobby ann: 1",
		"> chat.a.b ann: 2", "chat.> chat.a.b ann: 2", "> chat ann: 3")
	for _, pattern := range []string{"chat.*", ">", "*.lobby", "chat.lobby"} {
		if err := ann.Unsubscribe(pattern); err != nil {
			t.Fatal(err)
		}
	}
	f.publish(ann, "chat.lobby", "4")
	a.expect(t, "chat.> chat.lobby ann: 4")
	if err := ann.Unsubscribe("chat.>"); err != nil {
		t.Fatal(err)
	}
	if !f.hub.patterns.root.empty() || f.hub.patterns.count != 0 || len(f.hub.topics) != 0 {
		t.Error("places are left behind")
	}
}

func TestResume(t *testing.T) {
	f := newFixture(t, one(TopicOptions{HistoryMessages: 3}))
	ann, _ := f.connect("1", "ann")
	bob, _ := f.connect("2", "bob")
	from := f.subscribe(bob, "a.x", SubscribeOptions{}).Position
	if from.Epoch == "" {
		t.Fatal("a position without epoch")
	}
	bob.Close()
	f.publish(ann, "a.x", "1")
	f.publish(ann, "a.y", "2")
	at2 := f.publish(ann, "a.x", "3")

	bob, b := f.connect("2", "bob")
	got := f.subscribe(bob, "a.x", SubscribeOptions{Since: &from})
	f.publish(ann, "a.x", "4")
	if !got.Recovered || got.Position != from {
		t.Errorf("resumed with %+v", got)
	}
	b.expect(t, "a.x ann: 1", "a.x ann: 3", "a.x ann: 4")
	bob.Close()

	f.publish(ann, "a.x", "5")
	f.publish(ann, "a.x", "6") // now 1 and 3 are forgotten
	bob, b = f.connect("2", "bob")
	if got := f.subscribe(bob, "a.x", SubscribeOptions{Since: &from}); got.Recovered {
		t.Error("recovered what is forgotten")
	}
	b.expect(t, fmt.Sprintf("a.x gap expired %d-%d", from.Offset, at2.Offset), "a.x ann: 4", "a.x ann: 5", "a.x ann: 6")

	got = f.subscribe(bob, "a.>", SubscribeOptions{Since: &at2})
	if !got.Recovered {
		t.Error("a pattern did not recover")
	}
	b.expect(t, "a.> a.x ann: 4", "a.> a.x ann: 5", "a.> a.x ann: 6")

	other := Position{Epoch: "gone", Offset: 99}
	carl, c := f.connect("3", "carl")
	if got := f.subscribe(carl, "a.x", SubscribeOptions{Since: &other}); got.Recovered || got.Position.Epoch != from.Epoch {
		t.Errorf("resumed another epoch with %+v", got)
	}
	c.expect(t, fmt.Sprintf("a.x gap epoch 99-%d", at2.Offset), "a.x ann: 4", "a.x ann: 5", "a.x ann: 6")
	ahead := Position{from.Epoch, 1000}
	_, err := carl.Subscribe(context.Background(), "a.y", SubscribeOptions{Since: &ahead})
	f.refused(CodeBadRequest, err)
	if got := f.subscribe(carl, "a.y", SubscribeOptions{Last: 5}); got.Position.Offset != 1 {
		t.Errorf("last began with %+v", got.Position)
	}
	c.expect(t, "a.y ann: 2")
}

func TestResumeWithoutHistory(t *testing.T) {
	f := newFixture(t, Options{})
	ann, _ := f.connect("1", "ann")
	bob, _ := f.connect("2", "bob")
	f.publish(ann, "quiet", "1")
	at := f.subscribe(bob, "quiet", SubscribeOptions{}).Position
	bob.Close()
	f.publish(ann, "loud", "2")
	bob, b := f.connect("2", "bob")
	if !f.subscribe(bob, "quiet", SubscribeOptions{Since: &at}).Recovered {
		t.Error("a gap in a topic in which nothing was published")
	}
	b.expect(t)
	if f.subscribe(bob, "loud", SubscribeOptions{Since: &at}).Recovered {
		t.Error("recovered what no history keeps")
	}
	b.expect(t, fmt.Sprintf("loud gap expired %d-%d", at.Offset, at.Offset+1))
}

// A topic that nobody uses is forgotten, and whoever comes back to it still learns whether something was missed.
func TestForgottenTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{HistoryMessages: 10, HistoryAge: time.Minute, Window: time.Minute}))
		ann, _ := f.connect("1", "ann")
		bob, b := f.connect("2", "bob")
		at := f.publish(ann, "a", "1")
		f.publish(ann, "b", "2")
		time.Sleep(time.Minute)
		if page, err := f.hub.History(context.Background(), "a", HistoryQuery{}); err != nil || len(page.Messages) > 0 {
			t.Errorf("history after its age: %v, %v", page, err)
		}
		time.Sleep(time.Hour)
		if n := f.hub.Stats(); n.Topics != 0 || n.HistoryBytes != 0 {
			t.Errorf("after an hour: %+v", n)
		}
		if !f.subscribe(bob, "a", SubscribeOptions{Since: &at}).Recovered {
			t.Error("a gap where nothing is missed")
		}
		f.subscribe(bob, "b", SubscribeOptions{Since: &at})
		f.publish(ann, "a", "3")
		b.expect(t, "b gap expired 1-2", "a ann: 3")
	})
}

func TestRetriesAreOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{HistoryMessages: 10, WindowIDs: 2}))
		ann, _ := f.connect("1", "ann")
		bob, b := f.connect("2", "bob")
		f.subscribe(bob, "a", SubscribeOptions{})
		publish := func(s *Subscriber, id string) Receipt {
			r, err := s.Publish(context.Background(), "a", Publication{ID: id, Data: []byte(`"` + id + `"`)})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := publish(ann, "x")
		if again := publish(ann, "x"); again.Position != first.Position || !again.Duplicate {
			t.Errorf("a retry gave %+v after %+v", again, first)
		}
		if other := publish(bob, "x"); other.Duplicate {
			t.Error("another user's id is taken for a retry")
		}
		time.Sleep(2 * time.Minute)
		if publish(ann, "x").Duplicate {
			t.Error("the window is over")
		}
		publish(ann, "y")
		publish(ann, "z")
		if publish(ann, "x").Duplicate {
			t.Error("more ids are remembered than allowed")
		}
		b.expect(t, `a ann: "x"`, `a bob: "x"`, `a ann: "x"`, `a ann: "y"`, `a ann: "z"`, `a ann: "x"`)
	})
}

func TestSlowDropOldest(t *testing.T) {
	f := newFixture(t, one(TopicOptions{SlowMessages: 2, Presence: PresenceFull}))
	ann, a := f.connect("1", "ann")
	bob, b := f.connect("2", "bob")
	f.subscribe(ann, "a", SubscribeOptions{})
	f.subscribe(bob, "a", SubscribeOptions{Presence: true})
	b.take()
	f.publish(ann, "a", "1")
	b.setRoom(0)
	for i := 2; i <= 6; i++ {
		f.publish(ann, "a", fmt.Sprint(i))
	}
	carl, _ := f.connect("3", "carl")
	f.subscribe(carl, "a", SubscribeOptions{}) // a join waits, and pushes out 5
	stats := f.hub.Stats()
	if stats.QueuedMessages != 2 || stats.Rules[0].Dropped != 4 {
		t.Errorf("while it is slow: %+v", stats)
	}
	b.setRoom(-1)
	bob.Ready()
	f.publish(ann, "a", "7")
	b.expect(t, "a ann: 1", "a gap slow 1-5 (4)", "a ann: 6", "a carl join", "a ann: 7")
	a.expect(t, "a ann: 1", "a ann: 2", "a ann: 3", "a ann: 4", "a ann: 5", "a ann: 6", "a ann: 7")
	stats = f.hub.Stats()
	if r := stats.Rules[0]; r.Dropped != 4 || r.Gaps != 1 || r.Deliveries != 3+7+1 || stats.QueuedMessages != 0 || stats.QueuedBytes != 0 {
		t.Errorf("afterwards: %+v", stats)
	}
	b.setRoom(0)
	for i := range 3 {
		f.publish(ann, "a", fmt.Sprint(i))
	}
	carl.Close()
	f.publish(ann, "a", "8")
	f.publish(ann, "a", "9")
	b.setRoom(-1)
	bob.Ready()
	b.expect(t, "a gap slow 7-10 (3) presence", "a ann: 8", "a ann: 9")
}

func TestSlowLatest(t *testing.T) {
	f := newFixture(t, one(TopicOptions{Slow: SlowLatest, SlowMessages: 3}))
	ann, _ := f.connect("1", "ann")
	bob, b := f.connect("2", "bob")
	f.subscribe(bob, "q.>", SubscribeOptions{})
	b.setRoom(0)
	tick := func(topic, key, text string) {
		if _, err := ann.Publish(context.Background(), topic, Publication{Key: key, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	tick("q.a", "A", "1")
	tick("q.a", "B", "2")
	for i := range 100 {
		tick("q.a", "A", fmt.Sprint(3+i))
	}
	tick("q.b", "A", "103") // the same key of another topic
	if got := len(bob.subs["q.>"].queue.items); got > 50 {
		t.Errorf("%d places are kept for 3 messages", got)
	}
	tick("q.b", "C", "104") // one too many
	b.setRoom(-1)
	bob.Ready()
	b.expect(t, "q.> q.a gap slow 0-2 (1)", "q.> q.a gap superseded 0-101 (100)",
		"q.> q.a ann: 102", "q.> q.b ann: 103", "q.> q.b ann: 104")
	if r := f.hub.Stats().Rules[0]; r.Superseded != 100 || r.Dropped != 1 || r.Gaps != 2 {
		t.Errorf("counted %+v", r)
	}
}

func TestSlowDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{Slow: SlowDisconnect, SlowMessages: 2, HistoryMessages: 100}))
		ann, _ := f.connect("1", "ann")
		bob, b := f.connect("2", "bob")
		at := f.subscribe(bob, "a", SubscribeOptions{}).Position
		b.setRoom(0)
		for i := range 10 {
			f.publish(ann, "a", fmt.Sprint(i))
		}
		synctest.Wait()
		if b.end == nil || b.ending().Code != EndSlow || !b.ending().Reconnect {
			t.Fatalf("ended with %+v", b.ending())
		}
		bob.Close()
		bob, b = f.connect("2", "bob")
		if !f.subscribe(bob, "a", SubscribeOptions{Since: &at}).Recovered || len(b.take()) != 10 {
			t.Error("did not recover")
		}
	})
}

// What a subscription begins with may be more than a slow subscriber may have waiting.
func TestSlowResume(t *testing.T) {
	f := newFixture(t, one(TopicOptions{SlowMessages: 2, HistoryMessages: 100}))
	ann, _ := f.connect("1", "ann")
	bob, b := f.connect("2", "bob")
	at := f.subscribe(bob, "a", SubscribeOptions{}).Position
	if err := bob.Unsubscribe("a"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 50 {
		f.publish(ann, "a", fmt.Sprint(i))
		want = append(want, fmt.Sprintf("a ann: %d", i))
	}
	b.setRoom(0)
	f.subscribe(bob, "a", SubscribeOptions{Since: &at})
	f.publish(ann, "a", "50")
	f.publish(ann, "a", "51")
	for range 60 {
		b.setRoom(1)
		bob.Ready()
	}
	b.expect(t, append(want, "a ann: 50", "a ann: 51")...)
}

func TestFairWhenSlow(t *testing.T) {
	f := newFixture(t, one(TopicOptions{SlowMessages: 100}))
	ann, _ := f.connect("1", "ann")
	bob, b := f.connect("2", "bob")
	f.subscribe(bob, "loud", SubscribeOptions{})
	f.subscribe(bob, "quiet", SubscribeOptions{})
	b.setRoom(0)
	for i := range 100 {
		f.publish(ann, "loud", fmt.Sprint(i))
	}
	f.publish(ann, "quiet", "1")
	b.setRoom(batch + 1)
	bob.Ready()
	if got := b.take(); got[len(got)-1] != "quiet ann: 1" {
		t.Errorf("a quiet topic waits behind a loud one: %q", got)
	}
}

func TestPresence(t *testing.T) {
	f := newFixture(t, Options{Topics: []Rule{{"full", TopicOptions{Presence: PresenceFull}}, {"count", TopicOptions{Presence: PresenceCount}}}})
	ann, a := f.connect("1", "ann")
	bob1, _ := f.connect("2", "bob")
	bob2, _ := f.connect("3", "bob")
	f.subscribe(ann, "full", SubscribeOptions{Presence: true})
	for _, s := range []*Subscriber{bob1, bob2} {
		f.subscribe(s, "full", SubscribeOptions{})
		f.subscribe(s, "count", SubscribeOptions{})
	}
	present := func(topic string) Present {
		p, err := ann.Presence(context.Background(), topic)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := present("full"); p.Count != 2 || p.Connections != 3 || p.Users[1].User != "bob" || p.Users[1].Connections != 2 {
		t.Errorf("full: %+v", p)
	}
	if p := present("count"); p.Count != 1 || p.Connections != 2 || p.Users != nil {
		t.Errorf("count: %+v", p)
	}
	if err := bob1.Unsubscribe("full"); err != nil {
		t.Fatal(err)
	}
	bob2.Close()
	a.expect(t, "full ann join", "full bob join", "full bob leave")
	if p := present("full"); p.Count != 1 || p.Connections != 1 {
		t.Errorf("afterwards: %+v", p)
	}
	_, err := ann.Presence(context.Background(), "other")
	f.refused(CodeNoPresence, err)
	_, err = ann.Subscribe(context.Background(), "count", SubscribeOptions{Presence: true})
	f.refused(CodeNoPresence, err)
	_, err = ann.Subscribe(context.Background(), "*", SubscribeOptions{Presence: true})
	f.refused(CodeBadRequest, err)
}

func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{Presence: PresenceFull}))
		ann, a := f.connect("1", "ann")
		f.subscribe(ann, "x", SubscribeOptions{Presence: true})
		f.subscribe(ann, "y", SubscribeOptions{Presence: true})
		bob, b := f.connect("2", "bob")
		f.subscribe(bob, "x", SubscribeOptions{})
		f.subscribe(bob, "y", SubscribeOptions{})
		again, _ := f.connect("2", "bob")
		synctest.Wait()
		if b.end == nil || b.ending().Code != EndReplaced {
			t.Fatalf("the old one ended with %+v", b.ending())
		}
		bob.Close()
		f.subscribe(again, "x", SubscribeOptions{})
		a.expect(t, "x ann join", "y ann join", "x bob join", "y bob join")
		time.Sleep(inheritance + time.Second)
		a.expect(t, "y bob leave")
		again.Close()
		a.expect(t, "x bob leave")
	})
}

// Whoever was present through a node that does not renew its lease leaves.
func TestNoGhosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := NewMemoryBroker(MemoryOptions{})
		f := newFixture(t, Options{Broker: broker, Topics: []Rule{{">", TopicOptions{Presence: PresenceFull}}}})
		g := newFixture(t, Options{Broker: broker, Topics: []Rule{{">", TopicOptions{Presence: PresenceFull}}}})
		ann, a := f.connect("1", "ann")
		f.subscribe(ann, "x", SubscribeOptions{Presence: true})
		bob, b := g.connect("2", "bob")
		f.subscribe(bob, "x", SubscribeOptions{})
		f.publish(ann, "x", "1")
		a.expect(t, "x ann join", "x bob join", "x ann: 1")
		b.expect(t, "x ann: 1")
		time.Sleep(10*LeaseTime + time.Second)
		a.expect(t)
		g.hub.mu.Lock()
		g.hub.lease.Stop() // the node hangs
		g.hub.mu.Unlock()
		time.Sleep(LeaseTime + sweepInterval)
		a.expect(t, "x bob leave")
		g.hub.renew() // and goes on
		a.expect(t, "x bob join")
		g.hub.Close()
		a.expect(t, "x bob leave")
	})
}

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{MaxRequests: 2})
		handle := func(pattern string, h RequestHandler) {
			if err := f.hub.Handle(pattern, h); err != nil {
				t.Fatal(err)
			}
		}
		handle("echo.*", func(_ context.Context, r *Request) (Reply, error) { return Reply{r.Data, r.Binary}, nil })
		handle("fail", func(context.Context, *Request) (Reply, error) { return Reply{}, errors.New("secret") })
		handle("panic", func(context.Context, *Request) (Reply, error) { panic("secret") })
		handle("refuse", func(context.Context, *Request) (Reply, error) { return Reply{}, Errorf("shop.closed", "come tomorrow") })
		handle("forge", func(context.Context, *Request) (Reply, error) { return Reply{}, Errorf("restart", "come tomorrow") })
		handle("slow", func(ctx context.Context, r *Request) (Reply, error) { time.Sleep(time.Minute); return Reply{}, nil })
		ann, _ := f.connect("1", "ann")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		request := func(ctx context.Context, method string, binary bool) (Reply, error) {
			p, err := ann.Request(ctx, method, []byte("1"), binary)
			if err != nil {
				return Reply{}, err
			}
			return p.Wait()
		}
		ask := func(method string) error {
			_, err := request(ctx, method, false)
			return err
		}
		if r, err := request(ctx, "echo.x", true); err != nil || string(r.Data) != "1" || !r.Binary {
			t.Errorf("%+v, %v", r, err)
		}
		f.refused(CodeUnknownMethod, ask("nothing"))
		f.refused(CodeBadRequest, ask("no way"))
		f.refused(CodeInternal, ask("fail"))
		f.refused(CodeInternal, ask("panic"))
		f.refused("shop.closed", ask("refuse"))
		f.refused(CodeInternal, ask("forge"))
		if err := ask("fail"); strings.Contains(err.Error(), "secret") {
			t.Errorf("a fault is told: %v", err)
		}
		f.refused(CodeTimeout, ask("slow"))
		f.refused(CodeTimeout, ask("slow"))
		f.refused(CodeRate, ask("echo.x")) // two handlers are still at it
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := request(context.Background(), "echo.x", false); err != nil {
			t.Error(err)
		}
	})
}

func TestHistoryPages(t *testing.T) {
	f := newFixture(t, Options{Topics: []Rule{{"a", TopicOptions{HistoryMessages: 10}}}})
	ann, _ := f.connect("1", "ann")
	for i := range 15 {
		f.publish(ann, "a", fmt.Sprint(i)) // offsets 1 to 15, of which 6 to 15 are kept
	}
	for _, c := range []struct {
		q    HistoryQuery
		want string
	}{
		{HistoryQuery{Limit: 3}, "13 14 15 more"},
		{HistoryQuery{Limit: 3, Before: 9}, "6 7 8"},
		{HistoryQuery{Limit: 3, Before: 13}, "10 11 12 more"},
		{HistoryQuery{Limit: 3, Forward: true, After: 8}, "9 10 11 more"},
		{HistoryQuery{Limit: 3, Forward: true, After: 12}, "13 14 15"},
		{HistoryQuery{Limit: 3, Forward: true, After: 4}, "6 7 8 more lost"},
		{HistoryQuery{Limit: 3, Forward: true, After: 5}, "6 7 8 more"},
		{HistoryQuery{Limit: 3, Forward: true, After: 8, Epoch: "old"}, "6 7 8 more lost"},
		{HistoryQuery{Limit: 3, Before: 8, Epoch: "old"}, "13 14 15 more lost"},
		{HistoryQuery{}, "6 7 8 9 10 11 12 13 14 15"},
	} {
		page, err := ann.History(context.Background(), "a", c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range page.Messages {
			got = append(got, fmt.Sprint(m.Offset))
		}
		if page.More {
			got = append(got, "more")
		}
		if page.Lost {
			got = append(got, "lost")
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, want %s", c.q, got, c.want)
		}
	}
	_, err := ann.History(context.Background(), "b", HistoryQuery{})
	f.refused(CodeNoHistory, err)
	_, err = ann.History(context.Background(), "a", HistoryQuery{Limit: 1001})
	f.refused(CodeBadRequest, err)
	_, err = ann.History(context.Background(), "*", HistoryQuery{})
	f.refused(CodeBadTopic, err)
}

func TestWhatCannotBePublished(t *testing.T) {
	f := newFixture(t, one(TopicOptions{MaxBytes: 100}))
	ann, _ := f.connect("1", "ann")
	for _, c := range []struct {
		topic string
		p     Publication
		code  Code
	}{
		{"a", data(""), CodeBadRequest},
		{"a", data("{"), CodeBadRequest},
		{"a", data("\"\xff\""), CodeBadRequest},
		{"a", Publication{Data: []byte{0xff}, Binary: true, Meta: []byte("{\"a\":\"\xff\"}")}, CodeBadRequest},
		{"a", Publication{Data: []byte("1"), Meta: []byte("[]")}, CodeBadRequest},
		{"a", Publication{Data: []byte("1"), Key: "\xff"}, CodeBadRequest},
		{"a", Publication{Data: []byte("1"), Key: strings.Repeat("k", 256)}, CodeTooLarge},
		{"a", Publication{Data: []byte("1"), ID: strings.Repeat("k", 65)}, CodeBadRequest},
		{"a", Publication{Data: make([]byte, 101), Binary: true}, CodeTooLarge},
		{"a.*", data("1"), CodeBadTopic},
	} {
		_, err := ann.Publish(context.Background(), c.topic, c.p)
		f.refused(c.code, err)
		_, err = f.hub.Publish(context.Background(), c.topic, c.p)
		f.refused(c.code, err)
	}
	if _, err := ann.Publish(context.Background(), "a", Publication{Data: []byte{0xff, 0}, Binary: true}); err != nil {
		t.Error(err)
	}
}
