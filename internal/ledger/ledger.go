// Package ledger holds what publishers know against what subscribers were told: every acknowledged message came once and in order, or
// lies in a range that was told as a gap; every other one came at most once; all subscribers saw one order; nothing came out of nowhere. It
// is for tests, which write everything down and ask Check at the end.
//
// Topics whose messages have no place, the offset 0, have no order but that of each publisher. One of them that is acknowledged and missing
// at a subscriber needs a gap that was told between the messages of the same publisher around it. What was published before the subscriber began
// counts as missing too: let the subscribers begin first.
package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
)

// Publication is what a publisher knows of one message that it has sent.
type Publication struct {
	Topic     string
	ID        string // different for each message of a topic
	Publisher string
	Seq       int             // of the publisher to the topic, ascending from 1; 0: order does not matter
	Acked     bool            // there is a receipt; otherwise nobody knows
	Position  client.Position // of the receipt
	Last      bool            // published when all others had been: every journal of the topic has to contain one of these
}

// Kind says what an Entry is.
type Kind uint8

// The kinds of entries.
const (
	Begin        Kind = iota // the first entry: where the subscription begins
	Message                  // a message
	Gap                      // messages are lost
	Resubscribed             // the subscription goes on after an interruption
)

// Entry is one thing that a subscriber was told.
type Entry struct {
	Kind      Kind
	Topic     string          // of a message or gap of a pattern; empty stands for the journal's
	Position  client.Position // of a Begin, a Message and a Resubscribed
	ID        string          // of a Message
	Since     client.Position // of a Gap
	Until     client.Position // of a Gap
	Reason    string          // of a Gap
	Recovered bool            // of a Resubscribed
}

// Journal is all that one subscription was told, in order.
type Journal struct {
	Name    string // of the subscriber
	Topic   string // or pattern
	Entries []Entry
}

// Complete reports whether the subscriber was told of no gap: it knows that it has everything.
func (j *Journal) Complete() bool {
	return !slices.ContainsFunc(j.Entries, func(e Entry) bool { return e.Kind == Gap })
}

// Verdict is what Check has found.
type Verdict struct {
	Complaints []string // what nothing explains, at most 5 of each journal; empty: all is well
	Counts
}

// Counts says how much was seen. What counts messages at subscribers counts each of them at each subscriber.
type Counts struct {
	Acked, Unknown int            // publications
	Late           int            // of the unknown ones, those that some subscriber got
	Epochs         map[string]int // acknowledged publications
	Delivered      int            // messages at subscribers
	Missed         map[string]int // acknowledged messages that are missing at a subscriber, by the reason of the gap that explains it
	Gaps           map[string]int // gaps, by reason
	Recovered      int            // resubscriptions without a loss
	Unrecovered    int            // and with one
	Twice          int            // messages without a place that came again after a resubscription: nothing remembers IDs for all nodes
	Overtaken      int            // messages that came behind a later one of their publisher and may: not acknowledged, or without a place
}

// Check compares publications with journals.
func Check(all []Publication, journals []Journal) *Verdict {
	b := newBook(all, journals)
	v := &Verdict{Counts: Counts{Epochs: make(map[string]int), Missed: make(map[string]int), Gaps: make(map[string]int)}}
	v.Complaints = b.doubles()
	for i := range all {
		if all[i].Acked {
			v.Acked++
			v.Epochs[all[i].Position.Epoch]++
		} else {
			v.Unknown++
		}
	}
	for i := range journals {
		r := newReader(b, &journals[i], &v.Counts)
		r.run()
		v.Complaints = append(v.Complaints, r.complaints...)
	}
	for _, t := range b.topics {
		for _, p := range t.byID {
			if !p.Acked && t.delivered[p.ID] {
				v.Late++
			}
		}
	}
	return v
}

// book is everything that was published.
type book struct {
	topics map[string]*topic
	lines  map[string]*line // by topic or pattern, made when first asked for
}

// topic is what was published to one topic, and what all journals together say of it.
type topic struct {
	byID      map[string]*Publication
	acked     []*Publication
	bare      bool // its messages have no place
	hasLast   bool
	ids       map[client.Position]string // what subscribers got there
	delivered map[string]bool            // IDs
}

// line is the acknowledged messages of a topic, or of all topics of a pattern.
type line struct {
	acked map[string][]*Publication // by epoch, ascending by offset
	bare  map[source][]*Publication // of topics whose messages have no place, as they were sent
	last  []string                  // topics of which a last message has to come
}

// source is where the messages come from that have an order of their own.
type source struct{ topic, publisher string }

func newBook(all []Publication, journals []Journal) *book {
	b := &book{topics: make(map[string]*topic), lines: make(map[string]*line)}
	for i := range all {
		p := &all[i]
		t := b.topic(p.Topic)
		t.byID[p.ID] = p
		t.hasLast = t.hasLast || p.Last
		if p.Acked {
			t.acked = append(t.acked, p)
		}
	}
	for i := range journals {
		for _, e := range journals[i].Entries {
			if e.Kind == Message && e.Position.Offset == 0 {
				b.topic(cmp.Or(e.Topic, journals[i].Topic)).bare = true
			}
		}
	}
	return b
}

// topic returns what is known of a topic.
func (b *book) topic(name string) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{byID: make(map[string]*Publication), ids: make(map[client.Position]string), delivered: make(map[string]bool)}
		b.topics[name] = t
	}
	return t
}

// line returns what a subscription of a topic or pattern has to get.
func (b *book) line(pattern string) *line {
	if l := b.lines[pattern]; l != nil {
		return l
	}
	l := &line{acked: make(map[string][]*Publication), bare: make(map[source][]*Publication)}
	for name, t := range b.topics {
		if !hub.Covers(pattern, name) {
			continue
		}
		if t.hasLast {
			l.last = append(l.last, name)
		}
		for _, p := range t.acked {
			if t.bare {
				from := source{name, p.Publisher}
				l.bare[from] = append(l.bare[from], p)
			} else {
				l.acked[p.Position.Epoch] = append(l.acked[p.Position.Epoch], p)
			}
		}
	}
	for _, list := range l.acked {
		slices.SortFunc(list, byOffset)
	}
	slices.Sort(l.last)
	b.lines[pattern] = l
	return l
}

func byOffset(a, b *Publication) int {
	switch {
	case a.Position.Offset < b.Position.Offset:
		return -1
	case a.Position.Offset > b.Position.Offset:
		return 1
	}
	return 0
}

// doubles complains about publications of one topic whose receipts give one position to two of them, or a publisher's in another order
// than he sent them.
func (b *book) doubles() []string {
	type turn struct{ publisher, epoch string }
	var complaints []string
	for name, t := range b.topics {
		if t.bare {
			continue
		}
		at, last := make(map[client.Position]*Publication), make(map[turn]*Publication)
		slices.SortStableFunc(t.acked, byOffset)
		for _, p := range t.acked {
			if other := at[p.Position]; other != nil {
				complaints = append(complaints, fmt.Sprintf("%s: %s and %s have one position %s", name, other.ID, p.ID, show(p.Position)))
			}
			at[p.Position] = p
			if p.Seq == 0 {
				continue
			}
			by := turn{p.Publisher, p.Position.Epoch}
			if before := last[by]; before != nil && before.Seq > p.Seq {
				complaints = append(complaints, fmt.Sprintf("%s: %s was sent before %s, and its place %s is behind", name, p.ID, before.ID, show(p.Position)))
			}
			last[by] = p
		}
	}
	slices.Sort(complaints)
	return complaints
}

// show is a position in a few characters.
func show(p client.Position) string { return fmt.Sprintf("%s/%d", p.Epoch, p.Offset) }
