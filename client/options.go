package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// Options configures a Client. The zero value, and nil, stand for the defaults that each field names.
type Options struct {
	// Token returns the token with which to connect. It is called for each connection, before the present token expires,
	// and when the server wants another one; it should return a fresh one then. Its error counts as a failed attempt. ctx
	// ends after ConnectTimeout, and with Close. Default: none, the client is anonymous or known by its handshake.
	Token func(ctx context.Context) (string, error)

	// Info is a JSON object of at most 1 KiB that others see in messages and presence. A token's takes its place.
	// Default: none.
	Info []byte

	// Dial configures the handshake (headers, TLS, proxy, cookies) and the connection. Its Subprotocols must be empty. The connection
	// finds a network that has gone by its own pings (PingInterval, PongTimeout, WriteTimeout). Defaults that differ from
	// websocket's: MaxMessage 16 MiB.
	Dial websocket.DialOptions

	// ConnectTimeout is how long the server may take to answer the connect command. Default: 10 s.
	ConnectTimeout time.Duration

	// BaseDelay and MaxDelay bound the wait between attempts to connect: after n failures in a row it is random between 0 and
	// BaseDelay·2ⁿ⁻¹, but not above MaxDelay, on top of what the server asks for. Default: 1 s, 30 s.
	BaseDelay, MaxDelay time.Duration

	// MaxHint is the longest wait that a server may ask for; a longer one counts as this. Default: 1 h.
	MaxHint time.Duration

	// StableAfter is how long a connection must have lived for the failures before it to be forgotten. Default: 10 s.
	StableAfter time.Duration

	// MaxFailures ends it all after so many failures in a row. Default: no limit.
	MaxFailures int

	// Pending and PendingBytes bound the commands that wait for their answer, sent or not; Publish and the others wait for room.
	// Default: 1,024, 8 MiB.
	Pending, PendingBytes int

	// ResendFor is how long a publication is sent again after a connection that may have delivered it was lost; then Publish ends with
	// CodeUncertain. It must be shorter than the server remembers ids, which is 2 minutes. Default: 90 s.
	ResendFor time.Duration

	// Buffer and BufferBytes bound the events of one subscription that wait for Next. Default: 256, 1 MiB.
	Buffer, BufferBytes int

	// Patience is how long a subscription whose events are not taken may keep the client from reading. Then it is left, and
	// subscribed again from its position when its events have been taken. Default: 1 s; while answers are awaited, 50 ms.
	Patience time.Duration

	// OnStatus is told of each change of Status, in order, one call at a time. It must not block: the client does not connect
	// or read meanwhile. Default: none.
	OnStatus func(Status)

	// Logger receives what no caller can be told. Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultMaxMessage     = 16 << 20
	defaultConnectTimeout = 10 * time.Second
	defaultBaseDelay      = time.Second
	defaultMaxDelay       = 30 * time.Second
	defaultMaxHint        = time.Hour
	defaultStableAfter    = 10 * time.Second
	defaultPending        = 1024
	defaultPendingBytes   = 8 << 20
	defaultResendFor      = 90 * time.Second
	defaultBuffer         = 256
	defaultBufferBytes    = 1 << 20
	defaultPatience       = time.Second
)

// withDefaults validates and fills in. o may be nil.
func (o *Options) withDefaults() (*Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"ConnectTimeout", int64(out.ConnectTimeout)}, {"BaseDelay", int64(out.BaseDelay)}, {"MaxDelay", int64(out.MaxDelay)},
		{"MaxHint", int64(out.MaxHint)}, {"StableAfter", int64(out.StableAfter)}, {"MaxFailures", int64(out.MaxFailures)},
		{"Pending", int64(out.Pending)}, {"PendingBytes", int64(out.PendingBytes)}, {"ResendFor", int64(out.ResendFor)},
		{"Buffer", int64(out.Buffer)}, {"BufferBytes", int64(out.BufferBytes)}, {"Patience", int64(out.Patience)},
	} {
		if field.value < 0 {
			return nil, fmt.Errorf("duplex: Options.%s is negative; 0 means its default", field.name)
		}
	}
	if len(out.Dial.Subprotocols) > 0 {
		return nil, errors.New("duplex: Options.Dial.Subprotocols must be empty: this client speaks " + subprotocol)
	}
	if _, _, err := encode(command{Type: "connect", Info: out.Info}, nil, false); err != nil {
		return nil, err
	}
	out.Dial.Subprotocols = []string{subprotocol}
	setDefault(&out.Dial.MaxMessage, defaultMaxMessage)
	setDefault(&out.ConnectTimeout, defaultConnectTimeout)
	setDefault(&out.BaseDelay, defaultBaseDelay)
	setDefault(&out.MaxDelay, max(defaultMaxDelay, out.BaseDelay))
	setDefault(&out.MaxHint, defaultMaxHint)
	setDefault(&out.StableAfter, defaultStableAfter)
	setDefault(&out.Pending, defaultPending)
	setDefault(&out.PendingBytes, defaultPendingBytes)
	setDefault(&out.ResendFor, defaultResendFor)
	setDefault(&out.Buffer, defaultBuffer)
	setDefault(&out.BufferBytes, defaultBufferBytes)
	setDefault(&out.Patience, defaultPatience)
	if out.MaxDelay < out.BaseDelay {
		return nil, errors.New("duplex: Options.MaxDelay is less than BaseDelay")
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return &out, nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
