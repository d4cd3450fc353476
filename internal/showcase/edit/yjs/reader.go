package yjs

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// maxInt is the largest integer that JavaScript, and so every client, can count to.
const maxInt = 1<<53 - 1

// maxDepth bounds values within values: clients read them recursively.
const maxDepth = 64

// reader reads what lib0, the library below Yjs, writes. After the first error everything that it returns is zero.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s", r.at, fmt.Sprintf(format, args...))
	}
}

func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) byte() byte {
	if r.err != nil || r.left() == 0 {
		r.fail("the end comes too early")
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// uint reads an integer of seven bits a byte, the low ones first.
func (r *reader) uint() uint64 {
	if r.err != nil {
		return 0
	}
	n, size := binary.Uvarint(r.b[r.at:])
	switch {
	case size == 0:
		r.fail("the end comes too early")
		return 0
	case size < 0 || n > maxInt:
		r.fail("a number above 2^53-1")
		return 0
	}
	r.at += size
	return n
}

// count reads how many things follow, each of which takes a byte or more.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(r.left()) {
		r.fail("%d things do not fit into %d bytes", n, r.left())
		return 0
	}
	return int(n)
}

// length reads how long something is that is not empty.
func (r *reader) length() uint64 {
	n := r.uint()
	if n == 0 {
		r.fail("a length of 0")
	}
	return n
}

// bytes reads bytes that begin with their number.
func (r *reader) bytes() []byte {
	n := r.count()
	if r.err != nil {
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

// string reads a string. Clients refuse to read what is not UTF-8.
func (r *reader) string() []byte {
	s := r.bytes()
	if !utf8.Valid(s) {
		r.fail("a string that is not UTF-8")
		return nil
	}
	return s
}

// json reads a value as JSON in a string.
func (r *reader) json() {
	if s := r.string(); r.err == nil && !json.Valid(s) {
		r.fail("a value that is not JSON")
	}
}

// any skips a value of lib0's own encoding.
func (r *reader) any(depth int) {
	if depth > maxDepth {
		r.fail("values within values, more than %d deep", maxDepth)
		return
	}
	switch kind := r.byte(); kind {
	case 127, 126, 121, 120: // undefined, null, false, true
	case 125: // an integer: its first byte has a sign and six bits
		if r.byte()&0x80 != 0 {
			r.uint()
		}
	case 124:
		r.skip(4)
	case 123, 122: // a float, a big integer
		r.skip(8)
	case 119:
		r.string()
	case 118:
		for n := r.count(); n > 0 && r.err == nil; n-- {
			r.string()
			r.any(depth + 1)
		}
	case 117:
		for n := r.count(); n > 0 && r.err == nil; n-- {
			r.any(depth + 1)
		}
	case 116:
		r.bytes()
	default:
		r.fail("a value of the unknown kind %d", kind)
	}
}

func (r *reader) skip(n int) {
	if r.left() < n {
		r.fail("the end comes too early")
		return
	}
	r.at += n
}

// end returns the error, which is one too if something is left.
func (r *reader) end(what string) error {
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes more than there should be", r.left())
	}
	if r.err != nil {
		return fmt.Errorf("yjs: not %s: %w", what, r.err)
	}
	return nil
}

func appendBytes(dst, p []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}
