package load

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// Run makes one run. When ctx ends it stops early, and the Result is of what was
// measured so far. What went wrong with single connections is in Result.Errors.
// Run itself fails with a *ConfigError; when the very first connection cannot be
// made (a *websocket.HandshakeError if the server said why); when the process of
// Config.PID cannot be watched; or when this machine gives out.
//
// A Run uses one goroutine for the load. Several may run at a time.
func Run(ctx context.Context, config Config) (*Result, error) {
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Result{Format: Format, Mode: c.Mode, Started: time.Now().UTC().Truncate(time.Second), Setup: setupOf(&c), Errors: []Failure{}, Series: []Point{}, Distribution: []Quantile{}}
	if u, err := url.Parse(c.URL); err == nil {
		r.URL = u.Redacted()
	}
	if c.PID != 0 {
		r.Server = &Server{PID: c.PID}
		if r.Server.MemoryBefore, err = residentBytes(c.PID); err != nil {
			return nil, &ConfigError{fmt.Sprintf("process %d cannot be watched: %s", c.PID, err)}
		}
		if _, err := readMeter(c.PID); err != nil {
			return nil, &ConfigError{fmt.Sprintf("process %d cannot be watched: %s", c.PID, err)}
		}
	}
	if c.Mode == Handshake {
		err = handshake(ctx, &c, r)
	} else {
		err = drive(ctx, &c, r)
	}
	if err != nil {
		return nil, err
	}
	r.Interrupted = ctx.Err() != nil
	return r, nil
}

// drive runs a mode on an engine.
func drive(ctx context.Context, c *Config, r *Result) error {
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range e.conns {
			e.release(c)
		}
		e.transport.close()
	}()
	stop := context.AfterFunc(ctx, func() {
		e.stopped.Store(true)
		e.transport.wake()
	})
	defer stop()
	modes := map[Mode]func(context.Context, *Result) error{Echo: e.echo, Broadcast: e.broadcast, Idle: e.hold}
	if err := modes[c.Mode](ctx, r); err != nil {
		return err
	}
	if r.Server != nil {
		r.Server.MemoryAfter, _ = residentBytes(c.PID) // 0 if it is gone
	}
	if e.gauge != nil {
		e.gauge.report(r)
	}
	r.Connect = Connect{Opened: e.opening.open, Seconds: e.opening.took.Seconds(), Latency: e.opening.times.summary()}
	e.leave()
	r.Errors = append(r.Errors, e.errors.sorted()...)
	return nil
}

var compressionNames = map[websocket.CompressionMode]string{
	websocket.CompressionOff: "off", websocket.CompressionNoTakeover: "no-takeover", websocket.CompressionTakeover: "takeover",
}

func setupOf(c *Config) Setup {
	s := Setup{
		Connections: c.Connections, Size: c.Size, InFlight: c.InFlight, Rate: c.Rate, Type: "binary", Compression: compressionNames[c.Compression],
		Same: c.Same, Seconds: c.Duration.Seconds(), WarmUp: c.WarmUp.Seconds(),
	}
	if c.Text {
		s.Type = "text"
	}
	if c.Rate > 0 || c.Mode == Handshake || c.Mode == Idle {
		s.InFlight = 0
	}
	return s
}

// measure warms up and then measures, with ready called in between. What comes
// back within the time is counted.
func (e *engine) measure(r *Result, begins, ends func()) error {
	c := e.cfg
	if c.WarmUp > 0 {
		e.enter("warming up", c.WarmUp)
		if err := e.until(c.WarmUp, 0); err != nil {
			return err
		}
	}
	e.enter("measuring", c.Duration)
	before := e.tally
	e.counted = before.messages
	var err error
	if e.gauge, err = startGauge(c); err != nil {
		return err
	}
	begins()
	if err := e.until(c.Duration, c.Messages); err != nil {
		return err
	}
	ends()
	n := e.tally.messages - before.messages
	err = e.gauge.stop(r, n)
	e.gauge.ended = c.Rate == 0 // in an open loop, what comes now belongs to it still
	if n > 0 {
		r.ReplyBytes = float64(e.tally.replyBytes-before.replyBytes) / float64(n)
		r.Compressed = float64(e.tally.compressed-before.compressed) / float64(n)
	}
	if e.live == 0 {
		return nil // which is why the server's process may be gone
	}
	return err
}

// drain waits for the replies that are still to come, for at most Timeout.
func (e *engine) drain() error {
	e.enter("finishing", 0)
	end := e.clock() + int64(e.cfg.Timeout)
	_, err := e.run(end, func() bool { return !e.outstanding() || e.now >= end })
	return err
}

// failSilent fails the connections that did not get all their replies, unless
// we stopped waiting because the caller did.
func (e *engine) failSilent(missing func(c *conn) int64) {
	if e.stopped.Load() {
		return
	}
	for _, c := range e.conns {
		if n := missing(c); n > 0 && !c.dead {
			e.fail(c, failed(NoAnswer, "%d of %d replies did not come within %s", n, n+c.received, e.cfg.Timeout))
		}
	}
}

// settle waits, for at most three seconds, until the server has been quiet for
// 50 ms: all handshakes are worked off.
func (e *engine) settle() error {
	const look = 50 * time.Millisecond
	last := time.Duration(-1)
	for range 60 {
		if err := e.until(look, 0); err != nil {
			return err
		}
		m, err := readMeter(e.cfg.PID)
		if err != nil || last >= 0 && m.server-last < look/50 || e.stopped.Load() {
			return nil // a server that is gone shows elsewhere
		}
		last = m.server
	}
	return nil
}
