package protocol

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// Each test names a published weakness of another implementation and shows
// that this one does not have it.

// gorilla: the sum of fragment lengths overflowed and passed the limit.
func TestCVE202027813LengthOverflow(t *testing.T) {
	first := sent(Client, FrameHeader{Opcode: OpBinary}, make([]byte, 100))
	huge := AppendHeader(nil, FrameHeader{Fin: true, Opcode: OpContinuation, Masked: true, Length: 1<<63 - 1})
	newPeer(t, Server, Config{MaxMessage: 1 << 62}).feed(append(first, huge...)).wantFailed(StatusMessageTooBig)
}

// nats-server: a 64-bit length with its top bit set panicked before any
// authentication. undici CVE-2026-1528 is the same class.
func TestCVE202627889TopBit(t *testing.T) {
	for _, tail := range []string{"80 00 00 00 00 00 00 00", "ff ff ff ff ff ff ff ff", "80 00 00 00 00 00 00 01"} {
		newPeer(t, Server, Config{}).feed(unhex("82 ff " + tail + "00 00 00 00 01")).wantFailed(StatusProtocolError)
		newPeer(t, Client, Config{}).feed(unhex("82 7f " + tail)).wantFailed(StatusProtocolError)
	}
}

func TestCVE20261528HugeLength(t *testing.T) {
	newPeer(t, Client, Config{}).feed(unhex("82 7f 7f ff ff ff ff ff ff ff")).wantFailed(StatusMessageTooBig)
	newPeer(t, Client, Config{}).feed(unhex("82 7f 00 00 00 01 00 00 00 00")).wantFailed(StatusMessageTooBig)
}

// Jetty: a large payload behind an unknown opcode was buffered.
func TestCVE202619204UnknownOpcodeLargePayload(t *testing.T) {
	wire := AppendHeader(nil, FrameHeader{Fin: true, Opcode: 0x3, Masked: true, Length: 1 << 40})
	p := newPeer(t, Server, Config{}).feed(wire).wantFailed(StatusProtocolError)
	if p.held != nil || p.control != nil {
		t.Error("a refused frame holds memory")
	}
}

// ws (CVE-2026-48779, issue 2331): 131,072 one-byte fragments without an end
// pinned 13.5 MB.
func TestCVE202648779ManyFragments(t *testing.T) {
	const fragments = 131072
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, test := range []struct {
		name string
		make func(t testing.TB) *peer
		rsv  byte
	}{
		{"plain", func(t testing.TB) *peer { return newPeer(t, Server, Config{}) }, 0},
		{"compressed", func(t testing.TB) *peer { return newDeflatePeer(t, Server, Config{}) }, RSV1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := test.make(t)
			before := measure()
			p.feed(sent(Client, FrameHeader{Opcode: OpText, Rsv: test.rsv}, []byte("a")))
			next := sent(Client, FrameHeader{Opcode: OpContinuation}, []byte("a"))
			for range fragments {
				p.feed(next)
			}
			p.wantEvents()
			if held := int64(measure()) - int64(before); held > 1<<20 {
				t.Errorf("an unfinished message of %d bytes holds %d bytes", fragments, held)
			}
			if c := cap(p.held.B); c > 4*fragments {
				t.Errorf("its buffer has %d bytes", c)
			}
		})
	}
}

// Bandit CVE-2026-65623: reassembly was quadratic. Here the bytes moved are
// bounded by the growth of the buffer.
func TestCVE202665623LinearReassembly(t *testing.T) {
	p := newPeer(t, Server, Config{MaxMessage: 1 << 22})
	p.feed(sent(Client, FrameHeader{Opcode: OpBinary}, nil))
	next := sent(Client, FrameHeader{Opcode: OpContinuation}, make([]byte, 64))
	moves, last := 0, 0
	for range 1 << 16 {
		p.feed(next)
		if c := cap(p.held.B); c != last {
			moves, last = moves+1, c
		}
	}
	if moves > 16 {
		t.Errorf("the buffer moved %d times for 4 MiB", moves)
	}
}

// A header that claims much costs nothing until the bytes arrive.
func TestClaimedLengthIsNotAllocated(t *testing.T) {
	p := newPeer(t, Server, Config{MaxMessage: 1 << 40})
	p.feed(AppendHeader(nil, FrameHeader{Fin: true, Opcode: OpBinary, Masked: true, Length: 1 << 39})).feed(make([]byte, 100))
	if c := cap(p.held.B); c > 1024 {
		t.Errorf("100 bytes hold a buffer of %d", c)
	}
	if room := p.Room(1); len(room) == 0 || cap(p.held.B) > 4096 {
		t.Errorf("100 bytes make room for %d", len(room))
	}
}

// nats-server GHSA-qrvq-68c2-7grw, undici CVE-2026-1526, Bandit
// GHSA-frh3-6pv6-rc8j, centrifugo issue 1162: a small message inflates to a
// huge one. The limit counts what comes out.
func TestDeflateBomb(t *testing.T) {
	o := &deflate.Options{}
	c := deflate.NewCompressor(o, 15, false)
	defer c.Close()
	bomb := c.AppendMessage(nil, make([]byte, 64<<20))
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes and is none", len(bomb))
	}
	p := newDeflatePeer(t, Server, Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p.feed(sent(Client, FrameHeader{Fin: true, Opcode: OpBinary, Rsv: RSV1}, bomb)).wantFailed(StatusMessageTooBig)
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
		t.Errorf("a limit of 1 MiB cost %d bytes", spent)
	}
}

// nhooyr PRISMA-2021-0118: a second pong to one ping panicked. Pongs are
// events like others here, wanted or not.
func TestPRISMA20210118DuplicatePongs(t *testing.T) {
	pong := sent(Client, FrameHeader{Fin: true, Opcode: OpPong}, []byte("x"))
	newPeer(t, Server, Config{}).feed(bytes.Repeat(pong, 3)).wantEvents("pong 78", "pong 78", "pong 78")
}

// gorilla GHSA-w67g-5rqw-f597: mask keys came from a weak generator. Ours come
// from crypto/rand, one after the other; see TestSection51Masking for their
// being fresh. Here: no key comes twice across the batches of a pool.
func TestGHSAw67gMaskKeys(t *testing.T) {
	seen := map[[4]byte]int{}
	for range 4096 {
		seen[newMaskKey()]++
	}
	if len(seen) < 4090 { // birthdays: about 0.002 repeats are expected
		t.Errorf("4096 keys, %d different", len(seen))
	}
	if zero := seen[[4]byte{}]; zero > 1 {
		t.Errorf("the zero key came %d times", zero)
	}
}

// A reason from our own error texts must fit a close frame whatever it says.
func TestFailureReasonsFit(t *testing.T) {
	p := newPeer(t, Server, Config{})
	ev := Event{Kind: EventFailed, Err: &Error{StatusProtocolError, strings.Repeat("é", 100)}}
	f := decodeAll(t, p.Reply(nil, &ev))
	if len(f) != 1 || len(f[0].payload) > MaxControlPayload || !bytes.HasPrefix(f[0].payload, []byte{3, 0xea}) {
		t.Errorf("%+v", f)
	}
	newPeer(t, Client, Config{}).feed(p.Reply(nil, &ev)).wantEvents()
}
