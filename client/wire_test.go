package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

var fenced = regexp.MustCompile("(?ms)^```(json|hex) (client|server)\n(.*?)^```$")

// vectors returns the examples of the specification.
func vectors(t *testing.T, form, side string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
		if block[1] == form && block[2] == side {
			found = append(found, strings.TrimSpace(block[3]))
		}
	}
	if len(found) == 0 {
		t.Fatalf("docs/protocol.md has no examples %s %s", form, side)
	}
	return found
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// strict decodes and complains about fields that it would lose.
func strict(t *testing.T, object []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
}

func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if json.Unmarshal(got, &g) != nil || json.Unmarshal(want, &w) != nil || !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCommandVectors(t *testing.T) {
	for _, text := range vectors(t, "json", "client") {
		var cmd command
		strict(t, []byte(text), &cmd)
		typ, p, err := encode(cmd, cmd.Data, false)
		if err != nil || typ != websocket.Text {
			t.Errorf("%s: %v, %v", text, typ, err)
		}
		sameJSON(t, p, []byte(text))
	}
	for _, text := range vectors(t, "hex", "client") {
		want := unhex(t, text)
		object := want[2 : len(want)-3] // the example's bytes are 01 02 03
		var cmd command
		strict(t, object, &cmd)
		typ, p, err := encode(cmd, []byte{1, 2, 3}, true)
		if err != nil || typ != websocket.Binary || !bytes.Equal(p, want) {
			t.Errorf("got %x, %v\nwant %x", p, err, want)
		}
	}
}

func TestFrameVectors(t *testing.T) {
	for _, text := range vectors(t, "json", "server") {
		f, err := decode(websocket.Text, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		strict(t, []byte(text), new(frame))
		got, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, got, []byte(text))
	}
	for _, text := range vectors(t, "hex", "server") {
		f, err := decode(websocket.Binary, unhex(t, text))
		if err != nil {
			t.Fatal(err)
		}
		m := f.message("k3f9")
		want := &Message{
			Topic: "files.a", Position: Position{"k3f9", 9}, Time: time.UnixMilli(1763726400000), Meta: []byte("{}"), Data: []byte{1, 2, 3}, Binary: true,
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("got %+v, want %+v", m, want)
		}
	}
}

func TestFramesBecomeValues(t *testing.T) {
	f, err := decode(websocket.Text, []byte(`{"type":"message","topic":"quotes.AAPL","sub":"quotes.>","offset":7,"time":5,"key":"AAPL","messageId":"i",`+
		`"from":{"user":"ann","info":{"n":1}},"data":null,"later":true}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Message{Topic: "quotes.AAPL", Pattern: "quotes.>", Position: Position{"e", 7}, Time: time.UnixMilli(5), Key: "AAPL", ID: "i",
		From: &User{Name: "ann", Info: []byte(`{"n":1}`)}, Data: []byte("null")}
	if m := f.message("e"); !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	f, err = decode(websocket.Text, []byte(`{"type":"gap","sub":"q.>","reason":"slow","since":{"epoch":"a","offset":1},"until":{"epoch":"a","offset":9},"count":3,"presence":true}`))
	if err != nil {
		t.Fatal(err)
	}
	gap := &Gap{Pattern: "q.>", Reason: GapSlow, Since: Position{"a", 1}, Until: Position{"a", 9}, Count: 3, Presence: true}
	if g := f.gap(); !reflect.DeepEqual(g, gap) {
		t.Errorf("got %+v, want %+v", g, gap)
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, c := range []struct {
		typ websocket.MessageType
		p   string
	}{
		{websocket.Text, ""}, {websocket.Text, "[]"}, {websocket.Text, "{}"}, {websocket.Text, `{"type":1}`}, {websocket.Text, `{"type":"reply","offset":-1}`},
		{websocket.Binary, ""}, {websocket.Binary, "\x00"}, {websocket.Binary, "\x00\x05{}"}, {websocket.Binary, "\x00\x02{}"}, {websocket.Binary, "\xff\xff{}"},
	} {
		if f, err := decode(c.typ, []byte(c.p)); err == nil {
			t.Errorf("%v %q is taken for %+v", c.typ, c.p, f)
		}
	}
}

func TestEncodeNamesWhatIsNotJSON(t *testing.T) {
	for _, c := range []struct {
		cmd    command
		data   string
		binary bool
		says   string
	}{
		{command{Type: "publish"}, "{", false, "Data is not JSON; set Binary"},
		{command{Type: "publish", Meta: []byte("x")}, "1", false, "Meta is not JSON"},
		{command{Type: "publish", Meta: []byte("x")}, "1", true, "Meta is not JSON"},
		{command{Type: "connect", Info: []byte("x")}, "", false, "Info is not JSON"},
		{command{Type: "publish", Meta: []byte(`"` + strings.Repeat("x", maxObject) + `"`)}, "1", true, "at most 65535 bytes"},
	} {
		var typed *Error
		if _, _, err := encode(c.cmd, []byte(c.data), c.binary); !errors.As(err, &typed) || !strings.Contains(typed.Message, c.says) {
			t.Errorf("%+v: %v, want %q", c.cmd, err, c.says)
		}
	}
	if _, p, err := encode(command{Type: "publish"}, []byte(`"<&>"`), false); err != nil || string(p) != `{"type":"publish","data":"<&>"}` {
		t.Errorf("%s, %v", p, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"type":"reply","id":1}`, "\x00\x13{\"type\":\"message\"}\x01\x02"} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, text bool, p []byte) {
		typ := websocket.Binary
		if text {
			typ = websocket.Text
		}
		if got, err := decode(typ, p); err == nil && (got.Type == "" || len(got.Data) > len(p)) {
			t.Errorf("%q is taken for %+v", p, got)
		}
	})
}
