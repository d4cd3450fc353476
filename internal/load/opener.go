package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// opening is what the engine and the goroutines that open connections share.
type opening struct {
	times *recorder
	took  time.Duration
	open  int // connections opened in all

	pending int // attempts whose outcome has not come; the engine's
	inARow  int // failures without a success between

	mu   sync.Mutex
	done []outcome
}

// outcome is one attempt.
type outcome struct {
	opened *opened
	err    error
}

func (o *opening) busy() bool { return o.pending > 0 }

// hopeless is how many failures in a row end the opening of connections.
const hopeless = 64

// connect opens count further connections, Parallel at a time, while the others
// go on living. Failures are counted; it returns an error when the first of all
// fails, or the machine does.
func (e *engine) connect(ctx context.Context, count int) error {
	o := &e.opening
	began := time.Now()
	defer func() { o.took += time.Since(began) }()
	if o.times == nil {
		o.times = newRecorder()
		first, err := e.dialer.open(ctx)
		if err != nil {
			return err
		}
		o.open++
		if err := e.add(first); err != nil {
			return err
		}
		count--
	}
	if count <= 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.pending, o.inARow = count, 0
	var workers sync.WaitGroup
	n, batch := e.dialer.batches(min(e.cfg.Parallel, count))
	if e.cfg.ConnectRate > 0 {
		n, batch = min(e.cfg.Parallel, count), 1
	}
	tickets := atomic.Int64{}
	paced := time.Now()
	for range n {
		workers.Go(func() {
			for ctx.Err() == nil {
				first := int(tickets.Add(int64(batch))) - batch
				if first >= count {
					return
				}
				if e.cfg.ConnectRate > 0 {
					sleep(ctx, time.Until(paced.Add(time.Duration(float64(first)/e.cfg.ConnectRate*1e9))))
				}
				e.dialer.openMany(ctx, min(batch, count-first), func(opened *opened, err error) {
					o.mu.Lock()
					o.done = append(o.done, outcome{opened, err})
					o.mu.Unlock()
					e.transport.wake()
				})
			}
		})
	}
	_, err := e.run(never, func() bool { return o.pending == 0 || o.inARow >= hopeless })
	cancel()
	workers.Wait()
	for _, late := range o.done {
		if late.opened != nil {
			_ = late.opened.raw.Close()
		}
	}
	o.done, o.pending = nil, 0
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// welcome takes over what the opener made meanwhile.
func (e *engine) welcome() error {
	o := &e.opening
	if o.pending == 0 {
		return nil
	}
	o.mu.Lock()
	done := o.done
	o.done = nil
	o.mu.Unlock()
	for i, out := range done {
		o.pending--
		if out.err != nil {
			o.inARow++
			if !e.stopped.Load() {
				e.errors.add(kindOf(out.err), out.err.Error())
			}
			continue
		}
		o.inARow = 0
		o.open++
		if err := e.add(out.opened); err != nil {
			for _, left := range done[i+1:] {
				if left.opened != nil {
					_ = left.opened.raw.Close()
				}
			}
			return err
		}
	}
	if len(done) > 0 {
		e.welcomed()
	}
	return nil
}
