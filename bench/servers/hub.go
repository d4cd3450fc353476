package main

import "sync"

// A hub gives what is published to a queue for each connection, from which a goroutine of that connection writes: the pattern of
// gorilla's and coder's chat examples. A connection whose queue is full is dropped.
type hub[T any] struct {
	mu     sync.Mutex
	queues map[chan T]func()
}

func newHub[T any]() *hub[T] { return &hub[T]{queues: map[chan T]func(){}} }

// join adds a connection; drop is called if it falls behind.
func (h *hub[T]) join(drop func()) chan T {
	q := make(chan T, 64)
	h.mu.Lock()
	h.queues[q] = drop
	h.mu.Unlock()
	return q
}

// leave removes a connection and closes its queue.
func (h *hub[T]) leave(q chan T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.queues, q)
	close(q)
}

func (h *hub[T]) publish(m T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for q, drop := range h.queues {
		select {
		case q <- m:
		default:
			drop()
		}
	}
}
