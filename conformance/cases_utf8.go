package conformance

import (
	"fmt"
	"strings"
)

// invalidText is a byte sequence that is not UTF-8. at is the first byte with which it cannot become UTF-8 any more;
// len(bytes) means that only the end of the message shows it.
type invalidText struct {
	why   string
	bytes string
	at    int
}

// invalidTexts has every class of RFC 3629 section 3 and 4: each row of the table of well-formed sequences is left at
// each of its bytes.
var invalidTexts = []invalidText{
	{"a lone continuation byte 80", "\x80", 0},
	{"a lone continuation byte BF", "\xbf", 0},
	{"continuation bytes in a row", "\x80\xbf\x80\xbf", 0},
	{"all continuation bytes from 80 to 8F", "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f", 0},
	{"C0, which starts nothing", "\xc0\xaf", 0},
	{"C1, which starts nothing", "\xc1\xbf", 0},
	{"F5, which starts nothing", "\xf5\x80\x80\x80", 0},
	{"F8, a start of five bytes", "\xf8\x88\x80\x80\x80", 0},
	{"FC, a start of six bytes", "\xfc\x84\x80\x80\x80\x80", 0},
	{"FE", "\xfe", 0},
	{"FF", "\xff", 0},
	{"FE FE FF FF", "\xfe\xfe\xff\xff", 0},
	{"overlong / in two bytes", "\xc0\xaf", 0},
	{"overlong / in three bytes", "\xe0\x80\xaf", 1},
	{"overlong / in four bytes", "\xf0\x80\x80\xaf", 1},
	{"overlong NUL in two bytes", "\xc0\x80", 0},
	{"overlong NUL in three bytes", "\xe0\x80\x80", 1},
	{"overlong NUL in four bytes", "\xf0\x80\x80\x80", 1},
	{"overlong U+007F in two bytes", "\xc1\xbf", 0},
	{"overlong U+07FF in three bytes", "\xe0\x9f\xbf", 1},
	{"overlong U+FFFF in four bytes", "\xf0\x8f\xbf\xbf", 1},
	{"surrogate U+D800", "\xed\xa0\x80", 1},
	{"surrogate U+DB7F", "\xed\xad\xbf", 1},
	{"surrogate U+DC00", "\xed\xb0\x80", 1},
	{"surrogate U+DFFF", "\xed\xbf\xbf", 1},
	{"a pair of surrogates", "\xed\xa0\x80\xed\xb0\x80", 1},
	{"U+110000", "\xf4\x90\x80\x80", 1},
	{"U+13FFFF", "\xf4\xbf\xbf\xbf", 1},
	{"U+140000", "\xf5\x80\x80\x80", 0},
	{"two bytes, the second is ASCII", "\xc3\x28", 1},
	{"two bytes, the second is a start", "\xc3\xc3", 1},
	{"three bytes, the second is ASCII", "\xe2\x28\xa1", 1},
	{"three bytes, the third is ASCII", "\xe2\x82\x28", 2},
	{"three bytes, the third is a start", "\xe2\x82\xe2", 2},
	{"four bytes, the second is ASCII", "\xf0\x28\x8c\xbc", 1},
	{"four bytes, the third is ASCII", "\xf0\x90\x28\xbc", 2},
	{"four bytes, the fourth is ASCII", "\xf0\x9f\x98\x28", 3},
	{"four bytes, the fourth is a start", "\xf0\x9f\x98\xf0", 3},
	{"two bytes, cut off", "\xc3", 1},
	{"three bytes, cut off behind one", "\xe2", 1},
	{"three bytes, cut off behind two", "\xe2\x82", 2},
	{"four bytes, cut off behind one", "\xf0", 1},
	{"four bytes, cut off behind two", "\xf0\x9f", 2},
	{"four bytes, cut off behind three", "\xf0\x9f\x98", 3},
	{"Latin-1", "caf\xe9", 4},
	{"a byte order mark of UTF-16", "\xff\xfeh\x00i\x00", 0},
}

// validTexts has the boundaries of each row and what validators get wrong.
var validTexts = []struct{ why, text string }{
	{"Greek", "κόσμε"},
	{"Chinese", "你好，世界"},
	{"Arabic and Hebrew", "سلام שלום"},
	{"emoji with joiners", "\U0001F469\u200d\U0001F469\u200d\U0001F466 \U0001F1E8\U0001F1F3"},
	{"combining marks", "e\u0301 n\u0303 \u1100\u1161\u11a8"},
	{"NUL", "\x00"},
	{"U+007F, the last of one byte", "\x7f"},
	{"U+0080, the first of two bytes", "\u0080"},
	{"U+07FF, the last of two bytes", "\u07ff"},
	{"U+0800, the first of three bytes", "\u0800"},
	{"U+0FFF and U+1000", "\u0fff\u1000"},
	{"U+CFFF and U+D000", "\ucfff\ud000"},
	{"U+D7FF, the last before the surrogates", "\ud7ff"},
	{"U+E000, the first behind the surrogates", "\ue000"},
	{"U+FFFD, the replacement character", "\ufffd"},
	{"U+FFFE and U+FFFF, noncharacters", "\ufffe\uffff"},
	{"U+FDD0 and U+FDEF, noncharacters", "\ufdd0\ufdef"},
	{"U+FEFF, the byte order mark", "\ufeffmark"},
	{"U+10000, the first of four bytes", "\U00010000"},
	{"U+3FFFF and U+40000", "\U0003ffff\U00040000"},
	{"U+FFFFF and U+100000", "\U000fffff\U00100000"},
	{"U+10FFFF, the last of all", "\U0010ffff"},
	{"the noncharacters at the end of each plane", "\U0001fffe\U0001ffff\U0002fffe\U0008ffff\U000efffe\U000fffff\U0010fffe"},
	{"one of each length", "a\u00e9\u20ac\U0001F600"},
	{"300 bytes of three-byte characters", strings.Repeat("汉", 100)},
}

// utf8Cases test RFC 6455 section 8.1 (and 5.6).
func utf8Cases(t *table) {
	const section = "6455-8.1"
	for _, v := range validTexts {
		f := text(v.text)
		t.add(section, "valid: "+v.why, send(f), expect(f))
		t.add(section, "valid: "+v.why+", one byte in each fragment", send(cut(f, 1)...), expect(f))
		t.add(section, "valid: "+v.why+", in writes of one byte", sendChopped(1, f), expect(f))
	}
	for _, v := range invalidTexts {
		t.add(section, "invalid: "+v.why, send(text("ok "+v.bytes)), expectFailure(1007))
		t.add(section, "invalid: "+v.why+", one byte in each fragment", badFragments(v)...)
		if v.at < len(v.bytes) {
			t.add(section, "invalid: "+v.why+", fails before the frame ends", badFrame(v)...)
		}
	}
	for _, n := range []int{7, 8, 15, 16, 31, 32, 63, 64, 1000, 65536} {
		long := strings.Repeat("x", n) + "\xff" + strings.Repeat("y", 40)
		t.add(section, fmt.Sprintf("invalid: FF behind %d ASCII bytes", n), send(text(long)), expectFailure(1007))
		wide := strings.Repeat("é", n/2) + "\xed\xa0\x80"
		t.add(section, fmt.Sprintf("invalid: a surrogate behind %d bytes of two-byte characters", n/2*2), send(text(wide)), expectFailure(1007))
	}
	t.add(section, "invalid in the second of two fragments", send(text("fine ").more(), cont("\xff")), expectFailure(1007))
	t.add(section, "a character split over two fragments and a ping", send(text("\xe2\x82").more(), ping("p"), cont("\xac")), expect(pong("p"), text("€")))
	t.add(section, "a character cut off by the end of the message, then a message that would complete it",
		send(text("\xe2\x82"), text("\xac")), expectFailure(1007))
	t.add(section, "a good text, then an invalid one", send(text("good"), text("\xff")), expectFailureAfter([]frame{text("good")}, 1007))
	t.add(section, "binary messages may hold anything", send(binaryOf([]byte("\xff\xfe\xc0\x80\xed\xa0\x80"))), expect(binaryOf([]byte("\xff\xfe\xc0\x80\xed\xa0\x80"))))
	t.add(section, "fragmented binary messages may hold anything", send(cut(binaryOf([]byte("\xff\xfe\xc0\x80\xed\xa0\x80")), 1)...),
		expect(binaryOf([]byte("\xff\xfe\xc0\x80\xed\xa0\x80"))))
	t.add(section, "a valid text behind a binary message cut in a character", send(binaryOf([]byte("\xe2\x82")), text("fine")),
		expect(binaryOf([]byte("\xe2\x82")), text("fine")))
}

// badFragments sends "ok " and the invalid bytes, one byte in each fragment. A ping behind the first wrong byte shows
// without waiting whether the peer has noticed: a strict one fails instead of answering it.
func badFragments(v invalidText) []step {
	parts := cut(text("ok "+v.bytes+"."), 1)
	if v.at == len(v.bytes) { // only the end shows it
		parts = cut(text("ok "+v.bytes), 1)
		return []step{send(parts...), expectFailure(1007)}
	}
	wrong := 3 + v.at + 1
	return []step{
		send(append(parts[:wrong:wrong], ping("still open?"))...),
		{says: "fails the connection with 1007 at the fragment with the first wrong byte", do: func(s *session) error {
			e, ok := s.await(s.patience)
			switch {
			case !ok:
				s.note("neither failed nor answered a ping behind the first wrong byte")
				s.send(parts[wrong:]...)
			case e.kind == evPong:
				s.note("went on behind the first wrong byte; failing at once is best")
				s.send(parts[wrong:]...)
			default:
				s.unread(e)
			}
			return expectFailure(1007).do(s)
		}},
	}
}

// badFrame sends one frame up to its first wrong byte and keeps the rest back.
func badFrame(v invalidText) []step {
	whole := text("ok " + v.bytes + " and some more text behind it")
	keep := len(whole.payload) - (3 + v.at + 1)
	return []step{
		{do: func(s *session) error {
			p, note := s.encode([]frame{whole})
			s.write(note+", up to the first wrong byte", p[:len(p)-keep])
			s.held = p[len(p)-keep:]
			return nil
		}},
		failsEarly([]int{1007}, func(s *session) { s.write("the rest", s.held) }),
	}
}
