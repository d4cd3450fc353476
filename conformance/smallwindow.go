package conformance

import "math/bits"

// deflateFixed compresses p behind the history into one block of fixed Huffman codes, RFC 1951 section 3.2.6, and the first
// byte of the empty stored block that ends a message. Matches reach as far back as the window allows, to its last byte.
func deflateFixed(history, p []byte, window int) []byte {
	all := append(append(make([]byte, 0, len(history)+len(p)), history...), p...)
	w := &bitWriter{}
	w.put(0, 1)           // BFINAL
	w.put(1, 2)           // BTYPE: fixed codes
	var last [1 << 12]int // position + 1 of the last three bytes with this hash
	seen := func(i int) int {
		if i+3 > len(all) {
			return 0
		}
		h := (uint32(all[i])<<16 | uint32(all[i+1])<<8 | uint32(all[i+2])) * 0x9E3779B1 >> 20
		before := last[h]
		last[h] = i + 1
		return before
	}
	for i := range history {
		seen(i)
	}
	for i := len(history); i < len(all); {
		n := 0
		from := seen(i) - 1
		if from >= 0 && i-from <= window {
			for n < 258 && i+n < len(all) && all[from+n] == all[i+n] {
				n++
			}
		}
		if n < 3 {
			w.symbol(int(all[i]))
			i++
			continue
		}
		w.match(n, i-from)
		for range n - 1 {
			i++
			seen(i)
		}
		i++
	}
	w.symbol(256)
	w.put(0, 3) // an empty stored block; the rest of it is what a sender leaves out
	return w.finish()
}

// bitWriter writes the bits of RFC 1951 section 3.1.1.
type bitWriter struct {
	out []byte
	acc uint32
	n   uint
}

func (w *bitWriter) put(v uint32, n uint) {
	w.acc |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// code writes a Huffman code, whose first bit is the most significant one.
func (w *bitWriter) code(v uint32, n uint) { w.put(bits.Reverse32(v)>>(32-n), n) }

// symbol writes a literal or length with the fixed code of section 3.2.6.
func (w *bitWriter) symbol(s int) {
	switch {
	case s < 144:
		w.code(uint32(0x30+s), 8)
	case s < 256:
		w.code(uint32(0x190+s-144), 9)
	case s < 280:
		w.code(uint32(s-256), 7)
	default:
		w.code(uint32(0xC0+s-280), 8)
	}
}

func (w *bitWriter) match(length, distance int) {
	l, d := len(lengthBase)-1, len(distBase)-1
	for lengthBase[l] > length {
		l--
	}
	for distBase[d] > distance {
		d--
	}
	w.symbol(257 + l)
	w.put(uint32(length-lengthBase[l]), lengthExtra[l])
	w.code(uint32(d), 5)
	w.put(uint32(distance-distBase[d]), distExtra[d])
}

func (w *bitWriter) finish() []byte {
	if w.n > 0 {
		w.out = append(w.out, byte(w.acc))
	}
	return w.out
}
