// Package load puts load on anybody's WebSocket server and measures what comes
// back: throughput, latency, errors by kind, and the CPU time and memory of the
// server when it runs on this machine. Every run is bounded.
//
// One goroutine drives all connections: over epoll on Linux, elsewhere and for
// TLS with two goroutines for each connection that only move bytes. Frames are
// encoded beforehand and leave many at a time; every reply is checked.
package load

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// Mode says what a run does.
type Mode string

// The modes.
const (
	Echo      Mode = "echo"      // the server answers each message with itself
	Broadcast Mode = "broadcast" // one connection publishes, the server sends it to all
	Idle      Mode = "idle"      // connections that do nothing, and what they cost
	Handshake Mode = "handshake" // connect, upgrade, leave
)

// Config is one run. The zero value of a field is its default.
type Config struct {
	URL  string // ws:// or wss://, with host and path
	Mode Mode   // default Echo

	// Connections that are open at a time; with Broadcast the subscribers, to
	// which the publisher is added; with Handshake how many are under way.
	// Default 100 (Handshake: 64), at most 60,000.
	Connections int

	// Size of a message in bytes; -1 means empty. Default 64, at most 16 MiB.
	Size int

	// InFlight is the messages under way on each connection (Broadcast: at all):
	// a closed loop, in which the next leaves when one came back. Default 1, at
	// most 4,096. It does not go together with Rate.
	InFlight int

	// Rate makes an open loop: so many messages a second, over all connections,
	// leave on schedule whatever comes back, and latency counts from the
	// scheduled time, so that a server that stalls cannot hide it. With Handshake
	// it counts handshakes. 0 is the closed loop; at most ten million.
	Rate float64

	// Duration of the measurement; with Idle the time that connections are held.
	// Default 10 s, at most an hour. WarmUp comes before it, is not measured, and
	// is 1 s by default, at most 10 minutes, none if negative.
	Duration, WarmUp time.Duration

	// Messages ends the measurement early, after so many; 0: only Duration does.
	Messages int64

	// Parallel is how many handshakes are under way while connecting: default 64,
	// at most 1,024. ConnectRate paces them, in handshakes a second; 0: as fast as
	// the server takes them; at most a million.
	Parallel    int
	ConnectRate float64

	// Timeout bounds the handshake, and the wait for replies when none come.
	// Default 10 s, at most 5 minutes.
	Timeout time.Duration

	Text bool // text messages (JSON with some Chinese) instead of random bytes
	Same bool // one message again and again, instead of 64 that take turns

	// Compression to ask for; a server that does not agree to it is an error.
	Compression websocket.CompressionMode

	// PID is the server's process on this machine; 0: unknown, so nothing is said
	// about its CPU time and memory. It needs Linux.
	PID int

	// Churn is how many connections Idle opens and drops before it reads the
	// memory, so that a server with a garbage collector has a reason to collect.
	// Default 512, none if negative, at most 10,000. NoExchange leaves out the
	// part that sends a message over each connection and reads the memory again.
	Churn      int
	NoExchange bool

	// Header, Subprotocols and TLS are for the handshake.
	Header       http.Header
	Subprotocols []string
	TLS          *tls.Config

	// Progress is called a few times a second, from a goroutine of Run's; it must
	// not block. nil is allowed.
	Progress func(Progress)

	portable bool // tests: without epoll
}

// Progress is how far a run is.
type Progress struct {
	Phase       string // "connecting", "warming up", "measuring", "finishing"
	Elapsed     time.Duration
	Total       time.Duration // of this phase; 0 if that is not known
	Connections int           // open now
	Wanted      int           // connections in the end
	Messages    int64         // in this phase; deliveries with Broadcast
	PerSecond   float64       // since the last call
	P50, P99    time.Duration // of what was measured lately; 0: nothing was
	Failures    int64
	Memory      int64 // of the server, in bytes; 0: unknown
}

// Bounds that are more than a number of Config.
const (
	maxConnections = 60_000 // the ports of one address
	maxSize        = 16 << 20
	maxInFlight    = 4096
	maxRate        = 10_000_000
	maxConnectRate = 1_000_000
	maxDuration    = time.Hour
	maxWarmUp      = 10 * time.Minute
	maxMessages    = 1_000_000_000_000
	maxParallel    = 1024
	maxTimeout     = 5 * time.Minute
	maxChurn       = 10_000
)

// ConfigError says what is wrong with a Config.
type ConfigError struct{ Reason string }

func (e *ConfigError) Error() string { return e.Reason }

// withDefaults returns a copy that is checked and filled in. The error is a
// *ConfigError.
func (c Config) withDefaults() (Config, error) {
	c.Mode = cmp.Or(c.Mode, Echo)
	connections := 100
	switch c.Mode {
	case Handshake:
		connections = 64
	case Echo, Broadcast, Idle:
	default:
		return c, &ConfigError{fmt.Sprintf("mode %q: want echo, broadcast, idle or handshake", c.Mode)}
	}
	if c.Rate != 0 && c.InFlight != 0 {
		return c, &ConfigError{"rate and in flight exclude each other: with a rate, messages leave on schedule and not when a reply came"}
	}
	c.Connections = cmp.Or(c.Connections, connections)
	c.Size = cmp.Or(c.Size, 64)
	c.InFlight = cmp.Or(c.InFlight, 1)
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.WarmUp = cmp.Or(c.WarmUp, time.Second)
	c.Parallel = cmp.Or(c.Parallel, 64)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Churn = cmp.Or(c.Churn, 512)
	if err := c.check(); err != nil {
		return c, err
	}
	c.Size, c.WarmUp, c.Churn = max(c.Size, 0), max(c.WarmUp, 0), max(c.Churn, 0) // negative meant none
	return c, nil
}

func (c *Config) check() error {
	for _, f := range []struct {
		name             string
		value, low, high float64
	}{
		{"connections", float64(c.Connections), 1, maxConnections},
		{"size", float64(c.Size), -1, maxSize},
		{"in flight", float64(c.InFlight), 1, maxInFlight},
		{"rate", c.Rate, 0, maxRate},
		{"connect rate", c.ConnectRate, 0, maxConnectRate},
		{"messages", float64(c.Messages), 0, maxMessages},
		{"parallel", float64(c.Parallel), 1, maxParallel},
		{"churn", float64(c.Churn), -1, maxChurn},
		{"pid", float64(c.PID), 0, 1 << 22},
	} {
		if !(f.value >= f.low && f.value <= f.high) { // so that NaN is refused too
			return &ConfigError{fmt.Sprintf("%s is %.15g: it must be between %.15g and %.15g", f.name, f.value, max(f.low, 0), f.high)}
		}
	}
	for _, f := range []struct {
		name             string
		value, low, high time.Duration
	}{
		{"duration", c.Duration, time.Millisecond, maxDuration},
		{"warm-up", c.WarmUp, -1 << 62, maxWarmUp},
		{"timeout", c.Timeout, time.Millisecond, maxTimeout},
	} {
		if f.value < f.low || f.value > f.high {
			return &ConfigError{fmt.Sprintf("%s is %s: it must be between %s and %s", f.name, f.value, max(f.low, 0), f.high)}
		}
	}
	if c.Mode == Broadcast && c.Connections == maxConnections {
		return &ConfigError{fmt.Sprintf("connections is %d: with the publisher that is more than %d", c.Connections, maxConnections)}
	}
	if c.Mode == Idle && c.Rate != 0 {
		return &ConfigError{"rate makes no sense for idle connections"}
	}
	return nil
}
