package client

import (
	"context"
	"sync"
)

// room bounds how many commands wait for their answer, and their bytes. Who finds no room waits, first come first served, so
// that the commands of one goroutine keep their order. It may be used from any goroutine.
type room struct {
	mu      sync.Mutex
	count   int // free places
	bytes   int // free bytes
	most    int // bytes in all: what is larger than this passes when nothing else is in
	waiting []*visitor
}

// visitor waits for room.
type visitor struct {
	bytes int
	in    chan struct{} // closed when there is room, which is taken then
}

func newRoom(count, bytes int) *room { return &room{count: count, bytes: bytes, most: bytes} }

// enter waits until there is room for a command of so many bytes. leave gives the room back.
func (r *room) enter(ctx context.Context, bytes int) error {
	bytes = min(bytes, r.most)
	r.mu.Lock()
	if len(r.waiting) == 0 && r.fits(bytes) {
		r.take(bytes)
		r.mu.Unlock()
		return nil
	}
	v := &visitor{bytes: bytes, in: make(chan struct{})}
	r.waiting = append(r.waiting, v)
	r.mu.Unlock()
	select {
	case <-v.in:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.waiting {
		if other == v {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			r.admit()
			return ctx.Err()
		}
	}
	return nil // it came in at the same moment
}

// leave gives back what enter with the same number took.
func (r *room) leave(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	r.bytes += min(bytes, r.most)
	r.admit()
}

func (r *room) fits(bytes int) bool { return r.count > 0 && r.bytes >= bytes }

func (r *room) take(bytes int) {
	r.count--
	r.bytes -= bytes
}

// admit lets in those at the head of the line for whom there is room.
func (r *room) admit() {
	for len(r.waiting) > 0 && r.fits(r.waiting[0].bytes) {
		r.take(r.waiting[0].bytes)
		close(r.waiting[0].in)
		r.waiting = r.waiting[1:]
	}
}
