// Command bench compares WebSocket servers for Go: ours and those on gorilla, gws, coder, gobwas and nbio; and our hub with socket.io. For each scenario it
// starts a server on one core and the load on another, measures the CPU time that the server itself uses for each message (or
// the memory that it holds for each connection), goes round all servers several times, and prints the medians and their ratio to
// gws. It runs on Linux only, on loopback only, and every run is bounded.
//
//	go run .                                          everything, a few minutes, writes RESULTS.md
//	go run . -scenarios echo64,pipe64 -servers duplex,gws -o ""
//	go run . -scenarios cluster                       brokers and clusters, two minutes, writes their section and cluster.json
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A plan is what the command line asks for.
type plan struct {
	programs             programs
	scenarios            []scenario
	servers              []server
	rounds               int
	warmup, duration     time.Duration
	serverCore, loadCore int
	verbose              bool
}

// A row holds the measurements of one scenario: by server, then by round. A server that lacks the feature has none.
type row struct {
	scenario scenario
	rounds   map[string][]measurement
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	p := plan{}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	which := flags.String("scenarios", "all", "comma-separated `names`, or all; or cluster, or its part recovery, by itself")
	who := flags.String("servers", "duplex-loop,duplex-goroutine,gws,gorilla,coder,gobwas,nbio,duplex-hub,duplex-session,socket.io", "comma-separated `names`; also duplex, which takes its default driver")
	output := flags.String("o", "RESULTS.md", "`file` for the report; empty: only print")
	merge := flags.Bool("merge", false, "replace only the section Topics of that file, and say when and where it was measured")
	flags.IntVar(&p.rounds, "rounds", 3, "times to go round all servers; the median counts")
	flags.DurationVar(&p.duration, "duration", 500*time.Millisecond, "of one measurement")
	flags.DurationVar(&p.warmup, "warmup", 200*time.Millisecond, "before each measurement")
	flags.IntVar(&p.serverCore, "server-core", 0, "`core` for the server")
	flags.IntVar(&p.loadCore, "load-core", 1, "`core` for the load")
	flags.StringVar(&p.programs.duplex, "duplex", "", "`path` of a duplex binary; empty: build ../cmd/duplex")
	flags.BoolVar(&p.verbose, "v", false, "print each measurement")
	flags.Parse(args)
	if *which == clusterScenario || *which == recoveryScenario {
		return p.cluster(*output, "go run . "+strings.Join(args, " "), *which == clusterScenario)
	}
	var err error
	if p.scenarios, err = pick(*which); err != nil {
		return err
	}
	if p.servers, err = pickServers(*who); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "duplex-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir, &p.programs, p.servers); err != nil {
		return err
	}
	began := time.Now()
	var rows []row
	plain := plainServers(p.servers)
	fmt.Println(tableHead(plain))
	for _, s := range p.scenarios {
		r, err := p.row(s)
		if err != nil {
			return err
		}
		if !s.topics {
			fmt.Println(r.table(plain, reference))
		}
		rows = append(rows, r)
	}
	fmt.Print("\n" + topicSection(p.servers, rows))
	fmt.Printf("took %s\n", time.Since(began).Round(time.Second))
	if *output == "" {
		return nil
	}
	command := "go run . " + strings.Join(args, " ")
	text := report(p, rows, command)
	if *merge {
		before, err := os.ReadFile(*output)
		if err != nil {
			return err
		}
		if text, err = mergeTopics(string(before), topicSection(p.servers, rows), spreads(topicServers(p.servers), rows), p.conditions(command)); err != nil {
			return err
		}
	}
	return os.WriteFile(*output, []byte(text), 0o644)
}

// row measures one scenario, one server after the other in each round, so that a slow minute of the machine meets all of them.
func (p plan) row(s scenario) (row, error) {
	r := row{scenario: s, rounds: map[string][]measurement{}}
	rounds := p.rounds
	if s.mode == "idle" {
		rounds = 1 // memory hardly varies, and settling takes its time
	}
	for round := range rounds {
		for _, srv := range p.servers {
			if !srv.serves(s) {
				continue
			}
			m, err := measure(p, s, srv)
			if err != nil {
				return r, fmt.Errorf("%s against %s: %w", s.name, srv.name, err)
			}
			if p.verbose {
				fmt.Printf("  %-8s round %d %-16s %10.0f ns  server %3.0f %% busy, load %3.0f %%, %d messages, replies of %.0f bytes\n", s.name, round+1,
					srv.name, m.ServerNs, 100*m.ServerBusy, 100*m.LoadBusy, m.Messages, m.ReplyBytes)
			}
			r.rounds[srv.name] = append(r.rounds[srv.name], m)
		}
	}
	return r, nil
}

// median returns the middle one of a server's values, of an even number the mean of both; ok is false if it has none.
func (r row) median(name string, value func(measurement) float64) (v float64, ok bool) {
	var all []float64
	for _, m := range r.rounds[name] {
		all = append(all, value(m))
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.SortFunc(all, cmp.Compare[float64])
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}
