package load

import (
	"net"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// transport moves the bytes of many connections for one goroutine, which never
// waits for one of them: reads and writes take what is there and otherwise
// return loop.ErrWouldBlock. Only wake may be called from other goroutines. It has
// as many methods as there are things to do with a set of sockets.
type transport interface {
	// adopt takes a connection whose handshake is done; its events carry tag.
	adopt(c connection, tag uint32) (link, error)
	// wait waits for events, at most from now until then, in nanoseconds of one clock.
	wait(events []loop.Event, now, then int64) (int, error)
	// wake ends a wait that is under way, or else the next one.
	wake()
	read(l link, p []byte) (int, error)
	// write may keep p until a Writable event; p is not changed.
	write(l link, p []byte) (int, error)
	// watchWrites says whether Writable events are wanted.
	watchWrites(l link, tag uint32, on bool) error
	// drop resets the connection.
	drop(l link)
	close()
}

// link is a transport's name for a connection.
type link struct {
	fd    int    // polled
	mover *mover // portable
}

// connection is what a dialler made: conn, which for TLS is not raw.
type connection struct {
	raw, conn net.Conn
}

// polled is the transport over a loop.Poller.
type polled struct {
	poller loop.Poller
	alarm  int
	rings  int64 // when the alarm is set for; 0: it rang
}

// alarmTag is the alarm's, and no connection's.
const alarmTag = ^uint32(0)

func newPolled() (*polled, error) {
	poller, err := loop.NewPoller()
	if err != nil {
		return nil, err
	}
	alarm, err := loop.NewAlarm()
	if err == nil {
		err = poller.Add(alarm, alarmTag, loop.Readable)
	}
	if err != nil {
		_ = poller.Close()
		return nil, err
	}
	return &polled{poller: poller, alarm: alarm}, nil
}

func (p *polled) adopt(c connection, tag uint32) (link, error) {
	fd, err := loop.Detach(c.raw)
	if err != nil {
		return link{}, err
	}
	if err := p.poller.Add(fd, tag, loop.Readable); err != nil {
		_ = p.poller.CloseFD(fd)
		return link{}, err
	}
	return link{fd: fd}, nil
}

// wait sets the alarm only when it would ring too late: early, it does no harm
// but a look at the clock.
func (p *polled) wait(events []loop.Event, now, then int64) (int, error) {
	if p.rings == 0 || then < p.rings {
		if err := loop.SetAlarm(p.alarm, time.Duration(then-now)); err != nil {
			return 0, err
		}
		p.rings = then
	}
	n, err := p.poller.Wait(events)
	for i := range n {
		if events[i].Tag == alarmTag { // setting it anew ends the ringing
			p.rings = 0
			events[i] = events[n-1]
			return n - 1, err
		}
	}
	return n, err
}

func (p *polled) wake()                               { p.poller.Interrupt() }
func (p *polled) read(l link, b []byte) (int, error)  { return p.poller.Read(l.fd, b) }
func (p *polled) write(l link, b []byte) (int, error) { return p.poller.Write(l.fd, b) }

func (p *polled) watchWrites(l link, tag uint32, on bool) error {
	what := loop.Readable
	if on {
		what |= loop.Writable
	}
	return p.poller.Change(l.fd, tag, what)
}

func (p *polled) drop(l link) {
	_ = p.poller.Remove(l.fd)
	_ = p.poller.CloseFD(l.fd) // with a reset: the dialler made it linger for no time
}

func (p *polled) close() {
	_ = p.poller.CloseFD(p.alarm)
	_ = p.poller.Close()
}
