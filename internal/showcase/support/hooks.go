package support

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// subscribe lets visitors into the conversations whose ids they know, and agents everywhere.
func (s *support) subscribe(call *hub.SubscribeCall) error {
	switch topic := call.Topic; {
	case topic == topicState:
		return nil
	case topic == topicTalk+"*":
		return s.env.Operators.Check(call.Session)
	case topic == topicDesk:
		if _, err := showcase.NameOf(call.Identity); err != nil {
			return err
		}
		return s.env.Operators.Check(call.Session)
	case strings.ContainsAny(topic, "*>") || idOf(topic) == "":
		return hub.Errorf(hub.CodeForbidden, "%s is nothing that one can subscribe to here", topic)
	default:
		_, err := s.talk(call.Context, topic)
		return err
	}
}

// publish decides about what a client publishes, and puts what the server knows in the place of what the client says about itself.
func (s *support) publish(call *hub.PublishCall) error {
	p := call.Publication
	if p.Binary || len(p.Meta) > 0 || p.Key != "" {
		return hub.Errorf(codeBad, "an event is JSON, without a key and meta")
	}
	if strings.HasPrefix(call.Topic, topicLive) {
		return s.publishLive(call)
	}
	if !strings.HasPrefix(call.Topic, topicTalk) {
		return hub.Errorf(hub.CodeForbidden, "%s is nothing that one can publish to", call.Topic)
	}
	var e event
	if err := json.Unmarshal(p.Data, &e); err != nil {
		return hub.Errorf(codeBad, "that is not an event of a conversation: %s", err)
	}
	c, err := s.talk(call.Context, call.Topic)
	if err != nil {
		return err
	}
	if e, err = s.checked(call, &c, &e); err != nil {
		return err
	}
	p.Data, err = json.Marshal(e)
	return err
}

// checked returns the event as it is published: what it may say and no more.
func (s *support) checked(call *hub.PublishCall, c *conversation, e *event) (event, error) {
	name, err := showcase.NameOf(call.Identity)
	if err != nil {
		return event{}, err
	}
	clean := event{Kind: e.Kind, By: e.By, Name: name}
	byAgent := e.By == agent
	switch e.Kind {
	case text:
		clean.Text = strings.TrimSpace(e.Text)
		err = checkText(clean.Text)
	case read:
		clean.UpTo = e.UpTo
	case taken:
		clean.By, clean.From, byAgent = "", e.From, true
	case handed:
		clean.By, byAgent = "", true
		clean.To, err = s.colleague(call.Context, e.To, call.Identity.User)
	case back:
		clean.By = ""
	case closed:
	default:
		return event{}, hub.Errorf(codeBad, "%q is not what one does in a conversation", e.Kind)
	}
	if err == nil && byAgent {
		err = s.env.Operators.Check(call.Session)
	}
	if err == nil {
		err = refusal(c, &clean, call.Identity.User)
	}
	return clean, err
}

// refusal says why an event would not count, or nothing if it would.
func refusal(c *conversation, e *event, user string) error {
	room := maxEvents
	if e.Kind == text || e.Kind == back || e.Kind == taken {
		room -= reserved
	}
	switch allowed := c.allows(e, user); {
	case allowed && (c.events >= room || c.bytes >= maxBytes):
		return hub.Errorf(codeTooLong, "this conversation has become too long; end it and begin another one")
	case allowed:
		return nil
	case c.Closed:
		return hub.Errorf(codeClosed, "this conversation is over")
	case e.Kind == taken && c.Agent != nil:
		return hub.Errorf(codeTaken, "%s has this conversation", c.Agent.Name)
	case e.Kind == taken:
		return hub.Errorf(codeTaken, "the agent from whom this was to be taken does not have it any more")
	case e.Kind == back:
		return hub.Errorf(codeTooLong, "this conversation was opened in too many places; end it and begin another one")
	case e.By == visitor || e.By == agent || e.Kind == handed:
		return hub.Errorf(codeNotYours, "only who has this conversation can do that")
	}
	return hub.Errorf(codeBad, "by is %q or %q", visitor, agent)
}

func checkText(s string) error {
	if n := utf8.RuneCountInString(s); n == 0 || n > maxText {
		return hub.Errorf(codeText, "a text has 1 to %d characters, not %d", maxText, n)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return hub.Errorf(codeText, "the character %q cannot be in a text", r)
		}
	}
	return nil
}

// colleague returns the agent to whom a conversation is to be handed, under the name that is seen at the desk; nil stands for the queue.
func (s *support) colleague(ctx context.Context, to *person, self string) (*person, error) {
	if to == nil {
		return nil, nil
	}
	desk, err := s.env.Hub.Presence(ctx, topicDesk)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(desk.Users, func(u hub.PresentUser) bool { return u.User == to.User })
	if at < 0 || to.User == self {
		return nil, hub.Errorf(codeNoAgent, "there is no such agent at the desk any more")
	}
	name, _ := showcase.ShownName(desk.Users[at].User, desk.Users[at].Info)
	return &person{to.User, name}, nil
}

// publishLive lets both sides tell that they type.
func (s *support) publishLive(call *hub.PublishCall) error {
	var e struct {
		By     string `json:"by"`
		Typing *bool  `json:"typing"`
	}
	if err := json.Unmarshal(call.Publication.Data, &e); err != nil || e.Typing == nil {
		return hub.Errorf(codeBad, `what is live is {"by":"visitor","typing":true}`)
	}
	c, err := s.talk(call.Context, call.Topic)
	if err != nil {
		return err
	}
	if !c.isSide(e.By, call.Identity.User) {
		return hub.Errorf(codeNotYours, "only who has this conversation can do that")
	}
	if e.By == agent {
		if err := s.env.Operators.Check(call.Session); err != nil {
			return err
		}
	}
	call.Publication.Data, err = json.Marshal(e)
	return err
}
