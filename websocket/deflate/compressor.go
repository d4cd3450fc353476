package deflate

// The levels of Options.Level. From lazyLevel on the encoder has no special
// treatment of small input.
const (
	fastestLevel = 1
	lazyLevel    = 7
	bestLevel    = 9
)

// smallPart is the length below which appendSmall is used when there is history.
const smallPart = 128

// Encoders read the history again for each part, at about the cost of compressing
// as many bytes, so how much they read grows with the part.
const leastDict = 2 << 10

// Compressor is the sending half of one connection, RFC 7692 section 7.2.1. It
// is used by one goroutine at a time. While idle it holds its history when it
// takes over the context, and nothing otherwise.
//
// The history is what the next message may refer to. It is shorter than the
// window that the peer provides for (which is allowed: a sender need not use
// all of the window), because an encoder is not kept between messages and
// has to read its history again for each:
//
//	level   kept              looked at for a part of n bytes
//	1       4 KiB             2 n, at least 2 KiB
//	2 to 6  8 KiB             4 n, at least 2 KiB
//	7 to 9  the whole window  8 n, at least 2 KiB
type Compressor struct {
	level    int
	bits     int
	takeover bool // history survives the end of a message
	history  history

	budget   *Budget
	reserved int64
}

// NewCompressor returns the sending half of a connection for which the window
// of the sender was agreed to be windowBits (8 to 15; anything else is 15) and
// takeover tells whether the sender may take over its context. It reads Level
// and Budget from o, which may be nil. Call Close when the connection ends.
func NewCompressor(o *Options, windowBits int, takeover bool) *Compressor {
	c := &Compressor{level: o.level(), bits: clampBits(windowBits), budget: o.budget()}
	c.history.size = sendHistory(c.level, c.bits)
	if need := int64(historyLimit(c.history.size)); takeover && c.budget.reserve(need) {
		c.takeover, c.reserved = true, need
	}
	return c
}

// sendHistory is how many bytes a Compressor remembers.
func sendHistory(level, bits int) int {
	switch {
	case level >= lazyLevel:
		return 1 << bits
	case level > fastestLevel:
		return min(8<<10, 1<<bits)
	default:
		return min(4<<10, 1<<bits)
	}
}

// dictSize is how many bytes of the history are read for a part of n bytes.
// Measured with JSON of 1 KB at level 1, 2 KiB take a third off the output and 5 %
// more time than none; 4 KiB take 25 % more time and 8 KiB 70 %, for no more.
func (c *Compressor) dictSize(n int) int {
	times := 2
	switch {
	case c.level >= lazyLevel:
		times = 8
	case c.level > fastestLevel:
		times = 4
	}
	// Beyond this n the history ends anyway; the product cannot overflow.
	return max(leastDict, times*min(n, 1<<maxWindowBits))
}

// AppendMessage appends to dst the payload of the message msg: compressed,
// flushed, and without the tail 00 00 ff ff. An empty message is one zero byte
// (RFC 7692 section 7.2.3.6). It ends a message begun with AppendPart.
func (c *Compressor) AppendMessage(dst, msg []byte) []byte {
	return c.AppendPart(dst, msg, true)
}

// AppendPart appends to dst the compressed form of the next part of a message.
// All that was given so far can be inflated from what was returned so far. The
// parts of a message, concatenated, are its payload; only the last, which final
// marks, has lost its tail (RFC 7692 section 7.2.1). Parts may be empty; one
// that is empty and not final adds nothing.
//
// While a message is unfinished the Compressor holds a history (up to 36 KiB,
// see [Compressor]) even without context takeover.
func (c *Compressor) AppendPart(dst, part []byte, final bool) []byte {
	if len(part) > 0 {
		dst = c.compress(dst, part)
	}
	if !final {
		c.history.add(part)
		return dst
	}
	switch {
	case c.takeover:
		c.history.add(part)
	default:
		c.history.drop()
	}
	if len(part) == 0 {
		// The header of an empty stored block; its length is the tail. The
		// bytes before, if any, end with a flush and so on a byte boundary.
		return append(dst, 0x00)
	}
	return dst[:len(dst)-len(syncTail)]
}

// compress picks the encoder for part and the dictionary, so that no distance
// exceeds the agreed window (RFC 7692 section 7.1.2). Where dictionary and part
// fit into the window together that is so by itself.
func (c *Compressor) compress(dst, part []byte) []byte {
	window := 1 << c.bits
	dict := c.history.last(c.dictSize(len(part)))
	if len(part) <= window/2 {
		// Giving up a little of the dictionary is far cheaper than the encoder
		// that checks distances.
		dict = dict[max(0, len(dict)+len(part)-window):]
	}
	switch {
	case len(part) < smallPart && len(dict) > 0 && c.level < lazyLevel:
		return appendSmall(dst, dict, part)
	case c.bits == maxWindowBits || len(dict)+len(part) <= window:
		return appendLevel(dst, dict, part, c.level)
	default:
		return appendWindow(dst, dict, part, c.bits)
	}
}

// Reset forgets the history: the next message refers to nothing before it. Use it
// after a message that was compressed elsewhere has been sent to the peer.
func (c *Compressor) Reset() {
	if c.takeover {
		c.history.clear()
		return
	}
	c.history.drop()
}

// Close gives the memory and the budget back. It may be called again; what is
// compressed afterwards does without context takeover.
func (c *Compressor) Close() {
	c.history.drop()
	c.budget.release(c.reserved)
	c.takeover, c.reserved = false, 0
}
