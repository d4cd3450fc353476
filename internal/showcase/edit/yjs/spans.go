package yjs

import (
	"cmp"
	"slices"
)

// span is the clocks from a to before b.
type span struct{ a, b uint64 }

// spans are ascending, and neither overlap nor touch.
type spans []span

// normal puts spans of any order in order.
func (s spans) normal() spans {
	slices.SortFunc(s, func(x, y span) int { return cmp.Compare(x.a, y.a) })
	out := s[:0]
	for _, next := range s {
		if last := len(out) - 1; last >= 0 && next.a <= out[last].b {
			out[last].b = max(out[last].b, next.b)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// from returns the index of the first span that ends at clock or behind it.
func (s spans) from(clock uint64) int {
	i, _ := slices.BinarySearchFunc(s, clock, func(x span, clock uint64) int { return cmp.Compare(x.b, clock) })
	return i
}

// union returns the spans with others. s is used for that.
func (s spans) union(others spans) spans {
	if len(others) > 1 {
		return append(s, others...).normal()
	}
	for _, n := range others { // by far the most frequent case: somebody types
		i := s.from(n.a)
		j := i
		for ; j < len(s) && s[j].a <= n.b; j++ {
			n.a, n.b = min(n.a, s[j].a), max(n.b, s[j].b)
		}
		s = slices.Replace(s, i, j, n)
	}
	return s
}

// has reports whether all of n is there.
func (s spans) has(n span) bool {
	i := s.from(n.a + 1)
	return i < len(s) && s[i].a <= n.a && s[i].b >= n.b
}
