package client

import (
	"context"
	"sync"
	"time"
)

// SubscribeOptions configures a subscription. The zero value, and nil, begin with what comes next.
type SubscribeOptions struct {
	// Since begins behind a position, with what was missed since. What the server no longer has is told as a Gap. The zero
	// Position is none.
	Since Position

	// Last begins, without Since, with the last so many messages, as far as the topic keeps them.
	Last int

	// Presence asks for Join and Leave. Not for patterns.
	Presence bool
}

// Subscription is one topic, or pattern, of a Client, over all connections that it makes. Its events wait for Next, within Options.Buffer and
// BufferBytes. Every method may be called from any goroutine.
type Subscription struct {
	// Immutable.
	client *Client
	topic  string
	last   int
	joins  bool          // presence was asked for
	begun  chan struct{} // closed when the server has first accepted it
	ended  chan struct{} // closed with end
	gone   chan struct{} // closed when the server does not have it any more
	ready  chan struct{} // tells Next that there may be an event
	space  chan struct{} // tells the reader that there may be room

	// Guarded by mu.
	mu       sync.Mutex
	state    subState
	parked   bool     // left because nobody takes its events
	held     bool     // nothing is sent until the server's wait is over
	attempt  int      // counts what ends a wait
	started  bool     // begun is closed
	removed  bool     // gone is closed
	position Position // of the last event that came
	taken    Position // of the last event that Next returned
	end      error
	queue    []queued
	bytes    int // in queue
}

// subState is where a subscription stands with the server.
type subState uint8

const (
	subAway    subState = iota // the server does not have it
	subJoining                 // subscribe is on its way
	subLive
	subLeaving // unsubscribe is on its way
)

// queued is an event that waits for Next.
type queued struct {
	event    Event
	position Position // behind it
	bytes    int
}

// Subscribe subscribes to a topic, or to all topics that a pattern matches (`chat.*`, `quotes.>`), and waits until the server
// has accepted it, also over several connections. o may be nil. A client has one subscription of each name.
func (c *Client) Subscribe(ctx context.Context, topic string, o *SubscribeOptions) (*Subscription, error) {
	if o == nil {
		o = new(SubscribeOptions)
	}
	switch {
	case topic == "":
		return nil, errorf(CodeBadTopic, "a topic cannot be empty")
	case o.Last < 0:
		return nil, errorf(CodeBadRequest, "Last is negative; 0 begins with what comes next")
	case o.Last > 0 && !o.Since.IsZero():
		return nil, errorf(CodeBadRequest, "Since and Last exclude each other")
	}
	s := &Subscription{
		client: c, topic: topic, last: o.Last, joins: o.Presence, position: o.Since, taken: o.Since,
		begun: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}), ready: make(chan struct{}, 1), space: make(chan struct{}, 1),
	}
	if err := c.register(ctx, s); err != nil {
		return nil, err
	}
	s.step()
	select {
	case <-s.begun:
		return s, nil
	case <-s.ended:
		return nil, s.end
	case <-ctx.Done():
		s.finish(ErrUnsubscribed)
		s.step()
		return nil, ctx.Err()
	}
}

// register gives a subscription its name, which may have to be freed first.
func (c *Client) register(ctx context.Context, s *Subscription) error {
	for {
		c.mu.Lock()
		other, final := c.subs[s.topic], c.final
		if other == nil && final == nil {
			c.subs[s.topic] = s
		}
		c.mu.Unlock()
		switch {
		case final != nil:
			return final
		case other == nil:
			return nil
		case other.err() == nil:
			return errorf(CodeAlreadySubscribed, "this client is subscribed to %q already", s.topic)
		}
		select {
		case <-other.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Topic returns the topic or pattern.
func (s *Subscription) Topic() string { return s.topic }

// Position returns up to where the events are known that Next has returned: with it as SubscribeOptions.Since a later program goes on
// behind them.
func (s *Subscription) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// err is why the subscription has ended, or nil.
func (s *Subscription) err() error {
	select {
	case <-s.ended:
		return s.end
	default:
		return nil
	}
}

// Next waits for the next event. Behind the last one it returns why the subscription has ended: ErrUnsubscribed, ErrClosed, the *Error
// with which the server ended it, or what Client.Err returns.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := s.pop(); ok {
			return e, nil
		}
		select {
		case <-s.ready:
			continue
		default:
		}
		if err := s.err(); err != nil {
			if e, ok := s.pop(); ok { // it came just before
				return e, nil
			}
			return nil, err
		}
		select {
		case <-s.ready:
		case <-s.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pop takes an event off the queue.
func (s *Subscription) pop() (Event, bool) {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return nil, false
	}
	first := s.queue[0]
	s.queue[0] = queued{}
	s.queue = s.queue[1:]
	s.bytes -= first.bytes
	s.taken = first.position
	if len(s.queue) > 0 {
		signal(s.ready) // somebody else may wait
	}
	signal(s.space)
	wanted := s.parked && s.drained()
	if wanted {
		s.parked = false
	}
	s.mu.Unlock()
	if wanted {
		s.step()
	}
	return first.event, true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Unsubscribe ends the subscription, and waits until the server has done so or ctx ends. Next returns the events that came
// before, and then ErrUnsubscribed.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	s.finish(ErrUnsubscribed)
	s.step()
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish ends the subscription for the program. What the server has to be told, step does.
func (s *Subscription) finish(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.end = why
		close(s.ended)
	}
}

// step does what brings the server's state closer to what is wanted.
func (s *Subscription) step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
}

// advance is step with mu held.
func (s *Subscription) advance() {
	switch {
	case s.state == subAway && s.end != nil:
		s.remove()
	case s.held:
	case s.state == subAway && !s.parked:
		cmd := command{Type: "subscribe", Topic: s.topic, Presence: s.joins}
		if since := s.position; !since.IsZero() {
			cmd.Since = &since
		} else {
			cmd.Last = s.last
		}
		if s.client.desk.bind(cmd, s.joined) {
			s.state = subJoining
		}
	case s.state == subLive && (s.parked || s.end != nil):
		if s.client.desk.bind(command{Type: "unsubscribe", Topic: s.topic}, s.left) {
			s.state = subLeaving
		} else if s.state = subAway; s.end != nil {
			s.remove() // there is no connection
		}
	}
}

// remove gives the name free. mu is held.
func (s *Subscription) remove() {
	if s.removed {
		return
	}
	s.removed = true
	close(s.gone)
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.topic] == s {
		delete(c.subs, s.topic)
	}
}

// hold makes step wait for as long as the server wants. mu is held.
func (s *Subscription) hold(wait time.Duration) {
	s.held = true
	attempt := s.attempt
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		if s.attempt == attempt {
			s.held = false
		}
		s.mu.Unlock()
		s.step()
	})
}

// lost is called when the connection has gone.
func (s *Subscription) lost() {
	s.mu.Lock()
	s.state = subAway
	s.attempt++
	s.held = false
	if s.end != nil {
		s.remove()
	}
	s.mu.Unlock()
}

// resubscribeAfter is how long a subscription that was there before waits when the server cannot renew it now, and does not say when.
const resubscribeAfter = time.Second

// joined is called with the answer to subscribe.
func (s *Subscription) joined(f *frame, refused *Error) {
	s.mu.Lock()
	again := s.started
	if again && refused != nil && refused.Retry == 0 && temporary[refused.Code] {
		refused.Retry = resubscribeAfter
	}
	switch {
	case refused == nil:
		s.state = subLive
		s.position = f.position()
		if !again {
			s.started, s.taken = true, s.position
			close(s.begun)
		}
	case again && refused.Retry > 0:
		s.state = subAway
		s.hold(refused.Retry)
	default:
		s.state = subAway
	}
	position := s.position
	s.mu.Unlock()
	switch {
	case refused == nil && again:
		e := &Resubscribed{Topic: s.topic, Recovered: f.Recovered != nil && *f.Recovered, Position: position}
		s.push(queued{event: e, position: position})
	case refused != nil && (!again || refused.Retry == 0):
		s.finish(refused)
	}
	s.step()
}

// left is called with the answer to unsubscribe.
func (s *Subscription) left(_ *frame, refused *Error) {
	s.mu.Lock()
	if refused != nil && refused.Retry > 0 {
		s.state = subLive
		s.hold(refused.Retry)
	} else {
		s.state = subAway // also if the server does not know it
	}
	s.mu.Unlock()
	s.step()
}
