package notify

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// order is what an operator wants to be sent.
type order struct {
	Title string    `json:"title"`
	Text  string    `json:"text"`
	To    target    `json:"to"`
	At    time.Time `json:"at,omitzero"` // zero: now
	// Key makes it harmless to give the order again: 16 to 64 characters that nobody else can guess. Empty: every order is new.
	Key string `json:"key,omitempty"`
}

type answerID struct {
	ID string `json:"id"`
}

// push plans a notification. The log is written first: what is on the board is there.
func (n *notify) push(ctx context.Context, r *hub.Request, o order) (answerID, error) {
	by, err := showcase.NameOf(r.Identity)
	if err == nil {
		err = n.env.Operators.Check(r.Session)
	}
	if err == nil {
		err = n.check(ctx, &o, time.Now())
	}
	if err == nil {
		err = n.pushes.Pass(r.Identity.User)
	}
	if err != nil {
		return answerID{}, err
	}
	secret := secretOf(o.Key)
	id := public(secret)
	what := &notice{id, o.Title, o.Text, o.To, by}
	if err := n.tell(ctx, topicLog+secret, planned, event{Kind: planned, Notice: what, At: o.At}); err != nil {
		return answerID{}, err
	}
	at := item{secret, o.At}
	if err := n.items.Put(ctx, id, at); err != nil {
		return answerID{}, err
	}
	if !o.At.After(time.Now()) {
		// Who sends what is due does it, too, and may be another node that is only now taking over; to do it here as well is harmless.
		if err := n.sendOne(ctx, at); err != nil {
			n.env.Logger.Debug("a notification is left to who sends what is due", "error", err)
		}
	}
	return answerID{id}, nil
}

// check sees to it that an order can be carried out, and completes it.
func (n *notify) check(ctx context.Context, o *order, now time.Time) (err error) {
	o.Title, o.Text = strings.TrimSpace(o.Title), strings.TrimSpace(o.Text)
	switch o.At = o.At.UTC(); {
	case o.At.IsZero() || o.At.Before(now) && now.Sub(o.At) < time.Minute:
		o.At = now.UTC()
	case o.At.Before(now):
		return hub.Errorf(codeTime, "%s is over", o.At.Format(time.DateTime))
	case o.At.Sub(now) > maxAhead:
		return hub.Errorf(codeTime, "a notification is planned for at most %d days ahead", maxAhead/24/time.Hour)
	}
	if o.Key != "" && (len(o.Key) < 16 || len(o.Key) > 64) {
		return hub.Errorf(hub.CodeBadRequest, "a key has 16 to 64 characters")
	}
	if !isText(o.Title, 1, maxTitle) || strings.Contains(o.Title, "\n") {
		return hub.Errorf(codeTitle, "a title has 1 to %d characters on one line", maxTitle)
	}
	if !isText(o.Text, 0, maxText) {
		return hub.Errorf(codeText, "a text has at most %d characters", maxText)
	}
	if o.To, err = n.checkTarget(ctx, o.To); err != nil {
		return err
	}
	return n.checkRoom(ctx, o.At.After(now))
}

func (n *notify) checkTarget(ctx context.Context, to target) (target, error) {
	switch {
	case to.Kind == toAll:
		return target{Kind: toAll}, nil
	case to.Kind == toGroup && slices.Contains(groups, to.ID):
		return target{Kind: toGroup, ID: to.ID}, nil
	case to.Kind == toPerson:
		who, known, err := n.people.Get(ctx, to.ID)
		if err != nil || known {
			return target{Kind: toPerson, ID: to.ID, Name: who.Name}, err
		}
	}
	return to, hub.Errorf(codeTarget, "it is for nobody: choose a person, a group or everybody")
}

// checkRoom sees to it that there are not too many notifications.
func (n *notify) checkRoom(ctx context.Context, later bool) error {
	all, err := n.all(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for i := range all {
		if all[i].waits() {
			waiting++
		}
	}
	if len(all) >= maxItems || later && waiting >= maxWaiting {
		return hub.Errorf(codeFull, "at most %d notifications can wait for their time, and %d be known", maxWaiting, maxItems)
	}
	return nil
}

// cancel takes a notification back that has not been sent.
func (n *notify) cancel(ctx context.Context, r *hub.Request, question answerID) (struct{}, error) {
	if err := n.env.Operators.Check(r.Session); err != nil {
		return struct{}{}, err
	}
	i, known, err := n.items.Get(ctx, question.ID)
	if err == nil && !known {
		err = hub.Errorf(codeUnknown, "there is no such notification any more")
	}
	if err != nil {
		return struct{}{}, err
	}
	log := topicLog + i.Log
	if err := n.tell(ctx, log, "cancelled", event{Kind: cancelled}); err != nil {
		return struct{}{}, err
	}
	state, _, err := n.logs.State(ctx, n.env.Hub, log)
	if err == nil && !state.Cancelled {
		err = hub.Errorf(codeSent, "it has been sent already")
	}
	return struct{}{}, err
}

func isText(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}
