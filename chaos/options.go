package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	topology string        // one of topologies
	network  string        // one of networks
	duration time.Duration // of the faults
	clients  int
	topics   int
	rate     float64 // publications a second, of all clients together
	seed     uint64
	converge time.Duration // how long everything may take to be well again after the last fault
	kinds    []string      // of faults; empty: all that are possible
	short    bool
	binary   string // of the nodes; empty: built
	lose     int
	race     bool
	keep     bool
	dir      string // of logs and data; set by the outer process
	inside   bool   // this process has the namespaces already, or does without
	untilEOF bool
}

var (
	topologies = []string{"nats", "cluster", "memory"}
	networks   = []string{"auto", "namespaces", "links"}
)

// parse reads the command line. The texts of -h go to out.
func parse(args []string, out io.Writer) (*options, error) {
	var o options
	var kinds string
	set := flag.NewFlagSet("chaos", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&o.topology, "topology", "nats", "what is put under stress: `nats` (3 NATS servers and 3 Duplex nodes), cluster (3 nodes with embedded servers) or memory (1 node)")
	set.StringVar(&o.network, "network", "auto", "how links are cut: namespaces (Linux: root, or user namespaces), links (proxies), or `auto`: the first that is possible")
	set.DurationVar(&o.duration, "duration", 5*time.Minute, "how long faults come, about; with -short 45s")
	set.IntVar(&o.clients, "clients", 300, "clients, half of them in Go, half of them in TypeScript; with -short 60")
	set.IntVar(&o.topics, "topics", 50, "topics")
	set.Float64Var(&o.rate, "rate", 100, "publications a second of all clients together; with -short 60")
	set.Uint64Var(&o.seed, "seed", 0, "of the schedule and the clients; 0: a random one, which is printed")
	set.DurationVar(&o.converge, "converge", time.Minute, "how long everything may take to be well again after the last fault")
	set.StringVar(&kinds, "faults", "", "only these kinds of faults, divided by commas; none: none; default: all. "+strings.Join(kindNames(), ", "))
	set.BoolVar(&o.short, "short", false, "one of each fault that does not take long, with fewer clients")
	set.IntVar(&o.lose, "lose", 0, "plant a fault: of what each client should get, lose one message in `N`; the run has to fail then")
	set.StringVar(&o.binary, "binary", "", "the duplex `FILE` that the nodes run; default: built from here")
	set.BoolVar(&o.race, "race", false, "build the nodes with the race detector")
	set.BoolVar(&o.keep, "keep", false, "keep the logs also when all is well")
	set.BoolVar(&o.inside, "inside", false, "for the program itself: everything is prepared")
	set.StringVar(&o.dir, "dir", "", "for the program itself: where everything is")
	set.BoolVar(&o.untilEOF, "until-eof", false, "end when the standard input does, for programs that start this one")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("chaos: %q is no flag, and there is nothing else to say; see -h", set.Arg(0))
	}
	given := make(map[string]bool)
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.short && !given["duration"] {
		o.duration = 45 * time.Second
	}
	if o.short && !given["clients"] {
		o.clients = 60
	}
	if o.short && !given["rate"] {
		o.rate = 60
	}
	if o.seed == 0 {
		o.seed = 1 + rand.Uint64N(1<<32)
	}
	if kinds != "" {
		o.kinds = strings.Split(kinds, ",")
	}
	return &o, o.check()
}

// check says what is wrong with the options.
func (o *options) check() error {
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("chaos: "+format, args...)) }
	if !slices.Contains(topologies, o.topology) {
		complain("-topology %q; it is one of %s", o.topology, strings.Join(topologies, ", "))
	}
	if !slices.Contains(networks, o.network) {
		complain("-network %q; it is one of %s", o.network, strings.Join(networks, ", "))
	}
	if o.duration < time.Second || o.duration > 24*time.Hour {
		complain("-duration %s; it is between 1s and 24h", o.duration)
	}
	if o.clients < 10 || o.clients > 5000 {
		complain("-clients %d; there are between 10 and 5000", o.clients)
	}
	if o.topics < 10 || o.topics > 1000 {
		complain("-topics %d; there are between 10 and 1000", o.topics)
	}
	if !(o.rate > 0 && o.rate <= 10_000) {
		complain("-rate %v; it is above 0 and up to 10000", o.rate)
	}
	if o.converge < time.Second || o.converge > time.Hour {
		complain("-converge %s; it is between 1s and 1h", o.converge)
	}
	if o.lose < 0 {
		complain("-lose %d; it is 0 or more", o.lose)
	}
	for _, k := range o.kinds {
		if k != "none" && !slices.Contains(kindNames(), k) {
			complain("-faults %q; the kinds are %s", k, strings.Join(kindNames(), ", "))
		}
	}
	return errors.Join(wrong...)
}

// again is the command line that repeats this run inside of the namespaces.
func (o *options) again() []string {
	args := []string{
		"-inside", "-topology", o.topology, "-network", o.network, "-duration", o.duration.String(), "-clients", fmt.Sprint(o.clients),
		"-topics", fmt.Sprint(o.topics), "-rate", fmt.Sprint(o.rate), "-seed", fmt.Sprint(o.seed), "-converge", o.converge.String(),
		"-lose", fmt.Sprint(o.lose), "-dir", o.dir, "-binary", o.binary, "-faults", strings.Join(o.kinds, ","),
	}
	if o.short {
		args = append(args, "-short")
	}
	return args
}
