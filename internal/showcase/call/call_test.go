package call

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

const (
	tea  = prefix + "tea"
	mine = `"from":"aaaaaaaa","to":"bbbbbbbb"`
)

func open(t *testing.T) *showcasetest.Place {
	t.Helper()
	return showcasetest.Open(t, nil, true, New)
}

// TestTwoPeople have a room to themselves; a third one may come when one of them has gone.
func TestTwoPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t)
		defer p.End()
		ann, bob, cid := p.Enter("ann", "Ann"), p.Enter("bob", "Bob"), p.Enter("cid", "Cid")
		for _, who := range []*showcasetest.Someone{ann, bob} {
			if err := who.Listen(tea, 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		showcasetest.WantCode(t, cid.Listen(tea, 0), codeBusy, "a third one")
		if err := cid.Listen(prefix+"other", 0); err != nil {
			t.Error("another room:", err)
		}
		if err := bob.Say(tea, `{"kind":"ring",`+mine+`}`); err != nil {
			t.Error(err)
		}
		if seen := ann.Seen(tea); len(seen) != 1 {
			t.Errorf("%q", seen)
		}
		showcasetest.WantCode(t, cid.Say(tea, `{"kind":"ring",`+mine+`}`), codeNotHere, "a signal of somebody else")
		bob.Suspend(5 * time.Second)
		showcasetest.WantCode(t, cid.Listen(tea, 0), codeBusy, "while one of them is reloading the page")
		again := p.Enter("bob", "Bob")
		if err := again.Listen(tea, 0); err != nil {
			t.Error("who comes back:", err)
		}
		if err := again.Say(tea, `{"kind":"hello","from":"aaaaaaaa"}`); err != nil {
			t.Error(err)
		}
		again.Close()
		if err := cid.Listen(tea, 0); err != nil {
			t.Error("when one has gone:", err)
		}
	})
}

// TestRush: of many who come at the same time two come in.
func TestRush(t *testing.T) {
	p := open(t)
	var in sync.WaitGroup
	results := make([]error, 20)
	for i := range results {
		who := p.Enter("user-"+string(rune('a'+i)), "Somebody")
		in.Go(func() { results[i] = who.Listen(tea, 0) })
	}
	in.Wait()
	n := 0
	for _, err := range results {
		if err == nil {
			n++
			continue
		}
		showcasetest.WantCode(t, err, codeBusy, "one of many")
	}
	if n != maxPeople {
		t.Errorf("%d are in", n)
	}
}

func TestPrivate(t *testing.T) {
	ann := open(t).Enter("ann", "Ann")
	for _, at := range []string{"demo.call.>", "demo.call.room.*", "demo.call.room", "demo.call.other.tea", prefix + "a.b", prefix + strings.Repeat("x", 33)} {
		showcasetest.WantCode(t, ann.Listen(at, 0), codeBadRoom, at)
	}
}

func TestSignals(t *testing.T) {
	p := open(t)
	ann, bob := p.Enter("ann", "Ann"), p.Enter("bob", "Bob")
	for _, who := range []*showcasetest.Someone{ann, bob} {
		if err := who.Listen(tea, 0); err != nil {
			t.Fatal(err)
		}
	}
	good := []string{
		`{"kind":"hello","from":"aaaaaaaa"}`,
		`{"kind":"hello","calling":true,` + mine + `}`,
		`{"kind":"hang-up",` + mine + `}`,
		`{"kind":"media","audio":true,"video":false,` + mine + `}`,
		`{"kind":"description","description":{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 5 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"x"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null},` + mine + `}`,
	}
	for _, data := range good {
		if err := ann.Say(tea, data); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	if seen := bob.Seen(tea); len(seen) != len(good) {
		t.Errorf("%d came", len(seen))
	}
	for _, data := range []string{
		`null`, `"ring"`, `{}`, `{"kind":"ring"}`, `{"kind":"ring","from":"aaaaaaaa"}`, `{"kind":"dance",` + mine + `}`,
		`{"kind":"ring","from":"<b>aaaaa","to":"bbbbbbbb"}`, `{"kind":"ring","html":"<b>",` + mine + `}`,
		`{"kind":"description",` + mine + `}`,
		`{"kind":"ring","description":{"type":"offer","sdp":"v=0\r\n"},` + mine + `}`,
		`{"kind":"description","description":{"type":"rollback","sdp":"v=0\r\n"},` + mine + `}`,
		`{"kind":"description","description":{"type":"offer","sdp":"<script>"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"javascript:"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"candidate:1\r\na=b"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"candidate:` + strings.Repeat("1", maxCandidate) + `"},` + mine + `}`,
		`{"kind":"candidate","candidate":{"candidate":"candidate:1","sdpMLineIndex":-1},` + mine + `}`,
	} {
		showcasetest.WantCode(t, ann.Say(tea, data), codeBadSignal, data)
	}
	large := `{"kind":"description","description":{"type":"offer","sdp":"v=0\r\n` + strings.Repeat("a", maxSignal) + `"},` + mine + `}`
	showcasetest.WantCode(t, ann.Say(tea, large), hub.CodeTooLarge, "more than 64 KiB")
	if _, err := ann.Publish(t.Context(), tea, hub.Publication{Data: []byte{1}, Binary: true}); err == nil {
		t.Error("bytes are no signal")
	}
}
