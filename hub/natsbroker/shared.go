package natsbroker

import (
	"context"
	"sync"
)

// shared is something that takes a round trip, and that any number of callers may share: all who come while one is under way have the next.
type shared struct {
	do func() error // immutable

	mu      sync.Mutex
	next    *trip // for those who come now; guarded by mu
	running bool  // guarded by mu
}

type trip struct {
	done chan struct{}
	err  error // set before done is closed
}

// wait returns when a round trip that began after the call has ended, or ctx has.
func (s *shared) wait(ctx context.Context) error {
	s.mu.Lock()
	if s.next == nil {
		s.next = &trip{done: make(chan struct{})}
	}
	mine := s.next
	if !s.running {
		s.running = true
		go s.run()
	}
	s.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *shared) run() {
	for {
		s.mu.Lock()
		now := s.next
		s.next = nil
		s.running = now != nil
		s.mu.Unlock()
		if now == nil {
			return
		}
		now.err = s.do()
		close(now.done)
	}
}
