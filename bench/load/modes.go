package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// A config is one run of the load.
type config struct {
	Mode        string        `json:"mode"`
	Addr        string        `json:"-"`
	Path        string        `json:"-"`
	Conns       int           `json:"conns"`
	Size        int           `json:"size"`
	InFlight    int           `json:"in_flight"`
	Type        string        `json:"type"`
	Compression string        `json:"compression"`
	Warmup      time.Duration `json:"-"`
	Duration    time.Duration `json:"-"`
	Count       int           `json:"-"`                 // at most so many messages, 0: no such limit
	Same        bool          `json:"same"`              // the same message again and again
	Dialect     string        `json:"dialect,omitempty"` // of a server with topics; its payload is text, and not compressed
	Rate        float64       `json:"rate,omitempty"`    // broadcast: messages a second; 0: InFlight counts
	PID         int           `json:"-"`                 // the server; 0: unknown, no CPU or memory figures
}

// A result is what a run measured.
type result struct {
	config
	Messages        int     `json:"messages"` // echo: replies; broadcast: deliveries; handshake: handshakes
	Seconds         float64 `json:"seconds"`
	ServerNs        float64 `json:"server_cpu_ns_per_message"`
	ServerBusy      float64 `json:"server_busy"` // CPU time over wall time
	LoadBusy        float64 `json:"load_busy"`
	ReplyBytes      float64 `json:"reply_payload_bytes"`
	CompressedShare float64 `json:"replies_compressed"`
	IdleFresh       float64 `json:"idle_bytes_fresh,omitempty"`
	IdleUsed        float64 `json:"idle_bytes_after_message,omitempty"`
}

func run(cfg config) (result, error) {
	if cfg.Dialect != "" {
		d, ok := dialects[cfg.Dialect]
		if !ok {
			return result{}, fmt.Errorf("dialect %q: want session or socketio", cfg.Dialect)
		}
		if cfg.Compression != "off" || (cfg.Mode != "broadcast" && cfg.Mode != "idle") {
			return result{}, fmt.Errorf("dialect %s: want mode broadcast or idle, without compression", cfg.Dialect)
		}
		cfg.Path = d.path()
	}
	t, err := newTarget(cfg.Addr, cfg.Path, cfg.Compression)
	if err != nil {
		return result{}, err
	}
	switch cfg.Mode {
	case "handshake":
		return handshake(cfg, t)
	case "echo", "broadcast", "idle":
	default:
		return result{}, fmt.Errorf("mode %q: want echo, broadcast, idle or handshake", cfg.Mode)
	}
	l, err := newLoop()
	if err != nil {
		return result{}, err
	}
	defer l.close()
	switch cfg.Mode {
	case "echo":
		return echo(cfg, t, l)
	case "broadcast":
		return broadcast(cfg, t, l)
	}
	return idle(cfg, t, l)
}

// connect opens count connections with the payloads of cfg.
func connect(cfg config, t *target, l *loop, count int) error {
	if d := dialects[cfg.Dialect]; d != nil {
		return l.connectTopic(t, d, count, letters(64, cfg.Size))
	}
	op := byte(opBinary)
	if cfg.Type == "text" {
		op = opText
	}
	different := 64 // with 1 KiB each they exceed the 32 KiB window, which newStream needs
	if cfg.Size > 32<<10 {
		different = 4
	}
	json := cfg.Type == "text" || cfg.Compression != "off"
	if json && different*cfg.Size <= 32<<10 && cfg.Compression == "takeover" {
		different = 32<<10/max(cfg.Size, 1) + 1
	}
	texts := payloads(different, cfg.Size, json)
	if cfg.Same {
		for i := range texts {
			texts[i] = texts[0]
		}
	}
	return l.connect(t, count, texts, op)
}

// echo keeps cfg.InFlight messages of each connection on their way.
func echo(cfg config, t *target, l *loop) (result, error) {
	if err := connect(cfg, t, l, cfg.Conns); err != nil {
		return result{}, err
	}
	sending := true
	l.onMessages = func(c *conn, n int) error {
		if sending {
			c.owed += n
		}
		return nil
	}
	settle(cfg, l)
	for _, c := range l.conns {
		c.owed = cfg.InFlight
		if err := c.send(); err != nil {
			return result{}, err
		}
	}
	r, err := window(cfg, l)
	if err != nil {
		return r, err
	}
	sending = false
	return r, drain(l, func(c *conn) int { return c.sent })
}

// broadcast publishes on the first connection; the server sends each message to all cfg.Conns+1 connections. A message is no
// longer in flight when all have it.
func broadcast(cfg config, t *target, l *loop) (result, error) {
	if err := connect(cfg, t, l, cfg.Conns+1); err != nil {
		return result{}, err
	}
	if cfg.Dialect == "" {
		if err := greet(l); err != nil {
			return result{}, err
		}
	}
	publisher := l.conns[0]
	under := cfg.InFlight
	if cfg.Rate > 0 {
		under = mostScheduled
	}
	missing := make([]int, under+1) // receivers still without a message, a ring by message number
	published, delivered := 0, 0
	sending := true
	publish := func(n int) error { // all n in one write, as a publisher in a hurry does
		for range n {
			missing[published%len(missing)] = len(l.conns)
			published++
		}
		publisher.owed += n
		return publisher.send()
	}
	l.pending = func() bool { return delivered < published }
	l.onMessages = func(c *conn, n int) error {
		before := delivered
		for i := c.received - n; i < c.received; i++ {
			left := &missing[i%len(missing)]
			if *left--; *left == 0 {
				delivered++
			}
		}
		if !sending || cfg.Rate > 0 || delivered == before {
			return nil
		}
		return publish(delivered - before)
	}
	settle(cfg, l)
	if cfg.Rate > 0 {
		began := time.Now()
		l.tick = func() error {
			due := int(cfg.Rate * time.Since(began).Seconds())
			if !sending || due <= published {
				return nil
			}
			if due-delivered > mostScheduled {
				return fmt.Errorf("the server is %d messages behind the rate of %v a second", due-delivered, cfg.Rate)
			}
			return publish(due - published)
		}
	} else if err := publish(cfg.InFlight); err != nil {
		return result{}, err
	}
	r, err := window(cfg, l)
	if err != nil {
		return r, err
	}
	sending = false
	return r, drain(l, func(*conn) int { return publisher.sent })
}

// mostScheduled is how many messages may be under way at a rate.
const mostScheduled = 64

// greet exchanges a ping and a pong on every connection. A server that answers a ping reads from the connection, and before that it
// has made it a receiver of broadcasts; the response to the handshake alone does not say so.
func greet(l *loop) error {
	ping := appendFrame(nil, 0x80|opPing, []byte("ready?"), 0x01020304)
	want := l.tally.pongs + len(l.conns)
	for _, c := range l.conns {
		if _, errno := rawWrite(c.fd, ping); errno != 0 {
			return fmt.Errorf("ping: %w", errno)
		}
	}
	end := time.Now().Add(10 * time.Second)
	if err := l.run(func() bool { return l.tally.pongs >= want || time.Now().After(end) }); err != nil {
		return err
	}
	if l.tally.pongs < want {
		return fmt.Errorf("%d of %d connections answered a ping", len(l.conns)-want+l.tally.pongs, len(l.conns))
	}
	return nil
}

// window warms up and then measures for cfg.Duration or cfg.Count messages; longer if none came on a machine that others keep busy.
func window(cfg config, l *loop) (result, error) {
	r := result{config: cfg}
	until := time.Now().Add(cfg.Warmup)
	if err := l.run(func() bool { return time.Now().After(until) }); err != nil {
		return r, err
	}
	m, err := startMeter(cfg.PID)
	if err != nil {
		return r, err
	}
	before := l.tally
	until = time.Now().Add(cfg.Duration)
	err = l.run(func() bool {
		n := l.tally.messages - before.messages
		return time.Now().After(until) && (n > 0 || !l.outstanding()) || (cfg.Count > 0 && n >= cfg.Count)
	})
	if err != nil {
		return r, err
	}
	n := l.tally.messages - before.messages
	if n == 0 {
		return r, errors.New("no message came back while measuring")
	}
	r.ReplyBytes = float64(l.tally.replyBytes-before.replyBytes) / float64(n)
	r.CompressedShare = float64(l.tally.compressed-before.compressed) / float64(n)
	err = m.stop(&r, n)
	return r, err
}

// drain waits for the replies still under way and checks that every connection got as many as it should.
func drain(l *loop, want func(c *conn) int) error {
	if err := l.run(func() bool { return !l.outstanding() }); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	for i, c := range l.conns {
		if c.received != want(c) {
			return fmt.Errorf("connection %d: %d replies, want %d", i, c.received, want(c))
		}
	}
	return nil
}

// A meter measures wall time and the CPU time of the server and of the load.
type meter struct {
	pid          int
	began        time.Time
	server, load time.Duration
}

func startMeter(pid int) (m meter, err error) {
	m = meter{pid: pid, began: time.Now()}
	if m.load, err = cpuTime(os.Getpid()); err == nil && pid != 0 {
		m.server, err = cpuTime(pid)
	}
	return m, err
}

func (m meter) stop(r *result, messages int) error {
	now, err := startMeter(m.pid)
	wall := now.began.Sub(m.began)
	r.Messages = messages
	r.Seconds = wall.Seconds()
	r.ServerNs = float64(now.server-m.server) / float64(messages)
	r.ServerBusy = float64(now.server-m.server) / float64(wall)
	r.LoadBusy = float64(now.load-m.load) / float64(wall)
	return err
}

// settle waits, for at most three seconds, until the server has been quiet for 50 ms: all handshakes are worked off.
func settle(cfg config, l *loop) {
	const look = 50 * time.Millisecond
	last := time.Duration(-1)
	for range 60 {
		until := time.Now().Add(look)
		l.run(func() bool { return time.Now().After(until) }) // an error shows again in the measurement
		now, err := time.Duration(0), error(nil)
		if cfg.PID != 0 {
			now, err = cpuTime(cfg.PID)
		}
		if err != nil || (last >= 0 && now-last < look/50) {
			return
		}
		last = now
	}
}

// handshake opens connections, 64 at a time, and resets each as soon as it is upgraded.
func handshake(cfg config, t *target) (result, error) {
	r := result{config: cfg}
	made := 0
	open := func(d time.Duration) error {
		for until := time.Now().Add(d); time.Now().Before(until) && (cfg.Count == 0 || made < cfg.Count); {
			err := t.open(64, 64, func(fd int, _ agreement, _ []byte) error {
				abort(fd)
				made++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := open(cfg.Warmup); err != nil {
		return r, err
	}
	made = 0
	m, err := startMeter(cfg.PID)
	if err != nil {
		return r, err
	}
	if err := open(cfg.Duration); err != nil {
		return r, err
	}
	err = m.stop(&r, made)
	return r, err
}
