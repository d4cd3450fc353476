package api

import (
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxText  = 120           // bytes of a message to clients: it goes into the close frame, too
	maxAfter = 1 * time.Hour // that a client can be told to stay away
)

type endedSessions struct {
	Sessions int `json:"sessions"`
}

// whom reads which sessions a request is about, with further fields beside.
func (c *call) whom(more fields) (hub.Selector, error) {
	var who hub.Selector
	into := fields{"user": &who.User, "session": &who.Session}
	for name, target := range more {
		into[name] = target
	}
	if err := c.decode(into); err != nil {
		return who, err
	}
	if who == (hub.Selector{}) {
		return who, hub.Errorf(hub.CodeBadRequest, "user or session is missing")
	}
	return who, nil
}

func checkText(text string) error {
	if len(text) > maxText {
		return hub.Errorf(hub.CodeTooLarge, "message: at most %d bytes, not %d", maxText, len(text))
	}
	return nil
}

func (a *API) disconnect(c *call) (any, error) {
	end := hub.End{Code: hub.EndDisconnected, Message: "an operator has disconnected you"}
	var after int64
	who, err := c.whom(fields{"message": &end.Message, "reconnect": &end.Reconnect, "after": &after})
	if err != nil {
		return nil, err
	}
	if err := checkText(end.Message); err != nil {
		return nil, err
	}
	if after < 0 || after > maxAfter.Milliseconds() {
		return nil, hub.Errorf(hub.CodeBadRequest, "after: 0 to %d milliseconds, not %d", maxAfter.Milliseconds(), after)
	}
	if after > 0 && !end.Reconnect {
		return nil, hub.Errorf(hub.CodeBadRequest, "after: says when to come back, so it needs reconnect: true")
	}
	end.After = time.Duration(after) * time.Millisecond
	n := a.options.Hub.Disconnect(who, end)
	a.options.Logger.Info("sessions were disconnected", "user", who.User, "session", who.Session, "sessions", n)
	return endedSessions{n}, nil
}

func (a *API) unsubscribe(c *call) (any, error) {
	var topic string
	text := "an operator has ended this subscription"
	who, err := c.whom(fields{"topic": &topic, "message": &text})
	if err != nil {
		return nil, err
	}
	if topic == "" {
		return nil, missing("topic")
	}
	if err := hub.CheckPattern(topic); err != nil {
		return nil, err
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	n := a.options.Hub.Unsubscribe(who, topic, &hub.Error{Code: hub.CodeForbidden, Message: text})
	a.options.Logger.Info("subscriptions were ended", "user", who.User, "session", who.Session, "topic", topic, "subscriptions", n)
	return struct {
		Subscriptions int `json:"subscriptions"`
	}{n}, nil
}

// afterwards is how long a client that was let in just before its user was revoked may take until it is a session.
const afterwards = 100 * time.Millisecond

// revoke ends the sessions twice: what was let in just before the tokens were refused is a session some moments later. Who comes in
// with a new token in between is sent away too, which is seldom and does no harm: such a token is from another second (auth.Revoke).
func (a *API) revoke(c *call) (any, error) {
	var user string
	if err := c.decode(fields{"user": &user}); err != nil {
		return nil, err
	}
	if user == "" {
		return nil, missing("user")
	}
	if a.options.Revoke == nil {
		return nil, hub.Errorf(hub.CodeUnavailable, "there are no tokens here; use disconnect")
	}
	if err := a.options.Revoke(user); err != nil {
		return nil, err
	}
	end := hub.End{Code: hub.EndTokenRevoked, Message: "your token was revoked"}
	n := a.options.Hub.Disconnect(hub.Selector{User: user}, end)
	select {
	case <-time.After(afterwards):
	case <-c.Context().Done():
	}
	n += a.options.Hub.Disconnect(hub.Selector{User: user}, end)
	a.options.Logger.Info("a user's tokens were revoked", "user", user, "sessions", n)
	return endedSessions{n}, nil
}

func (a *API) shed(c *call) (any, error) {
	var fraction float64
	if err := c.decode(fields{"fraction": &fraction}); err != nil {
		return nil, err
	}
	if !(fraction > 0 && fraction <= 1) {
		return nil, hub.Errorf(hub.CodeBadRequest, "fraction: more than 0 and at most 1, not %v", fraction)
	}
	if a.options.Shed == nil {
		return nil, hub.Errorf(hub.CodeUnavailable, "this server cannot shed clients")
	}
	n, err := a.options.Shed(c.Context(), fraction)
	if err != nil {
		return nil, err
	}
	a.options.Logger.Info("clients were told to come back elsewhere", "fraction", fraction, "sessions", n)
	return endedSessions{n}, nil
}
