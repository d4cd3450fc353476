package session

import (
	"context"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// stalled is a broker that takes a message when it is let, and answers with what it is given.
type stalled struct {
	*hub.MemoryBroker
	answers chan error
}

func (b *stalled) Publish(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	select {
	case err := <-b.answers:
		if err != nil {
			return hub.Receipt{}, err
		}
		return b.MemoryBroker.Publish(ctx, m, r)
	case <-ctx.Done():
		return hub.Receipt{}, ctx.Err()
	}
}

// While the broker stalls, a connection's pings are answered, and its commands wait for their turn.
func TestStalledBroker(t *testing.T) {
	ho := one(hub.TopicOptions{HistoryMessages: 10})
	b := &stalled{hub.NewMemoryBroker(hub.MemoryOptions{}), make(chan error)}
	ho.Broker = b
	f := newFixture(t, ho, Options{})
	c := f.dial(nil)
	c.ask(`{"type":"connect","id":1}`)
	c.send(`{"type":"publish","id":2,"topic":"t","data":1}`)
	c.send(`{"type":"publish","id":3,"topic":"t","data":2}`)
	c.send(`{"type":"history","id":4,"topic":"t"}`)
	c.send(`{"type":"ping","id":5}`)
	c.expect(`{"type":"reply","id":5}`)
	b.answers <- nil
	b.answers <- nil
	c.expect(`{"type":"reply","id":2,"epoch":"*","offset":1}`)
	c.expect(`{"type":"reply","id":3,"epoch":"*","offset":2}`)
	c.expect(`{"type":"message","topic":"t","offset":1,"time":*,"from":{"user":"*"},"data":1,"reply":4}`)
	c.expect(`{"type":"message","topic":"t","offset":2,"time":*,"from":{"user":"*"},"data":2,"reply":4}`)
	c.expect(`{"type":"reply","id":4,"epoch":"*","messages":2,"more":false}`)
}

// What was sent behind a message that the broker could not take is refused too, so that the order is kept when all are sent again. Other topics are
// not concerned.
func TestRefusedInOrder(t *testing.T) {
	ho := one(hub.TopicOptions{HistoryMessages: 10})
	b := &stalled{hub.NewMemoryBroker(hub.MemoryOptions{}), make(chan error, 4)}
	ho.Broker = b
	c := newFixture(t, ho, Options{}).dial(nil)
	c.ask(`{"type":"connect","id":1}`)
	const retry = 2 * time.Second // far more than it takes to send the next command
	b.answers <- &hub.Error{Code: hub.CodeUnavailable, Message: "stalled", Retry: retry}
	for range 3 {
		b.answers <- nil
	}
	c.send(`{"type":"publish","id":2,"topic":"t","data":1}`)
	c.send(`{"type":"publish","id":3,"topic":"t","data":2}`)
	c.send(`{"type":"publish","id":4,"topic":"other","data":3}`)
	c.expect(`{"type":"error","id":2,"code":"unavailable","message":"stalled","retry":2000}`)
	c.expect(`{"type":"error","id":3,"code":"unavailable","message":"a message to t before it was refused","retry":*}`)
	c.expect(`{"type":"reply","id":4,"epoch":"*","offset":1}`)
	time.Sleep(retry) // as a client does
	c.ask(`{"type":"publish","id":5,"topic":"t","data":1}`)
	c.ask(`{"type":"publish","id":6,"topic":"t","data":2}`)
}

// A command that panics away from the handler ends its connection, and nothing else.
func TestPanicOfACommand(t *testing.T) {
	ho := one(hub.TopicOptions{})
	ho.Broker = &panicking{hub.NewMemoryBroker(hub.MemoryOptions{})}
	f := newFixture(t, ho, Options{})
	c, other := f.dial(nil), f.dial(nil)
	c.ask(`{"type":"connect","id":1}`)
	other.ask(`{"type":"connect","id":1}`)
	c.send(`{"type":"publish","id":2,"topic":"t","data":1}`)
	c.closed(1011, "")
	other.ask(`{"type":"ping","id":2}`)
}

type panicking struct{ *hub.MemoryBroker }

func (*panicking) Publish(context.Context, *hub.Message, hub.Retention) (hub.Receipt, error) {
	panic("a fault of the broker")
}
