package natsbroker

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/hubtest"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "make the choices of this seed again; 0: new ones")
	modelSteps = flag.Int("model.steps", 400, "steps on one server; on three it is a third of them")
)

// The model-based test, with three nodes at one server, and at a server each of a cluster. Connections are cut, messages are lost on their
// way, and in the cluster servers are shut down.
func TestModel(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		m := newModelCluster(t)
		m.start(server.Options{})
		hubtest.TestModel(t, hubtest.Options{
			Open: m.open, Seed: *modelSeed, Steps: *modelSteps, Repairs: leastPerTopic, Settle: settleTime,
			Forget: m.forget, NewEpoch: m.newEpoch,
			Fault: m.fault, Faults: 2 + *modelSteps/100,
		})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		m := newModelCluster(t)
		ports := []int{freePort(t), freePort(t), freePort(t)}
		routes := fmt.Sprintf("nats://127.0.0.1:%d,nats://127.0.0.1:%d,nats://127.0.0.1:%d", ports[0], ports[1], ports[2])
		for i, port := range ports {
			m.start(server.Options{
				ServerName: fmt.Sprint("m", i), Routes: server.RoutesFromStr(routes),
				Cluster: server.ClusterOpts{Name: "model", Host: "127.0.0.1", Port: port},
			})
		}
		hubtest.TestModel(t, hubtest.Options{
			Open: m.open, Seed: *modelSeed, Steps: *modelSteps / 3, Repairs: leastPerTopic, Settle: settleTime, Spread: time.Second,
			NewEpoch: m.newEpoch, Fault: m.fault, Faults: 2 + *modelSteps/500,
		})
	})
}

// settleTime leaves time for the guard of topics on which nothing comes any more.
const settleTime = 30 * time.Second

// modelCluster is where the nodes of a model are.
type modelCluster struct {
	*testing.T
	options []server.Options
	servers []*server.Server
	brokers map[int]*Broker
	anew    map[int]bool // nodes that begin a new epoch
}

func newModelCluster(t *testing.T) *modelCluster {
	return &modelCluster{T: t, brokers: make(map[int]*Broker), anew: make(map[int]bool)}
}

// start starts another server, that can be started anew later.
func (m *modelCluster) start(o server.Options) {
	o.Port, o.StoreDir = freePort(m.T), m.TempDir()
	m.options = append(m.options, o)
	m.servers = append(m.servers, startServer(m.T, o))
}

// open opens the broker of a node, which is at the server of its number if there is that, and goes to others when it is down.
func (m *modelCluster) open(node int) (hub.Broker, func(), error) {
	var urls []string
	for i := range m.servers {
		urls = append(urls, m.servers[(node+i)%len(m.servers)].ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), ConnOptions(nats.DontRandomize())...)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b, err := New(ctx, Options{Conn: nc, Replicas: len(m.servers), NewEpoch: m.anew[node]})
	delete(m.anew, node)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	m.brokers[node] = b
	return b, func() {
		b.Close()
		nc.Close()
	}, nil
}

// forget deletes the stream.
func (m *modelCluster) forget() {
	nc := connect(m.T, m.servers[0].ClientURL())
	if _, err := nc.Request("$JS.API.STREAM.DELETE.duplex", nil, startTimeout); err != nil {
		m.Fatal(err)
	}
	m.lookAtStream()
}

// newEpoch has a node begin a new epoch when it is opened the next time.
func (m *modelCluster) newEpoch(node int) {
	m.anew[node] = true
	m.lookAtStream()
}

// lookAtStream has all nodes find out earlier than they do by themselves what has become of the stream, one after the other.
func (m *modelCluster) lookAtStream() {
	after := alarmAfter
	for _, b := range m.brokers {
		time.AfterFunc(after, func() { _ = b.stream.open(b.life, false) }) // else it does so later
		after += alarmAfter
	}
}

// fault does one of the things that happen to networks and servers.
func (m *modelCluster) fault(random *rand.Rand) (what string, mend func()) {
	kinds := 2
	if len(m.servers) > 1 {
		kinds = 4
	}
	switch node := random.IntN(len(m.brokers)); random.IntN(kinds) {
	case 0:
		return m.cut(node)
	case 1:
		return m.deafen(random, node)
	default:
		return m.shutDown(random)
	}
}

// cut ends the connection of a node, which comes back.
func (m *modelCluster) cut(node int) (what string, mend func()) {
	nc := m.brokers[node].nc
	id, err := nc.GetClientID()
	for _, s := range m.servers {
		if err == nil && s.ID() == nc.ConnectedServerId() {
			_ = s.DisconnectClientByID(id) // it may have gone already
		}
	}
	return fmt.Sprintf("the connection of node %d is cut", node), func() {}
}

// deafen has messages lost on their way to a node. Later ones show that, or else the alarm that NATS gives when it has dropped any.
func (m *modelCluster) deafen(random *rand.Rand, node int) (what string, mend func()) {
	fs := m.brokers[node].follows
	var deaf []*follow
	fs.mu.Lock()
	for _, f := range fs.at {
		if f.sub != nil && random.IntN(3) > 0 {
			deaf = append(deaf, f)
			delete(fs.bySub, f.sub)
			_ = f.sub.Unsubscribe() // it may have gone meanwhile
		}
	}
	fs.mu.Unlock()
	return fmt.Sprintf("node %d is deaf", node), func() {
		for _, f := range deaf {
			_ = fs.subscribe(f) // nobody may follow any more
		}
		_ = fs.b.nc.Flush() // without a connection there will be an alarm anyway
		time.AfterFunc(alarmAfter, func() { fs.missed(false) })
	}
}

const alarmAfter = 200 * time.Millisecond

// shutDown stops a server, the leader of the stream as often as not, until it is started again.
func (m *modelCluster) shutDown(random *rand.Rand) (what string, mend func()) {
	i := random.IntN(len(m.servers))
	leader := m.leader()
	if leader >= 0 && random.IntN(2) == 0 {
		i = leader
	}
	m.servers[i].Shutdown()
	m.servers[i].WaitForShutdown()
	return fmt.Sprintf("server %d is shut down, where the leader is %d", i, leader), func() { m.servers[i] = startServer(m.T, m.options[i]) }
}

// leader returns which server leads the stream, or -1.
func (m *modelCluster) leader() int {
	return slices.IndexFunc(m.servers, func(s *server.Server) bool {
		return s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "duplex")
	})
}
