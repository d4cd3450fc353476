// Command swarm is clients of duplex serve that lose their server: it connects all of them with one of three servers, publishes through another,
// kills the first, and watches how they come back to the others. What it finds it prints as JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// options is what the command line asks for.
type options struct {
	servers []string // addresses; the first one dies
	pids    []int    // of their processes
	clients int
	topics  int
	rate    float64       // messages a second, over all topics
	delay   time.Duration // client.Options.BaseDelay
	steady  time.Duration // how long it is watched before the server dies
	limit   time.Duration // how long afterwards
}

// maxClients bounds the connections: each is a socket here and one at the server.
const maxClients = 15_000

func main() {
	var o options
	servers := flag.String("servers", "", "three `addresses`; the first server is killed")
	pids := flag.String("pids", "", "their process `ids`")
	flag.IntVar(&o.clients, "clients", 10_000, "")
	flag.IntVar(&o.topics, "topics", 1000, "")
	flag.Float64Var(&o.rate, "rate", 1000, "messages a second, over all topics")
	flag.DurationVar(&o.delay, "base-delay", time.Second, "of the clients")
	flag.DurationVar(&o.steady, "steady", 3*time.Second, "before the server is killed")
	flag.DurationVar(&o.limit, "limit", 150*time.Second, "afterwards, at most")
	flag.Parse()
	o.servers = strings.Split(*servers, ",")
	for text := range strings.SplitSeq(*pids, ",") {
		pid, err := strconv.Atoi(text)
		if err != nil {
			fail(fmt.Errorf("-pids: %w", err))
		}
		o.pids = append(o.pids, pid)
	}
	if len(o.servers) != 3 || len(o.pids) != 3 || o.clients < 1 || o.clients > maxClients || o.topics < 1 {
		fail(fmt.Errorf("want three servers, three pids, at least one topic, and 1 to %d clients", maxClients))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	result, err := run(ctx, &o)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "swarm:", err)
	os.Exit(1)
}
