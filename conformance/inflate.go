package conformance

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// Compression of RFC 7692 with the standard library's flate, which knows only windows of 32 KiB. For smaller windows there is
// a plain compressor of our own (smallwindow.go), and scanDeflate reads the peer's blocks to see how far its matches reach.

// maxInflated bounds what one message of the peer may inflate to.
const maxInflated = 160 << 20

// window is the LZ77 window in bytes for a number of bits.
func window(bits int) int { return 1 << bits }

// compressor is our sending half.
type compressor struct {
	bits     int
	takeover bool
	w        *flate.Writer // for 15 bits
	history  []byte        // for fewer bits, with takeover
	out      bytes.Buffer
}

// message compresses p and takes 00 00 ff ff off the end, RFC 7692 section 7.2.1.
func (c *compressor) message(p []byte) []byte {
	c.out.Reset()
	if c.bits == 15 {
		if c.w == nil {
			c.w, _ = flate.NewWriter(&c.out, flate.BestSpeed)
		} else if !c.takeover {
			c.w.Reset(&c.out)
		}
		_, _ = c.w.Write(p)
		_ = c.w.Flush()
		return trimTail(c.out.Bytes())
	}
	if !c.takeover {
		c.history = nil
	}
	out := deflateFixed(c.history, p, window(c.bits))
	c.history = lastBytes(append(c.history, p...), window(c.bits))
	return out
}

func trimTail(p []byte) []byte {
	return bytes.Clone(bytes.TrimSuffix(p, []byte{0, 0, 0xff, 0xff}))
}

func lastBytes(p []byte, n int) []byte {
	if len(p) > n {
		p = p[len(p)-n:]
	}
	return bytes.Clone(p)
}

// decompressor is our receiving half.
type decompressor struct {
	bits     int
	takeover bool
	history  []byte
}

// message inflates the payload of a message, RFC 7692 section 7.2.2, and checks how far the peer's matches reach.
func (d *decompressor) message(p []byte) ([]byte, error) {
	if !d.takeover {
		d.history = nil
	}
	blocks, err := scanDeflate(append(bytes.Clone(p), 0, 0, 0xff, 0xff))
	if err != nil {
		return nil, err
	}
	if blocks.distance > window(d.bits) {
		return nil, fmt.Errorf("a match reaches %d bytes back, the agreed window of %d bits holds %d", blocks.distance, d.bits, window(d.bits))
	}
	out, err := inflate(p, d.history)
	if err != nil {
		return nil, err
	}
	d.history = lastBytes(append(d.history, out...), window(d.bits))
	return out, nil
}

// inflate puts the tail back, adds an empty final block so that flate sees an end, and goes on behind any final block
// that the sender wrote in the middle, which section 7.2.3.4 allows.
func inflate(p, history []byte) ([]byte, error) {
	in := bytes.NewReader(append(bytes.Clone(p), 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff))
	var out []byte
	for in.Len() > 0 {
		r := flate.NewReaderDict(in, lastBytes(append(bytes.Clone(history), out...), window(15)))
		part, err := io.ReadAll(io.LimitReader(r, maxInflated+1-int64(len(out))))
		if err != nil {
			return nil, err
		}
		if out = append(out, part...); len(out) > maxInflated {
			return nil, errors.New("more than 160 MiB")
		}
	}
	return out, nil
}

// blockScan is what scanDeflate saw.
type blockScan struct {
	distance int    // the farthest match
	kinds    []byte // 's' stored, 'f' fixed, 'd' dynamic; in upper case with BFINAL
}

// bitReader reads the bits of RFC 1951 section 3.1.1.
type bitReader struct {
	in   []byte
	pos  int
	bits uint32
	n    uint
}

var errTruncated = errors.New("the deflate data ends inside a block")

func (b *bitReader) take(n uint) (int, error) {
	for b.n < n {
		if b.pos >= len(b.in) {
			return 0, errTruncated
		}
		b.bits |= uint32(b.in[b.pos]) << b.n
		b.pos++
		b.n += 8
	}
	v := b.bits & (1<<n - 1)
	b.bits >>= n
	b.n -= n
	return int(v), nil
}

// align drops the rest of the current byte. take never holds a whole unread byte more than it needs, so pos is right.
func (b *bitReader) align() { b.bits, b.n = 0, 0 }

// huffman is a canonical code: how many codes of each length, and the symbols in order, RFC 1951 section 3.2.2.
type huffman struct {
	count  [16]int
	symbol []int
}

func newHuffman(lengths []int) *huffman {
	h := &huffman{symbol: make([]int, len(lengths))}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	var at [16]int
	for l := 1; l < 15; l++ {
		at[l+1] = at[l] + h.count[l]
	}
	for s, l := range lengths {
		if l > 0 {
			h.symbol[at[l]] = s
			at[l]++
		}
	}
	return h
}

func (h *huffman) read(b *bitReader) (int, error) {
	code, first, index := 0, 0, 0
	for l := 1; l < 16; l++ {
		bit, err := b.take(1)
		if err != nil {
			return 0, err
		}
		code |= bit
		if code-h.count[l] < first {
			return h.symbol[index+code-first], nil
		}
		index += h.count[l]
		first = (first + h.count[l]) << 1
		code <<= 1
	}
	return 0, errors.New("an unknown Huffman code")
}

// Lengths and distances of RFC 1951 section 3.2.5.
var (
	lengthBase  = [29]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
		2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra = [30]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	codeOrder = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// scanDeflate reads blocks without producing output.
func scanDeflate(p []byte) (blockScan, error) {
	var s blockScan
	b := &bitReader{in: p}
	for b.pos < len(b.in) {
		final, err := b.take(1)
		if err != nil {
			return s, err
		}
		kind, err := b.take(2)
		if err != nil {
			return s, err
		}
		if err := s.block(b, kind); err != nil {
			return s, err
		}
		if k := "sfd"[kind]; final == 1 {
			s.kinds = append(s.kinds, k-'a'+'A')
			b.align() // section 7.2.3.4: the next block starts on a byte boundary
		} else {
			s.kinds = append(s.kinds, k)
		}
	}
	return s, nil
}

func (s *blockScan) block(b *bitReader, kind int) error {
	switch kind {
	case 0:
		return scanStored(b)
	case 1:
		lengths := make([]int, 288)
		for i := range lengths {
			lengths[i] = 8
			switch {
			case i >= 144 && i < 256:
				lengths[i] = 9
			case i >= 256 && i < 280:
				lengths[i] = 7
			}
		}
		return s.codes(b, newHuffman(lengths), newHuffman([]int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}))
	case 2:
		literal, dist, err := readDynamic(b)
		if err != nil {
			return err
		}
		return s.codes(b, literal, dist)
	}
	return errors.New("reserved block type 3")
}

func scanStored(b *bitReader) error {
	b.align()
	if b.pos+4 > len(b.in) {
		return errTruncated
	}
	n := int(b.in[b.pos]) | int(b.in[b.pos+1])<<8
	if m := int(b.in[b.pos+2]) | int(b.in[b.pos+3])<<8; n != m^0xFFFF {
		return errors.New("a stored block whose length does not match its complement")
	}
	b.pos += 4 + n
	if b.pos > len(b.in) {
		return errTruncated
	}
	return nil
}

// readDynamic reads the two codes of a dynamic block, RFC 1951 section 3.2.7.
func readDynamic(b *bitReader) (literal, dist *huffman, err error) {
	head, err := b.take(14)
	if err != nil {
		return nil, nil, err
	}
	nlit, ndist, ncode := head&31+257, head>>5&31+1, head>>10+4
	lengths := make([]int, 19)
	for i := range ncode {
		if lengths[codeOrder[i]], err = b.take(3); err != nil {
			return nil, nil, err
		}
	}
	code := newHuffman(lengths)
	lengths = make([]int, 0, nlit+ndist)
	for len(lengths) < nlit+ndist {
		symbol, err := code.read(b)
		if err != nil {
			return nil, nil, err
		}
		if symbol < 16 {
			lengths = append(lengths, symbol)
			continue
		}
		if lengths, err = repeatLength(b, lengths, symbol); err != nil {
			return nil, nil, err
		}
	}
	if len(lengths) > nlit+ndist {
		return nil, nil, errors.New("too many code lengths")
	}
	return newHuffman(lengths[:nlit]), newHuffman(lengths[nlit:]), nil
}

func repeatLength(b *bitReader, lengths []int, symbol int) ([]int, error) {
	bits, base, value := uint(2), 3, 0
	switch {
	case symbol == 16 && len(lengths) == 0:
		return nil, errors.New("a repeated code length without a first one")
	case symbol == 16:
		value = lengths[len(lengths)-1]
	case symbol == 17:
		bits = 3
	default:
		bits, base = 7, 11
	}
	n, err := b.take(bits)
	for range base + n {
		lengths = append(lengths, value)
	}
	return lengths, err
}

func (s *blockScan) codes(b *bitReader, literal, dist *huffman) error {
	for {
		symbol, err := literal.read(b)
		switch {
		case err != nil:
			return err
		case symbol == 256:
			return nil
		case symbol < 256:
			continue
		case symbol > 285:
			return errors.New("an unknown length")
		}
		if _, err = b.take(lengthExtra[symbol-257]); err != nil {
			return err
		}
		d, err := dist.read(b)
		if err != nil {
			return err
		}
		if d > 29 {
			return errors.New("an unknown distance")
		}
		extra, err := b.take(distExtra[d])
		if err != nil {
			return err
		}
		s.distance = max(s.distance, distBase[d]+extra)
	}
}
