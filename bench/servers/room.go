package main

import "sync"

// A room gives what is published to a queue for each connection, from which a goroutine of that connection writes: the pattern of
// gorilla's and coder's chat examples. A connection whose queue is full is dropped.
type room[T any] struct {
	mu     sync.Mutex
	queues map[chan T]func()
}

func newRoom[T any]() *room[T] { return &room[T]{queues: map[chan T]func(){}} }

// join adds a connection; drop is called if it falls behind.
func (r *room[T]) join(drop func()) chan T {
	q := make(chan T, 64)
	r.mu.Lock()
	r.queues[q] = drop
	r.mu.Unlock()
	return q
}

// leave removes a connection and closes its queue.
func (r *room[T]) leave(q chan T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.queues, q)
	close(q)
}

func (r *room[T]) publish(m T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for q, drop := range r.queues {
		select {
		case q <- m:
		default:
			drop()
		}
	}
}
