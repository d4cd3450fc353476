package support

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

func TestConversation(t *testing.T) {
	shop, _ := openShop(t, nil, true)
	vera, ann, bob := shop.enter("~v", "Vera"), shop.enter("~a", "Ann"), shop.enter("~b", "Bob")
	for _, who := range []*someone{ann, bob} {
		if err := who.subscribe(topicDesk); err != nil {
			t.Fatal(err)
		}
	}
	id := vera.begin()
	vera.mustDo(id, event{Kind: text, By: visitor, Text: " hello\n"})
	c := ann.lists()[id]
	if c.Visitor != "Vera" || c.Agent != nil || c.Last.Text != "hello" || len(c.Unread.Agent) != 1 || c.Closed {
		t.Fatalf("in the queue: %+v", c)
	}

	wantCode(t, ann.publish(topicTalk+id, event{Kind: text, By: agent, Text: "hi"}), codeNotYours, "speaking before taking")
	ann.mustDo(id, event{Kind: taken}, event{Kind: read, By: agent, UpTo: c.Offset}, event{Kind: text, By: agent, Text: "hi"})
	c = bob.lists()[id]
	if c.Agent == nil || c.Agent.Name != "Ann" || len(c.Unread.Agent) != 0 || len(c.Unread.Visitor) != 1 {
		t.Fatalf("taken: %+v", c)
	}
	wantCode(t, bob.publish(topicTalk+id, event{Kind: taken}), codeTaken, "taking what is taken")
	wantCode(t, bob.publish(topicTalk+id, event{Kind: handed}), codeNotYours, "handing over what somebody else has")
	wantCode(t, ann.publish(topicTalk+id, event{Kind: handed, To: &person{User: "~nobody"}}), codeNoAgent, "handing to who is not there")

	ann.mustDo(id, event{Kind: handed, To: &person{User: "~b", Name: "Mallory"}})
	if c = ann.lists()[id]; c.Agent.Name != "Bob" {
		t.Fatalf("handed over to %+v", c.Agent)
	}
	bob.mustDo(id, event{Kind: handed})
	if c = ann.lists()[id]; c.Agent != nil {
		t.Fatalf("back in the queue, but with %+v", c.Agent)
	}
	bob.mustDo(id, event{Kind: taken})
	ann.mustDo(id, event{Kind: taken, From: "~b"}) // as from a colleague who is away
	vera.mustDo(id, event{Kind: closed, By: visitor})
	wantCode(t, ann.publish(topicTalk+id, event{Kind: text, By: agent, Text: "wait"}), codeClosed, "speaking behind the end")
	if c = ann.lists()[id]; !c.Closed || c.Agent.Name != "Ann" {
		t.Fatalf("closed: %+v", c)
	}
}

// Whoever publishes first has it, on whichever node; the other's event is in the log and changes nothing. Both get past the hooks here, as
// they may when neither node has heard of the other's yet.
func TestTakenAtTheSameMoment(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	first, _ := openShop(t, broker, true)
	nodes := []*shop{bareShop(t, broker), bareShop(t, broker)}
	agents := []*someone{nodes[0].enter("~a", "Ann"), nodes[1].enter("~b", "Bob")}
	for range 100 {
		topic := topicTalk + rand.Text()
		if _, err := showcase.JSON(t.Context(), first.hub, topic, "", event{Kind: opened, Name: "Vera", User: "~v"}); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		for _, agent := range agents {
			both.Go(func() {
				if err := agent.publish(topic, event{Kind: taken}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		log, err := first.hub.History(t.Context(), topic, hub.HistoryQuery{})
		if err != nil || len(log.Messages) != 3 {
			t.Fatalf("%d events: %v", len(log.Messages), err)
		}
		for _, node := range nodes {
			states := showcase.Fold[conversation]{Apply: apply}
			c, _, err := states.State(t.Context(), node.hub, topic)
			if err != nil || c.Agent == nil || c.Agent.User != log.Messages[1].From.User {
				t.Fatalf("%+v has it, and not %s who was first: %v", c.Agent, log.Messages[1].From.User, err)
			}
		}
	}
}

func TestRestart(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	before, end := openShop(t, broker, true)
	vera, ann := before.enter("~v", "Vera"), before.enter("~a", "Ann")
	id, other := vera.begin(), vera.begin()
	vera.mustDo(id, event{Kind: text, By: visitor, Text: "one"})
	ann.mustDo(id, event{Kind: taken}, event{Kind: text, By: agent, Text: "two"})
	ann.mustDo(other, event{Kind: taken}, event{Kind: closed, By: agent})
	want := mustJSON(t, ann.lists())
	end()

	after, _ := openShop(t, broker, true)
	cid, later := after.enter("~c", "Cid"), after.enter("~v2", "Vera")
	if got := mustJSON(t, cid.lists()); string(got) != string(want) {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", got, want)
	}
	wantCode(t, later.publish(topicTalk+id, event{Kind: text, By: visitor, Text: "again"}), codeNotYours, "another user, so far")
	later.mustDo(id, event{Kind: back}, event{Kind: text, By: visitor, Text: "again"})
	if c := cid.lists()[id]; len(c.Visitors) != 2 || c.Last.Text != "again" {
		t.Errorf("back again: %+v", c)
	}
}

func TestBadInput(t *testing.T) {
	shop, _ := openShop(t, nil, false)
	vera, eve := shop.enter("~v", "Vera"), shop.enter("~e", "Eve")
	id := vera.begin()
	for data, code := range map[string]hub.Code{
		`[]`: codeBad, `{"kind":"open"}`: codeBad, `{"kind":"release","from":"~v"}`: codeBad, `{"kind":"text","text":"x"}`: codeBad,
		`{"kind":"text","by":"visitor","text":" "}`:                                      codeText,
		`{"kind":"text","by":"visitor","text":"a\u0000"}`:                                codeText,
		`{"kind":"text","by":"visitor","text":"` + strings.Repeat("界", maxText+1) + `"}`: codeText,
		`{"kind":"text","by":"agent","text":"x"}`:                                        "demo.not-operator",
		`{"kind":"take"}`: "demo.not-operator", `{"kind":"hand"}`: "demo.not-operator", `{"kind":"close","by":"agent"}`: "demo.not-operator",
	} {
		wantCode(t, vera.publish(topicTalk+id, data), code, data)
	}
	wantCode(t, eve.publish(topicTalk+id, event{Kind: text, By: visitor, Text: "x"}), codeNotYours, "speaking as somebody else")
	wantCode(t, eve.publish(topicTalk+"guessed", event{Kind: back}), codeUnknown, "a guessed id")
	wantCode(t, eve.subscribe(topicTalk+"guessed"), codeUnknown, "hearing a guessed id")
	wantCode(t, eve.publish(topicLive+id, `{"typing":1}`), codeBad, "typing what")
	wantCode(t, eve.publish(topicLive+id, `{"typing":true,"by":"visitor"}`), codeNotYours, "typing as somebody else")
	for topic, code := range map[string]hub.Code{
		topicTalk + "*": "demo.not-operator", topicDesk: "demo.not-operator", topicLive + "*": hub.CodeForbidden, prefix + ">": hub.CodeForbidden,
		topicTalk + ">": hub.CodeForbidden, prefix + "other": hub.CodeForbidden,
	} {
		wantCode(t, eve.subscribe(topic), code, topic)
	}
	var nothing any
	wantCode(t, eve.request("desk", nil, &nothing), "demo.not-operator", "the list")
	wantCode(t, shop.enter("~m", "<b>").request("open", nil, &nothing), "demo.name-malformed", "markup in a name")
	for range perVisitor {
		eve.begin()
	}
	wantCode(t, eve.request("open", nil, &nothing), hub.CodeRate, "one conversation after the other")
	if err := vera.publish(topicTalk+id, event{Kind: text, By: visitor, Text: "<b>&"}); err != nil {
		t.Errorf("what is no markup: %v", err)
	}
}

func TestTooLong(t *testing.T) {
	c := conversation{Opened: time.Now(), Visitors: []string{"~v"}, Agent: &person{"~a", "Ann"}, events: maxEvents - reserved}
	wantCode(t, refusal(&c, &event{Kind: text, By: visitor, Text: "x"}, "~v"), codeTooLong, "a text")
	if err := refusal(&c, &event{Kind: closed, By: visitor}, "~v"); err != nil {
		t.Errorf("the end: %v", err)
	}
	c.events = maxEvents
	wantCode(t, refusal(&c, &event{Kind: read, By: visitor}, "~v"), codeTooLong, "a mark")
	c = conversation{Opened: time.Now(), Visitors: []string{"~v"}, bytes: maxBytes}
	wantCode(t, refusal(&c, &event{Kind: text, By: visitor, Text: "x"}, "~v"), codeTooLong, "a text")
}

func TestDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop, end := openShop(t, nil, true)
		defer end()
		vera, ann, bob := shop.enter("~v", "Vera"), shop.enter("~a", "Ann"), shop.enter("~b", "Bob")
		if err := vera.subscribe(topicState); err != nil {
			t.Fatal(err)
		}
		says := func(data string) func(*hub.Message) bool {
			return func(m *hub.Message) bool { return string(m.Data) == data }
		}
		_ = ann.subscribe(topicDesk)
		vera.waits("an agent", says(`{"agents":1}`))
		id, other := vera.begin(), vera.begin()
		ann.mustDo(id, event{Kind: taken})
		_ = bob.subscribe(topicDesk)
		bob.mustDo(other, event{Kind: taken})
		vera.waits("two agents", says(`{"agents":2}`))
		ann.Close()
		time.Sleep(patience - round)
		if c := bob.lists()[id]; c.Agent == nil {
			t.Fatalf("taken away after less than a minute: %+v", c)
		}
		time.Sleep(3 * round)
		all := bob.lists()
		if all[id].Agent != nil || all[other].Agent == nil {
			t.Fatalf("Ann has gone, and has %+v; Bob has %+v", all[id].Agent, all[other].Agent)
		}
	})
}
