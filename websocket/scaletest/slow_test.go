package scaletest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A few subscribers stop reading. The others get every message, what waits for
// the slow ones stays within their outboxes, and they get what the policy says.
func TestSlowReaders(t *testing.T) {
	for _, v := range plain {
		// Where a connection comes from matters little once it is open, so each
		// policy has its full number in one way only.
		many, fewer := [2]int{5_000, 600}, [2]int{1_000, 200}
		if v.Adopted {
			many, fewer = fewer, many
		}
		t.Run(v.String()+",drop", func(t *testing.T) { newSubscribers(t, v, websocket.OverflowDrop, many).drop() })
		t.Run(v.String()+",close", func(t *testing.T) { newSubscribers(t, v, websocket.OverflowClose, fewer).close() })
	}
}

const (
	slowOutbox = 64 << 10
	burstSize  = 8 << 10
	burstCount = slowOutbox / (burstSize + protocol.MaxHeaderLength) / 2 // for which one who keeps up has room twice
	mostBursts = 200                                                     // after which a slow reader must have felt it
	firstBurst = 1 << 20                                                 // the number of the first message that is published
)

// subscribers are connections that get every message that is published, and read
// it at once, or stop.
type subscribers struct {
	*process
	fast, slow []*peer
	filled     map[string]int // messages sent to the slow ones by themselves
	sent       int            // messages published
	before     State
}

func newSubscribers(t *testing.T, v Variant, policy websocket.Overflow, count [2]int) *subscribers {
	s := &subscribers{process: launch(t, Setup{Variant: v, Outbox: slowOutbox, Overflow: policy, CloseTimeout: patience})}
	n := scale(t, "subscribers", count[0], count[1])
	peers := make([]*peer, n)
	s.must(inParallel(n, func(i int) (err error) {
		peers[i], err = dialPeer(s.addr, s.tls)
		return err
	}))
	s.slow, s.fast = peers[:n/50], peers[n/50:]
	s.before = s.collected()
	// The kernel takes some megabytes for a reader that does not read. They need
	// not be published to everybody.
	var addrs []string
	for _, p := range s.slow {
		addrs = append(addrs, p.nc.LocalAddr().String())
	}
	s.filled = tell[map[string]int](s.process, "Fill", addrs)
	if len(s.filled) != len(s.slow) {
		t.Fatalf("%d of %d slow readers were filled", len(s.filled), len(s.slow))
	}
	return s
}

// publish sends messages to all. Those who read must get them.
func (s *subscribers) publish() Published {
	s.t.Helper()
	done := tell[Published](s.process, "Publish", Burst{First: firstBurst + s.sent, Count: burstCount, Size: burstSize})
	s.receive(s.fast)
	s.sent += burstCount
	return done
}

// receive reads what was published last.
func (s *subscribers) receive(by []*peer) {
	s.t.Helper()
	want := make([][]byte, burstCount)
	for i := range want {
		want[i] = numbered(firstBurst+s.sent+i, burstSize)
	}
	s.must(inParallel(len(by), func(i int) error {
		by[i].waitFor(patience)
		for j := range want {
			if err := by[i].expect(want[j]); err != nil {
				return fmt.Errorf("message %d of one who reads: %w", s.sent+j, err)
			}
		}
		return nil
	}))
}

// boxes returns the outboxes of some, and checks what every one must be.
func (s *subscribers) boxes(of []*peer) []Box {
	s.t.Helper()
	all := tell[map[string]Box](s.process, "Boxes", false)
	for addr, box := range all {
		if box.Buffered > slowOutbox+protocol.MaxHeaderLength+protocol.MaxControlPayload {
			s.t.Errorf("%d bytes wait for %s", box.Buffered, addr)
		}
	}
	list := make([]Box, len(of))
	for i, p := range of {
		list[i] = all[p.nc.LocalAddr().String()]
	}
	return list
}

// flood publishes until every slow one has felt it, and then some more.
func (s *subscribers) flood(felt func(Published) bool) {
	s.t.Helper()
	for range mostBursts {
		if !felt(s.publish()) {
			continue
		}
		for range 4 {
			s.publish()
		}
		full := s.collected()
		// A buffer may have twice the room that it needs, as it grows by doubling.
		limit := len(s.slow)*2*slowOutbox + 2<<20
		if more := full.Heap - s.before.Heap; more > limit {
			s.t.Errorf("%s wait for %d slow readers with outboxes of %d KiB", mib(more), len(s.slow), slowOutbox>>10)
		}
		for i, box := range s.boxes(s.fast) {
			if box.Dropped > 0 {
				s.t.Errorf("%d messages to one who reads were dropped (%d)", box.Dropped, i)
			}
		}
		s.t.Logf("%d messages of %d bytes to each; %d filled a slow one before; heap %s before, %s with the slow ones' outboxes full; resident %s, %s", s.sent, burstSize, s.filled[s.slow[0].nc.LocalAddr().String()],
			mib(s.before.Heap), mib(full.Heap), mib(s.before.Resident), mib(full.Resident))
		return
	}
	s.t.Fatalf("%d messages did not fill the outboxes of those who do not read: %v", s.sent, s.boxes(s.slow))
}

// drop is the test of OverflowDrop.
func (s *subscribers) drop() {
	s.flood(func(Published) bool {
		for _, box := range s.boxes(s.slow) {
			if box.Dropped == 0 {
				return false
			}
		}
		return true
	})
	// They read again. When all that waited has left, a last burst finds room.
	var reading sync.WaitGroup
	got := make([]int, len(s.slow))
	wrong := make([]error, len(s.slow))
	last := firstBurst + s.sent + burstCount - 1
	for i, p := range s.slow {
		reading.Go(func() { got[i], wrong[i] = p.readUntil(s.filled[p.nc.LocalAddr().String()], last) })
	}
	s.eventually("the slow ones' outboxes are empty", func(*State) bool {
		for _, box := range s.boxes(s.slow) {
			if box.Buffered > 0 {
				return false
			}
		}
		return true
	})
	s.publish()
	reading.Wait()
	for i, box := range s.boxes(s.slow) {
		s.must(wrong[i])
		if lost := s.sent - got[i]; lost != int(box.Dropped) {
			s.t.Errorf("a slow reader missed %d messages, Dropped says %d", lost, box.Dropped)
		}
	}
	if now := s.look(); now.Connections != len(s.slow)+len(s.fast) {
		s.t.Errorf("%d connections are left", now.Connections)
	}
	s.leave()
}

// readUntil reads first what filled the connection and then what was published,
// until the message of this number. All must come in order; of what was published
// some may be missing. It returns how many were not.
func (p *peer) readUntil(filled, last int) (n int, err error) {
	p.waitFor(patience)
	for i := range filled {
		if err := p.expect(numbered(i, fillSize)); err != nil {
			return 0, fmt.Errorf("message %d of %d of one who was slow: %w", i, filled, err)
		}
	}
	for before := firstBurst - 1; before < last; n++ {
		m, err := p.message()
		if err != nil {
			return n, fmt.Errorf("behind message %d: %w", before, err)
		}
		i := number(m)
		if i <= before || !bytes.Equal(m, numbered(i, burstSize)) {
			return n, fmt.Errorf("message %d behind %d, %d bytes", i, before, len(m))
		}
		before = i
	}
	return n, nil
}

// close is the test of OverflowClose.
func (s *subscribers) close() {
	ended := 0
	s.flood(func(p Published) bool {
		ended = p.Ended / burstCount
		return ended == len(s.slow)
	})
	// They read again: all that was sent before there was no room, without a
	// gap, and then why it ended.
	s.must(inParallel(len(s.slow), func(i int) error { return s.slow[i].readUntilFull(s.filled[s.slow[i].nc.LocalAddr().String()]) }))
	now := s.eventually("the slow ones are gone", func(now *State) bool { return now.Connections == len(s.fast) })
	if n := now.Ends[websocket.StatusTryAgainLater]; n != len(s.slow) {
		s.t.Errorf("%d of %d slow ones ended with 1013: %v", n, len(s.slow), now.Ends)
	}
	s.slow = nil
	s.publish()
	s.leave()
}

// readUntilFull reads all that was sent before the outbox was full, and the close
// frame that says so.
func (p *peer) readUntilFull(filled int) error {
	p.waitFor(patience)
	for next := 0; ; next++ {
		op, payload, err := p.read()
		if err != nil {
			return fmt.Errorf("behind message %d: %w", next-1, err)
		}
		want := numbered(firstBurst+next-filled, burstSize)
		if next < filled {
			want = numbered(next, fillSize)
		}
		switch {
		case op == protocol.OpBinary && bytes.Equal(payload, want):
			continue
		case op == protocol.OpBinary:
			return fmt.Errorf("message %d instead of %d", number(payload), number(want))
		case op != protocol.OpClose || !bytes.HasPrefix(payload, closing(protocol.StatusTryAgainLater)):
			return fmt.Errorf("%v %q instead of 1013", op, payload)
		}
		if _, err := p.nc.Write(frame(protocol.OpClose, closing(protocol.StatusTryAgainLater))); err != nil {
			return err
		}
		defer p.end()
		return p.ended()
	}
}

// Who never reads again is given up in bounded time, whatever the policy, and its
// outbox with it.
func TestReadersWhoNeverReturn(t *testing.T) {
	for _, v := range plain {
		for _, policy := range []websocket.Overflow{websocket.OverflowDrop, websocket.OverflowClose} {
			t.Run(fmt.Sprintf("%v,%s", v, [...]string{"close", "drop"}[policy]), func(t *testing.T) {
				t.Parallel() // it is mostly waiting
				neverReturn(t, v, policy)
			})
		}
	}
}

func neverReturn(t *testing.T, v Variant, policy websocket.Overflow) {
	s := launch(t, Setup{Variant: v, Outbox: slowOutbox, Overflow: policy, CloseTimeout: time.Second, WriteTimeout: 5 * time.Second})
	const n = 20
	var addrs []string
	for range n {
		p := s.dial()
		defer p.reset()
		addrs = append(addrs, p.nc.LocalAddr().String())
	}
	reads := s.dial()
	defer reads.reset()
	if filled := tell[map[string]int](s, "Fill", addrs); len(filled) != n {
		t.Fatalf("%d of %d connections were filled", len(filled), n)
	}
	published := 0
	for done, silent := (Published{}), n; done.Full+done.Ended < silent*burstCount; published += burstCount { // until all feel it
		if published == mostBursts*burstCount {
			t.Fatalf("%+v, although %d connections do not read", done, silent)
		}
		done = tell[Published](s, "Publish", Burst{First: published, Count: burstCount, Size: burstSize})
		for i := range burstCount {
			s.must(reads.expect(numbered(published+i, burstSize)))
		}
		silent = s.look().Connections - 1 // where it takes long to get here, some have been given up
	}
	now := s.eventually("they are given up", func(now *State) bool { return now.Connections == 1 })
	if lost := now.Ends[websocket.StatusAbnormalClosure] - s.base.Ends[websocket.StatusAbnormalClosure]; lost != n {
		t.Errorf("they ended with %v", now.Ends)
	}
	s.must(reads.echo(numberedEcho(1)))
	reads.reset()
	s.restored(1 << 20)
}

// leave ends the test: everybody goes, and the memory comes back.
func (s *subscribers) leave() {
	for _, p := range s.fast {
		p.reset()
	}
	for _, p := range s.slow {
		p.reset()
	}
	goroutines := s.before.Goroutines - s.base.Goroutines
	s.restored(2*goroutines*560 + (len(s.fast)+len(s.slow))*64 + 1<<20)
}
