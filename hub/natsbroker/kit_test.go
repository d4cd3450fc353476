package natsbroker

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/hubtest"
)

const startTimeout = 30 * time.Second

// startServer starts a NATS server with JetStream, alone or as a member of a cluster.
func startServer(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.JetStream, o.NoSigs, o.NoLog = "127.0.0.1", true, true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	go s.Start()
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// startCluster starts three NATS servers that form a cluster.
func startCluster(t testing.TB) []*server.Server {
	t.Helper()
	var ports []int
	for range 3 {
		ports = append(ports, freePort(t))
	}
	var routes []string
	for _, port := range ports {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	var servers []*server.Server
	for i, port := range ports {
		servers = append(servers, startServer(t, server.Options{
			ServerName: fmt.Sprint("s", i), Routes: server.RoutesFromStr(strings.Join(routes, ",")),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
		}))
	}
	return servers
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func connect(t testing.TB, urls string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(urls, ConnOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// openBroker opens a broker at one or more servers.
func openBroker(t testing.TB, o Options, servers ...*server.Server) *Broker {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	o.Conn = connect(t, strings.Join(urls, ","))
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

var nameNumber struct {
	sync.Mutex
	n int
}

// newName returns a name that no other test of this process uses.
func newName() string {
	nameNumber.Lock()
	defer nameNumber.Unlock()
	nameNumber.n++
	return fmt.Sprint("test", nameNumber.n)
}

// spread is several brokers of one cluster behind one: a node is at the one that it was attached to, and everything else goes to one
// after the other.
type spread struct {
	brokers []*Broker

	mu   sync.Mutex
	at   map[hub.Node]*Broker
	next int
}

func (s *spread) one() *Broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.brokers[s.next%len(s.brokers)]
}

func (s *spread) of(n hub.Node) *Broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[n]
}

func (s *spread) Attach(n hub.Node) (func(), error) {
	b := s.one()
	s.mu.Lock()
	s.at[n] = b
	s.mu.Unlock()
	return b.Attach(n)
}

func (s *spread) Follow(ctx context.Context, n hub.Node, at string) error {
	return s.of(n).Follow(ctx, n, at)
}
func (s *spread) Unfollow(n hub.Node, at string) { s.of(n).Unfollow(n, at) }
func (s *spread) Publish(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	if r.Messages == 0 { // a retry of what is kept nowhere is known where it was published
		return s.brokers[0].Publish(ctx, m, r)
	}
	return s.one().Publish(ctx, m, r)
}
func (s *spread) Read(ctx context.Context, q hub.ReadQuery) (hub.Log, error) {
	return s.one().Read(ctx, q)
}
func (s *spread) Watch(ctx context.Context, n hub.Node, topic string) error {
	return s.of(n).Watch(ctx, n, topic)
}
func (s *spread) Unwatch(n hub.Node, topic string) { s.of(n).Unwatch(n, topic) }
func (s *spread) Enter(ctx context.Context, n hub.Node, topic string, who hub.Publisher, counted bool) error {
	return s.of(n).Enter(ctx, n, topic, who, counted)
}
func (s *spread) Leave(ctx context.Context, n hub.Node, topic, user string) error {
	return s.of(n).Leave(ctx, n, topic, user)
}
func (s *spread) Present(ctx context.Context, topic string, limit int) (hub.Present, error) {
	return s.one().Present(ctx, topic, limit)
}
func (s *spread) Renew(ctx context.Context, n hub.Node) (bool, error) { return s.of(n).Renew(ctx, n) }
func (s *spread) Cast(ctx context.Context, n hub.Node, command string, data []byte) ([][]byte, error) {
	return s.of(n).Cast(ctx, n, command, data)
}
func (s *spread) Offer(n hub.Node, method string) (func(), error) { return s.of(n).Offer(n, method) }
func (s *spread) Call(ctx context.Context, n hub.Node, method string, data []byte) ([]byte, error) {
	return s.of(n).Call(ctx, n, method, data)
}

// The contract, on one server with one broker, and on three servers with one broker at each.
func TestBroker(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		s := startServer(t, server.Options{})
		hubtest.TestBroker(t, func(t *testing.T) hub.Broker { return openBroker(t, Options{Name: newName()}, s) })
	})
	t.Run("cluster", func(t *testing.T) {
		servers := startCluster(t)
		hubtest.TestBroker(t, func(t *testing.T) hub.Broker {
			all := &spread{at: make(map[hub.Node]*Broker)}
			name := newName()
			for _, s := range servers {
				all.brokers = append(all.brokers, openBroker(t, Options{Name: name, Replicas: 3}, s))
			}
			return all
		})
	})
}
