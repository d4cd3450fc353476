package natsbroker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	conflictWait = 10 * time.Millisecond
	stallWait    = 100 * time.Millisecond

	codeIDInProcess  jetstream.ErrorCode = 10158 // a message with the same ID is being stored
	codeStoreFailed  jetstream.ErrorCode = 10077
	codeOutOfStorage jetstream.ErrorCode = 10047
	codeInsufficient jetstream.ErrorCode = 10023
)

// Publish implements hub.Broker. It takes at most Options.PublishTimeout.
func (b *Broker) Publish(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	if r.Messages == 0 {
		return b.publishBare(ctx, m, r)
	}
	bounded, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	for {
		receipt, err := b.store(bounded, m, r)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == codeIDInProcess {
			select {
			case <-bounded.Done():
			case <-time.After(conflictWait):
				continue
			}
		}
		if err != nil && ctx.Err() == nil {
			err = publishError(err, b.options.PublishTimeout)
		}
		return receipt, err
	}
}

func (b *Broker) store(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	if !b.nc.IsConnected() {
		return hub.Receipt{}, nats.ErrConnectionClosed
	}
	if err := b.stream.fit(ctx, &r); err != nil {
		return hub.Receipt{}, err
	}
	epoch, seen := b.stream.config.Load().epoch, b.seen.Load()
	message := &nats.Msg{Subject: b.names.stored + m.Topic, Data: encode(m, run{}), Header: make(nats.Header, 2)}
	message.Header["Nats-TTL"] = []string{(r.Age + slack + time.Second).Truncate(time.Second).String()}
	if m.ID != "" {
		message.Header[nats.MsgIdHdr] = []string{messageID(m)}
	}
	future, err := b.js.PublishMsgAsync(message, jetstream.WithStallWait(stallWait))
	if err != nil {
		return hub.Receipt{}, err
	}
	select {
	case ack := <-future.Ok():
		if !ack.Duplicate && ack.Sequence <= seen { // it is another stream, of which this node has not heard yet
			if err := b.stream.open(ctx, false); err != nil {
				return hub.Receipt{}, err
			}
			epoch = b.stream.config.Load().epoch
		}
		b.saw(ack.Sequence)
		return hub.Receipt{Position: hub.Position{Epoch: epoch, Offset: ack.Sequence}, Duplicate: ack.Duplicate}, nil
	case err := <-future.Err():
		return hub.Receipt{}, err
	case <-ctx.Done():
		return hub.Receipt{}, ctx.Err()
	}
}

// messageID is the ID under which JetStream knows a publication. It includes the publisher and the topic, so that nobody can block
// another's message by using its ID first.
func messageID(m *hub.Message) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", m.From.User, m.Topic, m.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// publishError says what a client can do about it.
func publishError(err error, timeout time.Duration) error {
	var refused *jetstream.APIError
	again := "publish it again with the same id"
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return hub.Errorf(hub.CodeTooLarge, "the message is larger than NATS takes")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, nats.ErrTimeout):
		return unavailable("the message was perhaps not stored; "+again, fmt.Errorf("NATS did not confirm it in %v", timeout))
	case errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return unavailable("the message was not stored", fmt.Errorf("%d others wait for NATS to confirm them", maxPendingPublishes))
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
		return unavailable("the message was not stored", err)
	case errors.As(err, &refused) && (refused.ErrorCode == codeStoreFailed && strings.Contains(refused.Description, "maximum") ||
		refused.ErrorCode == codeOutOfStorage || refused.ErrorCode == codeInsufficient):
		return unavailable("the message was not stored", fmt.Errorf("there is no room for it (%s)", refused.Description))
	}
	return unavailable("the message was perhaps not stored; "+again, err)
}

// publishBare publishes without storing. It returns when the NATS server has the message.
func (b *Broker) publishBare(ctx context.Context, m *hub.Message, r hub.Retention) (hub.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	duplicate, err := b.live.send(m, r.Window, func(number run) error {
		if !b.nc.IsConnected() {
			return nats.ErrConnectionClosed
		}
		return b.nc.Publish(b.names.bare+m.Topic, encode(m, number))
	})
	if err == nil {
		err = b.flushes.wait(ctx)
	}
	if err != nil {
		return hub.Receipt{}, publishError(err, b.options.PublishTimeout)
	}
	return hub.Receipt{Position: hub.Position{Epoch: b.stream.config.Load().epoch, Offset: b.seen.Load()}, Duplicate: duplicate}, nil
}

// tellEnds tells the numbers of the last messages that were not stored, a while after them, until the broker is closed.
func (b *Broker) tellEnds() {
	every := time.NewTicker(endAfter[0] / 2)
	defer every.Stop()
	for {
		select {
		case <-b.life.Done():
			return
		case <-every.C:
		}
		for topic, end := range b.live.ends() {
			m := &nats.Msg{Subject: b.names.bare + topic, Data: encode(&hub.Message{}, end), Header: nats.Header{headerEnd: {"1"}}}
			if err := b.nc.PublishMsg(m); err != nil {
				b.logger.Debug("the end of a topic is not told", "topic", topic, "error", err)
			}
		}
	}
}
