package yjs

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// MergeUpdates makes one update of several, which has the effect of all of them in any order.
func MergeUpdates(updates ...[]byte) ([]byte, error) {
	parsed := make([]*Update, len(updates))
	for i, b := range updates {
		var err error
		if parsed[i], err = Parse(b, Limits{}); err != nil {
			return nil, err
		}
	}
	return Merge(parsed, false), nil
}

// Merge is MergeUpdates for parsed updates. With collect, what has been deleted leaves only its place, which is all that clients need of
// it: Yjs calls that garbage collection. The same updates always give the same bytes, in whatever order they come.
func Merge(updates []*Update, collect bool) []byte {
	blocks := make(map[uint64][]block)
	deletes := make(map[uint64]spans)
	for _, u := range updates {
		for client, b := range u.blocks {
			blocks[client] = append(blocks[client], b...)
		}
		for client, d := range u.deletes {
			deletes[client] = append(deletes[client], d...)
		}
	}
	for client, d := range deletes {
		deletes[client] = d.normal()
	}
	for client := range blocks {
		once := withoutOverlaps(client, blocks[client])
		if collect {
			once = collected(client, once, deletes[client])
		}
		blocks[client] = joined(client, once)
	}
	return encode(blocks, deletes)
}

// withoutOverlaps puts blocks of one client in order, each clock once.
func withoutOverlaps(client uint64, blocks []block) []block {
	slices.SortStableFunc(blocks, func(a, b block) int {
		// Of blocks at the same clock the longest is taken, so that the order of the updates does not matter.
		return cmp.Or(cmp.Compare(a.clock, b.clock), cmp.Compare(b.length, a.length), slices.Compare(a.raw, b.raw))
	})
	out := blocks[:0]
	end := uint64(0)
	for _, b := range blocks {
		if b.end() <= end {
			continue
		}
		if b.clock < end {
			b = b.cut(client, end-b.clock, b.length)
		}
		out = append(out, b)
		end = b.end()
	}
	return out
}

// Diff returns what of an update somebody lacks who has a state vector: as in Yjs, with all that it deletes.
func (u *Update) Diff(has StateVector) []byte {
	blocks := make(map[uint64][]block, len(u.blocks))
	for client, all := range u.blocks {
		first, _ := slices.BinarySearchFunc(all, has[client]+1, func(b block, end uint64) int { return cmp.Compare(b.end(), end) })
		lacks := slices.Clone(all[first:])
		if len(lacks) == 0 {
			continue
		}
		if b := &lacks[0]; b.clock < has[client] {
			*b = b.cut(client, has[client]-b.clock, b.length)
		}
		blocks[client] = lacks
	}
	return encode(blocks, u.deletes)
}

// encode writes an update: clients with higher numbers first, as in Yjs.
func encode(blocks map[uint64][]block, deletes map[uint64]spans) []byte {
	descending := func(a, b uint64) int { return cmp.Compare(b, a) }
	dst := binary.AppendUvarint(nil, uint64(len(blocks)))
	for _, client := range slices.SortedFunc(maps.Keys(blocks), descending) {
		dst = appendClient(dst, client, blocks[client])
	}
	dst = binary.AppendUvarint(dst, uint64(len(deletes)))
	for _, client := range slices.SortedFunc(maps.Keys(deletes), descending) {
		dst = binary.AppendUvarint(dst, client)
		dst = binary.AppendUvarint(dst, uint64(len(deletes[client])))
		for _, d := range deletes[client] {
			dst = binary.AppendUvarint(dst, d.a)
			dst = binary.AppendUvarint(dst, d.b-d.a)
		}
	}
	return dst
}

func appendClient(dst []byte, client uint64, blocks []block) []byte {
	n, end := len(blocks), blocks[0].clock
	for _, b := range blocks {
		if b.clock > end {
			n++
		}
		end = b.end()
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, client)
	dst = binary.AppendUvarint(dst, blocks[0].clock)
	end = blocks[0].clock
	for _, b := range blocks {
		if b.clock > end {
			dst = binary.AppendUvarint(append(dst, kindSkip), b.clock-end)
		}
		dst = append(dst, b.raw...)
		end = b.end()
	}
	return dst
}
