package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// link is one connection that the server has answered.
type link struct {
	client *Client
	conn   *websocket.Conn
	ctx    context.Context // ends with the link
	frame  int64           // most bytes of a frame that the server takes

	// Owned by refresh while that runs.
	token   string
	refused string // the last token that was refused there
}

// connect makes one connection and returns how it ended.
func (c *Client) connect() error {
	token, err := c.token(c.ctx)
	if err != nil {
		return err
	}
	conn, err := websocket.Dial(c.ctx, c.url, &c.options.Dial)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	l := &link{client: c, conn: conn, ctx: ctx, token: token}
	start := time.Now()
	answer, err := l.greet()
	if err == nil {
		err = l.serve(answer, cancel)
		if time.Since(start) >= c.options.StableAfter {
			c.failures, c.replaced = 0, 0
		}
	}
	c.lastToken = l.token
	l.end()
	return err
}

// token asks for a token, and insists on another one than was refused.
func (c *Client) token(ctx context.Context) (string, error) {
	if c.options.Token == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.ConnectTimeout)
	defer cancel()
	token, err := c.options.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("duplex: Options.Token: %w", err)
	}
	if token != "" && token == c.refused {
		return "", &refusal{errorf(CodeTokenInvalid, "Options.Token gave the token again that the server has refused")}
	}
	return token, nil
}

// ended is the context of closing handshakes that go on by themselves.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// end closes the connection. It waits for the closing handshake, within websocket.Options.CloseTimeout, only if Close does.
func (l *link) end() {
	ctx := ended
	if l.client.closing() {
		ctx = context.Background()
	}
	_ = l.conn.Close(ctx, websocket.StatusNormalClosure, "") // how it went helps nobody
}

// greet sends connect and waits for the answer.
func (l *link) greet() (*frame, error) {
	c := l.client
	if l.conn.Subprotocol() != subprotocol {
		return nil, errWrongServer
	}
	ctx, cancel := context.WithTimeoutCause(l.ctx, c.options.ConnectTimeout, errors.New("duplex: the server does not answer connect"))
	defer cancel()
	hello, err := c.desk.newCall(fateBound, command{Type: "connect", Token: l.token, Resume: c.resume, Info: c.options.Info}, nil, false)
	if err != nil {
		return nil, err
	}
	if err := l.conn.Write(ctx, hello.typ, hello.frame); err != nil {
		return nil, timedOut(ctx, err)
	}
	for {
		f, err := l.read(ctx)
		switch {
		case err != nil:
			return nil, timedOut(ctx, err)
		case f.Type == "disconnect":
			return nil, &farewell{why: farewellError(f), reconnect: f.Reconnect}
		case f.Type == "error" && (f.ID == hello.id || f.ID == 0):
			return nil, &refusal{f.err()}
		case f.Type == "reply" && f.ID == hello.id:
			return f, nil
		}
	}
}

// timedOut puts the cause of a timeout in the place of err.
func timedOut(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

func farewellError(f *frame) *Error {
	return &Error{Code: Code(f.Code), Message: f.Message, Retry: milliseconds(f.After)}
}

// read returns the next frame. One that is not of the protocol ends the connection.
func (l *link) read(ctx context.Context) (*frame, error) {
	typ, p, err := l.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	f, err := decode(typ, p)
	if err != nil {
		_ = l.conn.Close(ended, websocket.StatusProtocolError, "not of "+subprotocol)
		return nil, fmt.Errorf("duplex: the server breaks the protocol: %w", err)
	}
	return f, nil
}

// serve goes online, and reads until the connection ends. cancel ends what else works on the link.
func (l *link) serve(answer *frame, cancel context.CancelFunc) error {
	c := l.client
	if answer.Resume != "" {
		c.resume = answer.Resume
	}
	c.refused, c.refusals = "", 0
	if answer.Limits != nil {
		l.frame = answer.Limits.Frame
	}
	if c.greetings++; c.greetings == 1 && c.first != nil {
		c.first <- nil
	}
	c.tell(Status{State: Online, User: answer.User, Session: answer.Session, Failures: c.failures})
	c.desk.expire()
	c.desk.connected()
	for _, s := range c.subscriptions() {
		s.step()
	}
	written, refreshed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		l.write()
	}()
	go func() {
		defer close(refreshed)
		l.refresh(answer.Expires, answer.Time)
	}()
	err := l.readAll()
	cancel()
	<-written
	<-refreshed
	c.desk.lost()
	for _, s := range c.subscriptions() {
		s.lost()
	}
	return err
}

// write sends what is on the desk until the link ends.
func (l *link) write() {
	d := l.client.desk
	for {
		if c := d.next(l.frame); c != nil {
			if l.conn.Write(l.ctx, c.typ, c.frame) != nil {
				return // the reader finds out why
			}
			continue
		}
		select {
		case <-d.wake:
		case <-l.ctx.Done():
			return
		}
	}
}

// readAll hands every frame to whom it concerns, until the connection ends.
func (l *link) readAll() error {
	c := l.client
	for {
		f, err := l.read(l.ctx)
		if err != nil {
			return err
		}
		switch f.Type {
		case "reply", "error":
			if f.ID == 0 {
				c.options.Logger.Warn("duplex: the server complains about no command in particular", "code", f.Code, "message", f.Message)
				continue
			}
			c.desk.answer(f)
		case "message", "join", "leave", "gap", "unsubscribed":
			if f.Reply != 0 {
				c.desk.collect(f)
				continue
			}
			c.dispatch(f)
		case "disconnect":
			return &farewell{why: farewellError(f), reconnect: f.Reconnect}
		}
	}
}

// dispatch hands a push to its subscription.
func (c *Client) dispatch(f *frame) {
	topic := f.Topic
	if f.Sub != "" {
		topic = f.Sub
	}
	c.mu.Lock()
	s := c.subs[topic]
	c.mu.Unlock()
	if s != nil {
		s.receive(f)
	}
}
