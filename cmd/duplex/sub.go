package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/duplex-websocket/duplex/client"
)

// subCmd is the verb sub.
type subCmd struct {
	Topics []string `arg:"" name:"topic" help:"Topics to subscribe to, such as chat.lobby, or patterns: chat.* has one part more, quotes.> one or more."`

	Since    string `placeholder:"EPOCH:OFFSET" help:"Begin behind this position, with what was missed since; every message has its epoch and offset."`
	Last     int    `placeholder:"N" help:"Begin with the last N messages, as far as the topics keep them."`
	Presence bool   `help:"Show who comes and goes."`
	Count    int    `placeholder:"N" help:"Leave after N messages."`

	sessionFlags
}

// Help is what "duplex sub --help" says below the flags' summary.
func (c *subCmd) Help() string {
	return "Prints a line of JSON for each event; \"type\" is message, join, leave, gap (messages are lost, after \"since\" and up to \"until\"), " +
		"resubscribed (after a lost connection) or unsubscribed. Bytes are in \"base64\" instead of \"data\". When the connection is lost, sub " +
		"connects again and goes on where it was: what the server still has is printed, for the rest there is a gap.\n\n" + sessionExitCodes
}

// Run subscribes and prints until a signal comes, or as much as --count says.
func (c *subCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	o, err := c.subscribeOptions()
	if err != nil {
		return withExit(exitUsage, err)
	}
	conn, err := c.dial(ctx, out)
	if err != nil {
		return err
	}
	defer leave(conn)
	p := &eventPrinter{count: c.Count, lines: &lines{w: out.stdout}}
	p.ctx, p.stop = context.WithCancel(ctx)
	defer p.stop()
	var printing sync.WaitGroup
	defer printing.Wait()
	defer p.stop()
	var subs []*client.Subscription
	for _, topic := range c.Topics {
		s, err := conn.Subscribe(ctx, topic, o)
		if err != nil {
			return explainCall(ctx, conn, "not subscribed to "+visible(topic), err)
		}
		subs = append(subs, s)
	}
	for _, s := range subs {
		printing.Go(func() { p.print(s) })
	}
	printing.Wait()
	switch {
	case p.err != nil:
		return p.err
	case p.full():
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case conn.Err() != nil:
		return explainCall(ctx, conn, "the connection ended", conn.Err())
	}
	return withExit(exitAbnormal, errors.New("the server has ended every subscription"))
}

func (c *subCmd) subscribeOptions() (*client.SubscribeOptions, error) {
	o := &client.SubscribeOptions{Last: c.Last, Presence: c.Presence}
	switch {
	case c.Count < 0:
		return nil, errors.New("--count must not be negative")
	case c.Last < 0:
		return nil, errors.New("--last must not be negative")
	case c.Since != "" && c.Last > 0:
		return nil, errors.New("--since and --last exclude each other")
	case c.Since == "":
		return o, nil
	}
	var err error
	o.Since, err = parsePosition(c.Since)
	if err != nil {
		return nil, fmt.Errorf("--since %q: %w", c.Since, err)
	}
	return o, nil
}

// parsePosition reads EPOCH:OFFSET.
func parsePosition(s string) (client.Position, error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 1 {
		return client.Position{}, errors.New("write EPOCH:OFFSET, as in k3f9:41")
	}
	offset, err := strconv.ParseUint(s[colon+1:], 10, 53)
	if err != nil {
		return client.Position{}, fmt.Errorf("%q is no offset; write EPOCH:OFFSET, as in k3f9:41", s[colon+1:])
	}
	return client.Position{Epoch: s[:colon], Offset: offset}, nil
}

// eventPrinter prints the events of several subscriptions.
type eventPrinter struct {
	// Immutable.
	ctx   context.Context // ends when enough is printed
	stop  context.CancelFunc
	count int
	lines *lines

	// Guarded by mu.
	mu      sync.Mutex
	printed int // messages
	err     error
}

func (p *eventPrinter) full() bool { return p.count > 0 && p.printed >= p.count }

// print prints the events of one subscription until there are no more.
func (p *eventPrinter) print(s *client.Subscription) {
	for {
		e, err := s.Next(p.ctx)
		if p.ctx.Err() != nil {
			return
		}
		if err != nil {
			if ended, is := errors.AsType[*client.Error](err); is {
				p.line(eventLine{Type: "unsubscribed", Topic: s.Topic(), Code: string(ended.Code), Message: ended.Message}, false)
			}
			return
		}
		p.event(e)
	}
}

func (p *eventPrinter) event(e client.Event) {
	switch e := e.(type) {
	case *client.Message:
		p.line(lineOf(e), true)
	case *client.Join:
		p.line(eventLine{Type: "join", Topic: e.Topic, User: e.User.Name, Info: e.User.Info}, false)
	case *client.Leave:
		p.line(eventLine{Type: "leave", Topic: e.Topic, User: e.User.Name, Info: e.User.Info}, false)
	case *client.Gap:
		p.line(eventLine{
			Type: "gap", Topic: e.Topic, Sub: e.Pattern, Reason: string(e.Reason), Since: &e.Since, Until: &e.Until, Count: e.Count, Presence: e.Presence,
		}, false)
	case *client.Resubscribed:
		p.line(eventLine{Type: "resubscribed", Topic: e.Topic, Recovered: &e.Recovered, Position: &e.Position}, false)
	}
}

// line prints one line, unless enough is printed.
func (p *eventPrinter) line(v any, isMessage bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full() || p.err != nil {
		return
	}
	if err := p.lines.write(v); err != nil {
		p.err = withExit(exitUsage, fmt.Errorf("standard output: %w", err))
		p.stop()
	}
	if isMessage {
		p.printed++
	}
	if p.full() {
		p.stop()
	}
}

// eventLine is an event other than a message.
type eventLine struct {
	Type      string           `json:"type"`
	Topic     string           `json:"topic,omitempty"`
	Sub       string           `json:"sub,omitempty"`
	User      string           `json:"user,omitempty"`
	Info      json.RawMessage  `json:"info,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Recovered *bool            `json:"recovered,omitempty"`
	Position  *client.Position `json:"position,omitempty"`
	Since     *client.Position `json:"since,omitempty"`
	Until     *client.Position `json:"until,omitempty"`
	Count     uint64           `json:"count,omitempty"`
	Presence  bool             `json:"presence,omitempty"`
	Code      string           `json:"code,omitempty"`
	Message   string           `json:"message,omitempty"`
}
