// Package showcase is what the server parts of the showcase's pages have in common. Each page whose server does more than carry messages
// has a package of its own below this one, an App: a small program on a hub, to be read and copied.
package showcase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/duplex-websocket/duplex/hub"
)

// Prefix is what all topics and methods of the showcase begin with, so that they are nobody else's.
const Prefix = "demo."

// App is the server part of one page. Every field but Name may be left out. Its functions are called from any goroutine.
type App struct {
	Name   string // of the page, which is at /NAME/
	Prefix string // of its topics and methods; default "demo.NAME."

	Topics []hub.Rule // the rules for its topics; all begin with Prefix

	// Subscribe and Publish decide, as hub.Hooks do, about topics that begin with Prefix, and patterns as well.
	Subscribe func(*hub.SubscribeCall) error
	Publish   func(*hub.PublishCall) error

	// Requests are answered by what follows Prefix in their method.
	Requests map[string]hub.RequestHandler

	// Commands are done for other nodes (Hub.Command), by what follows the app's Name and a dot in their name.
	Commands map[string]hub.CommandHandler

	// Routes are what it serves over HTTP, by patterns of http.ServeMux below /NAME/: "POST /uploads/files/{id}". Sockets are WebSockets of
	// its own, by path. Their handshakes use Env.Accept; they are drained with the server's others.
	Routes  map[string]http.Handler
	Sockets map[string]Socket

	// Run works until ctx ends, on every node; Solo does so on one node of a cluster at a time, and where that goes away another one
	// takes over within half a minute (see Solo).
	Run  func(ctx context.Context)
	Solo func(ctx context.Context)

	Close func() // gives back what New took, after Run and Solo have returned

	claimed atomic.Bool // see Claimed
}

// Socket is a WebSocket service, such as a *websocket.Server.
type Socket interface {
	http.Handler
	Shutdown(ctx context.Context) error
	Len() int // connections
}

// Maker makes an App, before there is a hub. The error says what is wrong with the configuration or the machine.
type Maker func(env *Env) (*App, error)

// Showcase is all apps of a server. Its methods may be called from any goroutine.
type Showcase struct {
	env  *Env           // immutable
	apps []*App         // immutable
	end  func()         // set by Start
	work sync.WaitGroup // Run and Solo of all apps
}

// New makes the apps. After an error nothing is left of them.
func New(env *Env, makers ...Maker) (*Showcase, error) {
	if env.Journal == nil {
		env.Journal = &Journal{}
	}
	if env.Operators == nil {
		env.Operators = &Operators{Everybody: func() bool { return false }, Valid: func(string) bool { return false }}
	}
	s := &Showcase{env: env, end: func() {}}
	for _, make := range append(makers, newOperators) {
		app, err := make(env)
		if err != nil {
			s.Close()
			return nil, err
		}
		app.Prefix = cmp.Or(app.Prefix, Prefix+app.Name+".")
		s.apps = append(s.apps, app)
	}
	return s, nil
}

// Hooks asks first, and then the app whose topic it is.
func (s *Showcase) Hooks(first hub.Hooks) hub.Hooks {
	both := first
	both.Subscribe = func(call *hub.SubscribeCall) error {
		if first.Subscribe != nil {
			if err := first.Subscribe(call); err != nil {
				return err
			}
		}
		return s.subscribe(call)
	}
	both.Publish = func(call *hub.PublishCall) error {
		if first.Publish != nil {
			if err := first.Publish(call); err != nil {
				return err
			}
		}
		if app := s.of(call.Topic); app != nil && app.Publish != nil {
			return app.Publish(call)
		}
		return nil
	}
	return both
}

func (s *Showcase) subscribe(call *hub.SubscribeCall) error {
	if app := s.of(call.Topic); app != nil {
		if app.Subscribe == nil {
			return nil
		}
		return app.Subscribe(call)
	}
	// A pattern that is not within one app may hear what others keep from it. On a machine of one's own that is what one wants.
	if covers(call.Topic) && !grants(call.Identity, call.Topic) && s.env.Operators.Check(call.Session) != nil {
		return hub.Errorf(hub.CodeForbidden, "%s matches topics of the showcase, which are subscribed to one by one", call.Topic)
	}
	return nil
}

// grants reports whether whoever vouches for somebody lets them subscribe to all of a pattern.
func grants(who *hub.Identity, pattern string) bool {
	return slices.ContainsFunc(who.Grants, func(g hub.Grant) bool {
		return g.Actions&hub.ActSubscribe != 0 && hub.Covers(g.Pattern, pattern)
	})
}

// covers reports whether a pattern may match topics that begin with Prefix.
func covers(pattern string) bool {
	first, _, more := strings.Cut(pattern, ".")
	return first == ">" || more && (first == "*" || first+"." == Prefix)
}

// of returns the app that a topic or pattern belongs to, or nil: also for what is claimed.
func (s *Showcase) of(topic string) *App {
	for _, app := range s.apps {
		if strings.HasPrefix(topic, app.Prefix) && !app.Claimed() {
			return app
		}
	}
	return nil
}

// Start has the apps answer requests and do what they do by themselves. It is called once, before anybody connects.
func (s *Showcase) Start(h *hub.Hub) error {
	s.env.Hub = h
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	for _, app := range s.apps {
		for method, handler := range app.Requests {
			if err := h.Handle(app.Prefix+method, unlessClaimed(app, handler)); err != nil {
				return fmt.Errorf("showcase: %s: %w", app.Name, err)
			}
		}
		for command, handler := range app.Commands {
			h.HandleCommand(app.Name+"."+command, handler)
		}
		if app.Run != nil {
			s.work.Go(func() { app.Run(ctx) })
		}
		if app.Solo != nil {
			s.work.Go(func() {
				if s.env.Alone {
					app.Solo(ctx)
				} else {
					Solo(ctx, h, app.Name, app.Solo)
				}
			})
		}
	}
	return nil
}

// Register adds what the apps serve over HTTP, their sockets by a function of the server's.
func (s *Showcase) Register(mux *http.ServeMux, socket func(path string, s Socket)) {
	for _, app := range s.apps {
		for pattern, handler := range app.Routes {
			mux.Handle(pattern, handler)
		}
		for path, handler := range app.Sockets {
			socket(path, handler)
		}
	}
}

// Close ends what the apps do, and waits for it. The hub is still needed for that.
func (s *Showcase) Close() {
	s.end()
	s.work.Wait()
	for _, app := range s.apps {
		if app.Close != nil {
			app.Close()
		}
	}
	if err := s.env.close(); err != nil && !errors.Is(err, context.Canceled) {
		s.env.Logger.Warn("what the showcase had on disk could not be removed", "error", err)
	}
}
