package console

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const key = "the key of the tests"

// open makes a node with the console, of a broker that may have others.
func open(t *testing.T, name string, broker hub.Broker) (*hub.Hub, *slog.Logger) {
	t.Helper()
	journal := &showcase.Journal{}
	env := &showcase.Env{
		Logger: slog.New(journal.Handler(slog.DiscardHandler)), Journal: journal, Node: name, Connections: func() int { return 7 },
		Operators: &showcase.Operators{Everybody: func() bool { return false }, Valid: func(given string) bool { return given == key }},
	}
	show, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: show.Rules(), Hooks: show.Hooks(hub.Hooks{}), Broker: broker, Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { show.Close(); h.Close() })
	if err := show.Start(h); err != nil {
		t.Fatal(err)
	}
	return h, env.Logger
}

// client is a subscriber that keeps what it gets.
type client struct {
	*hub.Subscriber
	mu   sync.Mutex
	shut bool // it has no room
	got  []*hub.Message
	end  *hub.End
}

func (c *client) Deliver(m *hub.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shut {
		c.got = append(c.got, m)
	}
	return !c.shut
}

func (c *client) End(why hub.End) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = &why
}

func (c *client) received() ([]*hub.Message, *hub.End) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got, c.end
}

func join(t *testing.T, h *hub.Hub, name string) *client {
	t.Helper()
	c := &client{}
	var err error
	if c.Subscriber, err = h.Connect(hub.Connecting{Session: name, Identity: hub.Identity{User: "~" + name, Anonymous: true}, Sink: c}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) listen(t *testing.T, topic string) error {
	t.Helper()
	s, err := c.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
	if err == nil {
		s.Begin()
	}
	return err
}

// ask asks the console; into may be nil.
func (c *client) ask(t *testing.T, method, question string, into any) error {
	t.Helper()
	pending, err := c.Request(t.Context(), method, []byte(question), false)
	if err != nil {
		return err
	}
	reply, err := pending.Wait()
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(reply.Data, into)
}

// operator comes in with the key.
func operator(t *testing.T, h *hub.Hub, name string) *client {
	t.Helper()
	c := join(t, h, name)
	if err := c.ask(t, "demo.operator", `{"key":"`+key+`"}`, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantCode(t *testing.T, what string, err error, code hub.Code) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestNothingWithoutKey: no request, no topic, no pattern and no history tells anything.
func TestNothingWithoutKey(t *testing.T) {
	h, _ := open(t, "a", nil)
	c := join(t, h, "visitor")
	for _, method := range []string{"past", "sessions", "topics", "errors", "disconnect", "unsubscribe", "publish"} {
		for _, question := range []string{`{"session":"visitor","topic":"a","data":"1"}`, `{}`, `[]`, ``} {
			wantCode(t, method, c.ask(t, prefix+method, question, nil), "demo.not-operator")
		}
	}
	for _, topic := range []string{topicFigures, prefix + ">", prefix + "*", "demo.console.x", "demo.*.figures", "demo.>", "*.*.figures", ">"} {
		if c.listen(t, topic) == nil {
			t.Errorf("a visitor listens to %s", topic)
		}
	}
	wantCode(t, "publish", errorOf(c.Publish(t.Context(), topicFigures, hub.Publication{Data: []byte("1")})), hub.CodeForbidden)
	wantCode(t, "history", errorOf(c.History(t.Context(), topicFigures, hub.HistoryQuery{})), hub.CodeNoHistory)
	wantCode(t, "the wrong key", c.ask(t, "demo.operator", `{"key":"another"}`, nil), "demo.not-operator")
	wantCode(t, "an operator and a pattern", operator(t, h, "op").listen(t, prefix+">"), hub.CodeForbidden)
}

func errorOf[T any](_ T, err error) error { return err }

// TestFigures of two nodes are told every second, while somebody looks.
func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{})
		a, _ := open(t, "a", broker)
		b, logger := open(t, "b", broker)
		logger.Warn("something is odd")
		op := operator(t, a, "op")
		if err := op.listen(t, topicFigures); err != nil {
			t.Fatal(err)
		}
		reader := join(t, b, "reader")
		if err := reader.listen(t, "news"); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if _, err := b.Publish(t.Context(), "news", hub.Publication{Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		got, _ := op.received()
		if len(got) < 3 || len(got) > 12 {
			t.Fatalf("%d figures in 5 s", len(got))
		}
		var f figures
		if err := json.Unmarshal(got[len(got)-1].Data, &f); err != nil {
			t.Fatal(err)
		}
		if len(f.Nodes) != 2 || f.Nodes[0].Name != "a" || f.Nodes[1].Name != "b" || f.Missing != "" {
			t.Fatalf("%+v", f)
		}
		if f.Sum.Sessions != 2 || f.Sum.Connections != 14 || f.Nodes[1].Errors != 1 || f.Nodes[0].Memory == 0 {
			t.Errorf("%+v", f)
		}
		if f.Sum.Published < 9 || f.Sum.Published > 16 || f.Sum.Delivered < 9 {
			t.Errorf("%+v", f.Sum)
		}
		var past struct{ Sums []sum }
		if err := operator(t, b, "op2").ask(t, prefix+"past", `{}`, &past); err != nil || len(past.Sums) < 3 {
			t.Errorf("%d points; %v", len(past.Sums), err)
		}
		op.Close()
		time.Sleep(30 * time.Second)
		before := a.Stats()
		time.Sleep(time.Minute)
		for i, r := range a.Stats().Rules {
			if r.Published != before.Rules[i].Published {
				t.Errorf("%s is told to nobody", r.Pattern)
			}
		}
	})
}

// TestSlow: for whom messages wait is told.
func TestSlow(t *testing.T) {
	h, _ := open(t, "a", nil)
	c := join(t, h, "slow")
	if err := c.listen(t, "news"); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.shut = true
	c.mu.Unlock()
	for range 5 {
		if _, err := h.Publish(t.Context(), "news", hub.Publication{Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	app := &console{env: &showcase.Env{Hub: h, Journal: &showcase.Journal{}}}
	if n := app.here(); len(n.Slow) != 1 || n.Slow[0] != (slow{"slow", "~slow", 1, 5}) || n.Queued != 5 {
		t.Errorf("%+v", n)
	}
}

func TestSum(t *testing.T) {
	before := &figures{Time: 1000, Nodes: []node{
		{Name: "a", Began: 1, Rules: []rule{{Published: 10}}},
		{Name: "b", Began: 1, Rules: []rule{{Published: 500}}},
	}}
	now := &figures{Time: 3000, Nodes: []node{
		{Name: "a", Began: 1, Rules: []rule{{Published: 30}}},
		{Name: "b", Began: 2, Rules: []rule{{Published: 7}}}, // it was started again
		{Name: "c", Began: 1, Rules: []rule{{Published: 9000}}},
	}}
	if now.add(before); now.Sum.Published != 10 {
		t.Errorf("%+v", now.Sum)
	}
	if fewer := (&figures{Time: 4000, Nodes: []node{{Name: "a", Began: 1}}}); true {
		if fewer.add(now); fewer.Sum.Published != 0 {
			t.Errorf("%+v", fewer.Sum)
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	var r record
	for i := range 2 * memory {
		r.remember(sum{Time: int64(i)})
	}
	if sums := r.remembered(); len(sums) != memory || sums[memory-1].Time != 2*memory-1 {
		t.Errorf("%d points", len(sums))
	}
}

// TestLists: sessions and topics of all nodes.
func TestLists(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	a, _ := open(t, "a", broker)
	b, logger := open(t, "b", broker)
	op, far := operator(t, a, "op"), join(t, b, "far")
	if err := far.listen(t, "news.today"); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Sessions []sessionInfo
		More     bool
	}
	if err := op.ask(t, prefix+"sessions", `{}`, &list); err != nil || len(list.Sessions) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	if first := list.Sessions[0]; first.Session != "far" || first.Topics[0] != "news.today" {
		t.Errorf("%+v", first)
	}
	err := op.ask(t, prefix+"sessions", `{"limit":1,"after":"far"}`, &list)
	if err != nil || len(list.Sessions) != 1 || list.Sessions[0].Session != "op" || list.More {
		t.Errorf("%+v %v", list, err)
	}
	var topics struct{ Topics []topicInfo }
	if err := op.ask(t, prefix+"topics", `{"pattern":"news.*"}`, &topics); err != nil || len(topics.Topics) != 1 || topics.Topics[0].Subscribers != 1 {
		t.Errorf("%+v %v", topics, err)
	}
	wantCode(t, "a pattern", op.ask(t, prefix+"topics", `{"pattern":"a b"}`, nil), codeBadTopic)
	wantCode(t, "a limit", op.ask(t, prefix+"sessions", `{"limit":-1}`, nil), hub.CodeBadRequest)
	wantCode(t, "a limit", op.ask(t, prefix+"topics", `{"limit":100000}`, nil), hub.CodeBadRequest)

	logger.Error("it broke", "what", "the bus")
	var log struct{ Lines []nodeLine }
	if err := op.ask(t, prefix+"errors", `{}`, &log); err != nil || len(log.Lines) != 1 {
		t.Fatalf("%+v %v", log, err)
	}
	if line := log.Lines[0]; line.Node != "b" || line.Text != "it broke what=the bus" {
		t.Errorf("%+v", line)
	}
}

// TestActions on another node.
func TestActions(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	a, _ := open(t, "a", broker)
	b, _ := open(t, "b", broker)
	op, far := operator(t, a, "op"), join(t, b, "far")
	if err := far.listen(t, "news"); err != nil {
		t.Fatal(err)
	}
	var sent published
	if err := op.ask(t, prefix+"publish", `{"topic":"news","data":"{\"text\": \"hello\"}"}`, &sent); err != nil || sent.Subscribers != 1 {
		t.Errorf("%+v %v", sent, err)
	}
	if got, _ := far.received(); len(got) != 1 || string(got[0].Data) != `{"text": "hello"}` {
		t.Errorf("%v", got)
	}
	var count done
	if err := op.ask(t, prefix+"unsubscribe", `{"session":"far","topic":"news","message":"enough"}`, &count); err != nil || count.Count != 1 {
		t.Errorf("%+v %v", count, err)
	}
	if got, _ := far.received(); len(got) != 2 || got[1].Kind != hub.KindUnsubscribed || got[1].Reason.Message != "enough" {
		t.Errorf("%v", got)
	}
	wantCode(t, "again", op.ask(t, prefix+"unsubscribe", `{"session":"far","topic":"news"}`, nil), codeNoSubscription)
	if err := op.ask(t, prefix+"disconnect", `{"user":"~far","reconnect":true}`, &count); err != nil || count.Count != 1 {
		t.Errorf("%+v %v", count, err)
	}
	for range 1000 {
		if _, end := far.received(); end != nil {
			if end.Code != hub.EndDisconnected || !end.Reconnect || end.Message == "" {
				t.Errorf("%+v", end)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("far was not told of its end")
}

// TestBadInput is refused with words, and nothing happens.
func TestBadInput(t *testing.T) {
	h, _ := open(t, "a", nil)
	op := operator(t, h, "op")
	for _, c := range []struct {
		method, question string
		code             hub.Code
	}{
		{"disconnect", `{}`, codeNobody},
		{"disconnect", `{"session":"none"}`, codeNoSession},
		{"disconnect", `{"session":7}`, hub.CodeBadRequest},
		{"disconnect", `{"session":"none","message":"` + strings.Repeat("x", maxText+1) + `"}`, codeTextTooLong},
		{"unsubscribe", `{"topic":"a"}`, codeNobody},
		{"unsubscribe", `{"session":"op","topic":""}`, codeBadTopic},
		{"unsubscribe", `{"session":"op","topic":"a"}`, codeNoSubscription},
		{"publish", `{"topic":"a b","data":"1"}`, codeBadTopic},
		{"publish", `{"topic":"$hub.x","data":"1"}`, codeBadTopic},
		{"publish", `{"topic":"a.*","data":"1"}`, codeBadTopic},
		{"publish", `{"topic":"a","data":"{no"}`, codeBadJSON},
		{"publish", `{"topic":"a","data":""}`, codeBadJSON},
		{"publish", `{"topic":"a","data":"\"` + strings.Repeat("x", 70_000) + `\""}`, hub.CodeTooLarge},
		{"publish", `[`, hub.CodeBadRequest},
	} {
		err := op.ask(t, prefix+c.method, c.question, nil)
		wantCode(t, c.method+" "+c.question[:min(60, len(c.question))], err, c.code)
		if known, ok := errors.AsType[*hub.Error](err); ok && len(known.Message) < 10 {
			t.Errorf("%s is refused with %q", c.question, known.Message)
		}
	}
	if _, end := op.received(); end != nil {
		t.Errorf("the operator was disconnected: %+v", end)
	}
}
