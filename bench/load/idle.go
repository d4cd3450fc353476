package main

import (
	"errors"
	"time"
)

// idle measures the resident memory of the server for each connection that does nothing, first fresh, then after each has
// echoed one message. It is the slope between a fifth of the connections and all of them, so that what the server holds once
// (code, heap that it has already mapped, pools) does not count.
func idle(cfg config, t *target, l *loop) (result, error) {
	r := result{config: cfg}
	if cfg.PID == 0 {
		return r, errors.New("mode idle needs -pid")
	}
	began := time.Now()
	if err := rehearse(cfg, t); err != nil {
		return r, err
	}
	few := cfg.Conns / 5
	var memory [3]int64
	for i, step := range []func() error{
		func() error { return connect(cfg, t, l, few) },
		func() error { return connect(cfg, t, l, cfg.Conns-few) },
		func() error { return exchange(cfg, l) },
	} {
		if err := step(); err != nil {
			return r, err
		}
		if err := churn(cfg, t, l); err != nil {
			return r, err
		}
		rss, err := steady(cfg, l)
		if err != nil {
			return r, err
		}
		memory[i] = rss
	}
	r.IdleFresh = float64(memory[1]-memory[0]) / float64(cfg.Conns-few)
	r.IdleUsed = r.IdleFresh + float64(memory[2]-memory[1])/float64(cfg.Conns)
	r.Messages = l.tally.messages
	r.Seconds = time.Since(began).Seconds()
	r.CompressedShare = float64(l.tally.compressed) / float64(max(1, l.tally.messages))
	r.ReplyBytes = float64(l.tally.replyBytes) / float64(max(1, l.tally.messages))
	return r, nil
}

// exchange sends one message on every connection and waits for the replies. At most 64 are under way at a time, so that what is
// measured is an idle connection and not what a burst over all of them leaves behind. With a dialect, one message goes to all.
func exchange(cfg config, l *loop) error {
	if cfg.Dialect != "" {
		return tell(l)
	}
	waiting := 0
	l.onMessages = func(_ *conn, n int) error { waiting -= n; return nil }
	for i, c := range l.conns {
		c.owed++
		waiting++
		if err := c.send(); err != nil {
			return err
		}
		if waiting == 64 || i == len(l.conns)-1 {
			if err := l.run(func() bool { return waiting == 0 }); err != nil {
				return err
			}
		}
	}
	return nil
}

// rehearse lets the server work once through everything with connections that then go away, so that its pools and caches are
// filled before anything is measured.
func rehearse(cfg config, t *target) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	if err := connect(cfg, t, l, 256); err != nil {
		return err
	}
	return exchange(cfg, l)
}

// churn opens and resets connections. The bench starts every Go server with the same tiny GOMEMLIMIT, so the garbage that this
// makes lets the collector run, shrink stacks and give free pages back: afterwards memory is what the connections hold.
func churn(cfg config, t *target, l *loop) error {
	for range 8 {
		err := t.open(64, 64, func(fd int, _ agreement, _ []byte) error {
			abort(fd)
			return nil
		})
		if err != nil {
			return err
		}
		settle(cfg, l)
	}
	return nil
}

// steady returns the resident memory once it has moved by less than 64 KiB in half a second, at the latest after ten seconds.
func steady(cfg config, l *loop) (int64, error) {
	last := int64(0)
	for range 20 {
		until := time.Now().Add(500 * time.Millisecond)
		if err := l.run(func() bool { return time.Now().After(until) }); err != nil {
			return 0, err
		}
		now, err := residentBytes(cfg.PID)
		if err != nil {
			return 0, err
		}
		if d := now - last; -64<<10 < d && d < 64<<10 {
			return now, nil
		}
		last = now
	}
	return last, nil
}
