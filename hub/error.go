package hub

import (
	"fmt"
	"time"
)

// Code is the stable name of an error; clients and programs compare it.
type Code string

// The codes of a hub. A handler of requests may use codes of its own, which contain a dot.
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

// Error is what a caller did wrong, or ran into. Its Message is fit to be shown to the client.
type Error struct {
	Code    Code
	Message string        // what was wrong, and what would be right
	Retry   time.Duration // when the same may succeed, or 0
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is compare codes, so that errors.Is(err, &Error{Code: CodeRate}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// ErrEnded is what the methods of a Subscriber return when the hub has ended it (Sink.End).
var ErrEnded = Errorf(CodeUnavailable, "the session has ended")

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// End says why the hub ends a subscriber, and whether it should come back.
type End struct {
	Code      EndCode
	Message   string
	Reconnect bool
	After     time.Duration // not to come back earlier; 0: as the client sees fit
}

// EndCode is the stable name of the reason of an End.
type EndCode string

// The reasons for the end of a subscriber.
const (
	EndRestart      EndCode = "restart"       // the server stops or restarts
	EndSlow         EndCode = "slow"          // it did not keep up with a topic whose policy is SlowDisconnect
	EndReplaced     EndCode = "replaced"      // another connection has resumed the session
	EndDisconnected EndCode = "disconnected"  // an operator, or the program, wants it so
	EndTokenExpired EndCode = "token-expired" // its identity was good until now
	EndTokenRevoked EndCode = "token-revoked"
)
