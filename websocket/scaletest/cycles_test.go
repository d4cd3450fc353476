package scaletest

import (
	"fmt"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// cycle is one life of a connection, from TCP's start to its end.
type cycle struct {
	name      string
	handshake bool // it gets as far as Handler.Open
	live      func(addr string, i int) error
}

// opened makes a cycle of what a connection does after its handshake.
func opened(name string, then func(p *peer, i int) error) cycle {
	return cycle{name, true, func(addr string, i int) error {
		p, err := dialPeer(addr, false)
		if err != nil {
			return err
		}
		defer p.reset()
		return then(p, i)
	}}
}

// connected makes a cycle of what a connection does instead of a handshake.
func connected(name string, then func(p *peer) error) cycle {
	return cycle{name, false, func(addr string, _ int) error {
		p, err := connect(addr, false)
		if err != nil {
			return err
		}
		defer p.reset()
		return then(p)
	}}
}

// halfEnd ends the output only.
func (p *peer) halfEnd() error {
	return p.nc.(interface{ CloseWrite() error }).CloseWrite()
}

var cycles = []cycle{
	opened("close frame", func(p *peer, i int) error {
		if err := p.echo(numberedEcho(i)); err != nil {
			return err
		}
		_, err := p.leave(protocol.StatusNormalClosure)
		return err
	}),
	opened("end of TCP", func(p *peer, i int) error {
		if err := p.echo(numberedEcho(i)); err != nil {
			return err
		}
		if err := p.halfEnd(); err != nil {
			return err
		}
		return p.ended()
	}),
	opened("reset", func(p *peer, i int) error { return p.echo(numberedEcho(i)) }),
	opened("reset with an echo under way", func(p *peer, i int) error { return p.write(numberedEcho(i)) }),
	opened("reset in the middle of a large message", func(p *peer, i int) error {
		large := numbered(i, 100<<10)
		large[0] = doEcho
		b := frame(protocol.OpBinary, large)
		_, err := p.nc.Write(b[:i%len(b)])
		return err
	}),
	opened("close frame and reset", func(p *peer, _ int) error {
		_, err := p.nc.Write(frame(protocol.OpClose, closing(protocol.StatusGoingAway)))
		return err
	}),
	opened("broken frame", func(p *peer, _ int) error {
		if err := p.send("\x82\x05hello"); err != nil { // a client must mask
			return err
		}
		payload, err := p.left()
		if err == nil && string(payload[:2]) != string(closing(protocol.StatusProtocolError)) {
			err = fmt.Errorf("close frame %q", payload)
		}
		return err
	}),
	connected("reset before the handshake", func(*peer) error { return nil }),
	connected("reset in half a handshake", func(p *peer) error { return p.send(upgrade[:len(upgrade)/2]) }),
	connected("end of half a handshake", func(p *peer) error {
		if err := p.send(upgrade[:len(upgrade)-2]); err != nil {
			return err
		}
		if err := p.halfEnd(); err != nil {
			return err
		}
		_, _, _ = p.response() // a complaint is welcome and not necessary
		return p.ended()
	}),
	connected("reset before the answer", func(p *peer) error {
		return p.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	}),
	connected("refused handshake", func(p *peer) error {
		err := p.send("GET " + socketPath + " HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: " + upgradeKey + "\r\n\r\n")
		if err != nil {
			return err
		}
		r, _, err := p.response()
		if err != nil {
			return err
		}
		if r.StatusCode != 426 {
			return fmt.Errorf("a handshake of version 12 was answered with %s", r.Status)
		}
		return p.ended()
	}),
}

// Whatever way connections come and go, nothing of them stays.
func TestConnectAndDisconnect(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) { connectAndDisconnect(t, v) })
	}
}

func connectAndDisconnect(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v, CloseTimeout: 2 * time.Second})
	run := func(n int) (handshakes int) {
		s.must(inParallel(n, func(i int) error {
			c := cycles[i%len(cycles)]
			if err := c.live(s.addr, i/len(cycles)); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		}))
		for i := range n {
			if cycles[i%len(cycles)].handshake {
				handshakes++
			}
		}
		return handshakes
	}
	// The first ones fill pools and tables.
	run(2000)
	s.eventually("the first connections are gone", func(now *State) bool { return now.gone() && now.Goroutines <= s.base.Goroutines+background })
	s.base = s.collected()

	full := 100_000
	if v.Adopted { // where only the handshake differs
		full = 20_000
	}
	n := scale(t, "cycles", full, 6_000)
	start := time.Now()
	handshakes := run(n)
	took := time.Since(start)
	// If one cycle of a hundred left a Conn behind, the smallest thing that it
	// could, that would be 6 bytes a cycle.
	after := s.restored(n*3 + 300<<10)
	t.Logf("%v, %.0f cycles a second; heap %s before, %s after; resident %s, %s", took.Round(time.Millisecond),
		float64(n)/took.Seconds(), mib(s.base.Heap), mib(after.Heap), mib(s.base.Resident), mib(after.Resident))
	if got := after.Opened - s.base.Opened; got != handshakes {
		t.Errorf("Open was called %d times for %d handshakes", got, handshakes)
	}
}
