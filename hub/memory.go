package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	defaultTotalBytes = 256 << 20
	defaultMaxTopics  = 1_000_000
	defaultLinger     = 10 * time.Minute

	sweepInterval = time.Second
	sweepRounds   = 30 // sweeps in which every topic is visited
	sweepLeast    = 1000
	readChunk     = 4096 // topics that a pattern's reading looks at in one go
	graveCount    = 1 << 16
)

// MemoryOptions configures a MemoryBroker. The zero value stands for the defaults.
type MemoryOptions struct {
	TotalBytes int64 // that messages and their ids may take, over all topics; beyond that the oldest go; default 256 MiB
	MaxTopics  int   // that are remembered at one time; beyond that publishing to a new one fails; default 1,000,000
	// Linger is how long a topic that keeps no message is remembered after the last one, so that whoever comes back to it can be told for
	// sure that nothing was missed. Default 10 minutes.
	Linger time.Duration
}

// MemoryBroker keeps topics in this process. What it keeps is gone with the process, which is what its new epoch tells. Any number
// of hubs may be attached.
type MemoryBroker struct {
	options MemoryOptions // immutable
	epoch   string        // immutable
	seed    maphash.Seed  // immutable

	mu     sync.Mutex
	last   uint64             // the line of offsets; guarded by mu, as is all below
	topics map[string]*memLog //
	order  []*memLog          // the same, for going through them bit by bit
	cursor int                // where the next sweep begins
	oldest entries            // every message that is kept, in the order of offsets
	held   int64              // bytes of messages and ids
	graves []uint64           // by hash of a topic: the last offset of those that were forgotten; nil while none was
	grave  uint64             // the highest of these
	roster roster
	offers []*offer
	sweep  *time.Timer // runs while there is anything to sweep
	sweeps bool
}

// NewMemoryBroker returns an empty broker.
func NewMemoryBroker(o MemoryOptions) *MemoryBroker {
	o.TotalBytes = cmp.Or(o.TotalBytes, defaultTotalBytes)
	o.MaxTopics = cmp.Or(o.MaxTopics, defaultMaxTopics)
	o.Linger = cmp.Or(o.Linger, defaultLinger)
	return &MemoryBroker{
		options: o, epoch: rand.Text()[:8], seed: maphash.MakeSeed(), topics: make(map[string]*memLog), roster: newRoster(),
	}
}

var _ Broker = (*MemoryBroker)(nil)

// Attach implements Broker.
func (b *MemoryBroker) Attach(n Node) (detach func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roster.attach(n)
	b.startSweep()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.roster.detach(n)
		b.offers = slices.DeleteFunc(b.offers, func(o *offer) bool { return o.node == n })
	}, nil
}

// Follow implements Broker. All nodes are told of everything, which costs less than to know who wants what.
func (b *MemoryBroker) Follow(context.Context, Node, string) error { return nil }

// Unfollow implements Broker.
func (b *MemoryBroker) Unfollow(Node, string) {}

// Publish implements Broker.
func (b *MemoryBroker) Publish(_ context.Context, m *Message, r Retention) (Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	l := b.topics[m.Topic]
	if l == nil {
		if len(b.topics) >= b.options.MaxTopics {
			return Receipt{}, Errorf(CodeUnavailable, "the server remembers as many topics as it can")
		}
		l = b.open(m.Topic)
	}
	l.age, l.used = r.Age, now
	key := publicationKey{m.From.User, m.ID}
	if m.ID != "" {
		b.held -= l.ids.expire(now, r.Window)
		if offset, known := l.ids.find(key); known {
			return Receipt{Position{b.epoch, offset}, true}, nil
		}
	}
	b.last++
	m.Offset, m.Time = b.last, now
	l.last = m.Offset
	if m.ID != "" {
		b.held += l.ids.add(key, m.Offset, now, r.WindowIDs)
	}
	b.keep(l, m, r)
	b.startSweep()
	for n := range b.roster.nodes {
		n.Deliver("", m)
	}
	return Receipt{Position: Position{b.epoch, m.Offset}}, nil
}

// keep puts m into the history of its topic, within the bounds of the topic and of the broker.
func (b *MemoryBroker) keep(l *memLog, m *Message, r Retention) {
	size := m.Size()
	for len(l.kept) > 0 && (len(l.kept) >= r.Messages || l.bytes+size > r.Bytes) {
		b.forget(l.kept[0])
	}
	if r.Messages == 0 || size > r.Bytes || size > b.options.TotalBytes {
		l.lost = m.Offset
		return
	}
	e := &entry{message: m, log: l, size: size}
	l.kept = append(l.kept, e)
	l.bytes += size
	b.held += size
	b.oldest.push(e)
	for b.held > b.options.TotalBytes && b.oldest.first != nil {
		b.forget(b.oldest.first)
	}
}

// forget gives up a message, which is the oldest of its topic.
func (b *MemoryBroker) forget(e *entry) {
	l := e.log
	l.kept[0] = nil
	l.kept = l.kept[1:]
	if len(l.kept) == 0 {
		l.kept = nil // lets go of the array
	}
	l.bytes -= e.size
	l.lost = e.message.Offset
	b.held -= e.size
	b.oldest.remove(e)
}

// open begins a topic that is not remembered.
func (b *MemoryBroker) open(name string) *memLog {
	l := &memLog{name: name, index: len(b.order), lost: b.buried(name)}
	l.last = l.lost
	b.topics[name] = l
	b.order = append(b.order, l)
	return l
}

// bury forgets a topic that keeps nothing, except for its last offset.
func (b *MemoryBroker) bury(l *memLog) {
	if b.graves == nil {
		b.graves = make([]uint64, graveCount)
	}
	i := b.graveOf(l.name)
	b.graves[i] = max(b.graves[i], l.last)
	b.grave = max(b.grave, l.last)
	delete(b.topics, l.name)
	end := len(b.order) - 1
	b.order[l.index] = b.order[end]
	b.order[l.index].index = l.index
	b.order[end] = nil
	b.order = b.order[:end]
}

// buried is up to where messages of a topic that is not remembered may have been forgotten. A topic that shares its grave with
// another can be suspected wrongly; a gap told in vain is better than one that is not told.
func (b *MemoryBroker) buried(name string) uint64 {
	if b.graves == nil {
		return 0
	}
	return b.graves[b.graveOf(name)]
}

func (b *MemoryBroker) graveOf(name string) int {
	return int(maphash.String(b.seed, name) % graveCount)
}

// startSweep sees to it that what has grown old is given up. The caller holds mu.
func (b *MemoryBroker) startSweep() {
	if b.sweeps {
		return
	}
	b.sweeps = true
	if b.sweep == nil {
		b.sweep = time.AfterFunc(sweepInterval, b.sweepSome)
		return
	}
	b.sweep.Reset(sweepInterval)
}

func (b *MemoryBroker) sweepSome() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.roster.expire(now)
	for range min(max(sweepLeast, len(b.order)/sweepRounds), len(b.order)) {
		if b.cursor >= len(b.order) {
			b.cursor = 0
		}
		if l := b.order[b.cursor]; b.tidy(l, now) {
			b.bury(l)
		} else {
			b.cursor++
		}
		if len(b.order) == 0 {
			break
		}
	}
	b.sweeps = false
	if len(b.order) > 0 || len(b.roster.nodes) > 0 {
		b.startSweep()
	}
}

// tidy gives up what is too old in a topic, and reports whether the topic itself can go.
func (b *MemoryBroker) tidy(l *memLog, now time.Time) bool {
	for len(l.kept) > 0 && now.Sub(l.kept[0].message.Time) >= l.age {
		b.forget(l.kept[0])
	}
	b.held -= l.ids.expire(now, 0)
	return len(l.kept) == 0 && l.ids.empty() && now.Sub(l.used) >= b.options.Linger
}
