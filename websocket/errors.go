package websocket

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// How errors are told apart, by how much they end:
//
//	*HandshakeError   there never was a connection
//	*CloseError       the connection ended, with or without a close frame
//	*ProtocolError    the connection ended because the peer broke a rule
//	ErrFull           one message was dropped, the connection goes on
//	a context's error one wait ended, the connection goes on
//
// A CloseError and a ProtocolError are final: every later call returns the
// same one. Both match net.ErrClosed with errors.Is.

// ErrFull is what Send returns when it dropped the message because the outbox
// was full, which happens under OverflowDrop only.
var ErrFull = errors.New("websocket: the outbox is full, the message was dropped")

// HandshakeError says why an opening handshake did not lead to a connection.
// On the client's side it holds what the server answered; on the server's side
// an interceptor returns one to choose the answer.
type HandshakeError struct {
	// Status is the HTTP status of the answer; 0 when there was no answer that
	// could be understood.
	Status int

	// Reason says what was wrong and what would be right. A server sends it as
	// the body when Body is nil.
	Reason string

	// Header is the answer's header.
	Header http.Header

	// Body is the answer's body; a client keeps at most its first 1,024 bytes.
	Body []byte

	// Err is the error below this one, such as a TLS failure, or nil.
	Err error
}

func (e *HandshakeError) Error() string {
	msg := "websocket: handshake refused"
	if e.Status != 0 {
		msg += fmt.Sprintf(" with status %d", e.Status)
	}
	if e.Reason != "" {
		msg += ": " + e.Reason
	}
	return msg
}

// Unwrap returns Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

// CloseError says how a connection ended: by a close frame with a code
// (RFC 6455, section 7.1.5), or without one, which is StatusAbnormalClosure.
type CloseError struct {
	Code   StatusCode
	Reason string

	// Local is true when this side closed.
	Local bool

	// Err is what ended the connection when there was no close frame, such as
	// a read error, or nil.
	Err error
}

func (e *CloseError) Error() string {
	who := "the peer"
	if e.Local {
		who = "this side"
	}
	msg := fmt.Sprintf("websocket: closed by %s with %s", who, e.Code)
	if e.Code == StatusAbnormalClosure {
		msg = "websocket: connection ended without a close frame"
	}
	if e.Reason != "" {
		msg += ": " + e.Reason
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap makes the error match net.ErrClosed and what lies below it.
func (e *CloseError) Unwrap() []error {
	if e.Err == nil {
		return []error{net.ErrClosed}
	}
	return []error{net.ErrClosed, e.Err}
}

// ProtocolError says which rule the peer broke. The connection was closed with
// Code (RFC 6455, section 7.1.7).
type ProtocolError struct {
	Code   StatusCode
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("websocket: the peer broke the protocol: %s; closed with %s", e.Reason, e.Code)
}

// Unwrap makes the error match net.ErrClosed.
func (e *ProtocolError) Unwrap() error { return net.ErrClosed }

// CloseStatus returns the code with which the connection ended according to
// err, or 0 when err is not about the end of a connection.
func CloseStatus(err error) StatusCode {
	if closed, ok := errors.AsType[*CloseError](err); ok {
		return closed.Code
	}
	if broke, ok := errors.AsType[*ProtocolError](err); ok {
		return broke.Code
	}
	return 0
}

// StatusCode is the number that a close frame carries.
type StatusCode = protocol.StatusCode

// The status codes of RFC 6455, section 7.4.1, and of the IANA registry.
const (
	StatusNormalClosure      = protocol.StatusNormalClosure
	StatusGoingAway          = protocol.StatusGoingAway
	StatusProtocolError      = protocol.StatusProtocolError
	StatusUnsupportedData    = protocol.StatusUnsupportedData
	StatusNoStatus           = protocol.StatusNoStatus        // never on the wire
	StatusAbnormalClosure    = protocol.StatusAbnormalClosure // never on the wire
	StatusInvalidPayload     = protocol.StatusInvalidPayload
	StatusPolicyViolation    = protocol.StatusPolicyViolation
	StatusMessageTooBig      = protocol.StatusMessageTooBig
	StatusMandatoryExtension = protocol.StatusMandatoryExtension
	StatusInternalError      = protocol.StatusInternalError
	StatusServiceRestart     = protocol.StatusServiceRestart
	StatusTryAgainLater      = protocol.StatusTryAgainLater
	StatusBadGateway         = protocol.StatusBadGateway
	StatusTLSHandshake       = protocol.StatusTLSHandshake // never on the wire
)
