package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
)

// network is what a Poller works on.
type network struct {
	poller  loop.Poller
	connect func() (fd int, peer net.Conn) // the test closes neither
	reset   func(peer net.Conn)
}

// TestMadeUpPoller: looptest keeps the contract that it tests others with.
func TestMadeUpPoller(t *testing.T) {
	for name, choose := range map[string]looptest.Choice{"plain": looptest.Plain, "troubled": looptest.Seeded(1)} {
		t.Run(name, func(t *testing.T) {
			testPoller(t, func(t *testing.T) network {
				n := looptest.New(choose)
				t.Cleanup(func() {
					if faults := n.Faults(); len(faults) > 0 {
						t.Error(faults)
					}
				})
				return network{
					poller: n.Poller(),
					connect: func() (int, net.Conn) {
						fd, peer := n.Connect()
						peer.Window(1 << 20)
						return fd, peer
					},
					reset: func(peer net.Conn) { peer.(*looptest.Peer).Reset() },
				}
			})
		})
	}
}

// testPoller is the contract of a Poller.
func testPoller(t *testing.T, open func(t *testing.T) network) {
	for name, test := range map[string]func(t *testing.T, p *probe){
		"level-triggered":       testLevelTriggered,
		"change and remove":     testChangeRemove,
		"end of the stream":     testEndOfStream,
		"broken by both ends":   testBrokenByBothEnds,
		"broken by reset":       testBrokenByReset,
		"short write":           testShortWrite,
		"cut":                   testCut,
		"more than one Wait":    testManyReady,
		"interrupts":            testInterrupts,
		"interrupts never lost": testInterruptsNeverLost,
		"close ends Wait":       testCloseEndsWait,
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			t.Cleanup(func() { _ = n.poller.Close() })
			test(t, &probe{t: t, network: n, events: make([]loop.Event, 64)})
		})
	}
}

// probe asks a Poller.
type probe struct {
	network
	t      *testing.T
	events []loop.Event
}

const patience = 20 * time.Second

// pair makes a connection that the Poller watches, with fd as its tag.
func (p *probe) pair(what loop.Readiness) (fd int, peer net.Conn) {
	p.t.Helper()
	fd, peer = p.connect()
	p.t.Cleanup(func() { _ = peer.Close() })
	if err := p.poller.Add(fd, uint32(fd), what); err != nil {
		p.t.Fatal(err)
	}
	return fd, peer
}

// close ends a watched descriptor.
func (p *probe) close(fd int) {
	p.t.Helper()
	if err := errors.Join(p.poller.Remove(fd), p.poller.CloseFD(fd)); err != nil {
		p.t.Error(err)
	}
}

// until waits until fd is ready for all of want, and returns what it was.
func (p *probe) until(fd int, tag uint32, want loop.Readiness) loop.Readiness {
	p.t.Helper()
	late := time.AfterFunc(patience, func() { _ = p.poller.Close() }) // then Wait fails
	defer late.Stop()
	var have loop.Readiness
	for {
		n, err := p.poller.Wait(p.events)
		if err != nil {
			p.t.Fatalf("descriptor %d was ready for %b, not for %b: %v", fd, have, want, err)
		}
		for _, e := range p.events[:n] {
			if e.FD != fd || e.Tag != tag {
				continue
			}
			if have |= e.Ready; have&want == want {
				return have
			}
		}
	}
}

// quiet checks that nothing is ready for fd. A made-up Poller may claim so now and
// then; what counts is that it says otherwise too.
func (p *probe) quiet(fd int) {
	p.t.Helper()
	for range 100 {
		p.poller.Interrupt()
		n, err := p.poller.Wait(p.events)
		if err != nil {
			p.t.Fatal(err)
		}
		if !containsFD(p.events[:n], fd) {
			return
		}
	}
	p.t.Errorf("descriptor %d is ready for ever", fd)
}

func containsFD(events []loop.Event, fd int) bool {
	for _, e := range events {
		if e.FD == fd {
			return true
		}
	}
	return false
}

// read reads until it has n bytes.
func (p *probe) read(fd, n int) (got []byte) {
	p.t.Helper()
	for buf := make([]byte, n); len(got) < n; {
		switch m, err := p.poller.Read(fd, buf[:n-len(got)]); {
		case err == nil:
			got = append(got, buf[:m]...)
		case errors.Is(err, loop.ErrWouldBlock):
			p.until(fd, uint32(fd), loop.Readable)
		default:
			p.t.Fatal(err)
		}
	}
	return got
}

// readError reads until that fails.
func (p *probe) readError(fd int) error {
	p.t.Helper()
	for {
		p.until(fd, uint32(fd), loop.Readable)
		if _, err := p.poller.Read(fd, make([]byte, 512)); err != nil && !errors.Is(err, loop.ErrWouldBlock) {
			return err
		}
	}
}

func say(t *testing.T, peer io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(peer, s); err != nil {
		t.Fatal(err)
	}
}

func testLevelTriggered(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	p.quiet(fd)
	if _, err := p.poller.Read(fd, make([]byte, 8)); !errors.Is(err, loop.ErrWouldBlock) {
		t.Error("Read of nothing:", err)
	}
	say(t, peer, "abcd")
	for range 3 { // nobody acts on it
		if ready := p.until(fd, uint32(fd), loop.Readable); ready != loop.Readable {
			t.Errorf("ready for %b", ready)
		}
	}
	if got := p.read(fd, 2); string(got) != "ab" {
		t.Errorf("%q", got)
	}
	p.until(fd, uint32(fd), loop.Readable) // of the rest
	if got := p.read(fd, 2); string(got) != "cd" {
		t.Errorf("%q", got)
	}
	p.quiet(fd)
	p.close(fd)
}

func testChangeRemove(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	if err := p.poller.Change(fd, 77, loop.Readable|loop.Writable); err != nil {
		t.Fatal(err)
	}
	p.until(fd, 77, loop.Writable)
	if err := p.poller.Change(fd, 78, loop.Readable); err != nil {
		t.Fatal(err)
	}
	p.quiet(fd)
	say(t, peer, "x")
	p.until(fd, 78, loop.Readable)
	if err := p.poller.Change(fd, 79, loop.Writable); err != nil {
		t.Fatal(err)
	}
	if ready := p.until(fd, 79, loop.Writable); ready&loop.Readable != 0 {
		t.Error("readable, which nobody watches for")
	}
	if err := p.poller.Remove(fd); err != nil {
		t.Fatal(err)
	}
	p.quiet(fd)
	if err := p.poller.Add(fd, uint32(fd), loop.Readable); err != nil {
		t.Fatal(err)
	}
	if got := p.read(fd, 1); string(got) != "x" {
		t.Errorf("%q", got)
	}
	p.close(fd)
}

func testEndOfStream(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	say(t, peer, "last")
	if err := closeWrite(peer); err != nil {
		t.Fatal(err)
	}
	if got := p.read(fd, 4); string(got) != "last" {
		t.Errorf("%q", got)
	}
	for range 2 { // again and again
		if err := p.readError(fd); err != io.EOF {
			t.Error(err)
		}
	}
	if n, err := p.poller.Write(fd, []byte("ok")); n != 2 && !errors.Is(err, loop.ErrWouldBlock) {
		t.Error("the other direction:", n, err)
	}
	p.close(fd)
}

func closeWrite(peer net.Conn) error { return peer.(interface{ CloseWrite() error }).CloseWrite() }

func testBrokenByBothEnds(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	if err := p.poller.CloseWrite(fd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(peer); len(rest) > 0 || err != nil {
		t.Errorf("the peer reads %q, %v", rest, err)
	}
	p.quiet(fd)
	if err := closeWrite(peer); err != nil {
		t.Fatal(err)
	}
	p.until(fd, uint32(fd), loop.Readable|loop.Broken)
	if err := p.readError(fd); err != io.EOF {
		t.Error(err)
	}
	p.close(fd)
}

func testBrokenByReset(t *testing.T, p *probe) {
	for _, what := range []loop.Readiness{loop.Readable, loop.Writable} {
		fd, peer := p.pair(what)
		p.reset(peer)
		p.until(fd, uint32(fd), loop.Broken) // also when it is not asked for
		if _, err := p.poller.Read(fd, make([]byte, 8)); err == nil || errors.Is(err, loop.ErrWouldBlock) || err == io.EOF {
			t.Error("Read:", err)
		}
		if n, err := p.poller.Write(fd, []byte("x")); n != 0 || err == nil || errors.Is(err, loop.ErrWouldBlock) {
			t.Error("Write:", n, err)
		}
		p.close(fd)
	}
}

// A write takes what there is room for, and the rest goes when there is more.
func testShortWrite(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Writable)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	rest, blocked := want, false
	write := func() {
		n, err := p.poller.Write(fd, rest)
		if (n < len(rest)) != errors.Is(err, loop.ErrWouldBlock) || err != nil && n == len(rest) {
			t.Fatalf("%d of %d bytes: %v", n, len(rest), err)
		}
		rest, blocked = rest[n:], err != nil
	}
	for !blocked {
		write()
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(peer)
		got <- all
	}()
	for len(rest) > 0 {
		p.until(fd, uint32(fd), loop.Writable)
		write()
	}
	p.close(fd)
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("%d bytes arrived of %d, or others", len(all), len(want))
	}
}

func testCut(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	if err := p.poller.Cut(fd); err != nil {
		t.Fatal(err)
	}
	p.until(fd, uint32(fd), loop.Readable|loop.Broken)
	if err := p.readError(fd); err != io.EOF {
		t.Error(err)
	}
	if _, err := p.poller.Write(fd, []byte("x")); err == nil || errors.Is(err, loop.ErrWouldBlock) {
		t.Error("Write:", err)
	}
	if rest, err := io.ReadAll(peer); len(rest) > 0 || err != nil {
		t.Errorf("the peer reads %q, %v", rest, err)
	}
	p.close(fd)
}

// Every descriptor gets its event, however many are ready at once.
func testManyReady(t *testing.T, p *probe) {
	const n = 300
	waiting := make(map[int]bool)
	for range n {
		fd, peer := p.pair(loop.Readable)
		say(t, peer, "x")
		waiting[fd] = true
	}
	late := time.AfterFunc(patience, func() { _ = p.poller.Close() })
	defer late.Stop()
	for served := 0; served < n; {
		m, err := p.poller.Wait(p.events)
		if err != nil {
			t.Fatalf("%d of %d were served: %v", served, n, err)
		}
		for _, e := range p.events[:m] {
			if !waiting[e.FD] || e.Ready&loop.Readable == 0 {
				continue
			}
			if _, err := p.poller.Read(e.FD, make([]byte, 8)); err == nil {
				waiting[e.FD] = false
				p.close(e.FD)
				served++
			}
		}
	}
}

func testInterrupts(t *testing.T, p *probe) {
	fd, peer := p.pair(loop.Readable)
	for range 3 {
		p.poller.Interrupt() // before
	}
	p.quiet(fd) // and that was one
	woken := make(chan error)
	go func() {
		_, err := p.poller.Wait(p.events)
		woken <- err
	}()
	p.poller.Interrupt() // most likely during
	if err := <-woken; err != nil {
		t.Error(err)
	}
	say(t, peer, "x")
	p.poller.Interrupt() // which does not swallow what is ready
	p.until(fd, uint32(fd), loop.Readable)
	p.close(fd)
}

// Whoever waits sees what was done before an Interrupt, though many interrupt at once.
func testInterruptsNeverLost(t *testing.T, p *probe) {
	const callers, times = 4, 3000
	late := time.AfterFunc(patience, func() { _ = p.poller.Close() })
	defer late.Stop()
	var said [callers]atomic.Int64
	var heard [callers]chan struct{}
	var done sync.WaitGroup
	ended := make(chan struct{})
	for i := range callers {
		heard[i] = make(chan struct{}, 1)
		done.Go(func() {
			for n := int64(1); n <= times; n++ {
				said[i].Store(n)
				p.poller.Interrupt()
				select {
				case <-heard[i]:
				case <-ended:
					t.Errorf("interrupt %d of caller %d was lost", n, i)
					return
				}
			}
		})
	}
	go func() {
		defer close(ended)
		var last [callers]int64
		for {
			if _, err := p.poller.Wait(p.events); err != nil {
				return
			}
			for i := range callers {
				if n := said[i].Load(); n > last[i] {
					last[i] = n
					heard[i] <- struct{}{}
				}
			}
		}
	}()
	done.Wait()
	_ = p.poller.Close()
	<-ended
}

func testCloseEndsWait(t *testing.T, p *probe) {
	p.pair(loop.Readable)
	failed := make(chan error)
	go func() {
		_, err := p.poller.Wait(p.events)
		failed <- err
	}()
	time.Sleep(time.Millisecond) // so that it waits, most likely
	if err := p.poller.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("Wait ended without an error")
	}
	if _, err := p.poller.Wait(p.events); err == nil {
		t.Error("Wait works after Close")
	}
}
