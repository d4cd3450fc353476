package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// setup is what is simulated.
type setup struct {
	Nodes       int     // of Duplex
	Connections float64 // in all, spread evenly
	Servers     int     // of NATS, which the nodes share
	Cores       float64 // of a node, and of a NATS server
	Budget      float64 // share of the cores that may be busy
}

// costs are what the measurements say, in nanoseconds of CPU and bytes of heap.
type costs struct {
	kept, live     line    // of a publication, over the nodes that hold subscribers
	local          float64 // a delivery to the socket of a client: what the whole server takes, at a low rate
	handshake      float64
	client         float64 // bytes of a connection with a subscription
	subscription   float64 // bytes in the hub
	follow, peer   float64 // bytes of a followed topic: where it is followed, and at each other NATS server
	ask            float64 // a question to the stream's leader; all nodes
	resume         float64 // a subscriber that comes back and has missed nothing
	missed         float64 // and for each message that was missed
	scanned        float64 // and for each message of any topic among which these were found
	ceilingReached float64 // publications a second that three nodes on two cores have reached
	ceilingLeader  float64 // that one leader with a core of its own would take, with its leaderShare
}

// line is a cost that grows with the number of nodes.
type line struct{ base, each float64 }

func (l line) at(nodes float64) float64 { return l.base + l.each*nodes }

// fit is the line of least squares through the points.
func fit(x, y []float64) (line, error) {
	if len(x) < 2 || len(x) != len(y) {
		return line{}, errors.New("a line goes through two points or more")
	}
	n, mx, my := float64(len(x)), 0.0, 0.0
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	var xy, xx float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	if xx == 0 {
		return line{}, errors.New("all points are at one place")
	}
	each := xy / xx
	return line{my - each*mx, each}, nil
}

// Guard of hub/natsbroker: a node asks the leader about topics on which nothing has come for so long, at most so many a second.
const (
	guardEvery = 60.0
	guardPace  = 500.0
)

// blockMessages is how many messages of 128 bytes are in a block of the stream, 8 MiB: NATS looks through no more to find those of a topic.
const blockMessages = 8 << 20 / 300

// calibrate makes costs out of what was measured.
func calibrate(f *figures.Figures, r *results) (*costs, error) {
	c := &costs{
		local: r.delivery, handshake: r.handshake, client: r.client, subscription: f.Memory.Subscription,
		follow: f.Memory.FollowThree, peer: f.Memory.FollowPeer, ask: f.Memory.FollowCPU / 2,
	}
	for kept, to := range map[bool]*line{true: &c.kept, false: &c.live} {
		x, y := growth(f, kept)
		var err error
		if *to, err = fit(x, y); err != nil {
			return nil, fmt.Errorf("growth: %w", err)
		}
	}
	for _, p := range f.Publish {
		if p.System == figures.Three && p.Rate > c.ceilingReached {
			c.ceilingReached, c.ceilingLeader = p.Rate, 1e9/(p.CPU*leaderShare)
		}
	}
	var none, some *figures.Resume
	for i := range f.Resume {
		switch r := &f.Resume[i]; {
		case r.System != figures.Three:
		case r.Missed == 0:
			none = r
		default:
			some = r
		}
	}
	if none == nil || some == nil || c.ceilingReached == 0 {
		return nil, errors.New("there are no figures of three nodes")
	}
	c.resume = none.CPU
	// A message that is sent to a subscriber costs at most what it costs with the memory broker; the rest is looking for it.
	c.scanned = max(0, some.CPU-none.CPU) / float64(some.Missed*some.Topics)
	c.missed = c.local
	return c, nil
}

// growth returns what was measured of three nodes.
func growth(f *figures.Figures, kept bool) (nodes, cpu []float64) {
	for _, g := range f.Growth {
		if g.System == figures.Three && g.Kept == kept {
			nodes, cpu = append(nodes, float64(g.Nodes)), append(cpu, g.CPU)
		}
	}
	return nodes, cpu
}

// held is how many of the nodes hold a topic with so many subscribers, if they come to random nodes.
func held(nodes int, subscribers float64) float64 {
	n := float64(nodes)
	return n * (1 - math.Pow(1-1/n, subscribers))
}

// workload is who subscribes to what: each connection to one topic.
type workload struct {
	name        string
	subscribers float64 // of a topic
}

var workloads = []workload{{"rooms", 10}, {"channels", 10_000}, {"one for all", 10_000_000}}

// load is what a workload does to the cluster for one publication a second.
type load struct {
	topics   float64
	held     float64 // nodes that hold a topic
	node     float64 // CPU of a node: its share of the deliveries, and taking the message in where it holds the topic
	server   float64 // CPU of a NATS server
	follows  float64 // topics that a node follows
	interest float64 // pairs of a node and a topic that it follows
}

func (s *setup) load(w workload, c *costs, kept bool) load {
	l := load{topics: s.Connections / w.subscribers, held: held(s.Nodes, w.subscribers)}
	l.interest = l.topics * l.held
	l.follows = l.interest / float64(s.Nodes)
	cost := c.live
	if kept {
		cost = c.kept
	}
	// What the measurement charges for one more node is both its NATS server's work and its own. How it is divided is not known, so each
	// gets all of it: an upper bound for both.
	l.node = (w.subscribers*c.local + l.held*cost.each) / float64(s.Nodes)
	l.server = (cost.base + l.held*cost.each) / float64(s.Servers)
	return l
}

// limits are the publications a second beyond which something is full.
type limits struct{ nodes, servers, stream float64 }

func (s *setup) limits(w workload, c *costs, kept bool) limits {
	l := s.load(w, c, kept)
	room := 1e9 * s.Cores * s.Budget
	guard := s.guard(l.follows) * c.ask * leaderShare
	m := limits{nodes: room / l.node, servers: max(0, room-guard) / l.server, stream: math.Inf(1)}
	if kept {
		m.stream = c.ceilingLeader
	}
	return m
}

// leaderShare is the part of what a question, or a stored message, costs all nodes together that the server of the stream's leader pays: one of
// three in the measurements. How much of it really is the leader's was not measured.
const leaderShare = 1 / 3.0

// least is the limit that is met first, and its name.
func (m limits) least() (float64, string) {
	switch {
	case m.nodes <= m.servers && m.nodes <= m.stream:
		return m.nodes, "deliveries of the nodes"
	case m.servers <= m.stream:
		return m.servers, "the NATS servers"
	}
	return m.stream, "the stream's leader"
}

// guard is how many questions a second the leader gets from all nodes about quiet topics.
func (s *setup) guard(follows float64) float64 {
	return float64(s.Nodes) * min(guardPace, follows/guardEvery)
}

// storm is what happens when so many connections lose their node.
type storm struct {
	clients, each     float64 // each: for a node that is left
	requests          float64 // to the leader
	nodeCPU, askCPU   float64 // seconds: of a node that is left, of the leader
	scanCPU           float64 // seconds, of all NATS servers
	spread            float64 // seconds over which they must be spread for a node to have room
	messages, scanned float64 // missed by each; looked through for each
}

// questions to the leader of a subscriber that comes back: the last message of its topic, for following and for reading, and the first.
const questions = 3

func (s *setup) storm(c *costs, clients float64, left int, outage, rate, missed float64) storm {
	t := storm{clients: clients, each: clients / float64(left), messages: missed, scanned: min(rate*outage, blockMessages)}
	t.requests = clients * questions
	t.nodeCPU = t.each * (c.handshake + c.resume + missed*c.missed) / 1e9
	t.askCPU = t.requests * c.ask * leaderShare / 1e9
	t.scanCPU = clients * t.scanned * c.scanned / 1e9
	t.spread = max(t.nodeCPU/(s.Cores*s.Budget), t.askCPU/s.Budget, t.scanCPU/(float64(s.Servers)*s.Budget))
	return t
}
