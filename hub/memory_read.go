package hub

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Read implements Broker.
func (b *MemoryBroker) Read(_ context.Context, q ReadQuery) (Log, error) {
	if isPattern(q.Topic) {
		return b.readPattern(q), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	log := Log{Top: Position{b.epoch, b.last}}
	l := b.topics[q.Topic]
	if l == nil {
		l = &memLog{lost: b.buried(q.Topic)} // nothing is kept
	}
	b.tidy(l, time.Now())
	switch {
	case q.Since != nil:
		after := b.after(q.Since)
		log.Messages = l.behind(after, b.last)
		log.setLost(l.lost > after, Position{b.epoch, l.lost}, q.Topic)
	case q.Forward:
		from := l.find(q.After)
		to := min(from+q.Limit, len(l.kept))
		log.Messages, log.More = messages(l.kept[from:to]), to < len(l.kept)
		log.setLost(l.lost > q.After, Position{b.epoch, l.lost}, q.Topic)
	default:
		to := len(l.kept)
		if q.Before > 0 {
			to = l.find(q.Before - 1)
		}
		from := max(0, to-q.Limit)
		log.Messages, log.More = messages(l.kept[from:to]), from > 0
	}
	return log, nil
}

// after is the offset behind which somebody with a position has to be told everything.
func (b *MemoryBroker) after(since *Position) uint64 {
	if since.Epoch != b.epoch {
		return 0
	}
	return since.Offset
}

func (l *Log) setLost(lost bool, until Position, topic string) {
	if lost {
		l.Lost, l.LostTopic = until, topic
	}
}

// readPattern goes through all topics, and lets others have the broker in between. Nothing escapes it: what is published meanwhile has
// an offset above Top; what is forgotten meanwhile has raised its topic's lost, or a grave.
func (b *MemoryBroker) readPattern(q ReadQuery) Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	log := Log{Top: Position{b.epoch, b.last}}
	var after uint64
	if q.Since != nil {
		if after = b.after(q.Since); after >= b.last {
			return log
		}
	} else if q.Limit == 0 {
		return log
	}
	found := patternReading{log: &log, query: q, after: after, now: time.Now()}
	// From the end to the beginning: a topic that is buried meanwhile is replaced by the last one, which has been seen.
	for i := len(b.order) - 1; i >= 0; i-- {
		if i < len(b.order) && Match(q.Topic, b.order[i].name) {
			b.tidy(b.order[i], found.now)
			found.add(b.order[i])
		}
		if i%readChunk == 0 {
			b.mu.Unlock()
			b.mu.Lock()
		}
	}
	if q.Since != nil && b.grave > after {
		found.lose(b.grave, "")
	}
	found.finish(b.epoch)
	return log
}

type patternReading struct {
	log   *Log
	query ReadQuery
	after uint64
	now   time.Time
	lost  uint64
	topic string
}

func (r *patternReading) add(l *memLog) {
	kept := l.behind(r.after, r.log.Top.Offset)
	if r.query.Since == nil && len(kept) > r.query.Limit {
		kept, r.log.More = kept[len(kept)-r.query.Limit:], true
	}
	r.log.Messages = append(r.log.Messages, kept...)
	if lost := min(l.lost, r.log.Top.Offset); r.query.Since != nil && lost > r.after {
		r.lose(lost, l.name)
	}
}

// lose notes that messages up to an offset have been forgotten, of one topic or of any.
func (r *patternReading) lose(until uint64, topic string) {
	if r.lost == 0 {
		r.topic = topic
	} else if r.topic != topic {
		r.topic = ""
	}
	r.lost = max(r.lost, until)
}

func (r *patternReading) finish(epoch string) {
	slices.SortFunc(r.log.Messages, func(a, b *Message) int { return cmp.Compare(a.Offset, b.Offset) })
	r.log.Messages = slices.CompactFunc(r.log.Messages, func(a, b *Message) bool { return a.Offset == b.Offset })
	if r.lost > 0 {
		r.log.Lost, r.log.LostTopic = Position{epoch, r.lost}, r.topic
	}
	if r.query.Since != nil {
		return
	}
	if extra := len(r.log.Messages) - r.query.Limit; extra > 0 {
		r.log.Messages, r.log.More = slices.Clone(r.log.Messages[extra:]), true
	}
}
