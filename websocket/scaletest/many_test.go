package scaletest

import (
	"testing"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Thousands of connections open, echo, half of them vanish, the others live on,
// and when all have left nothing is left of them.
func TestManyConnections(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) { manyConnections(t, v) })
	}
}

func manyConnections(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v})
	n := scale(t, "connections", 15_000, 3_000)
	peers := make([]*peer, n)
	s.must(inParallel(n, func(i int) (err error) {
		if peers[i], err = dialPeer(s.addr, s.tls); err == nil {
			err = peers[i].echo(numberedEcho(i))
		}
		return err
	}))
	full := s.collected()
	if full.Connections != n {
		t.Errorf("the server has %d connections", full.Connections)
	}
	t.Logf("%d bytes a connection on the heap, %d resident; %d goroutines, %d descriptors",
		(full.Heap-s.base.Heap)/n, (full.Resident-s.base.Resident)/n, full.Goroutines, full.Descriptors)

	for i := 0; i < n; i += 2 {
		if i%4 == 0 {
			peers[i].reset()
		} else {
			peers[i].end()
		}
	}
	half := s.eventually("half of the connections are gone", func(now *State) bool { return now.Connections == n/2 })
	if lost := half.Ends[websocket.StatusAbnormalClosure] - s.base.Ends[websocket.StatusAbnormalClosure]; lost != n/2 {
		t.Errorf("%d connections ended with 1006 when %d were killed: %v", lost, n/2, half.Ends)
	}
	s.must(inParallel(n/2, func(i int) error {
		peers[2*i+1].waitFor(patience)
		return peers[2*i+1].echo(numberedEcho(n + i))
	}))
	if now := s.look(); now.Connections != n/2 {
		t.Errorf("of %d unharmed connections %d are left", n/2, now.Connections)
	}
	s.must(inParallel(n/2, func(i int) error {
		p := peers[2*i+1]
		switch i % 3 {
		case 0:
			_, err := p.leave(protocol.StatusNormalClosure)
			return err
		case 1:
			p.end()
		case 2:
			p.reset()
		}
		return nil
	}))
	// What may stay for good is not the connections': the runtime keeps the
	// description of a goroutine (half a kilobyte) for the next one, and tables
	// such as the registry's map and that of descriptors do not shrink.
	goroutines := full.Goroutines - s.base.Goroutines
	after := s.restored(goroutines*560 + n*128 + 512<<10)
	t.Logf("resident: %s before, %s full, %s after", mib(s.base.Resident), mib(full.Resident), mib(after.Resident))
	// On top of that come what the runtime keeps outside the heap for a polled
	// descriptor (about 250 bytes), and what is free but shares its pages with
	// something alive. The race detector never gives back what it noted.
	if kept := after.Resident - s.base.Resident; !racing && s.base.Resident > 0 && kept > goroutines*1600+n*300+(4<<20) {
		t.Errorf("%s more memory is resident than before %d connections came and went", mib(kept), n)
	}
}
