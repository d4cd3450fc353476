package server

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

func TestChat(t *testing.T) {
	address := start(t, Config{})
	ann, welcome := enter(t, address, "Ann")
	if welcome.Room != "lobby" || welcome.Name != "Ann" || !slices.Equal(welcome.Members, []string{"Ann"}) || welcome.History != 0 ||
		welcome.Limits != (limits{4000, 8 << 20}) {
		t.Errorf("welcome: %+v", welcome)
	}
	bob, welcome := enter(t, address, "小伟 B.")
	if !slices.Equal(welcome.Members, []string{"Ann", "小伟 B."}) {
		t.Errorf("members: %q", welcome.Members)
	}
	if f := ann.expect("joined"); f.Name != "小伟 B." || f.Time == 0 {
		t.Errorf("joined: %+v", f)
	}
	other, _ := enterWith(t, address, url.Values{"room": {"茶馆"}, "name": {"Ann"}}) // the same name in another room

	const markup = `<b>& "quotes"</b> 🎉`
	ann.sendText(markup)
	for _, c := range []*client{ann, bob} {
		c.expectText("Ann", markup)
	}
	bob.sendJSON(incoming{Type: "text", ID: "my-id", Text: "hi"})
	for _, c := range []*client{ann, bob} {
		if f := c.expect("message"); f.ID != "my-id" || f.From != "小伟 B." || time.Since(time.UnixMilli(f.Time)).Abs() > time.Minute {
			t.Errorf("message: %+v", f)
		}
	}
	bob.sendJSON(incoming{Type: "ping"})
	bob.expect("pong")
	if err := bob.Close(t.Context(), websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if f := ann.expect("left"); f.Name != "小伟 B." {
		t.Errorf("left: %+v", f)
	}
	other.sendText("alone")
	other.expectText("Ann", "alone") // and nothing of the lobby before it
}

// TestAdmission asks both ways: the handshake and the question of a page that wants to know why the handshake failed.
func TestAdmission(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{RoomMembers: 2}})
	enter(t, address, "Ann")
	enterWith(t, address, url.Values{"room": {"full"}, "name": {"Ann"}})
	enterWith(t, address, url.Values{"room": {"full"}, "name": {"Bob"}})
	const token = "0123456789abcdef"
	for _, c := range []struct {
		room, name, token string
		status            int
		code              string
	}{
		{"lobby", "Bob", "", 200, ""},
		{"lobby", "O'Neil-Smith Jr.", "", 200, ""},
		{"lobby", "李小龙", token, 200, ""},
		{"lobby", "ann", "", 409, "name-taken"},
		{"lobby", "ANN", token, 409, "name-taken"},
		{"full", "Eve", "", 503, "room-full"},
		{"", "Bob", "", 400, "room-malformed"},
		{"a b", "Bob", "", 400, "room-malformed"},
		{"a.b", "Bob", "", 400, "room-malformed"},
		{"*", "Bob", "", 400, "room-malformed"},
		{"\xff", "Bob", "", 400, "room-malformed"},
		{strings.Repeat("房", 33), "Bob", "", 400, "room-malformed"},
		{"lobby", "", "", 400, "name-malformed"},
		{"lobby", " Bob", "", 400, "name-malformed"},
		{"lobby", "Bob  B", "", 400, "name-malformed"},
		{"lobby", "<script>", "", 400, "name-malformed"},
		{"lobby", "a\u202eb", "", 400, "name-malformed"},
		{"lobby", "a\x00b", "", 400, "name-malformed"},
		{"lobby", "\xff", "", 400, "name-malformed"},
		{"lobby", "-bob", "", 400, "name-malformed"},
		{"lobby", strings.Repeat("n", 25), "", 400, "name-malformed"},
		{"lobby", "Bob", "short", 400, "token-malformed"},
		{"lobby", "Bob", strings.Repeat("t", 65), 400, "token-malformed"},
		{"lobby", "Bob", "0123456789abcde!", 400, "token-malformed"},
	} {
		t.Run(fmt.Sprintf("%.10q/%.10q", c.room, c.name), func(t *testing.T) {
			query := url.Values{"room": {c.room}, "name": {c.name}, "token": {c.token}}
			response, body := get(t, address+"chat/check?"+query.Encode(), nil)
			if response.StatusCode != c.status || !strings.Contains(body, c.code) || response.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("check: %d %s %v, want %d %s", response.StatusCode, body, response.Header, c.status, c.code)
			}
			if c.status == 200 {
				return
			}
			_, err := dial(t, address, query)
			refused := handshakeError(t, err)
			if refused.Status != c.status || string(refused.Body) != body || refused.Header.Get("Content-Type") != "application/json" {
				t.Errorf("handshake: %d %s, want what the check says", refused.Status, refused.Body)
			}
		})
	}
}

func TestOtherOriginsAreRefused(t *testing.T) {
	address := start(t, Config{})
	for origin, want := range map[string]int{"https://evil.example": 403, strings.TrimSuffix(address, "/"): 101} {
		response, body := get(t, address+"chat?room=lobby&name=Ann", http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Origin": {origin},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		})
		if response.StatusCode != want {
			t.Errorf("origin %s: %d %s, want %d", origin, response.StatusCode, body, want)
		}
	}
}

func TestTakeover(t *testing.T) {
	address := start(t, Config{})
	query := url.Values{"room": {"lobby"}, "name": {"Ann"}, "token": {"0123456789abcdef"}}
	old, _ := enterWith(t, address, query)
	bob, _ := enter(t, address, "Bob")
	old.expect("joined")

	now, welcome := enterWith(t, address, query) // the network lost the old connection, and only the tab knows
	if !slices.Equal(welcome.Members, []string{"Ann", "Bob"}) {
		t.Errorf("members: %q", welcome.Members)
	}
	old.expectClose(closeReplaced)
	now.sendText("back")
	bob.expectText("Ann", "back") // and no notice before it
	now.expectText("Ann", "back")

	query.Set("token", "another-token-000")
	if _, err := dial(t, address, query); handshakeError(t, err).Status != http.StatusConflict {
		t.Errorf("a wrong token: %v", err)
	}
}

// samples are the shortest beginnings that make each kind of picture, filled up to a size.
func sample(mime string, size int) []byte {
	head := map[string]string{
		"image/png":  "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
		"image/jpeg": "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
		"image/gif":  "GIF89a\x01\x00\x01\x00\x00\x00",
		"image/webp": "RIFF\x24\x00\x00\x00WEBPVP8 ",
		"image/avif": "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00avifmif1miaf",
	}[mime]
	picture := append([]byte(head), make([]byte, max(0, size-len(head)))...)
	for i := len(head); i < len(picture); i++ {
		picture[i] = byte(i * 7)
	}
	return picture
}

var pictureTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}

func TestPictures(t *testing.T) {
	address := start(t, Config{})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	for i, mime := range pictureTypes {
		picture := sample(mime, 1<<20*i)
		id := fmt.Sprint("picture-", i)
		ann.sendPicture(id, "<holiday>.svg", picture)
		if f := ann.expect("accepted"); f.ID != id || f.Time == 0 {
			t.Errorf("accepted: %+v", f)
		}
		f := bob.expect("picture")
		if f.ID != id || f.From != "Ann" || f.MIME != mime || f.Name != "<holiday>.svg" || !bytes.Equal(f.picture, picture) {
			t.Errorf("%s: got %s %q from %q, %d bytes", mime, f.MIME, f.Name, f.From, len(f.picture))
		}
	}
}

// TestPicturesAsBase64 sends what a uni-app or WeChat page does.
func TestPicturesAsBase64(t *testing.T) {
	address := start(t, Config{})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	picture := sample("image/png", 1000)
	std := base64.StdEncoding.EncodeToString(picture)
	for name, data := range map[string]string{
		"plain":     std,
		"data URL":  "data:image/jpeg;base64," + std, // the type is taken from the bytes
		"unpadded":  strings.TrimRight(std, "="),
		"URL-safe":  base64.URLEncoding.EncodeToString(picture),
		"in lines":  std[:76] + "\r\n" + std[76:] + "\n",
		"with name": std,
	} {
		ann.sendJSON(incoming{Type: "picture", Name: name, Data: data})
		ann.expect("accepted")
		if f := bob.expect("picture"); f.MIME != "image/png" || f.Name != name || !bytes.Equal(f.picture, picture) {
			t.Errorf("%s: got %s %q, %d bytes", name, f.MIME, f.Name, len(f.picture))
		}
	}
	large := sample("image/jpeg", 8<<20)
	ann.sendJSON(incoming{Type: "picture", Data: base64.StdEncoding.EncodeToString(large)})
	ann.expect("accepted")
	if f := bob.expect("picture"); !bytes.Equal(f.picture, large) {
		t.Error("a picture of the largest size did not arrive")
	}
}

// TestBadMessages sends what cannot be passed on: the sender alone is told, and the conversation goes on.
func TestBadMessages(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{PictureBytes: 1000, MessageBurst: 100}})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	picture := func(header string, body []byte) []byte {
		return append(append([]byte{pictureKind, 0, byte(len(header))}, header...), body...)
	}
	for _, c := range []struct {
		name  string
		typ   websocket.MessageType
		frame string
		code  string
		id    string
	}{
		{"no JSON", websocket.Text, `hello`, "bad-json", ""},
		{"an array", websocket.Text, `[]`, "bad-json", ""},
		{"two objects", websocket.Text, `{} {}`, "bad-json", ""},
		{"a wrong type", websocket.Text, `{"type":"text","id":"x","text":7}`, "bad-json", ""},
		{"no type", websocket.Text, `{"id":"x"}`, "unknown-type", "x"},
		{"an unknown type", websocket.Text, `{"type":"dance","id":"x"}`, "unknown-type", "x"},
		{"no text", websocket.Text, `{"type":"text","id":"x"}`, "empty", "x"},
		{"only spaces", websocket.Text, `{"type":"text","id":"x","text":" \n\t"}`, "empty", "x"},
		{"a long text", websocket.Text, `{"type":"text","id":"x","text":"` + strings.Repeat("字", 4001) + `"}`, "text-too-long", "x"},
		{"a bad id", websocket.Text, `{"type":"text","id":"a b","text":"hi"}`, "bad-id", ""},
		{"a long id", websocket.Text, `{"type":"text","id":"` + strings.Repeat("i", 65) + `","text":"hi"}`, "bad-id", ""},
		{"no base64", websocket.Text, `{"type":"picture","id":"x","data":"!!!"}`, "bad-base64", "x"},
		{"a data URL without base64", websocket.Text, `{"type":"picture","id":"x","data":"data:image/png,abc"}`, "bad-base64", "x"},
		{"no picture in base64", websocket.Text, `{"type":"picture","id":"x","data":"aGVsbG8gd29ybGQhIQ=="}`, "not-a-picture", "x"},
		{"no bytes", websocket.Binary, "", "bad-frame", ""},
		{"another kind of frame", websocket.Binary, "\x02\x00\x02{}", "bad-frame", ""},
		{"a header that is cut off", websocket.Binary, "\x01\x00\x09{}", "bad-frame", ""},
		{"a header that is too long", websocket.Binary, "\x01\xff\xff" + strings.Repeat(" ", 1<<16), "bad-frame", ""},
		{"a header that is no JSON", websocket.Binary, "\x01\x00\x02{{", "bad-frame", ""},
		{"no picture", websocket.Binary, string(picture(`{"id":"x"}`, nil)), "not-a-picture", "x"},
		{"SVG", websocket.Binary, string(picture(`{"id":"x"}`, []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`))), "not-a-picture", "x"},
		{"HTML", websocket.Binary, string(picture(`{"id":"x"}`, []byte(`<!doctype html><script>alert(1)</script>`))), "not-a-picture", "x"},
		{"a large picture", websocket.Binary, string(picture(`{"id":"x"}`, sample("image/png", 1001))), "picture-too-large", "x"},
	} {
		ann.sendRaw(c.typ, []byte(c.frame))
		if f := ann.expect("error"); f.Code != c.code || f.ID != c.id {
			t.Errorf("%s: got %s for %q, want %s for %q", c.name, f.Code, f.ID, c.code, c.id)
		}
	}
	ann.sendText("still here")
	bob.expectText("Ann", "still here") // and nothing before it
}

func TestTooLargeForTheProtocol(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{PictureBytes: 1000}})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	if err := ann.Send(websocket.Binary, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	ann.expectClose(websocket.StatusMessageTooBig)
	bob.expect("left")
	bob.sendText("never mind")
	bob.expectText("Bob", "never mind")
}

func TestHistory(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{HistoryMessages: 3, HistoryBytes: 5000}})
	ann, _ := enter(t, address, "Ann")
	for i := range 4 {
		ann.sendText(fmt.Sprint("text ", i))
		ann.expect("message")
	}
	ann.sendPicture("pic", "", sample("image/gif", 1000))
	ann.expect("accepted")
	bob, welcome := enter(t, address, "Bob")
	if welcome.History != 3 {
		t.Errorf("%d messages announced", welcome.History)
	}
	bob.expectText("Ann", "text 2")
	bob.expectText("Ann", "text 3")
	if f := bob.expect("picture"); f.ID != "pic" || len(f.picture) != 1000 {
		t.Errorf("picture: %+v", f)
	}
	bob.sendText("thanks")
	bob.expectText("Bob", "thanks")

	// Everybody leaves; whoever comes then still sees what was said, the own pictures too.
	for _, c := range []*client{ann, bob} {
		_ = c.Close(t.Context(), websocket.StatusNormalClosure, "")
	}
	for rooms := ""; !strings.Contains(rooms, `{"name":"lobby","members":0}`); {
		_, rooms = get(t, address+"chat/rooms", nil) // the server notices a moment later
	}
	again, _ := enter(t, address, "Ann")
	again.expectText("Ann", "text 3")
	again.expect("picture")
	again.expectText("Bob", "thanks")
}

// TestRetries sends a message twice, as a page does that lost the connection before it heard of the first.
func TestRetries(t *testing.T) {
	address := start(t, Config{})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	_ = ann.Close(t.Context(), websocket.StatusNormalClosure, "")
	bob.expect("left")
	for range 2 {
		bob.sendJSON(incoming{Type: "text", ID: "one", Text: "once"})
	}
	bob.expectText("Bob", "once")
	if f := bob.expect("accepted"); f.ID != "one" {
		t.Errorf("accepted: %+v", f)
	}
	for range 2 {
		bob.sendPicture("two", "", sample("image/png", 100))
		bob.expect("accepted")
	}
	_, welcome := enter(t, address, "Ann")
	if welcome.History != 2 {
		t.Errorf("%d messages in the room, want 2", welcome.History)
	}
}

func TestRateLimits(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{MessageBurst: 3, MessageRate: 0.001, PictureBytes: 100_000}})
	ann, _ := enter(t, address, "Ann")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	for i := range 3 {
		ann.sendText(fmt.Sprint(i))
		ann.expectText("Ann", fmt.Sprint(i))
	}
	for i := range tooManyRefusals {
		ann.sendJSON(incoming{Type: "text", ID: fmt.Sprint(i), Text: "more"})
		if f := ann.expect("error"); f.Code != "rate" || f.ID != fmt.Sprint(i) || f.Retry < 1000 {
			t.Fatalf("refusal: %+v", f)
		}
	}
	ann.expectClose(websocket.StatusPolicyViolation)
	for i := range 3 {
		bob.expectText("Ann", fmt.Sprint(i))
	}
	bob.expect("left")
	bob.sendText("fine") // each connection has a rate of its own
	bob.expectText("Bob", "fine")
}

func TestByteRate(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{ByteBurst: 5000, ByteRate: 10_000}})
	ann, _ := enter(t, address, "Ann")
	ann.sendPicture("one", "", sample("image/png", 4900))
	ann.expect("accepted")
	ann.sendPicture("two", "", sample("image/png", 4900))
	f := ann.expect("error")
	if f.Code != "rate" || f.ID != "two" || f.Retry < 1 || f.Retry > 500 {
		t.Errorf("refusal: %+v", f)
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

func TestRooms(t *testing.T) {
	address := start(t, Config{Chat: ChatConfig{Rooms: []string{"lobby", "tea"}}})
	enter(t, address, "Ann")
	enterWith(t, address, url.Values{"room": {"secret"}, "name": {"Ann"}})
	response, body := get(t, address+"chat/rooms", nil)
	const want = `{"rooms":[{"name":"lobby","members":1},{"name":"tea","members":0}]}` + "\n"
	if body != want || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("rooms: %s %v", body, response.Header)
	}
}

// TestSlowReader has somebody in the room who reads nothing: it is sent away, and the others never wait for it.
func TestSlowReader(t *testing.T) {
	const size, count = 1 << 20, 24
	address := start(t, Config{Chat: ChatConfig{PictureBytes: size, HistoryBytes: size, MessageBurst: 100, ByteBurst: 1 << 30}})
	ann, _ := enter(t, address, "Ann")
	rawEcho(t, strings.TrimPrefix(address, "http://"), "/chat?room=lobby&name=Slow")
	ann.expect("joined")
	bob, _ := enter(t, address, "Bob")
	ann.expect("joined")
	picture := sample("image/jpeg", size)
	for range count {
		ann.sendPicture("", "", picture)
		ann.expect("accepted")
		if f := bob.expect("picture"); !bytes.Equal(f.picture, picture) {
			t.Fatal("a picture is damaged")
		}
	}
	for _, c := range []*client{ann, bob} {
		if f := c.expect("left"); f.Name != "Slow" {
			t.Errorf("left: %+v", f)
		}
	}
}

// TestLateRefusals: between the handshake's check and the joining, another may take the last place or the name.
func TestLateRefusals(t *testing.T) {
	unchecked := func(u *websocket.Upgrade) error {
		a, refused := readAdmission(u.Request.URL.Query())
		if refused != nil {
			return refused.handshakeError()
		}
		u.SetAttribute(admissionKey{}, a)
		return nil
	}
	for _, c := range []struct {
		name      string
		intercept []func(*websocket.Upgrade) error
		code      websocket.StatusCode
	}{
		{"Ann", []func(*websocket.Upgrade) error{unchecked}, closeNameTaken},
		{"Bob", []func(*websocket.Upgrade) error{unchecked}, closeRoomFull},
		{"Bob", nil, websocket.StatusAbnormalClosure}, // wired wrongly: nobody enters without having been checked
	} {
		chat := newChat(ChatConfig{RoomMembers: 1}, quiet)
		chat.socket.Accept.Interceptors = c.intercept
		mux := http.NewServeMux()
		mux.Handle("/chat", chat.socket)
		server := httptest.NewServer(mux)
		defer server.Close()
		defer chat.socket.Shutdown(t.Context())
		query := url.Values{"room": {"lobby"}, "name": {"Ann"}}
		if c.intercept != nil {
			enterWith(t, server.URL+"/", query)
		}
		query.Set("name", c.name)
		late, err := dial(t, server.URL+"/", query)
		if err != nil {
			t.Fatal(err)
		}
		late.expectClose(c.code)
	}
}
