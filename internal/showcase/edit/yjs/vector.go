package yjs

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// StateVector says how much of each client's doing somebody knows: everything before a clock.
type StateVector map[uint64]uint64

// ParseStateVector reads one.
func ParseStateVector(b []byte) (StateVector, error) {
	r := &reader{b: b}
	n := r.count()
	v := make(StateVector, min(n, r.left()/2))
	for ; n > 0 && r.err == nil; n-- {
		client, clock := r.uint(), r.uint()
		v[client] = clock
	}
	if err := r.end("a state vector"); err != nil {
		return nil, err
	}
	return v, nil
}

// Append appends it as Yjs writes it.
func (v StateVector) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	for _, client := range slices.SortedFunc(maps.Keys(v), func(a, b uint64) int { return cmp.Compare(b, a) }) {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, client), v[client])
	}
	return dst
}

// StateVector returns what somebody knows who has this update and nothing else. What stands behind a hole does not count.
func (u *Update) StateVector() StateVector {
	v := make(StateVector, len(u.blocks))
	for client := range u.blocks {
		if first := u.spans(client)[0]; first.a == 0 {
			v[client] = first.b
		}
	}
	return v
}

// spans returns which clocks of a client it has blocks for.
func (u *Update) spans(client uint64) spans {
	var s spans
	for i := range u.blocks[client] {
		if b, last := &u.blocks[client][i], len(s)-1; last >= 0 && s[last].b == b.clock {
			s[last].b = b.end()
		} else {
			s = append(s, span{b.clock, b.end()})
		}
	}
	return s
}

// Index knows what updates have said, without their content. The zero value knows nothing. It is for one goroutine at a time.
type Index struct {
	known, deleted map[uint64]spans
}

// Add takes note of an update.
func (x *Index) Add(u *Update) {
	if x.known == nil {
		x.known, x.deleted = make(map[uint64]spans), make(map[uint64]spans)
	}
	for client := range u.blocks {
		x.known[client] = x.known[client].union(u.spans(client))
	}
	for client, deletes := range u.deletes {
		x.deleted[client] = x.deleted[client].union(deletes)
	}
}

// Has reports whether an update says nothing new.
func (x *Index) Has(u *Update) bool {
	for client := range u.blocks {
		for _, said := range u.spans(client) {
			if !x.known[client].has(said) {
				return false
			}
		}
	}
	for client, deletes := range u.deletes {
		for _, d := range deletes {
			if !x.deleted[client].has(d) {
				return false
			}
		}
	}
	return true
}

// StateVector returns what somebody knows who has all the updates.
func (x *Index) StateVector() StateVector {
	v := make(StateVector, len(x.known))
	for client, known := range x.known {
		if known[0].a == 0 {
			v[client] = known[0].b
		}
	}
	return v
}
