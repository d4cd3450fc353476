package console

import (
	"context"
	"slices"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	defaultPage = 50
	maxPage     = 200
	maxTopics   = 50 // of a session
	maxErrors   = 200
)

// pageOf checks how many entries are wanted.
func pageOf(limit int) (int, error) {
	switch {
	case limit == 0:
		return defaultPage, nil
	case limit < 0 || limit > maxPage:
		return 0, hub.Errorf(hub.CodeBadRequest, "limit: 1 to %d, not %d", maxPage, limit)
	}
	return limit, nil
}

type sessionsQuestion struct {
	User, Session string
	After         string // the session of the last entry of the page before
	Limit         int    // default 50, at most 200
}

type sessionInfo struct {
	Session    string   `json:"session"`
	User       string   `json:"user"`
	Anonymous  bool     `json:"anonymous"`
	Since      int64    `json:"since"`      // ms since 1970
	Topics     []string `json:"topics"`     // the first of them, at most maxTopics
	TopicCount int      `json:"topicCount"` // at most 1,000
	Queued     int      `json:"queued"`
}

// sessions lists who is connected, on all nodes.
func (c *console) sessions(ctx context.Context, q sessionsQuestion) (any, error) {
	limit, err := pageOf(q.Limit)
	if err != nil {
		return nil, err
	}
	found, err := c.env.Hub.Sessions(ctx, hub.SessionQuery{Selector: hub.Selector{User: q.User, Session: q.Session}, After: q.After, Limit: limit})
	answer := struct {
		Sessions []sessionInfo `json:"sessions"`
		More     bool          `json:"more"`
		Missing  string        `json:"missing,omitempty"`
	}{make([]sessionInfo, len(found.Sessions)), found.More, inWords(err)}
	for i, s := range found.Sessions {
		topics := append([]string{}, s.Topics[:min(maxTopics, len(s.Topics))]...)
		answer.Sessions[i] = sessionInfo{s.ID, s.User, s.Anonymous, s.Since.UnixMilli(), topics, len(s.Topics), s.Queued}
	}
	return answer, nil
}

type topicsQuestion struct {
	Pattern string // default >
	After   string // the last topic of the page before
	Limit   int    // default 50, at most 200
}

type topicInfo struct {
	Topic       string `json:"topic"`
	Rule        string `json:"rule"`
	Subscribers int    `json:"subscribers"`
	Messages    int    `json:"messages"`
	Offset      uint64 `json:"offset"`
}

// topics lists what is subscribed to, or remembered, on all nodes.
func (c *console) topics(ctx context.Context, q topicsQuestion) (any, error) {
	limit, err := pageOf(q.Limit)
	if err != nil {
		return nil, err
	}
	if q.Pattern != "" {
		if err := hub.CheckPattern(q.Pattern); err != nil {
			return nil, err
		}
	}
	found, err := c.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: q.Pattern, After: q.After, Limit: limit})
	answer := struct {
		Topics  []topicInfo `json:"topics"`
		More    bool        `json:"more"`
		Missing string      `json:"missing,omitempty"`
	}{make([]topicInfo, len(found.Topics)), found.More, inWords(err)}
	for i, t := range found.Topics {
		answer.Topics[i] = topicInfo{t.Name, t.Rule, t.Subscribers, t.Messages, t.Offset}
	}
	return answer, nil
}

// nodeLine is a line of one node's log.
type nodeLine struct {
	Node string `json:"node"`
	showcase.LogLine
}

// errors answers with the last warnings and errors of all nodes, newest first.
func (c *console) errors(ctx context.Context, _ struct{}) (any, error) {
	all := c.errorsHere()
	answers, missing := others[[]nodeLine](ctx, c, commandErrors)
	for _, more := range answers {
		all = append(all, more...)
	}
	slices.SortStableFunc(all, func(a, b nodeLine) int { return b.Time.Compare(a.Time) })
	return struct {
		Lines   []nodeLine `json:"lines"`
		Missing string     `json:"missing,omitempty"`
	}{all[:min(maxErrors, len(all))], missing}, nil
}

func (c *console) errorsHere() []nodeLine {
	lines, _ := c.env.Journal.Lines()
	all := make([]nodeLine, len(lines))
	for i, l := range lines {
		all[i] = nodeLine{c.node, l}
	}
	slices.Reverse(all)
	return all
}
