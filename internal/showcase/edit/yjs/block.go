package yjs

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// cut returns the part of a block from one clock of its own to before another.
func (b *block) cut(client, from, to uint64) block {
	part := block{clock: b.clock + from, length: to - from}
	if b.kind() == kindGC {
		part.raw = binary.AppendUvarint([]byte{kindGC}, part.length)
		return part
	}
	if from == 0 {
		part.right, part.content = b.right, b.content
		part.raw = append(make([]byte, 0, len(b.raw)), b.raw[:b.content]...)
	} else { // what was to the left of it is the rest of the block
		part.raw = binary.AppendUvarint([]byte{b.raw[0]&^hasSub | hasOrigin}, client)
		part.raw = binary.AppendUvarint(part.raw, part.clock-1)
		part.right = uint32(len(part.raw))
		part.raw = append(part.raw, b.rightOrigin()...)
		part.content = uint32(len(part.raw))
	}
	part.raw = appendContent(part.raw, b.kind(), b.raw[b.content:], from, to)
	return part
}

// rightOrigin returns what stands about that in the block, or nothing.
func (b *block) rightOrigin() []byte {
	if b.raw[0]&hasRight == 0 {
		return nil
	}
	return b.raw[b.right:b.content]
}

// appendContent appends a part of the content of an item. Contents that have a length of 1 by their kind are never cut.
func appendContent(dst []byte, kind byte, content []byte, from, to uint64) []byte {
	r := &reader{b: content}
	switch kind {
	case kindDeleted:
		return binary.AppendUvarint(dst, to-from)
	case kindString:
		return appendBytes(dst, utf16Cut(r.string(), from, to))
	case kindJSON, kindAny:
		r.count()
		starts := []int{r.at}
		for i := uint64(0); i < to; i++ {
			if readElement(r, kind); i+1 == from {
				starts[0] = r.at
			}
		}
		dst = binary.AppendUvarint(dst, to-from)
		return append(dst, content[starts[0]:r.at]...)
	}
	return append(dst, content...)
}

// collected leaves only the place of what has been deleted. Shared types stay, as what is in them refers to them, and so do formats.
func collected(client uint64, blocks []block, deleted spans) []block {
	var out []block
	for i := range blocks {
		b := &blocks[i]
		for at := b.clock; at < b.end(); {
			gone, end := false, b.end()
			if k := deleted.from(at + 1); k < len(deleted) && deleted[k].a < end {
				if gone = deleted[k].a <= at; gone {
					end = min(end, deleted[k].b)
				} else {
					end = deleted[k].a
				}
			}
			part := *b
			if at != b.clock || end != b.end() {
				part = b.cut(client, at-b.clock, end-b.clock)
			}
			if gone {
				part.forget()
			}
			out = append(out, part)
			at = end
		}
	}
	return out
}

// forget replaces the content of an item by its length.
func (b *block) forget() {
	switch b.kind() {
	case kindJSON, kindBinary, kindString, kindEmbed, kindAny:
		raw := slices.Clone(b.raw[:b.content])
		raw[0] = raw[0]&^kindBits | kindDeleted
		b.raw = binary.AppendUvarint(raw, b.length)
	}
}

// joined makes one block of neighbours that were put in one behind the other, such as the letters of a word. Nothing tells it from
// one that was put in at once: where something comes in between, clients split it again.
func joined(client uint64, blocks []block) []block {
	out := blocks[:0]
	for i := 0; i < len(blocks); {
		j := i + 1
		for j < len(blocks) && continues(client, &blocks[j-1], &blocks[j]) {
			j++
		}
		out = append(out, join(blocks[i:j]))
		i = j
	}
	return out
}

// continues reports whether b can be one block with a, the one before it.
func continues(client uint64, a, b *block) bool {
	kind := a.kind()
	if b.kind() != kind || a.end() != b.clock {
		return false
	}
	if kind == kindGC {
		return true
	}
	if kind != kindString && kind != kindDeleted || b.raw[0]&hasOrigin == 0 {
		return false
	}
	r := &reader{b: b.raw, at: 1}
	return r.uint() == client && r.uint() == a.end()-1 && a.raw[0]&hasRight == b.raw[0]&hasRight && bytes.Equal(a.rightOrigin(), b.rightOrigin())
}

func join(run []block) block {
	b := run[0]
	if len(run) == 1 {
		return b
	}
	b.length = run[len(run)-1].end() - b.clock
	switch b.kind() {
	case kindGC:
		b.raw = binary.AppendUvarint([]byte{kindGC}, b.length)
	case kindDeleted:
		b.raw = binary.AppendUvarint(slices.Clone(b.raw[:b.content]), b.length)
	case kindString:
		var text []byte
		for i := range run {
			r := &reader{b: run[i].raw, at: int(run[i].content)}
			text = append(text, r.string()...)
		}
		b.raw = appendBytes(slices.Clone(b.raw[:b.content]), text)
	}
	return b
}

// utf16Len returns how long a string is for JavaScript, and so for Yjs.
func utf16Len(s []byte) uint64 {
	n := 0
	for _, r := range string(s) {
		n++
		if r > 0xffff {
			n++
		}
	}
	return uint64(n)
}

// utf16Cut returns a part of a string by its places in JavaScript. Of a character of which only one half is in it stands U+FFFD, as in Yjs.
func utf16Cut(s []byte, from, to uint64) []byte {
	var out []byte
	at := uint64(0)
	for _, r := range string(s) {
		size := uint64(1)
		if r > 0xffff {
			size = 2
		}
		switch inside := min(at+size, to) - min(max(at, from), to); {
		case at+size <= from || inside == 0:
		case inside == size:
			out = utf8.AppendRune(out, r)
		default:
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		at += size
	}
	return out
}
