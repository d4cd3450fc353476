package looptest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// Poller is a loop.Poller of a Net. Its events come late, several times, in any
// order, for nothing, and for descriptors that are not watched any more; what is
// ready and watched for comes in the end.
type Poller struct {
	net *Net

	// Guarded by net.mu.
	changed     sync.Cond
	interrupted bool
	waiting     bool
	closed      bool
	past        []loop.Event // of descriptors that were closed or removed
}

var _ loop.Poller = (*Poller)(nil)

// Poller returns a new Poller of the network.
func (n *Net) Poller() *Poller {
	p := &Poller{net: n}
	p.changed.L = &n.mu
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pollers = append(n.pollers, p)
	return p
}

// Wait implements loop.Poller.
func (p *Poller) Wait(events []loop.Event) (int, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.waiting {
		p.net.fault("two goroutines wait for one Poller")
	}
	p.waiting = true
	defer func() { p.waiting = false }()
	for {
		ready := p.ready()
		switch {
		case p.closed:
			return 0, net.ErrClosed
		case p.interrupted:
			p.interrupted = false
			return p.deliver(events, ready), nil
		case len(ready) > 0:
			return p.deliver(events, ready), nil
		}
		p.changed.Wait()
	}
}

// Interrupt implements loop.Poller.
func (p *Poller) Interrupt() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.interrupted = true
	p.changed.Broadcast()
}

// Add implements loop.Poller.
func (p *Poller) Add(fd int, tag uint32, what loop.Readiness) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.net.find(fd, "Add")
	if err != nil {
		return err
	}
	if s.watcher != nil {
		p.net.fault("Add of descriptor %d, which is watched", fd)
		return syscall.EEXIST
	}
	if p.net.refuse > 0 {
		p.net.refuse--
		return syscall.ENOMEM
	}
	s.watcher, s.tag, s.want = p, tag, what
	p.changed.Broadcast()
	return nil
}

// Change implements loop.Poller.
func (p *Poller) Change(fd int, tag uint32, what loop.Readiness) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.watched(fd, "Change")
	if err != nil {
		return err
	}
	s.tag, s.want = tag, what
	p.changed.Broadcast()
	return nil
}

// Remove implements loop.Poller.
func (p *Poller) Remove(fd int) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.watched(fd, "Remove")
	if err != nil {
		return err
	}
	s.watcher = nil
	const remembered = 8
	p.past = append(p.past, loop.Event{FD: fd, Tag: s.tag, Ready: s.want})
	if len(p.past) > remembered {
		p.past = p.past[1:]
	}
	return nil
}

// Read implements loop.Poller.
func (p *Poller) Read(fd int, b []byte) (int, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.net.find(fd, "Read")
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		p.net.fault("Read of descriptor %d into nothing: it would look like the stream's end", fd)
	}
	return s.read(b)
}

// Write implements loop.Poller.
func (p *Poller) Write(fd int, b []byte) (int, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.net.find(fd, "Write")
	if err != nil {
		return 0, err
	}
	return s.write(b)
}

// CloseWrite implements loop.Poller.
func (p *Poller) CloseWrite(fd int) error {
	return p.end(fd, "CloseWrite", func(s *Peer) { s.outEnded = true })
}

// Cut implements loop.Poller.
func (p *Poller) Cut(fd int) error {
	return p.end(fd, "Cut", func(s *Peer) { s.inEnded, s.outEnded = true, true })
}

func (p *Poller) end(fd int, what string, f func(s *Peer)) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	s, err := p.net.find(fd, what)
	if err != nil {
		return err
	}
	if s.reset {
		return syscall.ENOTCONN
	}
	f(s)
	p.net.wake()
	s.changed.Broadcast()
	return nil
}

// CloseFD implements loop.Poller.
func (p *Poller) CloseFD(fd int) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	return p.net.close(fd, "CloseFD")
}

// Addrs implements loop.Poller.
func (p *Poller) Addrs(fd int) (local, peer netip.AddrPort) { return addrs(fd) }

// Close implements loop.Poller. It ends a Wait.
func (p *Poller) Close() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
	return nil
}

// All below is called with net.mu held.

// watched returns the open connection of fd, which p watches.
func (p *Poller) watched(fd int, what string) (*Peer, error) {
	s, err := p.net.find(fd, what)
	if err == nil && s.watcher != p {
		p.net.fault("%s of descriptor %d, which is not watched", what, fd)
		return nil, syscall.ENOENT
	}
	return s, err
}

// ready returns the events that are due, in the descriptors' order.
func (p *Poller) ready() (due []loop.Event) {
	for fd, s := range p.net.open {
		if r := s.ready() & (s.want | loop.Broken); s.watcher == p && r != 0 {
			due = append(due, loop.Event{FD: fd, Tag: s.tag, Ready: r})
		}
	}
	slices.SortFunc(due, func(a, b loop.Event) int { return a.FD - b.FD })
	return due
}

// deliver makes one Wait's answer of the events that are due.
func (p *Poller) deliver(events []loop.Event, due []loop.Event) int {
	choose := p.net.choose
	switch choose(8) {
	case 1: // nothing this time
		return 0
	case 2: // only some
		due = slices.DeleteFunc(due, func(loop.Event) bool { return choose(2) == 1 })
	case 3: // in any order
		for i := range due {
			j := choose(i + 1)
			due[i], due[j] = due[j], due[i]
		}
	case 4: // twice
		due = append(due, due...)
	case 5: // and for nothing
		due = append(p.spurious(), due...)
	case 6: // and for earlier owners of the descriptors
		due = append(slices.Clone(p.past), due...)
	case 7: // less of each at a time
		for i := range due {
			due[i].Ready &= loop.Readiness(1 + choose(7))
		}
		due = slices.DeleteFunc(due, func(e loop.Event) bool { return e.Ready == 0 })
	}
	return copy(events, due)
}

// spurious returns events for everything that is watched for.
func (p *Poller) spurious() (all []loop.Event) {
	for fd, s := range p.net.open {
		if s.watcher == p {
			all = append(all, loop.Event{FD: fd, Tag: s.tag, Ready: s.want})
		}
	}
	slices.SortFunc(all, func(a, b loop.Event) int { return a.FD - b.FD })
	return all
}
