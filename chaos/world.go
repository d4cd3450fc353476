package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// world is everything that runs, but the clients.
type world struct {
	options    *options
	repository string
	logs       string // folder of what programs print
	network    network
	tmpfs      bool // every NATS server has a disk of its own that can be full
	nats       []*natsServer
	nodes      []*process
	balancer   *balancer
	token      func(user string) (string, error)

	mu      sync.Mutex
	mishaps []string                // what must not happen
	starts  context.CancelCauseFunc // ends the start, which waits in vain after a mishap; else nil
}

const (
	streamName = "duplex" // bus.name of the nodes
	diskSize   = 192 << 20
	stopWithin = 30 * time.Second // for a node after SIGTERM; its drain takes less
)

// mishap notes what must not happen. It may be called from any goroutine.
func (w *world) mishap(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mishaps = append(w.mishaps, what)
	if w.starts != nil {
		w.starts(errors.New(what))
	}
}

// starting returns the context of the start, which ends with the first mishap.
func (w *world) starting(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	set := func(f context.CancelCauseFunc) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.starts = f
	}
	set(cancel)
	return ctx, func() {
		set(nil)
		cancel(nil)
	}
}

// newWorld prepares everything and starts nothing yet.
func newWorld(o *options, repository string) (*world, error) {
	w := &world{options: o, repository: repository, logs: filepath.Join(o.dir, "programs")}
	natsNames, nodeNames := []string{"n1", "n2", "n3"}, []string{"d1", "d2", "d3"}
	switch o.topology {
	case "cluster":
		natsNames = nil
	case "memory":
		natsNames, nodeNames = nil, nodeNames[:1]
	}
	machines := slices.Concat(natsNames, nodeNames)
	var err error
	if o.network == "links" {
		w.network, err = newLinks(machines, o.seed)
	} else {
		w.network, err = newNamespaces(machines)
	}
	if err != nil {
		return nil, err
	}
	for _, d := range []string{w.logs, w.clientLogs()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	secret := []byte(rand.Text() + rand.Text())
	w.token = signer(secret)
	if err := os.WriteFile(filepath.Join(o.dir, "secret"), secret, 0o600); err != nil {
		return nil, err
	}
	for _, name := range natsNames {
		if err := w.addNATS(name, natsNames); err != nil {
			return nil, err
		}
	}
	for _, name := range nodeNames {
		if err := w.addNode(name, natsNames, nodeNames); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) clientLogs() string         { return filepath.Join(w.options.dir, "clients") }
func (w *world) disk(machine string) string { return filepath.Join(w.options.dir, "disks", machine) }

// addDisk gives a machine a folder; a file system of its own where that is allowed.
func (w *world) addDisk(machine string) error {
	if err := os.MkdirAll(w.disk(machine), 0o700); err != nil {
		return err
	}
	if _, is := w.network.(*namespaces); !is {
		return nil // mounts would be everybody's
	}
	w.tmpfs = true
	return execute("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskSize), "tmpfs", w.disk(machine))
}

func (w *world) addNATS(name string, all []string) error {
	if err := w.addDisk(name); err != nil {
		return err
	}
	_, links := w.network.(*links)
	c := natsConfig{
		Name: name, Listen: w.network.listen(name, serviceNATS), Routes: w.network.listen(name, serviceRoutes), Store: w.disk(name), Links: links,
	}
	for _, other := range all {
		if other != name {
			c.Peers = append(c.Peers, w.network.reach(name, other, serviceRoutes))
		}
	}
	text, err := json.Marshal(&c)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	w.nats = append(w.nats, &natsServer{process: process{name: name, logs: w.logs, talks: true, died: w.mishap, command: func() *exec.Cmd {
		cmd := w.network.command(name, program)
		cmd.Env = append(os.Environ(), roleVariable+"=nats", "CHAOS_NATS="+string(text))
		return cmd
	}}})
	return nil
}

// addNode writes a node's configuration.
func (w *world) addNode(name string, natsNames, nodeNames []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %s\n", w.network.listen(name, serviceHTTP))
	fmt.Fprintf(&b, "tokens: {keys: [{file: %s, algorithm: HS256}]}\n", filepath.Join(w.options.dir, "secret"))
	b.WriteString("drain: {delay: 1s, timeout: 5s, rate: 200, retry: 200ms, spread: 2s}\n")
	b.WriteString("limits: {commands-rate: 1000, commands-burst: 5000}\n")
	var nats, peers []string
	for _, other := range natsNames {
		nats = append(nats, "nats://"+w.network.reach(name, other, serviceNATS))
	}
	switch w.options.topology {
	case "nats":
		fmt.Fprintf(&b, "nats: [%s]\nbus: {name: %s, replicas: 3}\n", strings.Join(nats, ", "), streamName)
	case "cluster":
		if err := w.addDisk(name); err != nil {
			return err
		}
		for _, other := range nodeNames {
			peers = append(peers, other+"="+w.network.reach(name, other, serviceRoutes))
		}
		fmt.Fprintf(&b, "data: %s\ncluster: [%s]\nnode: %s\nbus: {name: %s, replicas: 3, cluster-secret-file: %s}\n",
			w.disk(name), strings.Join(peers, ", "), name, streamName, filepath.Join(w.options.dir, "secret"))
	}
	b.WriteString(rulesYAML())
	config := filepath.Join(w.options.dir, name+".yaml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		return err
	}
	w.nodes = append(w.nodes, &process{name: name, logs: w.logs, died: w.mishap, command: func() *exec.Cmd {
		return w.network.command(name, w.options.binary, "serve", "--config", config)
	}})
	return nil
}

// start starts everything and waits until it is ready.
func (w *world) start(ctx context.Context) error {
	ctx, done := w.starting(ctx)
	defer done()
	for _, n := range w.nats {
		if err := n.start(); err != nil {
			return err
		}
	}
	if err := await(ctx, readyWithin, "the NATS servers to be ready", w.natsReady); err != nil {
		return err
	}
	addresses := make(map[string]string)
	for _, d := range w.nodes {
		if err := d.start(); err != nil {
			return err
		}
		addresses[d.name] = w.network.reach(self, d.name, serviceHTTP)
	}
	var err error
	if w.balancer, err = startBalancer("127.0.0.1:0", addresses, w.options.lose); err != nil {
		return err
	}
	return await(ctx, readyWithin, "the nodes to be ready", w.nodesReady)
}

const readyWithin = 45 * time.Second

func (w *world) natsReady() string {
	for _, n := range w.nats {
		if !n.ask("ready") {
			return n.name + " is not ready"
		}
	}
	return ""
}

func (w *world) nodesReady() string {
	for _, d := range w.nodes {
		if !w.balancer.isReady(d.name) {
			return d.name + " is not ready"
		}
	}
	return ""
}

// await asks again and again until what says nothing more.
func await(ctx context.Context, patience time.Duration, what string, ask func() string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		lacking := ask()
		if lacking == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %s: %w", what, lacking, context.Cause(ctx))
		}
	}
}

// leader returns the NATS server that leads the stream, or nil.
func (w *world) leader() *natsServer {
	for _, n := range w.nats {
		if n.ask("leader " + streamName) {
			return n
		}
	}
	return nil
}

// stop ends everything that runs.
func (w *world) stop() error {
	var all []error
	if w.balancer != nil {
		w.balancer.close()
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	end := func(p *process) {
		wg.Go(func() {
			err := p.kill()
			mu.Lock()
			defer mu.Unlock()
			all = append(all, err)
		})
	}
	for _, d := range w.nodes {
		end(d)
	}
	for _, n := range w.nats {
		end(&n.process)
	}
	wg.Wait()
	w.network.close()
	return errors.Join(all...)
}
