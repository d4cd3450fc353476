package notify

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Kinds of events of a notification. All are the server's.
const (
	planned   = "planned"   // an operator wants it sent at a time, which may be now
	cancelled = "cancelled" // and does not any more
	due       = "due"       // its time has come: from here on it is sent, whatever happens
	sent      = "sent"      // it is in the topic of those whom it is for
	delivered = "delivered" // a page of the person Who has got it
	read      = "read"      // the person Who has opened it
)

// event is one message of a notification's log.
type event struct {
	Kind     string    `json:"kind"`
	Notice   *notice   `json:"notice,omitempty"`   // of planned
	At       time.Time `json:"at,omitzero"`        // of planned: when it is to be sent
	Audience int       `json:"audience,omitempty"` // of due: for how many people it is
	Who      string    `json:"who,omitempty"`      // of delivered and read: a person's id
	Name     string    `json:"name,omitempty"`     // and name
}

// notice is a notification as those get it whom it is for.
type notice struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Text  string `json:"text"`
	To    target `json:"to"`
	By    string `json:"by"` // the operator's name
}

// target says whom a notification is for.
type target struct {
	Kind string `json:"kind"`           // "all", "group" or "person"
	ID   string `json:"id,omitempty"`   // of the group or the person
	Name string `json:"name,omitempty"` // of the person; the server's word
}

const (
	toAll    = "all"
	toGroup  = "group"
	toPerson = "person"
)

// receipt says that somebody has got or read a notification.
type receipt struct {
	Who  string    `json:"who"`
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// notification is what follows from the events of one log, in their order: if a cancellation and the time of sending meet, the one that is
// first in the log holds, on all nodes and all pages (web/src/notify/notification.ts has the same rules).
type notification struct {
	notice
	At        time.Time `json:"at"` // when it is to be sent
	Cancelled bool      `json:"cancelled"`
	Due       bool      `json:"due"`
	Sent      time.Time `json:"sent,omitzero"`
	Audience  int       `json:"audience"`
	Delivered []receipt `json:"delivered"`
	Read      []receipt `json:"read"`
	Log       string    `json:"log"`    // its topic
	Offset    uint64    `json:"offset"` // of the last event
}

// waits reports whether it may still be cancelled.
func (n *notification) waits() bool { return n.ID != "" && !n.Cancelled && !n.Due }

// finished reports whether nothing is left to be done to send it.
func (n *notification) finished() bool { return n.Cancelled || !n.Sent.IsZero() }

// apply is the state after one more message.
func apply(n notification, m *hub.Message) notification {
	var e event
	n.Offset = m.Offset
	if json.Unmarshal(m.Data, &e) != nil || m.From.User != "" {
		return n
	}
	switch {
	case e.Kind == planned && n.ID == "" && e.Notice != nil:
		n.notice, n.At, n.Log, n.Delivered, n.Read = *e.Notice, e.At, m.Topic, []receipt{}, []receipt{}
	case e.Kind == cancelled && n.waits():
		n.Cancelled = true
	case e.Kind == due && n.waits():
		n.Due, n.Audience = true, e.Audience
	case e.Kind == sent && n.Due && n.Sent.IsZero():
		n.Sent = m.Time
	case e.Kind == delivered && n.Due && !has(n.Delivered, e.Who):
		n.Delivered = append(slices.Clip(n.Delivered), receipt{e.Who, e.Name, m.Time})
	case e.Kind == read && n.Due && !has(n.Read, e.Who):
		n.Read = append(slices.Clip(n.Read), receipt{e.Who, e.Name, m.Time})
	}
	return n
}

func has(receipts []receipt, who string) bool {
	return slices.ContainsFunc(receipts, func(r receipt) bool { return r.Who == who })
}
