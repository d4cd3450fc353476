package load

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

const (
	readBuffer = 256 << 10
	waitEvents = 1024

	// lookEvery bounds how long the engine waits without looking at the clock.
	lookEvery = 20 * time.Millisecond

	// readTurns is how often in a row one connection is read that fills the buffer.
	readTurns = 4

	// inflating is how many connections there are to one whose compressed replies
	// are inflated.
	inflating = 64

	progressEvery = 250 * time.Millisecond
)

// never is a time that does not come.
const never = math.MaxInt64

// engine drives the connections of a run. All but the opener's goroutines is one
// goroutine, that of Run.
type engine struct {
	cfg       *Config
	base      time.Time // all times are nanoseconds since
	dialer    *dialer
	transport transport
	out       write
	op        protocol.Opcode
	payloads  [][]byte
	streams   map[variant]*stream
	unzip     *deflate.Options

	conns   []*conn
	live    int
	now     int64
	events  []loop.Event
	buf     []byte
	tally   tally
	errors  failures
	leaving bool        // connections end because we ask them to
	stopped atomic.Bool // the caller's context ended

	// What the mode does. replies is called after each read that completed
	// messages, lost when a connection ended, outstanding whether replies are to
	// come, pace when due has come, welcomed after new connections were added.
	replies     func(c *conn, n int) *failure
	lost        func(c *conn)
	outstanding func() bool
	welcomed    func()
	abandoned   bool // the run makes no sense any more
	pace        func()
	due         int64

	opening opening
	gauge   *gauge // during and after the measurement
	counted int64  // messages before the measurement
	show    progress
	moved   int64 // when the last message came
	seen    int64 // messages then
}

func newEngine(c *Config) (*engine, error) {
	d, err := newDialer(c)
	if err != nil {
		return nil, err
	}
	e := &engine{
		cfg: c, base: time.Now(), dialer: d, op: protocol.OpBinary, payloads: payloads(c), streams: map[variant]*stream{},
		unzip:  &deflate.Options{Budget: deflate.NewBudget(1 << 40)},
		events: make([]loop.Event, waitEvents), buf: make([]byte, readBuffer), due: never,
	}
	e.idle()
	if c.Text {
		e.op = protocol.OpText
	}
	if !c.portable && d.tls == nil {
		p, err := newPolled()
		if err == nil {
			e.transport = p
		} else if !errors.Is(err, loop.ErrUnsupported) {
			return nil, err
		}
	}
	if e.transport == nil {
		e.transport = newPortable()
	}
	e.out = e.transport.write
	return e, nil
}

// idle is the mode without messages.
func (e *engine) idle() {
	e.replies = func(c *conn, _ int) *failure {
		return failed(WrongReply, "a message came, and nothing was sent")
	}
	e.lost = func(*conn) {}
	e.outstanding = func() bool { return false }
	e.pace, e.due = func() {}, never
	e.welcomed = func() {}
}

func (e *engine) clock() int64 { return int64(time.Since(e.base)) }

// run works until done says so, or there is nothing left to work with: it is
// asked after each wait. It returns whether done did.
func (e *engine) run(deadline int64, done func() bool) (bool, error) {
	e.now = e.clock()
	e.moved = e.now
	for !done() {
		if (e.stopped.Load() || e.abandoned) && !e.leaving || e.live == 0 && !e.opening.busy() {
			return false, nil
		}
		then := max(min(deadline, e.due, e.now+int64(lookEvery)), e.now+1)
		n, err := e.transport.wait(e.events, e.now, then)
		if err != nil {
			return false, fmt.Errorf("waiting for the sockets: %w", err)
		}
		e.now = e.clock()
		if err := e.welcome(); err != nil {
			return false, err
		}
		for i := range n {
			ev := &e.events[i]
			if c := e.conns[ev.Tag]; !c.dead {
				e.serve(c, ev.Ready)
			}
			if e.now >= e.due {
				e.pace()
			}
		}
		if e.now >= e.due {
			e.pace()
		}
		if !e.tick() {
			return false, nil
		}
	}
	return true, nil
}

// until runs for d, or until the count of messages since the measurement began.
func (e *engine) until(d time.Duration, messages int64) error {
	end := e.clock() + int64(d)
	_, err := e.run(end, func() bool {
		return e.now >= end || messages > 0 && e.tally.messages-e.counted >= messages
	})
	return err
}

// serve reads what a connection has, and sends what it owes.
func (e *engine) serve(c *conn, ready loop.Readiness) {
	if ready&loop.Writable != 0 {
		c.blocked = false
	}
	for turn := 0; turn < readTurns && ready&(loop.Readable|loop.Broken) != 0; turn++ {
		n, err := e.transport.read(c.link, e.buf)
		if err != nil {
			if !errors.Is(err, loop.ErrWouldBlock) {
				e.fail(c, lostBy(err))
				return
			}
			break
		}
		e.now = e.clock()
		if !e.feed(c, e.buf[:n]) {
			return
		}
		if n < len(e.buf) {
			break
		}
	}
	e.flush(c)
}

func lostBy(err error) *failure {
	if errors.Is(err, io.EOF) {
		return failed(Lost, "the server ended the TCP connection without a close frame")
	}
	return failed(Lost, "the connection was lost: %w", err)
}

// feed returns false when the connection ended over it.
func (e *engine) feed(c *conn, b []byte) bool {
	done, wrong := c.feed(b, &e.tally)
	if done > 0 {
		if f := e.replies(c, done); f != nil {
			wrong = f
		}
	}
	if wrong != nil {
		e.fail(c, wrong)
	}
	return wrong == nil
}

// flush sends what c owes, unless it waits for room.
func (e *engine) flush(c *conn) {
	if c.blocked || c.owed == 0 && len(c.urgent) == 0 {
		if c.blocked == c.watched {
			return
		}
	} else if f := c.send(e.out); f != nil {
		e.fail(c, f)
		return
	}
	if c.blocked != c.watched {
		c.watched = c.blocked
		if err := e.transport.watchWrites(c.link, uint32(c.index), c.blocked); err != nil {
			e.fail(c, failed(Lost, "the connection was lost: %w", err))
		}
	}
}

// fail ends a connection and counts why.
func (e *engine) fail(c *conn, f *failure) {
	if c.dead {
		return
	}
	if !e.leaving || f.kind != Closed && f.kind != Lost {
		e.errors.add(f.kind, fmt.Sprintf("connection %d: %s", c.index, f))
	}
	e.release(c)
	e.lost(c)
}

// release drops a connection.
func (e *engine) release(c *conn) {
	if !c.dead {
		c.dead = true
		e.live--
		e.transport.drop(c.link)
		if c.in.inflate != nil && c.in.inflate.deflate != nil {
			c.in.inflate.deflate.Close()
		}
	}
}

// add makes a connection of one that was opened.
func (e *engine) add(o *opened) error {
	v := variantOf(o.agreement.Deflate)
	if e.streams[v] == nil {
		e.streams[v] = newStream(e.payloads, e.op, v)
	}
	c := &conn{index: len(e.conns), stream: e.streams[v]}
	if p := o.agreement.Deflate; p != nil {
		c.in.inflate = &inflater{}
		if c.index%inflating == 0 {
			c.in.inflate.deflate = deflate.NewDecompressor(e.unzip, p.ServerMaxWindowBits, !p.ServerNoContextTakeover)
		}
	}
	l, err := e.transport.adopt(o.connection, uint32(c.index))
	if err != nil {
		_ = o.raw.Close()
		return fmt.Errorf("taking over a connection: %w", err)
	}
	c.link = l
	e.conns = append(e.conns, c)
	e.live++
	e.opening.times.record(int64(o.took), 1)
	if e.feed(c, o.rest) {
		e.flush(c)
	}
	return nil
}

// tick does what is due now and then. It returns false when replies are awaited
// and none came for too long.
func (e *engine) tick() bool {
	if e.gauge != nil {
		e.gauge.look(e.base.Add(time.Duration(e.now)), e.tally.messages-e.counted)
	}
	if e.show.to != nil && e.now >= e.show.next {
		e.progress()
	}
	if e.tally.messages != e.seen || !e.outstanding() {
		e.seen, e.moved = e.tally.messages, e.now
		return true
	}
	return e.now-e.moved < int64(e.cfg.Timeout)
}

// leave ends all connections: with a close frame, and when it is not answered
// within a second, without.
func (e *engine) leave() {
	e.leaving = true
	e.idle()
	e.replies = func(*conn, int) *failure { return nil } // on their way when we went
	for _, c := range e.conns {
		if c.dead {
			continue
		}
		if c.owed > 0 { // of a frame that is half sent, the rest has to go first
			c.owed = min(c.owed, 1)
			if c.pos == c.stream.start(c.next) {
				c.owed = 0
			}
		}
		c.urgent = appendControl(c.urgent, protocol.OpClose, []byte{1000 >> 8, 1000 & 0xff})
		e.flush(c)
	}
	end := e.clock() + int64(farewell)
	_, _ = e.run(end, func() bool { return e.live == 0 || e.now >= end }) // what fails now is over in any case
	for _, c := range e.conns {
		e.release(c)
	}
}

// farewell is how long servers get to answer a close frame.
const farewell = time.Second
