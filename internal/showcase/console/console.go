// Package console is the server part of the operators' page: what happens on all nodes of the server, who is there, and what an operator can
// do about it. All of it takes an operator: each request asks for that, and so does the topic to which the figures are published.
//
// The figures of every node are gathered once a second by one of them, for as long as somebody looks, and told to all who do through a topic.
// What is seldom needed is asked for instead: the sessions, the topics, the log.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix       = "demo.console."
	topicFigures = prefix + "figures" // what figures says, once a second

	// Commands by which nodes ask each other, with the name of the app.
	commandFigures = "console.figures"
	commandErrors  = "console.errors"
	commandPast    = "console.past"
)

// The codes of refusals, besides those of the hub and demo.not-operator.
const (
	codeNobody         hub.Code = "console.nobody"          // neither a session nor a user is named
	codeNoSession      hub.Code = "console.no-session"      // nobody is connected as that
	codeNoSubscription hub.Code = "console.no-subscription" // they are not subscribed to it
	codeBadTopic       hub.Code = "console.bad-topic"
	codeBadJSON        hub.Code = "console.bad-json"
	codeTextTooLong    hub.Code = "console.text-too-long"
)

const (
	askOthers = 2 * time.Second // until other nodes that have not answered are said to be missing
	maxText   = 120             // bytes of a message to a client: it goes into the close frame, too
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	c := &console{env: env, node: nameOf(env.Node), began: time.Now()}
	return &showcase.App{
		Name: "console",
		Topics: []hub.Rule{{Pattern: topicFigures, TopicOptions: hub.TopicOptions{
			Presence: hub.PresenceCount, Publish: hub.Nobody, MaxBytes: 1 << 20, Slow: hub.SlowLatest, SlowMessages: 1,
		}}},
		Subscribe: c.subscribe,
		Requests: map[string]hub.RequestHandler{
			"past":        guarded(c, c.past),
			"sessions":    guarded(c, c.sessions),
			"topics":      guarded(c, c.topics),
			"errors":      guarded(c, c.errors),
			"disconnect":  guarded(c, c.disconnect),
			"unsubscribe": guarded(c, c.unsubscribe),
			"publish":     guarded(c, c.publish),
		},
		Commands: map[string]hub.CommandHandler{
			"figures": answering(c, func() any { return c.here() }),
			"errors":  answering(c, func() any { return c.errorsHere() }),
			"past":    answering(c, func() any { return c.remembered() }),
		},
		Solo: func(ctx context.Context) {
			showcase.WhileWatched(ctx, env.Hub, topicFigures, c.tell)
		},
	}, nil
}

type console struct {
	env   *showcase.Env
	node  string    // of this process
	began time.Time // this process
	record
}

// nameOf is what this process is called among the nodes.
func nameOf(node string) string {
	if node != "" {
		return node
	}
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// guarded lets only operators ask.
func guarded[Q, A any](c *console, f func(ctx context.Context, question Q) (A, error)) hub.RequestHandler {
	answer := showcase.Answering(func(ctx context.Context, _ *hub.Request, question Q) (A, error) { return f(ctx, question) })
	return func(ctx context.Context, r *hub.Request) (hub.Reply, error) {
		if err := c.env.Operators.Check(r.Session); err != nil {
			return hub.Reply{}, err
		}
		reply, err := answer(ctx, r)
		if known, ok := errors.AsType[*hub.Error](err); ok && known.Code == hub.CodeBadTopic {
			err = hub.Errorf(codeBadTopic, "%s", known.Message) // the code of a request is its handler's own
		}
		return reply, err
	}
}

// subscribe lets only operators hear the figures, and nobody patterns below prefix.
func (c *console) subscribe(call *hub.SubscribeCall) error {
	if err := c.env.Operators.Check(call.Session); err != nil {
		return err
	}
	if call.Topic != topicFigures {
		return hub.Errorf(hub.CodeForbidden, "the console tells everything in %s", topicFigures)
	}
	return nil
}

// answering makes a command that tells other nodes something about this one.
func answering(c *console, f func() any) hub.CommandHandler {
	return func([]byte) []byte {
		p, err := json.Marshal(f())
		if err != nil {
			c.env.Logger.Error("the console cannot answer another node", "error", err)
			return nil
		}
		return p
	}
}

// others asks all other nodes. missing says in words which of them did not answer.
func others[A any](ctx context.Context, c *console, command string) (answers []A, missing string) {
	ctx, cancel := context.WithTimeout(ctx, askOthers)
	defer cancel()
	all, err := c.env.Hub.Command(ctx, command, nil)
	for _, p := range all {
		var a A
		if json.Unmarshal(p, &a) != nil {
			err = errors.Join(err, errors.New("another node is of a version without this console"))
			continue
		}
		answers = append(answers, a)
	}
	return answers, inWords(err)
}

// inWords is what an error says, or nothing.
func inWords(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
