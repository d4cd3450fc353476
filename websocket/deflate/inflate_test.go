package deflate

import (
	"errors"
	"io"
)

// checker is a second, independent reading of RFC 1951, slow and plain. The
// tests use it to see the distances that a compressor really chose, which no
// library reports. It continues from message to message like a receiver with
// context takeover.
type checker struct {
	out         []byte // everything so far
	maxDistance int

	in  []byte
	pos int // in bits
}

// message inflates one message, tail removed as on the wire, and returns it.
func (c *checker) message(payload []byte) ([]byte, error) {
	start := len(c.out)
	c.in, c.pos = append(append([]byte(nil), payload...), syncTail...), 0
	for c.pos < 8*len(c.in) {
		final := c.bits(1) == 1
		var err error
		switch c.bits(2) {
		case 0:
			err = c.stored()
		case 1:
			err = c.compressed(fixedTables())
		case 2:
			var lit, dist codes
			if lit, dist, err = c.dynamicTables(); err == nil {
				err = c.compressed(lit, dist)
			}
		default:
			err = errors.New("block type 3")
		}
		if err != nil {
			return nil, err
		}
		if final {
			c.pos = (c.pos + 7) / 8 * 8
		}
	}
	return c.out[start:], nil
}

func (c *checker) bits(n int) int {
	v := 0
	for i := range n {
		if c.pos < 8*len(c.in) {
			v |= int(c.in[c.pos/8]>>(c.pos%8)&1) << i
		}
		c.pos++
	}
	return v
}

func (c *checker) stored() error {
	c.pos = (c.pos + 7) / 8 * 8
	n, inverted := c.bits(16), c.bits(16)
	if n != inverted^0xffff || c.pos/8+n > len(c.in) {
		return io.ErrUnexpectedEOF
	}
	c.out = append(c.out, c.in[c.pos/8:c.pos/8+n]...)
	c.pos += 8 * n
	return nil
}

// codes maps length and code of a symbol to the symbol, RFC 1951 section 3.2.2.
type codes map[[2]int]int

func canonical(lengths []int) codes {
	table, code := codes{}, 0
	for n := 1; n <= 15; n++ {
		for symbol, length := range lengths {
			if length == n {
				table[[2]int{n, code}] = symbol
				code++
			}
		}
		code <<= 1
	}
	return table
}

func (c *checker) symbol(table codes) (int, error) {
	code := 0
	for n := 1; n <= 15; n++ {
		code = code<<1 | c.bits(1)
		if s, ok := table[[2]int{n, code}]; ok {
			return s, nil
		}
	}
	return 0, errors.New("no such code")
}

func fixedTables() (lit, dist codes) {
	var l [288]int
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	var d [30]int
	for i := range d {
		d[i] = 5
	}
	return canonical(l[:]), canonical(d[:])
}

func (c *checker) dynamicTables() (lit, dist codes, err error) {
	nlit, ndist, nlen := c.bits(5)+257, c.bits(5)+1, c.bits(4)+4
	var lengths [19]int
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nlen] {
		lengths[i] = c.bits(3)
	}
	table, all := canonical(lengths[:]), []int(nil)
	for len(all) < nlit+ndist {
		s, err := c.symbol(table)
		if err != nil {
			return nil, nil, err
		}
		value, count := s, 1
		switch s {
		case 16:
			value, count = all[len(all)-1], 3+c.bits(2)
		case 17:
			value, count = 0, 3+c.bits(3)
		case 18:
			value, count = 0, 11+c.bits(7)
		}
		for range count {
			all = append(all, value)
		}
	}
	return canonical(all[:nlit]), canonical(all[nlit : nlit+ndist]), nil
}

func (c *checker) compressed(lit, dist codes) error {
	for {
		s, err := c.symbol(lit)
		switch {
		case err != nil:
			return err
		case s < 256:
			c.out = append(c.out, byte(s))
			continue
		case s == 256:
			return nil
		}
		length := c.length(s)
		d, err := c.symbol(dist)
		if err != nil {
			return err
		}
		distance := c.distance(d)
		if distance > len(c.out) {
			return errors.New("distance before the beginning")
		}
		c.maxDistance = max(c.maxDistance, distance)
		for range length {
			c.out = append(c.out, c.out[len(c.out)-distance])
		}
	}
}

// length and distance are the tables of RFC 1951 section 3.2.5 as formulas.
func (c *checker) length(symbol int) int {
	switch n := symbol - 257; {
	case symbol == 285:
		return 258
	case n < 8:
		return n + 3
	default:
		extra := n/4 - 1
		return (4+n%4)<<extra + 3 + c.bits(extra)
	}
}

func (c *checker) distance(symbol int) int {
	if symbol < 4 {
		return symbol + 1
	}
	extra := symbol/2 - 1
	return (2+symbol%2)<<extra + 1 + c.bits(extra)
}
