package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

// guest is an operator or a person.
type guest struct {
	*showcasetest.Someone
	t *testing.T
}

func enter(p *showcasetest.Place, user, name string) guest {
	p.Helper()
	return guest{p.Enter(user, name), p.T}
}

// must asks for what is not to be refused.
func must[A any](w guest, method string, question any) A {
	w.t.Helper()
	var answer A
	if err := w.Ask(prefix+method, question, &answer); err != nil {
		w.t.Fatalf("%s: %v", method, err)
	}
	return answer
}

// reads subscribes to what is for somebody.
func (w guest) reads(at welcome) {
	w.t.Helper()
	topics := []string{topicAll, topicInbox + at.Inbox}
	for group := range at.Groups {
		topics = append(topics, topicGroup+group)
	}
	for _, topic := range topics {
		if err := w.Listen(topic, maxInbox); err != nil {
			w.t.Fatal(err)
		}
	}
}

func titles(data []string) string {
	var all []string
	for _, d := range data {
		var n notice
		_ = json.Unmarshal([]byte(d), &n)
		all = append(all, n.Title)
	}
	return strings.Join(all, " ")
}

func TestNowAndReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := showcasetest.Open(t, nil, true, New)
		olga, ann, bob := enter(place, "~o", "Olga"), enter(place, "~a", "Ann"), enter(place, "~b", "Bob")
		inAnn := must[welcome](ann, "enter", visit{Groups: []string{"kitchen"}})
		inBob := must[welcome](bob, "enter", visit{Groups: []string{"sales"}})
		ann.reads(inAnn)
		bob.reads(inBob)
		for _, to := range []target{{Kind: toAll}, {Kind: toGroup, ID: "kitchen"}, {Kind: toPerson, ID: inBob.ID, Name: "Mallory"}} {
			must[answerID](olga, "push", order{Title: to.Kind, To: to})
		}
		synctest.Wait()
		got := titles(ann.Seen(topicAll)) + " " + titles(ann.Seen(topicGroup+"kitchen")) + titles(ann.Seen(topicInbox+inAnn.Inbox))
		if got != "all group" {
			t.Errorf("Ann has got %q", got)
		}
		got = titles(bob.Seen(topicAll)) + titles(bob.Seen(topicGroup+"kitchen")) + " " + titles(bob.Seen(topicInbox+inBob.Inbox))
		if got != "all person" {
			t.Errorf("Bob has got %q", got)
		}
		all := must[overview](olga, "desk", nil)
		if len(all.People) != 2 || len(all.Notifications) != 3 {
			t.Fatalf("the desk: %+v", all)
		}
		for _, n := range all.Notifications {
			give := map[string]any{"inbox": inBob.Inbox, "delivered": []string{n.ID, n.ID}, "read": []string{n.ID}}
			must[struct{}](bob, "receipt", give)
			must[struct{}](bob, "receipt", give)
		}
		for _, n := range must[overview](olga, "desk", nil).Notifications {
			want := map[string]string{toAll: "2 1 1", toGroup: "1 0 0", toPerson: "1 1 1"}[n.Title]
			if got := fmt.Sprint(n.Audience, len(n.Delivered), len(n.Read)); got != want || n.To.Name == "Mallory" {
				t.Errorf("%s: audience, delivered, read %s, want %s; for %+v", n.Title, got, want, n.To)
			}
		}
		again := must[welcome](enter(place, "~b2", "Bob"), "enter", visit{Inbox: inBob.Inbox, Groups: []string{"sales"}})
		if again.ID != inBob.ID || len(again.Delivered) != 2 || len(again.Read) != 2 {
			t.Errorf("Bob comes back: %+v", again)
		}
	})
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{})
		// Two nodes that both send: a cluster at the moment in which one takes over from the other.
		place := showcasetest.Open(t, broker, true, New)
		showcasetest.Open(t, broker, true, New)
		olga, ann := enter(place, "~o", "Olga"), enter(place, "~a", "Ann")
		ann.reads(must[welcome](ann, "enter", visit{}))
		push := func(title string, in time.Duration) string {
			return must[answerID](olga, "push", order{Title: title, To: target{Kind: toAll}, At: time.Now().Add(in)}).ID
		}
		push("second", 2*time.Hour)
		cancelled := push("cancelled", 90*time.Minute)
		push("first", time.Minute)
		must[struct{}](olga, "cancel", answerID{cancelled})
		time.Sleep(59 * time.Second)
		if got := ann.Seen(topicAll); len(got) != 0 {
			t.Fatalf("before the time: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := titles(ann.Seen(topicAll)); got != "first" {
			t.Fatalf("after a minute: %q", got)
		}
		time.Sleep(3 * time.Hour)
		if got := titles(ann.Seen(topicAll)); got != "first second" {
			t.Fatalf("after three hours: %q", got)
		}
		first := must[overview](olga, "desk", nil).Notifications[2]
		showcasetest.WantCode(t, olga.Ask(prefix+"cancel", answerID{first.ID}, nil), codeSent, "cancelling what has been sent")
	})
}

// A server that ends before, between or after the steps of sending does what is left when it is back, and nothing twice.
func TestRestart(t *testing.T) {
	steps := map[string]func(p *showcasetest.Place, n notification){
		"before": func(*showcasetest.Place, notification) {},
		"due":    func(p *showcasetest.Place, n notification) { publish(p, n.Log, "due", event{Kind: due, Audience: 1}) },
		"passed": func(p *showcasetest.Place, n notification) {
			publish(p, n.Log, "due", event{Kind: due, Audience: 1})
			publish(p, topicAll, n.ID, n.notice)
		},
		"sent": func(p *showcasetest.Place, n notification) {
			publish(p, n.Log, "due", event{Kind: due, Audience: 1})
			publish(p, topicAll, n.ID, n.notice)
			publish(p, n.Log, "sent", event{Kind: sent})
		},
	}
	for name, done := range steps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := hub.NewMemoryBroker(hub.MemoryOptions{})
				before := showcasetest.Open(t, broker, true, New)
				olga := enter(before, "~o", "Olga")
				in := must[welcome](olga, "enter", visit{})
				must[answerID](olga, "push", order{Title: "x", To: target{Kind: toAll}, At: time.Now().Add(time.Hour)})
				planned := must[overview](olga, "desk", nil).Notifications[0]
				before.End()
				time.Sleep(time.Hour)
				between := showcasetest.OpenBare(t, broker, New)
				done(between, planned)
				time.Sleep(5 * time.Hour) // longer than any broker remembers ids

				after := showcasetest.Open(t, broker, true, New)
				ann := enter(after, "~a", "Ann")
				must[welcome](ann, "enter", visit{Inbox: in.Inbox})
				synctest.Wait()
				ann.reads(in)
				if got := titles(ann.Seen(topicAll)); got != "x" {
					t.Errorf("has got %q", got)
				}
				if n := must[overview](ann, "desk", nil).Notifications[0]; n.Sent.IsZero() || n.Audience != 1 {
					t.Errorf("the desk says %+v", n)
				}
			})
		})
	}
}

func publish(p *showcasetest.Place, topic, id string, what any) {
	p.Helper()
	if _, err := p.Hub.Publish(p.Context(), topic, hub.Publication{ID: id, Data: showcasetest.JSON(p.T, what)}); err != nil {
		p.Fatal(err)
	}
}

// What is first in the log holds.
func TestCancelledWhenDue(t *testing.T) {
	for want, events := range map[bool][]event{true: {{Kind: cancelled}, {Kind: due}}, false: {{Kind: due}, {Kind: cancelled}}} {
		n := notification{notice: notice{ID: "x"}}
		for _, e := range events {
			n = apply(n, &hub.Message{Data: showcasetest.JSON(t, e)})
		}
		if n.Cancelled != want || n.Due == want {
			t.Errorf("%+v: %+v", events, n)
		}
	}
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := showcasetest.Open(t, nil, true, New)
		ann := enter(place, "~a", "Ann")
		at := must[welcome](ann, "enter", visit{Groups: []string{"sales"}})
		time.Sleep(time.Minute)
		later := must[welcome](ann, "enter", visit{Inbox: at.Inbox, Groups: []string{"sales", "office"}})
		if !later.Groups["sales"].Equal(at.Groups["sales"]) || later.Groups["office"].Sub(at.Since) != time.Minute {
			t.Errorf("joined later: %+v, before %+v", later, at)
		}
		must[answerID](ann, "push", order{Title: "x", To: target{Kind: toGroup, ID: "kitchen"}})
		synctest.Wait()
		n := must[overview](ann, "desk", nil).Notifications[0]
		must[struct{}](ann, "receipt", map[string]any{"inbox": at.Inbox, "read": []string{n.ID}})
		if n = must[overview](ann, "desk", nil).Notifications[0]; n.Audience != 0 || len(n.Read) != 0 {
			t.Errorf("read by whom it is not for: %+v", n)
		}
	})
}

// What is empty is a list in JSON, and not null.
func TestEmptyLists(t *testing.T) {
	place := showcasetest.Open(t, nil, true, New)
	ann := enter(place, "~a", "Ann")
	if got := string(must[json.RawMessage](ann, "desk", nil)); got != `{"people":[],"notifications":[]}` {
		t.Errorf("nobody and nothing: %s", got)
	}
	if err := ann.Listen(topicDesk, 0); err != nil {
		t.Fatal(err)
	}
	in := must[welcome](ann, "enter", visit{})
	ann.Await(topicDesk, `{"id":"`+in.ID+`","name":"Ann","groups":[]}`)
	must[answerID](ann, "push", order{Title: "x", To: target{Kind: toAll}})
	if got := string(must[json.RawMessage](ann, "desk", nil)); strings.Contains(got, "null") {
		t.Errorf("one person: %s", got)
	}
}

func TestBadInput(t *testing.T) {
	place := showcasetest.Open(t, nil, true, New)
	olga := enter(place, "~o", "Olga")
	all := target{Kind: toAll}
	for what, c := range map[string]struct {
		order order
		code  hub.Code
	}{
		"no title":     {order{Title: " ", To: all}, codeTitle},
		"long title":   {order{Title: strings.Repeat("x", maxTitle+1), To: all}, codeTitle},
		"lines":        {order{Title: "a\nb", To: all}, codeTitle},
		"long text":    {order{Title: "x", Text: strings.Repeat("界", maxText+1), To: all}, codeText},
		"control":      {order{Title: "x", Text: "\x00", To: all}, codeText},
		"nobody":       {order{Title: "x"}, codeTarget},
		"no group":     {order{Title: "x", To: target{Kind: toGroup, ID: ">"}}, codeTarget},
		"no person":    {order{Title: "x", To: target{Kind: toPerson, ID: "y"}}, codeTarget},
		"past":         {order{Title: "x", To: all, At: time.Now().Add(-time.Hour)}, codeTime},
		"far ahead":    {order{Title: "x", To: all, At: time.Now().Add(maxAhead + time.Hour)}, codeTime},
		"a short key":  {order{Title: "x", To: all, Key: "1"}, hub.CodeBadRequest},
		"nothing left": {order{}, codeTitle},
	} {
		showcasetest.WantCode(t, olga.Ask(prefix+"push", c.order, nil), c.code, what)
	}
	showcasetest.WantCode(t, olga.Ask(prefix+"push", "x", nil), hub.CodeBadRequest, "no order")
	showcasetest.WantCode(t, olga.Ask(prefix+"cancel", answerID{"x"}, nil), codeUnknown, "cancelling what there is not")
	showcasetest.WantCode(t, olga.Ask(prefix+"enter", visit{Groups: []string{"x"}}, nil), codeGroup, "a group")
	showcasetest.WantCode(t, olga.Ask(prefix+"receipt", visit{Inbox: "x"}, nil), codeUnknown, "an inbox")
	showcasetest.WantCode(t, place.Enter("~m", "<b>").Ask(prefix+"enter", visit{}, nil), "demo.name-malformed", "markup in a name")
	key := strings.Repeat("k", 16)
	one, two := must[answerID](olga, "push", order{Title: "x", To: all, Key: key}), must[answerID](olga, "push", order{Title: "x", To: all, Key: key})
	if one != two || len(must[overview](olga, "desk", nil).Notifications) != 1 {
		t.Errorf("the same order is %s and %s", one, two)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := showcasetest.Open(t, nil, true, New)
		olga := enter(place, "~o", "Olga")
		for range maxPeople {
			must[welcome](olga, "enter", visit{})
			time.Sleep(time.Second)
		}
		showcasetest.WantCode(t, olga.Ask(prefix+"enter", visit{}, nil), codeFull, "one person more")
		later := order{Title: "x", To: target{Kind: toAll}, At: time.Now().Add(10 * time.Hour)}
		for range maxWaiting {
			must[answerID](olga, "push", later)
			time.Sleep(2 * time.Second)
		}
		showcasetest.WantCode(t, olga.Ask(prefix+"push", later, nil), codeFull, "one more that waits")
		must[answerID](olga, "push", order{Title: "now", To: target{Kind: toAll}})
		for range 40 {
			if err := olga.Ask(prefix+"push", order{Title: "now", To: target{Kind: toAll}}, nil); err != nil {
				showcasetest.WantCode(t, err, hub.CodeRate, "many at once")
				return
			}
		}
		t.Error("as many as one likes may be sent at once")
	})
}

func TestOnlyForOperators(t *testing.T) {
	place := showcasetest.Open(t, nil, false, New)
	eve := enter(place, "~e", "Eve")
	in := must[welcome](eve, "enter", visit{Inbox: "made up"})
	if in.Inbox == "made up" {
		t.Error("an inbox has the secret that somebody made up")
	}
	const no = "demo.not-operator"
	for topic, code := range map[string]hub.Code{
		topicDesk: no, topicLog + "*": no, topicInbox + "*": hub.CodeForbidden, topicInbox + "x": codeUnknown, prefix + ">": hub.CodeForbidden,
		topicGroup + "x": hub.CodeForbidden, topicGroup + "*": hub.CodeForbidden, topicLog + "x": hub.CodeForbidden, topicInbox + in.ID: codeUnknown,
	} {
		showcasetest.WantCode(t, eve.Listen(topic, 0), code, topic)
	}
	for _, topic := range []string{topicAll, topicGroup + "sales", topicInbox + in.Inbox, topicLog + "x", topicDesk} {
		showcasetest.WantCode(t, eve.Say(topic, notice{Title: "x"}), hub.CodeForbidden, topic)
	}
	for _, method := range []string{"push", "cancel", "desk"} {
		showcasetest.WantCode(t, eve.Ask(prefix+method, nil, nil), no, method)
	}
	if err := eve.Ask(showcase.Prefix+"operator", map[string]string{"key": showcasetest.Key}, nil); err != nil {
		t.Fatal(err)
	}
	must[overview](eve, "desk", nil)
}
