package console

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/duplex-websocket/duplex/hub"
)

// whom picks sessions.
type whom struct {
	User, Session string
}

func (w whom) selector() (hub.Selector, error) {
	if w == (whom{}) {
		return hub.Selector{}, hub.Errorf(codeNobody, "say who: a session or a user")
	}
	return hub.Selector{User: w.User, Session: w.Session}, nil
}

// done says of how many sessions or subscriptions an action has made an end, and which nodes did not answer, in words.
type done struct {
	Count   int    `json:"count"`
	Missing string `json:"missing,omitempty"`
}

type disconnectQuestion struct {
	whom
	Message   string // for the client; at most 120 bytes
	Reconnect bool   // it may come back
}

// disconnect ends sessions, on all nodes.
func (c *console) disconnect(ctx context.Context, q disconnectQuestion) (done, error) {
	who, err := q.selector()
	if err != nil {
		return done{}, err
	}
	text, err := textOf(q.Message, "an operator has disconnected you")
	if err != nil {
		return done{}, err
	}
	n, err := c.env.Hub.Disconnect(ctx, who, hub.End{Code: hub.EndDisconnected, Message: text, Reconnect: q.Reconnect})
	c.env.Logger.Info("the console has disconnected sessions", "user", q.User, "session", q.Session, "sessions", n, "error", err)
	if n == 0 && err == nil {
		return done{}, hub.Errorf(codeNoSession, "nobody is connected as that, any more or yet")
	}
	return done{n, inWords(err)}, nil
}

type unsubscribeQuestion struct {
	whom
	Topic   string // the topic or pattern, as it was subscribed to
	Message string // for the client; at most 120 bytes
}

// unsubscribe ends subscriptions, on all nodes.
func (c *console) unsubscribe(ctx context.Context, q unsubscribeQuestion) (done, error) {
	who, err := q.selector()
	if err != nil {
		return done{}, err
	}
	if err := hub.CheckPattern(q.Topic); err != nil {
		return done{}, err
	}
	text, err := textOf(q.Message, "an operator has ended this subscription")
	if err != nil {
		return done{}, err
	}
	n, err := c.env.Hub.Unsubscribe(ctx, who, q.Topic, &hub.Error{Code: hub.CodeForbidden, Message: text})
	c.env.Logger.Info("the console has ended subscriptions", "user", q.User, "session", q.Session, "topic", q.Topic, "subscriptions", n, "error", err)
	if n == 0 && err == nil {
		return done{}, hub.Errorf(codeNoSubscription, "they are not subscribed to %s, any more or yet", q.Topic)
	}
	return done{n, inWords(err)}, nil
}

func textOf(given, otherwise string) (string, error) {
	switch {
	case given == "":
		return otherwise, nil
	case len(given) > maxText:
		return "", hub.Errorf(codeTextTooLong, "a message to a client has at most %d bytes, not %d", maxText, len(given))
	}
	return given, nil
}

type publishQuestion struct {
	Topic string
	Key   string
	Data  string // JSON as text, so that what is wrong with it can be told
}

type published struct {
	Offset      uint64 `json:"offset"`
	Subscribers int    `json:"subscribers"` // to the topic itself, when it was published
}

// publish publishes on behalf of the program: no hook is asked.
func (c *console) publish(ctx context.Context, q publishQuestion) (published, error) {
	if err := hub.CheckTopic(q.Topic); err != nil {
		return published{}, err
	}
	var value any
	if err := json.Unmarshal([]byte(q.Data), &value); err != nil {
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			return published{}, hub.Errorf(codeBadJSON, "that is not JSON: %s, at byte %d", at, at.Offset)
		}
		return published{}, hub.Errorf(codeBadJSON, "that is not JSON: %s", err)
	}
	receipt, err := c.env.Hub.Publish(ctx, q.Topic, hub.Publication{Key: q.Key, Data: []byte(q.Data)})
	if err != nil {
		return published{}, err
	}
	c.env.Logger.Info("the console has published a message", "topic", q.Topic, "bytes", len(q.Data))
	answer := published{Offset: receipt.Offset}
	found, _ := c.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: q.Topic, Limit: 1}) // a courtesy: without it the count is 0
	for _, t := range found.Topics {
		answer.Subscribers = t.Subscribers
	}
	return answer, nil
}
