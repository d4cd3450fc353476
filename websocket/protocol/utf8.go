package protocol

import "unicode/utf8"

// utf8Checker validates a text message as its bytes arrive. It fails at the
// first byte that cannot continue a valid sequence, however the text is split
// (RFC 6455, section 8.1; an endpoint need not wait for the end of a message).
// The zero value is ready for a new message.
type utf8Checker struct {
	tail [utf8.UTFMax - 1]byte // the start of a character whose rest has not arrived
	n    uint8
}

// write reports whether p continues the text validly.
func (c *utf8Checker) write(p []byte) bool {
	for c.n > 0 && len(p) > 0 {
		var char [utf8.UTFMax]byte
		n := copy(char[:], c.tail[:c.n])
		char[n] = p[0]
		p = p[1:]
		n++
		if !utf8.FullRune(char[:n]) { // FullRune is false only for a valid start
			copy(c.tail[:], char[:n])
			c.n = uint8(n)
			continue
		}
		if r, size := utf8.DecodeRune(char[:n]); r == utf8.RuneError && size <= 1 {
			return false
		}
		c.n = 0
	}
	cut := len(p) - incompleteTail(p)
	if !utf8.Valid(p[:cut]) {
		return false
	}
	if cut < len(p) {
		c.n = uint8(copy(c.tail[:], p[cut:]))
	}
	return true
}

// complete reports whether the text may end here.
func (c *utf8Checker) complete() bool { return c.n == 0 }

// incompleteTail returns how many bytes at the end of p are the valid start of
// a character that is not all there.
func incompleteTail(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		b := p[len(p)-n]
		if b < utf8.RuneSelf {
			return 0
		}
		if utf8.RuneStart(b) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
