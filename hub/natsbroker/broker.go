// Package natsbroker is a hub.Broker on NATS JetStream: topics outlast the process, and any number of nodes share them.
//
// One stream holds the messages of all topics that have history, so the stream's sequences are one line of offsets for all
// of them. A publication is acknowledged when it is stored. The stream republishes what it stores, with its sequence and that of the
// message before it on the same topic, so a node that follows a topic sees by itself that it has missed one, and fetches it. Patterns
// are followed with an ordered consumer. docs/decisions/jetstream.md says why, and what follows from it.
package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	defaultName           = "duplex"
	defaultPublishTimeout = 5 * time.Second

	maxPendingPublishes = 16 << 10 // that wait for their acknowledgement
	maxReads            = 128      // at one time
)

// Options configures a Broker.
type Options struct {
	// Conn is the connection to NATS, made with ConnOptions. It must be the broker's own, and be closed after it. Required.
	Conn *nats.Conn
	// Name is the name of the stream, and the first part of all subjects and of the bucket. Nodes with the same one form
	// a cluster. Letters, digits, - and _; default "duplex".
	Name     string
	Replicas int   // of the stream and the bucket, when they are made or changed: 1, 3 or 5; default 1
	MaxBytes int64 // of the stream; beyond that publishing fails until something has grown old; default 0: what the account allows
	Memory   bool  // keep the stream in memory instead of in files; when it is made
	// PublishTimeout is how long a publication may take; default 5 seconds.
	PublishTimeout time.Duration
	// NewEpoch says that the store may have lost what it had acknowledged, as after a power failure: positions from before are
	// then answered with a gap.
	NewEpoch bool
	Logger   *slog.Logger // default slog.Default()
}

// ConnOptions returns the options that a Broker's connection needs: it comes back for ever, and fails at once while it is away.
// more are added behind them.
func ConnOptions(more ...nats.Option) []nats.Option {
	return append([]nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
	}, more...)
}

// Broker implements hub.Broker. Its methods may be called from any goroutine.
type Broker struct {
	options Options // immutable, as is what follows
	logger  *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	names   names
	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup

	stream  *stream
	seen    atomic.Uint64 // the highest sequence that is known to have been given to a message
	live    *live
	flushes *shared // each sees to it that the NATS server has what was sent before
	leads   *shared // each sees to it that the stream's leader is up to date
	reaches *shared // and each that the stream's leader knows of the subscriptions before
	follows *follows
	roster  *roster
	bus     *bus
	reads   chan struct{} // holds one for each reading that is under way

	mu    sync.Mutex
	nodes map[hub.Node]struct{} // guarded by mu
}

var _ hub.Broker = (*Broker)(nil)

// names are the names of what the broker uses in NATS.
type names struct {
	stream   string
	bucket   string
	stored   string // + topic: what is published to be stored
	kept     string // + topic: the same, as the stream republishes it
	bare     string // + topic: what is published without being stored
	either   string // + topic: both of these
	loss     string // on which nodes say that messages which are not stored may be lost
	tick     string // + minute
	commands string // + node
	requests string // + method
}

func newNames(name string) names {
	return names{
		stream: name, bucket: name + "_presence",
		stored: name + ".t.", kept: name + ".l.s.", bare: name + ".l.c.", either: name + ".l.*.", loss: name + ".g", tick: name + ".k.",
		commands: name + ".n.", requests: name + ".r.",
	}
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// New returns a broker, whose stream and bucket it makes if they are not there. ctx bounds that. The error says what NATS refuses, or
// what is wrong with the options.
func New(ctx context.Context, o Options) (*Broker, error) {
	o.Name = cmp.Or(o.Name, defaultName)
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.PublishTimeout = cmp.Or(o.PublishTimeout, defaultPublishTimeout)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	switch {
	case o.Conn == nil:
		return nil, fmt.Errorf("natsbroker: Conn is required")
	case !validName.MatchString(o.Name):
		return nil, fmt.Errorf("natsbroker: Name has 1 to 32 letters, digits, - and _, unlike %q", o.Name)
	case o.Replicas < 1 || o.Replicas > 5:
		return nil, fmt.Errorf("natsbroker: Replicas is 1 to 5, not %d", o.Replicas)
	case o.MaxBytes < 0 || o.PublishTimeout < 0:
		return nil, fmt.Errorf("natsbroker: MaxBytes and PublishTimeout cannot be negative")
	}
	b := &Broker{
		options: o, logger: o.Logger, nc: o.Conn, names: newNames(o.Name), nodes: make(map[hub.Node]struct{}),
		reads: make(chan struct{}, maxReads),
	}
	b.life, b.end = context.WithCancel(context.Background())
	var err error
	b.js, err = jetstream.New(o.Conn,
		jetstream.WithPublishAsyncMaxPending(maxPendingPublishes),
		jetstream.WithPublishAsyncTimeout(o.PublishTimeout),
		jetstream.WithDefaultTimeout(o.PublishTimeout))
	if err != nil {
		return nil, fmt.Errorf("natsbroker: %w", err)
	}
	if err := b.start(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("natsbroker: %w", err)
	}
	return b, nil
}

func (b *Broker) start(ctx context.Context) (err error) {
	if b.stream, err = openStream(ctx, b); err != nil {
		return err
	}
	if b.roster, err = newRoster(ctx, b); err != nil {
		return err
	}
	if b.bus, err = newBus(b); err != nil {
		return err
	}
	b.live = newLive()
	b.flushes = &shared{do: func() error { return b.nc.FlushTimeout(b.options.PublishTimeout) }}
	b.leads = &shared{do: b.stream.catchUp}
	b.reaches = &shared{do: func() error { return b.reach(b.life, b.names.tick+"reach") }}
	if b.follows, err = newFollows(b); err != nil {
		return err
	}
	b.running.Go(b.stream.watch)
	b.running.Go(b.tellEnds)
	b.running.Go(b.follows.dispatch)
	b.running.Go(b.follows.guard)
	return nil
}

// Close leaves the cluster: nothing is delivered any more, and who is present through nodes that are still attached leaves.
func (b *Broker) Close() {
	b.mu.Lock()
	nodes := make([]hub.Node, 0, len(b.nodes))
	for n := range b.nodes {
		nodes = append(nodes, n)
	}
	b.mu.Unlock()
	for _, n := range nodes {
		b.detach(n)
	}
	b.end()
	b.running.Wait()
}

// Attach implements hub.Broker.
func (b *Broker) Attach(n hub.Node) (detach func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.roster.attach(n); err != nil {
		return nil, unavailable("the node cannot be announced", err)
	}
	if err := b.bus.attach(n); err != nil {
		b.roster.detach(n)
		return nil, unavailable("the node cannot be reached by others", err)
	}
	b.nodes[n] = struct{}{}
	return func() { b.detach(n) }, nil
}

func (b *Broker) detach(n hub.Node) {
	b.mu.Lock()
	_, here := b.nodes[n]
	delete(b.nodes, n)
	b.mu.Unlock()
	if !here {
		return
	}
	b.follows.detach(n)
	b.bus.detach(n)
	b.roster.detach(n)
}

// Ready reports whether the broker can store messages now. It stores a small one to find out.
func (b *Broker) Ready(ctx context.Context) error {
	if err := b.stream.probe(ctx); err != nil {
		return err
	}
	return nil
}

// saw notes that a message with this sequence exists.
func (b *Broker) saw(sequence uint64) {
	for {
		seen := b.seen.Load()
		if sequence <= seen || b.seen.CompareAndSwap(seen, sequence) {
			return
		}
	}
}

// unavailable is the error for what NATS cannot do now.
func unavailable(what string, err error) error {
	for _, away := range []error{nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrConnectionClosed} {
		if errors.Is(err, away) {
			err = errors.New("there is no connection to NATS")
		}
	}
	return &hub.Error{Code: hub.CodeUnavailable, Message: fmt.Sprintf("%s: %v", what, err), Retry: time.Second}
}
