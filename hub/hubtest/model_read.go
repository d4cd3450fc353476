package hubtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// spy looks at what a hub reads from its broker.
type spy struct {
	hub.Broker
	world *world
}

type recordKey struct{}

// readRecord is what whoever subscribes learns of the reading.
type readRecord struct{ top hub.Position }

// reading is something that was read, to be checked when it is known what there was.
type reading struct {
	query    hub.ReadQuery
	log      hub.Log
	from, to time.Time
	shaky    bool
}

// Read implements hub.Broker.
func (s *spy) Read(ctx context.Context, q hub.ReadQuery) (hub.Log, error) {
	r := &reading{query: q, from: time.Now(), shaky: s.world.shaky.Load()}
	log, err := s.Broker.Read(ctx, q)
	if err != nil {
		return log, err
	}
	r.log, r.to = log, time.Now()
	if record, wanted := ctx.Value(recordKey{}).(*readRecord); wanted {
		record.top = log.Top
	}
	s.world.sight(&r.log)
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.reads = append(s.world.reads, r)
	return log, nil
}

// sight notes where the messages are that were read.
func (w *world) sight(log *hub.Log) {
	life := w.log.lifeOf(log.Top.Epoch)
	for _, m := range log.Messages {
		if _, err := w.log.sighted(m, life); err != nil {
			w.Errorf("read up to %v: %v", log.Top, err)
		}
	}
}

// checkReads looks at everything that was read. Nothing happens at that time, so it is known where everything is.
func (w *world) checkReads() {
	w.mu.Lock()
	all := w.reads
	w.reads = nil
	w.mu.Unlock()
	for _, r := range all {
		if what := w.wrong(r); what != "" && !w.inAnew(r) {
			w.Errorf("%s between %v and %v (shaky: %v): %s", describe(&r.query), r.from.Sub(w.began), r.to.Sub(w.began), r.shaky, what)
		}
	}
}

// inAnew reports whether something was read while not all nodes knew that the broker has begun anew. What they say then is put right
// by a gap.
func (w *world) inAnew(r *reading) bool {
	return slices.ContainsFunc(w.faults, func(f interval) bool { return f.what == beginAnew && !r.from.After(f.to) && !r.to.Before(f.from) })
}

func describe(q *hub.ReadQuery) string {
	if q.Since != nil {
		return fmt.Sprintf("%s, read since %v", q.Topic, *q.Since)
	}
	return fmt.Sprintf("%s, read: limit %d, before %d, after %d, forward %v", q.Topic, q.Limit, q.Before, q.After, q.Forward)
}

// expected is what a reading may and must contain.
type expected struct {
	surely, perhaps map[string]uint64 // up to where topics had lost messages
	must, may       []*sent           // in order
}

func (w *world) expect(r *reading, after uint64) *expected {
	topics, _ := matching(r.query.Topic)
	top := w.log.place(r.log.Top)
	life := top.life
	e := &expected{surely: w.log.lostOf(topics, top, r.from, true), perhaps: w.log.lostOf(topics, place{life, math.MaxUint64}, r.to, false)}
	for _, topic := range topics {
		for _, m := range w.log.stored(topic) {
			if m.at.life != life || m.at.offset <= after || m.began.After(r.to) || m.at.offset <= e.surely[topic] {
				continue
			}
			e.may = append(e.may, m)
			if m.known.Before(r.from) && m.at.offset > e.perhaps[topic] {
				e.must = append(e.must, m)
			}
		}
	}
	for _, list := range [][]*sent{e.may, e.must} {
		slices.SortFunc(list, func(a, b *sent) int { return int(a.at.offset) - int(b.at.offset) })
	}
	return e
}

// wrong returns what is wrong with what was read, or "".
func (w *world) wrong(r *reading) string {
	if !slices.IsSortedFunc(r.log.Messages, func(a, b *hub.Message) int { return int(a.Offset) - int(b.Offset) }) {
		return "the messages are not in order"
	}
	if r.query.Since != nil {
		return w.wrongSince(r)
	}
	return w.wrongPage(r)
}

func offsets(messages []*hub.Message) (all []uint64) {
	for _, m := range messages {
		all = append(all, m.Offset)
	}
	return all
}

func (w *world) wrongSince(r *reading) string {
	after := r.query.Since.Offset
	if r.query.Since.Epoch != r.log.Top.Epoch {
		after = 0
	}
	e := w.expect(r, after)
	got := offsets(r.log.Messages)
	for _, m := range e.must {
		if m.at.offset <= r.log.Top.Offset && !slices.Contains(got, m.at.offset) {
			return fmt.Sprintf("%v is not among %d messages up to %v", m, len(got), r.log.Top)
		}
	}
	for _, offset := range got {
		if !slices.ContainsFunc(e.may, func(m *sent) bool { return m.at.offset == offset }) {
			return fmt.Sprintf("a message at %d is more than is kept (%v)", offset, e.surely)
		}
	}
	surely, perhaps := most(e.surely), most(e.perhaps)
	_, bare := matching(r.query.Topic)
	known := r.query.Since.Epoch == r.log.Top.Epoch
	switch {
	case surely > after && r.log.Lost.Offset < surely:
		return fmt.Sprintf("messages up to %d are lost, but it says %v", surely, r.log.Lost)
	case known && !r.log.Lost.IsZero() && perhaps <= after && (!bare || w.Placed):
		return fmt.Sprintf("it says that messages up to %v are lost, but only those up to %d are (%v)", r.log.Lost, perhaps, e.perhaps)
	}
	return ""
}

// wrongPage looks at a page, if it is sure what must be in it.
func (w *world) wrongPage(r *reading) string {
	q := &r.query
	e := w.expect(r, 0)
	if q.Limit == 0 || !slices.Equal(e.must, e.may) {
		return ""
	}
	all := e.must
	from, to := 0, len(all)
	if q.Forward {
		from, _ = slices.BinarySearchFunc(all, q.After+1, func(m *sent, offset uint64) int { return int(m.at.offset) - int(offset) })
		to = min(from+q.Limit, len(all))
	} else {
		if q.Before > 0 {
			to, _ = slices.BinarySearchFunc(all, q.Before, func(m *sent, offset uint64) int { return int(m.at.offset) - int(offset) })
		}
		from = max(0, to-q.Limit)
	}
	more := from > 0
	if q.Forward {
		more = to < len(all)
	}
	var want []uint64
	for _, m := range all[from:to] {
		want = append(want, m.at.offset)
	}
	surely, perhaps := most(e.surely), most(e.perhaps)
	switch got := offsets(r.log.Messages); {
	case !slices.Equal(got, want):
		return fmt.Sprintf("it has %v, not %v", got, want)
	case more != r.log.More:
		return fmt.Sprintf("it says that there are more: %v", r.log.More)
	case q.Forward && surely > q.After && r.log.Lost.IsZero():
		return fmt.Sprintf("it does not say that messages up to %d are lost", surely)
	case q.Forward && perhaps <= q.After && !r.log.Lost.IsZero():
		return fmt.Sprintf("it says that messages up to %v are lost, but only those up to %d are", r.log.Lost, perhaps)
	}
	return ""
}
