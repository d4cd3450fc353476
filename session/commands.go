package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	defaultRequestTimeout = 10 * time.Second
	maxRequestTimeout     = 30 * time.Second
	commandTimeout        = 30 * time.Second // that a broker, hook or Authenticate may take
	maxInfo               = 1 << 10
)

// commands are what a connected client may ask.
var commands = map[string]func(*session, context.Context, *hub.Subscriber, *command) error{
	"subscribe":   (*session).subscribe,
	"unsubscribe": (*session).unsubscribe,
	"publish":     (*session).publish,
	"history":     (*session).history,
	"presence":    (*session).presence,
	"request":     (*session).request,
	"refresh":     (*session).refresh,
	"ping":        (*session).ping,
}

// receive works through one frame.
func (s *session) receive(isBinary bool, p []byte) {
	c, err := parse(isBinary, p)
	var wrong malformed
	if errors.As(err, &wrong) {
		s.End(hub.End{Code: endBadFrame, Message: wrong.Error()})
		return
	}
	if retry := s.throttle(); retry > 0 {
		if s.refused++; s.refused > floodLimit {
			s.End(hub.End{Code: endFlood, Message: "you have ignored too many refusals"})
			return
		}
		s.fail(c.ID, &hub.Error{Code: hub.CodeRate, Message: "you send too many commands", Retry: retry})
		return
	}
	if err != nil {
		s.fail(c.ID, err)
		return
	}
	subscriber := s.subscriber.Load()
	_, known := commands[c.Type]
	switch {
	case c.Type == "connect" && subscriber != nil:
		err = hub.Errorf("already-connected", "you are connected already")
	case c.Type == "connect":
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		s.connect(ctx, c)
	case subscriber == nil:
		s.fail(c.ID, hub.Errorf("not-connected", "the first command is connect"))
		s.End(hub.End{Code: endBadFrame, Message: "the first command is connect"})
	case !known:
		err = hub.Errorf("unknown-command", "there is no command %q", c.Type)
	default:
		s.work(subscriber, c)
	}
	if err != nil {
		s.fail(c.ID, err)
	}
}

// throttle counts a command, and says how long to wait if it is one too many.
func (s *session) throttle() (retry time.Duration) {
	o := s.server.limits.Load()
	now := time.Now()
	s.tokens = min(float64(o.CommandBurst), s.tokens+o.CommandRate*now.Sub(s.filled).Seconds())
	s.filled = now
	if s.tokens >= float64(o.CommandBurst)/2 {
		s.refused = 0
	}
	if s.tokens >= 1 {
		s.tokens--
		return 0
	}
	return time.Duration((1 - s.tokens) / o.CommandRate * float64(time.Second))
}

type connectReply struct {
	Type    string        `json:"type"`
	ID      *uint64       `json:"id,omitempty"`
	Session string        `json:"session"`
	User    string        `json:"user"`
	Resume  string        `json:"resume"`
	Expires int64         `json:"expires,omitempty"`
	Ping    int64         `json:"ping"`
	Time    int64         `json:"time"`
	Limits  connectLimits `json:"limits"`
}

type connectLimits struct {
	Frame         int `json:"frame"`
	Subscriptions int `json:"subscriptions"`
}

// connect lets a client in, or closes the connection.
func (s *session) connect(ctx context.Context, c *command) {
	subscriber, err := s.admit(ctx, c)
	if err != nil {
		s.fail(c.ID, err)
		why := hub.End{Code: endUnavailable, Message: "the server could not let you in", Reconnect: true}
		var known *hub.Error
		if errors.As(err, &known) {
			why.Message = known.Message
			if code := hub.EndCode(known.Code); closeCodes[code] != 0 && code != endUnavailable {
				why.Code, why.Reconnect = code, false
			} else if known.Code != hub.CodeUnavailable {
				why.Code, why.Reconnect = endForbidden, false
			}
		}
		s.End(why)
		return
	}
	s.stopTimeout()
	identity := subscriber.Identity()
	if c.ID != nil {
		s.replyJSON(connectReply{
			Type: "reply", ID: c.ID, Session: subscriber.ID(), User: identity.User,
			Resume: s.server.resume.secret(pass{subscriber.ID(), identity.User, s.turn}), Expires: expires(&identity),
			Ping: s.server.options.Ping.Milliseconds(), Time: time.Now().UnixMilli(),
			Limits: connectLimits{s.server.options.MaxFrame, s.server.hub.MaxSubscriptions()},
		})
	}
}

func expires(i *hub.Identity) int64 {
	if i.Expires.IsZero() {
		return 0
	}
	return i.Expires.UnixMilli()
}

// admit finds out who the client is, and makes it a subscriber of the hub.
func (s *session) admit(ctx context.Context, c *command) (*hub.Subscriber, error) {
	if len(c.Info) > maxInfo {
		return nil, hub.Errorf(hub.CodeTooLarge, "info has at most %d bytes, not %d", maxInfo, len(c.Info))
	}
	header := s.header
	s.header = nil
	id, anonymous := newSessionID(), ""
	before, resumed := s.server.resume.open(c.Resume)
	if resumed {
		id, anonymous = before.session, before.user
	}
	if !strings.HasPrefix(anonymous, "~") {
		anonymous = "~" + newSessionID()
	}
	identity := hub.Identity{User: anonymous, Anonymous: true}
	if authenticate := s.server.options.Authenticate; authenticate != nil {
		var err error
		identity, err = s.authenticate(ctx, &Attempt{
			Token: c.Token, Header: header, RemoteAddr: s.conn.RemoteAddr().String(), Session: id, Anonymous: anonymous, Info: c.Info,
		})
		if err != nil {
			return nil, err
		}
	}
	if resumed && identity.User != before.user {
		id, before.turn = newSessionID(), 0 // it was somebody else's
	}
	s.turn = before.turn + 1
	if identity.Info == nil {
		identity.Info = c.Info
	}
	subscriber, err := s.server.hub.Connect(hub.Connecting{Session: id, Identity: identity, Sink: s, Turn: s.turn})
	if err != nil {
		return nil, err
	}
	s.subscriber.Store(subscriber)
	return subscriber, nil
}

// authenticate asks the program; a fault of it refuses.
func (s *session) authenticate(ctx context.Context, a *Attempt) (identity hub.Identity, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Authenticate panicked: %v", r)
		}
		var known *hub.Error
		if err != nil && !errors.As(err, &known) {
			s.server.options.Logger.Error("a client could not be authenticated", "error", err)
			err = hub.Errorf(hub.CodeUnavailable, "the server could not find out who you are")
		}
	}()
	return s.server.options.Authenticate(ctx, a)
}

type ack struct {
	Type      string  `json:"type"`
	ID        *uint64 `json:"id"`
	Topic     string  `json:"topic,omitempty"`
	Epoch     string  `json:"epoch,omitempty"`
	Offset    *uint64 `json:"offset,omitempty"`
	Recovered *bool   `json:"recovered,omitempty"`
	Duplicate bool    `json:"duplicate,omitempty"`
	Expires   int64   `json:"expires,omitempty"`
	Messages  *int    `json:"messages,omitempty"`
	More      *bool   `json:"more,omitempty"`
	Lost      bool    `json:"lost,omitempty"`
}

// acknowledge answers a command that wants an answer.
func (s *session) acknowledge(c *command, a ack) {
	if c.ID != nil {
		a.Type, a.ID = "reply", c.ID
		s.replyJSON(a)
	}
}

func (s *session) subscribe(ctx context.Context, h *hub.Subscriber, c *command) error {
	got, err := h.Subscribe(ctx, c.Topic, hub.SubscribeOptions{Since: c.Since, Last: c.Last, Presence: c.Presence})
	if err != nil {
		return err
	}
	a := ack{Topic: c.Topic, Epoch: got.Position.Epoch, Offset: &got.Position.Offset}
	if c.Since != nil {
		a.Recovered = &got.Recovered
	}
	s.acknowledge(c, a)
	got.Begin()
	return nil
}

func (s *session) unsubscribe(_ context.Context, h *hub.Subscriber, c *command) error {
	if err := h.Unsubscribe(c.Topic); err != nil {
		return err
	}
	s.acknowledge(c, ack{})
	return nil
}

func (s *session) publish(ctx context.Context, h *hub.Subscriber, c *command) error {
	p := hub.Publication{
		ID: c.MessageID, Key: c.Key, Data: c.Data, Binary: c.binary, Meta: c.Meta, NotToMe: c.Echo != nil && !*c.Echo,
	}
	if c.binary {
		p.Data = c.payload
	} else if c.Data == nil {
		return hub.Errorf(hub.CodeBadRequest, "data is missing")
	}
	if err := s.worker.refusals.check(c.Topic); err != nil {
		return err
	}
	receipt, err := h.Publish(ctx, c.Topic, p)
	s.worker.refusals.note(c.Topic, err)
	if err != nil {
		return err
	}
	a := ack{Epoch: receipt.Epoch, Offset: &receipt.Offset, Duplicate: receipt.Duplicate}
	if receipt.Offset == 0 { // it has no place in the line
		a.Offset = nil
	}
	s.acknowledge(c, a)
	return nil
}

// history sends the messages one by one, so that they may be binary, and then the reply.
func (s *session) history(ctx context.Context, h *hub.Subscriber, c *command) error {
	q := hub.HistoryQuery{Limit: c.Limit, Epoch: c.Epoch}
	switch {
	case c.ID == nil:
		return hub.Errorf(hub.CodeBadRequest, "history needs an id, which its messages carry")
	case c.Before != nil && c.After != nil:
		return hub.Errorf(hub.CodeBadRequest, "either before or after, not both")
	case c.Before != nil:
		q.Before = *c.Before
		if q.Before == 0 {
			return hub.Errorf(hub.CodeBadRequest, "there is nothing before offset 0")
		}
	case c.After != nil:
		q.After, q.Forward = *c.After, true
	}
	page, err := h.History(ctx, c.Topic, q)
	if err != nil {
		return err
	}
	for _, m := range page.Messages {
		s.reply(m.Binary, appendMessage(nil, m, *c.ID))
	}
	n := len(page.Messages)
	s.acknowledge(c, ack{Epoch: page.Epoch, Messages: &n, More: &page.More, Lost: page.Lost})
	return nil
}

type presenceReply struct {
	Type        string         `json:"type"`
	ID          *uint64        `json:"id"`
	Count       int            `json:"count"`
	Connections int            `json:"connections"`
	Users       []presenceUser `json:"users,omitempty"`
}

type presenceUser struct {
	User        string          `json:"user"`
	Info        json.RawMessage `json:"info,omitempty"`
	Connections int             `json:"connections"`
}

func (s *session) presence(ctx context.Context, h *hub.Subscriber, c *command) error {
	p, err := h.Presence(ctx, c.Topic)
	if err != nil || c.ID == nil {
		return err
	}
	reply := presenceReply{Type: "reply", ID: c.ID, Count: p.Count, Connections: p.Connections}
	for _, u := range p.Users {
		reply.Users = append(reply.Users, presenceUser{u.User, u.Info, u.Connections})
	}
	s.replyJSON(reply)
	return nil
}

type requestReply struct {
	Type string          `json:"type"`
	ID   *uint64         `json:"id"`
	Data json.RawMessage `json:"data,omitempty"`
}

// request is answered when the answer is there; other commands go on meanwhile.
func (s *session) request(_ context.Context, h *hub.Subscriber, c *command) error {
	timeout := time.Duration(c.Timeout) * time.Millisecond
	if c.Timeout < 0 || timeout > maxRequestTimeout {
		return hub.Errorf(hub.CodeBadRequest, "timeout is at most %d ms", maxRequestTimeout.Milliseconds())
	}
	if timeout == 0 {
		timeout = defaultRequestTimeout
	}
	data := []byte(c.Data)
	if c.binary {
		data = c.payload
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	pending, err := h.Request(ctx, c.Method, data, c.binary)
	if err != nil {
		cancel()
		return err
	}
	go func() {
		defer cancel()
		reply, err := pending.Wait()
		switch {
		case err != nil:
			s.fail(c.ID, err)
		case c.ID != nil:
			object := appendJSON(nil, requestReply{"reply", c.ID, dataOf(reply)})
			s.reply(reply.Binary, appendFrame(nil, object, reply.Binary, reply.Data))
		}
	}()
	return nil
}

func dataOf(r hub.Reply) json.RawMessage {
	if r.Binary {
		return nil
	}
	return r.Data
}

func (s *session) refresh(ctx context.Context, h *hub.Subscriber, c *command) error {
	if s.server.options.Authenticate == nil {
		return hub.Errorf(hub.CodeBadRequest, "there are no tokens here")
	}
	before := h.Identity()
	identity, err := s.authenticate(ctx, &Attempt{
		Token: c.Token, Refresh: true, RemoteAddr: s.conn.RemoteAddr().String(), Session: h.ID(), Anonymous: before.User,
	})
	if err != nil {
		return err
	}
	if identity.Info == nil {
		identity.Info = before.Info
	}
	if err := h.SetIdentity(identity); err != nil {
		return err
	}
	s.acknowledge(c, ack{Expires: expires(&identity)})
	return nil
}

func (s *session) ping(_ context.Context, _ *hub.Subscriber, c *command) error {
	s.acknowledge(c, ack{})
	return nil
}
