package webapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// ReconnectOptions configures a Reconnecting. The zero value, and nil, stand for
// the defaults that each field names.
type ReconnectOptions struct {
	// Options are those of every connection. MaxBuffered has no effect,
	// QueueBytes takes its place.
	Options

	// BaseDelay and MaxDelay bound the wait between attempts: after n failures
	// in a row it is random between 0 and BaseDelay·2ⁿ⁻¹, but not above
	// MaxDelay. Default: 1 s, 30 s.
	BaseDelay, MaxDelay time.Duration

	// MaxHint is the longest wait that a server may ask for; see RetryAfter. A
	// longer one counts as this. Default: 5 min.
	MaxHint time.Duration

	// StableAfter is how long a connection must have lived for the failures
	// before it to be forgotten. Default: 10 s.
	StableAfter time.Duration

	// MaxFailures ends it all after so many failures in a row. Default: no limit.
	MaxFailures int

	// QueueBytes and QueueMessages bound what waits to be sent, with and without
	// a connection: Send beyond it is ErrQueueFull. Default: 1 MiB, 1,024.
	QueueBytes, QueueMessages int

	// RejectOffline makes Send return ErrOffline while there is no connection,
	// and drops what a lost connection had not begun to send, instead of keeping
	// both for the next connection. Default: keep.
	RejectOffline bool

	// Fatal decides after each failed attempt and each connection that ended
	// whether to stop for good. err is a *websocket.HandshakeError, a
	// *websocket.CloseError, a *websocket.ProtocolError, or a network's error.
	// Default: the function Fatal.
	Fatal func(err error) bool

	// Prepare is called before each attempt and may change its options, for
	// example to set a fresh token in Header. Its error counts as a failed
	// attempt. ctx ends with Close. Default: none.
	Prepare func(ctx context.Context, o *websocket.DialOptions) error

	// OnStateChange is the handler of statechange events from the start.
	// Default: none.
	OnStateChange func(*StateEvent)
}

const (
	defaultBaseDelay     = time.Second
	defaultMaxDelay      = 30 * time.Second
	defaultMaxHint       = 5 * time.Minute
	defaultStableAfter   = 10 * time.Second
	defaultQueueBytes    = 1 << 20
	defaultQueueMessages = 1024
)

func (o *ReconnectOptions) withDefaults() (*ReconnectOptions, error) {
	out := ReconnectOptions{}
	if o != nil {
		out = *o
	}
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"BaseDelay", int64(out.BaseDelay)}, {"MaxDelay", int64(out.MaxDelay)}, {"MaxHint", int64(out.MaxHint)},
		{"StableAfter", int64(out.StableAfter)}, {"MaxFailures", int64(out.MaxFailures)},
		{"QueueBytes", int64(out.QueueBytes)}, {"QueueMessages", int64(out.QueueMessages)},
	} {
		if field.value < 0 {
			return nil, syntaxError("ReconnectOptions.%s is negative; 0 means its default", field.name)
		}
	}
	setDefault(&out.BaseDelay, defaultBaseDelay)
	setDefault(&out.MaxDelay, max(defaultMaxDelay, out.BaseDelay))
	setDefault(&out.MaxHint, defaultMaxHint)
	setDefault(&out.StableAfter, defaultStableAfter)
	setDefault(&out.QueueBytes, defaultQueueBytes)
	setDefault(&out.QueueMessages, defaultQueueMessages)
	if out.MaxDelay < out.BaseDelay {
		return nil, syntaxError("ReconnectOptions.MaxDelay is less than BaseDelay")
	}
	if out.Fatal == nil {
		out.Fatal = Fatal
	}
	out.MaxBuffered = math.MaxInt // Send has a bound of its own, which does not cost the connection
	return &out, nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// The errors of Reconnecting.Send. Neither ends anything.
var (
	// ErrOffline says that there is no connection and RejectOffline is set.
	ErrOffline = errors.New("websocket: there is no connection")
	// ErrQueueFull says that the message was not queued.
	ErrQueueFull = errors.New("websocket: too much waits to be sent, the message was dropped")
	// ErrEnded says that the socket is closing or closed for good. It matches
	// net.ErrClosed.
	ErrEnded = fmt.Errorf("websocket: the socket is closed for good: %w", net.ErrClosed)
)

// State is the state of a Reconnecting.
type State uint8

// The states of a Reconnecting. It begins in StateConnecting.
const (
	StateConnecting State = iota // an attempt is under way
	StateOpen                    // there is a connection
	StateWaiting                 // the next attempt follows after a delay
	StateClosing                 // Close was called
	StateClosed                  // it is over
)

// String returns the state's name, such as "waiting".
func (s State) String() string {
	if names := [...]string{"connecting", "open", "waiting", "closing", "closed"}; int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// StateEvent says that the state of a Reconnecting has changed.
type StateEvent struct {
	State, Previous State

	// Failures is how many attempts or connections failed in a row. A connection
	// that lived for less than StableAfter counts as a failure.
	Failures int

	// Delay is how long StateWaiting will last.
	Delay time.Duration

	// Err is why the last attempt or connection ended. It is set with
	// StateWaiting and StateClosed.
	Err error

	// Lost is how many bytes of messages that Send took may be lost: at most so
	// many were on their way out when the connection ended, and they are not sent
	// again, as they may have arrived. With RejectOffline, those that had not
	// left are in it too. What the network itself lost is not known here.
	Lost int64

	target Socket
}

// Type returns TypeStateChange.
func (e *StateEvent) Type() string { return TypeStateChange }

// Target returns the socket.
func (e *StateEvent) Target() Socket { return e.target }
