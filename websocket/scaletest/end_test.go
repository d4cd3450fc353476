package scaletest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Peers that are silent and do not answer pings are given up, and no others.
func TestKeepalive(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel() // it is mostly waiting
			s := launch(t, Setup{Variant: v, PingInterval: 400 * time.Millisecond, PongTimeout: 2 * time.Second})
			const n = 200
			peers := make([]*peer, n)
			s.must(inParallel(n, func(i int) (err error) {
				peers[i], err = dialPeer(s.addr, s.tls)
				return err
			}))
			var living sync.WaitGroup
			dead := make(chan struct{})
			for i := 1; i < n; i += 2 {
				living.Go(func() {
					if err := peers[i].answerPings(dead); err != nil {
						t.Errorf("a peer that answers: %v", err)
					}
				})
			}
			now := s.eventually("the silent ones are given up", func(now *State) bool { return now.Connections <= n/2 })
			close(dead)
			living.Wait()
			if now := s.look(); now.Connections != n/2 {
				t.Errorf("%d of %d connections are left", now.Connections, n)
			}
			if lost := now.Ends[websocket.StatusAbnormalClosure] - s.base.Ends[websocket.StatusAbnormalClosure]; lost != n/2 {
				t.Errorf("%d connections ended with 1006", lost)
			}
			for _, p := range peers {
				p.reset()
			}
			s.restored(n*560*2 + 1<<20)
		})
	}
}

// answerPings answers pings until stop is closed, and once more.
func (p *peer) answerPings(stop <-chan struct{}) error {
	for {
		p.waitFor(patience)
		op, payload, err := p.read()
		if err != nil {
			return err
		}
		if op != protocol.OpPing {
			return fmt.Errorf("%v %q", op, payload)
		}
		if _, err := p.nc.Write(frame(protocol.OpPong, payload)); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// A server that has no descriptors left goes on with the connections it has, and
// with new ones as soon as it can.
func TestOutOfDescriptors(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			for left := range 4 { // an adopted connection needs two for a moment
				outOfDescriptors(t, v, left)
			}
		})
	}
}

func outOfDescriptors(t *testing.T, v Variant, left int) {
	s := launch(t, Setup{Variant: v})
	open := make([]*peer, 50)
	for i := range open {
		open[i] = s.dial()
	}
	hoard := tell[int](s, "Exhaust", left)
	// Some of these are accepted, all are connected, as far as TCP goes.
	fresh := make([]*peer, 20)
	for i := range fresh {
		p, err := connect(s.addr, false)
		s.must(err)
		s.must(p.send(upgrade))
		fresh[i] = p
	}
	for range 3 {
		s.must(inParallel(len(open), func(i int) error { return open[i].echo(numberedEcho(i)) }))
	}
	tell[int](s, "Exhaust", -1)
	served := 0
	for i, p := range fresh {
		if err := p.upgraded(); err != nil {
			t.Logf("%d descriptors left, client %d: %v", left, i, err) // it was refused, and may come again
			p.reset()
			continue
		}
		s.must(p.echo(numberedEcho(i)))
		served++
	}
	t.Logf("%d files opened, %d left: %d of %d connections were served later", hoard, left, served, len(fresh))
	if refused := len(fresh) - served; refused > left {
		t.Errorf("%d connections were turned away for want of %d descriptors", refused, left)
	}
	for _, p := range append(open, fresh...) {
		p.reset()
	}
	s.restored(4 << 20) // what the runtime keeps for twenty thousand files
}

// Shutdown ends everything, also what blocks, does not read or never asked, and
// gives it back.
func TestShutdown(t *testing.T) {
	for _, v := range everyWay {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel() // it is mostly waiting
			shutdown(t, v)
		})
	}
}

func shutdown(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v, CloseTimeout: time.Second, Outbox: bulkSize})
	const each = 10
	polite := make([]*peer, 5*each)
	for i := range polite {
		polite[i] = s.dial()
		s.must(polite[i].echo(numberedEcho(i)))
	}
	before := s.look()
	var others []*peer
	for range each {
		waiting, writing, silent := s.dial(), s.dial(), s.dial()
		s.must(waiting.write([]byte{doWait}))
		s.must(writing.write([]byte{doWrite}))
		half, err := connect(s.addr, false)
		s.must(err)
		s.must(half.send(upgrade[:50]))
		others = append(others, waiting, writing, silent, half)
	}
	s.eventually("handlers wait and write", func(now *State) bool { return now.Entered-before.Entered == 2*each })

	var leaving sync.WaitGroup
	for _, p := range polite {
		leaving.Go(func() {
			op, payload, err := p.read()
			if err != nil || op != protocol.OpClose || string(payload[:2]) != string(closing(protocol.StatusGoingAway)) {
				t.Errorf("%v %q, %v instead of 1001", op, payload, err)
				return
			}
			if _, err := p.nc.Write(frame(protocol.OpClose, payload[:2])); err != nil {
				t.Error(err)
			}
			if err := p.ended(); err != nil {
				t.Error(err)
			}
			p.end()
		})
	}
	tell[bool](s, "Stop", false) // although handlers wait
	leaving.Wait()
	if p, err := connect(s.addr, false); err == nil {
		t.Error("a server that has been shut down accepts connections")
		p.reset()
	}
	tell[bool](s, "Release", false)
	now := s.restored(s.base.Goroutines*560 + 1<<20)
	if n := now.Ends[websocket.StatusGoingAway]; n < len(polite) {
		t.Errorf("%d of %d polite ones ended with 1001: %v", n, len(polite), now.Ends)
	}
	for _, p := range others {
		p.reset()
	}
}
