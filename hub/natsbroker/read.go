package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// maxRead is how many messages one reading of a pattern looks at; older ones count as lost.
const maxRead = 20_000

// Read implements hub.Broker.
func (b *Broker) Read(ctx context.Context, q hub.ReadQuery) (hub.Log, error) {
	r := &reading{Broker: b, q: q, subject: b.names.stored + q.Topic, config: b.stream.config.Load(), now: time.Now()}
	var followed *follow
	if !r.isPattern() {
		followed = b.follows.of(q.Topic)
	}
	if followed != nil {
		if log, ok := r.remembered(followed); ok {
			return log, nil
		}
	}
	if !r.isPattern() && q.Least == 0 { // nothing is kept, and nobody knows what there was
		log := hub.Log{Top: hub.Position{Epoch: r.config.epoch, Offset: b.seen.Load()}}
		if q.Since != nil {
			if q.Since.Epoch == r.config.epoch { // another node may know more
				log.Top.Offset = max(log.Top.Offset, q.Since.Offset)
			}
			r.lose(&log, log.Top.Offset)
		}
		return log, nil
	}
	select {
	case b.reads <- struct{}{}:
		defer func() { <-b.reads }()
	case <-ctx.Done():
		return hub.Log{}, ctx.Err()
	}
	bounded, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	log, err := r.read(bounded)
	if err != nil && ctx.Err() == nil {
		return hub.Log{}, unavailable("the history cannot be read", err)
	}
	if err == nil && followed != nil && q.Since != nil {
		followed.remember(*q.Since, &log)
	}
	return log, err
}

// reading is one Read.
type reading struct {
	*Broker
	q       hub.ReadQuery
	subject string
	config  *streamConfig
	now     time.Time
	last    uint64 // sequence of the last message on the subject; 0 if there is none
}

func (r *reading) read(ctx context.Context) (hub.Log, error) {
	var err error
	if err := r.leads.wait(ctx); err != nil { // then it also knows what other nodes know
		return hub.Log{}, err
	}
	r.config = r.stream.config.Load()
	top := r.seen.Load() // whatever has a sequence up to here, the leader knows when it is asked
	switch r.last, err = r.get(ctx, getQuery{Last: r.subject}); {
	case errors.Is(err, errNone):
		err = nil
	case err != nil:
		return hub.Log{}, err
	}
	top = max(top, r.last)
	log := hub.Log{Top: hub.Position{Epoch: r.config.epoch, Offset: top}}
	switch {
	case r.q.Since != nil:
		err = r.since(ctx, &log)
	case r.q.Limit > 0:
		err = r.page(ctx, &log)
	default:
		log.More = r.last > 0
	}
	return log, err
}

func (r *reading) isPattern() bool { return strings.ContainsAny(r.q.Topic, "*>") }

// since reads what came behind a position, and finds out whether that is everything.
func (r *reading) since(ctx context.Context, log *hub.Log) error {
	var after uint64
	known := r.q.Since.Epoch == r.config.epoch
	if known {
		after = r.q.Since.Offset
	}
	if r.q.Least == 0 { // some topics keep nothing: who knows
		r.lose(log, log.Top.Offset)
	}
	if r.last > after {
		all, start, err := r.behind(ctx, after)
		if err != nil {
			return err
		}
		r.keep(log, all)
		if start > after {
			r.lose(log, start)
		}
	}
	if !known || !r.isPattern() && r.last > 0 && r.last <= after {
		return nil // the last one is there, so none behind it was removed
	}
	return r.removed(ctx, log, after)
}

// behind reads what comes after a sequence, or after start, which is later, if that is more than the topic keeps, or one reading looks at.
func (r *reading) behind(ctx context.Context, after uint64) (all []entry, start uint64, err error) {
	limit := maxRead
	if !r.isPattern() {
		limit = r.q.Keeps(r.q.Topic).Messages + 1
	}
	// NATS goes through all messages of the stream to find those of a subject, so it is asked once for as many as there usually are.
	all, pending, err := r.chunk(ctx, r.subject, after+1, chunkMessages)
	if err != nil {
		return nil, 0, err
	}
	start, reached := after, after
	if pending > uint64(limit) {
		if start, err = r.startOfLast(ctx, r.subject, limit, r.last); err != nil {
			return nil, 0, err
		}
		start, all = max(after, min(start-1, r.last)), nil
		reached = start
	} else if n := len(all); n > 0 {
		reached = min(all[n-1].Offset, r.last)
		all = slices.DeleteFunc(all, func(e entry) bool { return e.Offset > r.last }) // they have been published later
	}
	err = r.between(ctx, r.subject, reached, r.last, func(some []entry) { all = append(all, some...) })
	return all, start, err
}

// keep applies the limits of each topic to what was read of it, which reaches to its end, and puts what remains into the log.
func (r *reading) keep(log *hub.Log, all []entry) {
	type account struct {
		hub.Retention
		messages int
		bytes    int64
		full     bool
	}
	topics := make(map[string]*account)
	for _, e := range slices.Backward(all) {
		if !hub.Match(r.q.Topic, e.Topic) { // a topic of the hub's own, which patterns do not match
			continue
		}
		a := topics[e.Topic]
		if a == nil {
			a = &account{Retention: r.q.Keeps(e.Topic)}
			topics[e.Topic] = a
		}
		a.messages++
		a.bytes += e.Size()
		a.full = a.full || a.messages > a.Messages || a.bytes > a.Bytes || r.now.Sub(e.Time) >= a.Age
		if a.full || e.lost {
			r.loseOf(log, e.Offset, e.Topic)
			continue
		}
		log.Messages = append(log.Messages, e.Message)
	}
	slices.Reverse(log.Messages)
}

// removed finds out whether the stream may have removed messages behind a position, for being too old, or at somebody's wish. That it
// keeps only so many of a topic does not matter: what it removes for that is beyond what keep lets through.
func (r *reading) removed(ctx context.Context, log *hub.Log, after uint64) error {
	if !r.isPattern() {
		// What is removed is the oldest. So if one up to the position is there, none behind it is missing.
		first, err := r.get(ctx, getQuery{Sequence: 1, Next: r.subject})
		if err == nil && first <= after {
			return nil
		}
		if err != nil && !errors.Is(err, errNone) {
			return err
		}
	}
	keeps := math.MaxInt // a pattern's topics may keep any number
	if !r.isPattern() {
		keeps = r.q.Keeps(r.q.Topic).Messages
	}
	known, err := r.known(ctx, r.q.Least+slack/2, keeps)
	if err != nil || after+1 >= known {
		return err
	}
	until := min(known-1, log.Top.Offset)
	if len(log.Messages) > 0 && !r.isPattern() { // of a pattern, another topic may have lost what is newer
		until = min(until, log.Messages[0].Offset-1)
	}
	if until > after {
		r.lose(log, until)
	}
	return nil
}

// lose notes that messages up to a sequence are lost, of any topic that is read.
func (r *reading) lose(log *hub.Log, until uint64) {
	topic := ""
	if !r.isPattern() {
		topic = r.q.Topic
	}
	r.loseOf(log, until, topic)
}

func (r *reading) loseOf(log *hub.Log, until uint64, topic string) {
	switch {
	case log.Lost.IsZero():
		log.LostTopic = topic
	case log.LostTopic != topic:
		log.LostTopic = ""
	}
	log.Lost = hub.Position{Epoch: r.config.epoch, Offset: max(log.Lost.Offset, until)}
}

// page reads the part of the history that Limit, Before, After and Forward name.
func (r *reading) page(ctx context.Context, log *hub.Log) error {
	if r.last == 0 {
		return nil
	}
	limit := r.q.Limit + 1 // to see whether there is more
	if r.isPattern() {
		limit = max(limit, min(maxRead, 4*limit)) // some may be more than their topic keeps
	} else {
		limit = max(limit, r.q.Keeps(r.q.Topic).Messages+1)
	}
	start, err := r.startOfLast(ctx, r.subject, limit, r.last)
	if err != nil || start == math.MaxUint64 {
		return err
	}
	var all []entry
	if err := r.between(ctx, r.subject, start-1, r.last, func(some []entry) { all = append(all, some...) }); err != nil {
		return err
	}
	r.keep(log, all)
	kept := log.Messages
	lost := log.Lost
	log.Lost, log.LostTopic = hub.Position{}, ""
	find := func(offset uint64) int { // how many have an offset up to this one
		i, found := slices.BinarySearchFunc(kept, offset, func(m *hub.Message, offset uint64) int { return cmp.Compare(m.Offset, offset) })
		if found {
			i++
		}
		return i
	}
	switch {
	case r.q.Forward:
		from := find(r.q.After)
		to := min(from+r.q.Limit, len(kept))
		log.Messages, log.More = kept[from:to], to < len(kept)
		if lost.Offset > r.q.After {
			r.lose(log, lost.Offset)
			return nil
		}
		return r.removed(ctx, log, r.q.After)
	default:
		to := len(kept)
		if r.q.Before > 0 {
			to = find(r.q.Before - 1)
		}
		from := max(0, to-r.q.Limit)
		log.Messages, log.More = kept[from:to], from > 0
	}
	return nil
}
