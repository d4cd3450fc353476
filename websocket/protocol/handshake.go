package protocol

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// The statuses that the handshake uses.
const (
	statusSwitching      = 101
	statusBadRequest     = 400
	statusMethod         = 405
	statusURITooLong     = 414
	statusUpgrade        = 426
	statusHeaderTooLarge = 431
	statusInternal       = 500
	statusVersion        = 505
)

// HandshakeError says why an opening handshake failed.
type HandshakeError struct {
	// Status is the HTTP status with which a server answers; 0 on the client's
	// side, which has nobody to answer.
	Status int
	// Reason says what was wrong and, where it is not plain, what would be right.
	// Parts of the peer's input in it are quoted and cut short.
	Reason string
	// Header is what the answer must hold besides, such as Allow with 405.
	Header Header
}

func (e *HandshakeError) Error() string { return "websocket: handshake failed: " + e.Reason }

func refuse(status int, format string, args ...any) *HandshakeError {
	return &HandshakeError{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// failure is the client's error.
func failure(format string, args ...any) *HandshakeError { return refuse(0, format, args...) }

// clientError takes the status from an error that both roles share.
func clientError(err error) error {
	if e, ok := err.(*HandshakeError); ok && e.Status != 0 {
		return &HandshakeError{Reason: e.Reason}
	}
	return err
}

// quote makes what the peer sent safe and short enough for a message.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// Terms are what one side offers (client) or accepts (server) in the opening
// handshake. The zero value has no subprotocol, no compression and the default
// limits. Terms are not changed by their methods and may be shared.
type Terms struct {
	// Subprotocols in the order of preference: a client offers all of them, a
	// server picks the first one that was offered.
	Subprotocols []string
	// Deflate is what this side is willing to do for permessage-deflate; nil
	// means that it neither offers nor accepts it.
	Deflate *deflate.Options
	// Limits bound the header of the other side.
	Limits Limits
}

// Agreement is the outcome of an opening handshake.
type Agreement struct {
	Subprotocol string          // "" if none was agreed
	Extensions  string          // the Sec-WebSocket-Extensions of the answer, "" if none
	Deflate     *deflate.Params // nil if messages are not compressed
	AcceptKey   string          // the Sec-WebSocket-Accept of the answer
}

// ValidToken reports whether s is a token (RFC 9110, section 5.6.2), as
// subprotocols, extension names and header names must be.
func ValidToken(s string) bool { return isToken(s) }

// keyBytes is the length of the nonce in Sec-WebSocket-Key (RFC 6455, section
// 4.1).
const keyBytes = 16

// acceptGUID is appended to the key (RFC 6455, section 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// NewKey returns a fresh Sec-WebSocket-Key: 16 bytes from a cryptographic source,
// in base64.
func NewKey() string {
	var nonce [keyBytes]byte
	rand.Read(nonce[:]) // never fails: it ends the program if the system has no randomness
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// AcceptKey returns the Sec-WebSocket-Accept that answers key (RFC 6455, section
// 4.2.2, item 5.4).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}
