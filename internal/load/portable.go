package load

import (
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// portable is the transport for TLS, and for platforms without a Poller: two
// goroutines for each connection that read and write, while the engine stays the
// one that thinks.
type portable struct {
	woken chan struct{} // holds one: look at ready
	timer *time.Timer

	mu     sync.Mutex
	ready  []loop.Event
	movers sync.WaitGroup
}

// moverBuffer is what one read brings at most: two records of TLS.
const moverBuffer = 32 << 10

// mover is one connection of a portable.
type mover struct {
	of     *portable
	conn   connection
	tag    uint32
	resume chan struct{} // to the reader: data was taken
	out    chan []byte   // to the writer
	once   sync.Once

	// guarded by of.mu
	data     []byte // of the reader; not empty: it waits for resume
	err      error  // what ended reading or writing
	writing  bool
	wantRoom bool
}

func newPortable() *portable {
	return &portable{woken: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
}

func (p *portable) adopt(c connection, tag uint32) (link, error) {
	m := &mover{of: p, conn: c, tag: tag, resume: make(chan struct{}, 1), out: make(chan []byte, 1)}
	p.movers.Go(m.reader)
	p.movers.Go(m.writer)
	return link{mover: m}, nil
}

func (p *portable) wait(events []loop.Event, now, then int64) (int, error) {
	p.timer.Reset(time.Duration(then - now))
	for late := false; ; {
		p.mu.Lock()
		n := copy(events, p.ready)
		p.ready = p.ready[:copy(p.ready, p.ready[n:])]
		p.mu.Unlock()
		if n > 0 || late {
			return n, nil
		}
		select {
		case <-p.woken: // perhaps by wake, without an event
		case <-p.timer.C:
		}
		late = true
	}
}

func (p *portable) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// post adds an event; p.mu is held.
func (p *portable) post(tag uint32, what loop.Readiness) {
	p.ready = append(p.ready, loop.Event{Tag: tag, Ready: what})
	p.wake()
}

func (p *portable) read(l link, b []byte) (int, error) {
	m := l.mover
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(m.data) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		return 0, loop.ErrWouldBlock
	}
	n := copy(b, m.data)
	if m.data = m.data[n:]; len(m.data) == 0 {
		m.resume <- struct{}{}
		if m.err != nil { // the next read tells of it
			p.post(m.tag, loop.Readable)
		}
	}
	return n, nil
}

func (p *portable) write(l link, b []byte) (int, error) {
	m := l.mover
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.err != nil:
		return 0, m.err
	case m.writing:
		return 0, loop.ErrWouldBlock
	}
	m.writing = true
	m.out <- b
	return len(b), nil
}

func (p *portable) watchWrites(l link, tag uint32, on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.mover.wantRoom = on; on && !l.mover.writing {
		p.post(tag, loop.Writable)
	}
	return nil
}

func (p *portable) drop(l link) {
	l.mover.once.Do(func() {
		_ = l.mover.conn.raw.Close() // TLS has nothing to say to a peer that is reset
		close(l.mover.resume)
		close(l.mover.out)
	})
}

// close waits for the goroutines; every connection was dropped before.
func (p *portable) close() {
	p.timer.Stop()
	p.movers.Wait()
}

func (m *mover) reader() {
	buf := make([]byte, moverBuffer)
	for {
		n, err := m.conn.conn.Read(buf)
		m.of.mu.Lock()
		m.data = buf[:n]
		if err != nil && m.err == nil {
			m.err = err
		}
		m.of.post(m.tag, loop.Readable)
		m.of.mu.Unlock()
		if err != nil {
			return
		}
		if _, open := <-m.resume; !open {
			return
		}
	}
}

func (m *mover) writer() {
	for b := range m.out {
		_, err := m.conn.conn.Write(b)
		m.of.mu.Lock()
		m.writing = false
		if err != nil && m.err == nil {
			m.err = err
			m.of.post(m.tag, loop.Readable) // read tells of it
		}
		if m.wantRoom {
			m.of.post(m.tag, loop.Writable)
		}
		m.of.mu.Unlock()
	}
}
