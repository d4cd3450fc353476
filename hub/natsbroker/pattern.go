package natsbroker

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

// consumeAtOnce is how many messages of a pattern NATS sends ahead.
const consumeAtOnce = 1000

// consume makes NATS deliver what the stream has on a pattern behind a sequence. For a topic the stream says with each message which one was
// before it; for a pattern it does not, so that a missing one would not be noticed. An ordered consumer notices.
func (f *follow) consume(ctx context.Context, after uint64) error {
	ordered, err := f.b.js.OrderedConsumer(ctx, f.b.names.stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.stored}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
	})
	if err != nil {
		return err
	}
	epoch := f.b.stream.config.Load().epoch
	consumer, err := ordered.Consume(func(m jetstream.Msg) { f.consumed(m, epoch) }, jetstream.PullMaxMessages(consumeAtOnce),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			f.b.logger.Debug("a consumer begins again", "pattern", f.at, "error", err)
		}))
	if err != nil {
		return err
	}
	f.mu.Lock()
	gone := f.gone
	if !gone {
		f.consumer, f.fetching = consumer, false
	}
	f.mu.Unlock()
	if gone {
		consumer.Stop()
	}
	return nil
}

// consumed takes a message of a pattern.
func (f *follow) consumed(m jetstream.Msg, epoch string) {
	about, err := m.Metadata()
	if err != nil {
		f.b.logger.Error("NATS has delivered a message without saying what it is", "subject", m.Subject(), "error", err)
		return
	}
	e := f.b.entry(strings.TrimPrefix(m.Subject(), f.b.names.stored), about.Sequence.Stream, about.Timestamp, m.Data())
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || e.Offset <= f.last || epoch != f.b.stream.config.Load().epoch {
		return
	}
	f.count(e, about.NumPending)
	f.deliver(e)
}

// count finds out whether the stream has removed messages of a pattern before they came here. Such a one had as many newer ones of its topic behind
// it as the stream keeps, which had not come either. The caller holds mu.
func (f *follow) count(e entry, pending uint64) {
	keeps := f.b.stream.config.Load().perTopic
	if pending+1 < uint64(keeps) && f.burst == nil {
		return
	}
	if f.burst == nil {
		f.burst = make(map[string]int)
	}
	if f.burst[e.Topic]++; f.burst[e.Topic] == keeps {
		f.lose(hub.GapLost, f.last)
	}
	if pending == 0 {
		f.burst = nil
	}
}
