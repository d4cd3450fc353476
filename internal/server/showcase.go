package server

import (
	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/arena"
	calls "github.com/duplex-websocket/duplex/internal/showcase/call"
	"github.com/duplex-websocket/duplex/internal/showcase/chat"
	"github.com/duplex-websocket/duplex/internal/showcase/console"
	"github.com/duplex-websocket/duplex/internal/showcase/edit"
	"github.com/duplex-websocket/duplex/internal/showcase/how"
	"github.com/duplex-websocket/duplex/internal/showcase/live"
	"github.com/duplex-websocket/duplex/internal/showcase/locations"
	"github.com/duplex-websocket/duplex/internal/showcase/notify"
	"github.com/duplex-websocket/duplex/internal/showcase/orders"
	"github.com/duplex-websocket/duplex/internal/showcase/quotes"
	"github.com/duplex-websocket/duplex/internal/showcase/scores"
	"github.com/duplex-websocket/duplex/internal/showcase/support"
	"github.com/duplex-websocket/duplex/internal/showcase/uploads"
	"github.com/duplex-websocket/duplex/session"
)

// apps are the server parts of the showcase's pages. A page that only needs topics to be carried has none.
var apps = []showcase.Maker{
	how.New,
	chat.New,
	arena.New,
	locations.New,
	orders.New,
	uploads.New,
	live.New,
	calls.New,
	notify.New,
	edit.New,
	console.New,
	quotes.New,
	scores.New,
	support.New,
}

// beginShowcase has the apps work, which a mere check of the configuration does not: they write into databases and publish.
func (n *node) beginShowcase() error {
	if n.showcase == nil {
		return nil
	}
	if err := n.showcase.Start(n.hub); err != nil {
		return setupError("the showcase", err)
	}
	return nil
}

// showcaseEnv is what they find around them.
func (n *node) showcaseEnv(c *config.Config) *showcase.Env {
	return &showcase.Env{
		Data: c.Data, Exposed: !isLoopback(c.Listen), Alone: len(c.Cluster) == 0 && len(c.NATS) == 0, MaxFrame: maxFrame(c), Logger: n.logger, Accept: n.acceptOptions(c),
		Postgres: c.Postgres, PostgresFile: c.PostgresFile,
		Sessions: func() session.Options { return n.sessionOptions(n.current().Config) },
		Node:     c.Node, Journal: n.journal, Connections: n.served,
		Operators: &showcase.Operators{
			Everybody: func() bool { return n.isOpen() && !n.api.HasKeys() },
			Valid:     func(key string) bool { return n.api.IsKey(key) },
		},
	}
}

// served counts the WebSockets, also while the server is not complete.
func (n *node) served() int {
	if !n.serving.Load() {
		return 0
	}
	return n.connections()
}
