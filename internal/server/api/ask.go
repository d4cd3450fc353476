package api

import (
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
)

// How many entries an answer has.
const (
	defaultPage = 100
	maxPage     = 1000
)

// person is what is told about a user.
type person struct {
	User string          `json:"user"`
	Info json.RawMessage `json:"info,omitempty"`
}

// message is one that a topic keeps. It has Data, or Base64 if it consists of bytes.
type message struct {
	Offset uint64          `json:"offset"`
	Time   int64           `json:"time"` // milliseconds since 1970
	From   *person         `json:"from,omitempty"`
	ID     string          `json:"messageId,omitempty"`
	Key    string          `json:"key,omitempty"`
	Meta   json.RawMessage `json:"meta,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 *[]byte         `json:"base64,omitempty"`
}

func told(m *hub.Message) message {
	out := message{Offset: m.Offset, Time: m.Time.UnixMilli(), ID: m.ID, Key: m.Key, Meta: m.Meta}
	if m.From.User != "" {
		out.From = &person{m.From.User, m.From.Info}
	}
	if m.Binary {
		bytes := append([]byte{}, m.Data...) // not nil, which would be null
		out.Base64 = &bytes
	} else {
		out.Data = m.Data
	}
	return out
}

func (a *API) history(c *call) (any, error) {
	var topic, epoch string
	limit := defaultPage
	var before, after *uint64
	if err := c.query(fields{"topic": &topic, "limit": &limit, "before": &before, "after": &after, "epoch": &epoch}); err != nil {
		return nil, err
	}
	switch {
	case topic == "":
		return nil, missing("topic")
	case before != nil && after != nil:
		return nil, hub.Errorf(hub.CodeBadRequest, "before and after are two directions; send one")
	case before != nil && *before == 0:
		return nil, hub.Errorf(hub.CodeBadRequest, "before: there is nothing before 0")
	}
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	q := hub.HistoryQuery{Limit: limit, Epoch: epoch}
	if before != nil {
		q.Before = *before
	}
	if after != nil {
		q.After, q.Forward = *after, true
	}
	page, err := a.options.Hub.History(c.Context(), topic, q)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Epoch    string    `json:"epoch"`
		Messages []message `json:"messages"`
		More     bool      `json:"more"`
		Lost     bool      `json:"lost,omitempty"`
	}{page.Epoch, make([]message, len(page.Messages)), page.More, page.Lost}
	for i, m := range page.Messages {
		answer.Messages[i] = told(m)
	}
	return answer, nil
}

func checkLimit(limit int) error {
	if limit < 1 || limit > maxPage {
		return hub.Errorf(hub.CodeBadRequest, "limit: 1 to %d, not %d", maxPage, limit)
	}
	return nil
}

type present struct {
	person
	Connections int `json:"connections"`
}

func (a *API) presence(c *call) (any, error) {
	var topic string
	if err := c.query(fields{"topic": &topic}); err != nil {
		return nil, err
	}
	if topic == "" {
		return nil, missing("topic")
	}
	who, err := a.options.Hub.Presence(c.Context(), topic)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Count       int        `json:"count"`
		Connections int        `json:"connections"`
		Users       *[]present `json:"users,omitempty"` // absent where the topic only counts
	}{Count: who.Count, Connections: who.Connections}
	if who.Users != nil || who.Count == 0 {
		users := make([]present, len(who.Users))
		for i, u := range who.Users {
			users[i] = present{person{u.User, u.Info}, u.Connections}
		}
		answer.Users = &users
	}
	return answer, nil
}

// incomplete says what is missing in a list because other nodes did not answer.
func (a *API) incomplete(c *call, err error) string {
	if err == nil {
		return ""
	}
	return a.problemOf(err, c.URL.Path).Message
}

type topicInfo struct {
	Topic       string `json:"topic"`
	Rule        string `json:"rule,omitempty"`
	Subscribers int    `json:"subscribers"`
	Messages    int    `json:"messages"`
	Offset      uint64 `json:"offset"`
}

func (a *API) topics(c *call) (any, error) {
	q := hub.TopicQuery{Limit: defaultPage}
	if err := c.query(fields{"pattern": &q.Pattern, "after": &q.After, "limit": &q.Limit}); err != nil {
		return nil, err
	}
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if q.Pattern != "" {
		if err := hub.CheckPattern(q.Pattern); err != nil {
			return nil, err
		}
	}
	page, err := a.options.Hub.Topics(c.Context(), q)
	answer := struct {
		Topics     []topicInfo `json:"topics"`
		More       bool        `json:"more"`
		Incomplete string      `json:"incomplete,omitempty"`
	}{make([]topicInfo, len(page.Topics)), page.More, a.incomplete(c, err)}
	for i, t := range page.Topics {
		answer.Topics[i] = topicInfo{t.Name, t.Rule, t.Subscribers, t.Messages, t.Offset}
	}
	return answer, nil
}

type sessionInfo struct {
	Session   string   `json:"session"`
	User      string   `json:"user"`
	Anonymous bool     `json:"anonymous,omitempty"`
	Since     int64    `json:"since"` // milliseconds since 1970
	Topics    []string `json:"topics"`
	Queued    int      `json:"queued"`
}

func (a *API) sessions(c *call) (any, error) {
	q := hub.SessionQuery{Limit: defaultPage}
	if err := c.query(fields{"user": &q.User, "session": &q.Session, "after": &q.After, "limit": &q.Limit}); err != nil {
		return nil, err
	}
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	page, err := a.options.Hub.Sessions(c.Context(), q)
	answer := struct {
		Sessions   []sessionInfo `json:"sessions"`
		More       bool          `json:"more"`
		Incomplete string        `json:"incomplete,omitempty"`
	}{make([]sessionInfo, len(page.Sessions)), page.More, a.incomplete(c, err)}
	for i, s := range page.Sessions {
		answer.Sessions[i] = sessionInfo{s.ID, s.User, s.Anonymous, s.Since.UnixMilli(), append([]string{}, s.Topics...), s.Queued}
	}
	return answer, nil
}
