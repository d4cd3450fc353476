package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/faulty"
)

// links is a network on loopback, for systems without namespaces: a proxy stands between any two machines, and for each service.
type links struct {
	addresses map[string]string // by machine and service
	seed      uint64

	mu    sync.Mutex
	all   map[string]*link // by from, to and service
	cuts  map[[2]string]int
	alone map[string]bool
	bad   map[string]bool
}

// link carries the connections of one machine to one service of another.
type link struct {
	from, to string
	proxy    *faulty.Proxy
	network  *links
}

// newLinks chooses a port for each service, and starts the proxies.
func newLinks(machines []string, seed uint64) (*links, error) {
	n := &links{
		addresses: make(map[string]string), seed: seed, all: make(map[string]*link), cuts: make(map[[2]string]int),
		alone: make(map[string]bool), bad: make(map[string]bool),
	}
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	for _, m := range machines {
		for s := range servicePorts {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			listeners = append(listeners, l) // until all are chosen, so that they differ
			n.addresses[key(m, "", service(s))] = l.Addr().String()
		}
	}
	for _, from := range append([]string{self}, machines...) {
		for _, to := range machines {
			for s := range servicePorts {
				if err := n.connect(from, to, service(s)); err != nil {
					n.close()
					return nil, err
				}
			}
		}
	}
	return n, nil
}

func key(to, from string, s service) string { return fmt.Sprint(to, " ", from, " ", s) }

func (n *links) connect(from, to string, s service) error {
	if from == to {
		return nil
	}
	l := &link{from: from, to: to, network: n}
	proxy, err := faulty.Start(faulty.Options{Target: n.addresses[key(to, "", s)], Seed: n.seed, Plan: l.plan})
	if err != nil {
		return err
	}
	l.proxy = proxy
	n.all[key(to, from, s)] = l
	return nil
}

// plan is what happens to a new connection.
func (l *link) plan(int, *rand.Rand) faulty.Plan {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	switch {
	case l.network.dead(l):
		// The shortest that a connection can get.
		silent := faulty.Line{CutAfter: 1, Cut: faulty.CutSilent}
		return faulty.Plan{Up: silent, Down: silent}
	case l.network.bad[l.from] || l.network.bad[l.to]:
		slow := faulty.Line{Delay: slowDelay, Jitter: slowJitter}
		return faulty.Plan{Up: slow, Down: slow}
	}
	return faulty.Plan{}
}

const (
	slowDelay  = 20 * time.Millisecond // for each piece that is read
	slowJitter = 60 * time.Millisecond
)

// dead reports whether nothing passes a link. mu is held.
func (n *links) dead(l *link) bool {
	return n.alone[l.from] || n.alone[l.to] || n.cuts[pair(l.from, l.to)] > 0
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

func (n *links) describe() string {
	return "proxies between all processes: a cut silences connections, and mending it resets them"
}

func (n *links) listen(machine string, s service) string { return n.addresses[key(machine, "", s)] }

func (n *links) reach(from, to string, s service) string {
	if from == to {
		return n.listen(to, s)
	}
	return n.all[key(to, from, s)].proxy.Addr()
}

// command makes the program end with this process, however that ends, where there is a tool for it.
func (n *links) command(_, name string, args ...string) *exec.Cmd {
	if setpriv, err := exec.LookPath("setpriv"); err == nil {
		return exec.Command(setpriv, append([]string{"--pdeathsig", "KILL", name}, args...)...)
	}
	return exec.Command(name, args...)
}

// change changes the state, and does to the connections of every link that it concerns what that means.
func (n *links) change(how faulty.Cut, concerns func(*link) bool, to func()) {
	n.mu.Lock()
	to()
	var concerned []*link
	for _, l := range n.all {
		if concerns(l) {
			concerned = append(concerned, l)
		}
	}
	n.mu.Unlock()
	for _, l := range concerned {
		l.proxy.Cut(how)
	}
}

func between(a, b string) func(*link) bool {
	return func(l *link) bool { return pair(l.from, l.to) == pair(a, b) }
}

func of(machine string) func(*link) bool {
	return func(l *link) bool { return l.from == machine || l.to == machine }
}

func (n *links) cut(a, b string) error {
	n.change(faulty.CutSilent, between(a, b), func() { n.cuts[pair(a, b)]++ })
	return nil
}

func (n *links) mend(a, b string) error {
	n.change(faulty.CutReset, between(a, b), func() { n.cuts[pair(a, b)]-- })
	return nil
}

func (n *links) isolate(machine string) error {
	n.change(faulty.CutSilent, of(machine), func() { n.alone[machine] = true })
	return nil
}

func (n *links) rejoin(machine string) error {
	n.change(faulty.CutReset, of(machine), func() { delete(n.alone, machine) })
	return nil
}

func (n *links) slow(machine string) (string, error) {
	n.change(faulty.CutReset, of(machine), func() { n.bad[machine] = true })
	return fmt.Sprintf("%s to %s for each piece, in new connections", slowDelay, slowDelay+slowJitter), nil
}

func (n *links) fast(machine string) error {
	n.change(faulty.CutReset, of(machine), func() { delete(n.bad, machine) })
	return nil
}

func (n *links) close() {
	for _, l := range n.all {
		l.proxy.Close()
	}
}
