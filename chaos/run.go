package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/client"
)

// run is one run of the suite.
type run struct {
	options  *options
	out      io.Writer
	began    time.Time
	world    *world
	specs    []clientSpec
	agents   []*agent
	watchers []*watcher
	presence presenceChecks

	mu        sync.Mutex
	faults    []*happened
	skipped   []string // kinds of faults that are not possible here
	converged time.Duration
}

// say prints a line with the time since the beginning.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// do does everything: it starts the world and the clients, lets faults come, waits until all is well again, and asks the clients what
// they have got. The error says what is lost or was never explained.
func (o *options) do(ctx context.Context, repository string, out io.Writer) error {
	r := &run{options: o, out: out, began: time.Now()}
	var err error
	if r.world, err = newWorld(o, repository); err != nil {
		return err
	}
	err = r.live(ctx)
	for _, a := range r.agents {
		err = cmp.Or(err, a.exit())
	}
	for _, w := range r.watchers {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = w.client.Close(ended)
	}
	err = cmp.Or(err, r.world.stop())
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	r.findPanics()
	return errors.Join(err, r.report())
}

// live is everything between the start and the end.
func (r *run) live(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	possible, skipped := r.possibleKinds()
	r.skipped = skipped
	plans := makeSchedule(possible, rand.New(rand.NewPCG(r.options.seed, 1)), r.options)
	fmt.Fprintf(r.out, "schedule of seed %d:\n", r.options.seed)
	for i := range plans {
		fmt.Fprintf(r.out, "  %2d. %s\n", i+1, &plans[i])
	}
	r.carryOut(ctx, plans)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.say("no more faults; %s", r.progress())
	return r.finish(ctx)
}

// begin starts everything, until every subscription has begun and publications come.
func (r *run) begin(ctx context.Context) error {
	o := r.options
	r.say("topology %s, %s", o.topology, r.world.network.describe())
	if err := r.world.start(ctx); err != nil {
		return err
	}
	var err error
	random := rand.New(rand.NewPCG(o.seed, 2))
	if r.specs, err = makeClients(o, random, "ws://"+r.world.balancer.address()+"/ws", r.world.token); err != nil {
		return err
	}
	if err := r.startAgents(); err != nil {
		return err
	}
	for _, d := range r.world.nodes {
		starting, cancel := context.WithTimeout(ctx, readyWithin)
		w, err := newWatcher(starting, d.name, r.world.network.reach(self, d.name, serviceHTTP), r.world.token)
		cancel()
		if err != nil {
			return err
		}
		r.watchers = append(r.watchers, w)
	}
	subs := 0
	for i := range r.specs {
		subs += len(r.specs[i].Subs)
	}
	if err := await(ctx, readyWithin, "the subscriptions to begin", func() string {
		if s := sum(r.agents); s.Begun < subs {
			return fmt.Sprintf("%d of %d have", s.Begun, subs)
		}
		return ""
	}); err != nil {
		return err
	}
	r.presence.check(ctx, "everybody is in the room", r.watchers, readyWithin, exactly(r.members()))
	r.say("%d clients with %d subscriptions of %d topics are there", len(r.specs), subs, o.topics)
	return r.order("publish")
}

// members returns who is in the room when all is well.
func (r *run) members() []string {
	users := inRoom(r.specs)
	for _, w := range r.watchers {
		users = append(users, w.user)
	}
	return users
}

// startAgents starts the processes with the clients.
func (r *run) startAgents() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	half := len(r.specs) / 2
	quarter := half + (len(r.specs)-half)/2
	for _, a := range []struct {
		name    string
		specs   []clientSpec
		command func() *exec.Cmd
	}{
		{"agent-go", r.specs[:half], func() *exec.Cmd {
			cmd := exec.Command(program)
			cmd.Env = append(os.Environ(), roleVariable+"=agent")
			return cmd
		}},
		{"agent-ts1", r.specs[half:quarter], func() *exec.Cmd { return nodeCommand(r.world.repository) }},
		{"agent-ts2", r.specs[quarter:], func() *exec.Cmd { return nodeCommand(r.world.repository) }},
	} {
		started, err := startAgent(a.name, r.world.logs, r.world.mishap, a.command)
		if err != nil {
			return err
		}
		r.agents = append(r.agents, started)
		if err := started.do(order{Do: "start", Dir: r.world.clientLogs(), Clients: a.specs}); err != nil {
			return err
		}
	}
	return nil
}

// order gives all agents an order.
func (r *run) order(what string) error {
	for _, a := range r.agents {
		if err := a.do(order{Do: what}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) progress() string {
	s := sum(r.agents)
	return fmt.Sprintf("%d of %d clients are online, %d messages are acknowledged, %d on their way, %d delivered", s.Online, len(r.specs), s.Acked, s.OnTheWay, s.Delivered)
}

// finish waits until all is well, lets the publishers end, and publishes the last messages until every subscription has them.
func (r *run) finish(ctx context.Context) error {
	healed := time.Now()
	well := func() string {
		if what := cmp.Or(r.world.natsReady(), r.world.nodesReady()); what != "" {
			return what
		}
		if s := sum(r.agents); s.Online < len(r.specs) {
			return fmt.Sprintf("%d of %d clients are online", s.Online, len(r.specs))
		}
		return ""
	}
	if err := await(ctx, r.options.converge, "all to be well again", well); err != nil {
		r.world.mishap(err.Error())
	}
	r.converged = time.Since(healed)
	r.say("all is well again; %s", r.progress())
	if err := r.order("stop"); err != nil {
		return err
	}
	if err := await(ctx, patience+5*time.Second, "the last answers to publishers", func() string {
		if s := sum(r.agents); s.OnTheWay > 0 {
			return fmt.Sprintf("%d publications have none", s.OnTheWay)
		}
		return ""
	}); err != nil {
		r.world.mishap(err.Error())
	}
	r.presence.check(ctx, "everybody is in the room at the end", r.watchers, r.options.converge, exactly(r.members()))
	if err := r.last(ctx); err != nil {
		r.world.mishap(err.Error())
	}
	r.say("the end; %s", r.progress())
	return nil
}

// last publishes a last message to every topic, and again where some subscription has not got it: without history it may fall into a gap.
func (r *run) last(ctx context.Context) error {
	log, err := createLog(r.world.clientLogs(), "conductor")
	if err != nil {
		return err
	}
	defer func() { _ = log.close() }() // what is missing in it, the ledger complains about
	token, err := r.world.token("conductor")
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, "ws://"+r.world.balancer.address()+"/ws", &client.Options{
		Token: func(context.Context) (string, error) { return token, nil }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	deadline := time.Now().Add(r.options.converge)
	for round := 1; ; round++ {
		topics := sum(r.agents).Awaits
		if len(topics) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the last messages of these topics have not come to all subscriptions: %s", strings.Join(topics[:min(len(topics), 10)], ", "))
		}
		for _, topic := range topics {
			id := fmt.Sprintf("%s%s-%d", lastPrefix, topic, round)
			publishing, cancel := context.WithTimeout(ctx, 20*time.Second)
			log.write(line{Kind: lineSend, Topic: topic, ID: id, Last: true})
			receipt, err := c.Publish(publishing, topic, client.Publication{ID: id, Data: fmt.Appendf(nil, "%q", id)})
			cancel()
			if err != nil {
				log.write(line{Kind: lineUnknown, ID: id, Text: reasonOf(err)})
				continue
			}
			log.write(line{Kind: lineAck, ID: id, At: &receipt.Position})
		}
		_ = await(ctx, 5*time.Second, "the last messages", func() string { return strings.Join(sum(r.agents).Awaits, " ") }) // or the next round
	}
}

// findPanics looks for what no program may print.
func (r *run) findPanics() {
	names, _ := filepath.Glob(filepath.Join(r.world.logs, "*.log"))
	slices.Sort(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			r.world.mishap(err.Error())
			continue
		}
		for _, bad := range []string{"panic: ", "DATA RACE", "fatal error: "} {
			if at := bytes.Index(text, []byte(bad)); at >= 0 {
				line, _, _ := bytes.Cut(text[at:], []byte("\n"))
				r.world.mishap(fmt.Sprintf("%s says %q", filepath.Base(name), line))
			}
		}
	}
}
