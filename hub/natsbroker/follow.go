package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxWaiting = 4096 // messages of one topic that wait until those before them have been fetched
	maxRuns    = 4096 // publishing nodes, of which the last number is remembered

	repairRetry    = 100 * time.Millisecond
	maxRepairRetry = 5 * time.Second
)

// follow is a topic or pattern that nodes of this broker follow.
type follow struct {
	b       *Broker
	at      string
	pattern bool
	bare    bool          // immutable: a topic that keeps nothing
	stored  string        // immutable: the subject in the stream
	ready   chan struct{} // closed when it has begun or failed
	failed  error         // set before ready is closed

	mu        sync.Mutex
	nodes     map[hub.Node]int   // how often each follows; guarded by mu, as is what follows
	sub       *nats.Subscription // changed while follows.mu is held too
	gone      bool
	unwanted  time.Time // since when nobody follows
	anew      bool      // the stream has begun anew, and nobody was told yet
	epoch     string    // of what follows; empty until it has begun
	last      uint64    // everything up to this sequence has been delivered
	recent    recent
	wanted    uint64 // there was a message with this sequence; 0: none that has not come
	fetching  bool   // what is before the messages that wait is being fetched
	waiting   []*nats.Msg
	spilled   bool              // more came than may wait
	heard     time.Time         // when something came, or nothing was missing
	patience  time.Duration     // from then on until it is checked
	runs      map[string]uint64 // of messages that are not stored: the last number of each run, of a pattern with the topic
	bareSince time.Time         // since when runs is complete
	consumer  jetstream.ConsumeContext
	burst     map[string]int // of a pattern, while more waits than the stream keeps of a topic: what came of each
}

func newFollow(b *Broker, at string) *follow {
	return &follow{
		b: b, at: at, pattern: strings.ContainsAny(at, "*>"), stored: b.names.stored + at, ready: make(chan struct{}),
		nodes: make(map[hub.Node]int), fetching: true, heard: time.Now(), patience: guardEvery, bareSince: time.Now(), recent: recent{total: &b.follows.recent},
	}
}

// subscription is the subject to subscribe to. What is stored of a pattern comes by a consumer.
func (f *follow) subscription() string {
	if f.pattern {
		return f.b.names.bare + f.at
	}
	return f.b.names.either + f.at
}

func (f *follow) add(n hub.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[n]++
	f.unwanted = time.Time{}
}

// remove takes back that a node follows, once or, with times below 0, altogether. It reports whether nobody follows any more.
func (f *follow) remove(n hub.Node, times int) (over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes[n] -= times; times < 0 || f.nodes[n] <= 0 {
		delete(f.nodes, n)
	}
	if over = len(f.nodes) == 0; over {
		f.unwanted = time.Now()
	}
	return over
}

// idleFor reports whether nobody has followed for so long.
func (f *follow) idleFor(d time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.nodes) == 0 && time.Since(f.unwanted) >= d
}

// close lets go of what it has in NATS. follows has forgotten it.
func (f *follow) close() {
	f.mu.Lock()
	f.gone = true
	sub, consumer := f.sub, f.consumer
	f.consumer, f.waiting = nil, nil
	f.recent.reset(f.last)
	f.mu.Unlock()
	if sub != nil {
		_ = sub.Unsubscribe() // fails only without a connection, and then it is gone as well
	}
	if consumer != nil {
		consumer.Stop()
	}
}

// begin finds out from where on to follow.
func (f *follow) begin(ctx context.Context) error {
	if !f.bare {
		if err := f.b.reaches.wait(ctx); err != nil {
			return err
		}
	}
	epoch := f.b.stream.config.Load().epoch
	last, err := f.end(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.epoch, f.last = epoch, last
	f.recent.reset(last)
	f.mu.Unlock()
	if f.pattern {
		return f.consume(ctx, last)
	}
	if !f.settle(last) {
		go f.fetch()
	}
	return nil
}

// end returns a sequence up to which the stream's leader has said what there is. It is not asked about what is stored nowhere, so that such topics
// need no stream.
func (f *follow) end(ctx context.Context) (uint64, error) {
	seen := f.b.seen.Load() // the leader knows these, too
	if f.bare {
		return seen, nil
	}
	if err := f.b.leads.wait(ctx); err != nil {
		return 0, err
	}
	last, err := f.b.get(ctx, getQuery{Last: f.stored})
	if errors.Is(err, errNone) {
		err = nil
	}
	return max(last, seen), err
}

// receive takes a message from NATS.
func (f *follow) receive(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return
	}
	f.heard, f.patience = time.Now(), guardEvery
	if m.Header.Get(headerSequence) == "" {
		f.receiveBare(m)
		return
	}
	if !f.fetching && !f.accept(m, 0) {
		f.fetching = true
		go f.fetch()
	}
	if !f.fetching {
		return
	}
	if len(f.waiting) >= maxWaiting { // what is dropped here is fetched as well
		f.waiting, f.spilled = nil, true
		return
	}
	f.waiting = append(f.waiting, m)
}

// accept delivers a message unless those before it are missing. Missing ones up to fetched do not exist any more. The caller holds mu.
func (f *follow) accept(m *nats.Msg, fetched uint64) (ok bool) {
	e, err := f.b.parse(m, m.Subject)
	before, err2 := strconv.ParseUint(m.Header.Get(headerBefore), 10, 64)
	if err != nil || err2 != nil {
		f.b.logger.Error("NATS has republished a message without saying what it is", "subject", m.Subject, "error", errors.Join(err, err2))
		return true
	}
	e.Topic = f.at
	f.b.saw(e.Offset)
	switch {
	case e.Offset <= f.last:
		return true
	case before > f.last && before > fetched:
		f.wanted = cmp.Or(f.wanted, before)
		return false
	case before > f.last:
		f.lose(hub.GapLost, before)
	}
	f.deliver(e)
	return true
}

// deliver hands over the next message. The caller holds mu.
func (f *follow) deliver(e entry) {
	if f.wanted > 0 && e.Offset > f.wanted {
		f.lose(hub.GapLost, f.wanted)
	} else if e.Offset == f.wanted {
		f.wanted = 0
	}
	f.last = e.Offset
	if e.lost {
		f.lose(hub.GapLost, e.Offset)
		return
	}
	if !f.pattern {
		f.recent.add(e.Message)
	}
	for n := range f.nodes {
		n.Deliver(f.at, e.Message)
	}
}

// lose tells that messages up to a sequence are lost. The caller holds mu.
func (f *follow) lose(reason hub.GapReason, until uint64) {
	f.last = max(f.last, until)
	f.recent.reset(f.last)
	if f.wanted <= until {
		f.wanted = 0
	}
	for n := range f.nodes {
		n.Missed(f.at, reason, hub.Position{Epoch: f.b.stream.config.Load().epoch, Offset: until})
	}
}

// loseBare tells that messages that are not stored are lost. Those that are stored still come, if they have not. The caller holds mu.
func (f *follow) loseBare() {
	for n := range f.nodes {
		n.Missed(f.at, hub.GapLost, hub.Position{Epoch: f.b.stream.config.Load().epoch, Offset: f.b.seen.Load()})
	}
}

// fetch gets what is missing from the stream, until it has everything.
func (f *follow) fetch() {
	for wait := repairRetry; ; {
		ctx, cancel := context.WithTimeout(f.b.life, f.b.options.PublishTimeout)
		until, err := f.fetchSome(ctx)
		cancel()
		if f.over() {
			return
		}
		if err == nil {
			if f.settle(until) {
				return
			}
			wait = repairRetry
			continue
		}
		f.b.logger.Warn("missed messages are not to be had yet", "topic", f.at, "error", err)
		select {
		case <-f.b.life.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, maxRepairRetry)
		}
	}
}

// over reports whether nobody follows any more.
func (f *follow) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone || f.b.life.Err() != nil
}

// fetchSome delivers what the stream has behind the last message, and returns up to where that is.
func (f *follow) fetchSome(ctx context.Context) (until uint64, err error) {
	f.mu.Lock()
	after, anew := f.last, f.anew
	f.mu.Unlock()
	if anew {
		return f.beginAnew(ctx)
	}
	if err := f.b.leads.wait(ctx); err != nil {
		return 0, err
	}
	seen := f.b.seen.Load() // the leader knows these, too
	last, err := f.b.get(ctx, getQuery{Last: f.stored})
	if errors.Is(err, errNone) {
		err = nil
	}
	if until = max(last, seen); err != nil || last <= after {
		return until, err
	}
	first, pending, err := f.b.chunk(ctx, f.stored, after+1, 1)
	if err != nil {
		return 0, err
	}
	known, err := f.b.known(ctx, slack/2, math.MaxInt)
	if err != nil {
		return 0, err
	}
	if len(first) > 0 && (pending+1 >= uint64(f.b.stream.config.Load().perTopic) || after+1 < known) {
		f.mu.Lock()
		f.lose(hub.GapLost, first[0].Offset-1)
		f.mu.Unlock()
	}
	return until, f.b.between(ctx, f.stored, after, last, func(some []entry) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range some {
			if e.Offset > f.last && !f.gone {
				f.deliver(e)
			}
		}
	})
}

// settle goes on with the messages that wait, after everything up to a sequence has been fetched. It reports whether nothing is missing.
func (f *follow) settle(fetched uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spilled {
		f.spilled = false
		return false
	}
	for len(f.waiting) > 0 {
		if !f.accept(f.waiting[0], fetched) {
			return false
		}
		f.waiting = f.waiting[1:]
	}
	f.waiting, f.fetching = nil, false
	return true
}

// due reports whether it is time to check: when nothing has come for long enough, or at once.
func (f *follow) due(now bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.fetching && !f.gone && (now || time.Since(f.heard) >= f.patience)
}

// check asks the stream's leader whether there is more than has been delivered.
func (f *follow) check() {
	ctx, cancel := context.WithTimeout(f.b.life, f.b.options.PublishTimeout)
	defer cancel()
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if at := f.b.stream.caughtUp.Load(); at == nil || time.Since(*at) > time.Second { // not for each of many topics
		if f.b.leads.wait(ctx) != nil {
			return
		}
	}
	seen := f.b.seen.Load()
	_, err := f.b.get(ctx, getQuery{Sequence: last + 1, Next: f.stored})
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.fetching || f.gone || f.last != last:
	case errors.Is(err, errNone): // none of those up to seen is this topic's
		f.last, f.heard = max(last, seen), time.Now()
		f.patience = min(2*f.patience, guardMost)
	case err == nil:
		f.fetching = true
		go f.fetch()
	}
}

// restart begins anew in a stream that has begun anew.
func (f *follow) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	busy := f.fetching
	f.anew, f.fetching = true, true
	if !busy {
		go f.fetch()
	}
}

// beginAnew is fetchSome for a stream that has begun anew.
func (f *follow) beginAnew(ctx context.Context) (until uint64, err error) {
	epoch := f.b.stream.config.Load().epoch
	if until, err = f.end(ctx); err != nil {
		return 0, err
	}
	f.mu.Lock()
	consumer := f.consumer
	f.epoch = epoch
	f.anew, f.last, f.wanted, f.waiting, f.consumer = false, 0, 0, nil, nil
	f.lose(hub.GapEpoch, until)
	f.mu.Unlock()
	if consumer != nil {
		consumer.Stop()
	}
	if !f.pattern {
		return until, nil
	}
	if err := f.consume(ctx, until); err != nil {
		f.mu.Lock()
		f.anew = true
		f.mu.Unlock()
		return 0, err
	}
	return until, nil
}

// receiveBare takes a message that is not stored. The caller holds mu.
func (f *follow) receiveBare(m *nats.Msg) {
	message, r, err := decode(m.Data)
	if err != nil {
		f.b.logger.Warn("a message cannot be read", "subject", m.Subject, "error", err)
		f.loseBare()
		return
	}
	message.Topic, message.Time = strings.TrimPrefix(m.Subject, f.b.names.bare), time.Now()
	end := m.Header.Get(headerEnd) != ""
	if f.missesBare(message.Topic, r, end) {
		f.loseBare()
	}
	if end {
		return
	}
	if !f.b.live.first(message, r, leastWindow) {
		return // a retry, of which another node did not know
	}
	for n := range f.nodes {
		n.Deliver(f.at, message)
	}
}

// missesBare reports whether messages before this one, or up to it if it is only told as the end, have not come, and takes note of it. The
// caller holds mu.
func (f *follow) missesBare(topic string, r run, end bool) bool {
	key := r.id
	if f.pattern {
		key += " " + topic
	}
	last := r.number - 1
	if end {
		last = r.number
	}
	before, known := f.runs[key]
	missing := known && last > before
	if !known && last > 0 { // its messages may be from before anybody followed
		missing = time.Duration(r.quiet)*time.Millisecond < time.Since(f.bareSince)
	}
	if f.runs == nil {
		f.runs = make(map[string]uint64)
	} else if len(f.runs) >= maxRuns {
		clear(f.runs)
		f.bareSince = time.Now()
	}
	f.runs[key] = max(before, r.number)
	return missing
}

// missedBare tells that messages that are not stored may have been missed, and, if it was for long, any.
func (f *follow) missedBare(long bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.runs)
	f.bareSince = time.Now()
	for n := range f.nodes {
		if long && f.pattern || !n.Keeps(f.at) {
			n.Missed(f.at, hub.GapLost, hub.Position{Epoch: f.b.stream.config.Load().epoch, Offset: f.b.seen.Load()})
		}
	}
}
