// Package yjs reads and merges updates of Yjs documents, version 1 of the format, as a server needs it that keeps documents and does not
// look into them: Merge, Diff, StateVector. They do what mergeUpdates, diffUpdate and encodeStateVectorFromUpdate do in Yjs, without
// building the document. Merge can also leave out the text that has been deleted, as a document of Yjs does by itself.
//
// What clients send is not trusted. Parse refuses whatever would make a client of the document fail, such as strings that are not UTF-8,
// values that are not JSON and references to what comes later. What it takes and what it needs for that is bounded by the bytes of the
// input: about 25 for each of them. Nothing here keeps time, locks or goroutines.
package yjs

import (
	"cmp"
	"fmt"
	"slices"
)

// Limits bound what Parse takes. Zero fields stand for the defaults.
type Limits struct {
	Bytes   int // default 4 MiB
	Structs int // and ranges that are deleted; default 262,144
}

const (
	defaultBytes   = 4 << 20
	defaultStructs = 1 << 18
)

// Update is a parsed update. It refers to the bytes that it was parsed from, and does not change: it may be read from any goroutine.
type Update struct {
	blocks  map[uint64][]block // by client, ascending by clock, without overlaps
	deletes map[uint64]spans   // by client
	structs int                // and deletes
}

// block is one struct of Yjs: something inserted, or the place of something that is gone.
type block struct {
	clock, length uint64
	raw           []byte // as in the update, from its info on
	right         uint32 // of an item: where in raw its right origin begins
	content       uint32 // of an item: where in raw its content begins
}

func (b *block) end() uint64 { return b.clock + b.length }
func (b *block) kind() byte  { return b.raw[0] & kindBits }

// A struct begins with a byte, its info: what it is, and which parts follow.
const (
	kindBits  = 0x1f
	hasSub    = 0x20 // a key, if its parent is a map
	hasRight  = 0x40 // what stood to the right of it
	hasOrigin = 0x80 // what stood to the left of it
)

// The kinds of structs: those from 1 to 9 are items, by their content.
const (
	kindGC      = 0 // was collected: only its length is known
	kindDeleted = 1
	kindJSON    = 2
	kindBinary  = 3
	kindString  = 4
	kindEmbed   = 5
	kindFormat  = 6
	kindType    = 7
	kindAny     = 8
	kindDoc     = 9
	kindSkip    = 10 // not in this update
)

// Parse reads an update. The error says what is wrong with it, and where.
func Parse(b []byte, l Limits) (*Update, error) {
	l.Bytes, l.Structs = cmp.Or(l.Bytes, defaultBytes), cmp.Or(l.Structs, defaultStructs)
	if len(b) > l.Bytes {
		return nil, fmt.Errorf("yjs: an update of %d bytes is too large: at most %d", len(b), l.Bytes)
	}
	u := &Update{blocks: make(map[uint64][]block), deletes: make(map[uint64]spans)}
	r := &reader{b: b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		u.readClient(r, l.Structs)
	}
	u.readDeletes(r, l.Structs)
	if err := r.end("an update"); err != nil {
		return nil, err
	}
	return u, nil
}

// IsEmpty reports whether the update says nothing.
func (u *Update) IsEmpty() bool { return len(u.blocks) == 0 && len(u.deletes) == 0 }

// OnlyDeletes reports whether the update adds nothing to the document.
func (u *Update) OnlyDeletes() bool { return len(u.blocks) == 0 }

// Deletes reports whether the update deletes anything.
func (u *Update) Deletes() bool { return len(u.deletes) > 0 }

// Structs returns how many structs and ranges of deletes it has, which is what it costs in memory.
func (u *Update) Structs() int { return u.structs }

// count takes note of further structs.
func (u *Update) count(r *reader, n, most int) {
	if u.structs += n; u.structs > most {
		r.fail("more than %d structs", most)
	}
}

// readClient reads the structs of one client, which follow each other.
func (u *Update) readClient(r *reader, most int) {
	n := r.count()
	client, clock := r.uint(), r.uint()
	if n == 0 && r.err == nil {
		r.fail("client %d without a struct", client)
	}
	if u.blocks[client] != nil {
		r.fail("client %d for a second time", client)
	}
	if u.count(r, n, most); r.err != nil {
		return
	}
	blocks := make([]block, 0, min(n, 1+r.left()/2))
	for ; n > 0 && r.err == nil; n-- {
		b := readBlock(r, client, clock)
		if b.length > maxInt-clock {
			r.fail("a clock above 2^53-1")
		}
		if r.err == nil && b.kind() != kindSkip {
			blocks = append(blocks, b)
		}
		clock = b.end()
	}
	if r.err == nil && len(blocks) > 0 {
		u.blocks[client] = blocks
	}
}

func readBlock(r *reader, client, clock uint64) block {
	start := r.at
	b := block{clock: clock}
	switch info := r.byte(); {
	case r.err != nil:
	case info == kindGC:
		b.length = r.length()
	case info == kindSkip:
		b.length = r.uint()
	case info&kindBits >= kindDeleted && info&kindBits <= kindDoc:
		readItemHead(r, &b, start, info, client)
		b.content = uint32(r.at - start)
		b.length = readContent(r, info&kindBits)
	default:
		r.fail("a struct of the unknown kind %#x", info)
	}
	b.raw = r.b[start:r.at]
	if b.content > 0 && b.raw[0]&hasSub != 0 && b.raw[0]&(hasOrigin|hasRight) != 0 {
		b.raw = slices.Clone(b.raw) // the key is that of the neighbour: Yjs sometimes says so and sometimes not
		b.raw[0] &^= hasSub
	}
	return b
}

// readItemHead reads what an item says about its place: its neighbours at that time, or else what it is in.
func readItemHead(r *reader, b *block, start int, info byte, client uint64) {
	if info&hasOrigin != 0 {
		readID(r, client, b.clock)
	}
	b.right = uint32(r.at - start)
	if info&hasRight != 0 {
		readID(r, client, b.clock)
	}
	if info&(hasOrigin|hasRight) != 0 {
		return
	}
	switch r.uint() {
	case 1:
		r.string() // the name of a type of the document
	case 0:
		readID(r, client, b.clock)
	default:
		r.fail("a parent that is neither a name nor an item")
	}
	if info&hasSub != 0 {
		r.string()
	}
}

// readID reads the place of another item. A client's own items come one after the other, and clients of the document fail on what
// refers to a later one; what refers to another client waits until that is there.
func readID(r *reader, client, clock uint64) (uint64, uint64) {
	c, k := r.uint(), r.uint()
	if c == client && k >= clock && r.err == nil {
		r.fail("item %d of client %d refers to its item %d, which comes later", clock, client, k)
	}
	return c, k
}

// maxTypes is how many kinds of shared types there are; those at xmlElement and xmlHook have a name.
const (
	xmlElement = 3
	xmlHook    = 5
	maxTypes   = 7
)

// readContent reads the content of an item and returns its length in the document.
func readContent(r *reader, kind byte) (length uint64) {
	switch kind {
	case kindDeleted:
		return r.length()
	case kindString:
		return readText(r)
	case kindJSON, kindAny:
		n := r.count()
		if n == 0 {
			r.fail("an item without content")
		}
		for i := 0; i < n && r.err == nil; i++ {
			readElement(r, kind)
		}
		return uint64(n)
	case kindBinary:
		r.bytes()
	case kindEmbed:
		r.json()
	case kindFormat:
		r.string()
		r.json()
	case kindType:
		if t := r.uint(); t == xmlElement || t == xmlHook {
			r.string()
		} else if t >= maxTypes {
			r.fail("a shared type of the unknown kind %d", t)
		}
	case kindDoc:
		r.string()
		if r.err == nil && r.left() > 0 && r.b[r.at] != 118 {
			r.fail("a document whose options are no object")
		}
		r.any(0)
	}
	return 1
}

func readText(r *reader) uint64 {
	s := r.string()
	if len(s) == 0 {
		r.fail("an item without content")
	}
	return utf16Len(s)
}

// readElement reads one of the values of an item with several.
func readElement(r *reader, kind byte) {
	if kind == kindAny {
		r.any(0)
		return
	}
	start := r.at
	if s := r.string(); string(s) == "undefined" { // which is how Yjs writes that
		return
	}
	r.at = start
	r.json()
}

func (u *Update) readDeletes(r *reader, most int) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		client, m := r.uint(), r.count()
		u.count(r, m, most)
		for ; m > 0 && r.err == nil; m-- {
			clock, length := r.uint(), r.uint()
			if length > maxInt-clock {
				r.fail("a clock above 2^53-1")
			} else if length > 0 {
				u.deletes[client] = append(u.deletes[client], span{clock, clock + length})
			}
		}
	}
	for client, d := range u.deletes {
		u.deletes[client] = d.normal()
	}
}
