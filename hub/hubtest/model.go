package hubtest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Options says what TestModel does, and to what.
type Options struct {
	// Open opens the broker of a node: at first, and again each time it has been closed. All nodes share what is stored. Required.
	Open func(node int) (b hub.Broker, close func(), err error)
	// Nodes is how many hubs there are, each on a broker of its own; default 3.
	Nodes int
	// Seed makes the same choices again; default a random one, which is told when the test fails.
	Seed uint64
	// Steps is how much is done; default 1,000.
	Steps int
	// Settle is how long it may take, when nobody does anything any more, until everybody knows everything; default 10 s.
	Settle time.Duration
	// Spread is how long it may take until the other nodes know of a subscription to what is not kept; default 0: it is known at once.
	Spread time.Duration
	// Repairs is how many messages of a topic can be missed and had again; default 256.
	Repairs int
	// Fault breaks something for which publications and subscriptions may fail, and returns what mends it. It says what it was. It is called
	// Faults times; default none.
	Fault  func(random *rand.Rand) (what string, mend func())
	Faults int
	// Forget makes a running broker forget everything, so that it begins a new epoch, and NewEpoch makes it begin one with what it has, as
	// node is opened the next time. All nodes find out within Settle. Each is called once; default never.
	Forget   func()
	NewEpoch func(node int)
	// Placed says that messages of topics that keep nothing have offsets, too.
	Placed bool
}

func (o Options) withDefaults() Options {
	o.Nodes = cmp.Or(o.Nodes, 3)
	o.Seed = cmp.Or(o.Seed, rand.Uint64())
	o.Steps = cmp.Or(o.Steps, 1000)
	o.Settle = cmp.Or(o.Settle, 10*time.Second)
	o.Repairs = cmp.Or(o.Repairs, 256)
	return o
}

const (
	modelPeople  = 8
	settleEvery  = 60 // steps
	modelTimeout = 30 * time.Second
)

// TestModel does random things to several hubs, each on a broker of its own, and holds what comes of it against a naive model: the list of
// everything that was published, and where it was stored. Every message must have been delivered once and in order to each stream that
// wanted it, or lie in a gap that the stream was told of; and a gap is told only of what is lost. It takes real time.
func TestModel(t *testing.T, o Options) {
	w := &world{T: t, Options: o.withDefaults(), began: time.Now(), news: make(chan struct{}, 1)}
	w.random = rand.New(rand.NewPCG(w.Seed, 0))
	w.log = newLog(w.Placed)
	defer func() {
		if t.Failed() {
			t.Errorf("the seed was %d, with %d steps", w.Seed, w.Steps)
		}
	}()
	for i := range w.Nodes {
		w.nodes = append(w.nodes, &modelNode{world: w, number: i})
		w.nodes[i].open()
	}
	defer func() {
		for _, n := range w.nodes {
			n.close()
		}
	}()
	for i := range modelPeople {
		w.people = append(w.people, &person{
			world: w, session: fmt.Sprint("s", i), user: fmt.Sprint("u", i*3/4), streams: make(map[string]*modelStream), room: -1,
		})
	}
	w.prime()
	w.run()
}

// world is everything there is.
type world struct {
	*testing.T
	Options
	random *rand.Rand
	began  time.Time
	nodes  []*modelNode
	people []*person
	news   chan struct{} // holds one when something has been delivered
	shaky  atomic.Bool   // something is broken, so calls may fail
	mend   func()
	faults []interval

	log *modelLog

	mu    sync.Mutex
	reads []*reading // not yet checked; guarded by mu
}

// interval is when something was broken.
type interval struct {
	what     string
	from, to time.Time
}

// modelNode is a hub and its broker.
type modelNode struct {
	world  *world
	number int
	hub    *hub.Hub
	broker hub.Broker
	finish func()
	life   int // how often it was opened
}

func (n *modelNode) open() {
	n.world.Helper()
	b, finish, err := n.world.Open(n.number)
	if err != nil {
		n.world.Fatalf("node %d: %v", n.number, err)
	}
	n.broker, n.finish = b, finish
	n.life++
	n.hub, err = hub.New(hub.Options{Topics: modelRules(), Broker: &spy{Broker: b, world: n.world}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.world.Fatalf("node %d: %v", n.number, err)
	}
}

func (n *modelNode) close() {
	if n.hub == nil {
		return
	}
	n.hub.Close()
	n.finish()
	n.hub = nil
}

// prime publishes to every topic, so that a broker has been made ready for what each of them keeps.
func (w *world) prime() {
	ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
	defer cancel()
	for _, topic := range modelTopics {
		if err := w.publish(ctx, w.nodes[0], nil, w.log.add(&sent{topic: topic})); err != nil {
			w.Fatal(err)
		}
	}
}

// run does the steps.
func (w *world) run() {
	faultEvery := w.Steps / (w.Faults + 1)
	once := w.epochs()
	for i := 1; i <= w.Steps && !w.Failed(); i++ {
		w.step()
		switch at := i % faultEvery; {
		case w.mend != nil && at == faultEvery/4:
			w.mendIt()
		case w.mend != nil:
		case len(once) > 0 && i >= w.Steps/(len(once)+1):
			w.beginAnew(once[0])
			once = once[1:]
		case w.Fault != nil && at == 0 && i < w.Steps:
			w.breakSomething()
		case i%settleEvery == 0:
			w.settle()
		}
	}
	if w.Failed() {
		return
	}
	w.mendIt()
	w.settle()
	w.checkEnd()
}

// epochs returns what makes the broker begin a new epoch.
func (w *world) epochs() (ways []func()) {
	if w.NewEpoch != nil {
		ways = append(ways, func() {
			n := w.nodes[w.random.IntN(len(w.nodes))]
			w.NewEpoch(n.number)
			w.reopen(n)
			for range 30 {
				w.someone().act(w.random)
			}
		})
	}
	if w.Forget != nil {
		ways = append(ways, func() {
			w.log.newLife()
			w.Forget()
		})
	}
	return ways
}

// step does one random thing.
func (w *world) step() {
	switch n := w.random.IntN(1000); {
	case n < 955:
		w.someone().act(w.random)
	case n < 975:
		w.storm()
	case n < 980:
		w.flood(w.Repairs * 5 / 4)
	case n < 990 && !w.shaky.Load():
		w.reopen(w.nodes[w.random.IntN(len(w.nodes))])
	case n < 991:
		time.Sleep(time.Duration(w.random.IntN(int(youngAge)))) // lets messages grow old
	}
}

func (w *world) someone() *person { return w.people[w.random.IntN(len(w.people))] }

// storm lets everybody do things at the same time.
func (w *world) storm() {
	var all sync.WaitGroup
	for _, p := range w.people {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 1))
		all.Go(func() {
			for range 12 {
				p.act(random)
			}
		})
	}
	all.Wait()
}

// flood publishes so much to one topic, at all nodes at the same time, that brokers which keep more than they must have to give some up.
func (w *world) flood(messages int) {
	topic := "mix.big.a" // of which a broker has to keep most
	if w.random.IntN(2) == 0 {
		topic = pick(w.random, modelTopics)
	}
	var all sync.WaitGroup
	for i := range 8 {
		p := w.people[i%len(w.people)]
		random := rand.New(rand.NewPCG(w.random.Uint64(), 2))
		all.Go(func() {
			for range messages / 8 {
				p.publish(random, topic)
			}
		})
	}
	all.Wait()
}

// reopen closes a node and opens it anew. Who was there has to come back.
func (w *world) reopen(n *modelNode) {
	for _, p := range w.people {
		if p.node == n {
			p.leave()
		}
	}
	n.close()
	n.open()
}

// breakSomething begins a fault.
func (w *world) breakSomething() {
	w.settle()
	w.shaky.Store(true)
	from := time.Now()
	what, mend := w.Fault(w.random)
	w.faults = append(w.faults, interval{what: what, from: from})
	w.mend = mend
	if w.random.IntN(4) == 0 { // more than can be had again
		w.flood(3 * w.Repairs)
	}
}

// mendIt ends a fault, if there is one, and waits until the nodes work again.
func (w *world) mendIt() {
	if w.mend == nil {
		return
	}
	w.mend()
	w.mend = nil
	for range 20 { // while it recovers
		w.someone().act(w.random)
	}
	w.recover()
	w.faults[len(w.faults)-1].to = time.Now()
	w.shaky.Store(false)
}

// recover waits until every node can publish and read again.
func (w *world) recover() {
	deadline := time.Now().Add(modelTimeout)
	for _, n := range w.nodes {
		for {
			err := w.try(n)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				w.Fatalf("node %d does not work %v after %s was mended: %v", n.number, modelTimeout, w.faults[len(w.faults)-1].what, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func (w *world) try(n *modelNode) error {
	ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
	defer cancel()
	if err := w.publish(ctx, n, nil, w.log.add(&sent{topic: "mix.a"})); err != nil {
		return err
	}
	_, err := n.broker.Read(ctx, hub.ReadQuery{Topic: "mix.a", Limit: 1, Keeps: retentionOf})
	return err
}

// beginAnew has the broker begin a new epoch.
func (w *world) beginAnew(change func()) {
	w.settle()
	w.shaky.Store(true)
	before := w.log.knownEpochs()
	w.faults = append(w.faults, interval{what: beginAnew, from: time.Now()})
	change()
	w.recover()
	deadline := time.Now().Add(w.Settle)
	for _, n := range w.nodes {
		for {
			log, err := n.broker.Read(context.Background(), hub.ReadQuery{Topic: "mix.a", Keeps: retentionOf})
			if err == nil && !slices.Contains(before, log.Top.Epoch) {
				break
			}
			if time.Now().After(deadline) {
				w.Fatalf("node %d has not found out in %v that the broker began anew", n.number, w.Settle)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	w.prime()
	w.faults[len(w.faults)-1].to = time.Now()
	w.shaky.Store(false)
}

const beginAnew = "begin anew"

// broken reports whether something was broken at any time in between.
func (w *world) broken(from, to time.Time) bool {
	for _, f := range w.faults {
		if !f.from.After(to) && (f.to.IsZero() || !f.to.Before(from)) {
			return true
		}
	}
	return false
}

// tell wakes up whoever waits for news.
func (w *world) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
