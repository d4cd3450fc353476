package natsbroker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
)

// leaderAdvisory + stream is where NATS tells that another server leads a stream.
const leaderAdvisory = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."

// watch is a topic that nodes here watch. The roster's lock guards it, but for what is immutable.
type watch struct {
	topic string        // immutable
	token string        // immutable
	began chan struct{} // immutable; closed when it has been loaded for the first time, or could not be

	nodes   map[hub.Node]int // how often each watches
	sub     *nats.Subscription
	crowd   *crowd
	failure error     // why it has not begun
	ended   bool      // nobody watches any more
	running bool      // it has been loaded, so what changes is told
	dropped int       // events that did not fit
	own     uint64    // the highest sequence that a node here has written
	fence   uint64    // the last record when it was loaded
	due     time.Time // when it is to be audited

	suspected int // how often something was perhaps missing
	trusted   int // and how much of that has been made up for
}

// suspect reports whether something is perhaps missing. The caller holds mu.
func (w *watch) suspect() bool { return w.suspected != w.trusted }

// Watch implements hub.Broker.
func (b *Broker) Watch(ctx context.Context, n hub.Node, topic string) error {
	r := b.roster
	r.mu.Lock()
	if r.attached[n] == nil {
		r.mu.Unlock()
		return errDetached
	}
	key := token(topic)
	w := r.watches[key]
	if w == nil {
		w = &watch{topic: topic, token: key, began: make(chan struct{}), nodes: make(map[hub.Node]int), crowd: newCrowd()}
		r.watches[key] = w
		b.running.Go(func() { r.start(w) })
	}
	w.nodes[n]++
	r.mu.Unlock()
	var err error
	select {
	case <-w.began:
		if w.failure == nil { // it does not change any more
			return nil
		}
		err = w.failure
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unwatch(w, n)
	return failed(ctx, "who is present cannot be watched", err)
}

// Unwatch implements hub.Broker.
func (b *Broker) Unwatch(n hub.Node, topic string) {
	r := b.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.watches[token(topic)]; w != nil {
		r.unwatch(w, n)
	}
}

// unwatch takes one of a node's watches away. The caller holds mu.
func (r *roster) unwatch(w *watch, n hub.Node) {
	if w.nodes[n] > 1 {
		w.nodes[n]--
		return
	}
	delete(w.nodes, n)
	r.release(w)
}

// release ends a watch that nobody needs any more. The caller holds mu.
func (r *roster) release(w *watch) {
	if len(w.nodes) > 0 || w.ended {
		return
	}
	w.ended = true
	if r.watches[w.token] == w {
		delete(r.watches, w.token)
	}
	if w.sub != nil {
		_ = w.sub.Unsubscribe() // it fails when the connection is closed, where it has ended already
	}
}

// start subscribes to what changes in a topic, and then loads it.
func (r *roster) start(w *watch) {
	sub, err := r.b.nc.ChanSubscribe(r.bucket.told+entriesIn(w.token), r.events)
	if err == nil {
		r.mu.Lock()
		w.sub = sub
		r.mu.Unlock()
		err = r.load(w)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		w.failure = err
		clear(w.nodes)
		r.release(w)
	case w.ended:
		_ = sub.Unsubscribe()
	default:
		w.crowd.settleAll(r.leases.valid)
		w.running = true
		w.due = r.now().Add(r.auditPause(w))
	}
	close(w.began)
}

// loading waits until a topic may be loaded, and returns the context for that.
func (r *roster) loading() (ctx context.Context, done func(), err error) {
	select {
	case r.loads <- struct{}{}:
	case <-r.b.life.Done():
		return nil, nil, r.b.life.Err()
	}
	ctx, cancel := context.WithTimeout(r.b.life, loadTimeout)
	return ctx, func() { cancel(); <-r.loads }, nil
}

// load brings a topic up to date with what the bucket holds. What has changed is told.
func (r *roster) load(w *watch) error {
	ctx, done, err := r.loading()
	if err != nil {
		return err
	}
	defer done()
	r.mu.Lock()
	ended := w.ended
	r.mu.Unlock()
	if ended {
		return nil // nobody has waited for so long
	}
	if err := r.bucket.reach(ctx); err != nil {
		return err
	}
	found := make(map[entryKey]struct{})
	fence, err := r.bucket.scan(ctx, entriesIn(w.token), func(rec record) {
		if k, ok := parseEntryKey(rec.key); ok {
			found[k] = struct{}{}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.apply(w, k, rec)
		}
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	// What is gone without a trace is so rare that each can be asked for. With nothing left, there is no fence.
	limit := fence
	if fence == 0 {
		limit = w.crowd.seen
	}
	absent := w.crowd.absent(w.token, limit, found)
	r.mu.Unlock()
	for _, k := range absent {
		if err := r.confirm(ctx, w, k); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.fence = fence
	return nil
}

// confirm finds out whether an entry is really gone.
func (r *roster) confirm(ctx context.Context, w *watch, k entryKey) error {
	r.mu.Lock()
	before := w.crowd.sequence(k)
	r.mu.Unlock()
	rec, err := r.bucket.last(ctx, k.String())
	if err != nil && !errors.Is(err, errNone) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, errNone) {
		if w.crowd.sequence(k) == before { // or else it has come back meanwhile
			if p := w.crowd.remove(k, r.now()); p != nil {
				r.tell(w, p)
			}
		}
		return nil
	}
	r.apply(w, k, rec)
	return nil
}

// apply takes note of a record of a topic, and tells what it changes. The caller holds mu.
func (r *roster) apply(w *watch, k entryKey, rec record) {
	r.top = max(r.top, rec.sequence)
	p, err := w.crowd.apply(k, rec, r.now())
	if err != nil {
		r.b.logger.Warn("what the bucket says of a topic cannot be read", "topic", w.topic, "error", err)
	}
	if p != nil {
		r.tell(w, p)
	}
}

// tell tells the nodes that watch when a person has come or gone. The caller holds mu.
func (r *roster) tell(w *watch, p *person) {
	if !w.running || w.ended || !p.settle(r.leases.valid) {
		return
	}
	for n := range w.nodes {
		n.PresenceChanged(w.topic, hub.Publisher{User: p.user, Info: p.info}, p.here)
	}
}

// acknowledged notes that a node here has written an entry of a topic, so that Present does not answer with less.
func (r *roster) acknowledged(topic string, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.top = max(r.top, sequence)
	if w := r.watches[topic]; w != nil {
		w.own = max(w.own, sequence)
	}
}

// leaseChanged takes note of a lease, and makes those who are present through the node come or go with it.
func (r *roster) leaseChanged(rec record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.top = max(r.top, rec.sequence)
	node, came, went, err := r.leases.apply(rec)
	switch {
	case err != nil:
		r.b.logger.Warn("what the bucket says of a node cannot be read", "error", err)
	case came:
		for _, w := range r.watches {
			w.crowd.of(node, func(p *person, _ *presence) { r.tell(w, p) })
		}
	case went:
		r.drop(node)
	}
}

// drop makes all leave that are present through a node. The caller holds mu.
func (r *roster) drop(node string) {
	now := r.now()
	for _, w := range r.watches {
		w.crowd.drop(node, now, func(p *person) { r.tell(w, p) })
	}
}

// dispatch takes note of what the bucket republishes, until the broker is closed.
func (r *roster) dispatch() {
	for {
		select {
		case m := <-r.events:
			if len(r.events) >= cap(r.events)-1 { // one may not have fitted before this one left
				r.mu.Lock()
				r.overflown = true
				r.mu.Unlock()
			}
			r.event(m)
			if len(r.events) == 0 {
				r.checkOverflow()
			}
		case <-r.b.life.Done():
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, w := range r.watches {
				clear(w.nodes)
				r.release(w)
			}
			r.unsubscribe()
			return
		}
	}
}

func (r *roster) event(m *nats.Msg) {
	if strings.HasPrefix(m.Subject, leaderAdvisory) {
		r.suspectAll()
		return
	}
	rec, err := r.bucket.record(m, r.bucket.told, m.Subject)
	if err != nil {
		r.b.logger.Warn("an event of the bucket cannot be read", "error", err)
		return
	}
	if strings.HasPrefix(rec.key, leaseKeys) {
		r.leaseChanged(rec)
		return
	}
	k, ok := parseEntryKey(rec.key)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.watches[k.topic]; w != nil {
		r.apply(w, k, rec)
	}
}

// suspectAll has everything audited now.
func (r *roster) suspectAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.watches {
		w.suspected++
	}
	r.kick()
}

// checkOverflow has the topics audited of which events did not fit.
func (r *roster) checkOverflow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.overflown {
		return
	}
	r.overflown = false
	for _, w := range r.watches {
		if w.sub == nil {
			continue
		}
		if dropped, err := w.sub.Dropped(); err != nil || dropped != w.dropped {
			w.dropped = dropped
			w.suspected++
			r.kick()
		}
	}
}

// kick asks for an audit now.
func (r *roster) kick() {
	select {
	case r.kicks <- struct{}{}:
	default:
	}
}
