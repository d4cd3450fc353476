// Package notify is the server part of the notifications: an operator pushes to one person, a group or everybody, now or at a time, and
// sees who has got it and who has read it.
//
// Those whom a notification is for read it from a topic with history, so that it does not matter when their page is open:
// demo.notify.all, demo.notify.group.GROUP and demo.notify.inbox.SECRET. There are no accounts here: a person is who knows the secret of
// an inbox, which the browser keeps; the name is only what the person says. Whoever belongs to a group is told so by nobody but the
// person, and the topics of groups are open to all.
//
// What happens to a notification is in a log of its own, demo.notify.log.SECRET: that it is planned, cancelled, due, sent, delivered,
// read. Its state follows from the order of these. A notification is sent in three steps: "due" into the log, which no cancellation
// undoes; into the topic of those whom it is for, with its id, so that it is there once even if a server that was interrupted does it
// again; "sent" into the log. The people, and which logs there are, are on boards that all nodes share.
//
// Notifications and their receipts are kept for 7 days after they are sent, people for 30 days after their last visit. There are at most
// 500 people, and 500 notifications, of which 100 wait for their time, at most 30 days ahead. A title has at most 80 characters and a text
// 1,000; a topic keeps the last 100 notifications.
package notify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix     = "demo.notify."
	topicAll   = prefix + "all"
	topicGroup = prefix + "group." // then the group
	topicInbox = prefix + "inbox." // then the secret of a person
	topicLog   = prefix + "log."   // then the secret of a notification
	topicDesk  = prefix + "desk"   // news for operators: people

	maxAhead   = 30 * 24 * time.Hour
	kept       = 7 * 24 * time.Hour // of what has been sent
	visited    = 30 * 24 * time.Hour
	refresh    = 24 * time.Hour // after which a visit is written down anew
	maxPeople  = 500
	maxItems   = 500
	maxWaiting = 100
	maxTitle   = 80
	maxText    = 1000
	maxInbox   = 100 // notifications that a topic keeps
	maxAtOnce  = 200 // receipts in one request
)

var groups = []string{"sales", "kitchen", "delivery", "office"}

// Codes of refusals.
const (
	codeUnknown hub.Code = "notify.unknown"
	codeGroup   hub.Code = "notify.bad-group"
	codeTitle   hub.Code = "notify.bad-title"
	codeText    hub.Code = "notify.bad-text"
	codeTime    hub.Code = "notify.bad-time"
	codeTarget  hub.Code = "notify.bad-target"
	codeFull    hub.Code = "notify.full"
	codeSent    hub.Code = "notify.sent-already"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	n := &notify{
		env: env, logs: showcase.Fold[notification]{Apply: apply}, wake: make(chan struct{}, 1),
		people: showcase.Index[person]{Name: "notify-people", Life: visited},
		items:  showcase.Index[item]{Name: "notify-items", Life: maxAhead + kept},
		visits: showcase.Turnstile{Each: 60, All: 2000, Interval: time.Minute},
		marks:  showcase.Turnstile{Each: 300, All: 20_000, Interval: time.Minute},
		pushes: showcase.Turnstile{Each: 30, All: 60, Interval: time.Minute},
	}
	n.items.Changed = func(string, item) { n.look() }
	received := hub.TopicOptions{
		HistoryMessages: maxInbox, HistoryAge: kept, HistoryBytes: 2 << 20, Publish: hub.Nobody, Window: 10 * time.Minute,
	}
	return &showcase.App{
		Name: "notify",
		Topics: []hub.Rule{
			{Pattern: topicAll, TopicOptions: received},
			{Pattern: topicGroup + "*", TopicOptions: received},
			{Pattern: topicInbox + "*", TopicOptions: received},
			{Pattern: topicLog + "*", TopicOptions: hub.TopicOptions{
				HistoryMessages: 2*maxPeople + 10, HistoryAge: maxAhead + kept, HistoryBytes: 2 << 20, Publish: hub.Nobody,
			}},
			{Pattern: topicDesk, TopicOptions: hub.TopicOptions{Publish: hub.Nobody}},
		},
		Subscribe: n.subscribe,
		Requests: map[string]hub.RequestHandler{
			"enter":   showcase.Answering(n.enter),
			"receipt": showcase.Answering(n.receipt),
			"desk":    showcase.Answering(n.desk),
			"push":    showcase.Answering(n.push),
			"cancel":  showcase.Answering(n.cancel),
		},
		Run: func(ctx context.Context) {
			n.people.Open(ctx, env.Hub)
			n.items.Open(ctx, env.Hub)
			n.catchUp(ctx)
		},
		Solo: n.send,
	}, nil
}

type notify struct {
	env    *showcase.Env
	logs   showcase.Fold[notification]
	people showcase.Index[person] // by id
	items  showcase.Index[item]   // by the id of the notification
	visits showcase.Turnstile
	marks  showcase.Turnstile // for receipts
	pushes showcase.Turnstile
	wake   chan struct{} // has room for one: there may be something to send
}

// person is who can be notified.
type person struct {
	Name   string               `json:"name"`
	Inbox  string               `json:"inbox"`  // the secret
	Since  time.Time            `json:"since"`  // what was sent to all before is not for this person
	Groups map[string]time.Time `json:"groups"` // since when
}

// item is where a notification is to be found, and when it is to be sent.
type item struct {
	Log string    `json:"log"` // the secret
	At  time.Time `json:"at"`
}

// public is what stands for a secret before others.
func public(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:8])
}

// secretOf makes a secret of the key of an order, which only who has given the order knows; without a key, one out of thin air. So an
// order that is given again, because nobody knows whether it arrived, is the same.
func secretOf(key string) string {
	if key == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte("order " + key))
	return hex.EncodeToString(sum[:16])
}

// topicOf returns where those read whom a notification is for.
func (n *notify) topicOf(ctx context.Context, to target) (string, error) {
	switch to.Kind {
	case toAll:
		return topicAll, nil
	case toGroup:
		return topicGroup + to.ID, nil
	}
	who, known, err := n.people.Get(ctx, to.ID)
	if err == nil && !known {
		err = hub.Errorf(codeTarget, "there is nobody with that id any more")
	}
	return topicInbox + who.Inbox, err
}

// isFor reports whether a notification that was sent, or is sent now if that is zero, is for a person.
func isFor(to target, at time.Time, id string, who person) bool {
	since := who.Since
	switch to.Kind {
	case toGroup:
		var is bool
		if since, is = who.Groups[to.ID]; !is {
			return false
		}
	case toPerson:
		return to.ID == id
	}
	return at.IsZero() || !at.Before(since)
}

// subscribe lets people read what is for them, and operators everything.
func (n *notify) subscribe(call *hub.SubscribeCall) error {
	topic := call.Topic
	if topic == topicDesk || topic == topicLog+"*" {
		return n.env.Operators.Check(call.Session)
	}
	if group, is := strings.CutPrefix(topic, topicGroup); topic == topicAll || is && slices.Contains(groups, group) {
		return nil
	}
	secret, is := strings.CutPrefix(topic, topicInbox)
	if !is || strings.ContainsAny(secret, "*>") {
		return hub.Errorf(hub.CodeForbidden, "%s is nothing that one can subscribe to here", topic)
	}
	who, known, err := n.people.Get(call.Context, public(secret))
	if err == nil && (!known || who.Inbox != secret) {
		err = hub.Errorf(codeUnknown, "there is no such inbox, or no longer: it is forgotten %d days after the last visit", visited/24/time.Hour)
	}
	return err
}

// look has what is due sent, if this node is the one that does.
func (n *notify) look() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
