package server

import (
	"context"
	"sync"

	"github.com/duplex-websocket/duplex/websocket"
)

// directBytes is the size up to which a message goes into the connection's outbox as soon as there is room. Larger ones are
// streamed, so that a picture on its way to a thousand slow readers is in memory once and not a thousand times.
const directBytes = 64 << 10

// backlog is what one connection still has to be sent, in order. Adding to it never blocks. While everything fits into the
// connection's outbox nothing waits here; otherwise a goroutine lives until the backlog is empty. A reader that lets more
// than limit bytes pile up is disconnected with 1013.
type backlog struct {
	conn  *websocket.Conn // immutable
	limit int             // immutable

	mu      sync.Mutex
	waiting []*websocket.Prepared // guarded by mu
	bytes   int                   // of waiting; guarded by mu
	running bool                  // the goroutine is; guarded by mu
	over    bool                  // the connection is being closed or has ended; guarded by mu
}

// add sends a message now or later. An error of the connection is not reported: its Close follows.
func (b *backlog) add(p *websocket.Prepared) {
	size := len(p.Payload())
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case !b.running && size <= directBytes && b.conn.Buffered() <= directBytes:
		_ = b.conn.SendPrepared(p)
	case b.bytes+size > b.limit:
		b.drop()
		go closeConn(b.conn, websocket.StatusTryAgainLater, "what came for you was not read in time")
	default:
		b.waiting = append(b.waiting, p)
		b.bytes += size
		if !b.running {
			b.running = true
			go b.run()
		}
	}
}

// drop gives up all that waits. The caller holds mu.
func (b *backlog) drop() {
	b.waiting, b.bytes, b.over = nil, 0, true
}

// run sends what waits. The connection's own timeouts end a write that makes no progress.
func (b *backlog) run() {
	for p := b.next(); p != nil; p = b.next() {
		if err := b.write(p); err != nil {
			b.mu.Lock()
			b.drop()
			b.mu.Unlock()
		}
	}
}

// next takes the oldest message; nil when there is none, and then run ends.
func (b *backlog) next() *websocket.Prepared {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting, b.running = nil, false
		return nil
	}
	p := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	b.bytes -= len(p.Payload())
	return p
}

func (b *backlog) write(p *websocket.Prepared) error {
	ctx := context.Background()
	if len(p.Payload()) <= directBytes {
		return b.conn.WritePrepared(ctx, p)
	}
	w, err := b.conn.Writer(ctx, p.Type())
	if err != nil {
		return err
	}
	if _, err := w.Write(p.Payload()); err != nil {
		_ = w.Close() // ends the connection, whose error Write has returned
		return err
	}
	return w.Close()
}
