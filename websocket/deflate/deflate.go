// Package deflate is permessage-deflate, the WebSocket compression extension
// of RFC 7692, without I/O: negotiation (section 7.1) over parsed parameters,
// and the two halves of a connection, a [Compressor] and a [Decompressor],
// that append bytes to slices.
//
// Nothing here waits, logs or starts a goroutine. A Compressor or Decompressor
// belongs to one connection and is used by one goroutine at a time; Options,
// Budget and the pools behind them may be shared freely.
//
// # Memory
//
// The large state (tables of a DEFLATE encoder, about 1 MB; the window of a
// decoder, about 45 KB) is borrowed from pools for the duration of one call.
// Between calls a connection holds a history window for each direction that
// has context takeover, and nothing for one that has not. The windows grow
// with what was sent and received, and are accounted for in a [Budget].
package deflate

import "errors"

// Name is the extension token of RFC 7692 section 7.
const Name = "permessage-deflate"

// The bounds and the default of both max_window_bits parameters, RFC 7692
// section 7.1.2. A window of n bits is 1<<n bytes.
const (
	minWindowBits = 8
	maxWindowBits = 15
)

// syncTail is what every flushed DEFLATE stream ends with: length and inverted
// length of an empty stored block. A sender removes it from the end of a
// message (RFC 7692 section 7.2.1) and a receiver puts it back (7.2.2).
const syncTail = "\x00\x00\xff\xff"

var (
	// ErrTooLarge is returned when a message inflates to more bytes than the
	// limit. The connection should fail with status 1009.
	ErrTooLarge = errors.New("deflate: message inflates to more than the limit")

	// ErrCorrupt is wrapped by the error for a message that is not a valid
	// DEFLATE stream, or refers to bytes before the agreed window. The
	// connection should fail with status 1007 or 1002.
	ErrCorrupt = errors.New("deflate: message is not valid DEFLATE data")
)

// clampBits turns a window size that was never agreed on into one that is safe
// to use: zero and everything out of range is the default of 15.
func clampBits(bits int) int {
	if bits < minWindowBits || bits > maxWindowBits {
		return maxWindowBits
	}
	return bits
}
