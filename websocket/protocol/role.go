// Package protocol is RFC 6455 without I/O: the opening handshake over plain
// header values, frames, fragmentation, masking, UTF-8 and the closing
// handshake, for both roles.
//
// Bytes go in, in any split; events and the bytes to send come out. The
// package reads no socket, keeps no clock, starts no goroutine and takes no
// lock, so every driver shares every rule. An [Endpoint] belongs to one
// goroutine at a time; its owner serialises the calls.
package protocol

// Role says which side of the connection an endpoint is. It decides who masks
// (RFC 6455, section 5.1) and who ends the TCP connection first (section 7.1.1).
type Role uint8

// The two roles.
const (
	Server Role = iota
	Client
)

// String returns "server" or "client".
func (r Role) String() string {
	if r == Client {
		return "client"
	}
	return "server"
}

// State is where a connection stands, with the names and the order that the
// browser's readyState uses.
type State uint8

// The states of a connection.
const (
	StateConnecting State = iota // the opening handshake is not done
	StateOpen                    // messages flow both ways
	StateClosing                 // a close frame was sent or received, not yet both
	StateClosed                  // both close frames passed, or the connection failed
)

var stateNames = [...]string{"connecting", "open", "closing", "closed"}

// String returns the state's name in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}
