package client

import (
	"context"
	"crypto/rand"
	"time"
)

// Publishing is a publication on its way. Its methods may be called from any goroutine.
type Publishing struct {
	call *call
	id   string
}

// Publish publishes to a topic and waits until the server has given the message its place. When the connection is lost
// before that, or the server cannot make sure of it now (CodeUnavailable), it is sent again with the same ID, until ctx ends or Options.ResendFor is
// over. Errors: an *Error of the server (CodeForbidden, CodeRate with Retry, ...), CodeUncertain, ctx's error, or what Client.Err returns;
// after the last three it may have been published.
func (c *Client) Publish(ctx context.Context, topic string, p Publication) (Receipt, error) {
	sent, err := c.Send(ctx, topic, p)
	if err != nil {
		return Receipt{}, err
	}
	return sent.Receipt(ctx)
}

// Send is Publish without the wait for the receipt: it returns when there is room for the message (Options.Pending, PendingBytes), so that many are
// on their way at once. ctx holds for the publication as a whole, until its receipt. What one goroutine sends
// keeps its order, also when it is sent again; a message that the server refuses is left out, and the ones behind it are not.
func (c *Client) Send(ctx context.Context, topic string, p Publication) (*Publishing, error) {
	if p.ID == "" {
		p.ID = rand.Text()
	}
	cmd := command{Type: "publish", Topic: topic, MessageID: p.ID, Key: p.Key, Meta: p.Meta}
	if p.NotToMe {
		cmd.Echo = new(bool)
	}
	if p.Data == nil && !p.Binary {
		p.Data = []byte("null")
	}
	sending, err := c.desk.newCall(fateWithin, cmd, p.Data, p.Binary)
	if err != nil {
		return nil, err
	}
	sending.topic = topic
	if err := c.desk.submit(ctx, sending); err != nil {
		return nil, err
	}
	c.desk.watch(ctx, sending)
	return &Publishing{call: sending, id: p.ID}, nil
}

// Done returns a channel that is closed when Receipt does not have to wait.
func (p *Publishing) Done() <-chan struct{} { return p.call.done }

// Receipt waits for the server's answer. If ctx, which may be another one than that of Send, ends first, the publication goes on.
func (p *Publishing) Receipt(ctx context.Context) (Receipt, error) {
	select {
	case <-p.call.done:
	default:
		select {
		case <-p.call.done:
		case <-ctx.Done():
			return Receipt{ID: p.id}, ctx.Err()
		}
	}
	if p.call.err != nil {
		return Receipt{ID: p.id}, p.call.err
	}
	f := p.call.reply
	return Receipt{Position: f.position(), ID: p.id, Duplicate: f.Duplicate}, nil
}

// HistoryQuery asks for messages that a topic keeps. The zero value asks for the last 100.
type HistoryQuery struct {
	Limit   int    // 1 to 1,000; default 100
	Before  uint64 // the last Limit messages before this offset; default 0: before the end
	After   uint64 // with Forward: the first Limit messages behind this offset
	Forward bool
	Epoch   string // that of the offsets; default: the present one
}

// HistoryPage answers a HistoryQuery.
type HistoryPage struct {
	Epoch    string
	Messages []*Message // in ascending order
	More     bool       // the topic keeps further messages in the direction of paging
	Lost     bool       // messages that were asked for have been forgotten: after After, or because the epoch is another
}

// History returns messages that a topic keeps. It is asked again when the connection is lost, until ctx ends.
func (c *Client) History(ctx context.Context, topic string, q HistoryQuery) (HistoryPage, error) {
	cmd := command{Type: "history", Topic: topic, Limit: q.Limit, Before: q.Before, Epoch: q.Epoch}
	switch {
	case q.Forward && q.Before > 0:
		return HistoryPage{}, errorf(CodeBadRequest, "Before and Forward exclude each other")
	case !q.Forward && q.After > 0:
		return HistoryPage{}, errorf(CodeBadRequest, "After needs Forward")
	case q.Forward:
		cmd.After = &q.After
	}
	asked, err := c.desk.newCall(fateAgain, cmd, nil, false)
	if err != nil {
		return HistoryPage{}, err
	}
	f, err := c.desk.do(ctx, asked)
	if err != nil {
		return HistoryPage{}, err
	}
	page := HistoryPage{Epoch: f.Epoch, More: f.More != nil && *f.More, Lost: f.Lost, Messages: make([]*Message, 0, len(asked.page))}
	for _, m := range asked.page {
		page.Messages = append(page.Messages, m.message(f.Epoch))
	}
	return page, nil
}

// Present is who is in a topic.
type Present struct {
	Count       int           // users
	Connections int           // of all of them
	Users       []PresentUser // sorted by name, at most 1,000; nil where the topic only counts
}

// PresentUser is a user in a topic.
type PresentUser struct {
	User
	Connections int
}

// Presence returns who is in a topic. It is asked again when the connection is lost, until ctx ends.
func (c *Client) Presence(ctx context.Context, topic string) (Present, error) {
	asked, err := c.desk.newCall(fateAgain, command{Type: "presence", Topic: topic}, nil, false)
	if err != nil {
		return Present{}, err
	}
	f, err := c.desk.do(ctx, asked)
	if err != nil {
		return Present{}, err
	}
	p := Present{Count: int(f.Count), Connections: f.Connections}
	for _, u := range f.Users {
		p.Users = append(p.Users, PresentUser{User: User{Name: u.User, Info: u.Info}, Connections: u.Connections})
	}
	return p, nil
}

// Request is a question to the program behind the server.
type Request struct {
	Method  string // as a topic
	Data    []byte // JSON, or any bytes if Binary; may be nil
	Binary  bool
	Timeout time.Duration // how long the program may take, at most 30 s; default 10 s
}

// Reply is its answer.
type Reply struct {
	Data   []byte // JSON, or any bytes if Binary; may be nil
	Binary bool
}

// Request asks the program behind the server. As it may do something each time it is asked, a request that was sent before the
// connection was lost is not sent again, but fails with CodeUncertain; one that was not waits for the next connection. A
// program may refuse with a code of its own, which contains a dot.
func (c *Client) Request(ctx context.Context, r Request) (Reply, error) {
	cmd := command{Type: "request", Method: r.Method, Timeout: r.Timeout.Milliseconds()}
	asked, err := c.desk.newCall(fateOnce, cmd, r.Data, r.Binary)
	if err != nil {
		return Reply{}, err
	}
	f, err := c.desk.do(ctx, asked)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Data: f.Data, Binary: f.binary}, nil
}
