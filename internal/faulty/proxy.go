// Package faulty is a bad network for tests: a TCP proxy on loopback that does to connections, by a plan and a seed, what networks,
// middleboxes and people in between do.
//
// Within one connection TCP keeps bytes in order and whole; who changes that corrupts the stream, which is a matter for TLS. What is left is much:
//
//   - A connection ends at any byte, with a reset, with an orderly end, or with nothing at all while both sides believe in it (Cut).
//   - Bytes take their time, come in pieces or in bunches, or not for a while, in one direction or both (Line).
//   - A connection that its client has given up reaches the server later than the one that the client made instead (Late).
//   - Everything that a client has sent comes a second time, on a connection of its own (Replay).
package faulty

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Options configures a Proxy.
type Options struct {
	Target string // HOST:PORT of the server; required
	Seed   uint64 // of all that is random
	// Plan says what happens to the n-th connection, from 0 on. r depends on Seed and n only. It is called
	// for one connection after the other. Default: nothing happens.
	Plan func(n int, r *rand.Rand) Plan
}

// Plan is what happens to one connection. The zero value passes everything on.
type Plan struct {
	Up   Line // from the client to the server
	Down Line // from the server to the client

	// Late keeps what the client sends from the byte Up.CutAfter on, resets the client's connection after Hold, and Late later
	// delivers to the server what was kept, up to 1 MiB of it.
	Late, Hold time.Duration

	// Replay sends everything that the client sends, up to 1 MiB, on a second connection too, this long after the first one
	// has ended; negative: at the same time.
	Replay time.Duration
}

// Line is what happens in one direction.
type Line struct {
	CutAfter int64         // bytes after which the connection is cut; 0: never
	Cut      Cut           // and how
	Delay    time.Duration // for each piece
	Jitter   time.Duration // a random part of it comes on top
	MaxPiece int           // pieces are of random length up to this; 0: as they come
	Gather   time.Duration // what comes within this time is passed on at once
	// Stall is how long nothing passes once StallAfter bytes have.
	StallAfter int64
	Stall      time.Duration
}

// Cut is how a connection ends.
type Cut uint8

// The ways to end.
const (
	CutReset  Cut = iota // both sides get a reset
	CutFinish            // both sides get the orderly end of a stream, in the middle of whatever it was
	CutSilent            // nothing passes any more, and neither side is told; the server is not even told when the client goes
)

// Stats counts what has happened.
type Stats struct {
	Connections, Cuts, Late, Replays int
}

// Proxy listens on loopback. Its methods may be called from any goroutine.
type Proxy struct {
	options  Options
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]bool
	stats Stats
}

// kept is the most bytes of a connection that are kept for later.
const kept = 1 << 20

// Start begins to listen on a port of its own choice.
func Start(o Options) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(o.Target); err != nil {
		return nil, fmt.Errorf("faulty: Options.Target: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faulty: %w", err)
	}
	p := &Proxy{options: o, listener: l, conns: make(map[*conn]bool)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns HOST:PORT of the listener.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stats returns what has happened until now.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Cut ends all present connections and returns how many.
func (p *Proxy) Cut(how Cut) int {
	p.mu.Lock()
	all := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		all = append(all, c)
	}
	p.mu.Unlock()
	for _, c := range all {
		c.cut(how)
	}
	return len(all)
}

// Close ends the proxy and everything that passes through it, and waits for that.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close()
	p.wg.Wait()
}

func (p *Proxy) count(what func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(&p.stats)
}

func (p *Proxy) accept() {
	for n := 0; ; n++ {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			n-- // it was gone before it was here
			continue
		}
		var plan Plan
		if p.options.Plan != nil {
			plan = p.options.Plan(n, p.random(n, 0))
		}
		p.wg.Go(func() { p.serve(n, plan, client.(*net.TCPConn)) })
	}
}

// serve works on one connection until it is over.
func (p *Proxy) serve(n int, plan Plan, client *net.TCPConn) {
	server, err := p.dial()
	if err != nil {
		reset(client)
		return
	}
	c := &conn{proxy: p, plan: plan, client: client, server: server, over: make(chan struct{})}
	p.mu.Lock()
	p.conns[c] = true
	p.stats.Connections++
	p.mu.Unlock()
	stop := context.AfterFunc(p.ctx, func() { c.end(reset) })
	defer stop()
	if plan.Replay < 0 {
		c.second = p.secondConnection()
	}
	var lines sync.WaitGroup
	lines.Go(func() { c.up(p.random(n, 1)) })
	lines.Go(func() { c.down(p.random(n, 2)) })
	lines.Wait()
	c.end(closeConn)
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.replay()
}

// random is one of the sources of the n-th connection.
func (p *Proxy) random(n int, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(p.options.Seed, uint64(n)<<2|stream))
}

func (p *Proxy) dial() (*net.TCPConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(p.ctx, "tcp", p.options.Target)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// reset ends a connection with a RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func closeConn(c *net.TCPConn) { _ = c.Close() }
