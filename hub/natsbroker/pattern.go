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
	// A message that the stream has removed before it came here has as many newer ones behind it as the stream keeps of a topic.
	behind := about.NumPending+1 >= uint64(f.b.stream.config.Load().perTopic)
	if f.behind && !behind {
		go f.checkRemoved(f.last)
	}
	f.behind = behind
	f.deliver(e)
}

// checkRemoved finds out whether the stream may have removed messages of a pattern up to a sequence that have not been delivered: only of a
// topic of which it has as many as it keeps.
func (f *follow) checkRemoved(until uint64) {
	ctx, cancel := context.WithTimeout(f.b.life, f.b.options.PublishTimeout)
	defer cancel()
	perTopic := uint64(f.b.stream.config.Load().perTopic)
	full := false
	found, err := f.b.js.Stream(ctx, f.b.names.stream)
	if err == nil {
		var info *jetstream.StreamInfo
		if info, err = found.Info(ctx, jetstream.WithSubjectFilter(f.stored)); err == nil {
			for _, messages := range info.State.Subjects {
				full = full || messages >= perTopic
			}
		}
	}
	if err == nil && !full {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.gone {
		f.lose(hub.GapLost, max(until, f.last))
	}
}
