package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

func TestVisible(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hello", "hello"},
		{"Chinese and emoji", "你好 👩‍🚀 ❤️", "你好 👩‍🚀 ❤️"},
		{"window title", "\x1b]0;root\x07", `\x1b]0;root\x07`},
		{"clear screen", "\x1b[2J", `\x1b[2J`},
		{"C1 control sequence introducer", "\u009b2J", `\u009b2J`},
		{"delete", "\x7f", `\x7f`},
		{"right-to-left override", "abc\u202etxt.exe", `abc\u202etxt.exe`},
		{"isolates", "\u2066x\u2069", `\u2066x\u2069`},
		{"line breaks of Unicode", "a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`},
		{"line breaks", "a\r\nb", `a\r\nb`},
		{"tab", "a\tb", `a\tb`},
		{"byte order mark and tags", "\ufeff\U000e0041", `\ufeff\U000e0041`},
		{"not UTF-8", "a\xff\xfeb", `a\xff\xfeb`},
		{"private use", "\ue000", `\ue000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := visible(c.in); got != c.want {
				t.Errorf("visible(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("hello\x1b[2J\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range strings.Join(visibleLines(s), "") + visible(s) {
			if r != '\t' && !harmlessRune(r) {
				t.Fatalf("%q let %U through", s, r)
			}
		}
	})
}

func TestParseHex(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "00ff": "\x00\xff", "00 FF": "\x00\xff", "0x00 0xff": "\x00\xff", "de:ad:be:ef": "\xde\xad\xbe\xef", "1,2": "!", "0g": "!", "f": "!",
	} {
		got, err := parseHex(in)
		if want == "!" {
			if err == nil {
				t.Errorf("parseHex(%q) = %x, want an error", in, got)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("parseHex(%q) = %x, %v; want %x", in, got, err, want)
		}
	}
}

func TestCutKeepsCharactersWhole(t *testing.T) {
	head, left := cut([]byte("你好"), 4)
	if string(head) != "你" || left != 3 {
		t.Errorf("cut = %q, %d", head, left)
	}
	if head, left := cut([]byte("abc"), 3); string(head) != "abc" || left != 0 {
		t.Errorf("cut = %q, %d", head, left)
	}
	if head, left := cut(bytes.Repeat([]byte{0x80}, 10), 6); len(head)+left != 10 || len(head) < 2 {
		t.Errorf("cut of what is no UTF-8 = %d, %d", len(head), left)
	}
}

// shown prints with a printer that print sets up and returns what it wrote.
func shown(set func(*printer), print func(*printer)) string {
	var b bytes.Buffer
	p := &printer{messages: &b, notices: &b, now: func() time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	}}
	set(p)
	print(p)
	return b.String()
}

func TestPrinter(t *testing.T) {
	terminal := func(p *printer) { p.terminal = true }
	pipe := func(*printer) {}
	text := func(s string) func(*printer) {
		return func(p *printer) { p.message(websocket.Text, []byte(s)) }
	}
	binary := func(s string) func(*printer) {
		return func(p *printer) { p.message(websocket.Binary, []byte(s)) }
	}
	const dump = "00000000  68 69 00                                          |hi.|\n"
	for _, c := range []struct {
		name  string
		set   func(*printer)
		print func(*printer)
		want  string
	}{
		{"text on a terminal", terminal, text("hi"), "< hi\n"},
		{"lines on a terminal", terminal, text("hi\n* closed\n"), "< hi\n  * closed\n  \n"},
		{"escapes on a terminal", terminal, text("\x1b[2J"), `< \x1b[2J` + "\n"},
		{"escapes in a pipe", pipe, text("\x1b[2J"), "\x1b[2J\n"},
		{"empty text", terminal, text(""), "< \n"},
		{"binary on a terminal", terminal, binary("hi\x00"), "< binary, 3 bytes\n  " + dump},
		{"binary in a pipe", pipe, binary("hi\x00"), dump},
		{"empty binary", terminal, binary(""), "< binary, 0 bytes\n"},
		{"raw", func(p *printer) { p.raw = true }, binary("\x00\x1b"), "\x00\x1b"},
		{"timestamps", func(p *printer) { p.terminal, p.stamps = true, true }, text("a\nb"), "03:04:05.678 < a\n03:04:05.678   b\n"},
		{"JSON", func(p *printer) { p.json = true }, text(`{"b":1.0,"a":[]}`), "{\n  \"b\": 1.0,\n  \"a\": []\n}\n"},
		{"no JSON", func(p *printer) { p.json = true }, text(`{"b"`), "{\"b\"\n"},
		{"long text", terminal, text(strings.Repeat("x", shownText+1)), "< " + strings.Repeat("x", shownText) + "\n  … and 1 byte more (--full shows all)\n"},
		{"long text, full", func(p *printer) { p.terminal, p.full = true, true }, text(strings.Repeat("x", shownText+1)), "< " + strings.Repeat("x", shownText+1) + "\n"},
		{"colour", func(p *printer) { p.terminal, p.colour = true, true }, text("hi"), "\x1b[36m< \x1b[0mhi\n"},
		{"notice", pipe, func(p *printer) { p.notice("a\nb") }, "* a\n  b\n"},
		{"quiet", func(p *printer) { p.quiet = true }, func(p *printer) { p.notice("a"); p.good("b"); p.control(protocol.OpPing, nil); p.bad("c") }, "! c\n"},
		{"ping", pipe, func(p *printer) { p.control(protocol.OpPing, []byte("hi")) }, "< ping \"hi\"\n"},
		{"pong", pipe, func(p *printer) { p.control(protocol.OpPong, nil) }, "< pong\n"},
		{"pong with bytes", pipe, func(p *printer) { p.control(protocol.OpPong, []byte{0x1b, 0xff}) }, "< pong 1bff\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shown(c.set, c.print); got != c.want {
				t.Errorf("printed %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseLine(t *testing.T) {
	send := func(typ websocket.MessageType, p string) action {
		return action{kind: actionSend, typ: typ, payload: []byte(p)}
	}
	for _, c := range []struct {
		line string
		want action
		err  string
	}{
		{line: "hello", want: send(websocket.Text, "hello")},
		{line: "//etc", want: send(websocket.Text, "/etc")},
		{line: "/text  two  spaces", want: send(websocket.Text, " two  spaces")},
		{line: "/text", want: send(websocket.Text, "")},
		{line: "/binary hi", want: send(websocket.Binary, "hi")},
		{line: "/hex 00 ff", want: send(websocket.Binary, "\x00\xff")},
		{line: "/hex 0", err: "two for each byte"},
		{line: "/nosuch x", err: "/nosuch is no command; /help lists them, and //nosuch x sends it as text"},
		{line: "/ping", want: action{kind: actionPing}},
		{line: "/close", want: action{kind: actionClose, code: 1000}},
		{line: "/close 1000 good bye", want: action{kind: actionClose, code: 1000, reason: "good bye"}},
		{line: "/close 4999", want: action{kind: actionClose, code: 4999}},
		{line: "/close soon", err: "is no close code"},
		{line: "/close 1005", want: action{kind: actionClose, code: 1005}}, // a frame without a code
		{line: "/close 1005 x", err: "without a code"},
		{line: "/close 1006 x", err: "1006"},
		{line: "/close 2000", err: "2000"},
		{line: "/close 99999", err: "is no close code"},
		{line: "/close 1000 " + strings.Repeat("x", 124), err: "124 bytes"},
		{line: "/file", err: "needs a path"},
		{line: "/file no/such/file", err: "no such file"},
		{line: "/quit", want: action{kind: actionQuit}},
		{line: "bad\xff", err: "not valid UTF-8"},
	} {
		got, err := parseLine(c.line, websocket.Text, true)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.line, err, c.err)
			}
			continue
		}
		if err != nil || got.kind != c.want.kind || got.typ != c.want.typ || !bytes.Equal(got.payload, c.want.payload) ||
			got.code != c.want.code || got.reason != c.want.reason {
			t.Errorf("%q: %+v, %v; want %+v", c.line, got, err, c.want)
		}
	}
	if got, err := parseLine("/quit", websocket.Text, false); err != nil || got.kind != actionSend || string(got.payload) != "/quit" {
		t.Errorf("without --slash: %+v, %v", got, err)
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"/cl", "/close "},
		{"/pi", "/ping "},
		{"/h", "/he"}, // /help and /hex
		{"/nosuch", "/nosuch"},
		{"/file a", "/file a\t"},
		{"hello", "hello\t"},
	} {
		got, pos, ok := completeCommand(c.line, len(c.line), '\t')
		if !ok || got != c.want || pos != len(c.want) {
			t.Errorf("Tab after %q: %q, %d, %v; want %q", c.line, got, pos, ok, c.want)
		}
	}
	if _, _, ok := completeCommand("/cl", 3, 'x'); ok {
		t.Error("a letter was taken for Tab")
	}
}

func TestBackoff(t *testing.T) {
	for range 200 {
		var b backoff
		for attempt := range 70 {
			ceiling := min(backoffBase<<min(attempt, 10), backoffMost)
			if d := b.next(); d <= 0 || d > ceiling+time.Millisecond {
				t.Fatalf("attempt %d: %v is not within (0, %v]", attempt, d, ceiling)
			}
		}
	}
	var first, second backoff
	var waits []time.Duration
	for range 20 {
		waits = append(waits, first.next(), second.next())
	}
	slices.Sort(waits)
	if len(slices.Compact(waits)) < 30 {
		t.Error("two clients wait for the same times: there is no jitter")
	}
}
