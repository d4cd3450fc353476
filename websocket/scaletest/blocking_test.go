package scaletest

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// blockingConnections share one loop, or have a goroutine each.
const blockingConnections = 1000

// A handler that blocks holds up its own connection and no other, also where all
// connections share one loop, and costs a goroutine only while it blocks.
func TestBlockingHandlers(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			b := newBlocking(t, v)
			// Each leaves the connections as it found them.
			for _, test := range []struct {
				name string
				run  func(*blocking)
			}{
				{"some wait", (*blocking).someWait},
				{"all sleep", (*blocking).allSleep},
				{"some write to who does not read", (*blocking).someWrite},
				{"naps keep the order", (*blocking).naps},
				{"one floods", (*blocking).oneFloods},
				{"Open and Close wait", (*blocking).openAndCloseWait},
				{"some vanish meanwhile", (*blocking).someVanish},
			} {
				t.Run(test.name, func(t *testing.T) { b.t = t; test.run(b) })
				if b.t = t; t.Failed() {
					return
				}
			}
		})
	}
}

// blocking is a server on one processor, and so with one loop, and its clients.
type blocking struct {
	*process
	peers []*peer
	each  int // goroutines of a connection: 0 on a loop
	idle  State
}

func newBlocking(t *testing.T, v Variant) *blocking {
	b := &blocking{process: launch(t, Setup{Variant: v, Outbox: bulkSize, CloseTimeout: 2 * time.Second}, "GOMAXPROCS=1")}
	b.peers = make([]*peer, blockingConnections)
	b.must(inParallel(len(b.peers), func(i int) (err error) {
		if b.peers[i], err = dialPeer(b.addr, b.tls); err == nil {
			err = b.peers[i].echo(numberedEcho(i))
		}
		return err
	}))
	b.idle = b.look()
	if !onLoop(v) {
		b.each = 1
	}
	b.checkGoroutines("idle connections", 0, b.idle)
	t.Logf("%d goroutines for %d idle connections", b.idle.Goroutines, len(b.peers))
	return b
}

// onLoop reports whether an event loop drives the connections: wherever there is
// one, and the program has asked for it.
func onLoop(v Variant) bool {
	return v.Driver == websocket.DriverLoop && !v.TLS && runtime.GOOS == "linux"
}

// checkGoroutines compares with what the connections and so many blocked handlers
// may have.
func (b *blocking) checkGoroutines(what string, blocked int, now State) {
	b.t.Helper()
	if most := b.base.Goroutines + background + len(b.peers)*b.each + blocked; now.Goroutines > most {
		b.t.Errorf("%d goroutines with %d %s; at most %d may be", now.Goroutines, max(blocked, len(b.peers)), what, most)
	}
}

// othersEcho makes the connections from the given one on echo, some rounds long.
func (b *blocking) othersEcho(from int) {
	b.t.Helper()
	for round := range 3 {
		b.must(inParallel(len(b.peers)-from, func(i int) error {
			p := b.peers[from+i]
			p.waitFor(patience)
			return p.echo(numberedEcho(round*1e6 + i))
		}))
	}
}

// all sends messages to the first n connections, each in one write.
func (b *blocking) all(n int, messages ...[]byte) {
	b.t.Helper()
	var raw []byte
	for _, m := range messages {
		raw = append(raw, frame(protocol.OpBinary, m)...)
	}
	b.must(inParallel(n, func(i int) error {
		b.peers[i].waitFor(patience)
		_, err := b.peers[i].nc.Write(raw)
		return err
	}))
}

// expect reads these messages from the first n connections.
func (b *blocking) expect(n int, messages ...[]byte) {
	b.t.Helper()
	b.must(inParallel(n, func(i int) error {
		for j, m := range messages {
			if err := b.peers[i].expect(m); err != nil {
				return fmt.Errorf("message %d: %w", j, err)
			}
		}
		return nil
	}))
}

// silent makes sure that nothing has come for the first n connections.
func (b *blocking) silent(n int) {
	b.t.Helper()
	for i, p := range b.peers[:n] {
		p.waitFor(time.Millisecond)
		if c, err := p.in.ReadByte(); !isTimeout(err) {
			b.t.Fatalf("connection %d, whose handler blocks, got byte %#x, %v", i, c, err)
		}
		p.waitFor(patience)
	}
}

// someWait has handlers wait at the gate, which is closed until all others have
// had their echoes.
func (b *blocking) someWait() {
	const waiting = 200
	before := b.look()
	orders := [][]byte{[]byte{doWait, 1}, numberedEcho(1), numberedEcho(2), []byte{doTake}, numberedEcho(3)}
	answers := slices.Delete(slices.Clone(orders), 3, 4)
	b.all(waiting, orders...)
	b.eventually("the handlers wait", func(now *State) bool { return now.Entered-before.Entered == waiting })
	b.othersEcho(waiting)
	b.checkGoroutines("waiting handlers", waiting, b.look())
	// What comes meanwhile waits behind.
	b.all(waiting, numberedEcho(4))
	b.othersEcho(waiting)
	b.silent(waiting)
	now := b.look()
	b.checkGoroutines("waiting handlers", waiting, now)
	b.t.Logf("%d goroutines with %d handlers that wait on %d connections", now.Goroutines, waiting, len(b.peers))

	tell[bool](b.process, "Release", false)
	b.expect(waiting, append(answers, numberedEcho(4))...)
	b.othersEcho(0)
	b.eventually("the blocked handlers' goroutines are gone", func(now *State) bool {
		return now.Goroutines <= b.idle.Goroutines+background
	})
}

// allSleep has every handler sleep a second, at the same time.
func (b *blocking) allSleep() {
	start := time.Now()
	b.all(len(b.peers), []byte{doSleep})
	b.expect(len(b.peers), []byte{doSleep})
	took := time.Since(start)
	b.t.Logf("%d handlers that sleep a second took %v", len(b.peers), took.Round(time.Millisecond))
	// One behind the other they would take as many seconds.
	if took > time.Duration(len(b.peers))*time.Second/20 {
		b.t.Error("handlers slept one behind the other")
	}
	b.othersEcho(0)
}

// someWrite has handlers wait for room in their outbox, because nobody reads.
func (b *blocking) someWrite() {
	const writing = 10
	before := b.look()
	b.all(writing, []byte{doWrite}, numberedEcho(1))
	b.eventually("the handlers write", func(now *State) bool { return now.Entered-before.Entered == writing })
	b.othersEcho(writing)
	now := b.look()
	if now.Handled-before.Handled != now.Entered-before.Entered-writing {
		b.t.Errorf("handlers wrote %d MiB without waiting for who does not read: %+v", bulkCount*bulkSize>>20, now)
	}
	// Each may have a goroutine that writes out besides the one of the handler.
	b.checkGoroutines("writing handlers", 2*writing, now)
	b.must(inParallel(writing, func(i int) error {
		for j := range bulkCount {
			if err := b.peers[i].expect(numbered(j, bulkSize)); err != nil {
				return fmt.Errorf("message %d: %w", j, err)
			}
		}
		return b.peers[i].expect(numberedEcho(1))
	}))
	b.othersEcho(0)
}

// naps has handlers take from no time to some milliseconds, around the time after
// which a loop moves on, with more to do behind them.
func (b *blocking) naps() {
	const napping, count = 200, 40
	var orders [][]byte
	for i := range count {
		if i%2 == 0 {
			orders = append(orders, fmt.Appendf(nil, "%c%d%c", doNap, i, byte(i*7%25)))
		} else {
			orders = append(orders, numberedEcho(i))
		}
	}
	for i := 0; i < count; i += 8 { // some come while the ones before are being handled
		b.all(napping, orders[i:i+8]...)
	}
	b.othersEcho(napping)
	b.expect(napping, orders...)
}

// oneFloods has a client send as fast as it can, without a pause.
func (b *blocking) oneFloods() {
	p := b.dial()
	flood := bytes.Repeat(frame(protocol.OpBinary, []byte{doTake}), 10_000)
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
			}
			p.waitFor(patience)
			if _, err := p.nc.Write(flood); err != nil {
				b.t.Errorf("the flood: %v", err)
				<-stop
				ended <- n
				return
			}
		}
	}()
	before := b.eventually("the flood has come", func(now *State) bool { return now.Entered > b.idle.Entered+100_000 })
	b.othersEcho(0)
	after := b.look()
	close(stop)
	b.t.Logf("%d messages of the flood meanwhile, %d0,000 sent", after.Entered-before.Entered, <-ended)
	p.reset()
	now := b.eventually("the flood is over", func(now *State) bool { return now.Opened-now.Closed == len(b.peers) })
	b.checkGoroutines("idle connections", 0, now)
}

// openAndCloseWait has Open and Close wait at the gate.
func (b *blocking) openAndCloseWait() {
	const each = 20
	before := b.look()
	var waiting []*peer
	for i := range 2 * each {
		p, err := connect(b.addr, b.tls)
		b.must(err)
		b.must(p.send(strings.Replace(upgrade, socketPath+" ", socketPath+"?"+[]string{openWaits, closeWaits}[i%2]+" ", 1)))
		b.must(p.upgraded())
		b.must(p.write(numberedEcho(i))) // the handler of half of them does not come to it
		waiting = append(waiting, p)
	}
	for i, p := range waiting {
		if i%2 == 1 {
			b.must(p.expect(numberedEcho(i)))
			_, err := p.nc.Write(frame(protocol.OpClose, closing(protocol.StatusNormalClosure)))
			b.must(err)
		}
	}
	b.eventually("half wait in Open", func(now *State) bool { return now.Opened-before.Opened == 2*each })
	b.othersEcho(0)
	now := b.look()
	b.checkGoroutines("waiting handlers", 2*each*(1+b.each), now)
	if now.Entered-before.Entered != each+3*len(b.peers) || now.Closed != before.Closed {
		b.t.Errorf("messages were delivered before Open had returned, or Close did not wait: %+v, before %+v", now, before)
	}
	tell[bool](b.process, "Release", false)
	for i, p := range waiting {
		if i%2 == 0 {
			b.must(p.expect(numberedEcho(i)))
			_, err := p.leave(protocol.StatusNormalClosure)
			b.must(err)
		} else {
			_, err := p.left()
			b.must(err)
			p.end()
		}
	}
	b.eventually("all have left", func(now *State) bool { return now.Connections == len(b.peers) && now.Closed-before.Closed == 2*each })
}

// someVanish has clients reset connections whose handlers wait.
func (b *blocking) someVanish() {
	const vanishing = 100
	before := b.look()
	b.all(vanishing, []byte{doWait, 1}, numberedEcho(1))
	b.eventually("the handlers wait", func(now *State) bool { return now.Entered-before.Entered == vanishing })
	for _, p := range b.peers[:vanishing] {
		p.reset()
	}
	b.othersEcho(vanishing)
	if now := b.look(); now.Closed != before.Closed {
		b.t.Errorf("Close was called for %d connections whose Message had not returned", now.Closed-before.Closed)
	}
	tell[bool](b.process, "Release", false)
	b.eventually("the vanished ones are closed", func(now *State) bool {
		return now.Closed-before.Closed == vanishing && now.Connections == len(b.peers)-vanishing
	})
	for _, p := range b.peers[vanishing:] {
		p.reset()
	}
	b.restored((b.idle.Goroutines+vanishing*2+len(b.peers))*560 + 1<<20)
}
