package natsbroker

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// try has a user come, or go, through a node, and is not put off by servers that are away for a while.
func (s *spy) try(enter bool, topic, user string) {
	s.t.Helper()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
		if !enter {
			_ = s.b.Leave(s.t.Context(), s, topic, user) // it is done in the end
			return
		}
		err := s.b.Enter(s.t.Context(), s, topic, hub.Publisher{User: user}, false)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s cannot enter: %v", user, err)
			return
		}
	}
}

// Three servers, with a broker at each; users come and go while the server that leads the bucket is stopped.
func TestPresenceInCluster(t *testing.T) {
	var options []server.Options
	var servers []*server.Server
	var routes []string
	for i := range 3 {
		port := freePort(t)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
		options = append(options, server.Options{
			ServerName: fmt.Sprint("s", i), StoreDir: t.TempDir(), Port: freePort(t), Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
		})
	}
	for i := range options {
		options[i].Routes = server.RoutesFromStr(strings.Join(routes, ","))
		servers = append(servers, startServer(t, options[i]))
	}
	o := Options{Name: newName(), Replicas: 3}
	var nodes []*spy
	for i := range servers {
		nodes = append(nodes, attachSpy(t, openRoster(t, o, automatic(), servers[i], servers[(i+1)%3], servers[(i+2)%3])))
	}
	for _, n := range nodes {
		n.watch("t")
	}
	m := &model{connections: make(map[string]int)}
	churn(t, m, "t", 100, 30, nodes...)
	agree(t, m, "t", nodes...)
	info, err := nodes[0].b.roster.bucket.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	led := 0
	for servers[led].Name() != info.Cluster.Leader {
		led++
	}
	var working sync.WaitGroup
	for at, n := range nodes {
		for w := range 5 {
			working.Go(func() {
				for i := range 20 {
					user := fmt.Sprintf("at %d, %d of %d", at, i, w)
					n.try(true, "t", user)
					m.add(user, 1)
					if i%2 == 0 {
						n.try(false, "t", user)
						m.add(user, -1)
					}
				}
			})
		}
	}
	servers[led].Shutdown()
	servers[led].WaitForShutdown()
	working.Wait()
	agree(t, m, "t", nodes...)
	for _, n := range nodes {
		var kept bool
		eventually(t, "a renewal", func() bool {
			var err error
			kept, err = n.b.Renew(t.Context(), n)
			return err == nil
		})
		if !kept {
			t.Error("a lease was over")
		}
	}
	servers[led] = startServer(t, options[led])
	eventually(t, "three servers that are up to date", func() bool {
		info, err := nodes[0].b.roster.bucket.open(t.Context(), false)
		if err != nil || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			return false
		}
		return info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
	})
	agree(t, m, "t", nodes...)
}
