package live

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

func TestComments(t *testing.T) {
	p := open(t, nil, true)
	ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
	if err := ann.Listen(topic(kindComments, studio), 0); err != nil {
		t.Fatal(err)
	}
	say := func(data any) error { return bob.Say(topic(kindComments, studio), data) }
	for name, data := range map[string]any{
		"empty": comments(" "), "long": comments(strings.Repeat("长", maxCommentRunes+1)), "two lines": comments("a\nb"),
		"turned around": comments("a\u202eb"), "no color": comment{Text: "a", Color: "url(x)", Mode: "scroll"},
		"no mode": comment{Text: "a", Color: "red", Mode: "spin"}, "a name": comment{Text: "a", Color: "red", Mode: "top", Name: "Ann"},
		"a text alone": `"hi"`, "more": `{"text":"a","color":"red","mode":"top","html":"<b>"}`,
		"nothing": `null`, "numbers": `{"text":1}`,
	} {
		showcasetest.WantCode(t, say(data), codeBadComment, name)
	}
	if _, err := bob.Publish(t.Context(), topic(kindComments, studio), hub.Publication{Data: []byte{1}, Binary: true}); err == nil {
		t.Error("bytes are no comment")
	}
	showcasetest.WantCode(t, bob.Say(topic(kindComments, "empty"), comments("a")), codeNotLive, "where nobody broadcasts")
	showcasetest.WantCode(t, p.Enter("eve", "<b>").Say(topic(kindComments, studio), comments("a")), "demo.name-malformed", "markup in a name")
	if err := say(comments(" <b>👩‍👩‍👧 你好</b> ")); err != nil {
		t.Error(err)
	}
	if seen := ann.Seen(topic(kindComments, studio)); len(seen) != 1 || !strings.Contains(seen[0], "👩‍👩‍👧 你好") {
		t.Errorf("%q", seen)
	}
}

// TestPace: nobody comments faster than others read; slow mode is slower still.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, true)
		defer p.End()
		ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
		say := func() error { return bob.Say(topic(kindComments, studio), comments("a")) }
		for i := range commentBurst {
			if err := say(); err != nil {
				t.Fatalf("comment %d: %v", i+1, err)
			}
		}
		showcasetest.WantCode(t, say(), codeTooFast, "one more")
		if err := ann.Say(topic(kindComments, studio), comments("a")); err != nil {
			t.Error("another person:", err)
		}
		time.Sleep(time.Second)
		if err := say(); err != nil {
			t.Error("a second later:", err)
		}
		if err := ann.Ask(prefix+"moderate", moderation{Channel: studio, Action: "slow", Seconds: 5}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		showcasetest.WantCode(t, say(), codeSlowMode, "in slow mode")
		time.Sleep(time.Second)
		if err := say(); err != nil {
			t.Error("when the time is over:", err)
		}
	})
}

// TestSpeakersAreBounded whoever comes.
func TestSpeakersAreBounded(t *testing.T) {
	var s speakers
	now := time.Now()
	for i := range maxSpeakers + 500 {
		if err := s.admit(fmt.Sprint(i), 0, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.known) > maxSpeakers {
		t.Errorf("%d are known", len(s.known))
	}
}

// TestModeration is for operators and the broadcaster, and holds for everybody else.
func TestModeration(t *testing.T) {
	p := open(t, nil, false)
	ann, bob, op := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob"), p.Enter("op", "Op")
	moderate := func(who *showcasetest.Someone, m moderation) error {
		m.Channel = studio
		return who.Ask(prefix+"moderate", m, nil)
	}
	say := func(text string) error { return bob.Say(topic(kindComments, studio), comments(text)) }
	mute := moderation{Action: "mute", User: "bob", Name: "Bob"}
	for _, who := range []*showcasetest.Someone{bob, op} {
		showcasetest.WantCode(t, moderate(who, mute), "demo.not-operator", "a visitor who moderates")
	}
	if err := op.Ask("demo.operator", map[string]string{"key": showcasetest.Key}, nil); err != nil {
		t.Fatal(err)
	}
	if err := moderate(op, mute); err != nil {
		t.Fatal(err)
	}
	showcasetest.WantCode(t, say("a"), codeMuted, "muted")
	if err := moderate(ann, moderation{Action: "unmute", User: "bob"}); err != nil {
		t.Fatal(err)
	}
	if err := moderate(ann, moderation{Action: "words", Words: []string{" Spam ", "", "spam", "广告"}}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"buy SPAM now", "看广告吧"} {
		showcasetest.WantCode(t, say(text), codeBlockedWord, text)
	}
	if err := say("fine"); err != nil {
		t.Error(err)
	}
	if err := moderate(ann, moderation{Action: "remove", Offset: 7}); err != nil {
		t.Error(err)
	}
	var h house
	if err := ann.Ask(prefix+"moderate", moderation{Channel: studio, Action: "slow", Seconds: 0}, &h); err != nil {
		t.Fatal(err)
	}
	if len(h.Removed) != 1 || len(h.Words) != 2 || len(h.Muted) != 0 {
		t.Errorf("%+v", h)
	}
	many := make([]string, maxWords+1)
	for i := range many {
		many[i] = fmt.Sprint("word", i)
	}
	for name, m := range map[string]moderation{
		"nothing": {}, "no comment": {Action: "remove"}, "nobody": {Action: "mute"}, "too slow": {Action: "slow", Seconds: maxSlow + 1},
		"before now": {Action: "slow", Seconds: -1}, "too many words": {Action: "words", Words: many},
		"a long word": {Action: "words", Words: []string{strings.Repeat("x", maxWordRunes+1)}},
	} {
		showcasetest.WantCode(t, moderate(ann, m), codeBadModeration, name)
	}
	for i := range uint64(maxRemoved + 10) {
		h.apply(moderation{Action: "remove", Offset: 1 + i})
		h.apply(moderation{Action: "mute", User: fmt.Sprint(i)})
	}
	if len(h.Removed) != maxRemoved || len(h.Muted) != maxMuted || h.Removed[maxRemoved-1] != maxRemoved+10 {
		t.Errorf("%d and %d", len(h.Removed), len(h.Muted))
	}
}

// TestAudience says 1,500 comments in a minute, and ends with it or with the broadcast.
func TestAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, false)
		defer p.End()
		ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
		if err := bob.Listen(topic(kindComments, studio), 0); err != nil {
			t.Fatal(err)
		}
		ask := func(who *showcasetest.Someone, on bool) error {
			return who.Ask(prefix+"audience", audienceQuestion{studio, on}, nil)
		}
		showcasetest.WantCode(t, ask(bob, true), "demo.not-operator", "an audience that invites itself")
		for range 3 { // once is enough
			if err := ask(ann, true); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		said := bob.Seen(topic(kindComments, studio))
		if len(said) < 1490 || len(said) > 1500 {
			t.Errorf("%d comments in a minute", len(said))
		}
		if err := ask(ann, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := ask(ann, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(bob.Seen(topic(kindComments, studio))) - len(said); n < 20 || n > 30 {
			t.Errorf("%d comments in a second", n)
		}
		if err := ask(ann, true); err != nil {
			t.Fatal(err)
		}
		if err := ann.Ask(prefix+"stop", channelQuestion{studio}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		said = bob.Seen(topic(kindComments, studio))
		time.Sleep(time.Second)
		if n := len(bob.Seen(topic(kindComments, studio))) - len(said); n > 1 {
			t.Errorf("%d comments after the end", n)
		}
	})
}
