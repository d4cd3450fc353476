package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/client"
)

// goClient is a client of the Go library with a log.
type goClient struct {
	ctx  context.Context
	spec *clientSpec
	log  *logFile

	mu     sync.Mutex
	client *client.Client
	next   chan struct{}              // closed when there is another client
	ended  map[string]map[string]bool // topics whose last message has come, by subscription
	counts status
}

func newGoClient(ctx context.Context, dir string, spec *clientSpec) (*goClient, error) {
	log, err := createLog(dir, spec.Name)
	if err != nil {
		return nil, err
	}
	c := &goClient{ctx: ctx, spec: spec, log: log, next: make(chan struct{}), ended: make(map[string]map[string]bool)}
	for _, s := range spec.Subs {
		c.ended[s.Topic] = make(map[string]bool)
	}
	c.client, err = c.connect()
	return c, err
}

// connect makes a client that comes back soon.
func (c *goClient) connect() (*client.Client, error) {
	o := &client.Options{
		Token:     func(context.Context) (string, error) { return c.spec.Token, nil },
		BaseDelay: 200 * time.Millisecond, MaxDelay: 2 * time.Second, ConnectTimeout: 5 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
		OnStatus: func(s client.Status) {
			text := s.State.String()
			if s.Err != nil {
				text += ": " + s.Err.Error()
			}
			c.log.write(line{Kind: lineState, Text: text})
		},
	}
	o.Dial.PingInterval, o.Dial.PongTimeout = 5*time.Second, 10*time.Second
	o.Dial.HandshakeTimeout, o.Dial.CloseTimeout = 5*time.Second, time.Second
	return client.New(c.spec.URL, o)
}

// live follows all subscriptions until the agent ends, and closes the client then.
func (c *goClient) live() {
	var subs sync.WaitGroup
	for i := range c.spec.Subs {
		subs.Go(func() { c.follow(c.spec.Subs[i].Topic) })
	}
	<-c.ctx.Done()
	now, _ := c.current()
	ended, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = now.Close(ended) // what is left goes with the process
	subs.Wait()
}

// current returns the client, and what is closed when it is replaced by another one.
func (c *goClient) current() (*client.Client, chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client, c.next
}

// restart is what happens when a program with this client is started again: what it has not heard of is lost to it.
func (c *goClient) restart() {
	another, err := c.connect()
	if err != nil {
		c.log.write(line{Kind: lineFault, Text: err.Error()})
		return
	}
	c.mu.Lock()
	old, told := c.client, c.next
	c.client, c.next = another, make(chan struct{})
	c.mu.Unlock()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = old.Close(now) // the rest of it in the background
	close(told)
}

// follow writes down what a subscription is told.
func (c *goClient) follow(topic string) {
	var since client.Position
	for c.ctx.Err() == nil {
		now, another := c.current()
		s, err := now.Subscribe(c.ctx, topic, &client.SubscribeOptions{Since: since})
		if err == nil {
			if since.IsZero() {
				c.log.write(line{Kind: lineBegin, Sub: topic, At: new(s.Position())})
				c.count(func(n *status) { n.Begun++ })
			}
			err = c.read(s)
			since = s.Position()
		}
		if c.ctx.Err() != nil {
			return
		}
		if now.Err() == nil && isPassing(err) {
			c.log.write(line{Kind: lineState, Text: topic + ": " + err.Error()})
			pause(c.ctx, retryEvery)
			continue
		}
		if !errors.Is(err, client.ErrClosed) {
			c.log.write(line{Kind: lineFault, Text: fmt.Sprintf("the subscription of %s ended: %v", topic, err)})
			return
		}
		select {
		case <-another:
		case <-c.ctx.Done():
		}
	}
}

func (c *goClient) read(s *client.Subscription) error {
	topic := s.Topic()
	for {
		e, err := s.Next(c.ctx)
		if err != nil {
			return err
		}
		switch e := e.(type) {
		case *client.Message:
			c.log.write(line{Kind: lineMessage, Sub: topic, Topic: e.Topic, At: &e.Position, ID: e.ID})
			if data := fmt.Sprintf("%q", e.ID); string(e.Data) != data {
				c.log.write(line{Kind: lineFault, Text: fmt.Sprintf("the data of %s are %s", e.ID, e.Data)})
			}
			c.mu.Lock()
			c.counts.Delivered++
			if strings.HasPrefix(e.ID, lastPrefix) {
				c.ended[topic][e.Topic] = true
			}
			c.mu.Unlock()
		case *client.Gap:
			c.log.write(line{Kind: lineGap, Sub: topic, Topic: e.Topic, Reason: string(e.Reason), Since: &e.Since, Until: &e.Until})
		case *client.Resubscribed:
			c.log.write(line{Kind: lineResumed, Sub: topic, At: &e.Position, Recovered: e.Recovered})
		}
	}
}

func (c *goClient) count(what func(*status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.counts)
}

// add adds what is known of this client to the agent's status.
func (c *goClient) add(s *status, awaits map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.Status().State == client.Online {
		s.Online++
	}
	s.Begun += c.counts.Begun
	s.OnTheWay += c.counts.OnTheWay
	s.Acked += c.counts.Acked
	s.Delivered += c.counts.Delivered
	for _, sub := range c.spec.Subs {
		for _, topic := range sub.Covers {
			if !c.ended[sub.Topic][topic] {
				awaits[topic] = true
			}
		}
	}
}

// publish publishes until it is told to stop, and waits for the last answers.
func (c *goClient) publish(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(uint64(c.spec.Seed), 1))
	var answers sync.WaitGroup
	defer answers.Wait()
	room := make(chan struct{}, window)
	if c.spec.Patient {
		room = make(chan struct{}, 1)
	}
	for n := 1; ; n++ {
		think := time.NewTimer(time.Duration(r.Int64N(2*c.spec.Every)+1) * time.Millisecond)
		select {
		case <-think.C:
		case <-stop:
			think.Stop()
			return
		case <-c.ctx.Done():
			think.Stop()
			return
		}
		select {
		case room <- struct{}{}:
		case <-stop:
			return
		case <-c.ctx.Done():
			return
		}
		topic := c.spec.Publish[r.IntN(len(c.spec.Publish))]
		id := fmt.Sprintf("%s-%d", c.spec.Name, n)
		c.log.write(line{Kind: lineSend, Topic: topic, ID: id, Seq: n})
		c.count(func(s *status) { s.OnTheWay++ })
		ctx, cancel := context.WithTimeout(c.ctx, patience)
		attempt := c.send(ctx, topic, id) // here, so that the order is kept
		answers.Go(func() {
			defer cancel()
			c.settle(ctx, topic, id, attempt)
			<-room
		})
	}
}

// send sends a publication and returns how to learn what became of it.
func (c *goClient) send(ctx context.Context, topic, id string) func() (client.Receipt, error) {
	now, _ := c.current()
	sent, err := now.Send(ctx, topic, client.Publication{ID: id, Data: fmt.Appendf(nil, "%q", id)})
	if err != nil {
		return func() (client.Receipt, error) { return client.Receipt{}, err }
	}
	return func() (client.Receipt, error) { return sent.Receipt(ctx) }
}

// settle waits for the answer to a publication, and if need be sends it again.
func (c *goClient) settle(ctx context.Context, topic, id string, attempt func() (client.Receipt, error)) {
	for {
		receipt, err := attempt()
		if err == nil {
			c.log.write(line{Kind: lineAck, ID: id, At: &receipt.Position})
			c.count(func(s *status) { s.OnTheWay--; s.Acked++ })
			return
		}
		c.log.write(line{Kind: lineRefused, ID: id, Text: reasonOf(err)})
		if c.spec.Patient && ctx.Err() == nil && pause(ctx, retryEvery) {
			attempt = c.send(ctx, topic, id)
			continue
		}
		c.log.write(line{Kind: lineUnknown, ID: id, Text: reasonOf(err)})
		c.count(func(s *status) { s.OnTheWay-- })
		return
	}
}

// isPassing reports whether a first subscription was refused for now only.
func isPassing(err error) bool {
	return errors.Is(err, &client.Error{Code: client.CodeUnavailable}) || errors.Is(err, &client.Error{Code: client.CodeRate})
}

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reasonOf is an error with its code in front.
func reasonOf(err error) string {
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		return string(refused.Code) + ": " + refused.Message
	case errors.Is(err, client.ErrClosed):
		return "closed: " + err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout: " + err.Error()
	}
	return "other: " + err.Error()
}
