package deflate

import (
	"fmt"
	"strconv"
)

// The extension parameters of RFC 7692 section 7.1.
const (
	serverNoContextTakeover = "server_no_context_takeover"
	clientNoContextTakeover = "client_no_context_takeover"
	serverMaxWindowBits     = "server_max_window_bits"
	clientMaxWindowBits     = "client_max_window_bits"
)

// Param is one parameter of an extension as it stands in a
// Sec-WebSocket-Extensions header, RFC 6455 section 9.1.
type Param struct {
	Name     string
	Value    string // without quotes
	HasValue bool   // there was a "=", so that Value counts even when empty
}

// Params is what both sides agreed on, RFC 7692 section 7.1. Each side passes
// its half to [NewCompressor] and the other to [NewDecompressor]: the server
// sends with the server parameters, the client with the client parameters.
type Params struct {
	// ServerNoContextTakeover and ClientNoContextTakeover say that each message
	// of that side is compressed by itself (section 7.1.1).
	ServerNoContextTakeover bool
	ClientNoContextTakeover bool

	// ServerMaxWindowBits and ClientMaxWindowBits are the base-2 logarithm of the
	// window that side compresses with, 8 to 15 (section 7.1.2).
	ServerMaxWindowBits int
	ClientMaxWindowBits int

	// serverBitsOffered makes the answer name server_max_window_bits even when it
	// is the default: an offer with it is accepted by an answer with it.
	serverBitsOffered bool
}

// String returns p as an element of Sec-WebSocket-Extensions: for Params that
// [Options.Accept] returned, the server's answer. Defaults are left out.
func (p Params) String() string {
	s := Name
	if p.ServerNoContextTakeover {
		s += "; " + serverNoContextTakeover
	}
	if p.ClientNoContextTakeover {
		s += "; " + clientNoContextTakeover
	}
	if bits := clampBits(p.ServerMaxWindowBits); bits < maxWindowBits || p.serverBitsOffered {
		s += "; " + serverMaxWindowBits + "=" + strconv.Itoa(bits)
	}
	if bits := clampBits(p.ClientMaxWindowBits); bits < maxWindowBits {
		s += "; " + clientMaxWindowBits + "=" + strconv.Itoa(bits)
	}
	return s
}

// Options is what one side is willing to do. The zero value, and a nil pointer
// where a method or function takes one, is context takeover both ways, windows
// of 15 bits, the fastest level and [DefaultBudget]. Options may be shared by
// any number of connections as long as nobody changes them.
type Options struct {
	// ServerNoContextTakeover and ClientNoContextTakeover do without context
	// takeover in that direction. A client asks the server for the former and
	// keeps the latter itself; a server the other way round.
	ServerNoContextTakeover bool
	ClientNoContextTakeover bool

	// ServerMaxWindowBits and ClientMaxWindowBits are the largest windows, 8 to
	// 15 bits, used to compress in that direction. 0 means 15.
	ServerMaxWindowBits int
	ClientMaxWindowBits int

	// Level is how hard to compress, from 1 (fastest) to 9 (smallest). 0 means
	// 1. With a window of less than 15 bits, messages longer than half the
	// window are compressed at about level 5 whatever Level is. A higher level
	// remembers more of what was sent, see [Compressor].
	Level int

	// Budget bounds the memory for context takeover. nil means DefaultBudget.
	Budget *Budget
}

// Validate reports the first field that is out of range. The other methods and
// functions take such a field for zero.
func (o *Options) Validate() error {
	if o == nil {
		return nil
	}
	if b := o.ServerMaxWindowBits; b != 0 && b != clampBits(b) {
		return fmt.Errorf("deflate: Options.ServerMaxWindowBits is %d, want 0 or %d to %d", b, minWindowBits, maxWindowBits)
	}
	if b := o.ClientMaxWindowBits; b != 0 && b != clampBits(b) {
		return fmt.Errorf("deflate: Options.ClientMaxWindowBits is %d, want 0 or %d to %d", b, minWindowBits, maxWindowBits)
	}
	if o.Level != 0 && o.Level != o.level() {
		return fmt.Errorf("deflate: Options.Level is %d, want 0 to %d", o.Level, bestLevel)
	}
	return nil
}

// orDefault returns o, or the zero value in place of nil.
func (o *Options) orDefault() *Options {
	if o == nil {
		return new(Options)
	}
	return o
}

func (o *Options) level() int {
	if o == nil || o.Level < fastestLevel || o.Level > bestLevel {
		return fastestLevel
	}
	return o.Level
}

func (o *Options) budget() *Budget {
	if o == nil || o.Budget == nil {
		return DefaultBudget
	}
	return o.Budget
}
