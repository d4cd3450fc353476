package showcase

import (
	"context"
	"strings"

	"github.com/duplex-websocket/duplex/hub"
)

// Claimed reports whether the configuration has rules of its own for topics that begin with the Prefix of the app, which is so at most for
// an app whose Prefix is not below that of the showcase. Then the app leaves them alone: its rules do not hold, its functions are not asked and its
// requests not answered. It may change when the configuration is loaded again.
func (a *App) Claimed() bool { return a.claimed.Load() }

// Rules are those of all apps, which nobody has claimed, followed by the configured ones.
func (s *Showcase) Rules(configured ...hub.Rule) []hub.Rule {
	var rules []hub.Rule
	for _, app := range s.apps {
		app.claimed.Store(claims(configured, app.Prefix))
		if !app.Claimed() {
			rules = append(rules, app.Topics...)
		}
	}
	return append(rules, configured...)
}

func claims(configured []hub.Rule, prefix string) bool {
	if strings.HasPrefix(prefix, Prefix) {
		return false
	}
	for _, r := range configured {
		if strings.HasPrefix(r.Pattern, prefix) {
			return true
		}
	}
	return false
}

// unlessClaimed makes a handler that does not know its method while the app is claimed.
func unlessClaimed(app *App, handler hub.RequestHandler) hub.RequestHandler {
	return func(ctx context.Context, r *hub.Request) (hub.Reply, error) {
		if app.Claimed() {
			return hub.Reply{}, hub.Errorf(hub.CodeUnknownMethod, "nobody answers %s", r.Method)
		}
		return handler(ctx, r)
	}
}
