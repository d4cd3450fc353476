package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGrants(t *testing.T) {
	f := newFixture(t, Options{Topics: []Rule{
		{"open.>", TopicOptions{}},
		{"users.>", TopicOptions{Subscribe: Users, Publish: Users}},
		{"closed.>", TopicOptions{Subscribe: Granted, Publish: Granted, ReadHistory: Granted, HistoryMessages: 10}},
		{"ours.>", TopicOptions{Subscribe: Nobody, Publish: Nobody}},
		{">", TopicOptions{Subscribe: Granted}},
	}})
	connect := func(user string, grants ...Grant) *Subscriber {
		s, err := f.hub.Connect(Connecting{Session: user, Identity: Identity{User: user, Anonymous: user[0] == '~', Grants: grants}, Sink: newInbox()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	guest, user := connect("~guest"), connect("user")
	friend := connect("friend", Grant{"closed.a.*", ActSubscribe | ActPublish}, Grant{"ours.>", ActAll}, Grant{"open.>", ActAll})
	boss := connect("boss", Grant{">", ActAll})
	may := func(s *Subscriber, topic string) string {
		_, err := s.Subscribe(context.Background(), topic, SubscribeOptions{})
		refused := errors.Is(err, &Error{Code: CodeForbidden})
		if err != nil && !refused {
			t.Fatal(err)
		}
		_, err = s.Publish(context.Background(), "closed.b.c", Publication{Data: []byte("1")})
		return fmt.Sprint(!refused, err == nil)
	}
	for _, c := range []struct {
		who   *Subscriber
		topic string
		want  string // may subscribe to it; may publish to closed.b.c
	}{
		{guest, "open.a", "true false"}, {guest, "users.a", "false false"}, {guest, "closed.a.b", "false false"}, {guest, "ours.a", "false false"}, {guest, "else", "false false"},
		{user, "users.a", "true false"}, {user, "closed.a.b", "false false"},
		{friend, "closed.a.b", "true false"}, {friend, "closed.a.*", "true false"}, {friend, "closed.a.>", "false false"}, {friend, "closed.>", "false false"},
		{friend, "ours.a", "false false"}, {friend, "open.>", "true false"}, {friend, ">", "false false"}, {friend, "*.a", "false false"},
		{boss, "closed.>", "true true"}, {boss, "ours.a", "false true"}, {boss, ">", "false true"}, {boss, "else", "true true"}, {boss, "else.*", "true true"},
	} {
		if got := may(c.who, c.topic); got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.who.ID(), c.topic, got, c.want)
		}
	}
	// Who may not read history cannot get at it by resuming; what was missed is told as a gap.
	b := newInbox()
	s, err := f.hub.Connect(Connecting{Session: "s", Identity: Identity{User: "s", Grants: []Grant{{"closed.>", ActSubscribe}}}, Sink: b})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Subscribe(context.Background(), "closed.b.c", SubscribeOptions{Since: &Position{f.hub.broker.(*MemoryBroker).epoch, 0}})
	if err != nil || got.Recovered {
		t.Errorf("resumed with %+v, %v", got, err)
	}
	got.Begin()
	b.expect(t, fmt.Sprintf("closed.b.c gap expired 0-%d", got.Position.Offset))
	_, err = s.Subscribe(context.Background(), "closed.b.*", SubscribeOptions{Last: 1})
	f.refused(CodeForbidden, err)
}

func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b            string
		overlap, covers bool
	}{
		{">", "a.b", true, true}, {"a.*", "a.b", true, true}, {"a.*", "*.b", true, false}, {"a.b", "a.*", true, false}, {"a.>", "a", false, false},
		{"a.>", "a.b.c", true, true}, {"*.*", "a.>", true, false}, {"a", "b", false, false}, {"a.b.c", "a.*", false, false}, {"*", ">", true, false},
		{"a.*.c", "a.b.>", true, false}, {"a.*", "b.*", false, false}, {"*.>", "a.*.b", true, true},
	} {
		if got := overlaps(c.a, c.b); got != c.overlap || got != overlaps(c.b, c.a) {
			t.Errorf("%s and %s overlap: %v", c.a, c.b, got)
		}
		if got := Covers(c.a, c.b); got != c.covers {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
	}
}

// Rules change under those who are subscribed; counts go on.
func TestSetTopics(t *testing.T) {
	f := newFixture(t, Options{Topics: []Rule{{"a.>", TopicOptions{HistoryMessages: 5}}}})
	ann, a := f.connect("1", "ann")
	f.subscribe(ann, "a.x", SubscribeOptions{})
	f.subscribe(ann, "a.*", SubscribeOptions{})
	f.subscribe(ann, "b", SubscribeOptions{})
	f.publish(ann, "a.x", "1")
	a.setRoom(0)
	if err := f.hub.SetTopics([]Rule{{"a.>", TopicOptions{Subscribe: Nobody}}, {"b", TopicOptions{MaxBytes: 1}}}); err != nil {
		t.Fatal(err)
	}
	if f.hub.SetTopics([]Rule{{"a..b", TopicOptions{}}}) == nil || f.hub.SetTopics([]Rule{{"a", TopicOptions{MaxBytes: -1}}}) == nil {
		t.Error("bad rules are accepted")
	}
	a.setRoom(-1)
	ann.Ready()
	f.publish(ann, "a.x", "2")
	f.publish(ann, "b", "3")
	got := a.take()
	slices.Sort(got)
	want := []string{"a.* a.x ann: 1", "a.* unsubscribed forbidden", "a.x ann: 1", "a.x unsubscribed forbidden", "b ann: 3"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	_, err := ann.Publish(context.Background(), "b", data("10"))
	f.refused(CodeTooLarge, err)
	if r := f.hub.Stats().Rules; len(r) != 3 || r[0].Published != 2 || r[1].Published != 1 {
		t.Errorf("counts: %+v", r)
	}
}

func TestOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{HistoryMessages: 5, Presence: PresenceFull}))
		ann1, a1 := f.connect("1", "ann")
		ann2, a2 := f.connect("2", "ann")
		bob, b := f.connect("3", "bob")
		for _, s := range []*Subscriber{ann1, ann2, bob} {
			f.subscribe(s, "x", SubscribeOptions{})
		}
		f.subscribe(bob, "y", SubscribeOptions{})
		at := f.publish(bob, "z", "1")
		ctx := context.Background()
		topics := func(q TopicQuery) TopicPage { page, err := f.hub.Topics(ctx, q); f.check(err); return page }
		sessions := func(q SessionQuery) SessionPage { page, err := f.hub.Sessions(ctx, q); f.check(err); return page }
		unsubscribe := func(who Selector) int {
			n, err := f.hub.Unsubscribe(ctx, who, "x", Errorf(CodeForbidden, "go"))
			f.check(err)
			return n
		}
		disconnect := func(who Selector) int {
			n, err := f.hub.Disconnect(ctx, who, End{Code: EndDisconnected})
			f.check(err)
			return n
		}
		if page := topics(TopicQuery{}); fmt.Sprint(page.Topics) != fmt.Sprintf("[{x > 3 0 0} {y > 1 0 0} {z > 0 1 %d}]", at.Offset) || page.More {
			t.Errorf("topics: %+v", page)
		}
		if page := topics(TopicQuery{Limit: 1, After: "x"}); len(page.Topics) != 1 || page.Topics[0].Name != "y" || !page.More {
			t.Errorf("a page of topics: %+v", page)
		}
		if page := topics(TopicQuery{Pattern: "a.b"}); len(page.Topics) != 0 {
			t.Errorf("no topics: %+v", page)
		}
		page := sessions(SessionQuery{Selector: Selector{User: "ann"}, Limit: 1})
		if len(page.Sessions) != 1 || !page.More || page.Sessions[0].ID != "1" || page.Sessions[0].User != "ann" || !slices.Equal(page.Sessions[0].Topics, []string{"x"}) {
			t.Errorf("sessions: %+v", page)
		}
		if page := sessions(SessionQuery{After: "1"}); len(page.Sessions) != 2 || page.More {
			t.Errorf("sessions after the first: %+v", page)
		}
		if !f.hub.IsSubscribed("2", "x") || f.hub.IsSubscribed("2", "y") || f.hub.IsSubscribed("?", "x") {
			t.Error("IsSubscribed is wrong")
		}
		if n := unsubscribe(Selector{User: "ann", Session: "2"}); n != 1 {
			t.Errorf("%d were unsubscribed", n)
		}
		a2.expect(t, "x unsubscribed forbidden")
		if n := unsubscribe(Selector{}) + disconnect(Selector{}); n != 0 {
			t.Errorf("an empty selector picks %d", n)
		}
		if n := disconnect(Selector{User: "ann"}); n != 2 {
			t.Errorf("%d were disconnected", n)
		}
		synctest.Wait()
		if a1.end == nil || a2.end == nil || b.ending() != nil || a1.ending().Code != EndDisconnected {
			t.Errorf("ended: %v, %v, %v", a1.ending(), a2.ending(), b.ending())
		}
		_, err := ann1.Publish(context.Background(), "x", data("1"))
		f.refused(CodeUnavailable, err)
		_, err = ann1.Subscribe(context.Background(), "y", SubscribeOptions{})
		f.refused(CodeUnavailable, err)
		f.hub.Close()
		synctest.Wait()
		if b.end == nil || b.ending().Code != EndRestart || !b.ending().Reconnect {
			t.Errorf("ended with %v", b.ending())
		}
		_, err = f.hub.Connect(Connecting{Session: "4", Identity: Identity{User: "u"}, Sink: b})
		f.refused(CodeUnavailable, err)
	})
}

func TestIdentityEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		b := newInbox()
		s, err := f.hub.Connect(Connecting{Session: "1", Identity: Identity{User: "ann", Expires: time.Now().Add(time.Minute)}, Sink: b})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f.refused(CodeTokenInvalid, s.SetIdentity(Identity{User: "bob"}))
		time.Sleep(50 * time.Second)
		if err := s.SetIdentity(Identity{User: "ann", Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if b.ending() != nil {
			t.Fatal("ended too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if b.end == nil || b.ending().Code != EndTokenExpired {
			t.Errorf("ended with %v", b.ending())
		}
		for _, user := range []string{"", "a\x00", "\xff", string(make([]byte, 256))} {
			_, err := f.hub.Connect(Connecting{Session: "2", Identity: Identity{User: user}, Sink: b})
			f.refused(CodeBadRequest, err)
		}
	})
}

func (f *fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Error(err)
	}
}

// A hook that panics, or fails, refuses and harms nothing.
func TestHooks(t *testing.T) {
	f := newFixture(t, Options{Hooks: Hooks{
		Subscribe: func(c *SubscribeCall) error {
			if c.Topic == "bad" {
				panic("no")
			}
			return nil
		},
		Publish: func(c *PublishCall) error {
			switch string(c.Publication.Data) {
			case "1":
				return errors.New("secret")
			case "2":
				return Errorf("shop.closed", "come tomorrow")
			case "3":
				c.Publication.Data, c.Publication.Meta = []byte("4"), []byte(`{"by":"hook"}`)
			case "5":
				c.Publication.Data = []byte("{")
			}
			return nil
		},
	}})
	ann, a := f.connect("1", "ann")
	_, err := ann.Subscribe(context.Background(), "bad", SubscribeOptions{})
	f.refused(CodeInternal, err)
	f.subscribe(ann, "good", SubscribeOptions{})
	for text, code := range map[string]Code{"1": CodeInternal, "2": "shop.closed", "5": CodeInternal} {
		_, err := ann.Publish(context.Background(), "good", data(text))
		f.refused(code, err)
	}
	f.publish(ann, "good", "3")
	a.expect(t, "good ann: 4")
}

// Whoever comes back soon after a lost connection was never away for the others.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, one(TopicOptions{Presence: PresenceFull}))
		ann, a := f.connect("1", "ann")
		f.subscribe(ann, "x", SubscribeOptions{Presence: true})
		for _, back := range []time.Duration{time.Second, 10 * time.Second} {
			bob, _ := f.connect("2", "bob")
			f.subscribe(bob, "x", SubscribeOptions{})
			f.subscribe(bob, "y", SubscribeOptions{})
			bob.Suspend(5 * time.Second)
			if s := f.hub.Stats(); s.Subscribers != 1 || s.Subscriptions != 1 || len(f.hub.sessions(SessionQuery{}).Sessions) != 1 {
				t.Errorf("while it is away: %+v", s)
			}
			f.publish(ann, "x", "1") // is not delivered to it
			time.Sleep(back)
			again, b := f.connect("2", "bob")
			f.subscribe(again, "x", SubscribeOptions{})
			b.expect(t)
			again.Close()
			again.Suspend(time.Second) // does nothing
		}
		time.Sleep(time.Minute)
		a.expect(t, "x ann join", "x bob join", "x ann: 1", "x bob leave", "x bob join", "x ann: 1", "x bob leave", "x bob join", "x bob leave")
		other, _ := f.connect("3", "carl")
		f.subscribe(other, "x", SubscribeOptions{})
		other.Suspend(5 * time.Second)
		thief, _ := f.connect("3", "eve") // the same session, another user
		f.subscribe(thief, "x", SubscribeOptions{})
		time.Sleep(time.Minute)
		a.expect(t, "x carl join", "x carl leave", "x eve join")
		if len(f.hub.subscribers) != 2 || f.hub.stats.suspended != 0 {
			t.Errorf("%d subscribers, %d of them suspended", len(f.hub.subscribers), f.hub.stats.suspended)
		}
	})
}

// Pages of all nodes make one, which leaves out nothing that comes before its end, however little a node answers at a time.
func TestPagesOfNodes(t *testing.T) {
	b := NewMemoryBroker(MemoryOptions{})
	nodes := []*fixture{newFixture(t, Options{Broker: b}), newFixture(t, Options{Broker: b}), newFixture(t, Options{Broker: b})}
	const people, topics = 60, 200
	want := 0
	for i := range people {
		f := nodes[i%3]
		s, _ := f.connect(fmt.Sprintf("s%03d", i), "ann")
		for j := range topics {
			name := fmt.Sprintf("t%03d.%s", (i+j)%(2*topics), strings.Repeat("x", 200))
			if _, err := s.open(name, false); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	var ids []string
	pages := 0
	for q := (SessionQuery{Limit: maxPage}); ; pages++ {
		page, err := nodes[0].hub.Sessions(t.Context(), q)
		if err != nil || len(page.Sessions) == 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, s := range page.Sessions {
			ids = append(ids, s.ID)
			if len(s.Topics) != topics {
				t.Errorf("%s has %d topics", s.ID, len(s.Topics))
			}
		}
		if q.After = ids[len(ids)-1]; !page.More {
			break
		}
	}
	if len(ids) != people || !slices.IsSorted(ids) || pages < 1 {
		t.Errorf("%d sessions, %d pages and one: %v", len(ids), pages, ids)
	}
	names, subscribers := map[string]bool{}, 0
	for q := (TopicQuery{Pattern: "*.*", Limit: 7}); ; {
		page, err := nodes[1].hub.Topics(t.Context(), q)
		if err != nil || len(page.Topics) == 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, info := range page.Topics {
			if names[info.Name] {
				t.Errorf("%s is there twice", info.Name)
			}
			names[info.Name] = true
			subscribers += info.Subscribers
			q.After = info.Name
		}
		if !page.More {
			break
		}
	}
	if subscribers != want {
		t.Errorf("%d subscriptions, want %d", subscribers, want)
	}
	if page, err := nodes[0].hub.Sessions(t.Context(), SessionQuery{Selector: Selector{Here: true}}); err != nil || len(page.Sessions) != people/3 {
		t.Errorf("here: %d, %v", len(page.Sessions), err)
	}
	if n, err := nodes[2].hub.Disconnect(t.Context(), Selector{User: "ann", Here: true}, End{Code: EndDisconnected}); n != people/3 || err != nil {
		t.Errorf("%d ended here, %v", n, err)
	}
	if n, err := nodes[0].hub.Disconnect(t.Context(), Selector{User: "ann"}, End{Code: EndDisconnected}); n != people*2/3 || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
}

// A session with more topics than go into one answer is told with as many as do.
func TestPageWithoutRoom(t *testing.T) {
	page := SessionPage{Sessions: []SessionInfo{{ID: "1"}, {ID: "2"}}}
	for range maxPage {
		page.Sessions[0].Topics = append(page.Sessions[0].Topics, strings.Repeat("<", 200))
	}
	var got SessionPage
	if p := page.fitting(); len(p) > maxAnswer || json.Unmarshal(p, &got) != nil || len(got.Sessions) != 1 || !got.More || len(got.Sessions[0].Topics) == 0 {
		t.Errorf("%d sessions, more: %v", len(got.Sessions), got.More)
	}
	many := TopicPage{}
	for i := range maxPage {
		many.Topics = append(many.Topics, TopicInfo{Name: fmt.Sprint(i, strings.Repeat("<", 200))})
	}
	var fits TopicPage
	if p := many.fitting(); len(p) > maxAnswer || json.Unmarshal(p, &fits) != nil || len(fits.Topics) == 0 || !fits.More {
		t.Errorf("%d topics, more: %v", len(fits.Topics), fits.More)
	}
}

// Nodes that do not answer are an error, and the rest counts.
func TestTornCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{Broker: &dead{MemoryBroker: NewMemoryBroker(MemoryOptions{})}})
		ann, _ := f.connect("1", "ann")
		f.subscribe(ann, "x", SubscribeOptions{})
		began := time.Now()
		sessions, err := f.hub.Sessions(t.Context(), SessionQuery{})
		if len(sessions.Sessions) != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sessions: %+v, %v", sessions, err)
		}
		topics, err := f.hub.Topics(t.Context(), TopicQuery{})
		if len(topics.Topics) != 1 || err == nil {
			t.Errorf("topics: %+v, %v", topics, err)
		}
		if n, err := f.hub.Unsubscribe(t.Context(), Selector{User: "ann"}, "x", Errorf(CodeForbidden, "go")); n != 1 || err == nil {
			t.Errorf("%d unsubscribed, %v", n, err)
		}
		if n, err := f.hub.Disconnect(t.Context(), Selector{User: "ann"}, End{}); n != 1 || err == nil {
			t.Errorf("%d disconnected, %v", n, err)
		}
		if took := time.Since(began); took != 4*commandTimeout {
			t.Errorf("it took %v", took)
		}
	})
}
