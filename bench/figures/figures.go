// Package figures is what the scenario cluster measures, as a file. The tables of RESULTS.md and of docs/scale.md are made from it.
package figures

import (
	"encoding/json"
	"fmt"
	"os"
)

// Figures are the measurements of one run. CPU times are nanoseconds of all nodes together, user and system.
type Figures struct {
	Conditions []string   `json:"conditions"` // when, where and how
	Publish    []Publish  `json:"publish"`
	Latency    []Latency  `json:"latency"`
	Growth     []Growth   `json:"growth"`
	Local      Local      `json:"local"`
	Memory     Memory     `json:"memory"`
	Resume     []Resume   `json:"resume"`
	Recovery   []Recovery `json:"recovery"`

	RecoveryConditions []string `json:"recovery_conditions"`
}

// The systems that are measured.
const (
	Memory0 = "memory" // one node that keeps everything in memory
	One     = "one"    // one node with an embedded NATS server and files
	Three   = "three"  // three nodes that form a cluster; three copies, each on disk before it is acknowledged
)

// Publish is acknowledged publications to 100 topics to which nobody subscribes.
type Publish struct {
	System   string  `json:"system"`
	InFlight int     `json:"in_flight"`
	Rate     float64 `json:"rate"`   // a second
	CPU      float64 `json:"cpu_ns"` // for each
	P50      float64 `json:"p50_us"` // until it is acknowledged
	P99      float64 `json:"p99_us"`
}

// Latency is from the publication to the sink of a subscriber, at 500 messages a second.
type Latency struct {
	System string  `json:"system"`
	Kept   bool    `json:"kept"` // stored; otherwise a topic without history
	Where  string  `json:"where"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
}

// Growth is publications of which some nodes of three have one subscriber for each topic, as on a busy cluster: 256 in flight, or 10,000 a
// second without history.
type Growth struct {
	System string  `json:"system"`
	Kept   bool    `json:"kept"`
	Nodes  int     `json:"nodes"` // that hold subscribers
	CPU    float64 `json:"cpu_ns"`
}

// Local is a delivery to one more subscriber of a node that gets the message anyway, up to the sink; the socket comes on top.
type Local struct {
	CPU float64 `json:"cpu_ns"`
}

// Memory is bytes of heap.
type Memory struct {
	Subscription float64 `json:"subscription"`  // in the hub: a subscriber with one subscription
	FollowMemory float64 `json:"follow_memory"` // a topic that a node follows, with the memory broker
	FollowOne    float64 `json:"follow_one"`    // with one node: broker and NATS server
	FollowThree  float64 `json:"follow_three"`  // with three: on the node that follows
	FollowPeer   float64 `json:"follow_peer"`   // and on each other node
	FollowCPU    float64 `json:"follow_cpu_ns"` // of all three nodes, to begin
}

// Resume is subscribers that come back to one node with a position each.
type Resume struct {
	System  string  `json:"system"`
	Clients int     `json:"clients"`
	Topics  int     `json:"topics"`
	Missed  int     `json:"missed"` // messages of each
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_ns"` // of all nodes, for each subscriber
}

// Recovery is what happens when the node dies at which all clients are, in three processes of duplex serve. Times count from the kill -9.
type Recovery struct {
	Clients      int     `json:"clients"`
	BaseDelay    float64 `json:"base_delay_s"` // of the clients
	Back50       float64 `json:"back_p50_s"`   // until a client was subscribed again
	Back99       float64 `json:"back_p99_s"`
	BackAll      float64 `json:"back_all_s"`
	CaughtUpAll  float64 `json:"caught_up_all_s"` // until all had everything that had been published when they were back
	Attempts     int     `json:"attempts"`        // to connect, of all clients together
	PeakReturns  float64 `json:"peak_returns"`    // subscriptions that came back, a second, in the busiest 100 ms
	CPU          float64 `json:"cpu_s"`           // of both nodes until all had caught up
	Before       float64 `json:"before_busy"`     // of their core by both, before
	Busy         float64 `json:"busy"`            // of their core until then
	Load         float64 `json:"load_busy"`       // of the core of the clients
	Peak         float64 `json:"peak_bytes"`      // to clients, a second, in the busiest 100 ms
	Steady       float64 `json:"steady_bytes"`    // to clients, a second, before
	Published    int     `json:"published"`       // messages during the whole
	PublishStall float64 `json:"publish_stall_s"` // the longest time in which none was acknowledged
	Delivered    int     `json:"delivered"`
	Missing      int     `json:"missing"` // acknowledged, and not delivered to a subscriber
	Gaps         int     `json:"gaps"`
}

// Load reads a file.
func Load(name string) (*Figures, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &Figures{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Save writes a file.
func (f *Figures) Save(name string) error {
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
