package chat

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/picture"
)

// replyTo is what a client says about the message that it replies to.
func replyTo(f frame) map[string]any {
	return map[string]any{"epoch": f.Epoch, "offset": f.Offset, "from": "Eve", "text": "what was never said"}
}

// TestReplies: the server says who said what is replied to, whatever the sender claims.
func TestReplies(t *testing.T) {
	at := start(t, Options{MessageBurst: 100})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	ann.expect("join")
	long := ann.say("lobby", map[string]any{"text": "first\n  line\u202e " + strings.Repeat("字", 200)})
	photo := ann.sendPicture("lobby", "hills.png", sample("image/png", 100))
	for _, c := range []struct {
		to     frame
		wanted quote
	}{
		{long, quote{position{long.Epoch, long.Offset}, "Ann", "first line " + strings.Repeat("字", 69), false}},
		{photo, quote{position{photo.Epoch, photo.Offset}, "Ann", "hills.png", true}},
	} {
		wantRefused(t, "a reply", bob.say("lobby", map[string]any{"text": "yes", "reply": replyTo(c.to), "mood": 7}), "")
		wantRefused(t, "a picture as a reply", bob.say("lobby", map[string]any{
			"picture": base64.StdEncoding.EncodeToString(sample("image/gif", 20)), "reply": replyTo(c.to),
		}), "")
	}
	ann.expect("message") // its own text
	for range 2 {
		var said struct {
			Text  string
			Reply quote
			Mood  int
		}
		text := ann.expect("message")
		if err := json.Unmarshal(text.Data, &said); err != nil || said.Text != "yes" || said.Mood != 7 || said.Reply.From != "Ann" || strings.Contains(said.Reply.Text, "never") {
			t.Errorf("%s, %v", text.Data, err)
		}
		if meta := ann.expect("message").Meta; meta.Reply == nil || *meta.Reply != said.Reply || len(mustJSON(meta)) > 1<<10 {
			t.Errorf("%+v", meta)
		}
	}
	for name, reply := range map[string]any{
		"another epoch": map[string]any{"epoch": "x", "offset": long.Offset}, "the future": map[string]any{"epoch": long.Epoch, "offset": uint64(1) << 50},
		"no offset": map[string]any{"epoch": long.Epoch}, "nothing in it": map[string]any{},
	} {
		wantRefused(t, name, bob.say("lobby", map[string]any{"text": "yes", "reply": reply}), codeUnknownMessage)
	}
	for name, reply := range map[string]any{"a text": "Ann", "a negative offset": map[string]any{"offset": -1}, "a list": []any{}} {
		wantRefused(t, name, bob.say("lobby", map[string]any{"text": "yes", "reply": reply}), codeBadMessage)
	}
	bob.sendRaw(1, fmt.Appendf(nil, `{"type":"publish","id":99,"topic":"chat.lobby","data":{"text":"twice","reply":{"from":"Eve"},"Reply":1,"reply":null}}`))
	if f := ann.expect("message"); strings.Contains(string(f.Data), "Eve") {
		t.Errorf("a quote that was not checked: %s", f.Data)
	}
}

// TestQuotesOfOtherRooms: a reply quotes its own room only, so nothing is learnt about rooms whose name one does not know.
func TestQuotesOfOtherRooms(t *testing.T) {
	at := start(t, Options{})
	ann, bob := enter(t, at, "Ann", "secret"), enter(t, at, "Bob", "lobby")
	said := ann.say("secret", "psst")
	wantRefused(t, "another room", bob.say("lobby", map[string]any{"text": "?", "reply": replyTo(said)}), codeUnknownMessage)
}

// signal publishes what somebody says about itself.
func (v *visitor) signal(topic string, data any) frame {
	v.t.Helper()
	return v.ask(map[string]any{"type": "publish", "topic": "chat." + topic, "data": data, "key": "forged", "meta": map[string]any{"x": 1}})
}

func TestSignals(t *testing.T) {
	at := start(t, Options{})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "lobby")
	ann.expect("join")
	said := ann.say("lobby", "hello")
	bob.expect("message")
	ann.expect("message")
	for _, topic := range []string{"chat.lobby.live", "chat.lobby.read"} {
		wantRefused(t, topic, ann.ask(map[string]any{"type": "subscribe", "topic": topic}), "")
	}
	wantRefused(t, "typing", bob.signal("lobby.live", map[string]any{"typing": true, "text": "smuggled"}), "")
	f := ann.expect("message")
	if string(f.Data) != `{"typing":true}` || !strings.HasPrefix(f.Key, "~") || f.From.Info.Name != "Bob" || f.Topic != "chat.lobby.live" {
		t.Errorf("typing: %+v %s", f, f.Data)
	}
	read := map[string]any{"read": map[string]any{"epoch": said.Epoch, "offset": said.Offset}}
	wantRefused(t, "read", bob.signal("lobby.read", read), "")
	if f := ann.expect("message"); string(f.Data) != fmt.Sprintf(`{"read":{"epoch":%q,"offset":%d}}`, said.Epoch, said.Offset) {
		t.Errorf("read: %s", f.Data)
	}
	cid := enter(t, at, "Cid", "lobby")
	cid.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby.read", "last": 100})
	if f := cid.expect("message"); f.From.Info.Name != "Bob" {
		t.Errorf("who comes later learns who has read: %+v", f)
	}
	eve := visit(t, at, "Eve")
	for name, c := range map[string]struct {
		got  frame
		code hub.Code
	}{
		"typing unseen":        {eve.signal("lobby.live", map[string]any{"typing": true}), codeNotHere},
		"reading unseen":       {eve.signal("lobby.read", read), codeNotHere},
		"listening unseen":     {eve.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby.live"}), codeNotHere},
		"watching unseen":      {eve.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby.read"}), codeNotHere},
		"news of one's own":    {bob.signal("lobby.news", map[string]any{"offset": 1}), hub.CodeForbidden},
		"a text as typing":     {bob.signal("lobby.live", map[string]any{"text": "hi"}), codeBadSignal},
		"a number":             {bob.signal("lobby.live", 7), codeBadSignal},
		"a wrong type":         {bob.signal("lobby.live", map[string]any{"typing": "yes"}), codeBadSignal},
		"read where one types": {bob.signal("lobby.live", read), codeBadSignal},
		"both":                 {bob.signal("lobby.read", map[string]any{"typing": true, "read": read["read"]}), codeBadSignal},
		"the future":           {bob.signal("lobby.read", map[string]any{"read": map[string]any{"epoch": said.Epoch, "offset": uint64(1) << 50}}), codeUnknownMessage},
		"no place":             {bob.signal("lobby.read", map[string]any{"read": map[string]any{}}), codeUnknownMessage},
		"a novel":              {bob.signal("lobby.live", map[string]any{"typing": true, "x": strings.Repeat("x", maxSignal)}), hub.CodeTooLarge},
		"a malformed room":     {bob.signal("a+b.live", map[string]any{"typing": true}), codeRoomMalformed},
	} {
		wantRefused(t, name, c.got, c.code)
	}
}

// TestUnread: who looks at another room is told that something was said, and learns how much of it.
func TestUnread(t *testing.T) {
	at := start(t, Options{MessageBurst: 300})
	ann, bob := enter(t, at, "Ann", "lobby"), enter(t, at, "Bob", "tea")
	first := ann.say("lobby", "before")
	wantRefused(t, "news", bob.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby.news"}), "")
	count := func(since frame) int {
		t.Helper()
		var answer unreadAnswer
		question := map[string]any{"rooms": []any{map[string]any{"room": "lobby", "epoch": since.Epoch, "offset": since.Offset}}}
		if f := bob.request("unread", question, &answer); f.Type != "reply" || len(answer.Rooms) != 1 || answer.Rooms[0].Room != "lobby" {
			t.Fatalf("%s: %+v", f.Code, answer)
		}
		return answer.Rooms[0].Unread
	}
	if n := count(first); n != 0 {
		t.Errorf("%d before anything was said", n)
	}
	ann.text("lobby", "one")
	for f := bob.expect("message"); f.Topic != "chat.lobby.news" || strings.Contains(string(f.Data), "one"); {
		t.Fatalf("%+v %s", f, f.Data)
	}
	if n := count(first); n != 1 {
		t.Errorf("%d after one message", n)
	}
	if n := count(frame{Epoch: "another", Offset: 1 << 40}); n != 2 {
		t.Errorf("%d after the server forgot everything", n)
	}
	bob.goInto("lobby")
	bob.text("lobby", "my own")
	if n := count(first); n != 1 {
		t.Errorf("%d with a message of one's own", n)
	}
	for i := range 120 {
		ann.text("lobby", fmt.Sprint(i))
	}
	if n := count(first); n != maxUnread-1 {
		t.Errorf("%d of very many", n)
	}
	many := make([]any, maxRooms+1)
	for i := range many {
		many[i] = map[string]any{"room": "lobby"}
	}
	wantRefused(t, "many rooms", bob.request("unread", map[string]any{"rooms": many}, nil), hub.CodeBadRequest)
	wantRefused(t, "a malformed room", bob.request("unread", map[string]any{"rooms": []any{map[string]any{"room": "a.b"}}}, nil), codeRoomMalformed)
	wantRefused(t, "a list", bob.request("unread", []any{}, nil), hub.CodeBadRequest)
}

// TestNewsStop: while nobody wants to know, nobody listens.
func TestNewsStop(t *testing.T) {
	at := start(t, Options{})
	if n := at.hub.Stats().Subscribers; n != 0 {
		t.Errorf("%d subscribers in an empty server", n)
	}
	c := newChat(&showcase.Env{Hub: at.hub}, Options{})
	wake(c.wanted)
	if !c.isWanted(t.Context()) || c.isWanted(t.Context()) {
		t.Error("who has just come is waited for once")
	}
	bob := visit(t, at, "Bob")
	wantRefused(t, "news", bob.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby.news"}), "")
	if !c.isWanted(t.Context()) {
		t.Error("somebody is there")
	}
	wantRefused(t, "no news", bob.ask(map[string]any{"type": "unsubscribe", "topic": "chat.lobby.news"}), "")
	if c.isWanted(t.Context()) {
		t.Error("nobody is there any more")
	}
}

func TestSearch(t *testing.T) {
	at := start(t, Options{MessageBurst: 500, QuestionRate: 0.001})
	ann := enter(t, at, "Ann", "lobby")
	for i := range 130 {
		ann.text("lobby", fmt.Sprint("message ", i))
	}
	ann.text("lobby", strings.Repeat("İ ", 300)+"Needle in Straße "+strings.Repeat("hay ", 300))
	ann.sendPicture("lobby", "needle.png", sample("image/png", 100))
	ann.text("lobby", "<b>NEEDLE</b>")
	var found searchAnswer
	wantRefused(t, "search", ann.request("search", map[string]any{"room": "lobby", "text": " nEEdle "}, &found), "")
	if len(found.Matches) != 3 || found.More || found.Matches[0].Text != "<b>NEEDLE</b>" || found.Matches[1].Text != "needle.png" || !found.Matches[1].Picture {
		t.Fatalf("%+v", found)
	}
	if m := found.Matches[2]; !strings.HasPrefix(m.Text, "…") || !strings.Contains(m.Text, "Needle in Straße hay") || len([]rune(m.Text)) > maxExcerpt+2 ||
		m.From != "Ann" || m.Offset == 0 || m.Epoch == "" || time.Since(time.UnixMilli(m.Time)).Abs() > time.Minute {
		t.Errorf("%+v", m)
	}
	wantRefused(t, "search", ann.request("search", map[string]any{"room": "lobby", "text": "message"}, &found), "")
	if len(found.Matches) != maxMatches || !found.More || found.Matches[0].Text != "message 129" || found.Matches[49].Text != "message 80" {
		t.Errorf("%d, %v, %+v", len(found.Matches), found.More, found.Matches[0])
	}
	wantRefused(t, "search", ann.request("search", map[string]any{"room": "nobody-was-here", "text": "x"}, &found), "")
	if len(found.Matches) != 0 || found.More {
		t.Errorf("%+v", found)
	}
	for name, question := range map[string]any{
		"no text": map[string]any{"room": "lobby"}, "spaces": map[string]any{"room": "lobby", "text": " \n"},
		"a novel": map[string]any{"room": "lobby", "text": strings.Repeat("x", maxSearch+1)},
	} {
		wantRefused(t, name, ann.request("search", question, nil), codeSearchTooShort)
	}
	wantRefused(t, "another topic", ann.request("search", map[string]any{"room": "lobby.read", "text": "epoch"}, nil), codeRoomMalformed)
	wantRefused(t, "a list", ann.request("search", []any{}, nil), hub.CodeBadRequest)
	for i := 3; i < questionBurst; i++ {
		wantRefused(t, "search", ann.request("search", map[string]any{"room": "lobby", "text": "x"}, nil), "")
	}
	if f := ann.request("search", map[string]any{"room": "lobby", "text": "x"}, nil); f.Code != string(codeTooManyQuestions) || f.Retry < 1 {
		t.Errorf("one question too many: %+v", f)
	}
}

// TestScrollingBack: the past comes page by page, to the beginning, each message once.
func TestScrollingBack(t *testing.T) {
	at := start(t, Options{MessageBurst: 600})
	ann := enter(t, at, "Ann", "lobby")
	for i := range 510 {
		ann.text("lobby", fmt.Sprint(i))
		ann.expect("message")
	}
	bob := visit(t, at, "Bob")
	before, next := uint64(0), 509
	for more := true; more; {
		query := map[string]any{"type": "history", "topic": "chat.lobby", "limit": 50}
		if before > 0 {
			query["before"] = before
		}
		reply := bob.ask(query)
		page := bob.early
		bob.early = nil
		for i := len(page) - 1; i >= 0; i-- {
			if want := fmt.Sprintf(`{"text":"%d"}`, next); string(page[i].Data) != want {
				t.Fatalf("%s instead of %s", page[i].Data, want)
			}
			next--
		}
		more, before = reply.More, page[0].Offset
	}
	if next != 9 {
		t.Errorf("the oldest is %d, want 10: a room remembers 500", next+1)
	}
}

func TestTooManyPixels(t *testing.T) {
	at := start(t, Options{Picture: picture.Limits{Pixels: 1000}})
	wantRefused(t, "a bomb", enter(t, at, "Ann", "lobby").sendPicture("lobby", "", sample("image/png", 100)), codePictureTooMany)
}

// FuzzMessage: what passes is a text or a picture, and its meta is as the page expects it; what does not is refused with a code.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		`"hi"`, `{"text":"hi"}`, `{"picture":"R0lGODlhAQABAAAAAAA","name":"\u0000<"}`, ` {"text":null,"picture":null}`, `[]`,
		`{"text":"hi","reply":{"epoch":"x","offset":1}}`, `{"text":"hi","Text":7,"reply":null}`,
	} {
		f.Add([]byte(s), []byte(nil), false)
	}
	f.Add(sample("image/gif", 20), []byte(`{"name":"a.gif","mime":"text/html","reply":{}}`), true)
	h, err := hub.New(hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{HistoryMessages: 1}}}, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	c := newChat(&showcase.Env{Hub: h}, Options{Picture: picture.Limits{Bytes: 1000}})
	f.Fuzz(func(t *testing.T, data, meta []byte, binary bool) {
		if !binary && !json.Valid(data) {
			return // the hub has refused it
		}
		call := &hub.PublishCall{
			Context: t.Context(), Session: rand.Text(), Identity: &hub.Identity{User: "~1", Anonymous: true}, Topic: "chat.a",
			Publication: &hub.Publication{Data: data, Meta: meta, Binary: binary},
		}
		err := c.publish(call)
		if _, known := errors.AsType[*hub.Error](err); err != nil {
			if !known {
				t.Fatal(err)
			}
			return
		}
		p := call.Publication
		if !p.Binary {
			if len(p.Data) > 2*maxTextBytes || !json.Valid(p.Data) {
				t.Fatalf("a text of %d bytes", len(p.Data))
			}
			return
		}
		var m pictureMeta
		if err := json.Unmarshal(p.Meta, &m); err != nil || len(p.Meta) > 1<<10 || m.MIME != picture.Type(p.Data) || m.Width < 1 || m.Reply != nil || len(p.Data) > 1000 {
			t.Fatalf("%d bytes with %s, %v", len(p.Data), p.Meta, err)
		}
	})
}
