// Package prooftest proves what the client and the server promise together: on real sockets, with a server that is killed and a network
// that is bad, whoever subscribes gets every acknowledged message once and in order, or is told of a gap.
package prooftest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/duplex-websocket/duplex/client"
)

// published is what a publisher knows of one publication.
type published struct {
	topic     string
	publisher int
	seq       int             // of the publisher to the topic, ascending
	acked     bool            // there is a receipt
	position  client.Position // of the receipt
}

// id is the publication's ID; its data says the same.
func (p *published) id() string { return fmt.Sprintf("%s-%d-%d", p.topic, p.publisher, p.seq) }

// entry is one thing that a subscriber was told.
type entry struct {
	kind      entryKind
	position  client.Position // of a message; with what the log begins; of a resubscription
	id        string          // of a message
	since     client.Position // of a gap
	until     client.Position // of a gap
	recovered bool            // of a resubscription
}

type entryKind uint8

const (
	entryBegin        entryKind = iota // the first entry
	entryMessage                       //
	entryGap                           //
	entryResubscribed                  //
)

// journal is all that one subscription was told. It ends with the message that was published to the topic when all others had been.
type journal struct {
	name    string
	topic   string
	entries []entry
}

// complete reports whether the subscriber was told of no gap: it knows that it has everything.
func (j *journal) complete() bool {
	return !slices.ContainsFunc(j.entries, func(e entry) bool { return e.kind == entryGap })
}

// check compares what was published with what the journals say, and returns its complaints, at most some of each journal.
func check(all []published, journals []journal) []string {
	byTopic := make(map[string]*topicRecord)
	var complaints []string
	for i := range all {
		p := &all[i]
		r := byTopic[p.topic]
		if r == nil {
			r = &topicRecord{byID: make(map[string]*published), acked: make(map[string][]*published)}
			byTopic[p.topic] = r
		}
		r.byID[p.id()] = p
		if p.acked {
			r.acked[p.position.Epoch] = append(r.acked[p.position.Epoch], p)
		}
	}
	for topic, r := range byTopic {
		for epoch, list := range r.acked {
			slices.SortFunc(list, func(a, b *published) int { return int(a.position.Offset) - int(b.position.Offset) })
			for i := range list[1:] {
				if list[i].position == list[i+1].position {
					complaints = append(complaints, fmt.Sprintf("%s: %s and %s have one position %s/%d",
						topic, list[i].id(), list[i+1].id(), epoch, list[i].position.Offset))
				}
			}
		}
	}
	for i := range journals {
		c := checker{journal: &journals[i], record: byTopic[journals[i].topic], seen: make(map[string]bool), left: make(map[string]bool), lastSeq: make(map[int]int)}
		if c.record == nil {
			c.record = &topicRecord{}
		}
		c.run()
		complaints = append(complaints, c.complaints...)
	}
	return complaints
}

// topicRecord is what was published to one topic.
type topicRecord struct {
	byID  map[string]*published
	acked map[string][]*published // by epoch, ascending by offset
}

// checker reads one journal from its beginning to its end.
type checker struct {
	journal *journal
	record  *topicRecord

	at         client.Position // up to here everything is accounted for
	gaps       []entry         // told until now
	seen       map[string]bool // IDs in this epoch
	left       map[string]bool // epochs that are over
	lastSeq    map[int]int     // by publisher, in this epoch
	wantGap    bool            // a resubscription said that something is lost
	complaints []string
}

const maxComplaints = 5 // of one journal

func (c *checker) complain(format string, args ...any) {
	if len(c.complaints) < maxComplaints {
		c.complaints = append(c.complaints, c.journal.name+" of "+c.journal.topic+": "+fmt.Sprintf(format, args...))
	}
}

func (c *checker) run() {
	entries := c.journal.entries
	if len(entries) == 0 || entries[0].kind != entryBegin || entries[0].position.Epoch == "" {
		c.complain("does not say where it begins")
		return
	}
	c.at = entries[0].position
	for _, e := range entries[1:] {
		switch e.kind {
		case entryMessage:
			c.message(e)
		case entryGap:
			c.wantGap = false
			c.gaps = append(c.gaps, e)
		case entryResubscribed:
			c.wantGap = !e.recovered
			c.resubscribed(e)
		case entryBegin:
			c.complain("begins twice")
		}
	}
	if last := entries[len(entries)-1]; last.kind != entryMessage || !strings.HasSuffix(last.id, endID) {
		c.complain("does not end with the last message of the topic")
	}
}

// endID ends the ID of the last message of a topic.
const endID = "-end"

// resubscribed: a subscription goes on where it was, or says that it does not.
func (c *checker) resubscribed(e entry) {
	if e.recovered && e.position != c.at {
		c.complain("goes on at %v as if nothing were lost, but was at %v", e.position, c.at)
	}
}

func (c *checker) message(e entry) {
	if c.wantGap {
		c.complain("%s comes although something is lost and no gap was told", e.id)
		c.wantGap = false
	}
	if e.position.Epoch != c.at.Epoch {
		c.nextEpoch(e.position.Epoch)
	}
	if e.position.Offset <= c.at.Offset {
		c.complain("%s at %v comes behind %v", e.id, e.position, c.at)
		return
	}
	if c.seen[e.id] {
		c.complain("%s comes twice", e.id)
	}
	c.seen[e.id] = true
	c.account(e.position.Offset)
	c.at = e.position
	if strings.HasSuffix(e.id, endID) {
		return
	}
	p := c.record.byID[e.id]
	if p == nil {
		c.complain("%s was never published", e.id)
		return
	}
	if p.acked && p.position.Epoch == e.position.Epoch && p.position != e.position {
		c.complain("%s is at %v, and its publisher was told %v", e.id, e.position, p.position)
	}
	if c.lastSeq[p.publisher] > p.seq {
		c.complain("%s comes behind number %d of its publisher", e.id, c.lastSeq[p.publisher])
	}
	c.lastSeq[p.publisher] = p.seq
}

// nextEpoch accounts for all that was left of the epoch before, and for the ones that the subscriber has never seen.
func (c *checker) nextEpoch(epoch string) {
	if c.left[epoch] {
		c.complain("epoch %s comes back", epoch)
	}
	c.account(^uint64(0))
	c.left[c.at.Epoch] = true
	c.at = client.Position{Epoch: epoch}
	clear(c.seen)
	clear(c.lastSeq)
}

// account demands a gap for every acknowledged message between what is known and an offset of the same epoch.
func (c *checker) account(before uint64) {
	list := c.record.acked[c.at.Epoch]
	from, _ := slices.BinarySearchFunc(list, c.at.Offset+1, func(p *published, offset uint64) int {
		switch {
		case p.position.Offset < offset:
			return -1
		case p.position.Offset > offset:
			return 1
		}
		return 0
	})
	for _, p := range list[from:] {
		if p.position.Offset >= before {
			return
		}
		if !slices.ContainsFunc(c.gaps, func(g entry) bool { return covers(&g, p.position) }) {
			c.complain("%s at %v is missing, and no gap was told", p.id(), p.position)
		}
	}
}

// covers reports whether a gap says that a position is lost. A gap from one epoch to another is about all that follows in the first
// and all that comes before in the second.
func covers(g *entry, p client.Position) bool {
	afterSince := p.Epoch == g.since.Epoch && p.Offset > g.since.Offset
	beforeUntil := p.Epoch == g.until.Epoch && p.Offset <= g.until.Offset
	if g.since.Epoch == g.until.Epoch {
		return afterSince && beforeUntil
	}
	return afterSince || beforeUntil
}
