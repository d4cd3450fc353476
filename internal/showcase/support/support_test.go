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
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

func TestConversation(t *testing.T) {
	shop := openShop(t, nil, true)
	vera, ann, bob := shop.enter("~v", "Vera"), shop.enter("~a", "Ann"), shop.enter("~b", "Bob")
	for _, who := range []someone{ann, bob} {
		if err := who.Listen(topicDesk, 0); err != nil {
			t.Fatal(err)
		}
	}
	id := vera.begin()
	vera.mustDo(id, event{Kind: text, By: visitor, Text: " hello\n"})
	c := ann.lists()[id]
	if c.Visitor != "Vera" || c.Agent != nil || c.Last.Text != "hello" || len(c.Unread.Agent) != 1 || c.Closed {
		t.Fatalf("in the queue: %+v", c)
	}

	showcasetest.WantCode(t, ann.Say(topicTalk+id, event{Kind: text, By: agent, Text: "hi"}), codeNotYours, "speaking before taking")
	ann.mustDo(id, event{Kind: taken}, event{Kind: read, By: agent, UpTo: c.Offset}, event{Kind: text, By: agent, Text: "hi"})
	c = bob.lists()[id]
	if c.Agent == nil || c.Agent.Name != "Ann" || len(c.Unread.Agent) != 0 || len(c.Unread.Visitor) != 1 {
		t.Fatalf("taken: %+v", c)
	}
	showcasetest.WantCode(t, bob.Say(topicTalk+id, event{Kind: taken}), codeTaken, "taking what is taken")
	showcasetest.WantCode(t, bob.Say(topicTalk+id, event{Kind: handed}), codeNotYours, "handing over what somebody else has")
	showcasetest.WantCode(t, ann.Say(topicTalk+id, event{Kind: handed, To: &person{User: "~nobody"}}), codeNoAgent, "handing to who is not there")

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
	showcasetest.WantCode(t, ann.Say(topicTalk+id, event{Kind: text, By: agent, Text: "wait"}), codeClosed, "speaking behind the end")
	if c = ann.lists()[id]; !c.Closed || c.Agent.Name != "Ann" {
		t.Fatalf("closed: %+v", c)
	}
}

// Whoever publishes first has it, on whichever node; the other's event is in the log and changes nothing. Both get past the hooks here, as
// they may when neither node has heard of the other's yet.
func TestTakenAtTheSameMoment(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	first := openShop(t, broker, true)
	nodes := []shop{{showcasetest.OpenBare(t, broker, New)}, {showcasetest.OpenBare(t, broker, New)}}
	agents := []someone{nodes[0].enter("~a", "Ann"), nodes[1].enter("~b", "Bob")}
	for range 100 {
		topic := topicTalk + rand.Text()
		if _, err := showcase.JSON(t.Context(), first.Hub, topic, "", event{Kind: opened, Name: "Vera", User: "~v"}); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		for _, agent := range agents {
			both.Go(func() {
				if err := agent.Say(topic, event{Kind: taken}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		log, err := first.Hub.History(t.Context(), topic, hub.HistoryQuery{})
		if err != nil || len(log.Messages) != 3 {
			t.Fatalf("%d events: %v", len(log.Messages), err)
		}
		for _, node := range nodes {
			states := showcase.Fold[conversation]{Apply: apply}
			c, _, err := states.State(t.Context(), node.Hub, topic)
			if err != nil || c.Agent == nil || c.Agent.User != log.Messages[1].From.User {
				t.Fatalf("%+v has it, and not %s who was first: %v", c.Agent, log.Messages[1].From.User, err)
			}
		}
	}
}

func TestRestart(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	before := openShop(t, broker, true)
	vera, ann := before.enter("~v", "Vera"), before.enter("~a", "Ann")
	id, other := vera.begin(), vera.begin()
	vera.mustDo(id, event{Kind: text, By: visitor, Text: "one"})
	ann.mustDo(id, event{Kind: taken}, event{Kind: text, By: agent, Text: "two"})
	ann.mustDo(other, event{Kind: taken}, event{Kind: closed, By: agent})
	want := showcasetest.JSON(t, ann.lists())
	before.End()

	after := openShop(t, broker, true)
	cid, later := after.enter("~c", "Cid"), after.enter("~v2", "Vera")
	if got := showcasetest.JSON(t, cid.lists()); string(got) != string(want) {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", got, want)
	}
	showcasetest.WantCode(t, later.Say(topicTalk+id, event{Kind: text, By: visitor, Text: "again"}), codeNotYours, "another user, so far")
	later.mustDo(id, event{Kind: back}, event{Kind: text, By: visitor, Text: "again"})
	if c := cid.lists()[id]; len(c.Visitors) != 2 || c.Last.Text != "again" {
		t.Errorf("back again: %+v", c)
	}
}

func TestBadInput(t *testing.T) {
	shop := openShop(t, nil, false)
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
		showcasetest.WantCode(t, vera.Say(topicTalk+id, data), code, data)
	}
	showcasetest.WantCode(t, eve.Say(topicTalk+id, event{Kind: text, By: visitor, Text: "x"}), codeNotYours, "speaking as somebody else")
	showcasetest.WantCode(t, eve.Say(topicTalk+"guessed", event{Kind: back}), codeUnknown, "a guessed id")
	showcasetest.WantCode(t, eve.Listen(topicTalk+"guessed", 0), codeUnknown, "hearing a guessed id")
	showcasetest.WantCode(t, eve.Say(topicLive+id, `{"typing":1}`), codeBad, "typing what")
	showcasetest.WantCode(t, eve.Say(topicLive+id, `{"typing":true,"by":"visitor"}`), codeNotYours, "typing as somebody else")
	for topic, code := range map[string]hub.Code{
		topicTalk + "*": "demo.not-operator", topicDesk: "demo.not-operator", topicLive + "*": hub.CodeForbidden, prefix + ">": hub.CodeForbidden,
		topicTalk + ">": hub.CodeForbidden, prefix + "other": hub.CodeForbidden,
	} {
		showcasetest.WantCode(t, eve.Listen(topic, 0), code, topic)
	}
	showcasetest.WantCode(t, eve.Ask(prefix+"desk", nil, nil), "demo.not-operator", "the list")
	showcasetest.WantCode(t, shop.enter("~m", "<b>").Ask(prefix+"open", nil, nil), "demo.name-malformed", "markup in a name")
	for range perVisitor {
		eve.begin()
	}
	showcasetest.WantCode(t, eve.Ask(prefix+"open", nil, nil), hub.CodeRate, "one conversation after the other")
	if err := vera.Say(topicTalk+id, event{Kind: text, By: visitor, Text: "<b>&"}); err != nil {
		t.Errorf("what is no markup: %v", err)
	}
}

func TestTooLong(t *testing.T) {
	c := conversation{Opened: time.Now(), Visitors: []string{"~v"}, Agent: &person{"~a", "Ann"}, events: maxEvents - reserved}
	showcasetest.WantCode(t, refusal(&c, &event{Kind: text, By: visitor, Text: "x"}, "~v"), codeTooLong, "a text")
	if err := refusal(&c, &event{Kind: closed, By: visitor}, "~v"); err != nil {
		t.Errorf("the end: %v", err)
	}
	c.events = maxEvents
	showcasetest.WantCode(t, refusal(&c, &event{Kind: read, By: visitor}, "~v"), codeTooLong, "a mark")
	c = conversation{Opened: time.Now(), Visitors: []string{"~v"}, bytes: maxBytes}
	showcasetest.WantCode(t, refusal(&c, &event{Kind: text, By: visitor, Text: "x"}, "~v"), codeTooLong, "a text")
}

func TestDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop := openShop(t, nil, true)
		vera, ann, bob := shop.enter("~v", "Vera"), shop.enter("~a", "Ann"), shop.enter("~b", "Bob")
		if err := vera.Listen(topicState, 0); err != nil {
			t.Fatal(err)
		}
		_ = ann.Listen(topicDesk, 0)
		vera.Await(topicState, `{"agents":1}`)
		id, other := vera.begin(), vera.begin()
		ann.mustDo(id, event{Kind: taken})
		_ = bob.Listen(topicDesk, 0)
		bob.mustDo(other, event{Kind: taken})
		vera.Await(topicState, `{"agents":2}`)
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
