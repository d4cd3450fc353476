package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/auth"
	"github.com/duplex-websocket/duplex/session"
)

// The names of the hooks, as they are in calls and metrics.
const (
	eventConnect   = "connect"
	eventSubscribe = "subscribe"
	eventPublish   = "publish"
	eventRequest   = "request"
)

// Meter is told about calls, for metrics. hook is connect, subscribe, publish or request. Its functions must not block. Nil ones are
// not called.
type Meter struct {
	Called func(hook string, took time.Duration) // a call has ended, well or not; with the time that it waited for its turn
	Failed func(hook string)                     // it was not answered as it should have been, so a client was refused
}

// Options are the surroundings of Hooks. The zero value is usable.
type Options struct {
	Meter     Meter
	Transport http.RoundTripper // default: one of its own, which uses the proxy that the environment names
	Logger    *slog.Logger      // told about backends that fail; default slog.Default()
}

// Hooks ask the backend. Its methods, and the functions that they return, may be called from any goroutine.
type Hooks struct {
	options  Options
	caller   atomic.Pointer[caller]
	lastTold atomic.Int64 // when a failure was logged, in Unix nanoseconds
	untold   atomic.Int64 // failures since then
}

// New makes Hooks. The error says which setting, or which file, is wrong and how.
func New(c Config, o Options) (*Hooks, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Hooks{options: o}
	return h, h.Reload(c)
}

// Reload replaces the configuration at once; after an error everything stays as it was. Calls that are under way go on.
func (h *Hooks) Reload(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	var secret []byte
	if c.SecretFile != "" {
		content, err := os.ReadFile(c.SecretFile)
		if err == nil {
			secret, err = auth.ParseSecret(content)
		}
		if err != nil {
			return fmt.Errorf("secret-file: %w", err)
		}
	}
	old := h.caller.Swap(newCaller(c, secret, h.options.Transport))
	if old != nil && h.options.Transport == nil {
		old.client.CloseIdleConnections()
	}
	return nil
}

// ask makes a call and turns whatever goes wrong with it into unavailable. read decodes the answer.
func (h *Hooks) ask(ctx context.Context, c *caller, event, address string, question any, codes allowed, read func(answer) error) error {
	began := time.Now()
	got, err := c.call(ctx, event, address, question)
	if h.options.Meter.Called != nil {
		h.options.Meter.Called(event, time.Since(began))
	}
	var refused *hub.Error
	if err == nil {
		refused, err = got.refusal()
	}
	switch {
	case err != nil:
	case refused == nil:
		if err = read(got); err == nil {
			err = got.done()
		}
	case codes(refused.Code):
		return refused
	default:
		err = fmt.Errorf("its error has the code %q, which is none for %s", refused.Code, event)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &hub.Error{Code: hub.CodeUnavailable, Message: "there was no time left"} // the client has gone, or gave it less
	}
	if h.options.Meter.Failed != nil {
		h.options.Meter.Failed(event)
	}
	h.log(event, address, err)
	return &hub.Error{Code: hub.CodeUnavailable, Message: "the application that decides about it does not answer", Retry: time.Second}
}

// log tells about failures at most once a second: when a backend is down, everything fails.
func (h *Hooks) log(event, address string, err error) {
	now, last := time.Now().UnixNano(), h.lastTold.Load()
	if now-last < int64(time.Second) || !h.lastTold.CompareAndSwap(last, now) {
		h.untold.Add(1)
		return
	}
	h.options.Logger.Warn("a webhook failed", "hook", event, "url", address, "error", err, "failures before", h.untold.Swap(0))
}

// allowed says which codes a refusal may have.
type allowed func(hub.Code) bool

func oneOf(codes ...hub.Code) allowed {
	return func(c hub.Code) bool {
		for _, each := range codes {
			if c == each {
				return true
			}
		}
		return false
	}
}

var (
	connectCodes = oneOf(hub.CodeForbidden, hub.CodeUnavailable,
		hub.CodeTokenMissing, hub.CodeTokenInvalid, hub.CodeTokenExpired, hub.CodeTokenRevoked)
	topicCodes = oneOf(hub.CodeForbidden, hub.CodeUnavailable, hub.CodeRate, hub.CodeBadRequest, hub.CodeTooLarge)
	plainCodes = oneOf(hub.CodeForbidden, hub.CodeUnavailable, hub.CodeRate, hub.CodeBadRequest, hub.CodeTooLarge,
		hub.CodeRefused, hub.CodeUnknownMethod)
)

func requestCodes(c hub.Code) bool { return plainCodes(c) || strings.Contains(string(c), ".") }

// person is who a call is about.
type person struct {
	Type      string          `json:"type"`
	Session   string          `json:"session"`
	User      string          `json:"user"`
	Anonymous bool            `json:"anonymous,omitempty"`
	Info      json.RawMessage `json:"info,omitempty"`
}

func about(event, session string, i *hub.Identity) person {
	return person{event, session, i.User, i.Anonymous, i.Info}
}

type connectQuestion struct {
	person
	Refresh    bool              `json:"refresh,omitempty"`
	Token      string            `json:"token,omitempty"`
	RemoteAddr string            `json:"remoteAddr"`
	Headers    map[string]string `json:"headers"`
}

// Authenticate makes of next, which knows tokens, one that also asks the hook connect, if it is configured. Who is refused by next is not
// asked about. The backend gets what next says and may change it.
func (h *Hooks) Authenticate(next auth.Check) auth.Check {
	return func(ctx context.Context, at *session.Attempt) (hub.Identity, error) {
		identity, err := next(ctx, at)
		c := h.caller.Load()
		if err != nil || c.config.Connect.URL == "" {
			return identity, err
		}
		q := connectQuestion{
			person: about(eventConnect, at.Session, &identity), Refresh: at.Refresh, Token: at.Token,
			RemoteAddr: at.RemoteAddr, Headers: map[string]string{},
		}
		if q.Info == nil {
			q.Info = at.Info
		}
		for _, name := range append([]string{"Origin", "User-Agent"}, c.config.Connect.Headers...) {
			if values := at.Header.Values(name); len(values) > 0 {
				q.Headers[http.CanonicalHeaderKey(name)] = strings.Join(values, ", ")
			}
		}
		err = h.ask(ctx, c, eventConnect, c.config.Connect.URL, &q, connectCodes, func(a answer) error { return readIdentity(a, &identity) })
		if err != nil {
			return hub.Identity{}, err
		}
		return identity, nil
	}
}

// readIdentity changes an identity to what the backend says about it.
func readIdentity(a answer, i *hub.Identity) error {
	var user *string
	var info, topics json.RawMessage
	var expires int64 // milliseconds since 1970
	_, err1 := a.take("user", &user)
	_, err2 := a.take("info", &info)
	hasTopics, err3 := a.take("topics", &topics)
	hasExpires, err4 := a.take("expires", &expires)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	if user != nil {
		if err := auth.CheckUser(*user); err != nil {
			return fmt.Errorf("its user: %w", err)
		}
		i.User, i.Anonymous = *user, false
	}
	if info != nil {
		checked, err := auth.ParseInfo(info)
		if err != nil {
			return fmt.Errorf("its info: %w", err)
		}
		i.Info = checked
	}
	if hasTopics {
		grants, err := auth.ParseGrants(topics)
		if err != nil {
			return fmt.Errorf("its topics: %w", err)
		}
		i.Grants = grants
	}
	if hasExpires && expires != 0 {
		at := time.UnixMilli(expires)
		if !at.After(time.Now()) {
			return errors.New("its expires is in the past")
		}
		if i.Expires.IsZero() || at.Before(i.Expires) { // a session does not outlive its token
			i.Expires = at
		}
	}
	return nil
}
