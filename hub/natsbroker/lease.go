package natsbroker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// leaseState is how far the end of a node has got.
type leaseState int

const (
	leaseValid   leaseState = iota
	leaseOver               // all who are present through the node have left; their entries are still to be removed
	leaseCleared            // they have been
)

const maxLease = 256 << 10 // bytes of a lease

// clearedLife is how long the bucket remembers a lease that is over, so that a node which was only asleep finds out.
const clearedLife = 10 * time.Minute

// leaseValue is under the key of a node, as JSON. The node renews it; whoever has not seen that for too long puts that it is over.
type leaseValue struct {
	State   leaseState `json:"state,omitempty"`
	Address string     `json:"address,omitempty"` // where it is sent commands, which outlasts a lease
	Offers  []string   `json:"offers,omitempty"`  // patterns of methods that it answers
}

func (v leaseValue) encode() []byte {
	data, _ := json.Marshal(v) // it has nothing that could fail
	return data
}

func validLease(data []byte) bool {
	var v leaseValue
	return len(data) > 0 && json.Unmarshal(data, &v) == nil && v.State == leaseValid
}

// lease is a node as the others see it.
type lease struct {
	leaseValue
	sequence uint64 // of its last renewal
	// idle is for how long it has not been seen to be renewed, by our own monotonic clock and while we could have seen it.
	idle  time.Duration
	fresh bool // it was renewed since the last audit
}

// leases are all nodes, by id. The roster's lock guards them.
type leases struct {
	all  map[string]*lease
	seen uint64 // the highest sequence
}

func (l *leases) valid(node string) bool {
	known := l.all[node]
	return known != nil && known.State == leaseValid
}

func (l *leases) known(node string) bool { return l.all[node] != nil }

// apply takes note of a record. It reports whether a node has come or gone with it.
func (l *leases) apply(r record) (node string, came, went bool, err error) {
	node = strings.TrimPrefix(r.key, leaseKeys)
	l.seen = max(l.seen, r.sequence)
	known := l.all[node]
	if known != nil && r.sequence <= known.sequence {
		return node, false, false, nil
	}
	before := known != nil && known.State == leaseValid
	if len(r.data) == 0 {
		delete(l.all, node)
		return node, false, before, nil
	}
	var value leaseValue
	if err := json.Unmarshal(r.data, &value); err != nil {
		return node, false, false, fmt.Errorf("a lease cannot be read: %q, %w", r.data, err)
	}
	if known == nil {
		known = &lease{}
		l.all[node] = known
	}
	known.leaseValue, known.sequence, known.idle, known.fresh = value, r.sequence, 0, true
	after := value.State == leaseValid
	return node, after && !before, before && !after, nil
}

// age adds to the time in which leases have not been renewed, and returns the nodes whose leases were not for limit.
func (l *leases) age(elapsed, limit time.Duration) (late []string) {
	for node, lease := range l.all {
		if lease.fresh {
			lease.fresh, lease.idle = false, 0
			continue
		}
		lease.idle += elapsed
		if lease.idle >= limit && lease.State != leaseCleared {
			late = append(late, node)
		}
	}
	return late
}

// absent returns the nodes that were not found although their sequence is not above fence.
func (l *leases) absent(fence uint64, found map[string]struct{}) (nodes []string) {
	for node, lease := range l.all {
		if _, there := found[node]; !there && lease.sequence <= fence {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// addresses returns where the other nodes are, those that offer a method if it is not empty.
func (l *leases) addresses(own, method string) (all []string) {
	for _, lease := range l.all {
		if lease.State != leaseValid || lease.Address == own {
			continue
		}
		if method == "" || slices.ContainsFunc(lease.Offers, func(pattern string) bool { return hub.Match(pattern, method) }) {
			all = append(all, lease.Address)
		}
	}
	return all
}

// rewind makes any record be news: the bucket begins anew.
func (l *leases) rewind() {
	l.seen = 0
	for _, lease := range l.all {
		lease.sequence = 0
	}
}
