package api

import (
	"cmp"
	"context"
	_ "embed"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Options are what the API works on.
type Options struct {
	Hub *hub.Hub // required

	// Revoke refuses a user's tokens from now on; the API ends the sessions. Nil: revoke answers that there are no tokens.
	Revoke func(ctx context.Context, user string) error

	// Shed tells a part of the clients of this node, a fraction from 0 to 1, to come back elsewhere, and returns how many. It goes on when ctx ends.
	// Nil: shed answers unavailable.
	Shed func(ctx context.Context, fraction float64) (int, error)

	// Local reports whether the server listens on a loopback address only and lets anyone in. Then, as long as there are no keys, the
	// API may be used from the same machine without one. Nil: it is not so.
	Local func() bool

	Logger *slog.Logger // told who was disconnected; default slog.Default()
}

const (
	maxAtOnce      = 256              // requests that are worked on at one time; others are answered unavailable
	requestTimeout = 10 * time.Second // for the work of a request, and again for reading it and for writing the answer
	shedTimeout    = 10 * time.Minute // for shed, which takes its time on purpose
)

// API is the handler of everything below /api. Its methods may be called from any goroutine.
type API struct {
	options Options
	rules   atomic.Pointer[rules]
	working chan struct{}
}

// rules are what one Config comes to. They never change.
type rules struct {
	Config
	keys []digest
}

// New makes an API. The error says which setting, or which file, is wrong and how.
func New(c Config, o Options) (*API, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &API{options: o, working: make(chan struct{}, maxAtOnce)}
	if err := a.Reload(c); err != nil {
		return nil, err
	}
	if o.Hub != nil {
		o.Hub.HandleCommand(commandShed, a.shedForOthers)
	}
	return a, nil
}

// Reload replaces the configuration at once; after an error everything stays as it was.
func (a *API) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	keys, err := loadKeys(c)
	if err != nil {
		return err
	}
	a.rules.Store(&rules{Config: c.withDefaults(), keys: keys})
	return nil
}

// call is one request that has been let in.
type call struct {
	*http.Request
	rules *rules
	body  []byte
}

// route is one thing that can be asked for. What it returns is sent as JSON.
type route struct {
	method  string
	path    string
	timeout time.Duration // default requestTimeout
	handle  func(a *API, c *call) (any, error)
}

// routes is the whole API. openapi.json describes it; a test compares.
var routes = []route{
	{http.MethodPost, "/api/publish", 0, (*API).publish},
	{http.MethodPost, "/api/broadcast", 0, (*API).broadcast},
	{http.MethodGet, "/api/history", 0, (*API).history},
	{http.MethodGet, "/api/presence", 0, (*API).presence},
	{http.MethodGet, "/api/topics", 0, (*API).topics},
	{http.MethodGet, "/api/sessions", 0, (*API).sessions},
	{http.MethodPost, "/api/disconnect", 0, (*API).disconnect},
	{http.MethodPost, "/api/unsubscribe", 0, (*API).unsubscribe},
	{http.MethodPost, "/api/revoke", 0, (*API).revoke},
	{http.MethodPost, "/api/shed", shedTimeout, (*API).shed},
	{http.MethodGet, "/api/openapi.json", 0, (*API).openAPI},
}

//go:embed openapi.json
var openAPI []byte

func (a *API) openAPI(*call) (any, error) { return raw(openAPI), nil }

// ServeHTTP answers everything below /api.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, a.rules.Load().MaxBody)
	control := http.NewResponseController(w)
	if answer, err := a.serve(control, w, r); err != nil {
		a.refuse(w, r, err)
	} else {
		send(w, r, http.StatusOK, answer)
	}
	_ = control.Flush() // while the deadline holds, which the connection's next request has nothing to do with
	_ = control.SetWriteDeadline(time.Time{})
}

// Guard lets to next those through who may use the API, and answers the others as the API would.
func (a *API) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.mayUse(&call{Request: r, rules: a.rules.Load()}); err != nil {
			a.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *API) serve(control *http.ResponseController, w http.ResponseWriter, r *http.Request) (any, error) {
	c := &call{Request: r, rules: a.rules.Load()}
	if err := a.mayUse(c); err != nil {
		return nil, err
	}
	found, err := find(w, r)
	if err != nil {
		return nil, err
	}
	select {
	case a.working <- struct{}{}:
		defer func() { <-a.working }()
	default:
		return nil, &hub.Error{Code: hub.CodeUnavailable, Message: "too many requests are being worked on", Retry: time.Second}
	}
	// Where deadlines cannot be set, such as in tests without a connection, there is no slow client.
	timeout := cmp.Or(found.timeout, requestTimeout)
	_ = control.SetReadDeadline(time.Now().Add(requestTimeout))
	_ = control.SetWriteDeadline(time.Now().Add(timeout + requestTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	c.Request = r.WithContext(ctx)
	if r.Method == http.MethodPost {
		if err := c.read(); err != nil {
			return nil, err
		}
	}
	_ = control.SetReadDeadline(time.Time{}) // it would end what takes longer
	return found.handle(a, c)
}

// find looks for the route of a request.
func find(w http.ResponseWriter, r *http.Request) (*route, error) {
	var allowed, paths []string
	for i := range routes {
		at := &routes[i]
		paths = append(paths, at.path)
		if at.path != r.URL.Path {
			continue
		}
		if at.method == r.Method || at.method == http.MethodGet && r.Method == http.MethodHead {
			return at, nil
		}
		allowed = append(allowed, at.method)
		if at.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return nil, hub.Errorf(codeMethod, "%s takes %s, not %s", r.URL.Path, strings.Join(allowed, " and "), r.Method)
	}
	slices.Sort(paths)
	return nil, hub.Errorf(codeNotFound, "there is nothing at %.64q%s", r.URL.Path, didYouMean(r.URL.Path, paths))
}
