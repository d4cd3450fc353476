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
	modelSteps = flag.Int("model.steps", 1200, "steps on one server; on three it is a third of them")
)

// The model-based test, with three nodes at one server, and at a server each of a cluster, one of which is now and then shut down.
func TestModel(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		m := &modelCluster{T: t}
		m.start(server.Options{})
		hubtest.TestModel(t, hubtest.Options{
			Open: m.open, Seed: *modelSeed, Steps: *modelSteps, Repairs: leastPerTopic, Anew: m.anew,
		})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		m := &modelCluster{T: t}
		ports := []int{freePort(t), freePort(t), freePort(t)}
		routes := fmt.Sprintf("nats://127.0.0.1:%d,nats://127.0.0.1:%d,nats://127.0.0.1:%d", ports[0], ports[1], ports[2])
		for i, port := range ports {
			m.start(server.Options{
				ServerName: fmt.Sprint("m", i), Routes: server.RoutesFromStr(routes),
				Cluster: server.ClusterOpts{Name: "model", Host: "127.0.0.1", Port: port},
			})
		}
		hubtest.TestModel(t, hubtest.Options{
			Open: m.open, Seed: *modelSeed, Steps: *modelSteps / 3, Repairs: leastPerTopic, Spread: time.Second,
			Settle: 30 * time.Second, Fault: m.fault, Faults: 1 + *modelSteps/2000,
		})
	})
}

// modelCluster is where the nodes of a model are.
type modelCluster struct {
	*testing.T
	options []server.Options
	servers []*server.Server
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
	b, err := New(ctx, Options{Conn: nc, Replicas: len(m.servers)})
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return b, func() {
		b.Close()
		nc.Close()
	}, nil
}

// anew deletes the stream.
func (m *modelCluster) anew() {
	nc := connect(m.T, m.servers[0].ClientURL())
	if _, err := nc.Request("$JS.API.STREAM.DELETE.duplex", nil, startTimeout); err != nil {
		m.Fatal(err)
	}
}

// fault shuts down a server, the leader of the stream as often as not.
func (m *modelCluster) fault(random *rand.Rand) (what string, mend func()) {
	i := random.IntN(len(m.servers))
	if leader := m.leader(); leader >= 0 && random.IntN(2) == 0 {
		i = leader
	}
	s := m.servers[i]
	what = fmt.Sprintf("server %d shut down, where the leader is at %d", i, m.leader())
	s.Shutdown()
	s.WaitForShutdown()
	return what, func() { m.servers[i] = startServer(m.T, m.options[i]) }
}

// leader returns which server leads the stream, or -1.
func (m *modelCluster) leader() int {
	return slices.IndexFunc(m.servers, func(s *server.Server) bool {
		return s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "duplex")
	})
}
