package natsbroker

import (
	"context"

	"github.com/duplex-websocket/duplex/hub"
)

// flight is a load of a topic for Present that has not begun yet. Whoever asks until then shares it.
type flight struct {
	done   chan struct{} // closed when it has landed
	crowd  *crowd
	failed error
}

// Present implements hub.Broker. What it returns includes everything that has been stored before; for topics that are watched here, everything
// that was stored here, and what others have stored but for the time that news of it take.
func (b *Broker) Present(ctx context.Context, topic string, limit int) (hub.Present, error) {
	r := b.roster
	key := token(topic)
	r.mu.Lock()
	if w := r.watches[key]; w != nil && w.running && !w.suspect() && w.crowd.seen >= w.own {
		defer r.mu.Unlock()
		return w.crowd.present(limit, r.leases.valid), nil
	}
	f := r.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		r.flights[key] = f
		go r.fly(f, key) // it ends with the broker's life; Close need not wait for it
	}
	r.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return hub.Present{}, ctx.Err()
	}
	if f.failed != nil {
		return hub.Present{}, failed(ctx, "who is present cannot be found out", f.failed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.crowd.present(limit, r.leases.valid), nil
}

// fly loads a topic for all who have asked for it.
func (r *roster) fly(f *flight, topic string) {
	defer close(f.done)
	ctx, done, err := r.loading()
	r.mu.Lock()
	delete(r.flights, topic) // who asks from now on wants to know more than this one does
	r.mu.Unlock()
	if f.failed = err; err != nil {
		return
	}
	defer done()
	f.crowd = newCrowd()
	now := r.now()
	_, f.failed = r.bucket.scan(ctx, entriesIn(topic), func(rec record) {
		if k, ok := parseEntryKey(rec.key); ok {
			if _, err := f.crowd.apply(k, rec, now); err != nil {
				r.b.logger.Warn("what the bucket says of a topic cannot be read", "error", err)
			}
		}
	})
	if f.failed != nil {
		return
	}
	r.mu.Lock()
	known := f.crowd.knows(r.leases.known)
	r.mu.Unlock()
	if !known { // a node that has just been attached
		if f.failed = r.auditLeases(ctx); f.failed != nil {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.crowd.settleAll(r.leases.valid)
}
