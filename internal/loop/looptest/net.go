// Package looptest is a network in memory for the tests of what stands on package
// loop: Pollers whose descriptors are made up, and whose every read, write and
// wait can go in all the ways that a Poller's contract allows. It works inside
// the bubbles of testing/synctest.
package looptest

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
)

// FirstFD is the first descriptor: above those that a test's process has itself,
// so that a real system call with a made-up descriptor fails.
const FirstFD = 30_000

// Net is a network with any number of Pollers. All methods may be called from any
// goroutine.
type Net struct {
	mu      sync.Mutex
	choose  Choice
	open    map[int]*Peer // by descriptor
	free    []int         // the last closed is the first used again
	next    int
	pollers []*Poller
	faults  []string
	refuse  int
}

// New returns a network that asks choose what happens.
func New(choose Choice) *Net {
	return &Net{choose: choose, open: make(map[int]*Peer), next: FirstFD}
}

// Connect makes a connection: fd is the end that the Net's Pollers serve, the
// Peer the other one.
func (n *Net) Connect() (fd int, peer *Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last := len(n.free) - 1; last >= 0 {
		fd, n.free = n.free[last], n.free[:last]
	} else {
		fd = n.next
		n.next++
	}
	peer = &Peer{net: n, fd: fd, resetIn: never, resetOut: never}
	peer.changed.L = &n.mu
	n.open[fd] = peer
	return fd, peer
}

// Open returns the descriptors that are not closed, in order.
func (n *Net) Open() (fds []int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for fd := range n.open {
		fds = append(fds, fd)
	}
	slices.Sort(fds)
	return fds
}

// Forget closes a descriptor that its owner has taken elsewhere, where nobody can
// close it here.
func (n *Net) Forget(fd int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.close(fd, "Forget")
}

// Faults returns what the Pollers' users did that they must not do.
func (n *Net) Faults() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.faults)
}

// RefuseAdd makes the next Adds fail, as when the system has no memory for them.
func (n *Net) RefuseAdd(times int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = times
}

// All below is called with mu held.

func (n *Net) fault(format string, args ...any) {
	n.faults = append(n.faults, fmt.Sprintf(format, args...))
}

// find returns the open connection of fd.
func (n *Net) find(fd int, what string) (*Peer, error) {
	if s := n.open[fd]; s != nil {
		return s, nil
	}
	n.fault("%s of descriptor %d, which is not open", what, fd)
	return nil, syscall.EBADF
}

func (n *Net) close(fd int, what string) error {
	s, err := n.find(fd, what)
	if err != nil {
		return err
	}
	if s.watcher != nil {
		n.fault("%s of descriptor %d, which is watched", what, fd)
		s.watcher = nil
	}
	s.unread = len(s.in)
	s.closed, s.outEnded = true, true
	delete(n.open, fd)
	n.free = append(n.free, fd)
	n.wake()
	s.changed.Broadcast()
	return nil
}

// wake makes every Wait look again.
func (n *Net) wake() {
	for _, p := range n.pollers {
		p.changed.Broadcast()
	}
}

// addrs returns made-up addresses: the server's, and one for each descriptor.
func addrs(fd int) (local, peer netip.AddrPort) {
	return netip.MustParseAddrPort("192.0.2.1:443"), netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 1}), uint16(fd))
}
