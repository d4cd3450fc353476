package scaletest

import (
	"fmt"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A large message is in memory once while it is received and handled, once more
// while it waits to be sent, and then no more. Every byte comes back.
func TestLargeMessages(t *testing.T) {
	for _, v := range everyWay[:len(plain)+1] { // TLS once: it is slow, and the same for all
		t.Run(v.String(), func(t *testing.T) {
			l := newLarge(t, v)
			l.received()
			l.halves()
			l.echoed()
			for _, p := range l.peers {
				p.reset()
			}
			l.back("everybody has left")
		})
	}
}

const (
	largeSize  = 1 << 20
	largePeers = 6
)

type large struct {
	*process
	v     Variant
	peers []*peer
}

func newLarge(t *testing.T, v Variant) *large {
	l := &large{process: launch(t, Setup{Variant: v, MaxMessage: largeSize, Outbox: largeSize}), v: v}
	for range largePeers {
		l.peers = append(l.peers, l.dial())
	}
	return l
}

// largeMessage makes the i-th message of a connection.
func largeMessage(do byte, i int) []byte {
	m := numbered(i, largeSize)
	m[0] = do
	return m
}

// holds checks how much is on the heap for each connection.
func (l *large) holds(what string, most int) {
	l.t.Helper()
	now := l.collected()
	each := (now.Heap - l.base.Heap) / len(l.peers)
	l.t.Logf("%s: %s on the heap for each connection", what, mib(each))
	if each > most {
		l.t.Errorf("%s: %s on the heap for each connection, at most %s may be", what, mib(each), mib(most))
	}
}

// back checks that memory has gone back.
func (l *large) back(what string) {
	l.t.Helper()
	now := l.collected()
	l.t.Logf("%s: heap %s, resident %s; at first %s, %s", what, mib(now.Heap), mib(now.Resident), mib(l.base.Heap), mib(l.base.Resident))
	// An eighth of what was in use a moment ago.
	if now.Heap-l.base.Heap > largePeers*largeSize/8 {
		l.t.Errorf("%s: %s are left on the heap", what, mib(now.Heap-l.base.Heap))
	}
	if !racing && now.Resident-l.base.Resident > largePeers*largeSize { // the race detector's notes stay
		l.t.Errorf("%s: %s more memory is resident than at first", what, mib(now.Resident-l.base.Resident))
	}
}

// received has a message in every handler.
func (l *large) received() {
	before := l.look()
	l.must(inParallel(len(l.peers), func(i int) error { return l.peers[i].write(largeMessage(doWait, i)) }))
	l.eventually("the handlers wait", func(now *State) bool { return now.Entered-before.Entered == len(l.peers) })
	l.holds("a message in every handler", largeSize*5/4)
	tell[bool](l.process, "Release", false)
	l.must(inParallel(len(l.peers), func(i int) error { return l.peers[i].expect(largeMessage(doWait, i)) }))
	l.back("messages echoed")
}

// halves has half a message on every connection, and then only the announcement
// of one on many.
func (l *large) halves() {
	l.must(inParallel(len(l.peers), func(i int) error {
		b := frame(protocol.OpBinary, largeMessage(doEcho, i))
		if _, err := l.peers[i].nc.Write(b[:len(b)/2]); err != nil {
			return err
		}
		return nil
	}))
	l.holds("half a message", largeSize*5/4)
	l.must(inParallel(len(l.peers), func(i int) error {
		b := frame(protocol.OpBinary, largeMessage(doEcho, i))
		if _, err := l.peers[i].nc.Write(b[len(b)/2:]); err != nil {
			return err
		}
		return l.peers[i].expect(largeMessage(doEcho, i))
	}))
	l.back("halves completed")

	announced := make([]*peer, 50)
	b := frame(protocol.OpBinary, largeMessage(doEcho, 0))
	for i := range announced {
		announced[i] = l.dial()
		_, err := announced[i].nc.Write(b[:1000])
		l.must(err)
	}
	now := l.collected()
	each := (now.Heap - l.base.Heap) / len(announced)
	l.t.Logf("%d bytes on the heap for each connection that announced a message", each)
	if each > largeSize/16 {
		l.t.Errorf("%d bytes are held for a message of which 1,000 have come", each)
	}
	for _, p := range announced {
		p.reset()
	}
	l.eventually("they are gone", func(now *State) bool { return now.Connections == len(l.peers) })
	l.back("halves gone")
}

// echoed sends more than the network takes while nobody reads, so that a message
// waits in each outbox and another in each handler.
func (l *large) echoed() {
	for i, p := range l.peers { // the kernel takes more on connections that were read
		p.reset()
		l.peers[i] = l.dial()
	}
	const each = 14
	before := l.look()
	sent := make(chan error, 1)
	go func() {
		sent <- inParallel(len(l.peers), func(i int) error {
			for j := range each {
				if err := l.peers[i].write(largeMessage(doEcho, j)); err != nil {
					return fmt.Errorf("message %d: %w", j, err)
				}
			}
			return nil
		})
	}()
	full := l.eventually("the outboxes are full", func(now *State) bool {
		return now.Entered-now.Handled-(before.Entered-before.Handled) == len(l.peers) && now.Handled-before.Handled >= len(l.peers)
	})
	most := largeSize * 9 / 4
	if l.v.TLS { // where the outbox takes a copy, with a header, in a buffer of the next power of two
		most = largeSize * 13 / 4
	}
	l.holds("a message in every handler and outbox", most)
	l.must(inParallel(len(l.peers), func(i int) error {
		for j := range each {
			if err := l.peers[i].expect(largeMessage(doEcho, j)); err != nil {
				return fmt.Errorf("message %d: %w", j, err)
			}
		}
		return nil
	}))
	l.must(<-sent)
	l.t.Logf("%d of %d messages were handled before anybody read", full.Handled-before.Handled, each*len(l.peers))
	l.back("messages echoed")
}
