package ledger

import (
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/client"
)

// reader reads one journal from its beginning to its end.
type reader struct {
	book    *book
	journal *Journal
	line    *line
	counts  *Counts

	at         client.Position        // up to here everything is accounted for
	gaps       []Entry                // told until now
	seen       map[string]int         // topic and ID to the index of the entry, in this epoch
	left       map[string]bool        // epochs that are over
	lastSeq    map[source]int         // in this epoch
	index      int                    // of the entry that is read
	resumedAt  int                    // the index of the last resubscription
	gapAt      []int                  // the indexes of gaps
	bareAt     map[source]map[int]int // the indexes of messages without a place, by their number
	lastCame   map[string]bool        // topics whose last message has come
	wantGap    bool                   // a resubscription said that something is lost
	complaints []string
}

const maxComplaints = 5 // of one journal

func newReader(b *book, j *Journal, c *Counts) *reader {
	return &reader{
		book: b, journal: j, line: b.line(j.Topic), counts: c,
		seen: make(map[string]int), left: make(map[string]bool), lastSeq: make(map[source]int), lastCame: make(map[string]bool),
		bareAt: make(map[source]map[int]int),
	}
}

func (r *reader) complain(format string, args ...any) {
	if len(r.complaints) < maxComplaints {
		r.complaints = append(r.complaints, r.journal.Name+" of "+r.journal.Topic+": "+fmt.Sprintf(format, args...))
	}
}

func (r *reader) run() {
	entries := r.journal.Entries
	if len(entries) == 0 || entries[0].Kind != Begin || entries[0].Position.Epoch == "" {
		r.complain("does not say where it begins")
		return
	}
	r.at = entries[0].Position
	for i, e := range entries[1:] {
		r.index = i + 1
		switch e.Kind {
		case Message:
			r.counts.Delivered++
			r.message(e)
		case Gap:
			r.counts.Gaps[e.Reason]++
			r.wantGap = false
			r.gaps, r.gapAt = append(r.gaps, e), append(r.gapAt, r.index)
		case Resubscribed:
			r.resubscribed(e)
		case Begin:
			r.complain("begins twice")
		}
	}
	for from, list := range r.line.bare {
		r.accountBare(from, list)
	}
	for _, topic := range r.line.last {
		if !r.lastCame[topic] {
			r.complain("does not have the last message of %s; the journal ends at %s", topic, show(r.at))
		}
	}
}

// resubscribed: a subscription goes on where it was, or says that it does not.
func (r *reader) resubscribed(e Entry) {
	r.wantGap, r.resumedAt = !e.Recovered, r.index
	if !e.Recovered {
		r.counts.Unrecovered++
		return
	}
	r.counts.Recovered++
	if e.Position.Epoch == r.at.Epoch && e.Position.Offset < r.at.Offset {
		r.complain("goes on at %s, but was at %s already", show(e.Position), show(r.at))
		return
	}
	if e.Position.Epoch != r.at.Epoch {
		r.nextEpoch(e.Position.Epoch)
	}
	r.account(e.Position.Offset + 1) // it may be further than the last message: where an earlier resubscription began, behind its gap
	r.at = e.Position
}

func (r *reader) message(e Entry) {
	topic := r.journal.Topic
	if e.Topic != "" {
		topic = e.Topic
	}
	if r.wantGap {
		r.complain("%s comes although something is lost and no gap was told", e.ID)
		r.wantGap = false
	}
	bare := e.Position.Offset == 0
	if !bare && e.Position.Epoch != r.at.Epoch {
		r.nextEpoch(e.Position.Epoch)
	}
	if !bare && e.Position.Offset <= r.at.Offset {
		r.complain("%s at %s comes behind %s", e.ID, show(e.Position), show(r.at))
		return
	}
	key := topic + " " + e.ID
	switch first, has := r.seen[key]; {
	case has && bare && r.resumedAt > first:
		r.counts.Twice++
	case has:
		r.complain("%s comes twice, the second time at %s", e.ID, show(e.Position))
	}
	r.seen[key] = r.index
	if bare {
		r.compareBare(topic, e)
		return
	}
	r.account(e.Position.Offset)
	r.at = e.Position
	r.compare(topic, e)
}

// compare holds a message to what its publisher and the other subscribers know of it.
func (r *reader) compare(topic string, e Entry) {
	t := r.book.topic(topic)
	if other, known := t.ids[e.Position]; known && other != e.ID {
		r.complain("%s is at %s, where somebody else got %s", e.ID, show(e.Position), other)
	}
	t.ids[e.Position] = e.ID
	p := r.publication(t, topic, e)
	if p == nil {
		return
	}
	if p.Acked && p.Position.Epoch == e.Position.Epoch && p.Position != e.Position {
		r.complain("%s is at %s, and its publisher was told %s", e.ID, show(e.Position), show(p.Position))
	}
	if p.Seq == 0 {
		return
	}
	from := source{topic, p.Publisher}
	switch late := r.lastSeq[from] > p.Seq; {
	case late && p.Acked:
		r.complain("%s comes behind number %d of its publisher", e.ID, r.lastSeq[from])
	case late:
		r.counts.Overtaken++ // its publisher has given it up, and gone on
	}
	r.lastSeq[from] = max(r.lastSeq[from], p.Seq)
}

// publication finds what came among what was published; nil if it was not.
func (r *reader) publication(t *topic, name string, e Entry) *Publication {
	t.delivered[e.ID] = true
	p := t.byID[e.ID]
	switch {
	case p == nil:
		r.complain("%s of %s was never published", e.ID, name)
	case p.Last:
		r.lastCame[name] = true
	}
	return p
}

// compareBare is compare for a message without a place.
func (r *reader) compareBare(topic string, e Entry) {
	p := r.publication(r.book.topic(topic), topic, e)
	if p == nil || p.Seq == 0 {
		return
	}
	from := source{topic, p.Publisher}
	if r.lastSeq[from] > p.Seq {
		r.counts.Overtaken++
	}
	r.lastSeq[from] = max(r.lastSeq[from], p.Seq)
	if r.bareAt[from] == nil {
		r.bareAt[from] = make(map[int]int)
	}
	r.bareAt[from][p.Seq] = r.index
}

// accountBare demands a gap for every acknowledged message of a publisher that is missing: between the ones around it that came.
func (r *reader) accountBare(from source, list []*Publication) {
	came := r.bareAt[from]
	var numbers []int // of those that came in their time: others say nothing about the place of what is missing
	for _, p := range list {
		if at, has := came[p.Seq]; has && !r.heldUp(p, at) {
			numbers = append(numbers, p.Seq)
		}
	}
	slices.Sort(numbers)
	for _, p := range list {
		if _, has := came[p.Seq]; has || p.Seq == 0 {
			continue
		}
		low, high := 0, len(r.journal.Entries)
		i, _ := slices.BinarySearch(numbers, p.Seq)
		if i > 0 {
			low = came[numbers[i-1]]
		}
		if i < len(numbers) {
			high = came[numbers[i]]
		}
		if high < low { // they have overtaken each other
			low, high = high, low
		}
		explained := false
		for n, at := range r.gapAt {
			if g := &r.gaps[n]; at > low && at < high && (g.Topic == "" || g.Topic == from.topic) {
				explained = true
				r.counts.Missed[g.Reason]++
				break
			}
		}
		if !explained {
			r.complain("%s of %s is missing, and no gap was told around its place between others of its publisher", p.ID, from.topic)
		}
	}
}

// heldUp reports whether a message is one that the network held up and brought after its time: it had been acknowledged, perhaps as a copy that was
// sent again, before a gap was told here that covers it, and came behind that gap.
func (r *reader) heldUp(p *Publication, at int) bool {
	for n, told := range r.gapAt {
		if p.Acked && told < at && covers(&r.gaps[n], p) {
			return true
		}
	}
	return false
}

// nextEpoch accounts for all that was left of the epoch before, and for the ones that the subscriber has never seen.
func (r *reader) nextEpoch(epoch string) {
	if r.left[epoch] {
		r.complain("epoch %s comes back", epoch)
	}
	r.account(^uint64(0))
	r.left[r.at.Epoch] = true
	r.at = client.Position{Epoch: epoch}
	clear(r.seen)
	clear(r.lastSeq)
}

// account demands a gap for every acknowledged message between what is known and an offset of the same epoch.
func (r *reader) account(before uint64) {
	list := r.line.acked[r.at.Epoch]
	from, _ := slices.BinarySearchFunc(list, r.at.Offset, func(p *Publication, known uint64) int {
		if p.Position.Offset <= known {
			return -1
		}
		return 1
	})
	for _, p := range list[from:] {
		if p.Position.Offset >= before {
			return
		}
		i := slices.IndexFunc(r.gaps, func(g Entry) bool { return covers(&g, p) })
		if i < 0 {
			r.complain("%s at %s is missing, and no gap was told", p.ID, show(p.Position))
			continue
		}
		r.counts.Missed[r.gaps[i].Reason]++
	}
}

// covers reports whether a gap says that a message is lost. A gap from one epoch to another is about all that follows in the first
// and all that comes before in the second.
func covers(g *Entry, p *Publication) bool {
	if g.Topic != "" && g.Topic != p.Topic {
		return false
	}
	afterSince := p.Position.Epoch == g.Since.Epoch && p.Position.Offset > g.Since.Offset
	beforeUntil := p.Position.Epoch == g.Until.Epoch && p.Position.Offset <= g.Until.Offset
	if g.Since.Epoch == g.Until.Epoch {
		return afterSince && beforeUntil
	}
	return afterSince || beforeUntil
}
