package websocket

import (
	"net"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// BenchmarkReceive is what a connection does besides the kernel for a bunch of
// 32 messages of 64 bytes whose handler answers each: the hot path of an echo.
func BenchmarkReceive(b *testing.B) {
	a, other := net.Pipe()
	defer other.Close()
	c := wire{}.handledConn(b, a, echo, nil)
	batch := []byte{}
	for range 32 {
		batch = append(batch, frameFrom(protocol.OpBinary, string(make([]byte, 64)))...)
	}
	for b.Loop() {
		c.blocked = true // keeps the writes out
		if err := c.receive(batch); err != nil {
			b.Fatal(err)
		}
		c.out.B = c.out.B[:0]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/message")
}
