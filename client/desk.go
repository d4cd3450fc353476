package client

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// fate says what the loss of the connection does to a command.
type fate uint8

const (
	fateBound  fate = iota // it goes with the connection, whose owner knows what to do
	fateOnce               // carried out twice it would do harm: fails if it has been sent, waits for the next connection if not
	fateAgain              // sent again, harmless however often
	fateWithin             // sent again, harmless within Options.ResendFor
)

const (
	// maxOpen is how many commands are on their way at once, so that a server's refusals do not come in thousands.
	maxOpen = 256
	// farewellGrace is how long a refusal is kept back that may be but the beginning of the end of the connection.
	farewellGrace = 250 * time.Millisecond
	// maxPause is how long a server that wants to have fewer commands can make all of them wait.
	maxPause = time.Second
)

// maxPage bounds the bytes of the messages that answer one command.
const maxPage = 64 << 20

// call is one command and its answer.
type call struct {
	// Immutable.
	id       uint64
	fate     fate
	typ      websocket.MessageType
	frame    []byte
	topic    string               // of fateWithin
	answered func(*frame, *Error) // of fateBound: called by the connection's reader

	// Guarded by desk.mu.
	sentFirst time.Time // on any; zero: never
	resent    bool
	doubted   bool // the server could not make sure of it
	overtaken bool // and has taken a later one of its topic since
	over      bool
	pageBytes int
	unwatch   func() bool

	// Set before done is closed.
	done  chan struct{}
	reply *frame
	page  []*frame
	err   error
}

// desk keeps the commands that wait to be sent, or for their answers. Its methods may be called from any goroutine.
type desk struct {
	resendFor time.Duration
	room      *room
	lastID    atomic.Uint64
	wake      chan struct{} // tells the writer that there may be something to send

	// Guarded by mu.
	mu     sync.Mutex
	online bool
	final  error            // the client is closed
	paused bool             // the server has had too many commands
	doubts int              // calls that are doubted and not over
	links  int              // counts connections
	ahead  []*call          // to be sent, of fateBound
	queue  []*call          // to be sent after those
	open   map[uint64]*call // sent and not answered
	later  map[*call]bool   // refused for now, to be sent again
}

func newDesk(o *Options) *desk {
	return &desk{
		resendFor: o.ResendFor, room: newRoom(o.Pending, o.PendingBytes),
		wake: make(chan struct{}, 1), open: make(map[uint64]*call), later: make(map[*call]bool),
	}
}

func (d *desk) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// newCall gives a command its id.
func (d *desk) newCall(f fate, cmd command, data []byte, binary bool) (*call, error) {
	cmd.ID = d.lastID.Add(1)
	typ, p, err := encode(cmd, data, binary)
	if err != nil {
		return nil, err
	}
	return &call{id: cmd.ID, fate: f, typ: typ, frame: p, done: make(chan struct{})}, nil
}

// submit queues a call when there is room for it. The caller sees to it that the call ends with ctx.
func (d *desk) submit(ctx context.Context, c *call) error {
	if err := d.room.enter(ctx, len(c.frame)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.final != nil {
		d.room.leave(len(c.frame))
		return d.final
	}
	d.queue = append(d.queue, c)
	d.signal()
	return nil
}

// do submits a call and waits for its answer.
func (d *desk) do(ctx context.Context, c *call) (*frame, error) {
	if err := d.submit(ctx, c); err != nil {
		return nil, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		d.abandon(c, ctx.Err())
		<-c.done
	}
	return c.reply, c.err
}

// watch ends a call with ctx.
func (d *desk) watch(ctx context.Context, c *call) {
	unwatch := context.AfterFunc(ctx, func() { d.abandon(c, ctx.Err()) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.unwatch = unwatch; c.over {
		unwatch()
	}
}

// bind queues a command that goes with the connection, ahead of others. It reports whether there is one.
func (d *desk) bind(cmd command, answered func(*frame, *Error)) bool {
	c, err := d.newCall(fateBound, cmd, nil, false)
	if err != nil {
		return false // what is in these commands was encoded before, or is a token
	}
	c.answered = answered
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.online {
		return false
	}
	d.ahead = append(d.ahead, c)
	d.signal()
	return true
}

// next returns what to send next, or nil. What is larger than the server allows fails instead of costing the connection.
func (d *desk) next(limit int64) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if d.paused || len(d.open) >= maxOpen {
			return nil
		}
		c := d.take()
		switch {
		case c == nil:
			return nil
		case c.over:
		case limit > 0 && int64(len(c.frame)) > limit && c.fate != fateBound:
			d.finish(c, errorf(CodeTooLarge, "the server takes frames of at most %d bytes; this one has %d", limit, len(c.frame)))
		default:
			if c.sentFirst.IsZero() {
				c.sentFirst = time.Now()
			}
			d.open[c.id] = c
			return c
		}
	}
}

// finish ends a call that is not of fateBound. mu is held.
func (d *desk) finish(c *call, err error) {
	if c.over {
		return
	}
	c.over, c.err = true, err
	if c.doubted {
		d.doubts--
	}
	delete(d.open, c.id)
	delete(d.later, c)
	d.room.leave(len(c.frame))
	if c.unwatch != nil {
		c.unwatch()
	}
	d.signal() // there may be room for another one
	close(c.done)
}

// abandon ends a call of which nobody wants to know the answer.
func (d *desk) abandon(c *call, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finish(c, why)
	d.queue = slices.DeleteFunc(d.queue, func(other *call) bool { return other == c })
}

// answer takes a frame of type reply or error that has an id.
func (d *desk) answer(f *frame) {
	var refusal *Error
	if f.Type == "error" {
		refusal = f.err()
	}
	if refusal != nil && refusal.Code == CodeUnavailable && refusal.Retry == 0 && d.keepBack(f, refusal) {
		return
	}
	if bound := d.settle(anyLink, f, refusal); bound != nil {
		bound.answered(f, refusal)
	}
}

// keepBack waits before it takes "unavailable" for an answer: a server that ends the session says so as well, and then the command is
// for the next connection.
func (d *desk) keepBack(f *frame, refusal *Error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.open[f.ID]
	if c == nil || c.fate == fateOnce {
		return false
	}
	if c.fate == fateWithin {
		d.doubt(c)
	}
	link := d.links
	time.AfterFunc(farewellGrace, func() {
		if bound := d.settle(link, f, refusal); bound != nil {
			bound.answered(f, refusal)
		}
	})
	return true
}

// anyLink stands for the present connection.
const anyLink = -1

// settle ends the call that f answers on a connection, if that is still there, or returns it if it is of fateBound.
func (d *desk) settle(link int, f *frame, refusal *Error) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	if link != anyLink && link != d.links {
		return nil
	}
	d.signal() // there is room for another one
	c := d.open[f.ID]
	if c != nil && refusal != nil && refusal.Code == CodeRate && (c.fate == fateBound || c.resent) {
		d.pause(refusal.Retry)
	}
	switch {
	case c == nil: // abandoned
	case c.fate == fateBound:
		delete(d.open, f.ID)
		return c
	case refusal == nil:
		c.reply = f
		d.overtake(c)
		d.finish(c, nil)
	case c.fate == fateWithin && refusal.Code == CodeUnavailable:
		d.again(c, refusal)
	case c.resent && refusal.Retry > 0:
		// It may have been carried out before, so this refusal is no answer.
		delete(d.open, c.id)
		d.later[c] = true
		time.AfterFunc(refusal.Retry, func() { d.requeue(c) })
	default:
		d.finish(c, refusal)
	}
	return nil
}

// pause holds the writer up when what is sent again is too much for the server. mu is held.
func (d *desk) pause(wait time.Duration) {
	if d.paused {
		return
	}
	d.paused = true
	time.AfterFunc(min(wait, maxPause), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.paused = false
		d.signal()
	})
}

// requeue queues a call again, before those that were submitted later.
func (d *desk) requeue(c *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.over {
		return
	}
	delete(d.later, c)
	at := slices.IndexFunc(d.queue, func(other *call) bool { return other.id > c.id })
	if at < 0 {
		at = len(d.queue)
	}
	d.queue = slices.Insert(d.queue, at, c)
	d.signal()
}

// collect takes a message that belongs to the answer of a command.
func (d *desk) collect(f *frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.open[f.Reply]
	if c == nil || c.fate == fateBound {
		return
	}
	if c.pageBytes += len(f.Data) + len(f.Meta); c.pageBytes > maxPage {
		d.finish(c, errorf(CodeTooLarge, "the messages have more than %d bytes; ask for fewer at a time", maxPage))
		return
	}
	c.page = append(c.page, f)
}

// awaited reports whether an answer is awaited.
func (d *desk) awaited() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open) > 0
}

// connected lets commands be sent.
func (d *desk) connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.online = true
	d.signal()
}

// lost does to the commands what the loss of the connection means for them. Those that are sent again keep their order.
func (d *desk) lost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.online = false
	d.links++
	d.ahead = nil
	d.giveUpOvertaken()
	var again []*call
	for _, c := range d.open {
		switch {
		case c.fate == fateBound:
		case c.fate == fateOnce:
			d.finish(c, errorf(CodeUncertain, "the connection was lost before the answer came"))
		default:
			c.resent, c.page, c.pageBytes = true, nil, 0
			again = append(again, c)
		}
	}
	clear(d.open)
	slices.SortFunc(again, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	d.queue = append(again, d.queue...)
}

// expire ends the publications that it is too late to send again.
func (d *desk) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, c := range d.queue {
		if c.fate == fateWithin && c.resent && now.Sub(c.sentFirst) > d.resendFor {
			d.finish(c, errorf(CodeUncertain, "the connection was lost before the answer came, and too long ago to send it again"))
		}
	}
}

// close ends everything.
func (d *desk) close(why error) {
	d.lost()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = why
	for _, c := range d.queue {
		d.finish(c, why)
	}
	for c := range d.later {
		d.finish(c, why)
	}
	d.queue = nil
}
