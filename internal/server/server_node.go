package server

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/api"
	"github.com/duplex-websocket/duplex/internal/server/auth"
	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/server/webhook"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

// node is everything that one process serves.
type node struct {
	config Config                        // immutable
	booted *config.Config                // immutable: the settings at the start, which hold where a reload changes nothing
	loaded atomic.Pointer[config.Loaded] // the settings that hold now
	life   context.Context               // immutable: ends with close
	end    context.CancelFunc            // immutable

	logger       *slog.Logger      // immutable, as is what follows
	level        *slog.LevelVar    // has its own lock
	journal      *showcase.Journal // has its own lock
	certificates *certificates     // has its own lock
	gate         *gate             // has its own lock
	auth         *auth.Authenticator
	hooks        *webhook.Hooks
	showcase     *showcase.Showcase // nil: not served
	limit        *websocket.ConnLimit
	hub          *hub.Hub
	sessionKey   []byte // nil: one of this process's own
	sessions     *session.Server
	api          *api.API
	health       *health
	metrics      *metrics // nil: none
	parts        []part   // what a reload changes, in this order

	// Set by listen and start, before anything is served.
	sockets []showcase.Socket
	public  *endpoint
	admin   *endpoint // nil: none
	failed  chan error
	serving atomic.Bool // whether all that is set
}

// current returns the settings that hold now.
func (n *node) current() *config.Loaded { return n.loaded.Load() }

// newNode makes everything but the listeners.
func newNode(c Config) (*node, error) {
	settings := c.Settings.Config
	n := &node{config: c, booted: settings, certificates: &certificates{}, gate: &gate{}}
	n.loaded.Store(c.Settings)
	n.life, n.end = context.WithCancel(context.Background())
	log := c.logging
	if log == nil {
		log = newLogger(c.Log, settings.Log)
	}
	n.logger, n.level, n.journal = log.Logger, log.level, log.journal
	if err := checkSafety(settings); err != nil {
		return nil, err
	}
	if err := n.certificates.load(settings); err != nil {
		return nil, err
	}
	n.gate.set(settings)
	n.limit = &websocket.ConnLimit{Total: settings.Limits.Connections, PerAddress: settings.Limits.ConnectionsPerAddress}
	var err error
	if n.auth, err = auth.New(settings.Tokens, auth.Options{Logger: n.logger}); err != nil {
		return nil, setupError("tokens", err)
	}
	var meter webhook.Meter
	if settings.Metrics {
		n.metrics = newMetrics(c.Version)
		meter = n.metrics.hookMeter()
	}
	if n.hooks, err = webhook.New(settings.Webhooks, webhook.Options{Meter: meter, Logger: n.logger}); err != nil {
		return nil, setupError("webhooks", err)
	}
	if HasDemo(settings) {
		if n.showcase, err = showcase.New(n.showcaseEnv(settings), apps...); err != nil {
			return nil, setupError("the showcase", err)
		}
	}
	if n.hub, err = hub.New(n.hubOptions(settings)); err != nil {
		if n.showcase != nil {
			n.showcase.Close()
		}
		return nil, setupError("topics", err)
	}
	if n.sessionKey, err = sharedKey(n.life, c.Broker); err != nil {
		n.close()
		return nil, setupError("the key of sessions", err)
	}
	n.sessions = session.New(n.hub, n.sessionOptions(settings))
	n.api, err = api.New(settings.API, api.Options{Hub: n.hub, Revoke: n.auth.Revoke, Shed: n.shed, Local: n.isOpen, Logger: n.logger})
	if err != nil {
		n.close()
		return nil, setupError("api", err)
	}
	n.health = newHealth(c.Broker)
	if n.metrics != nil {
		n.metrics.watch(n.hub, n.connections)
		n.metrics.watchBroker(c.Broker)
	}
	n.parts = n.reloadable()
	return n, nil
}

func (n *node) close() {
	n.end()
	if n.showcase != nil {
		n.showcase.Close()
	}
	n.hub.Close()
}

func (n *node) hubOptions(c *config.Config) hub.Options {
	o := hub.Options{
		Topics: n.rules(c), Broker: n.config.Broker, Hooks: n.hooks.HubHooks(), Logger: n.logger,
		MaxSubscriptions: c.Limits.Subscriptions, MaxRequests: c.Limits.Requests,
	}
	if n.showcase != nil {
		o.Hooks = n.showcase.Hooks(o.Hooks)
	}
	if n.metrics != nil {
		o.Meter = n.metrics.meter()
	}
	return o
}

// rules are those of the showcase and of the configuration.
func (n *node) rules(c *config.Config) []hub.Rule {
	if n.showcase == nil {
		return c.Rules()
	}
	return n.showcase.Rules(c.Rules()...)
}

// demoFrame is the largest frame of the session protocol where the showcase is served and nothing else is configured: a picture of 8 MiB
// as base64, which is how mini-programs read files.
const demoFrame = 11 << 20

// maxFrame makes room for pictures where the showcase is served and nobody has said how large a frame may be.
func maxFrame(c *config.Config) int {
	if HasDemo(c) && c.Limits.Frame == config.Default().Limits.Frame {
		return demoFrame
	}
	return int(c.Limits.Frame)
}

func (n *node) sessionOptions(c *config.Config) session.Options {
	return session.Options{
		Authenticate: n.logged(n.auth.Guard(n.hooks.Authenticate(n.auth.Authenticate))), Logger: n.logger, Accept: n.acceptOptions(c),
		MaxFrame: maxFrame(c), Limits: sessionLimits(c), Key: n.sessionKey,
	}
}

func sessionLimits(c *config.Config) session.Limits {
	return session.Limits{
		ConnectTimeout: c.Limits.ConnectTimeout, CommandRate: c.Limits.CommandsRate, CommandBurst: c.Limits.CommandsBurst,
		DrainRate: c.Drain.Rate, DrainRetry: c.Drain.Retry, DrainSpread: c.Drain.Spread,
	}
}

// setLimits is for a reload.
func (n *node) setLimits(c *config.Config) error {
	n.limit.Set(c.Limits.Connections, c.Limits.ConnectionsPerAddress)
	n.hub.SetLimits(c.Limits.Subscriptions, c.Limits.Requests)
	n.sessions.SetLimits(sessionLimits(c))
	return nil
}

// acceptOptions are the rules of handshakes. Origins are the gate's business, as they may change.
func (n *node) acceptOptions(c *config.Config) websocket.AcceptOptions {
	return websocket.AcceptOptions{
		Options:                 websocket.Options{Compression: websocket.Compression{Mode: compressionModes[c.Compression]}, Logger: n.logger},
		InsecureSkipOriginCheck: true, Limit: n.limit,
	}
}

// isOpen reports whether the server is one to try things out with: without keys, and only for its own machine.
func (n *node) isOpen() bool { return letsAnyoneIn(n.current().Config) && isLoopback(n.booted.Listen) }

var compressionModes = map[string]websocket.CompressionMode{
	"off": websocket.CompressionOff, "no-takeover": websocket.CompressionNoTakeover, "takeover": websocket.CompressionTakeover,
}

// authenticator decides who a client is.
type authenticator = func(context.Context, *session.Attempt) (hub.Identity, error)

// logged tells who comes in.
func (n *node) logged(decide authenticator) authenticator {
	return func(ctx context.Context, a *session.Attempt) (hub.Identity, error) {
		who, err := decide(ctx, a)
		switch {
		case err != nil:
			n.logger.Debug("a client is refused", "session", a.Session, "remote", a.RemoteAddr, "error", err)
		case !a.Refresh:
			n.logger.Debug("a client comes in", "session", a.Session, "remote", a.RemoteAddr, "user", who.User)
		}
		return who, err
	}
}

// shed tells a part of the clients to come back elsewhere, for as long as that takes and longer than whoever asked for it waits.
func (n *node) shed(_ context.Context, fraction float64) (int, error) {
	if n.health.draining.Load() {
		return 0, hub.Errorf(hub.CodeUnavailable, "the server stops, and sends all clients away")
	}
	return n.sessions.Shed(n.life, fraction), nil
}

// mode says in a word who is let in.
func mode(c *config.Config) string {
	switch {
	case !c.Tokens.Open() && c.Tokens.AllowAnonymous:
		return "tokens or anonymous"
	case !c.Tokens.Open():
		return "tokens"
	case !letsAnyoneIn(c):
		return "webhook"
	case c.InsecureAnonymous:
		return "insecure-anonymous"
	}
	return "open on loopback"
}

// letsAnyoneIn reports whether nothing decides who a client is: neither a token nor a backend.
func letsAnyoneIn(c *config.Config) bool { return c.Tokens.Open() && c.Webhooks.Connect.URL == "" }

// checkSafety refuses to let anyone in from anywhere unless that is what was asked for.
func checkSafety(c *config.Config) error {
	if !letsAnyoneIn(c) || c.InsecureAnonymous || isLoopback(c.Listen) {
		return nil
	}
	return &SetupError{
		Problem: "without keys for tokens, whoever can reach " + c.Listen + " would be let in under any name",
		Advice:  "configure tokens (docs/configuration.md), listen on 127.0.0.1 only, or say --insecure-anonymous if that is what you want",
	}
}

// isLoopback reports whether only this machine can reach an address to listen on.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // it cannot be listened on, which is said elsewhere
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
