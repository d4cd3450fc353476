package support

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Kinds of events. Only the server publishes opened and released.
const (
	opened   = "open"    // a visitor begins
	back     = "back"    // the visitor comes as another user, whom the id lets in: the server was started again, or it is another tab
	text     = "text"    // one of them says something
	taken    = "take"    // an agent takes it from the queue or, if From is a user, from the agent who has it
	handed   = "hand"    // who has it gives it to another agent or, without To, back to the queue
	released = "release" // the agent From has been away for too long
	closed   = "close"   // it is over
	read     = "read"    // one of them has seen everything up to UpTo
)

// Sides of a conversation.
const (
	visitor = "visitor"
	agent   = "agent"
)

// person is an agent.
type person struct {
	User string `json:"user"`
	Name string `json:"name"`
}

// event is one message of a conversation's topic.
type event struct {
	Kind string  `json:"kind"`
	By   string  `json:"by,omitempty"`   // the side, of text, closed and read
	Name string  `json:"name,omitempty"` // of who does it; the server's word
	Text string  `json:"text,omitempty"`
	User string  `json:"user,omitempty"` // of opened: the visitor's
	From string  `json:"from,omitempty"` // of taken and released: the user who has it, empty for the queue
	To   *person `json:"to,omitempty"`   // of handed
	UpTo uint64  `json:"upTo,omitempty"` // of read: an offset
}

// conversation is what follows from the events of one topic. All nodes and all pages apply the same rules to the same order of events
// (web/src/support/conversation.ts has them too), so that all agree on who was first.
type conversation struct {
	ID       string    `json:"id"`
	Opened   time.Time `json:"opened"`
	Visitor  string    `json:"visitor"`         // the name
	Visitors []string  `json:"visitors"`        // users that are the visitor
	Agent    *person   `json:"agent,omitempty"` // who has it; nil: it waits in the queue
	Since    time.Time `json:"since"`           // when it came into the queue, was taken or closed
	Closed   bool      `json:"closed"`
	Unread   unread    `json:"unread"`
	Last     *line     `json:"last,omitempty"` // what was said last
	Offset   uint64    `json:"offset"`         // of the last event

	events int // all of them, those that changed nothing included
	bytes  int
}

// unread are the offsets of what the other side has said and this one has not seen.
type unread struct {
	Visitor []uint64 `json:"visitor"`
	Agent   []uint64 `json:"agent"`
}

func (u *unread) of(side string) *[]uint64 {
	if side == visitor {
		return &u.Visitor
	}
	return &u.Agent
}

// line is something that was said.
type line struct {
	By   string    `json:"by"`
	Text string    `json:"text"` // its beginning
	At   time.Time `json:"at"`
}

const previewRunes = 80

// holder is the user who has the conversation, empty for the queue.
func (c *conversation) holder() string {
	if c.Agent == nil {
		return ""
	}
	return c.Agent.User
}

// isSide reports whether a user may act for a side.
func (c *conversation) isSide(side, user string) bool {
	if side == agent {
		return user != "" && c.holder() == user
	}
	return side == visitor && slices.Contains(c.Visitors, user)
}

// allows reports whether an event counts, for someone who publishes it now. The order of the topic decides whether it did.
func (c *conversation) allows(e *event, user string) bool {
	fromServer := user == ""
	if e.Kind == opened {
		return fromServer && c.Opened.IsZero()
	}
	if c.Opened.IsZero() || c.Closed && e.Kind != back && e.Kind != read {
		return false
	}
	switch e.Kind {
	case back:
		return !fromServer && len(c.Visitors) < maxVisitors
	case text, closed, read:
		return c.isSide(e.By, user)
	case taken:
		return !fromServer && c.holder() == e.From && e.From != user
	case handed:
		return c.isSide(agent, user)
	case released:
		return fromServer && e.From != "" && c.holder() == e.From
	}
	return false
}

// apply is the state after one more message.
func apply(c conversation, m *hub.Message) conversation {
	var e event
	c.Offset = m.Offset
	c.events++
	c.bytes += len(m.Data)
	if m.Binary || json.Unmarshal(m.Data, &e) != nil || !c.allows(&e, m.From.User) {
		return c
	}
	switch e.Kind {
	case opened:
		c.ID, c.Opened, c.Since, c.Visitor, c.Visitors = idOf(m.Topic), m.Time, m.Time, e.Name, []string{e.User}
		c.Unread = unread{[]uint64{}, []uint64{}}
	case back:
		if !slices.Contains(c.Visitors, m.From.User) {
			c.Visitors = append(slices.Clip(c.Visitors), m.From.User)
		}
	case text:
		c.Last = &line{e.By, preview(e.Text), m.Time}
		unseen := c.Unread.of(other(e.By))
		*unseen = append(slices.Clip(*unseen), m.Offset)
	case taken:
		c.Agent, c.Since = &person{m.From.User, e.Name}, m.Time
	case handed:
		c.Agent, c.Since = e.To, m.Time
	case released:
		c.Agent, c.Since = nil, m.Time
	case closed:
		c.Closed, c.Since = true, m.Time
	case read:
		unseen := c.Unread.of(e.By)
		*unseen = slices.DeleteFunc(slices.Clone(*unseen), func(offset uint64) bool { return offset <= e.UpTo })
	}
	return c
}

func other(side string) string {
	if side == visitor {
		return agent
	}
	return visitor
}

func preview(s string) string {
	runes := []rune(s)
	if len(runes) <= previewRunes {
		return s
	}
	return string(runes[:previewRunes-1]) + "…"
}
