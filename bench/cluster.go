package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// The scenario cluster measures brokers: in memory, on one node with files, on three nodes. It is not about servers of others, so it has a
// section and a file of its own, from which docs/scale.md is calculated.
const (
	clusterScenario  = "cluster"
	recoveryScenario = "recovery" // a part of it
	clusterFile      = "cluster.json"
	clusterTopics    = 100
	clusterSubs      = 20_000 // subscribers, and topics, whose memory is measured
)

// clusterPlan is how long and how much is measured.
type clusterPlan struct {
	dir        string // for programs and data
	duration   time.Duration
	rounds     int
	subs       int     // for memory
	growthRate float64 // messages a second, without history
	brokers    bool    // otherwise only recovery is measured, and the rest stays
	recovery   []swarmPlan
	verbose    bool
}

func (p clusterPlan) say(format string, args ...any) {
	if p.verbose {
		fmt.Printf("  "+format+"\n", args...)
	}
}

// nodeProcess is a running node.
type nodeProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr *strings.Builder
}

// nodeCommand and nodeAnswer are those of ./node.
type (
	nodeCommand struct {
		Do                                              string
		Topics, Each, InFlight, Millis, Clients, Missed int `json:",omitempty"`
		Expected                                        int `json:",omitempty"`
		Rate                                            float64
		Kept                                            bool
	}
	nodeAnswer struct {
		Error     string
		Count     int
		Seconds   float64
		P50, P99  float64
		Delivered int
		CPU       float64
		Heap      int64
	}
)

// startNodes starts the nodes of a system.
func (p clusterPlan) startNodes(system string) ([]*nodeProcess, error) {
	var all [][]string
	switch system {
	case figures.Memory0:
		all = [][]string{{}}
	case figures.One:
		all = [][]string{{"-data", filepath.Join(p.dir, "one")}}
	default:
		peers, err := clusterPeers()
		if err != nil {
			return nil, err
		}
		for _, name := range nodeNames {
			all = append(all, []string{"-node", name, "-data", filepath.Join(p.dir, name), "-cluster", peers})
		}
	}
	var nodes []*nodeProcess
	for _, args := range all {
		n := &nodeProcess{cmd: exec.Command(filepath.Join(p.dir, "node"), args...), stderr: &strings.Builder{}}
		n.cmd.Stderr = n.stderr
		out, err := n.cmd.StdoutPipe()
		if err == nil {
			n.in, err = n.cmd.StdinPipe()
		}
		if err == nil {
			n.out = bufio.NewScanner(out)
			err = n.cmd.Start()
		}
		if err != nil {
			stopNodes(nodes)
			return nil, err
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if _, err := n.do(nodeCommand{Do: "usage"}); err != nil {
			stopNodes(nodes)
			return nil, err
		}
	}
	return nodes, nil
}

var nodeNames = []string{"a", "b", "c"}

// clusterPeers returns addresses that are free now.
func clusterPeers() (string, error) {
	var peers []string
	for _, name := range nodeNames {
		address, err := freeAddress()
		if err != nil {
			return "", err
		}
		peers = append(peers, name+"="+address)
	}
	return strings.Join(peers, ","), nil
}

func stopNodes(nodes []*nodeProcess) {
	for _, n := range nodes {
		_ = n.cmd.Process.Kill() // its data is thrown away
		_ = n.cmd.Wait()
	}
}

// do has a node do something.
func (n *nodeProcess) do(c nodeCommand) (nodeAnswer, error) {
	var a nodeAnswer
	if err := json.NewEncoder(n.in).Encode(c); err != nil {
		return a, fmt.Errorf("the node has ended: %s", n.stderr)
	}
	if !n.out.Scan() {
		return a, fmt.Errorf("the node has ended: %s", n.stderr)
	}
	if err := json.Unmarshal(n.out.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s", c.Do, a.Error)
	}
	return a, nil
}

// nodes are those of one system.
type nodes []*nodeProcess

// usage returns what all nodes have used since it was last called, and the answers of each.
func (all nodes) usage(expected ...int) (cpu float64, answers []nodeAnswer, err error) {
	for i, n := range all {
		c := nodeCommand{Do: "usage"}
		if i < len(expected) {
			c.Expected = expected[i]
		}
		a, err := n.do(c)
		if err != nil {
			return 0, nil, err
		}
		cpu += a.CPU
		answers = append(answers, a)
	}
	return cpu, answers, nil
}

// each has every node do the same.
func (all nodes) each(c nodeCommand) error {
	var errs []error
	for _, n := range all {
		_, err := n.do(c)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// cluster is the scenario as the command line asks for it.
func (p plan) cluster(output, command string, brokers bool) error {
	dir, err := os.MkdirTemp("", "duplex-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir, &p.programs, []server{{ours: true}}); err != nil {
		return err
	}
	s := swarmPlan{clients: 10_000, topics: 1000, rate: 1000, steady: 3 * time.Second, serverCore: p.serverCore, loadCore: p.loadCore}
	c := clusterPlan{dir: dir, brokers: brokers, duration: 2 * p.duration, rounds: p.rounds, subs: clusterSubs, growthRate: 10_000, verbose: p.verbose}
	for _, delay := range []time.Duration{time.Second, 10 * time.Second} {
		s.baseDelay = delay
		c.recovery = append(c.recovery, s)
	}
	load := "the machine's load average before: " + loadAverage()
	return runCluster(c, &p.programs, output, []string{
		time.Now().UTC().Format("2006-01-02"), "command: `" + strings.TrimSpace(command) + "`",
		fmt.Sprintf("%d rounds of %s, on both cores; recovery with servers on core %d and clients on core %d", c.rounds, c.duration, p.serverCore, p.loadCore),
		"commit: " + commit(), "machine: " + machine(), runtime.Version(), load,
	})
}

// loadAverage says how busy the machine has been with other things.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], ", ")
}

// runCluster measures, and writes after each part the file and the section of the report.
func runCluster(p clusterPlan, programs *programs, output string, conditions []string) error {
	for name, pkg := range map[string]string{"node": "./node", "swarm": "./swarm"} {
		if text, err := exec.Command("go", "build", "-o", filepath.Join(p.dir, name), pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	f := &figures.Figures{}
	if p.brokers {
		f.Conditions = conditions
		for _, system := range []string{figures.Memory0, figures.One, figures.Three} {
			if err := p.system(f, system); err != nil {
				return fmt.Errorf("%s: %w", system, err)
			}
		}
		if err := saveCluster(f, output); err != nil {
			return err
		}
	} else {
		var err error
		if f, err = figures.Load(clusterFileOf(output)); err != nil {
			return err
		}
	}
	f.Recovery, f.RecoveryConditions = nil, conditions
	for _, s := range p.recovery {
		r, err := p.recovered(s, programs)
		if err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
		f.Recovery = append(f.Recovery, r)
	}
	fmt.Print(clusterSection(f))
	return saveCluster(f, output)
}

// clusterFileOf is where the figures are that belong to a report.
func clusterFileOf(output string) string { return filepath.Join(filepath.Dir(output), clusterFile) }

func saveCluster(f *figures.Figures, output string) error {
	if output == "" {
		return nil
	}
	before, err := os.ReadFile(output)
	if err != nil {
		return err
	}
	text, err := mergeCluster(string(before), clusterSection(f))
	if err != nil {
		return err
	}
	return errors.Join(f.Save(clusterFileOf(output)), os.WriteFile(output, []byte(text), 0o644))
}
