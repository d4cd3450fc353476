// Package support is the server part of the customer service: visitors of a shop on one side, agents at a desk on the other.
//
// A conversation is a topic with history, demo.support.c.ID, and all that is to be known about it follows from its messages: who waits,
// who has taken it, what is unread, that it is over. Both sides publish to it themselves; a hook checks what they publish. Two agents who
// take a conversation in the same moment may both get past the hook, perhaps on two nodes; the order of the topic says who was first, and
// all who read it agree. ID is a secret of 128 bits that the visitor's browser keeps: who knows it is the visitor. Agents are operators.
//
// Besides, demo.support.live.ID carries what is worth nothing later: who types, and by presence who is there. The presence of
// demo.support.desk is who is on duty; their names are no secret. demo.support.state tells visitors how many they are.
//
// A conversation lasts 7 days at most, and has at most 1,000 events of 1 MiB in all; a text has at most 2,000 characters. 2,000
// conversations are known at one time. What an agent has who was away for a minute goes back to the queue.
package support

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix     = "demo.support."
	topicTalk  = prefix + "c."    // then the id of a conversation
	topicLive  = prefix + "live." // and here
	topicDesk  = prefix + "desk"
	topicState = prefix + "state"

	life        = 7 * 24 * time.Hour
	maxKnown    = 2000 // conversations at one time, those that are over included
	maxShown    = 50   // of those that are over, in a list
	maxText     = 2000 // characters
	maxBytes    = 1 << 20
	maxEvents   = 1000
	reserved    = 100 // of maxEvents, for what is not said but done: reading, handing over, closing
	maxVisitors = 50  // users as which a visitor may come back
	perVisitor  = 5   // conversations that somebody may begin in a minute
)

// Codes of refusals.
const (
	codeUnknown  hub.Code = "support.no-conversation"
	codeClosed   hub.Code = "support.closed"
	codeTaken    hub.Code = "support.taken"
	codeNotYours hub.Code = "support.not-yours"
	codeNoAgent  hub.Code = "support.no-agent"
	codeBad      hub.Code = "support.bad-event"
	codeText     hub.Code = "support.bad-text"
	codeTooLong  hub.Code = "support.too-long"
	codeFull     hub.Code = "support.full"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	s := &support{
		env: env, talks: showcase.Fold[conversation]{Apply: apply}, known: showcase.Index[struct{}]{Name: "support", Life: life},
		doors: showcase.Turnstile{Each: perVisitor, All: 60, Interval: time.Minute},
	}
	return &showcase.App{
		Name: "support",
		Topics: []hub.Rule{
			{Pattern: topicTalk + "*", TopicOptions: hub.TopicOptions{
				HistoryMessages: maxEvents + reserved, HistoryAge: life, HistoryBytes: 4 * maxBytes, MaxBytes: 16 << 10,
				PublishRate: 3, PublishBurst: 15,
			}},
			{Pattern: topicLive + "*", TopicOptions: hub.TopicOptions{
				Presence: hub.PresenceFull, MaxSubscribers: 20, MaxBytes: 256, PublishRate: 2, PublishBurst: 10, Slow: hub.SlowLatest,
			}},
			{Pattern: topicDesk, TopicOptions: hub.TopicOptions{Presence: hub.PresenceFull, MaxSubscribers: 200, Publish: hub.Nobody}},
			{Pattern: topicState, TopicOptions: hub.TopicOptions{HistoryMessages: 1, HistoryAge: life, Publish: hub.Nobody, Slow: hub.SlowLatest}},
		},
		Subscribe: s.subscribe,
		Publish:   s.publish,
		Requests: map[string]hub.RequestHandler{
			"open": showcase.Answering(s.open),
			"desk": showcase.Answering(s.desk),
		},
		Run:  func(ctx context.Context) { s.known.Open(ctx, env.Hub) },
		Solo: s.watch,
	}, nil
}

type support struct {
	env   *showcase.Env
	talks showcase.Fold[conversation]
	known showcase.Index[struct{}] // ids of conversations
	doors showcase.Turnstile       // for those who begin one
}

// idOf returns the id in the name of a topic of a conversation, or nothing.
func idOf(topic string) string {
	for _, before := range []string{topicTalk, topicLive} {
		if id, is := strings.CutPrefix(topic, before); is {
			return id
		}
	}
	return ""
}

// talk returns the conversation to which a topic belongs.
func (s *support) talk(ctx context.Context, topic string) (conversation, error) {
	id := idOf(topic)
	c, _, err := s.talks.State(ctx, s.env.Hub, topicTalk+id)
	switch {
	case err != nil:
		return c, err
	case c.Opened.IsZero():
		return c, hub.Errorf(codeUnknown, "there is no such conversation, or no longer: it is forgotten after %d days", life/24/time.Hour)
	}
	return c, nil
}

// open begins a conversation. Its id is the visitor's to keep.
func (s *support) open(ctx context.Context, r *hub.Request, _ struct{}) (answer struct {
	ID string `json:"id"`
}, err error) {
	name, err := showcase.NameOf(r.Identity)
	if err != nil {
		return answer, err
	}
	known, err := s.known.All(ctx)
	if err != nil {
		return answer, err
	}
	if len(known) >= maxKnown {
		return answer, &hub.Error{Code: codeFull, Message: "too many people are waiting at the moment; please come back later", Retry: time.Minute}
	}
	if err := s.doors.Pass(r.Identity.User); err != nil {
		return answer, err
	}
	id := rand.Text()
	if err := s.known.Put(ctx, id, struct{}{}); err != nil {
		return answer, err
	}
	_, err = showcase.JSON(ctx, s.env.Hub, topicTalk+id, "", event{Kind: opened, Name: name, User: r.Identity.User})
	answer.ID = id
	return answer, err
}

// desk lists the conversations for an agent, who is subscribed already: what has an offset above that of its conversation comes on top.
func (s *support) desk(ctx context.Context, r *hub.Request, _ struct{}) (answer struct {
	Conversations []conversation `json:"conversations"`
}, err error) {
	if err := s.env.Operators.Check(r.Session); err != nil {
		return answer, err
	}
	answer.Conversations, err = s.list(ctx)
	return answer, err
}

// list returns all conversations that are open and the last ones that are over, latest first.
func (s *support) list(ctx context.Context) ([]conversation, error) {
	entries, err := s.known.All(ctx)
	if err != nil {
		return nil, err
	}
	all, over := make([]conversation, 0, len(entries)), 0
	for _, e := range entries {
		c, known := s.talks.Known(topicTalk + e.Key)
		if !known || !c.Closed { // what is over stays so
			if c, _, err = s.talks.State(ctx, s.env.Hub, topicTalk+e.Key); err != nil {
				return nil, err
			}
		}
		if c.Opened.IsZero() || c.Closed && over >= maxShown {
			continue
		}
		if c.Closed {
			over++
		}
		all = append(all, c)
	}
	return all, nil
}
