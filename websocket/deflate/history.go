package deflate

// history holds the last size bytes of one direction of a connection: the LZ77
// window that the next message may refer to (RFC 7692 section 7.2.3.2). The
// zero value keeps nothing. Its memory grows with what it is given, so that a
// connection that said little holds little.
type history struct {
	size int
	buf  []byte
}

// historyLimit is the most memory a history of size bytes takes. The eighth on
// top lets several messages be appended before the window has to move, which
// for small messages saves rewriting the whole of it each time.
func historyLimit(size int) int { return size + size/8 }

// add appends p and forgets what no longer fits.
func (h *history) add(p []byte) {
	if len(p) >= h.size {
		h.buf = append(h.room(h.size)[:0], p[len(p)-h.size:]...)
		return
	}
	if len(h.buf)+len(p) > historyLimit(h.size) {
		keep := h.size - len(p)
		n := copy(h.buf, h.buf[len(h.buf)-keep:])
		h.buf = h.buf[:n]
	}
	h.buf = append(h.room(len(h.buf)+len(p)), p...)
}

// room returns the buffer with a capacity of at least n, which is at most the
// limit. It doubles, so that a window fills with few moves.
func (h *history) room(n int) []byte {
	if n <= cap(h.buf) {
		return h.buf
	}
	buf := make([]byte, len(h.buf), min(max(n, 2*cap(h.buf)), historyLimit(h.size)))
	copy(buf, h.buf)
	return buf
}

// last returns the most recent n bytes, or as many as there are. They are valid
// until the next add.
func (h *history) last(n int) []byte {
	n = min(n, h.size)
	return h.buf[max(0, len(h.buf)-n):]
}

// clear forgets all and keeps the memory.
func (h *history) clear() { h.buf = h.buf[:0] }

// drop forgets all and gives the memory back.
func (h *history) drop() { h.buf = nil }
