package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// An agent is a process with many clients. It is told what to do on its standard input, one command in JSON a line, and writes a status a
// line on its standard output. Each of its clients writes a log. There is one in Go (runAgent) and one in TypeScript (agent.mjs).

// order is a command for an agent.
type order struct {
	// Do is "start" (Dir, Clients), "publish", "restart" (Names: these clients close and come back with the positions that they have), "stop"
	// (what was sent is waited for, and nothing more is sent), or "exit".
	Do      string       `json:"do"`
	Dir     string       `json:"dir,omitempty"` // of the logs
	Clients []clientSpec `json:"clients,omitempty"`
	Names   []string     `json:"names,omitempty"`
}

// clientSpec is what one client does.
type clientSpec struct {
	Name    string    `json:"name"`
	URL     string    `json:"url"`
	Token   string    `json:"token"`
	Subs    []subSpec `json:"subs"`
	Publish []string  `json:"publish"` // topics, one after the other
	Every   int64     `json:"every"`   // milliseconds between publications, on average
	Seed    uint32    `json:"seed"`
	// Patient publishers send one message after the other, and again with the same ID when it was refused for now. Others have up
	// to window messages on their way, and give up what is refused.
	Patient bool `json:"patient"`
}

// subSpec is one subscription.
type subSpec struct {
	Topic  string   `json:"topic"`
	Covers []string `json:"covers"` // the topics that it gets
}

// status is what an agent says of its clients.
type status struct {
	Online    int      `json:"online"`
	Begun     int      `json:"begun"`     // subscriptions that the server has accepted once
	OnTheWay  int      `json:"onTheWay"`  // publications without an answer
	Acked     int      `json:"acked"`     // publications
	Delivered int      `json:"delivered"` // messages
	Awaits    []string `json:"awaits"`    // topics whose last message some subscription has not got
}

const (
	window      = 8                // publications on their way
	patience    = 60 * time.Second // for one publication; servers know an ID for 2 minutes
	retryEvery  = 300 * time.Millisecond
	statusEvery = 250 * time.Millisecond
	lastPrefix  = "last-" // of the IDs of last messages
)

// goAgent is the agent in Go.
type goAgent struct {
	ctx     context.Context
	stopped chan struct{} // closed when nothing more is to be published
	wg      sync.WaitGroup

	mu      sync.Mutex
	clients map[string]*goClient
	out     *json.Encoder
}

// runAgent works until it is told to exit or its input ends.
func runAgent(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	a := &goAgent{ctx: ctx, stopped: make(chan struct{}), clients: make(map[string]*goClient), out: json.NewEncoder(out)}
	a.wg.Go(a.tell)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	var err error
	for err == nil && lines.Scan() {
		var o order
		if err = json.Unmarshal(lines.Bytes(), &o); err != nil || o.Do == "exit" {
			break
		}
		err = a.obey(&o)
	}
	cancel()
	a.wg.Wait()
	for _, c := range a.clients {
		err = cmp.Or(err, c.log.close())
	}
	return cmp.Or(err, lines.Err())
}

func (a *goAgent) obey(o *order) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch o.Do {
	case "start":
		for i := range o.Clients {
			c, err := newGoClient(a.ctx, o.Dir, &o.Clients[i])
			if err != nil {
				return err
			}
			a.clients[c.spec.Name] = c
			a.wg.Go(c.live)
		}
	case "publish":
		for _, c := range a.clients {
			a.wg.Go(func() { c.publish(a.stopped) })
		}
	case "restart":
		for _, name := range o.Names {
			if c := a.clients[name]; c != nil {
				c.restart()
			}
		}
	case "stop":
		close(a.stopped)
	default:
		return fmt.Errorf("an agent cannot %q", o.Do)
	}
	return nil
}

// tell writes the status again and again.
func (a *goAgent) tell() {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-a.ctx.Done():
			return
		}
		var s status
		awaits := make(map[string]bool)
		a.mu.Lock()
		for _, c := range a.clients {
			c.add(&s, awaits)
		}
		a.mu.Unlock()
		s.Awaits = slices.Sorted(maps.Keys(awaits))
		if a.out.Encode(&s) != nil {
			return // nobody listens any more; the input ends too
		}
	}
}
