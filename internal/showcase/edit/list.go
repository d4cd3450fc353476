package edit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const listFresh = 2 * time.Second // how long the list is good

// document is a line of the list.
type document struct {
	Name    string `json:"name"`
	Changed int64  `json:"changed"` // milliseconds since 1970
	People  int    `json:"people"`  // who have it open, as far as this node knows
}

// documents is the answer to demo.edit.documents: those that there are, the one that was changed last first.
func (e *editor) documents(ctx context.Context, _ *hub.Request, _ struct{}) (answer struct {
	Documents []document `json:"documents"`
}, err error) {
	list, err := e.fresh(ctx)
	if err != nil {
		return answer, err
	}
	answer.Documents = slices.Clone(list)
	for i := range answer.Documents {
		if r := e.peek(answer.Documents[i].Name); r != nil {
			answer.Documents[i].People = r.countPeople()
		}
	}
	return answer, nil
}

func (r *room) countPeople() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.people.count()
}

func (e *editor) count(ctx context.Context) (int, error) {
	list, err := e.fresh(ctx)
	return len(list), err
}

// fresh returns the list, which is made anew if it is old: the hub is asked for the topics that there are, and when each was changed.
func (e *editor) fresh(ctx context.Context) ([]document, error) {
	e.listing.Lock()
	defer e.listing.Unlock()
	if time.Since(e.listedAt) < listFresh {
		return e.list, nil
	}
	changed := make(map[string]int64)
	for _, p := range []part{partLog, partSnapshot} {
		page, err := e.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: topic("*", p), Limit: maxDocuments + 50})
		if err != nil {
			return nil, err
		}
		for i := range page.Topics {
			if t := &page.Topics[i]; t.Messages > 0 {
				name, _, err := parseTopic(t.Name)
				if err != nil {
					continue
				}
				at, err := e.newest(ctx, t.Name)
				if err != nil {
					return nil, err
				}
				if _, written := changed[name]; at > 0 && !written { // the server makes snapshots, people write
					changed[name] = at
				}
			}
		}
	}
	e.list = make([]document, 0, len(changed))
	for name, at := range changed {
		e.list = append(e.list, document{Name: name, Changed: at})
	}
	slices.SortFunc(e.list, func(a, b document) int { return cmp.Or(cmp.Compare(b.Changed, a.Changed), cmp.Compare(a.Name, b.Name)) })
	e.listedAt = time.Now()
	return e.list, nil
}

// newest returns when the last message of a topic came; 0 if it keeps none.
func (e *editor) newest(ctx context.Context, topic string) (int64, error) {
	page, err := e.env.Hub.History(ctx, topic, hub.HistoryQuery{Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return 0, err
	}
	return page.Messages[0].Time.UnixMilli(), nil
}
