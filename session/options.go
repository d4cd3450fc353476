package session

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// Subprotocol is the name of the protocol in the WebSocket handshake.
const Subprotocol = "duplex.v1"

// Options configures a Server. The zero value stands for the defaults that each field names.
type Options struct {
	// Authenticate says who a client is, when it connects and when it refreshes its token. It may block; it holds up nobody else.
	// An *hub.Error, of one of the codes token-..., forbidden or unavailable, is told to the client; any other error is logged and
	// refuses with unavailable. Nil: everybody is anonymous.
	Authenticate func(ctx context.Context, a *Attempt) (hub.Identity, error)

	// Accept holds the rules of the handshake, and of the connections as far as they are not the business of this package, which
	// sets Subprotocols, Outbox, Overflow and MaxMessage.
	Accept websocket.AcceptOptions
	Driver websocket.Driver

	MaxFrame int           // bytes of a frame from a client; default 1 MiB
	Outbox   int           // bytes that may wait for a client's network before its messages wait in the hub; default 256 KiB
	Ping     time.Duration // how often clients are told to send something; default 25 s
	Patience time.Duration // how long a client whose connection was lost stays present in its topics; default 5 s; negative: not
	Limits                 // Server.SetLimits changes them later

	// Key signs what clients resume their sessions with: a client that comes back to another server with the same key, or to this one after
	// a restart, goes on with its session as the same user. It is a secret, best of 32 random bytes, since who has it can take over the
	// session of anybody without a token. Default: a random one of this Server's own.
	Key []byte
	// PreviousKeys are accepted besides. To change the key, first make the new one a previous one on all servers, then the Key, with
	// the old one as previous; clients get a new secret whenever they connect. Without this, they begin new sessions.
	PreviousKeys [][]byte

	Logger *slog.Logger // default slog.Default()
}

// Limits are the part of Options that may change while the server is in use.
type Limits struct {
	ConnectTimeout time.Duration // until a client has sent connect; default 10 s
	CommandRate    float64       // commands a second of one connection, on average; default 100
	CommandBurst   int           // and at once; default 1,000

	// Shutdown and Shed tell this many clients a second to come back, and each of them to wait DrainRetry and a random part of DrainSpread.
	DrainRate   int           // default 1,000
	DrainRetry  time.Duration // default 500 ms
	DrainSpread time.Duration // default 5 s
}

func (l Limits) withDefaults() Limits {
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, 10*time.Second)
	l.CommandRate = cmp.Or(l.CommandRate, 100)
	l.CommandBurst = cmp.Or(l.CommandBurst, 1000)
	l.DrainRate = cmp.Or(l.DrainRate, 1000)
	l.DrainRetry = cmp.Or(l.DrainRetry, 500*time.Millisecond)
	l.DrainSpread = cmp.Or(l.DrainSpread, 5*time.Second)
	return l
}

func (o Options) withDefaults() Options {
	o.MaxFrame = cmp.Or(o.MaxFrame, 1<<20)
	o.Outbox = cmp.Or(o.Outbox, 256<<10)
	o.Ping = cmp.Or(o.Ping, 25*time.Second)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	o.Limits = o.Limits.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Attempt is what a client shows to be let in.
type Attempt struct {
	Token      string      // of connect or refresh; empty if there was none
	Refresh    bool        // it is a refresh: the result must be for the same user
	Header     http.Header // of the handshake; nil for a refresh; not to be changed
	RemoteAddr string      // the peer's network address, which behind a proxy is the proxy's
	Session    string      // the id of the session, the same over resume
	Anonymous  string      // what User an anonymous client is to have; for a refresh, the present User
	Info       []byte      // of connect: a JSON object or nil; Identity.Info takes its place unless that is nil
}
