package load

import (
	"testing"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// BenchmarkMessage is what the load itself does for a message of 64 bytes, with 64
// in flight, without the kernel: send, check the reply, record its latency.
func BenchmarkMessage(b *testing.B) {
	const inFlight = 64
	s := newStream(payloads(&Config{Size: 64}), protocol.OpBinary, variant{})
	m := &echoing{engine: &engine{gauge: &gauge{rec: newRecorder()}}, sending: true, recording: true}
	c := &conn{stream: s}
	out := func(_ link, p []byte) (int, error) { return len(p), nil }
	m.ask(c, inFlight)
	b.ReportAllocs()
	for n := 0; n < b.N; n += inFlight {
		m.now += 1000
		if wrong := c.send(out); wrong != nil {
			b.Fatal(wrong)
		}
		done, wrong := c.feed(s.expect[:inFlight*s.reply], &m.tally)
		if wrong != nil || done != inFlight {
			b.Fatal(done, wrong)
		}
		if wrong := m.answered(c, done); wrong != nil {
			b.Fatal(wrong)
		}
	}
}

// What the benchmark times does not allocate.
func TestMessageAllocatesNothing(t *testing.T) {
	if n := testing.Benchmark(BenchmarkMessage).AllocsPerOp(); n != 0 {
		t.Errorf("%d allocations a message", n)
	}
}
