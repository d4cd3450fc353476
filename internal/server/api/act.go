package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxText  = 120           // bytes of a message to clients: it goes into the close frame, too
	maxAfter = 1 * time.Hour // that a client can be told to stay away

	askOthers = 3 * time.Second // until other nodes that have not answered are said to be missing
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
	n, err := a.options.Hub.Disconnect(c.Context(), who, end)
	a.options.Logger.Info("sessions were disconnected", "user", who.User, "session", who.Session, "sessions", n, "error", err)
	if err != nil {
		return nil, a.partly(c, n, err)
	}
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
	n, err := a.options.Hub.Unsubscribe(c.Context(), who, topic, &hub.Error{Code: hub.CodeForbidden, Message: text})
	a.options.Logger.Info("subscriptions were ended", "user", who.User, "session", who.Session, "topic", topic, "subscriptions", n, "error", err)
	if err != nil {
		return nil, a.partly(c, n, err)
	}
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
	if err := a.options.Revoke(c.Context(), user); err != nil {
		return nil, err
	}
	end := hub.End{Code: hub.EndTokenRevoked, Message: "your token was revoked"}
	n, err := a.options.Hub.Disconnect(c.Context(), hub.Selector{User: user}, end)
	select {
	case <-time.After(afterwards):
	case <-c.Context().Done():
	}
	more, again := a.options.Hub.Disconnect(c.Context(), hub.Selector{User: user}, end)
	n, err = n+more, errors.Join(err, again)
	a.options.Logger.Info("a user's tokens were revoked", "user", user, "sessions", n, "error", err)
	if err != nil {
		return nil, a.partly(c, n, err)
	}
	return endedSessions{n}, nil
}

// partly is the error when other nodes did not answer. What they were asked is harmless to ask again.
func (a *API) partly(c *call, n int, err error) error {
	why := a.problemOf(err, c.URL.Path)
	return &hub.Error{
		Code: hub.CodeUnavailable, Message: fmt.Sprintf("%d were ended, but not everywhere, so ask again: %s", n, why.Message), Retry: time.Second,
	}
}

// commandShed is what a node that sheds everywhere asks the others to do. It carries a shedding, and is answered with a shedAnswer.
const commandShed = "api.shed"

type shedding struct {
	Fraction float64 `json:"fraction"`
}

type shedAnswer struct {
	Sessions   int    `json:"sessions"`
	Incomplete string `json:"incomplete,omitempty"`
}

func (a *API) shed(c *call) (any, error) {
	var fraction float64
	var all bool
	if err := c.decode(fields{"fraction": &fraction, "all": &all}); err != nil {
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
	answer := shedAnswer{Sessions: n}
	if all {
		answer = a.shedOthers(c, fraction, answer)
	}
	a.options.Logger.Info("clients were told to come back elsewhere", "fraction", fraction, "sessions", answer.Sessions, "incomplete", answer.Incomplete)
	return answer, nil
}

// shedOthers has the other nodes shed the same part of their clients.
func (a *API) shedOthers(c *call, fraction float64, sum shedAnswer) shedAnswer {
	question, err := json.Marshal(shedding{fraction})
	if err != nil {
		panic(err) // it is a finite number
	}
	ctx, cancel := context.WithTimeout(c.Context(), askOthers)
	defer cancel()
	answers, err := a.options.Hub.Command(ctx, commandShed, question)
	if err != nil {
		sum.Incomplete = a.problemOf(err, c.URL.Path).Message
	}
	for _, p := range answers {
		var one shedAnswer
		if err := json.Unmarshal(p, &one); err != nil {
			one.Incomplete = "another server cannot do it"
		}
		sum.Sessions += one.Sessions
		sum.Incomplete = cmp.Or(sum.Incomplete, one.Incomplete)
	}
	return sum
}

// shedForOthers does commandShed.
func (a *API) shedForOthers(question []byte) []byte {
	var s shedding
	if json.Unmarshal(question, &s) != nil || !(s.Fraction > 0 && s.Fraction <= 1) || a.options.Shed == nil {
		return nil
	}
	var answer shedAnswer
	var err error
	if answer.Sessions, err = a.options.Shed(context.Background(), s.Fraction); err != nil {
		answer.Incomplete = a.problemOf(err, "/api/shed").Message
	}
	p, _ := json.Marshal(answer) // a number and a text
	return p
}
