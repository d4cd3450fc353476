package natsbroker

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

// benchNode is a node that counts what reaches it.
type benchNode struct {
	hub.Node // nil: nothing else is asked of it here
	got      atomic.Int64
}

func (n *benchNode) Deliver(string, *hub.Message)              { n.got.Add(1) }
func (*benchNode) Missed(string, hub.GapReason, hub.Position)  {}
func (*benchNode) PresenceChanged(string, hub.Publisher, bool) {}
func (*benchNode) Keeps(string) bool                           { return true }
func (n *benchNode) waitFor(b *testing.B, many int64, what string) {
	b.Helper()
	for end := time.Now().Add(startTimeout); n.got.Load() < many; runtime.Gosched() {
		if time.Now().After(end) {
			b.Fatalf("%d of %d %s", n.got.Load(), many, what)
		}
	}
}

var (
	benchData = []byte(`"` + strings.Repeat("a", 126) + `"`)
	benchKeep = hub.Retention{Messages: 100, Age: time.Hour, Bytes: 1 << 20, Window: 2 * time.Minute, WindowIDs: 10_000}
)

// benchBrokers calls f for the memory broker, for brokers on one server, and for three brokers on three servers.
func benchBrokers(b *testing.B, f func(b *testing.B, brokers []hub.Broker)) {
	b.Run("memory", func(b *testing.B) { f(b, []hub.Broker{hub.NewMemoryBroker(hub.MemoryOptions{})}) })
	b.Run("one", func(b *testing.B) {
		f(b, []hub.Broker{openBroker(b, Options{Name: newName()}, startServer(b, server.Options{}))})
	})
	b.Run("three", func(b *testing.B) {
		var brokers []hub.Broker
		name := newName()
		for _, s := range startCluster(b) {
			brokers = append(brokers, openBroker(b, Options{Name: name, Replicas: 3}, s))
		}
		f(b, brokers)
	})
}

// benchPublish publishes b.N messages to some topics, so many at a time.
func benchPublish(b *testing.B, broker hub.Broker, inFlight, topics int, r hub.Retention) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				m := &hub.Message{Topic: fmt.Sprint("bench.", n%int64(topics)), Data: benchData}
				if _, err := broker.Publish(context.Background(), m, r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// BenchmarkPublish is an acknowledged publication to one of 100 topics which nobody follows.
func BenchmarkPublish(b *testing.B) {
	benchBrokers(b, func(b *testing.B, brokers []hub.Broker) {
		for _, inFlight := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
				b.ReportAllocs()
				benchPublish(b, brokers[0], inFlight, 100, benchKeep)
			})
		}
	})
}

// BenchmarkDeliver is a publication and its delivery to so many of the brokers' nodes.
func BenchmarkDeliver(b *testing.B) {
	benchBrokers(b, func(b *testing.B, brokers []hub.Broker) {
		for following := range len(brokers) + 1 {
			for _, kept := range []bool{true, false} {
				b.Run(fmt.Sprintf("nodes=%d,kept=%v", following, kept), func(b *testing.B) {
					var nodes []*benchNode
					for _, broker := range brokers[:following] {
						nodes = append(nodes, benchFollow(b, broker, 100))
					}
					r := benchKeep
					if !kept {
						r = hub.Retention{}
					}
					b.ReportAllocs()
					b.ResetTimer()
					benchPublish(b, brokers[0], 64, 100, r)
					for _, n := range nodes {
						n.waitFor(b, int64(b.N), "messages were delivered")
					}
				})
			}
		}
	})
}

// benchFollow attaches a node that follows some topics until the benchmark ends.
func benchFollow(b *testing.B, broker hub.Broker, topics int) *benchNode {
	b.Helper()
	n := &benchNode{}
	detach, err := broker.Attach(n)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(detach)
	inParallel(b, topics, 64, func(i int) error { return broker.Follow(context.Background(), n, fmt.Sprint("bench.", i)) })
	return n
}

// inParallel calls f for the numbers below n.
func inParallel(b *testing.B, n, workers int, f func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, workers) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkRead is what a client does that comes back: it reads what came behind the last message that it has.
func BenchmarkRead(b *testing.B) {
	const topics, rounds = 1000, 40
	keeps := func(string) hub.Retention { return benchKeep }
	benchBrokers(b, func(b *testing.B, brokers []hub.Broker) {
		var published [rounds][topics]hub.Position
		for round := range published {
			inParallel(b, topics, topics, func(i int) error {
				m := &hub.Message{Topic: fmt.Sprint("bench.", i), Data: benchData}
				receipt, err := brokers[0].Publish(context.Background(), m, benchKeep)
				published[round][i] = receipt.Position
				return err
			})
		}
		broker := brokers[len(brokers)-1]
		for _, missed := range []int{0, 10} {
			b.Run(fmt.Sprintf("missed=%d", missed), func(b *testing.B) {
				b.ReportAllocs()
				inParallel(b, b.N, 64, func(i int) error {
					since := &published[rounds-1-missed][i%topics]
					log, err := broker.Read(context.Background(), hub.ReadQuery{Topic: fmt.Sprint("bench.", i%topics), Since: since, Keeps: keeps, Least: time.Hour})
					if err == nil && (len(log.Messages) != missed || !log.Lost.IsZero()) {
						err = fmt.Errorf("%d messages instead of %d, lost %v", len(log.Messages), missed, log.Lost)
					}
					return err
				})
			})
		}
	})
}

// BenchmarkFollow is a topic that a node begins to follow. bytes/topic is what stays on the heap, with that of the NATS servers, which are in this process.
func BenchmarkFollow(b *testing.B) {
	benchBrokers(b, func(b *testing.B, brokers []hub.Broker) {
		n := &benchNode{}
		detach, err := brokers[0].Attach(n)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(detach)
		before := heap()
		b.ReportAllocs()
		b.ResetTimer()
		inParallel(b, b.N, 64, func(i int) error { return brokers[0].Follow(context.Background(), n, fmt.Sprint("bench.", i)) })
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/float64(b.N), "bytes/topic")
	})
}

// heap returns the bytes that are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
