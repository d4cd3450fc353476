package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// topicAuditEvery is how often a watched topic is compared with the bucket. It is longer for topics with many people and if there are many
	// topics, since all of it should cost little.
	topicAuditEvery     = 30 * time.Second
	topicAuditPerPerson = time.Millisecond
	topicAuditPerTopic  = 20 * time.Millisecond

	kickPause = 100 * time.Millisecond // between two audits that were asked for
)

// audit looks after leases and watched topics until the broker is closed.
func (r *roster) audit() {
	status := r.b.nc.StatusChanged(nats.CONNECTED)
	defer r.b.nc.RemoveStatusListener(status)
	var ticks <-chan time.Time
	if !r.settings.manual {
		ticker := time.NewTicker(r.settings.every)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-r.b.life.Done():
			return
		case <-ticks:
		case <-r.kicks:
		case <-status:
			r.suspectAll() // who knows what came meanwhile
		}
		r.auditNow()
		select {
		case <-r.b.life.Done():
			return
		case <-time.After(kickPause):
		}
	}
}

// auditNow audits what is due.
func (r *roster) auditNow() {
	if !r.b.nc.IsConnected() {
		return
	}
	err := r.auditBucket()
	if err == nil {
		ctx, cancel := context.WithTimeout(r.b.life, 2*r.b.options.PublishTimeout)
		err = r.auditLeases(ctx)
		cancel()
	}
	if err == nil {
		r.endLate()
		err = r.auditTopics()
	}
	if err != nil && r.b.life.Err() == nil {
		r.b.logger.Warn("who is present cannot be looked after", "error", err)
	}
}

// auditBucket makes the bucket anew if it has been deleted, and finds out whether it begins anew or has lost its end.
func (r *roster) auditBucket() error {
	ctx, cancel := context.WithTimeout(r.b.life, r.b.options.PublishTimeout)
	defer cancel()
	r.mu.Lock()
	top := r.top
	r.mu.Unlock()
	info, err := r.bucket.open(ctx, false)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	behind := info.State.LastSeq < top
	anew := !info.Created.Equal(r.created) || behind && r.regressed // the first time it may be a server that does not lead any more
	r.regressed = behind && !anew
	if !anew {
		return nil
	}
	r.b.logger.Warn("the bucket of who is present begins anew", "bucket", r.bucket.stream)
	r.created, r.top = info.Created, info.State.LastSeq
	r.leases.rewind()
	for _, w := range r.watches {
		w.crowd.rewind()
		w.own, w.fence = 0, 0
		w.suspected++
	}
	for _, a := range r.attached {
		m := a.member
		r.b.running.Go(m.rewrite) // not while we hold the lock
	}
	return nil
}

// auditLeases brings the leases up to date with the bucket, as its leader knows it.
func (r *roster) auditLeases(ctx context.Context) error {
	if err := r.bucket.reach(ctx); err != nil {
		return err
	}
	found := make(map[string]struct{})
	fence, err := r.bucket.scan(ctx, leaseKeys+"*", func(rec record) {
		found[rec.key[len(leaseKeys):]] = struct{}{}
		r.leaseChanged(rec)
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	if fence == 0 {
		fence = r.leases.seen
	}
	absent := r.leases.absent(fence, found)
	r.mu.Unlock()
	for _, node := range absent {
		rec, err := r.bucket.last(ctx, leaseKeys+node)
		switch {
		case errors.Is(err, errNone):
			r.forget(node)
		case err != nil:
			return err
		default:
			r.leaseChanged(rec)
		}
	}
	return nil
}

// forget makes all leave that are present through a node whose lease is not there any more.
func (r *roster) forget(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	valid := r.leases.valid(node)
	delete(r.leases.all, node)
	if valid {
		r.drop(node)
	}
}

// endLate ends the leases that have not been renewed in time. It counts only time in which renewals would have been seen: while NATS is away,
// nobody can renew anything, and a process that was asleep has not seen what others did.
func (r *roster) endLate() {
	type late struct {
		node string
		lease
	}
	now := r.now()
	r.mu.Lock()
	var elapsed time.Duration
	if !r.audited.IsZero() {
		elapsed = min(now.Sub(r.audited), 2*r.settings.every)
	}
	r.audited = now
	var all []late
	for _, node := range r.leases.age(elapsed, r.settings.lease) {
		all = append(all, late{node, *r.leases.all[node]})
	}
	r.mu.Unlock()
	for _, l := range all {
		if l.State == leaseOver { // whoever ended it did not get to the end of it
			r.clear(l.node)
			continue
		}
		// A renewal that comes before this wins; so does another node that does the same.
		err := r.endLease(l.node, l.sequence, true)
		switch {
		case err == nil:
			r.b.logger.Warn("a node has died; all who were present through it have left", "node", l.Address, "silent", l.idle)
			r.b.publishLoss("") // what it had published without storing it may have died with it
		case !isConflict(err):
			r.b.logger.Warn("a dead node cannot be made to leave yet", "node", l.Address, "error", err)
		}
	}
}

// auditPause is how long a topic needs no audit. The caller holds mu.
func (r *roster) auditPause(w *watch) time.Duration {
	pause := r.settings.topic + time.Duration(len(w.crowd.people))*topicAuditPerPerson
	return max(pause, time.Duration(len(r.watches))*topicAuditPerTopic)
}

// auditTopics compares the topics that are due with the bucket.
func (r *roster) auditTopics() error {
	now := r.now()
	var due []*watch
	r.mu.Lock()
	for _, w := range r.watches {
		if w.running && (w.suspect() || !now.Before(w.due)) {
			due = append(due, w)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(due, func(a, b *watch) int { return cmp.Compare(a.token, b.token) })
	errs := make([]error, len(due))
	var running sync.WaitGroup
	at := make(chan int)
	for range min(maxLoads/2, len(due)) {
		running.Go(func() {
			for i := range at {
				errs[i] = r.auditTopic(due[i])
			}
		})
	}
	began := time.Now()
	for i := range due {
		if time.Since(began) > r.settings.every { // leases must not wait; the rest is due still
			r.kick()
			break
		}
		at <- i
	}
	close(at)
	running.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

// auditTopic loads a topic anew, unless nothing has changed in the bucket since it was loaded.
func (r *roster) auditTopic(w *watch) error {
	r.mu.Lock()
	suspected := w.suspected
	r.mu.Unlock()
	err := r.compare(w)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	w.crowd.forget(now.Add(-2 * markerLife))
	w.due = now
	if err == nil {
		w.trusted = suspected // what made it suspect since then is another matter
		w.due = now.Add(r.auditPause(w))
	}
	return err
}

func (r *roster) compare(w *watch) error {
	last, err := r.bucket.last(r.b.life, entriesIn(w.token))
	if err != nil && !errors.Is(err, errNone) {
		return err
	}
	r.mu.Lock()
	same := last.sequence == w.fence && last.sequence > 0
	r.mu.Unlock()
	if same {
		return nil
	}
	return r.load(w)
}
