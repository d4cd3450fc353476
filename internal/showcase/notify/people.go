package notify

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// visit is what a page says when it is opened, and what it is told.
type visit struct {
	Inbox  string   `json:"inbox,omitempty"` // the secret that the browser has kept, if it has one
	Groups []string `json:"groups"`
}

type welcome struct {
	ID     string               `json:"id"`
	Inbox  string               `json:"inbox"`
	Now    time.Time            `json:"now"` // what was sent before was missed, if it is new to the page
	Since  time.Time            `json:"since"`
	Groups map[string]time.Time `json:"groups"`
	// Delivered and Read are ids of notifications.
	Delivered []string `json:"delivered"`
	Read      []string `json:"read"`
}

// enter makes somebody known, or notes under which name and with which groups somebody comes back.
func (n *notify) enter(ctx context.Context, r *hub.Request, v visit) (welcome, error) {
	name, err := showcase.NameOf(r.Identity)
	if err != nil {
		return welcome{}, err
	}
	for _, group := range v.Groups {
		if !slices.Contains(groups, group) {
			return welcome{}, hub.Errorf(codeGroup, "there are the groups %s, and not %q", strings.Join(groups, ", "), group)
		}
	}
	if err := n.visits.Pass(r.Identity.User); err != nil {
		return welcome{}, err
	}
	now := time.Now().UTC()
	before, at, err := n.known(ctx, v.Inbox, now)
	if err != nil {
		return welcome{}, err
	}
	who := before
	who.Name, who.Groups = name, make(map[string]time.Time)
	for _, group := range v.Groups {
		who.Groups[group] = now
		if since, was := before.Groups[group]; was {
			who.Groups[group] = since
		}
	}
	id := public(who.Inbox)
	if now.Sub(at) > refresh || before.Name != name || !maps.Equal(before.Groups, who.Groups) {
		if err := n.register(ctx, id, who); err != nil {
			return welcome{}, err
		}
	}
	w := welcome{ID: id, Inbox: who.Inbox, Now: now, Since: who.Since, Groups: who.Groups}
	w.Delivered, w.Read, err = n.receipts(ctx, id)
	return w, err
}

// known returns whose inbox that is and when it was last written down, or somebody new.
func (n *notify) known(ctx context.Context, inbox string, now time.Time) (person, time.Time, error) {
	people, err := n.people.All(ctx)
	if err != nil {
		return person{}, now, err
	}
	for _, e := range people {
		if inbox != "" && e.Key == public(inbox) {
			return e.Value, e.Put, nil
		}
	}
	if len(people) >= maxPeople {
		return person{}, now, hub.Errorf(codeFull, "there are %d people here already, which is all that there can be", maxPeople)
	}
	return person{Inbox: secretOf(""), Since: now}, time.Time{}, nil
}

// register puts a person among those who can be notified, and tells operators.
func (n *notify) register(ctx context.Context, id string, who person) error {
	if err := n.people.Put(ctx, id, who); err != nil {
		return err
	}
	return n.tell(ctx, topicDesk, "", seenAs(id, who))
}

// receipts returns what a person has got and read.
func (n *notify) receipts(ctx context.Context, id string) (delivered, read []string, err error) {
	all, err := n.all(ctx)
	delivered, read = []string{}, []string{}
	for i := range all {
		if has(all[i].Delivered, id) {
			delivered = append(delivered, all[i].ID)
		}
		if has(all[i].Read, id) {
			read = append(read, all[i].ID)
		}
	}
	return delivered, read, err
}

// all returns all notifications, those with the latest time first.
func (n *notify) all(ctx context.Context) ([]notification, error) {
	items, err := n.items.All(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]notification, 0, len(items))
	for _, e := range items {
		if time.Since(e.Value.At) > kept {
			continue
		}
		state, some, err := n.logs.State(ctx, n.env.Hub, topicLog+e.Value.Log)
		if err != nil {
			return nil, err
		}
		if some {
			all = append(all, state)
		}
	}
	slices.SortStableFunc(all, func(a, b notification) int { return b.At.Compare(a.At) })
	return all, nil
}

// receipt notes what a person's page has got, and what the person has read.
func (n *notify) receipt(ctx context.Context, r *hub.Request, question struct {
	Inbox     string   `json:"inbox"`
	Delivered []string `json:"delivered"`
	Read      []string `json:"read"`
}) (struct{}, error) {
	if err := n.marks.Pass(r.Identity.User); err != nil {
		return struct{}{}, err
	}
	id := public(question.Inbox)
	who, known, err := n.people.Get(ctx, id)
	switch {
	case err != nil:
		return struct{}{}, err
	case !known:
		return struct{}{}, hub.Errorf(codeUnknown, "there is no such inbox any more")
	case len(question.Delivered)+len(question.Read) > maxAtOnce:
		return struct{}{}, hub.Errorf(hub.CodeBadRequest, "at most %d receipts at once", maxAtOnce)
	}
	for kind, ids := range map[string][]string{delivered: append(question.Delivered, question.Read...), read: question.Read} {
		for _, notice := range ids {
			if err := n.note(ctx, notice, kind, id, who); err != nil {
				return struct{}{}, err
			}
		}
	}
	return struct{}{}, nil
}

// note writes a receipt into the log of a notification, once.
func (n *notify) note(ctx context.Context, notice, kind, id string, who person) error {
	i, known, err := n.items.Get(ctx, notice)
	if err != nil || !known {
		return err // it is older than what is kept
	}
	log := topicLog + i.Log
	state, _, err := n.logs.State(ctx, n.env.Hub, log)
	if err != nil {
		return err
	}
	before := state.Delivered
	if kind == read {
		before = state.Read
	}
	if has(before, id) || !state.Due || !isFor(state.To, state.Sent, id, who) {
		return nil
	}
	return n.tell(ctx, log, kind+"-"+id, event{Kind: kind, Who: id, Name: who.Name})
}

// someone is a person as operators see it.
type someone struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
}

func seenAs(id string, who person) someone {
	in := slices.AppendSeq([]string{}, maps.Keys(who.Groups)) // a list in JSON, even if it is empty
	slices.Sort(in)
	return someone{id, who.Name, in}
}

type overview struct {
	People        []someone      `json:"people"`
	Notifications []notification `json:"notifications"`
}

// desk is for an operator, who is subscribed already: what has an offset above that of its notification comes on top.
func (n *notify) desk(ctx context.Context, r *hub.Request, _ struct{}) (overview, error) {
	o := overview{People: []someone{}}
	if err := n.env.Operators.Check(r.Session); err != nil {
		return o, err
	}
	people, err := n.people.All(ctx)
	if err != nil {
		return o, err
	}
	for _, e := range people {
		o.People = append(o.People, seenAs(e.Key, e.Value))
	}
	o.Notifications, err = n.all(ctx)
	return o, err
}
