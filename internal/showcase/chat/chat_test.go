package chat

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/picture"
	"github.com/duplex-websocket/duplex/websocket"
)

func TestConversation(t *testing.T) {
	at := start(t, Options{})
	ann := enter(t, at, "Ann", "lobby")
	bob := enter(t, at, "小伟 B.", "lobby")
	if f := ann.expect("join"); f.Info.Name != "小伟 B." {
		t.Errorf("join: %+v", f)
	}
	present := bob.ask(map[string]any{"type": "presence", "topic": "chat.lobby"})
	if present.Count != 2 || len(present.Users) != 2 {
		t.Errorf("present: %+v", present)
	}
	other := enter(t, at, "Ann", "茶馆") // the same name in another room
	const markup = `<b>& "quotes"</b> 🎉`
	ann.text("lobby", markup)
	for _, v := range []*visitor{ann, bob} {
		v.expectText("Ann", markup)
	}
	if f := bob.say("lobby", "a text by itself"); f.Type != "reply" {
		t.Errorf("a JSON string: %s", f.Code)
	}
	if f := ann.expect("message"); string(f.Data) != `"a text by itself"` || time.Since(time.UnixMilli(f.Time)).Abs() > time.Minute {
		t.Errorf("message: %+v", f)
	}
	bob.leave()
	ann.expect("leave")
	other.text("茶馆", "alone")
	other.expectText("Ann", "alone") // and nothing of the lobby before it
}

func TestAdmission(t *testing.T) {
	at := start(t, Options{RoomMembers: 2})
	ann := enter(t, at, "Ann", "lobby")
	ann.goInto("full")
	enter(t, at, "Bob", "full")
	ann.expect("join")
	enter(t, at, "", "guests") // without a name: its user is one
	for _, c := range []struct {
		room, name string
		code       hub.Code
	}{
		{"lobby", "Bob", ""}, {"lobby", "O'Neil-Smith Jr.", ""}, {"lobby", "李小龙", ""}, {"房间_1-a", "Bob", ""},
		{"lobby", "ann", codeNameTaken}, {"lobby", "ANN", codeNameTaken},
		{"full", "Eve", codeRoomFull},
		{"a+b", "Bob", codeRoomMalformed}, {strings.Repeat("房", 33), "Bob", codeRoomMalformed},
		{"", "Bob", hub.CodeBadTopic}, {"a b", "Bob", hub.CodeBadTopic},
		{"lobby", " Bob", codeNameMalformed}, {"lobby", "Bob  B", codeNameMalformed}, {"lobby", "<script>", codeNameMalformed},
		{"lobby", "a\u202eb", codeNameMalformed}, {"lobby", "a\x00b", codeNameMalformed}, {"lobby", "-bob", codeNameMalformed},
		{"lobby", "~8f2kq0a1", codeNameMalformed}, {"lobby", strings.Repeat("n", 25), codeNameMalformed},
	} {
		t.Run(fmt.Sprintf("%.10q %.10q", c.room, c.name), func(t *testing.T) {
			v := visit(t, at, c.name)
			wantRefused(t, "subscribe", v.subscribe("chat."+c.room), c.code)
			v.leave()
			if c.room == "lobby" && c.code == "" {
				ann.expect("join")
				ann.expect("leave")
			}
		})
	}
	wantRefused(t, "an empty name", visitWith(t, at, map[string]any{"info": map[string]any{"name": ""}}).subscribe("chat.lobby"), codeNameMalformed)
}

// TestPatterns: but for operators, which on a machine of one's own everybody is, nobody listens to rooms unseen.
func TestPatterns(t *testing.T) {
	patterns := map[string]hub.Code{
		">": hub.CodeForbidden, "*.*": hub.CodeForbidden, "*.lobby": hub.CodeForbidden, "*.>": hub.CodeForbidden, "chat.>": hub.CodeForbidden,
		"chat.*": hub.CodeForbidden, "chat.*.live": hub.CodeForbidden, "chat.a.*": hub.CodeForbidden, "news.*": "", "*": "",
	}
	here := visit(t, start(t, Options{}), "Ann")
	there := visit(t, startWith(t, Options{}, &showcase.Env{Operators: operators(false)}, nil), "Ann")
	for pattern, code := range patterns {
		wantRefused(t, pattern+" on this machine", here.subscribe(pattern), "")
		wantRefused(t, pattern, there.subscribe(pattern), code)
	}
	c := newChat(&showcase.Env{Operators: operators(false)}, Options{})
	if err := c.subscribe(&hub.SubscribeCall{Topic: "chat.>", Identity: &hub.Identity{User: "ann"}}); err != nil {
		t.Errorf("with a token: %v", err)
	}
}

// TestNamesAtOnce: of many who come under one name in the same moment, one gets in.
func TestNamesAtOnce(t *testing.T) {
	at := start(t, Options{})
	for round := range 5 {
		room := fmt.Sprint("room-", round)
		codes := make([]string, 12)
		everybody := make([]*visitor, len(codes))
		for i := range everybody {
			everybody[i] = visit(t, at, []string{"Ann", "ANN"}[i%2])
		}
		var all sync.WaitGroup
		for i, v := range everybody {
			all.Go(func() { codes[i] = v.subscribe("chat." + room).Code })
		}
		all.Wait()
		slices.Sort(codes)
		if codes[0] != "" || codes[1] != string(codeNameTaken) || codes[len(codes)-1] != string(codeNameTaken) {
			t.Fatalf("%q", codes)
		}
		for _, v := range everybody {
			v.leave()
		}
	}
}

// TestNamesAreFreed: by whoever leaves, and by whoever reserved one and did not get in.
func TestNamesAreFreed(t *testing.T) {
	at := start(t, Options{})
	ann := enter(t, at, "Ann", "lobby")
	wantRefused(t, "twice", ann.subscribe("chat.lobby"), hub.CodeAlreadySubscribed)
	if f := ann.ask(map[string]any{"type": "unsubscribe", "topic": "chat.lobby"}); f.Type != "reply" {
		t.Fatal(f.Code)
	}
	enter(t, at, "Ann", "lobby")

	c := newChat(&showcase.Env{}, Options{})
	ctx, end := context.WithCancel(t.Context())
	for range 2 { // the second is another tab
		if others, err := c.reserve(ctx, "chat.lobby", "ann", "~1"); err != nil || len(others) != 0 {
			t.Fatalf("%v, others %v", err, others)
		}
	}
	if others, err := c.reserve(ctx, "chat.lobby", "bob", "~2"); err != nil || len(others) != 1 || !others["~1"] {
		t.Fatalf("%v, others %v", err, others)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.reserve(impatient, "chat.lobby", "ann", "~3"); !errors.Is(err, context.Canceled) {
		t.Fatalf("while another comes in: %v", err)
	}
	got := make(chan error)
	last, leave := context.WithCancel(t.Context())
	go func() {
		_, err := c.reserve(last, "chat.lobby", "ann", "~3")
		got <- err
	}()
	end()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	leave()
	for freed := false; !freed; { // the end of a context is told on a goroutine
		c.mu.Lock()
		freed = len(c.entering) == 0
		c.mu.Unlock()
	}
}

// TestTakeover: the network lost a connection, and only the tab knows.
func TestTakeover(t *testing.T) {
	at := start(t, Options{})
	old := enter(t, at, "Ann", "lobby")
	bob := enter(t, at, "Bob", "lobby")
	old.expect("join")
	now := visitWith(t, at, map[string]any{"resume": old.resume, "info": map[string]any{"name": "Ann"}})
	wantRefused(t, "the same tab", now.subscribe("chat.lobby"), "")
	old.expectClose(4409)
	now.text("lobby", "back")
	bob.expectText("Ann", "back") // and no leave and join before it
	now.expectText("Ann", "back")
	wantRefused(t, "another", visitWith(t, at, map[string]any{"resume": old.resume + "x", "info": map[string]any{"name": "Ann"}}).subscribe("chat.lobby"), codeNameTaken)
}

// TestSpeaking: who has chosen a name speaks only where it holds it.
func TestSpeaking(t *testing.T) {
	at := start(t, Options{})
	ann := enter(t, at, "Ann", "lobby")
	impostor := visit(t, at, "Ann")
	wantRefused(t, "an impostor", impostor.say("lobby", "hi"), codeNotHere)
	wantRefused(t, "a picture of an impostor", impostor.sendPicture("lobby", "", sample("image/png", 100)), codeNotHere)
	wantRefused(t, "a malformed room", impostor.say("a+b", "hi"), codeRoomMalformed)
	wantRefused(t, "other topics", impostor.say("lobby.side", 1), "")
	if f := visit(t, at, "").say("lobby", "hello"); f.Type != "reply" {
		t.Errorf("a guest without a name: %s", f.Code)
	}
	if f := ann.expect("message"); f.From.Info.Name != "" || string(f.Data) != `"hello"` {
		t.Errorf("%+v", f)
	}
}

func TestPictures(t *testing.T) {
	at := start(t, Options{})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	ann.expect("join")
	for i, mime := range pictureTypes {
		photo := sample(mime, 1<<20*i)
		if f := ann.sendPicture("lobby", "<holiday>.svg", photo); f.Type != "reply" || f.Offset == 0 {
			t.Errorf("%s: %s", mime, f.Code)
		}
		f := bob.expect("message")
		if f.From.Info.Name != "Ann" || f.Meta != (pictureMeta{Name: "<holiday>.svg", MIME: mime, Width: 40, Height: 30}) || !bytes.Equal(f.picture, photo) {
			t.Errorf("%s: got %+v from %q, %d bytes", mime, f.Meta, f.From.Info.Name, len(f.picture))
		}
	}
}

// TestPicturesAsBase64 sends what a uni-app or WeChat page does.
func TestPicturesAsBase64(t *testing.T) {
	at := start(t, Options{Picture: picture.Limits{Bytes: 2 << 20}})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	ann.expect("join")
	photo := sample("image/png", 1000)
	std := base64.StdEncoding.EncodeToString(photo)
	for name, data := range map[string]string{
		"plain":     std,
		"data URL":  "data:image/jpeg;base64," + std, // the type is taken from the bytes
		"unpadded":  strings.TrimRight(std, "="),
		"URL-safe":  base64.URLEncoding.EncodeToString(photo),
		"in lines":  std[:76] + "\r\n" + std[76:] + "\n",
		"with name": std,
	} {
		if f := ann.say("lobby", map[string]any{"picture": data, "name": name}); f.Type != "reply" {
			t.Errorf("%s: %s", name, f.Code)
		}
		for _, v := range []*visitor{ann, bob} {
			if f := v.expect("message"); f.Meta != (pictureMeta{Name: name, MIME: "image/png", Width: 40, Height: 30}) || !bytes.Equal(f.picture, photo) || f.Data != nil {
				t.Errorf("%s: got %+v, %d bytes", name, f.Meta, len(f.picture))
			}
		}
	}
	large := sample("image/jpeg", 2<<20)
	ann.patience, bob.patience = 6*patience, 6*patience // the race detector makes reading so much JSON slow
	if f := ann.say("lobby", map[string]any{"picture": base64.StdEncoding.EncodeToString(large)}); f.Type != "reply" {
		t.Fatal(f.Code)
	}
	if f := bob.expect("message"); !bytes.Equal(f.picture, large) {
		t.Error("a picture of the largest size did not arrive")
	}
}

// TestBadMessages sends what cannot be passed on: the sender alone is told, and the conversation goes on.
func TestBadMessages(t *testing.T) {
	at := start(t, Options{Picture: picture.Limits{Bytes: 1000}, MessageBurst: 100})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	ann.expect("join")
	for name, c := range map[string]struct {
		data any
		code hub.Code
	}{
		"a number":                {7, codeBadMessage},
		"an array":                {[]any{}, codeBadMessage},
		"null":                    {nil, codeBadMessage},
		"an empty object":         {map[string]any{}, codeBadMessage},
		"a wrong type":            {map[string]any{"text": 7}, codeBadMessage},
		"no text":                 {map[string]any{"text": ""}, codeEmpty},
		"only spaces":             {" \n\t\u3000", codeEmpty},
		"a long text":             {map[string]any{"text": strings.Repeat("字", 4001)}, codeTextTooLong},
		"much besides":            {map[string]any{"text": "hi", "more": strings.Repeat("x", maxTextBytes)}, hub.CodeTooLarge},
		"no base64":               {map[string]any{"picture": "!!!"}, codeBadBase64},
		"a data URL without it":   {map[string]any{"picture": "data:image/png,abc"}, codeBadBase64},
		"no picture in base64":    {map[string]any{"picture": "aGVsbG8gd29ybGQhIQ=="}, codeNotAPicture},
		"a large one in base64":   {map[string]any{"picture": base64.StdEncoding.EncodeToString(sample("image/png", 1001))}, codePictureTooLarge},
		"too large for the topic": {map[string]any{"picture": strings.Repeat("A", 100_000)}, hub.CodeTooLarge},
	} {
		wantRefused(t, name, ann.say("lobby", c.data), c.code)
	}
	for name, c := range map[string]struct {
		picture string
		code    hub.Code
	}{
		"no bytes":        {"", codeNotAPicture},
		"SVG":             {`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`, codeNotAPicture},
		"HTML":            {`<!doctype html><script>alert(1)</script>`, codeNotAPicture},
		"a large picture": {string(sample("image/png", 1001)), codePictureTooLarge},
	} {
		wantRefused(t, name, ann.sendPicture("lobby", "x.png", []byte(c.picture)), c.code)
	}
	ann.text("lobby", strings.Repeat("🎉", 4000))
	bob.expectText("Ann", strings.Repeat("🎉", 4000)) // and nothing before it
}

func TestHistory(t *testing.T) {
	at := start(t, Options{HistoryMessages: 3, HistoryBytes: 5000})
	ann := enter(t, at, "Ann", "lobby")
	for i := range 4 {
		ann.text("lobby", fmt.Sprint("text ", i))
	}
	ann.sendPicture("lobby", "", sample("image/gif", 2000))
	ann.ask(map[string]any{"type": "unsubscribe", "topic": "chat.lobby"})
	bob := enter(t, at, "Bob", "lobby") // nobody is there any more, but what was said
	bob.sendRaw(websocket.Text, []byte(`{"type":"history","id":99,"topic":"chat.lobby","limit":50}`))
	bob.expectText("Ann", "text 2")
	bob.expectText("Ann", "text 3")
	if f := bob.expect("message"); len(f.picture) != 2000 {
		t.Errorf("picture: %+v", f)
	}
	bob.expect("reply")
}

// TestRetries sends a message twice, as a client does that lost the connection before it heard of the first.
func TestRetries(t *testing.T) {
	at := start(t, Options{})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	publish := map[string]any{"type": "publish", "topic": "chat.lobby", "messageId": "one", "data": map[string]any{"text": "once"}}
	if f := bob.ask(publish); f.Duplicate {
		t.Error("the first is a duplicate")
	}
	if f := bob.ask(publish); !f.Duplicate {
		t.Errorf("the second: %+v", f)
	}
	bob.text("lobby", "next")
	ann.expect("join")
	ann.expectText("Bob", "once")
	ann.expectText("Bob", "next")
}

func TestRates(t *testing.T) {
	at := start(t, Options{MessageBurst: 3, MessageRate: 0.001, ByteBurst: 50_000, ByteRate: 10_000})
	ann := enter(t, at, "Ann", "lobby")
	for i := range 3 {
		ann.text("lobby", fmt.Sprint(i))
	}
	if f := ann.say("lobby", "more"); f.Code != "rate" || f.Retry < 1000 {
		t.Errorf("a fourth message: %+v", f)
	}
	bob := enter(t, at, "Bob", "lobby") // has a rate of his own
	bob.goInto("tea-house")
	if f := bob.sendPicture("lobby", "", sample("image/png", 45_000)); f.Type != "reply" {
		t.Error(f.Code)
	}
	if f := bob.sendPicture("tea-house", "", sample("image/png", 40_000)); f.Code != "rate" || f.Retry < 1 || f.Retry > 4000 {
		t.Errorf("too many bytes: %+v", f)
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	b := bucket{rate: 10, burst: 20}
	for range 20 {
		if wait := b.wait(1, now); wait != 0 {
			t.Fatalf("wait of %v within the burst", wait)
		}
		b.take(1)
	}
	if wait := b.wait(1, now); wait != 100*time.Millisecond {
		t.Errorf("wait %v, want 100ms", wait)
	}
	now = now.Add(500 * time.Millisecond)
	if wait := b.wait(5, now); wait != 0 {
		t.Errorf("5 units are there after half a second, but the wait is %v", wait)
	}
	if wait := b.wait(15, now); wait != time.Second {
		t.Errorf("wait %v, want 1s", wait)
	}
	if wait := b.wait(20, now.Add(time.Hour)); wait != 0 {
		t.Errorf("the whole burst after an hour, but the wait is %v", wait)
	}
}

// TestRationsAreBounded: sessions that have been idle make room for others.
func TestRationsAreBounded(t *testing.T) {
	r := newRations(1, 10)
	now := time.Unix(1000, 0)
	for i := range maxRations {
		if wait := r.take(fmt.Sprint(i), 5, now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := r.take("more", 1, now); wait == 0 || len(r.all) != maxRations {
		t.Errorf("%v, %d sessions", wait, len(r.all))
	}
	if wait := r.take("more", 1, now.Add(5*time.Second)); wait != 0 || len(r.all) != 1 {
		t.Errorf("%v, %d sessions", wait, len(r.all))
	}
}

func TestRooms(t *testing.T) {
	at := start(t, Options{Rooms: []string{"lobby", "tea"}})
	enter(t, at, "Ann", "lobby")
	enter(t, at, "Ann", "secret")
	header, body := at.get(t, "chat/rooms")
	const want = `{"limits":{"text":4000,"picture":8388608},"rooms":[{"name":"lobby","members":1},{"name":"tea","members":0}]}` + "\n"
	if body != want || header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("rooms: %s %v", body, header)
	}
}

// TestSmallFrames: pictures are no larger than the frames that are configured.
func TestSmallFrames(t *testing.T) {
	at := startWith(t, Options{}, &showcase.Env{MaxFrame: 100 << 10}, nil)
	if _, body := at.get(t, "chat/rooms"); !strings.Contains(body, fmt.Sprint(`"picture":`, 100<<10-frameOverhead)) {
		t.Error(body)
	}
	ann := enter(t, at, "Ann", "lobby")
	ann.sendRaw(websocket.Binary, make([]byte, 101<<10))
	ann.expectClose(websocket.StatusMessageTooBig)
}

// TestSlowReader has somebody in the room who reads nothing: the others never wait for it, and what waits for it is bounded.
func TestSlowReader(t *testing.T) {
	const size, count = 1 << 20, 24
	at := start(t, Options{Picture: picture.Limits{Bytes: size}, HistoryBytes: size, MessageBurst: 100, ByteBurst: 1 << 30})
	ann := enter(t, at, "Ann", "lobby")
	enter(t, at, "Slow", "lobby")
	bob := enter(t, at, "Bob", "lobby")
	ann.expect("join")
	ann.expect("join")
	photo := sample("image/jpeg", size)
	for range count {
		if f := ann.sendPicture("lobby", "", photo); f.Type != "reply" {
			t.Fatal(f.Code)
		}
		if f := bob.expect("message"); !bytes.Equal(f.picture, photo) {
			t.Fatal("a picture is damaged")
		}
	}
	if stats := at.hub.Stats(); stats.Rules[0].Pattern != roomPattern || stats.Rules[0].Dropped == 0 {
		t.Errorf("nothing was dropped for the one who does not read: %+v", stats.Rules)
	}
}

// TestClaimed: rules of one's own for chat.… take these topics from the chat.
func TestClaimed(t *testing.T) {
	at := startWith(t, Options{}, &showcase.Env{}, []hub.Rule{{Pattern: "chat.orders"}, {Pattern: "chat.>", TopicOptions: hub.TopicOptions{HistoryMessages: 10}}})
	v := visit(t, at, "<any>")
	for _, topic := range []string{"chat.orders", "chat.>", "chat.lobby.live"} {
		wantRefused(t, topic, v.ask(map[string]any{"type": "subscribe", "topic": topic}), "")
	}
	wantRefused(t, "any data", v.say("orders", 17), "")
	wantRefused(t, "a search", v.request("search", map[string]any{"room": "a", "text": "b"}, nil), hub.CodeUnknownMethod)
	if _, body := at.get(t, "chat/rooms"); !strings.Contains(body, `"members":0`) {
		t.Error(body)
	}
	at = startWith(t, Options{}, &showcase.Env{}, []hub.Rule{{Pattern: ">"}})
	wantRefused(t, "any data where the chat is not meant", enter(t, at, "Ann", "lobby").say("lobby", 17), codeBadMessage)
}
