package natsbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxEvents = 16 << 10 // see rosterSettings
	maxLoads  = 16       // topics that are being loaded at one time

	// loadTimeout bounds a load. Each of its requests must be answered within Options.PublishTimeout.
	loadTimeout = time.Minute
)

// roster is who is present, over all nodes. It knows the leases of all nodes, and the entries of the topics that nodes here watch: as
// it loads them from the bucket, and from then on by what the bucket republishes. What got lost on that way is found by loading anew: when
// the connection has been away, when another server leads the bucket, when events did not fit, and now and then.
type roster struct {
	b        *Broker // immutable, as is what follows
	bucket   bucket
	settings rosterSettings
	events   chan *nats.Msg
	loads    chan struct{} // holds one for each load that is under way
	kicks    chan struct{} // holds one if an audit is wanted now

	subscribed []*nats.Subscription // to leases, and to who leads the bucket

	mu        sync.Mutex
	attached  map[hub.Node]*attached // guarded by mu, as is what follows
	leases    leases
	watches   map[string]*watch  // by token of the topic
	flights   map[string]*flight // loads for Present that have not begun yet, by token of the topic
	overflown bool               // events have perhaps not fitted
	audited   time.Time          // when the last audit of leases began
	created   time.Time          // of the bucket
	top       uint64             // the highest sequence of the bucket that is known
	regressed bool               // the bucket was behind top at the last audit
}

// rosterSettings are fixed but for tests.
type rosterSettings struct {
	lease  time.Duration
	every  time.Duration // between audits of leases
	topic  time.Duration // between audits of a topic, at least
	now    func() time.Time
	events int  // changes of presence that wait to be looked at; if there are more, what is watched is loaded anew
	manual bool // audits take place only when asked for
}

// attached is a node of ours.
type attached struct {
	node    hub.Node    // immutable
	address string      // immutable
	gone    atomic.Bool // it is not to be reached any more

	renewing sync.Mutex // held while the lease is being written
	sequence uint64     // of the lease; guarded by renewing, as is what follows
	lost     bool       // the lease is over
	left     bool       // the node has been detached

	offers []*offer // guarded by roster.mu
	member *member  // guarded by both: who holds one of them may read it
}

// offer is that a node answers requests.
type offer struct{ method string }

// newRoster opens the bucket and finds out which nodes there are. It tries until ctx ends what may succeed later.
func newRoster(ctx context.Context, b *Broker) (*roster, error) {
	return newRosterWith(ctx, b, rosterSettings{lease: hub.LeaseTime, every: hub.LeaseTime / 6, topic: topicAuditEvery, now: time.Now, events: maxEvents})
}

func newRosterWith(ctx context.Context, b *Broker, settings rosterSettings) (*roster, error) {
	r := &roster{
		b: b, bucket: newBucket(b), settings: settings,
		events: make(chan *nats.Msg, settings.events), loads: make(chan struct{}, maxLoads), kicks: make(chan struct{}, 1),
		attached: make(map[hub.Node]*attached), leases: leases{all: make(map[string]*lease)},
		watches: make(map[string]*watch), flights: make(map[string]*flight),
	}
	var err error
	for _, subject := range []string{r.bucket.told + leaseKeys + "*", leaderAdvisory + r.bucket.stream} {
		var s *nats.Subscription
		if s, err = b.nc.ChanSubscribe(subject, r.events); err != nil {
			break
		}
		r.subscribed = append(r.subscribed, s)
	}
	if err == nil {
		err = r.open(ctx)
	}
	if err != nil {
		r.unsubscribe()
		return nil, err
	}
	b.running.Go(r.dispatch)
	b.running.Go(r.audit)
	return r, nil
}

func (r *roster) unsubscribe() {
	for _, s := range r.subscribed {
		_ = s.Unsubscribe() // it fails when the connection is closed, where it has ended already
	}
}

// open opens the bucket and finds out which nodes there are.
func (r *roster) open(ctx context.Context) error {
	try := func() error {
		ctx, cancel := context.WithTimeout(ctx, r.b.options.PublishTimeout)
		defer cancel()
		info, err := r.bucket.open(ctx, true)
		if err != nil {
			return err
		}
		r.created, r.top = info.Created, info.State.LastSeq
		return r.auditLeases(ctx)
	}
	for {
		err := try()
		var foreign *foreignError
		if err == nil || errors.As(err, &foreign) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the bucket %s cannot be opened: %w", r.bucket.stream, err)
		case <-time.After(startRetry):
		}
	}
}

func (r *roster) now() time.Time { return r.settings.now() }

// attach announces a node.
func (r *roster) attach(n hub.Node) error {
	a := &attached{node: n, address: nodeID()}
	a.renewing.Lock()
	defer a.renewing.Unlock()
	if err := r.begin(r.b.life, a); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attached[n] = a
	return nil
}

func nodeID() string { return strings.ToLower(rand.Text()[:16]) }

// begin gives a node a new lease. The caller holds a.renewing.
func (r *roster) begin(ctx context.Context, a *attached) error {
	m := newMember(r, nodeID())
	sequence, err := r.putLease(ctx, a, m.id, 0)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.sequence, a.lost, a.member = sequence, false, m
	return nil
}

// putLease puts a valid lease, if the one before has the given sequence.
func (r *roster) putLease(ctx context.Context, a *attached, id string, before uint64) (uint64, error) {
	value := leaseValue{Address: a.address}
	r.mu.Lock()
	for _, o := range a.offers {
		value.Offers = append(value.Offers, o.method)
	}
	r.mu.Unlock()
	data := value.encode()
	if len(data) > maxLease {
		return 0, fmt.Errorf("the node offers more methods than fit into %d bytes", maxLease)
	}
	sequence, err := r.bucket.put(ctx, leaseKeys+id, data, jetstream.WithExpectLastSequencePerSubject(before))
	if err != nil {
		return 0, err
	}
	r.leaseChanged(record{leaseKeys + id, sequence, data})
	return sequence, nil
}

// renew puts a node's lease again. kept is false if it is over. The caller holds a.renewing.
func (r *roster) renew(ctx context.Context, a *attached) (kept bool, err error) {
	if a.lost {
		return false, nil
	}
	for range 2 {
		sequence, err := r.putLease(ctx, a, a.member.id, a.sequence)
		if err == nil {
			a.sequence = sequence
			return true, nil
		}
		if !isConflict(err) {
			return false, err
		}
		// Either it is over, or we have put it ourselves and not been told.
		found, err := r.bucket.last(ctx, leaseKeys+a.member.id)
		switch {
		case errors.Is(err, errNone), err == nil && !validLease(found.data):
			a.lost = true
			return false, nil
		case err != nil:
			return false, err
		}
		a.sequence = found.sequence
	}
	return false, errors.New("the lease is being changed by somebody else")
}

// Renew implements hub.Broker.
func (b *Broker) Renew(ctx context.Context, n hub.Node) (kept bool, err error) {
	r := b.roster
	a, err := r.of(n)
	if err != nil {
		return false, err
	}
	a.renewing.Lock()
	defer a.renewing.Unlock()
	if a.left {
		return false, errDetached
	}
	kept, err = r.renew(ctx, a)
	switch {
	case err != nil:
		return false, failed(ctx, "the lease of the node cannot be renewed", err)
	case kept:
		a.member.refresh()
		return true, nil
	}
	// All have left. What was written under the old lease after that is removed, and the node begins anew.
	old := a.member
	if old.close() {
		b.running.Go(func() { r.clear(old.id) })
	}
	if err := r.begin(ctx, a); err != nil {
		return false, failed(ctx, "the node cannot be announced", err)
	}
	b.logger.Warn("the lease of this node was over; all are present anew")
	return false, nil
}

// detach makes a node, and all who are present through it, leave.
func (r *roster) detach(n hub.Node) {
	r.mu.Lock()
	a := r.attached[n]
	delete(r.attached, n)
	for _, w := range r.watches {
		delete(w.nodes, n)
		r.release(w)
	}
	r.mu.Unlock()
	if a == nil {
		return
	}
	a.renewing.Lock()
	defer a.renewing.Unlock()
	a.left = true
	wrote := a.member.close()
	if a.lost {
		return
	}
	if err := r.endLease(a.member.id, a.sequence, wrote); err != nil && !isConflict(err) {
		r.b.logger.Warn("the node leaves without saying so; others find out", "within", r.settings.lease, "error", err)
	}
}

// endLease makes all who are present through a node leave, for all who watch, and removes their entries. It fails if the lease does not have
// the given sequence any more.
func (r *roster) endLease(id string, sequence uint64, entries bool) error {
	value := leaseValue{State: leaseOver}
	if !entries {
		value.State = leaseCleared
	}
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(sequence)}
	if !entries {
		options = append(options, jetstream.WithMsgTTL(clearedLife))
	}
	data := value.encode()
	sequence, err := r.bucket.put(r.b.life, leaseKeys+id, data, options...)
	if err != nil {
		return err
	}
	r.leaseChanged(record{leaseKeys + id, sequence, data})
	if entries {
		r.clear(id)
	}
	return nil
}

// clear removes the entries of a node whose lease is over.
func (r *roster) clear(id string) {
	err := r.bucket.purge(r.b.life, entriesOf(id))
	if err == nil {
		_, err = r.bucket.put(r.b.life, leaseKeys+id, leaseValue{State: leaseCleared}.encode(), jetstream.WithMsgTTL(clearedLife))
	}
	if err != nil {
		r.b.logger.Warn("what a node has left behind is removed later", "error", err)
	}
}

var errDetached = hub.Errorf(hub.CodeUnavailable, "the hub has left its broker")

// of returns what is known of a node of ours.
func (r *roster) of(n hub.Node) (*attached, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attached[n]
	if a == nil {
		return nil, errDetached
	}
	return a, nil
}

func (r *roster) memberOf(n hub.Node) (*member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attached[n]
	if a == nil {
		return nil, errDetached
	}
	return a.member, nil
}

// failed is the error for what could not be done: that of ctx if it has ended.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unavailable(what, err)
}

// Enter implements hub.Broker. It returns when the bucket has stored it, but for counted.
func (b *Broker) Enter(ctx context.Context, n hub.Node, topic string, who hub.Publisher, counted bool) error {
	m, err := b.roster.memberOf(n)
	if err != nil {
		return err
	}
	if counted {
		err = m.count(topic, who.User)
	} else {
		err = m.enter(ctx, topic, who)
	}
	if err != nil {
		return failed(ctx, "who is present cannot be stored", err)
	}
	return nil
}

// Leave implements hub.Broker. After an error it goes on trying.
func (b *Broker) Leave(ctx context.Context, n hub.Node, topic, user string) error {
	m, err := b.roster.memberOf(n)
	if err != nil {
		return err
	}
	if err := m.leave(ctx, topic, user); err != nil && !errors.Is(err, errLeaseOver) {
		return failed(ctx, "who has left cannot be stored yet", err)
	}
	return nil
}
