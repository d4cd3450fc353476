// Package natsserver runs a NATS server with JetStream inside of the process: alone, for data that outlives the process, or as
// one member of a cluster of Duplex nodes. Neither has a port for clients: only the process itself is one.
package natsserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Peer is one node of a cluster.
type Peer struct {
	Name    string // letters, digits, "-" and "_"
	Address string // host:port where it listens for the other nodes
}

// Options configure a Server.
type Options struct {
	Dir string // data directory, made if need be; required. A process has it for itself.

	// Cluster lists all nodes of the cluster, the same on each of them, and Node names this one. Empty: a server on its own.
	Cluster []Peer
	Node    string

	// Secret is what nodes show each other; required when another machine can reach an address in Cluster.
	Secret []byte
	TLS    *tls.Config // of the connections between nodes, for both sides; nil: plain TCP, which others on the network can read

	// SyncAlways puts every message on disk before it is acknowledged. Otherwise the system does, at the latest after
	// SyncInterval (default DefaultSyncInterval).
	SyncAlways   bool
	SyncInterval time.Duration

	StartTimeout time.Duration // how long to wait for the other nodes; default DefaultStartTimeout
	Logger       *slog.Logger  // default slog.Default()
}

// Defaults of Options.
const (
	DefaultSyncInterval = time.Second
	DefaultStartTimeout = 10 * time.Minute
)

// MaxPayload bounds a message on the bus, with its headers, in bytes.
const MaxPayload = 64 << 20

const (
	localTimeout   = time.Minute             // for what needs no other node, such as opening a port
	catchUpTimeout = 2 * time.Minute         // for messages that were stored while this node was away
	reportEvery    = 10 * time.Second        // how often the log says what is waited for
	pollEvery      = 50 * time.Millisecond   // how often a server that starts or stops is looked at
	watchEvery     = time.Second             // and one that runs
	retryEvery     = 5 * time.Second         // how often a disk that could not be written to is tried again
	leaveTimeout   = 1500 * time.Millisecond // for others to take over what this node leads
)

func (o Options) withDefaults() (Options, error) {
	o.SyncInterval = cmp.Or(o.SyncInterval, DefaultSyncInterval)
	o.StartTimeout = cmp.Or(o.StartTimeout, DefaultStartTimeout)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Dir == "" {
		return o, errors.New("natsserver: Dir is required")
	}
	return o, o.checkCluster()
}

// identity says whose data it is.
func (o *Options) identity() identity {
	if len(o.Cluster) == 0 {
		return identity{}
	}
	return identity{Cluster: clusterName, Node: o.Node}
}

// Server is a NATS server in this process. When it can no longer write to its disk it goes on as soon as it can. Its methods may be
// called from any goroutine.
type Server struct {
	options Options // immutable
	dir     *directory
	log     *slog.Logger
	stop    context.CancelFunc // ends watch
	watched chan struct{}      // closed when watch has ended

	mu      sync.Mutex
	nats    *server.Server // guarded by mu, as is what follows; nil while it starts anew
	natsLog *logger
	trouble error // why nats is nil, or cannot store anything
	closed  bool
}

// Start returns when the server can store messages: a member of a cluster then knows who leads it, and has what was stored while it was
// away, or begins without after two minutes of fetching. Until then it logs what it waits for. An
// error says what whoever started it can do.
func Start(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := openDirectory(o.Dir, o.identity(), o.SyncAlways)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, dir: dir, log: o.Logger.With("part", "nats"), watched: make(chan struct{})}
	if err := s.boot(ctx); err != nil {
		return nil, errors.Join(err, dir.close(false))
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.watch(watching)
	return s, nil
}

// boot starts a nats-server and waits until it can be used.
func (s *Server) boot(ctx context.Context) error {
	if err := s.dir.probe(); err != nil {
		return err
	}
	log := newLogger(s.options.Logger)
	ns, err := server.NewServer(s.options.nats())
	if err != nil {
		return fmt.Errorf("the embedded NATS server cannot be made: %w", err)
	}
	ns.SetLoggerV2(log, false, false, false)
	started := make(chan struct{})
	go func() {
		ns.Start()
		close(started)
	}()
	if err = s.awaitStart(ctx, ns, log, started); err != nil {
		log.hush()
		<-started
		ns.Shutdown()
		ns.WaitForShutdown()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats, s.natsLog, s.trouble = ns, log, nil
	return nil
}

// awaitStart waits for this process, then for the others.
func (s *Server) awaitStart(ctx context.Context, ns *server.Server, log *logger, started <-chan struct{}) error {
	select {
	case <-started: // it has read all data, which may take its time
	case text := <-log.fatal:
		return s.explain(text)
	}
	if err := s.await(ctx, ns, log, localTimeout, func() bool {
		return ns.JetStreamEnabled() && (len(s.options.Cluster) == 0 || ns.ClusterAddr() != nil)
	}); err != nil {
		return err
	}
	if len(s.options.Cluster) == 0 {
		return nil
	}
	if err := s.await(ctx, ns, log, s.options.StartTimeout, func() bool { return hasLeader(ns) }); err != nil {
		return err
	}
	err := s.await(ctx, ns, log, catchUpTimeout, func() bool { return hasCopies(ns) })
	if _, late := errors.AsType[lateError](err); late {
		s.log.Warn("this node has not all messages yet; until it has, do not stop another one")
		return nil
	}
	return err
}

// await polls until ready says yes.
func (s *Server) await(ctx context.Context, ns *server.Server, log *logger, limit time.Duration, ready func() bool) error {
	poll, report, deadline := time.NewTicker(pollEvery), time.NewTicker(reportEvery), time.After(limit)
	defer poll.Stop()
	defer report.Stop()
	for !ready() {
		select {
		case <-poll.C:
		case <-report.C:
			s.log.Info("waiting for the cluster", "missing", s.missing(ns))
		case text := <-log.fatal:
			return s.explain(text)
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return s.tooLate(ns, limit)
		}
	}
	return nil
}

// explain says what a fatal message of nats-server means to whoever started it.
func (s *Server) explain(text string) error {
	if len(s.options.Cluster) > 0 {
		return fmt.Errorf("node %s of the cluster cannot be started: %s; its address in the cluster, %s, must be one of this machine and free",
			s.options.Node, text, s.options.address())
	}
	return fmt.Errorf("the embedded NATS server cannot be started: %s", text)
}

// InProcessConn connects the process itself; it makes a Server a nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats == nil {
		return nil, cmp.Or(s.trouble, errStopped)
	}
	return s.nats.InProcessConn()
}

var errStopped = errors.New("the embedded NATS server has been stopped")

// Suspect reports whether the machine, and not just the process, has ended since the data was last used, so that messages may be lost that
// had been acknowledged, and their offsets be used again: positions need a new epoch. It stays so, over restarts, until Settle.
func (s *Server) Suspect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir.state.Suspect
}

// Settle says that positions have a new epoch.
func (s *Server) Settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir.settle()
}

// Ready returns why the server cannot store anything now, or nil.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// Usage is what the data takes.
type Usage struct {
	Bytes uint64 // of messages stored here
	Limit uint64 // as many are stored at most; three quarters of what was free on the disk when the server started
}

// Usage returns zeros while the server cannot be asked.
func (s *Server) Usage() Usage {
	s.mu.Lock()
	ns := s.nats
	s.mu.Unlock()
	if ns == nil {
		return Usage{}
	}
	info, err := ns.Jsz(nil)
	if err != nil || info.Disabled {
		return Usage{}
	}
	return Usage{Bytes: info.Store, Limit: uint64(max(0, info.Config.MaxStore))}
}

// Close lets others lead, ends all connections and puts what is stored on disk. A member of a cluster takes up to two seconds for it.
func (s *Server) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.stop()
	<-s.watched
	s.halt(errStopped)
	return s.dir.close(true)
}

// halt ends the nats-server, if there is one, because of trouble.
func (s *Server) halt(trouble error) {
	s.mu.Lock()
	ns, log := s.nats, s.natsLog
	s.nats, s.trouble = nil, trouble
	s.mu.Unlock()
	if ns == nil {
		return
	}
	log.hush()
	if len(s.options.Cluster) > 0 {
		letOthersLead(ns)
	}
	ns.Shutdown()
	ns.WaitForShutdown()
}

// nats are the options of nats-server.
func (o *Options) nats() *server.Options {
	n := &server.Options{
		ServerName: cmp.Or(o.Node, "duplex"), DontListen: true, NoSigs: true, NoLog: false, DisableJetStreamBanner: true,
		MaxPayload: MaxPayload, MaxPending: 4 * MaxPayload,
		JetStream: true, StoreDir: o.Dir, SyncAlways: o.SyncAlways, SyncInterval: o.SyncInterval,
	}
	if len(o.Cluster) > 0 {
		o.join(n)
	}
	return n
}

// address is that of this node.
func (o *Options) address() string {
	i := slices.IndexFunc(o.Cluster, func(p Peer) bool { return p.Name == o.Node })
	return o.Cluster[i].Address
}
