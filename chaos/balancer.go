package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// balancer is the load balancer in front of the nodes: it passes each connection on to the node that is up and has the fewest. It
// asks every node's /readyz; a node that says no gets no new connections, and one that cannot be reached loses those it has.
type balancer struct {
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	client   *http.Client
	lose     int // loses one message in so many; 0: none

	mu       sync.Mutex
	backends []*backend
}

// backend is a node. The balancer's mu guards it.
type backend struct {
	name    string
	address string
	ready   bool
	misses  int // questions without an answer, in a row
	conns   map[net.Conn]bool
}

const (
	healthEvery  = 300 * time.Millisecond
	healthWait   = time.Second
	healthMisses = 3
	connectWait  = time.Second
)

// startBalancer listens on an address and passes connections on to nodes.
func startBalancer(listen string, nodes map[string]string, lose int) (*balancer, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	b := &balancer{listener: l, lose: lose, client: &http.Client{
		Timeout: healthWait, Transport: &http.Transport{DisableKeepAlives: true},
	}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	for name, address := range nodes {
		one := &backend{name: name, address: address, conns: make(map[net.Conn]bool)}
		b.backends = append(b.backends, one)
		b.wg.Go(func() { b.watch(one) })
	}
	b.wg.Go(b.accept)
	return b, nil
}

func (b *balancer) address() string { return b.listener.Addr().String() }

// close ends the balancer and all connections.
func (b *balancer) close() {
	b.cancel()
	_ = b.listener.Close()
	for _, one := range b.backends {
		b.drop(one)
	}
	b.wg.Wait()
}

// isReady reports whether a node takes connections.
func (b *balancer) isReady(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.backends {
		if one.name == name {
			return one.ready
		}
	}
	return false
}

// watch asks for the health of a node until the balancer ends.
func (b *balancer) watch(one *backend) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		answered, ready := b.health(one)
		b.mu.Lock()
		one.ready = ready
		if answered {
			one.misses = 0
		} else {
			one.misses++
		}
		gone := one.misses >= healthMisses
		b.mu.Unlock()
		if gone {
			b.drop(one)
		}
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *balancer) health(one *backend) (answered, ready bool) {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+one.address+"/readyz", nil)
	if err != nil {
		return false, false
	}
	response, err := b.client.Do(request)
	if err != nil {
		return false, false
	}
	_ = response.Body.Close()
	return true, response.StatusCode == http.StatusOK
}

// drop ends all connections of a node.
func (b *balancer) drop(one *backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range one.conns {
		_ = c.Close()
	}
}

func (b *balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			b.wg.Go(func() { b.serve(c) })
		}
	}
}

// serve connects a client to a node; nodes that cannot be reached are passed over.
func (b *balancer) serve(c net.Conn) {
	defer c.Close()
	tried := make(map[*backend]bool)
	for {
		one := b.choose(tried)
		if one == nil {
			return
		}
		tried[one] = true
		d := net.Dialer{Timeout: connectWait}
		node, err := d.DialContext(b.ctx, "tcp", one.address)
		if err != nil {
			continue
		}
		b.mu.Lock()
		one.conns[node] = true
		b.mu.Unlock()
		stop := context.AfterFunc(b.ctx, func() {
			_ = node.Close()
			_ = c.Close()
		})
		var toClient io.Writer = c
		if b.lose > 0 {
			toClient = &loser{to: c, every: b.lose}
		}
		join(c, node, toClient)
		stop()
		b.mu.Lock()
		delete(one.conns, node)
		b.mu.Unlock()
		return
	}
}

// choose returns the node that is ready and has the fewest connections, or nil.
func (b *balancer) choose(tried map[*backend]bool) *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *backend
	for _, one := range b.backends {
		if one.ready && !tried[one] && (best == nil || len(one.conns) < len(best.conns)) {
			best = one
		}
	}
	return best
}

// join passes bytes on in both directions until one of them ends. What comes from the node goes to toClient.
func join(c, node net.Conn, toClient io.Writer) {
	var both sync.WaitGroup
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		_ = c.Close()
		_ = node.Close()
	}
	both.Go(func() { pass(toClient, node) })
	both.Go(func() { pass(node, c) })
	both.Wait()
}
