package how

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// open connects and passes the handshake, of which it returns the report.
func open(t *testing.T, s *site, next func() report, query, more string) (*raw, report) {
	t.Helper()
	c := s.dial()
	request := oddRequest("tap="+testID+query, more)
	c.write(request)
	response := c.head()
	opened := next()
	if opened.Kind != kindOpen || string(opened.Request) != request || !opened.Exact || string(opened.Response) != response {
		t.Fatalf("the handshake was told as %s, exact %v:\n%q\n%q\nwant\n%q\n%q", opened.Kind, opened.Exact, opened.Request, opened.Response, request, response)
	}
	return c, opened
}

// expect compares a report of a frame with the bytes that passed.
func expect(t *testing.T, got report, number int, server bool, header, payload string) {
	t.Helper()
	if got.Kind != kindFrame || got.Number != number || got.Server != server || string(got.Header) != header ||
		string(got.Payload) != payload[:min(len(payload), shownBytes)] || got.Length != int64(len(payload)) {
		t.Fatalf("frame %d was told as %+v; want it from the server: %v, header %q, %d bytes of payload", number, got, server, header, len(payload))
	}
}

func TestWhatIsToldAreTheBytesOnTheWire(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c, opened := open(t, s, next, "&connection=7", "")
	if !strings.Contains(string(opened.Response), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		t.Errorf("the response has not the value of RFC 6455, section 1.3: %q", opened.Response)
	}
	if opened.Connection != 7 || opened.Compression != nil {
		t.Errorf("connection %d, compression %v", opened.Connection, opened.Compression)
	}

	// RFC 6455, section 5.7: a single-frame masked text message "Hello", and what a server answers.
	c.write("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
	c.read("\x81\x05Hello")
	expect(t, next(), 1, false, "\x81\x85\x37\xfa\x21\x3d", "\x7f\x9f\x4d\x51\x58")
	expect(t, next(), 2, true, "\x81\x05", "Hello")

	// In fragments, with a ping in between, byte by byte.
	for _, b := range []byte("\x02\x82\x00\x00\x00\x00ab" + "\x89\x81\x01\x00\x00\x00q" + "\x80\x81\x00\x00\x00\x00c") {
		c.write(string([]byte{b}))
	}
	c.read("\x8a\x01p\x82\x03abc")
	expect(t, next(), 3, false, "\x02\x82\x00\x00\x00\x00", "ab")
	expect(t, next(), 4, false, "\x89\x81\x01\x00\x00\x00", "q")
	seen := map[string]bool{}
	for range 3 { // the pong and the last fragment pass each other
		f := next()
		seen[fmt.Sprintf("%v %q %q", f.Server, f.Header, f.Payload)] = true
	}
	for _, want := range []string{`true "\x8a\x01" "p"`, `false "\x80\x81\x00\x00\x00\x00" "c"`, `true "\x82\x03" "abc"`} {
		if !seen[want] {
			t.Errorf("%s is not among what was told: %v", want, seen)
		}
	}

	c.write("\x88\x82\x00\x00\x00\x00\x03\xe8")
	c.read("\x88\x02\x03\xe8")
	expect(t, next(), 8, false, "\x88\x82\x00\x00\x00\x00", "\x03\xe8")
	expect(t, next(), 9, true, "\x88\x02", "\x03\xe8")
	_ = c.conn.Close()
	if end := next(); end.Kind != kindEnd {
		t.Errorf("the end was told as %+v", end)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c := s.dial()
	c.write(oddRequest("tap="+testID, "cookie: session=abc\r\nAuthorization:  Basic eHl6\r\nX-Cookie: seen\r\nCookie:\r\n"))
	c.head()
	want := oddRequest("tap="+testID, "cookie: ***********\r\nAuthorization:  **********\r\nX-Cookie: seen\r\nCookie:\r\n")
	if got := next(); string(got.Request) != want {
		t.Errorf("the request was told as\n%q\nwant\n%q", got.Request, want)
	}
}

func TestALongFrameIsShownCut(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c, _ := open(t, s, next, "", "")
	long := strings.Repeat("0123456789abcdef", 3000)
	header := protocol.AppendHeader(nil, protocol.FrameHeader{Fin: true, Opcode: protocol.OpBinary, Masked: true, Length: int64(len(long))})
	c.write(string(header) + long)
	c.read("\x82\x7e\xbb\x80" + long)
	expect(t, next(), 1, false, string(header), long)
	expect(t, next(), 2, true, "\x82\x7e\xbb\x80", long)
}

func TestFramesBehindTheRequestAreToldToo(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c := s.dial()
	c.write(oddRequest("tap="+testID, "") + "\x81\x82\x00\x00\x00\x00hi\x81")
	c.head()
	c.read("\x81\x02hi")
	c.write("\x82\x00\x00\x00\x00me")
	c.read("\x81\x02me")
	first, second := next(), next()
	if first.Kind != kindFrame || second.Kind != kindOpen {
		t.Fatalf("told were %s and %s", first.Kind, second.Kind)
	}
	expect(t, first, 1, false, "\x81\x82\x00\x00\x00\x00", "hi")
	if want := oddRequest("tap="+testID, ""); string(second.Request) != want {
		t.Errorf("request %q, want %q", second.Request, want)
	}
	expect(t, next(), 2, true, "\x81\x02", "hi")
	expect(t, next(), 3, false, "\x81\x82\x00\x00\x00\x00", "me")
}

func TestCompressedMessagesAreShownInflated(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c, opened := open(t, s, next, "&compression=on", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
	if got, want := *opened.Compression, (compression{15, 12, true, true}); got != want {
		t.Fatalf("agreed on were %+v, want %+v", got, want)
	}
	text := strings.Repeat("the same again and again, ", 20)
	packer := deflate.NewCompressor(nil, 12, true)
	defer packer.Close()
	var sizes [2][]int64 // of what the client and the server sent
	for range 2 {
		packed := packer.AppendMessage(nil, []byte(text))
		key := [4]byte{1, 2, 3, 4}
		h := protocol.FrameHeader{Fin: true, Rsv: protocol.RSV1, Opcode: protocol.OpText, Masked: true, Key: key, Length: int64(len(packed))}
		masked := bytes.Clone(packed)
		protocol.Mask(masked, key, 0)
		header := protocol.AppendHeader(nil, h)
		c.write(string(header) + string(masked))
		for i, f := range []report{next(), next()} {
			if string(f.Message) != text || f.Inflated == nil || *f.Inflated != len(text) || f.Server != (i == 1) {
				t.Fatalf("a frame inflates to %q, length %v; from the server: %v", f.Message, f.Inflated, f.Server)
			}
			sizes[i] = append(sizes[i], f.Length)
		}
	}
	for i, sent := range sizes {
		if sent[1]*2 > sent[0] {
			t.Errorf("direction %d: the second message takes %d bytes, after %d: the context was not kept", i, sent[1], sent[0])
		}
	}
}

func TestWhatCannotBeInflatedIsShownAsItIs(t *testing.T) {
	s := newSite(t)
	next := watch[report](s, prefix+testID)
	c, _ := open(t, s, next, "&compression=on", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
	c.write("\xc1\x84\x00\x00\x00\x00\xff\xff\xff\xff")
	f := next()
	expect(t, f, 1, false, "\xc1\x84\x00\x00\x00\x00", "\xff\xff\xff\xff")
	if f.Inflated != nil {
		t.Errorf("garbage inflates to %q", f.Message)
	}
	if closing := next(); !closing.Server || string(closing.Header[:1]) != "\x88" {
		t.Errorf("the server answered garbage with %+v", closing)
	}
}

func TestWhatNobodyWatchesIsNotTapped(t *testing.T) {
	s := newSite(t)
	for _, query := range []string{"tap=" + testID, "tap=short", "tap=*", ""} {
		c := s.dial()
		c.write(oddRequest(query, "") + "\x81\x82\x00\x00\x00\x00hi")
		c.head()
		c.read("\x81\x02hi")
	}
	page, err := s.hub.History(t.Context(), prefix+testID, historyOfOne)
	if err != nil || len(page.Messages) > 0 {
		t.Errorf("%d reports, %v", len(page.Messages), err)
	}
}

func TestPatternsAreRefused(t *testing.T) {
	s := newSite(t)
	who := anybody(t, s)
	for _, topic := range []string{"demo.how.*", "demo.how.>", "demo.how.*.counts", "demo.how." + testID + ".*", "demo.how.guess"} {
		if _, err := who.Subscribe(t.Context(), topic, subscribeNow); codeOf(err) != codePrivate {
			t.Errorf("%s: %v", topic, err)
		}
	}
	if _, err := who.Publish(t.Context(), prefix+testID, fakeReport); err == nil {
		t.Error("a visitor can publish reports")
	}
}
