package load

import (
	"fmt"
	"testing"

	"github.com/duplex-websocket/duplex/websocket"
)

// transports are both ways to move bytes.
var transports = map[string]bool{"polled": false, "portable": true}

var compressions = []websocket.CompressionMode{websocket.CompressionOff, websocket.CompressionNoTakeover, websocket.CompressionTakeover}

func TestEcho(t *testing.T) {
	for transport, portable := range transports {
		for _, mode := range compressions {
			url := serve(t, echoServer(mode))
			for _, c := range []struct{ size, inFlight int }{
				{-1, 3}, {7, 1}, {125, 100}, {126, 1}, {4096, 5}, {4097, 5}, {65536, 2}, {200_000, 2},
			} {
				t.Run(fmt.Sprintf("%s/%s/%d", transport, compressionNames[mode], c.size), func(t *testing.T) {
					config := Config{
						URL: url, Connections: 3, Size: c.size, InFlight: c.inFlight, Text: c.size%2 == 0, Compression: mode,
						WarmUp: -1, Messages: 300, Duration: patience, portable: portable,
					}
					if c.size > 1<<16 {
						config.Messages = 40
					}
					checkEcho(t, must(t, config), &config)
				})
			}
		}
	}
}

func checkEcho(t *testing.T, r *Result, c *Config) {
	t.Helper()
	size, mode := c.Size, c.Compression
	if r.Messages < c.Messages || r.Latency.Count != r.Messages || r.PerSecond <= 0 || r.Connect.Opened != 3 || r.Connect.Latency.Count != 3 {
		t.Errorf("%d messages (%f/s), %d latencies; %+v", r.Messages, r.PerSecond, r.Latency.Count, r.Connect)
	}
	if l := r.Latency; l.Min <= 0 || l.P50 < l.Min || l.P90 < l.P50 || l.P99 < l.P90 || l.P999 < l.P99 || l.Max < l.P999 || l.Mean < l.Min || l.Mean > l.Max {
		t.Errorf("%+v", l)
	}
	if mode == websocket.CompressionOff && (r.ReplyBytes != float64(max(size, 0)) || r.Compressed != 0) {
		t.Errorf("replies of %f bytes, %f compressed", r.ReplyBytes, r.Compressed)
	}
	if mode != websocket.CompressionOff && size > 4000 && (r.Compressed != 1 || r.ReplyBytes > float64(size)/2) {
		t.Errorf("replies of %f bytes, %f compressed", r.ReplyBytes, r.Compressed)
	}
	var inSeries int64
	for _, p := range r.Series {
		inSeries += p.Messages
	}
	if inSeries == 0 || inSeries > r.Messages {
		t.Errorf("%d messages in the series of %d", inSeries, r.Messages)
	}
	if n := len(r.Distribution); n < 2 || r.Distribution[n-1].Percent != 100 || r.Distribution[n-1].Latency != r.Latency.Max {
		t.Errorf("distribution: %+v", r.Distribution)
	}
}

// Many connections and the largest numbers in flight: every reply finds its way.
func TestEchoCrowded(t *testing.T) {
	url := serve(t, echoServer(websocket.CompressionOff))
	r := must(t, Config{URL: url, Connections: 100, InFlight: 500, WarmUp: -1, Messages: 100_000, Duration: patience})
	if r.Messages < 100_000 {
		t.Errorf("%d messages", r.Messages)
	}
}

func TestEchoTLS(t *testing.T) {
	url, trust := serveTLS(t, echoServer(websocket.CompressionTakeover))
	r := must(t, Config{URL: url, TLS: trust, Connections: 5, Size: 2000, InFlight: 4, Compression: websocket.CompressionTakeover,
		WarmUp: -1, Messages: 500, Duration: patience})
	if r.Messages < 500 {
		t.Errorf("%d messages", r.Messages)
	}
	if _, err := Run(t.Context(), Config{URL: url, Connections: 1}); kindOf(err) != Unreachable {
		t.Errorf("without trust: %v", err)
	}
}

func TestOfServerProcess(t *testing.T) {
	url := serve(t, echoServer(websocket.CompressionOff))
	r := must(t, Config{URL: url, Connections: 2, WarmUp: -1, Messages: 2000, Duration: patience, PID: ownPID})
	s := r.Server
	if s == nil || s.PID != ownPID || s.CPU <= 0 || s.NsPerMessage <= 0 || s.Busy <= 0 || s.MemoryBefore <= 0 || s.MemoryPeak < s.MemoryAfter {
		t.Errorf("%+v", s)
	}
	if r.Load.CPU <= 0 {
		t.Errorf("%+v", r.Load)
	}
}
