package live

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

// states are those of a channel that somebody has seen.
func states(t *testing.T, who *showcasetest.Someone, name string) []channel {
	t.Helper()
	var all []channel
	for _, data := range who.Seen(topic(kindChannel, name)) {
		var c channel
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// TestOneBroadcaster: a channel has one, who may change what they said; nobody else may publish, or hear what the broadcaster is asked.
func TestOneBroadcaster(t *testing.T) {
	p := open(t, nil, true)
	ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
	start := func(who *showcasetest.Someone, name, codec string, every int) error {
		return who.Ask(prefix+"start", startQuestion{name, codec, every}, nil)
	}
	showcasetest.WantCode(t, start(bob, studio, "vp8", 48), codeTaken, "a second broadcaster")
	showcasetest.WantCode(t, bob.Listen(topic(kindControl, studio), 0), codeNotYours, "to hear what the broadcaster is asked")
	showcasetest.WantCode(t, show(t, bob, studio, picture(codecVP8, true, 1)), codeNotYours, "a frame of a viewer")
	showcasetest.WantCode(t, show(t, bob, "other", picture(codecVP8, true, 1)), codeNotLive, "a frame where nobody broadcasts")
	showcasetest.WantCode(t, start(ann, "other", "vp8", 48), codeElsewhere, "two broadcasts of one person")
	for _, bad := range []startQuestion{{"", "vp8", 1}, {"a b", "vp8", 1}, {"a.b", "vp8", 1}, {strings.Repeat("x", 33), "vp8", 1}} {
		showcasetest.WantCode(t, start(bob, bad.Channel, bad.Codec, bad.Every), codeBadChannel, bad.Channel)
	}
	for _, bad := range []startQuestion{{"b", "av1", 1}, {"b", "vp8", 0}, {"b", "vp8", 129}} {
		showcasetest.WantCode(t, start(bob, bad.Channel, bad.Codec, bad.Every), codeBadStart, bad.Codec)
	}
	if err := start(ann, studio, "jpeg", 1); err != nil {
		t.Error(err)
	}
	if err := show(t, ann, studio, picture(codecJPEG, true, 1)); err != nil {
		t.Error(err)
	}
	showcasetest.WantCode(t, bob.Ask(prefix+"stop", channelQuestion{studio}, nil), codeNotYours, "to end the broadcast of another")
	if err := ann.Ask(prefix+"stop", channelQuestion{studio}, nil); err != nil {
		t.Error(err)
	}
	showcasetest.WantCode(t, show(t, ann, studio, picture(codecJPEG, true, 2)), codeNotLive, "a frame after the end")
	if err := start(bob, studio, "vp8", 48); err != nil {
		t.Error("the channel is free again:", err)
	}
	if err := bob.Listen(topic(kindChannel, "*"), 10); err != nil {
		t.Error(err)
	}
	if all := states(t, bob, studio); len(all) != 1 || all[0].N != 2 || !all[0].Live || all[0].Name != "Bob" {
		t.Errorf("%+v", all)
	}
}

// TestPrivate: what broadcasters are told, and frames, are not to be had by a pattern.
func TestPrivate(t *testing.T) {
	p := open(t, nil, true)
	ann := p.Enter("ann", "Ann")
	for _, pattern := range []string{"demo.live.>", "demo.live.*.*", "demo.live.*.studio", "demo.live.secret.studio"} {
		showcasetest.WantCode(t, ann.Listen(pattern, 0), hub.CodeForbidden, pattern)
	}
	showcasetest.WantCode(t, ann.Listen("demo.live.video.*", 0), codeBadChannel, "all videos")
	showcasetest.WantCode(t, ann.Listen("demo.live.video", 0), codeBadChannel, "no channel")
	for _, at := range []string{kindChannel, kindHouse, kindControl} {
		showcasetest.WantCode(t, ann.Say(topic(at, studio), "{}"), hub.CodeForbidden, at)
	}
}

// TestBroadcasterGone: the end is told when the broadcaster has gone without a word, and viewers are counted.
func TestBroadcasterGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, true)
		defer p.End()
		ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
		if err := bob.Listen(topic(kindChannel, "*"), 10); err != nil {
			t.Fatal(err)
		}
		if err := bob.Listen(topic(kindVideo, studio), 48); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if all := states(t, bob, studio); len(all) != 2 || all[1].Viewers != 1 || !all[1].Live {
			t.Fatalf("%+v", all)
		}
		ann.Suspend(5 * time.Second)
		time.Sleep(5 * time.Second)
		if all := states(t, bob, studio); !all[len(all)-1].Live {
			t.Error("a lost connection is not the end")
		}
		time.Sleep(5 * time.Second)
		if all := states(t, bob, studio); all[len(all)-1].Live {
			t.Errorf("nobody was told: %+v", all)
		}
	})
}

// TestTwoNodes: who broadcasts on a channel is known everywhere, and of two who want it at the same time one has it.
func TestTwoNodes(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	one, two := open(t, broker, true), open(t, broker, true)
	ann, bob := one.Enter("ann", "Ann"), two.Enter("bob", "Bob")
	results := make(chan error)
	for _, who := range []*showcasetest.Someone{ann, bob} {
		go func() { results <- who.Ask(prefix+"start", startQuestion{studio, "vp8", 48}, nil) }()
	}
	if first, second := <-results, <-results; (first == nil) == (second == nil) {
		t.Errorf("%v and %v", first, second)
	}
}

// TestAsking: many who need a key frame at the same time are one request.
func TestAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, true)
		defer p.End()
		ann, bob := broadcast(t, p, "ann", studio), p.Enter("bob", "Bob")
		for range 50 {
			if err := bob.Ask(prefix+"key", channelQuestion{studio}, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if err := bob.Ask(prefix+"key", channelQuestion{studio}, nil); err != nil {
			t.Fatal(err)
		}
		if asked := ann.Seen(topic(kindControl, studio)); len(asked) != 2 || asked[0] != `{"ask":"key"}` {
			t.Errorf("%q", asked)
		}
		showcasetest.WantCode(t, bob.Ask(prefix+"key", channelQuestion{"no channel"}, nil), codeBadChannel, "a name that is none")
		var answer now
		if err := bob.Ask(prefix+"clock", nil, &answer); err != nil || answer.Time != time.Now().UnixMilli() {
			t.Errorf("%v %v", answer, err)
		}
	})
}

// TestLateAndSlow: a late viewer begins with the frames since the last key frame; a slow one skips, and is told; a third feels nothing.
func TestLateAndSlow(t *testing.T) {
	p := open(t, nil, true)
	ann := broadcast(t, p, "ann", studio)
	fast, slow := watch(t, p, "fast", -1, 48), watch(t, p, "slow", 2, 48)
	for i := range uint32(50) {
		if err := show(t, ann, studio, picture(codecVP8, i%48 == 0, i)); err != nil {
			t.Fatal(err)
		}
	}
	late := watch(t, p, "late", -1, 48)
	if seen, _ := late.sequences(); len(seen) != 48 || !slices.Contains(seen, 48) {
		t.Errorf("late: %v", seen)
	}
	if seen, lost := fast.sequences(); len(seen) != 50 || lost != 0 {
		t.Errorf("fast: %v, %d lost", seen, lost)
	}
	slow.room = -1
	slow.Ready()
	if seen, lost := slow.sequences(); len(seen) != 2+16 || lost != 32 || seen[2] != 34 {
		t.Errorf("slow: %v, %d lost", seen, lost)
	}
	if m := fast.seen[0]; m.Meta != nil {
		t.Errorf("what nobody has checked was passed on: %s", m.Meta)
	}
	// Of JPEGs only the newest is of use.
	slow.room = 0
	for i := range uint32(10) {
		if err := show(t, ann, studio, picture(codecJPEG, true, 100+i)); err != nil {
			t.Fatal(err)
		}
	}
	slow.room = -1
	slow.Ready()
	if seen, lost := slow.sequences(); len(seen) != 19 || seen[18] != 109 || lost != 32+9 {
		t.Errorf("slow, JPEG: %v, %d lost", seen, lost)
	}
	err := error(nil)
	for i := range uint32(maxFrames) {
		err = show(t, ann, studio, picture(codecJPEG, true, 200+i))
	}
	showcasetest.WantCode(t, err, hub.CodeRate, "more than 60 frames a second")
}
