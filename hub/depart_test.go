package hub

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// far is a broker beyond a network: what subscriptions need of it takes 2 ms.
type far struct {
	*MemoryBroker
	busy, most, follows atomic.Int64
}

func (f *far) take() func() {
	for n := f.busy.Add(1); ; {
		if most := f.most.Load(); n <= most || f.most.CompareAndSwap(most, n) {
			break
		}
	}
	time.Sleep(2 * time.Millisecond)
	return func() { f.busy.Add(-1) }
}

func (f *far) Follow(context.Context, Node, string) error { f.follows.Add(1); return nil }

func (f *far) Unfollow(Node, string) {
	defer f.take()()
	f.follows.Add(-1)
}

func (f *far) Leave(ctx context.Context, n Node, topic, user string) error {
	defer f.take()()
	return f.MemoryBroker.Leave(ctx, n, topic, user)
}

// When a network goes, thousands do at once. Nobody waits for a broker that takes its time, and it is not flooded.
func TestThousandsGo(t *testing.T) {
	for name, goes := range map[string]func(*Subscriber){
		"closed": (*Subscriber).Close, "lost": func(s *Subscriber) { s.Suspend(5 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const people = 10_000
				b := &far{MemoryBroker: NewMemoryBroker(MemoryOptions{})}
				o := one(TopicOptions{Presence: PresenceCount})
				o.Broker = b
				f := newFixture(t, o)
				all := make([]*Subscriber, people)
				for i := range all {
					var err error
					id := fmt.Sprint(i)
					if all[i], err = f.hub.Connect(Connecting{Session: id, Identity: Identity{User: id}, Sink: newInbox()}); err != nil {
						t.Fatal(err)
					}
					f.subscribe(all[i], "room", SubscribeOptions{})
				}
				began := time.Now()
				for _, s := range all {
					goes(s)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("they waited for %v", took)
				}
				time.Sleep(5*time.Second + 2*2*time.Millisecond*people/maxLeaving + time.Second)
				p, err := f.hub.Presence(t.Context(), "room")
				if err != nil || p.Connections != 0 || b.follows.Load() != 0 {
					t.Errorf("left behind: %+v, %v, %d", p, err, b.follows.Load())
				}
				if most := b.most.Load(); most > maxLeaving {
					t.Errorf("%d calls at a time", most)
				}
				synctest.Wait()
				d := &f.hub.departures
				d.mu.Lock()
				defer d.mu.Unlock()
				if d.workers != 0 || d.waiting != nil {
					t.Errorf("%d workers are left, and %d departures", d.workers, len(d.waiting))
				}
			})
		})
	}
}

// stuck is a broker that never answers, but for what it was told.
type stuck struct {
	*MemoryBroker
	told atomic.Int64
}

func (s *stuck) Leave(ctx context.Context, n Node, topic, user string) error {
	s.told.Add(1)
	_ = s.MemoryBroker.Leave(ctx, n, topic, user)
	<-ctx.Done()
	return ctx.Err()
}

// A broker that does not answer does not make those who have gone wait for ever.
func TestBrokerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const people, topics = 400, 100
		b := &stuck{MemoryBroker: NewMemoryBroker(MemoryOptions{})}
		o := one(TopicOptions{Presence: PresenceCount})
		o.Broker, o.Logger = b, slog.New(slog.DiscardHandler)
		f := newFixture(t, o)
		var all []*Subscriber
		for i := range people {
			s, _ := f.connect(fmt.Sprint(i), "ann")
			for topic := range topics {
				f.subscribe(s, fmt.Sprint("t", topic), SubscribeOptions{})
			}
			all = append(all, s)
		}
		began := time.Now()
		for _, s := range all {
			s.Close()
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("they waited for %v", took)
		}
		time.Sleep(time.Minute)
		if left := people*topics - int(b.told.Load()); left > manyLeaving {
			t.Errorf("after a minute %d wait", left)
		}
		f.hub.Close() // ends the rest
		time.Sleep(time.Minute)
	})
}
