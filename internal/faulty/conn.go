package faulty

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection through the proxy.
type conn struct {
	proxy          *Proxy
	plan           Plan
	client, server *net.TCPConn
	second         *net.TCPConn // of a replay at the same time, or nil
	over           chan struct{}
	once           sync.Once
	silent         atomic.Bool
	record         []byte // what the client has sent, for a replay; owned by up
}

// end ends both sides.
func (c *conn) end(how func(*net.TCPConn)) {
	c.once.Do(func() {
		close(c.over)
		how(c.client)
		how(c.server)
		if c.second != nil {
			closeConn(c.second)
		}
	})
}

func (c *conn) cut(how Cut) {
	c.proxy.count(func(s *Stats) { s.Cuts++ })
	switch how {
	case CutReset:
		c.end(reset)
	case CutFinish:
		c.end(closeConn)
	case CutSilent:
		c.silent.Store(true)
	}
}

// wait reports whether the connection goes on after d.
func (c *conn) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.over:
		return false
	}
}

func (c *conn) up(r *rand.Rand) {
	late := c.plan.Late > 0
	l := line{conn: c, Line: c.plan.Up, from: c.client, to: c.server, random: r, keeps: late}
	if c.plan.Replay != 0 {
		l.seen = c.remember
	}
	l.pump()
	if len(l.held) > 0 {
		c.deliverLate(l.held)
	}
}

func (c *conn) down(r *rand.Rand) {
	l := line{conn: c, Line: c.plan.Down, from: c.server, to: c.client, random: r}
	l.pump()
}

// remember sees all that the client sends.
func (c *conn) remember(p []byte) {
	if c.second != nil {
		_, _ = c.second.Write(p) // what becomes of a replay is nobody's concern
	}
	c.record = append(c.record, p[:min(len(p), kept-len(c.record))]...)
}

// deliverLate gives the server what was kept from it, when the client has long gone.
func (c *conn) deliverLate(held []byte) {
	c.silent.Store(true) // what the server says meanwhile is for nobody
	reset(c.client)
	if !c.wait(c.plan.Late) {
		return
	}
	if _, err := c.server.Write(held); err == nil {
		c.proxy.count(func(s *Stats) { s.Late++ })
	}
	_ = c.server.CloseWrite()
}

// replay sends what was recorded on a connection of its own.
func (c *conn) replay() {
	if c.plan.Replay <= 0 || len(c.record) == 0 {
		return
	}
	timer := time.NewTimer(c.plan.Replay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.proxy.ctx.Done():
		return
	}
	if second := c.proxy.secondConnection(); second != nil {
		_, _ = second.Write(c.record)
		_ = second.CloseWrite()
	}
}

// secondConnection connects for a replay, and discards what the server says there until it ends.
func (p *Proxy) secondConnection() *net.TCPConn {
	second, err := p.dial()
	if err != nil {
		return nil
	}
	p.count(func(s *Stats) { s.Replays++ })
	p.wg.Go(func() {
		ended := make(chan struct{})
		p.wg.Go(func() {
			select {
			case <-p.ctx.Done():
			case <-ended:
			}
			_ = second.Close()
		})
		_, _ = io.Copy(io.Discard, second)
		close(ended)
	})
	return second
}

// line is one direction of a conn.
type line struct {
	Line
	conn     *conn
	from, to *net.TCPConn
	random   *rand.Rand
	seen     func([]byte) // of all that comes; may be nil
	keeps    bool         // instead of a cut, keep what comes
	held     []byte
	passed   int64
	stalled  bool
}

const readSize = 32 << 10

// pump passes on what comes until it ends.
func (l *line) pump() {
	buf := make([]byte, readSize)
	for {
		n, err := l.read(buf)
		if l.seen != nil {
			l.seen(buf[:n])
		}
		if !l.pass(buf[:n]) {
			return
		}
		switch {
		case err == nil:
		case l.conn.silent.Load():
			return // the other side must not know
		case errors.Is(err, io.EOF):
			_ = l.to.CloseWrite()
			return
		default:
			l.conn.end(reset)
			return
		}
	}
}

// read reads what there is, and with Gather what comes for a while after the first of it.
func (l *line) read(buf []byte) (int, error) {
	n, err := l.from.Read(buf)
	if l.Gather == 0 || err != nil {
		return n, err
	}
	_ = l.from.SetReadDeadline(time.Now().Add(l.Gather))
	for n < len(buf) && err == nil {
		var more int
		more, err = l.from.Read(buf[n:])
		n += more
	}
	_ = l.from.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// pass passes p on in pieces. It reports whether the line goes on.
func (l *line) pass(p []byte) bool {
	for len(p) > 0 {
		if l.conn.silent.Load() {
			return true
		}
		piece := p
		if l.MaxPiece > 0 {
			piece = p[:min(len(p), 1+l.random.IntN(l.MaxPiece))]
		}
		if l.CutAfter > 0 && l.passed+int64(len(piece)) >= l.CutAfter {
			return l.last(piece[:l.CutAfter-l.passed], p[l.CutAfter-l.passed:])
		}
		if !l.hesitate() {
			return false
		}
		if _, err := l.to.Write(piece); err != nil && !l.conn.silent.Load() {
			l.conn.end(reset)
			return false
		}
		l.passed += int64(len(piece))
		p = p[len(piece):]
	}
	return true
}

// hesitate waits as the plan says. It reports whether the connection goes on.
func (l *line) hesitate() bool {
	wait := l.Delay
	if l.Jitter > 0 {
		wait += time.Duration(l.random.Int64N(int64(l.Jitter)))
	}
	if l.Stall > 0 && l.passed >= l.StallAfter && !l.stalled {
		l.stalled = true
		wait += l.Stall
	}
	return l.conn.wait(wait)
}

// last passes on the last piece; rest is what came behind it.
func (l *line) last(piece, rest []byte) bool {
	_, _ = l.to.Write(piece)
	l.passed += int64(len(piece))
	l.CutAfter = 0
	if l.keeps {
		l.keep(rest)
		return false
	}
	l.conn.cut(l.Cut)
	return l.Cut == CutSilent
}

// keep takes what comes for a while.
func (l *line) keep(rest []byte) {
	l.held = append(l.held, rest...)
	_ = l.from.SetReadDeadline(time.Now().Add(l.conn.plan.Hold))
	buf := make([]byte, readSize)
	for len(l.held) < kept {
		n, err := l.from.Read(buf)
		l.held = append(l.held, buf[:n]...)
		if l.seen != nil {
			l.seen(buf[:n])
		}
		if err != nil {
			return
		}
	}
}
