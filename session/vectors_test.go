package session

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// vectors are the examples of docs/protocol.md of one side, in their order.
func vectors(t *testing.T, side string) (found [][]byte, binary []bool) {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```(json|hex) "+side+"\n(.*?)\n```").FindAllSubmatch(text, -1) {
		p := m[2]
		if isHex := string(m[1]) == "hex"; isHex {
			if p, err = hex.DecodeString(string(p)); err != nil {
				t.Fatal(err)
			}
		}
		found, binary = append(found, p), append(binary, string(m[1]) == "hex")
	}
	return found, binary
}

// Every example of a client's frame is understood, and nothing in it is unknown.
func TestVectorsOfClients(t *testing.T) {
	frames, binary := vectors(t, "client")
	seen := make(map[string]bool)
	for i, p := range frames {
		c, err := parse(binary[i], p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		seen[c.Type] = true
		if _, known := commands[c.Type]; !known && c.Type != "connect" {
			t.Errorf("%s: no such command", p)
		}
		object := p
		if binary[i] {
			object = p[2 : len(p)-len(c.payload)]
			if !bytes.Equal(c.payload, []byte{1, 2, 3}) {
				t.Errorf("%x: payload %x", p, c.payload)
			}
		}
		strict := json.NewDecoder(bytes.NewReader(object))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&command{}); err != nil {
			t.Errorf("%s: %v", object, err)
		}
	}
	for name := range commands {
		if !seen[name] {
			t.Errorf("docs/protocol.md has no example of %q", name)
		}
	}
}

// Every example of a server's frame is, byte for byte, what is sent.
func TestVectorsOfServers(t *testing.T) {
	frames, _ := vectors(t, "server")
	want := serverFrames()
	for i, p := range frames {
		if i >= len(want) {
			t.Errorf("nobody sends the example %s", p)
			continue
		}
		if !bytes.Equal(p, want[i]) {
			t.Errorf("the document says\n%s, but what is sent is\n%s", p, want[i])
		}
	}
	if len(want) > len(frames) {
		t.Errorf("docs/protocol.md has no example of %s", want[len(frames)])
	}
}

// serverFrames makes the examples of docs/protocol.md.
func serverFrames() [][]byte {
	id := func(n uint64) *uint64 { return &n }
	yes, no, one := true, false, 1
	at := func(offset uint64) hub.Position { return hub.Position{Epoch: "k3f9", Offset: offset} }
	noon := time.UnixMilli(1763726400000)
	annInfo, bobInfo := []byte(`{"name":"Ann"}`), []byte(`{"name":"Bob"}`)
	ok := func(a ack) []byte {
		a.Type = "reply"
		return appendJSON(nil, a)
	}
	push := func(m *hub.Message) []byte { return appendPush(nil, m) }
	return [][]byte{
		appendJSON(nil, connectReply{
			Type: "reply", ID: id(1), Session: "8f2kq0a1", User: "ann", Resume: "Xo9w4LmT7bQe", Expires: 1763730000000, Ping: 25000,
			Time: 1763726400000, Limits: connectLimits{1 << 20, 1000},
		}),
		ok(ack{ID: id(2), Topic: "chat.lobby", Epoch: "k3f9", Offset: id(41), Recovered: &yes}),
		ok(ack{ID: id(4)}),
		ok(ack{ID: id(5), Epoch: "k3f9", Offset: id(42)}),
		ok(ack{ID: id(5), Epoch: "k3f9", Offset: id(42), Duplicate: true}),
		appendMessage(nil, &hub.Message{
			Topic: "chat.lobby", Offset: 41, Time: noon, From: hub.Publisher{User: "ann"}, Data: []byte(`{"text":"hello"}`),
		}, 7),
		ok(ack{ID: id(7), Epoch: "k3f9", Messages: &one, More: &no}),
		appendJSON(nil, presenceReply{"reply", id(9), 2, 3, []presenceUser{{"ann", annInfo, 2}, {"bob", nil, 1}}}),
		appendJSON(nil, requestReply{"reply", id(10), []byte(`{"order":17}`)}),
		ok(ack{ID: id(11), Expires: 1763733600000}),
		ok(ack{ID: id(12)}),
		push(&hub.Message{
			Topic: "chat.lobby", Offset: 42, Time: noon, ID: "3e0f5a7c", Key: "ann", From: hub.Publisher{User: "ann", Info: annInfo},
			Meta: []byte(`{"lang":"en"}`), Data: []byte(`{"text":"hi"}`),
		}),
		push(&hub.Message{Topic: "quotes.AAPL", Pattern: "quotes.>", Offset: 7, Time: noon, Key: "AAPL", Data: []byte("231.5")}),
		push(&hub.Message{Topic: "files.a", Offset: 9, Time: noon, Meta: []byte("{}"), Binary: true, Data: []byte{1, 2, 3}}),
		push(&hub.Message{Topic: "cursors.a", Time: noon, Data: []byte(`{"x":7}`)}),
		push(&hub.Message{Kind: hub.KindJoin, Topic: "chat.lobby", From: hub.Publisher{User: "bob", Info: bobInfo}}),
		push(&hub.Message{Kind: hub.KindLeave, Topic: "chat.lobby", From: hub.Publisher{User: "bob"}}),
		push(&hub.Message{Kind: hub.KindGap, Topic: "chat.lobby", Gap: &hub.Gap{Reason: hub.GapExpired, Since: at(12), Until: at(30)}}),
		push(&hub.Message{Kind: hub.KindGap, Topic: "quotes.AAPL", Pattern: "quotes.>", Gap: &hub.Gap{
			Reason: hub.GapSuperseded, Since: at(40), Until: at(55), Count: 12,
		}}),
		push(&hub.Message{Kind: hub.KindUnsubscribed, Topic: "chat.lobby", Reason: hub.Errorf(hub.CodeForbidden, "your token no longer allows it")}),
		appendJSON(nil, disconnectPush{"disconnect", hub.EndRestart, "the server restarts", true, 1500}),
		appendJSON(nil, newError(id(5), &hub.Error{
			Code: hub.CodeRate, Message: "5 messages a second are allowed here; try again in 200 ms", Retry: 200 * time.Millisecond,
		})),
		appendJSON(nil, newError(nil, hub.Errorf("unknown-command", "there is no command %q", "subscirbe"))),
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, p := range []string{"", "{", "[]", "1", `"x"`, "null", "{}", `{"type":""}`, `{"type":1}`, `{"type":"ping"} x`, "{\"type\":\"\xff\"", `{"id":1}`} {
		_, err := parse(false, []byte(p))
		if _, wrong := err.(malformed); !wrong {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", "\x00", "\x00\x02{", "\x00\x0f" + `{"type":"ping"}`, "\x00\x02{}", "\xff\xff" + strings.Repeat(" ", 100)} {
		_, err := parse(true, []byte(p))
		if _, wrong := err.(malformed); !wrong {
			t.Errorf("binary %q: %v", p, err)
		}
	}
	for p, complaint := range map[string]string{
		`{"type":"ping","id":0}`:                                 "id is an integer",
		`{"type":"ping","id":-1}`:                                "id is an integer",
		`{"type":"ping","id":1.5}`:                               "id is an integer",
		`{"type":"ping","id":"1"}`:                               "id is an integer",
		`{"type":"ping","id":9007199254740992}`:                  "id is an integer",
		`{"type":"subscribe","topic":7}`:                         "topic cannot be a number",
		`{"type":"subscribe","topic":"a","since":{"offset":-1}}`: "since.offset cannot be a number",
		`{"type":"publish","topic":"a","data":1,"meta":[]}`:      "meta is an object",
		`{"type":"connect","info":"x"}`:                          "info is an object",
	} {
		c, err := parse(false, []byte(p))
		if _, wrong := err.(malformed); wrong || err == nil || !strings.Contains(err.Error(), complaint) || c == nil || c.Type == "" {
			t.Errorf("%s: %v", p, err)
		}
	}
	c, err := parse(false, []byte(`{"type":"publish","id":3,"topic":null,"data":null,"meta":null,"unknown":{"a":[1]}}`))
	if err != nil || string(c.Data) != "null" || c.Meta != nil || c.Topic != "" {
		t.Errorf("null: %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"type":"connect","id":1,"info":{"a":1}}`, `{"type":"subscribe","topic":"a.>","since":{"epoch":"e","offset":3}}`} {
		f.Add(false, []byte(s))
	}
	f.Add(true, appendFrame(nil, []byte(`{"type":"publish","topic":"a"}`), true, []byte{1, 2}))
	f.Fuzz(func(t *testing.T, isBinary bool, p []byte) {
		c, err := parse(isBinary, p)
		if _, wrong := err.(malformed); wrong != (c == nil) {
			t.Fatalf("%+v, %v", c, err)
		}
		if err != nil {
			return
		}
		m := &hub.Message{Topic: c.Topic, Key: c.Key, ID: c.MessageID, Meta: c.Meta, Data: c.Data, Binary: c.binary, Time: time.UnixMilli(5)}
		if c.binary {
			m.Data = c.payload
		} else if c.Data == nil {
			return
		}
		pushed := appendPush(nil, m)
		if c.binary {
			n := int(pushed[0])<<8 | int(pushed[1])
			if !bytes.Equal(pushed[2+n:], c.payload) {
				t.Fatalf("payload %q became %q", c.payload, pushed)
			}
			pushed = pushed[2 : 2+n]
		}
		if !json.Valid(pushed) {
			t.Fatalf("%q is no JSON", pushed)
		}
	})
}
