package console

import (
	"cmp"
	"context"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	pace     = time.Second // between two figures
	memory   = 300         // figures that are remembered for charts
	maxSlow  = 20          // slow subscribers told of each node
	maxRules = 200         // rules told of each node
	page     = 1000        // sessions asked for at once
	maxPages = 20
)

// figures are those of all nodes at one time.
type figures struct {
	Time    int64  `json:"time"` // ms since 1970
	Nodes   []node `json:"nodes"`
	Missing string `json:"missing,omitempty"` // which nodes did not answer, in words
	Sum     sum    `json:"sum"`
}

// node is what one process says about itself. Counters count from its start.
type node struct {
	Name          string `json:"name"`
	Began         int64  `json:"began"` // ms since 1970
	Goroutines    int    `json:"goroutines"`
	Memory        uint64 `json:"memory"` // bytes that the process has of the system
	Connections   int    `json:"connections"`
	Sessions      int    `json:"sessions"`
	Subscriptions int    `json:"subscriptions"`
	Topics        int    `json:"topics"`
	Queued        int    `json:"queued"`
	QueuedBytes   int64  `json:"queuedBytes"`
	HistoryBytes  int64  `json:"historyBytes"`
	Errors        uint64 `json:"errors"` // warnings and errors in the log
	Rules         []rule `json:"rules"`  // at most maxRules
	Slow          []slow `json:"slow"`   // those for whom most waits, at most maxSlow
}

// rule is what has happened to the topics of a rule. An empty pattern stands for topics without one.
type rule struct {
	Pattern    string `json:"pattern"`
	Published  uint64 `json:"published"`
	Delivered  uint64 `json:"delivered"`
	Dropped    uint64 `json:"dropped"`
	Superseded uint64 `json:"superseded"`
	Gaps       uint64 `json:"gaps"`
	Slow       uint64 `json:"slow"` // subscribers that were disconnected because they were slow
}

type slow struct {
	Session string `json:"session"`
	User    string `json:"user"`
	Topics  int    `json:"topics"`
	Queued  int    `json:"queued"`
}

// sum is one point of the charts: what there is on all nodes, and how much happens a second.
type sum struct {
	Time        int64   `json:"time"`
	Connections int     `json:"connections"`
	Sessions    int     `json:"sessions"`
	Queued      int     `json:"queued"`
	Published   float64 `json:"published"`
	Delivered   float64 `json:"delivered"`
	Dropped     float64 `json:"dropped"`
	Superseded  float64 `json:"superseded"`
}

var memoryMetrics = []string{"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes"}

// here are the figures of this node.
func (c *console) here() node {
	stats := c.env.Hub.Stats()
	_, logged := c.env.Journal.Lines()
	n := node{
		Name: c.node, Began: c.began.UnixMilli(), Goroutines: runtime.NumGoroutine(), Memory: inUse(),
		Sessions: stats.Subscribers, Subscriptions: stats.Subscriptions, Topics: stats.Topics,
		Queued: stats.QueuedMessages, QueuedBytes: stats.QueuedBytes, HistoryBytes: stats.HistoryBytes, Errors: logged,
		Rules: make([]rule, 0, len(stats.Rules)), Slow: []slow{},
	}
	if c.env.Connections != nil {
		n.Connections = c.env.Connections()
	}
	seen := make(map[string]bool) // two rules of one pattern share their counters
	for _, r := range stats.Rules[:min(maxRules, len(stats.Rules))] {
		if seen[r.Pattern] || r.Published+r.Deliveries+r.Gaps+r.Slow+r.Dropped+r.Superseded == 0 {
			continue
		}
		seen[r.Pattern] = true
		n.Rules = append(n.Rules, rule{r.Pattern, r.Published, r.Deliveries, r.Dropped, r.Superseded, r.Gaps, r.Slow})
	}
	if n.Queued > 0 { // else nobody is slow, and nobody has to be looked at
		n.Slow = c.slowest()
	}
	return n
}

func inUse() uint64 {
	samples := make([]metrics.Sample, len(memoryMetrics))
	for i, name := range memoryMetrics {
		samples[i].Name = name
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// slowest are the sessions of this node for which most messages wait.
func (c *console) slowest() []slow {
	found := []slow{}
	after := ""
	for range maxPages {
		sessions, _ := c.env.Hub.Sessions(context.Background(), hub.SessionQuery{Selector: hub.Selector{Here: true}, After: after, Limit: page})
		for _, s := range sessions.Sessions {
			if s.Queued > 0 {
				found = append(found, slow{s.ID, s.User, len(s.Topics), s.Queued})
			}
			after = s.ID
		}
		if !sessions.More {
			break
		}
	}
	slices.SortFunc(found, func(a, b slow) int { return cmp.Or(b.Queued-a.Queued, strings.Compare(a.Session, b.Session)) })
	return found[:min(maxSlow, len(found))]
}

// tell publishes the figures of all nodes, until ctx ends. The first ones only say where counting begins.
func (c *console) tell(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for before := c.gather(ctx, nil); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := c.gather(ctx, before)
		before = now
		c.remember(now.Sum)
		if _, err := showcase.JSON(ctx, c.env.Hub, topicFigures, "figures", now); err != nil && ctx.Err() == nil {
			c.env.Logger.Debug("the console waits for its broker", "error", err)
		}
	}
}

// gather asks every node.
func (c *console) gather(ctx context.Context, before *figures) *figures {
	nodes, missing := others[node](ctx, c, commandFigures)
	now := &figures{Time: time.Now().UnixMilli(), Nodes: append(nodes, c.here()), Missing: missing}
	slices.SortFunc(now.Nodes, func(a, b node) int { return strings.Compare(a.Name, b.Name) })
	now.add(before)
	return now
}

// add makes the sum. What happens a second follows from what the same processes have counted before.
func (f *figures) add(before *figures) {
	f.Sum = sum{Time: f.Time}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		f.Sum.Connections += n.Connections
		f.Sum.Sessions += n.Sessions
		f.Sum.Queued += n.Queued
		was := before.of(n)
		if was == nil || f.Time <= before.Time {
			continue
		}
		seconds := float64(f.Time-before.Time) / 1000
		is, past := total(n.Rules), total(was.Rules)
		f.Sum.Published += since(is.Published, past.Published) / seconds
		f.Sum.Delivered += since(is.Delivered, past.Delivered) / seconds
		f.Sum.Dropped += since(is.Dropped, past.Dropped) / seconds
		f.Sum.Superseded += since(is.Superseded, past.Superseded) / seconds
	}
}

// of finds the same process, or nil.
func (f *figures) of(n *node) *node {
	if f == nil {
		return nil
	}
	for i := range f.Nodes {
		if f.Nodes[i].Name == n.Name && f.Nodes[i].Began == n.Began {
			return &f.Nodes[i]
		}
	}
	return nil
}

func total(rules []rule) (t rule) {
	for _, r := range rules {
		t.Published += r.Published
		t.Delivered += r.Delivered
		t.Dropped += r.Dropped
		t.Superseded += r.Superseded
	}
	return t
}

// since is how much was counted. Counters of rules that a reload has removed are gone.
func since(is, was uint64) float64 { return float64(is - min(is, was)) }

// record is what a node remembers of the figures that it has told.
type record struct {
	mu   sync.Mutex
	sums []sum // oldest first, at most memory; guarded by mu
}

func (r *record) remember(s sum) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums = append(r.sums[max(0, len(r.sums)-memory+1):], s)
}

func (r *record) remembered() []sum {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sums)
}

// past answers with the points of the charts that have been told in the last minutes, by whichever node.
func (c *console) past(ctx context.Context, _ struct{}) (any, error) {
	all := c.remembered()
	answers, _ := others[[]sum](ctx, c, commandPast) // a node that does not answer had its say in the figures
	for _, more := range answers {
		all = append(all, more...)
	}
	slices.SortFunc(all, func(a, b sum) int { return cmp.Compare(a.Time, b.Time) })
	recent := time.Now().Add(-memory * pace).UnixMilli()
	all = slices.DeleteFunc(all, func(s sum) bool { return s.Time < recent })
	return struct {
		Sums []sum `json:"sums"`
	}{append([]sum{}, all...)}, nil
}
