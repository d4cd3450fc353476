// Package client is the Go client of the session protocol (docs/protocol.md): it subscribes and publishes to the topics of a
// Duplex server, and comes back by itself when the connection is lost, without a message lost in silence.
package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Client is a connection to a server that is made again whenever it is lost. Every method may be called from any goroutine; a
// context that ends while a call waits ends that call only.
//
// After a loss it connects again, with growing random delays and as the server asks; resumes its session; subscribes again
// everything at its position; and sends again what was published and not acknowledged, with the same ids, so that the server takes it
// once. It stops for good when the server says that coming back is pointless: see Done and Err.
//
// All it keeps is bounded: see Options. A subscription whose events are not taken makes the client stop reading, and thereby the
// server feel it; after Options.Patience it is left and caught up with later, so that it cannot hold up the others, nor the
// answers to Publish.
type Client struct {
	// Immutable.
	url     string
	options *Options
	random  func() float64 // in [0, 1)
	desk    *desk
	ctx     context.Context // ends with Close
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when it is over
	first   chan error    // of Dial: how the first attempt went

	// Owned by run.
	failures  int    // in a row
	resume    string // resumes the session
	lastToken string // of the last connection
	refused   string // the last token that the server refused
	refusals  int    // of tokens, in a row
	replaced  int    // connections that another one replaced, in a row
	greetings int    // connections that were answered

	// Guarded by mu.
	mu     sync.Mutex
	subs   map[string]*Subscription
	status Status
	final  error
}

// State says what a Client is doing.
type State uint8

// The states of a Client.
const (
	Connecting State = iota // an attempt is under way
	Online                  // the server has answered
	Waiting                 // the next attempt follows after Status.Delay
	Closed                  // it is over
)

var stateNames = [...]string{Connecting: "connecting", Online: "online", Waiting: "waiting", Closed: "closed"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Status describes a Client.
type Status struct {
	State    State
	User     string        // who the server says we are; empty before the first connection
	Session  string        // the id of the session, likewise
	Err      error         // of Waiting and Closed: how the last attempt or connection ended
	Delay    time.Duration // of Waiting
	Failures int           // attempts and short connections (Options.StableAfter) that failed in a row
}

// New makes a client and returns at once; it connects until it succeeds or the server refuses for good. o may be nil. The error is about url
// or o.
func New(url string, o *Options) (*Client, error) {
	c, err := newClient(url, o)
	if err != nil {
		return nil, err
	}
	go c.run()
	return c, nil
}

// Dial makes a client and waits until it is connected. If the first attempt fails, or ctx ends before, there is no client; later
// losses are dealt with as by New.
func Dial(ctx context.Context, url string, o *Options) (*Client, error) {
	c, err := newClient(url, o)
	if err != nil {
		return nil, err
	}
	c.first = make(chan error, 1)
	go c.run()
	select {
	case err = <-c.first:
	case <-ctx.Done():
		err = ctx.Err()
		c.cancel(ErrClosed)
	}
	if err != nil {
		<-c.done
		return nil, err
	}
	return c, nil
}

func newClient(url string, o *Options) (*Client, error) {
	options, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkURL(url); err != nil {
		return nil, err
	}
	c := &Client{
		url: url, options: options, random: rand.Float64, desk: newDesk(options),
		done: make(chan struct{}), subs: make(map[string]*Subscription),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c, nil
}

// run makes one connection after the other.
func (c *Client) run() {
	for {
		c.tell(Status{State: Connecting, Failures: c.failures})
		err := c.connect()
		v := c.judge(err)
		if v.final {
			c.finish(v.err)
			return
		}
		delay := min(v.after, c.options.MaxHint) + c.jitter()
		c.tell(Status{State: Waiting, Err: v.err, Delay: delay, Failures: c.failures})
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			c.finish(ErrClosed)
			return
		}
	}
}

// jitter is exponential with full jitter: anything between nothing and the ceiling, so that clients that lost the same server do
// not come back together.
func (c *Client) jitter() time.Duration {
	ceiling := c.options.BaseDelay
	for n := 1; n < c.failures && ceiling < c.options.MaxDelay; n++ {
		ceiling = min(2*ceiling, c.options.MaxDelay)
	}
	return time.Duration(c.random() * float64(ceiling))
}

// tell changes the status.
func (c *Client) tell(s Status) {
	c.mu.Lock()
	if s.State != Online {
		s.User, s.Session = c.status.User, c.status.Session
	}
	c.status = s
	c.mu.Unlock()
	if c.options.OnStatus != nil {
		c.options.OnStatus(s)
	}
}

// finish ends it all for the reason err.
func (c *Client) finish(err error) {
	c.cancel(err)
	c.mu.Lock()
	c.final = err
	c.mu.Unlock()
	c.desk.close(err)
	for _, s := range c.subscriptions() {
		s.finish(err)
		s.lost()
	}
	if c.first != nil && c.greetings == 0 {
		c.first <- err
	}
	c.tell(Status{State: Closed, Err: err, Failures: c.failures})
	close(c.done)
}

// subscriptions returns all subscriptions.
func (c *Client) subscriptions() []*Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*Subscription, 0, len(c.subs))
	for _, s := range c.subs {
		all = append(all, s)
	}
	return all
}

// Status returns what the client is doing.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Done returns a channel that is closed when the client is over: after Close, or when the server does not want it back.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client is over: ErrClosed, an *Error with which the server ended it, or an error of the websocket package. It
// is nil before.
func (c *Client) Err() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.final
}

// Close ends the client: calls that wait fail with ErrClosed, and the connection is closed with 1000. It waits until that is done or
// ctx ends, which is the error then; the rest is done in the background.
func (c *Client) Close(ctx context.Context) error {
	c.cancel(ErrClosed)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closing reports whether Close was called.
func (c *Client) closing() bool { return errors.Is(context.Cause(c.ctx), ErrClosed) }
