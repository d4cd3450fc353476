package protocol

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// peer is an endpoint under test with a transcript of what it reports and sends.
type peer struct {
	t testing.TB
	Endpoint
	events []string
	out    []byte
}

func newPeer(t testing.TB, role Role, config Config) *peer {
	config.Role = role
	p := &peer{t: t}
	p.Init(&config, nil, nil)
	t.Cleanup(p.Close)
	return p
}

// newDeflatePeer is a peer whose connection agreed on compression without
// context takeover.
func newDeflatePeer(t testing.TB, role Role, config Config) *peer {
	config.Role = role
	p := &peer{t: t}
	o := &deflate.Options{ServerNoContextTakeover: true, ClientNoContextTakeover: true}
	p.Init(&config, deflate.NewCompressor(o, 15, false), deflate.NewDecompressor(o, 15, false))
	t.Cleanup(p.Close)
	return p
}

// feed gives bytes to the endpoint in one piece; feedSplit in pieces that end
// at the given positions. Each works on a copy: payloads are unmasked in place.
func (p *peer) feed(wire []byte) *peer { return p.feedSplit(wire) }

func (p *peer) feedSplit(wire []byte, cuts ...int) *peer {
	start := 0
	for _, end := range append(cuts, len(wire)) {
		in := bytes.Clone(wire[start:end])
		start = end
		for {
			ev, n, out := p.Next(in, p.out)
			p.out = out
			in = in[n:]
			if ev.Kind == EventNone {
				if len(in) != 0 {
					p.t.Fatalf("EventNone left %d bytes unread", len(in))
				}
				break
			}
			p.note(ev)
		}
	}
	return p
}

// feedInPlace is feedSplit for a driver that reads into the Receiver's room
// where there is any.
func (p *peer) feedInPlace(wire []byte, cuts ...int) *peer {
	start := 0
	for _, end := range append(cuts, len(wire)) {
		in := wire[start:end]
		start = end
		for len(in) > 0 {
			room := p.Room(1)
			if room == nil {
				// Up to where the room may begin: a driver has all bytes of one read.
				p.feedSplit(in[:1])
				in = in[1:]
				continue
			}
			n := copy(room, in)
			in = in[n:]
			ev := p.Filled(n)
			p.out = p.Reply(p.out, &ev)
			if ev.Kind != EventNone {
				p.note(ev)
			}
		}
	}
	return p
}

// note adds an event to the transcript. Pieces of one message are joined, so
// that transcripts compare across splits.
func (p *peer) note(ev Event) {
	switch ev.Kind {
	case EventData:
		last := len(p.events) - 1
		if last >= 0 && strings.HasSuffix(p.events[last], "+") {
			p.events[last] = strings.TrimSuffix(p.events[last], "+") + hex.EncodeToString(ev.Payload)
		} else {
			p.events = append(p.events, fmt.Sprintf("%s %x", ev.Opcode, ev.Payload))
			last++
		}
		if !ev.Final {
			p.events[last] += "+"
		}
	case EventPing:
		p.events = append(p.events, fmt.Sprintf("ping %x", ev.Payload))
	case EventPong:
		p.events = append(p.events, fmt.Sprintf("pong %x", ev.Payload))
	case EventClose:
		p.events = append(p.events, fmt.Sprintf("close %d %q", ev.Code, ev.Payload))
	case EventFailed:
		p.events = append(p.events, fmt.Sprintf("failed %d %s", ev.Err.Code, ev.Err.Reason))
	}
}

func (p *peer) wantEvents(want ...string) *peer {
	p.t.Helper()
	if got := strings.Join(p.events, " | "); got != strings.Join(want, " | ") {
		p.t.Errorf("events\n got %s\nwant %s", got, strings.Join(want, " | "))
	}
	return p
}

// wantFailed demands that the last event is a failure with the code and that
// a close frame with that code is the last thing sent.
func (p *peer) wantFailed(code StatusCode) *peer {
	p.t.Helper()
	if len(p.events) == 0 || !strings.HasPrefix(p.events[len(p.events)-1], fmt.Sprintf("failed %d ", code)) {
		p.t.Errorf("events %v: want a failure with %d at the end", p.events, code)
	}
	if !p.Done() || p.State() != StateClosed {
		p.t.Errorf("done %v, state %v after a failure", p.Done(), p.State())
	}
	frames := decodeAll(p.t, p.out)
	if len(frames) == 0 || !bytes.HasPrefix(frames[len(frames)-1].payload, []byte{byte(code >> 8), byte(code)}) || frames[len(frames)-1].Opcode != OpClose {
		p.t.Errorf("sent %x: want a close frame with %d at the end", p.out, code)
	}
	return p
}

type frame struct {
	FrameHeader
	payload []byte
}

// decodeAll reads the frames that an endpoint sent.
func decodeAll(t testing.TB, wire []byte) (frames []frame) {
	t.Helper()
	for len(wire) > 0 {
		h, n, err := ParseHeader(wire)
		if err != nil || n == 0 || int64(len(wire)-n) < h.Length {
			t.Fatalf("the endpoint sent what is not a frame: %x (%v)", wire, err)
		}
		f := frame{h, bytes.Clone(wire[n : n+int(h.Length)])}
		if h.Masked {
			Mask(f.payload, h.Key, 0)
		}
		frames = append(frames, f)
		wire = wire[n+int(h.Length):]
	}
	return frames
}

// unhex reads wire bytes written as hex with spaces.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d} // the key of RFC 6455, section 5.7

// sent builds a frame as the peer of role would send it: masked by a client.
func sent(by Role, h FrameHeader, payload []byte) []byte {
	h.Length = int64(len(payload))
	if by == Client {
		h.Masked, h.Key = true, testKey
	}
	wire := AppendHeader(nil, h)
	start := len(wire)
	wire = append(wire, payload...)
	if h.Masked {
		Mask(wire[start:], h.Key, 0)
	}
	return wire
}

func other(r Role) Role { return 1 - r }

// bothRoles runs a test for a server and for a client. in builds a frame from
// the peer.
func bothRoles(t *testing.T, test func(t *testing.T, role Role, in func(fin bool, rsv byte, op Opcode, payload string) []byte)) {
	for _, role := range []Role{Server, Client} {
		t.Run(role.String(), func(t *testing.T) {
			test(t, role, func(fin bool, rsv byte, op Opcode, payload string) []byte {
				return sent(other(role), FrameHeader{Fin: fin, Rsv: rsv, Opcode: op}, []byte(payload))
			})
		})
	}
}
