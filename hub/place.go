package hub

import "strings"

// place is a topic or a pattern that somebody subscribes to here. Hub.mu guards it.
type place struct {
	name  string // immutable
	rule  *rule  // nil for a pattern: there the rule of the message's topic holds
	epoch string // of the positions of its subscriptions
	subs  []*subscription
}

func (p *place) deliver(m *Message, r *rule) {
	for _, s := range p.subs {
		if m.Except == "" || m.Except != s.owner.id {
			s.offer(m, r)
		}
	}
}

func (p *place) add(s *subscription) {
	s.index = len(p.subs)
	p.subs = append(p.subs, s)
}

// remove moves the last subscription into the place of s.
func (p *place) remove(s *subscription) {
	end := len(p.subs) - 1
	p.subs[s.index] = p.subs[end]
	p.subs[s.index].index = s.index
	p.subs[end] = nil
	p.subs = p.subs[:end]
}

// miss tells all subscriptions of a gap up to until.
func (p *place) miss(reason GapReason, until Position, r *rule) {
	for _, s := range p.subs {
		s.miss(reason, until, r)
	}
	p.epoch = until.Epoch
}

// open returns the place for a topic or pattern, and makes it if need be. The caller holds mu.
func (h *Hub) open(name string) *place {
	if isPattern(name) {
		return h.patterns.open(name)
	}
	t := h.topics[name]
	if t == nil {
		t = &place{name: name, rule: h.rules.Load().of(name)}
		h.topics[name] = t
	}
	return t
}

// vacate forgets a place that nobody subscribes to. The caller holds mu.
func (h *Hub) vacate(p *place) {
	switch {
	case len(p.subs) > 0:
	case p.rule == nil:
		h.patterns.remove(p.name)
	default:
		delete(h.topics, p.name)
	}
}

// patterns finds the patterns that match a topic, by its parts.
type patterns struct {
	root  node
	count int
}

// node stands for the parts of patterns up to here.
type node struct {
	next  map[string]*node // by the following part; "*" among them
	here  *place           // the pattern that ends here
	below *place           // the pattern that ends with > here
}

func (n *node) empty() bool { return len(n.next) == 0 && n.here == nil && n.below == nil }

// find returns where the place of a pattern is kept, with the nodes that lead there, made if need be.
func (t *patterns) find(pattern string) (slot **place, path []*node, parts []string) {
	parts = strings.Split(pattern, ".")
	n := &t.root
	for i, part := range parts {
		path = append(path, n)
		if part == ">" {
			return &n.below, path, parts[:i]
		}
		if n.next == nil {
			n.next = make(map[string]*node)
		}
		if n.next[part] == nil {
			n.next[part] = &node{}
		}
		n = n.next[part]
	}
	return &n.here, append(path, n), parts
}

func (t *patterns) open(pattern string) *place {
	slot, _, _ := t.find(pattern)
	if *slot == nil {
		*slot = &place{name: pattern}
		t.count++
	}
	return *slot
}

// remove forgets a pattern that is there, and the nodes that only it needed.
func (t *patterns) remove(pattern string) {
	slot, path, parts := t.find(pattern)
	*slot = nil
	t.count--
	for i := len(path) - 1; i > 0 && path[i].empty(); i-- {
		delete(path[i-1].next, parts[i-1])
	}
}

// get returns the place of a pattern, or nil.
func (t *patterns) get(pattern string) *place {
	n := &t.root
	for part := range strings.SplitSeq(pattern, ".") {
		if part == ">" {
			return n.below
		}
		if n = n.next[part]; n == nil {
			return nil
		}
	}
	return n.here
}

// each calls f for every place.
func (t *patterns) each(f func(*place)) { t.root.each(f) }

func (n *node) each(f func(*place)) {
	for _, p := range [...]*place{n.here, n.below} {
		if p != nil {
			f(p)
		}
	}
	for _, next := range n.next {
		next.each(f)
	}
}

func (t *patterns) match(topic string) []*place { return t.root.match(topic, nil) }

func (n *node) match(rest string, found []*place) []*place {
	if n.below != nil {
		found = append(found, n.below)
	}
	part, after, more := strings.Cut(rest, ".")
	for _, key := range [...]string{part, "*"} {
		next := n.next[key]
		switch {
		case next == nil:
		case more:
			found = next.match(after, found)
		case next.here != nil:
			found = append(found, next.here)
		}
	}
	return found
}
