package client

import (
	"fmt"
	"net"
	"time"
)

// Code is the stable name of an error; programs compare it.
type Code string

// The codes with which a server answers (docs/protocol.md, "Errors"). A handler of requests may use codes of its own, which
// contain a dot.
const (
	CodeBadRequest           Code = "bad-request"
	CodeBadTopic             Code = "bad-topic"
	CodeForbidden            Code = "forbidden"
	CodeAlreadySubscribed    Code = "already-subscribed"
	CodeNotSubscribed        Code = "not-subscribed"
	CodeTooManySubscriptions Code = "too-many-subscriptions"
	CodeTopicFull            Code = "topic-full"
	CodeTooLarge             Code = "too-large"
	CodeRate                 Code = "rate"
	CodeNoHistory            Code = "no-history"
	CodeNoPresence           Code = "no-presence"
	CodeUnknownMethod        Code = "unknown-method"
	CodeRefused              Code = "refused"
	CodeTimeout              Code = "timeout"
	CodeUnavailable          Code = "unavailable"
	CodeInternal             Code = "internal"
	CodeTokenMissing         Code = "token-missing"
	CodeTokenInvalid         Code = "token-invalid"
	CodeTokenExpired         Code = "token-expired"
	CodeTokenRevoked         Code = "token-revoked"
)

// The codes with which a server ends a connection (docs/protocol.md, "disconnect"), besides some of the above.
const (
	CodeRestart        Code = "restart"
	CodeSlow           Code = "slow"
	CodeFlood          Code = "flood"
	CodeBadFrame       Code = "bad-frame"
	CodeDisconnected   Code = "disconnected"
	CodeConnectTimeout Code = "connect-timeout"
	CodeReplaced       Code = "replaced"
	CodeFull           Code = "full"
)

// CodeUncertain is the client's own: the connection was lost before the answer came, or the server could not make sure of it, and sending the
// command again might do it twice, or too late. It may have been carried out or not.
const CodeUncertain Code = "uncertain"

// Error is what a server answered instead of what was asked for, or why it ended a subscription or the connection for good.
type Error struct {
	Code    Code
	Message string        // for people; may change
	Retry   time.Duration // after which the same may succeed, or 0
}

func (e *Error) Error() string {
	if e.Message == "" {
		return "duplex: " + string(e.Code)
	}
	return fmt.Sprintf("duplex: %s (%s)", e.Message, e.Code)
}

// Is makes errors.Is compare codes, so that errors.Is(err, &Error{Code: CodeRate}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrClosed is what calls return after Close. It matches net.ErrClosed.
var ErrClosed = fmt.Errorf("duplex: the client was closed: %w", net.ErrClosed)

// ErrUnsubscribed is what Subscription.Next returns after Unsubscribe, behind the last event.
var ErrUnsubscribed = fmt.Errorf("duplex: unsubscribed: %w", net.ErrClosed)
