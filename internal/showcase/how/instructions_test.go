package how

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

var (
	historyOfOne = hub.HistoryQuery{Limit: 1}
	subscribeNow hub.SubscribeOptions
	fakeReport   = hub.Publication{Data: []byte(`{"kind":"open"}`)}
)

func anybody(t *testing.T, s *site) *hub.Subscriber {
	t.Helper()
	who, err := s.hub.Connect(hub.Connecting{Session: "anybody", Identity: hub.Identity{User: "~anybody", Anonymous: true}, Sink: make(sink, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(who.Close)
	return who
}

func codeOf(err error) hub.Code {
	if refused, ok := errors.AsType[*hub.Error](err); ok {
		return refused.Code
	}
	return ""
}

// say sends a text, unmasked by a key of zeros.
func (r *raw) say(text string) {
	h := protocol.FrameHeader{Fin: true, Opcode: protocol.OpText, Masked: true, Length: int64(len(text))}
	r.write(string(protocol.AppendHeader(nil, h)) + text)
}

func TestInstructions(t *testing.T) {
	s := newSite(t)
	for say, want := range map[string]string{
		"/ping":                             "\x89\x00",
		"/ping are you there?":              "\x89\x0eare you there?",
		"/fragments":                        "\x01\x09One messa\x89\x0ain between\x00\x09ge, sever\x80\x0aal frames.",
		"/fragments 2 abcd":                 "\x01\x02ab\x89\x0ain between\x80\x02cd",
		"/fragments 11 x":                   "\x81\x36a message is sent in 2 to 10 fragments here, not in 11",
		"/close":                            "\x88\x00",
		"/close 4000 enough":                "\x88\x08\x0f\xa0enough",
		"/close 1001":                       "\x88\x02\x03\xe9",
		"/invalid":                          "\x81\x83\x01\x02\x03\x04nmf",
		"/invalid reserved":                 "\xa1\x03odd",
		"/invalid opcode":                   "\x83\x03odd",
		"/invalid utf8":                     "\x81\x04\xc3\x28\xa0\xa1",
		"/invalid control":                  "\x09\x00",
		"/fly":                              "\x81\x7e\x00",
		"/close x":                          "\x81\x33\"x\" is no close code: that is a number such as 1000",
		"/close 99999":                      "\x81",
		"/close 1006":                       "\x81",
		"/ping " + strings.Repeat("x", 126): "\x81",
		"/invalid all":                      "\x81\x4f\"all\" is not among what can be wrong: masked, reserved, opcode, utf8 or control",
		" /ping":                            "\x81\x06 /ping",
	} {
		c := s.dial()
		c.write(oddRequest("", ""))
		c.head()
		c.say(say)
		got := make([]byte, len(want))
		if n, err := io.ReadFull(c.in, got); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", say, got[:n], err, want)
		}
	}
}

func TestDropEndsTCPWithoutACloseFrame(t *testing.T) {
	c := newSite(t).dial()
	c.write(oddRequest("", ""))
	c.head()
	c.say("/drop")
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		t.Errorf("the server sent %q, %v", rest, err)
	}
}

func TestTooFastIsClosedWith1008(t *testing.T) {
	c := newSite(t).dial()
	c.write(oddRequest("", ""))
	c.head()
	go func() {
		for range 3 * messageBurst {
			if _, err := io.WriteString(c.conn, "\x81\x80\x00\x00\x00\x00"); err != nil {
				return
			}
		}
	}()
	var got strings.Builder
	for !strings.Contains(got.String(), "\x03\xf0that is too fast") {
		b, err := c.in.ReadByte()
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.WriteByte(b)
	}
}
