package deflate

import "sync/atomic"

// Budget bounds the bytes that the history windows of many connections may
// hold together. The zero value and one made with a maximum of zero or less
// have no room: every connection then goes without context takeover, but for
// the cases named below. All methods may be called from any goroutine.
//
// What is reserved is the most that a window can grow to, not what it holds at
// the moment, because the peer decides how far it grows: 36 KiB for receiving
// with 15 window bits, 4.5 KiB for sending at the default level. A reservation
// is made by [NewCompressor] and [NewDecompressor] and given back by their
// Close.
//
// When there is no room:
//   - [Options.Accept] answers client_no_context_takeover and, if the sending
//     window does not fit either, server_no_context_takeover;
//   - [Options.Offer] asks for both;
//   - a Compressor starts afresh with each message, which needs nobody's leave
//     (RFC 7692 section 7.2.1);
//   - a Decompressor whose peer was granted context takeover reserves all the
//     same, because it could not inflate otherwise. Used then exceeds the
//     maximum: by the windows of handshakes that ran at the same moment, or
//     of servers that ignore what the client asked for.
type Budget struct {
	max  int64 // immutable
	used atomic.Int64
}

// DefaultBudget is the budget of Options that name none: 256 MiB, room for about
// 6,400 connections with context takeover both ways and 15 window bits.
var DefaultBudget = NewBudget(256 << 20)

// NewBudget returns a budget of max bytes.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Used returns the bytes that are reserved now.
func (b *Budget) Used() int64 { return b.used.Load() }

// fits reports whether n more bytes would have room at this moment.
func (b *Budget) fits(n int64) bool { return n <= b.max-b.used.Load() }

// reserve takes n bytes if there is room for them.
func (b *Budget) reserve(n int64) bool {
	for {
		used := b.used.Load()
		if n > b.max-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// force takes n bytes whether there is room or not.
func (b *Budget) force(n int64) { b.used.Add(n) }

func (b *Budget) release(n int64) { b.used.Add(-n) }
