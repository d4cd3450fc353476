package natsbroker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// entry values, as JSON in the bucket.
type (
	// presentValue is under the key of a user.
	presentValue struct {
		Connections int    `json:"connections"`
		Info        []byte `json:"info,omitempty"`
		Since       uint64 `json:"since,omitempty"` // the sequence with which Info came; 0: that of this very record
	}
	// countedValue is under the key of those who are only counted.
	countedValue struct {
		Users       int `json:"users"`
		Connections int `json:"connections"`
	}
)

// crowd is who is in one topic, by what records of the bucket say. A record with a lower sequence than a known one of the same key is old
// news, so records may come more than once and in any order.
type crowd struct {
	people map[string]*person // by token
	counts map[string]*count  // of those who are only counted, by node
	seen   uint64             // the highest sequence
}

// person is a user, perhaps on several nodes.
type person struct {
	user string
	info []byte
	here bool // as it was told
	at   []presence
}

// presence is a user's connections through one node.
type presence struct {
	node        string
	connections int // 0: they have left
	info        []byte
	since       uint64 // with which sequence the info came
	sequence    uint64
	left        time.Time
}

type count struct {
	countedValue
	sequence uint64
	left     time.Time
}

func newCrowd() *crowd {
	return &crowd{people: make(map[string]*person), counts: make(map[string]*count)}
}

// apply takes note of a record, and returns whom it concerns, if it is news of a user.
func (c *crowd) apply(k entryKey, r record, now time.Time) (*person, error) {
	c.seen = max(c.seen, r.sequence)
	if k.user == countToken {
		return nil, c.count(k.node, r, now)
	}
	var value presentValue
	if len(r.data) > 0 {
		if err := json.Unmarshal(r.data, &value); err != nil {
			return nil, fmt.Errorf("an entry cannot be read: %q, %w", r.data, err)
		}
		value.Connections = max(1, value.Connections) // who is not there has no entry
	}
	p := c.people[k.user]
	if p == nil {
		user, ok := untoken(k.user)
		if !ok {
			return nil, fmt.Errorf("a key names no user: %q", k.user)
		}
		p = &person{user: user}
		c.people[k.user] = p
	}
	i := slices.IndexFunc(p.at, func(at presence) bool { return at.node == k.node })
	if i < 0 {
		i = len(p.at)
		p.at = append(p.at, presence{node: k.node})
	}
	at := &p.at[i]
	if r.sequence <= at.sequence {
		return nil, nil
	}
	*at = presence{k.node, value.Connections, value.Info, cmp.Or(value.Since, r.sequence), r.sequence, now}
	return p, nil
}

func (c *crowd) count(node string, r record, now time.Time) error {
	var value countedValue
	if len(r.data) > 0 {
		if err := json.Unmarshal(r.data, &value); err != nil {
			return fmt.Errorf("a count cannot be read: %q, %w", r.data, err)
		}
	}
	known := c.counts[node]
	if known == nil {
		known = &count{}
		c.counts[node] = known
	}
	if r.sequence > known.sequence {
		*known = count{value, r.sequence, now}
	}
	return nil
}

// settle finds out whether a person is here, and reports whether that has changed.
func (p *person) settle(alive func(node string) bool) (changed bool) {
	here := false
	var since uint64
	for i := range p.at {
		at := &p.at[i]
		if at.connections == 0 || !alive(at.node) {
			continue
		}
		here = true
		if at.since >= since {
			since, p.info = at.since, at.info
		}
	}
	changed = here != p.here
	p.here = here
	return changed
}

func (p *person) connections(alive func(node string) bool) (n int) {
	for _, at := range p.at {
		if alive(at.node) {
			n += at.connections
		}
	}
	return n
}

// present is who is there, as hub.Roster says.
func (c *crowd) present(limit int, alive func(node string) bool) hub.Present {
	var all hub.Present
	for _, p := range c.people {
		if !p.here {
			continue
		}
		n := p.connections(alive)
		all.Count++
		all.Connections += n
		if limit > 0 {
			all.Users = append(all.Users, hub.PresentUser{Publisher: hub.Publisher{User: p.user, Info: p.info}, Connections: n})
		}
	}
	slices.SortFunc(all.Users, func(a, b hub.PresentUser) int { return cmp.Compare(a.User, b.User) })
	all.Users = all.Users[:min(limit, len(all.Users))]
	if limit > 0 {
		return all
	}
	for node, count := range c.counts {
		if alive(node) {
			all.Count += count.Users
			all.Connections += count.Connections
		}
	}
	return all
}

// settleAll finds out who is here.
func (c *crowd) settleAll(alive func(node string) bool) {
	for _, p := range c.people {
		p.settle(alive)
	}
}

// knows reports whether all nodes of the crowd are known.
func (c *crowd) knows(known func(node string) bool) bool {
	for _, p := range c.people {
		for _, at := range p.at {
			if at.connections > 0 && !known(at.node) {
				return false
			}
		}
	}
	for node := range c.counts {
		if !known(node) {
			return false
		}
	}
	return true
}

// absent returns the keys with sequences up to fence that were not found there: those of people who have left perhaps.
func (c *crowd) absent(topic string, fence uint64, found map[entryKey]struct{}) (keys []entryKey) {
	check := func(k entryKey, sequence uint64) {
		if _, there := found[k]; !there && sequence <= fence {
			keys = append(keys, k)
		}
	}
	for user, p := range c.people {
		for _, at := range p.at {
			if at.connections > 0 {
				check(entryKey{topic, at.node, user}, at.sequence)
			}
		}
	}
	for node, count := range c.counts {
		if count.Connections > 0 {
			check(entryKey{topic, node, countToken}, count.sequence)
		}
	}
	return keys
}

// sequence returns the sequence of a key's record, or 0.
func (c *crowd) sequence(k entryKey) uint64 {
	if k.user == countToken {
		if known := c.counts[k.node]; known != nil {
			return known.sequence
		}
		return 0
	}
	if p := c.people[k.user]; p != nil {
		for _, at := range p.at {
			if at.node == k.node {
				return at.sequence
			}
		}
	}
	return 0
}

// forget forgets who left before a time, and so cannot be brought back by an old record any more.
func (c *crowd) forget(before time.Time) {
	for user, p := range c.people {
		p.at = slices.DeleteFunc(p.at, func(at presence) bool { return at.connections == 0 && at.left.Before(before) })
		if len(p.at) == 0 {
			delete(c.people, user)
		}
	}
	for node, count := range c.counts {
		if count.Connections == 0 && count.left.Before(before) {
			delete(c.counts, node)
		}
	}
}

// remove takes an entry away, and returns whom that concerns.
func (c *crowd) remove(k entryKey, now time.Time) *person {
	if k.user == countToken {
		delete(c.counts, k.node)
		return nil
	}
	p := c.people[k.user]
	if p == nil {
		return nil
	}
	for i := range p.at {
		if p.at[i].node == k.node {
			p.at[i].connections, p.at[i].left = 0, now
		}
	}
	return p
}

// drop makes all leave that are present through a node, and calls visit for each.
func (c *crowd) drop(node string, now time.Time, visit func(*person)) {
	delete(c.counts, node)
	c.of(node, func(p *person, at *presence) {
		at.connections, at.left = 0, now
		visit(p)
	})
}

// of calls visit for those who are present through a node.
func (c *crowd) of(node string, visit func(*person, *presence)) {
	for _, p := range c.people {
		for i := range p.at {
			if at := &p.at[i]; at.node == node && at.connections > 0 {
				visit(p, at)
			}
		}
	}
}

// rewind makes any record be news: the bucket begins anew.
func (c *crowd) rewind() {
	c.seen = 0
	for _, p := range c.people {
		for i := range p.at {
			p.at[i].sequence, p.at[i].since = 0, 0
		}
	}
	for _, count := range c.counts {
		count.sequence = 0
	}
}
