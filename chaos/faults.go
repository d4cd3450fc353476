package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// kind is a kind of fault.
type kind struct {
	name     string
	of       target
	long     bool             // not in the short form
	alone    bool             // no other fault at the same time
	min, max time.Duration    // how long it lasts
	needs    func(*run) error // why it is not possible here; nil: it always is
	// begin begins it, and returns what it did and what ends it. ctx ends with the run; end works then, too.
	begin func(ctx context.Context, r *run, random *rand.Rand) (what string, end func() error, err error)
}

// target is what a fault is done to. Faults of one target do not overlap.
type target uint8

const (
	ofNodes target = iota
	ofNATS
	ofLinks
	ofClients
)

var kinds = []kind{
	{name: "kill-node", of: ofNodes, min: time.Second, max: 6 * time.Second, begin: killNode},
	{name: "kill-nats", of: ofNATS, min: time.Second, max: 6 * time.Second, needs: servers, begin: killNATS(false)},
	{name: "kill-leader", of: ofNATS, min: time.Second, max: 6 * time.Second, needs: servers, begin: killNATS(true)},
	{name: "kill-all-nats", of: ofNATS, alone: true, min: time.Second, max: 3 * time.Second, needs: servers, begin: killAllNATS},
	{name: "cut", of: ofLinks, min: 3 * time.Second, max: 12 * time.Second, needs: several, begin: cutTwo},
	{name: "split", of: ofLinks, min: 3 * time.Second, max: 10 * time.Second, needs: several, begin: split},
	{name: "isolate-node", of: ofLinks, min: 3 * time.Second, max: 10 * time.Second, begin: isolateNode},
	{name: "isolate-nats", of: ofLinks, min: 3 * time.Second, max: 10 * time.Second, needs: servers, begin: isolateNATS},
	{name: "slow-link", of: ofLinks, min: 4 * time.Second, max: 10 * time.Second, begin: slowLink},
	{name: "full-disk", of: ofNATS, min: 3 * time.Second, max: 8 * time.Second, needs: disks, begin: fullDisk},
	{name: "slow-disk", of: ofNATS, min: 4 * time.Second, max: 8 * time.Second, needs: servers, begin: slowDisk},
	{name: "pause-node", of: ofNodes, min: 2 * time.Second, max: 8 * time.Second, begin: pauseNode},
	{name: "pause-nats", of: ofNATS, min: 2 * time.Second, max: 8 * time.Second, needs: servers, begin: pauseNATS},
	{name: "rolling-restart", of: ofNodes, alone: true, begin: rollingRestart},
	{name: "restart-clients", of: ofClients, begin: restartClients},
	{name: "pause-beyond-lease", of: ofNodes, long: true, alone: true, min: 40 * time.Second, max: 40 * time.Second, needs: several, begin: pauseBeyondLease},
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].name
	}
	return names
}

func servers(r *run) error {
	if len(r.world.nats) == 0 {
		return errors.New("there are no NATS servers of their own")
	}
	return nil
}

func several(r *run) error {
	if len(r.world.nodes) < 2 {
		return errors.New("there is only one node")
	}
	return nil
}

func disks(r *run) error {
	if !r.world.tmpfs {
		return errors.New("it needs file systems of its own, and so namespaces; TestFullStream shows a store without room")
	}
	return servers(r)
}

func nothing() error { return nil }

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func killNode(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	d := pick(random, r.world.nodes)
	return "kill -9 of node " + d.name, d.start, d.kill()
}

// victim returns a NATS server: the leader of the stream, or another one.
func (r *run) victim(random *rand.Rand, leader bool) (n *natsServer, what string) {
	one := pick(random, r.world.nats)
	leads := r.world.leader()
	switch {
	case leads == nil:
		return one, one.name
	case leader:
		return leads, leads.name + ", which leads the stream"
	}
	for one == leads {
		one = pick(random, r.world.nats)
	}
	return one, one.name
}

func killNATS(leader bool) func(context.Context, *run, *rand.Rand) (string, func() error, error) {
	return func(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
		n, name := r.victim(random, leader)
		return "kill -9 of NATS server " + name, n.start, n.kill()
	}
}

func killAllNATS(_ context.Context, r *run, _ *rand.Rand) (string, func() error, error) {
	each := func(do func(*natsServer) error) error {
		errs := make([]error, len(r.world.nats))
		var wg sync.WaitGroup
		for i, n := range r.world.nats {
			wg.Go(func() { errs[i] = do(n) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	return "kill -9 of all NATS servers at once", func() error { return each((*natsServer).start) }, each((*natsServer).kill)
}

// machines returns the names of all machines but this one.
func (w *world) machines() []string {
	var all []string
	for _, n := range w.nats {
		all = append(all, n.name)
	}
	for _, d := range w.nodes {
		all = append(all, d.name)
	}
	return all
}

func cutTwo(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	all := r.world.machines()
	two := random.Perm(len(all))[:2]
	a, b := all[two[0]], all[two[1]]
	if a[0] == 'd' && b[0] == 'd' && len(r.world.nats) > 0 {
		b = pick(random, r.world.nats).name // nodes do not speak to each other
	}
	return "cut between " + a + " and " + b, func() error { return r.world.network.mend(a, b) }, r.world.network.cut(a, b)
}

// split divides the network: a NATS server and a node can only speak to each other, and the clients to everybody.
func split(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	w := r.world
	few := []string{pick(random, w.nodes).name}
	if len(w.nats) > 0 {
		few = append(few, pick(random, w.nats).name)
	}
	var pairs [][2]string
	for _, m := range w.machines() {
		for _, f := range few {
			if !slices.Contains(few, m) {
				pairs = append(pairs, [2]string{f, m})
			}
		}
	}
	each := func(do func(a, b string) error) error {
		var all []error
		for _, p := range pairs {
			all = append(all, do(p[0], p[1]))
		}
		return errors.Join(all...)
	}
	return fmt.Sprint("split of ", few, " from all others but the clients"), func() error { return each(w.network.mend) }, each(w.network.cut)
}

func isolateNode(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	d := pick(random, r.world.nodes).name
	return "node " + d + " off the network", func() error { return r.world.network.rejoin(d) }, r.world.network.isolate(d)
}

func isolateNATS(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	n, name := r.victim(random, random.IntN(2) == 0)
	return "NATS server " + name + ", off the network", func() error { return r.world.network.rejoin(n.name) }, r.world.network.isolate(n.name)
}

func slowLink(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	m := pick(random, r.world.machines())
	how, err := r.world.network.slow(m)
	return fmt.Sprintf("slow links of %s (%s)", m, how), func() error { return r.world.network.fast(m) }, err
}

// fullDisk fills the file system of a NATS server, which gives up JetStream then. When there is room again, the server is started again, as
// nats-server wants it.
func fullDisk(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	n, name := r.victim(random, random.IntN(2) == 0)
	filler := filepath.Join(r.world.disk(n.name), "filler")
	err := fill(filler)
	return "full disk of NATS server " + name, func() error {
		return errors.Join(os.Remove(filler), n.stop(stopWithin), n.start())
	}, err
}

// fill writes until there is no room.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int64{1 << 20, 1 << 10, 1} {
		block := make([]byte, size)
		for written := int64(0); err == nil && written < 2*diskSize; written += size {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("the disk does not get full: %w", errors.Join(err, io.ErrShortWrite))
		}
		err = nil
	}
	return nil
}

// slowDisk lets a NATS server work in short bursts only: to others it looks like one whose disk takes its time.
func slowDisk(ctx context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	n, name := r.victim(random, random.IntN(2) == 0)
	pulsing, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- pulse(pulsing, &n.process) }()
	return "slow NATS server " + name + " (stopped for 400 ms out of 500)", func() error {
		stop()
		return <-done
	}, nil
}

func pulse(ctx context.Context, p *process) error {
	for ctx.Err() == nil {
		if err := p.pause(); err != nil {
			return err
		}
		pause(ctx, 400*time.Millisecond)
		if err := p.resume(); err != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

func pauseNode(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	d := pick(random, r.world.nodes)
	return "pause of node " + d.name, d.resume, d.pause()
}

func pauseNATS(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	n, name := r.victim(random, random.IntN(2) == 0)
	return "pause of NATS server " + name, n.resume, n.pause()
}

// rollingRestart restarts all nodes as an upgrade does: each is asked to end, drains, and is ready again before the next one's turn.
func rollingRestart(ctx context.Context, r *run, _ *rand.Rand) (string, func() error, error) {
	return "rolling restart of all nodes, with drain", func() error {
		for _, d := range r.world.nodes {
			if err := errors.Join(d.stop(stopWithin), d.start()); err != nil {
				return err
			}
			if err := await(ctx, readyWithin, d.name+" to be ready", func() string {
				if !r.world.balancer.isReady(d.name) {
					return "it is not"
				}
				return ""
			}); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func restartClients(_ context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	var names []string
	for _, n := range random.Perm(len(r.specs))[:max(1, len(r.specs)/10)] {
		names = append(names, r.specs[n].Name)
	}
	what := fmt.Sprintf("%d clients start again with the positions that they have", len(names))
	for _, a := range r.agents {
		if err := a.do(order{Do: "restart", Names: names}); err != nil {
			return what, nothing, err
		}
	}
	return what, nothing, nil
}

// pauseBeyondLease stops a node for longer than its lease: who is present through it only has to leave, and to come back with it.
func pauseBeyondLease(ctx context.Context, r *run, random *rand.Rand) (string, func() error, error) {
	n := random.IntN(len(r.world.nodes))
	d, user := r.world.nodes[n], r.watchers[n].user
	others := slices.Delete(slices.Clone(r.watchers), n, n+1)
	return "pause of node " + d.name + " beyond its lease", func() error {
		r.presence.check(ctx, user+" has left, as its node has been stopped for 40 s", others, leftWithin, without(user))
		if err := d.resume(); err != nil {
			return err
		}
		r.presence.check(ctx, user+" is back with its node", r.watchers, backWithin, with(user))
		return nil
	}, d.pause()
}

// leftWithin is how long it may take beyond the pause, which is longer than a lease, until all know: the node may have led what keeps the leases.
const leftWithin = 15 * time.Second

// backWithin is how long it may take a node to find that its lease is over and to enter everybody again: a renewal, and some work.
const backWithin = 20 * time.Second
