package hubtest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// modelStream is what a person saw of a topic or pattern, over any number of connections. Its owner's mutex guards it.
type modelStream struct {
	owner *person
	name  string

	live   bool
	start  place // everything behind this one is wanted
	at     hub.Position
	got    map[hub.Position]bool
	gaps   []toldGap
	parts  []*part // one for each subscription; the last one is the present one
	resume toldGap // what a gap at the beginning may be about
}

// part is what came between a subscription and its end.
type part struct {
	node       *modelNode
	from, to   time.Time // when the subscription was there for sure; to is zero until it has ended
	quiet      time.Time // when it was last known that everything had arrived
	events     []event
	first      hub.Position
	counted    uint64 // messages that gaps count
	uncounted  bool   // there are other gaps, or it was resumed in the middle of one
	here       map[string]bool
	lostPeople bool
}

// event is a message or a gap.
type event struct {
	message *sent // nil for a gap
	at      time.Time
}

// toldGap is a gap and what it may be about.
type toldGap struct {
	hub.Gap
	since, until place
	at           time.Time // when it was told, or for a resumption when that had been read
	resumed      bool
}

// begin notes that there is a subscription. The caller holds the owner's mutex.
func (s *modelStream) begin(began time.Time, o *hub.SubscribeOptions, got *hub.Subscribed, record *readRecord) {
	w := s.owner.world
	now := time.Now()
	s.live = true
	if s.got == nil {
		s.got = make(map[hub.Position]bool)
		s.start = w.log.place(record.top)
	}
	p := &part{node: s.owner.node, from: now, first: got.Position}
	p.uncounted = o.Since == nil && o.Last > 0 || o.Since != nil && !got.Recovered
	s.parts = append(s.parts, p)
	s.resume = toldGap{at: now}
	if o.Since != nil {
		s.resume.Gap = hub.Gap{Since: *o.Since, Until: got.Position}
		s.resume.resumed = !got.Recovered
		if got.Recovered && got.Position != *o.Since {
			w.Errorf("%s of %s resumed at %v and got %v", s.name, s.owner.session, *o.Since, got.Position)
		}
		if o.Since.Epoch != got.Position.Epoch { // tells of all up to the new position, should the gap that follows not arrive
			s.tell(hub.Gap{Reason: hub.GapEpoch, Since: *o.Since, Until: got.Position})
		}
	}
	s.at = got.Position
}

// stop notes that the subscription has ended, so that what has not come will not. The caller holds the owner's mutex.
func (s *modelStream) stop() {
	if s.live {
		s.live = false
		s.part().to = time.Now()
	}
}

func (s *modelStream) part() *part { return s.parts[len(s.parts)-1] }

// take takes a message. The caller holds the owner's mutex.
func (s *modelStream) take(m *hub.Message) {
	w, p := s.owner.world, s.part()
	who := s.name + " of " + s.owner.session
	switch m.Kind {
	case hub.KindGap:
		p.events = append(p.events, event{at: time.Now()})
		if m.Gap.Count > 0 && m.Gap.Since != s.at {
			w.Errorf("%s is told of a gap behind %v, but is at %v", who, m.Gap.Since, s.at)
		}
		p.counted += m.Gap.Count
		p.uncounted = p.uncounted || m.Gap.Count == 0
		p.lostPeople = p.lostPeople || m.Gap.Presence
		s.tell(*m.Gap)
		if m.Gap.Until.Epoch != s.at.Epoch {
			s.at = m.Gap.Until
		}
	case hub.KindData:
		sent, err := w.log.sighted(m, w.log.lifeOf(s.at.Epoch))
		if err != nil {
			w.Errorf("%s, at %v at node %d: %v", who, s.at, p.node.number, err)
			return
		}
		p.events = append(p.events, event{sent, time.Now()})
		if m.Except == s.owner.session {
			w.Errorf("%s gets its own message %d", who, sent.number)
		}
		if !hub.Match(s.name, m.Topic) || (m.Pattern == "") != (s.name == m.Topic) || m.Pattern != "" && m.Pattern != s.name {
			w.Errorf("%s gets a message of %s through %q", who, m.Topic, m.Pattern)
		}
		if m.Offset == 0 {
			return
		}
		if m.Offset <= s.at.Offset {
			w.Errorf("%s gets offset %d of %s (message %d) behind %v", who, m.Offset, m.Topic, sent.number, s.at)
		}
		s.at.Offset = m.Offset
		s.got[s.at] = true
	case hub.KindJoin, hub.KindLeave:
		p.people(who, m, w)
	default:
		w.Errorf("%s gets %v", who, m)
	}
}

// people keeps account of who comes and goes.
func (p *part) people(who string, m *hub.Message, w *world) {
	joins := m.Kind == hub.KindJoin
	if p.here == nil {
		p.here = make(map[string]bool)
	}
	if before, known := p.here[m.From.User]; known && before == joins && !p.lostPeople {
		w.Errorf("%s is told twice that %s came or went (%v)", who, m.From.User, m.Kind)
	}
	p.here[m.From.User] = joins
}

// tell notes a gap.
func (s *modelStream) tell(g hub.Gap) {
	l := s.owner.world.log
	told := toldGap{Gap: g, since: l.place(g.Since), until: l.place(g.Until), at: time.Now()}
	if s.resume.resumed && g.Since == s.resume.Since && (g.Reason == hub.GapExpired || g.Reason == hub.GapEpoch) {
		told.resumed, told.at = true, s.resume.at
	}
	s.gaps = append(s.gaps, told)
}

// wanted visits what a stream has to have got, or been told of: what is stored of its topics, from its start to where it is. The caller
// holds the owner's mutex.
func (s *modelStream) wanted(visit func(m *sent, got bool)) {
	l := s.owner.world.log
	has := make(map[place]bool, len(s.got))
	for at := range s.got {
		has[l.place(at)] = true
	}
	end := l.place(s.at)
	topics, _ := matching(s.name)
	for _, topic := range topics {
		for _, m := range l.stored(topic) {
			if !m.at.behind(s.start) || m.session == s.owner.session || !s.live && m.at.behind(end) {
				continue
			}
			visit(m, has[m.at])
		}
	}
}

// missing returns what has neither come nor been told of. The caller holds the owner's mutex.
func (s *modelStream) missing() (all []*sent) {
	s.wanted(func(m *sent, got bool) {
		if !got && !s.excused(m) {
			all = append(all, m)
		}
	})
	return append(all, s.missingBare()...)
}

// excused reports whether a message lies in a gap that may be about it.
func (s *modelStream) excused(m *sent) bool {
	return slices.ContainsFunc(s.gaps, func(g toldGap) bool { return m.at.behind(g.since) && !m.at.behind(g.until) && s.mayConcern(&g, m) })
}

// mayConcern reports whether a message that is within the bounds of a gap may have been lost for its reason.
func (s *modelStream) mayConcern(g *toldGap, m *sent) bool {
	l := s.owner.world.log
	switch {
	case g.Reason == hub.GapExpired, g.Reason == hub.GapEpoch && g.resumed && m.at.life == g.until.life:
		return m.at.offset <= l.lost(m.topic, place{m.at.life, math.MaxUint64}, g.at, false)
	case g.Reason == hub.GapLost && retentionOf(m.topic).Messages > 0:
		return s.owner.world.gone(m, g.at)
	}
	return true
}

// gone reports whether so many messages came behind one in its topic that a broker need not have it any more.
func (w *world) gone(m *sent, at time.Time) bool {
	newer := 0
	for _, other := range slices.Backward(w.log.stored(m.topic)) {
		if other == m {
			break
		}
		if other.began.Before(at) {
			newer++
		}
	}
	return newer >= w.Repairs
}

// missingBare returns what has no place and should have come, since it was published while everything was in order. The caller holds
// the owner's mutex.
func (s *modelStream) missingBare() (all []*sent) {
	w := s.owner.world
	topics, bare := matching(s.name)
	if !bare || w.log.placed {
		return nil
	}
	messages := w.log.bareOf(topics)
	for i, p := range s.parts {
		got := make(map[*sent]bool)
		for _, e := range p.events {
			got[e.message] = true
		}
		end := p.quiet
		if s.live && i == len(s.parts)-1 {
			end = time.Now()
		}
		for _, m := range messages {
			due := m.began.After(p.from.Add(w.Spread)) && m.known.Before(end) && !w.broken(p.from, m.known)
			if !due || got[m] || m.session == s.owner.session {
				continue
			}
			if !slices.ContainsFunc(p.events, func(e event) bool { return e.message == nil && e.at.After(m.began) }) {
				all = append(all, m)
			}
		}
	}
	return all
}

// check looks at what a stream has got when everything has come.
func (s *modelStream) check() {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	w := s.owner.world
	who := s.name + " of " + s.owner.session
	for _, m := range s.missing() {
		w.Errorf("%s has neither got %v nor been told of it; %v", who, m, s)
	}
	for i := range s.gaps {
		s.checkGap(who, &s.gaps[i])
	}
	for _, p := range s.parts {
		s.checkRuns(who, p)
	}
	s.checkCounts(who)
}

// checkGap looks for something that was lost in a gap. Those of readings are checked with these.
func (s *modelStream) checkGap(who string, g *toldGap) {
	_, bare := matching(s.name)
	if g.Reason != hub.GapLost || bare {
		return
	}
	found := false
	s.wanted(func(m *sent, got bool) {
		found = found || !got && m.at.behind(g.since) && !m.at.behind(g.until)
	})
	if !found {
		w := s.owner.world
		w.Errorf("%s was told that something was lost (%+v), but nothing is; %v", who, g.Gap, s)
	}
}

// checkRuns looks at the order of what has no place. What is missing behind what has come from the same node, and before something else,
// must have been told of.
func (s *modelStream) checkRuns(who string, p *part) {
	w := s.owner.world
	at := make(map[*sent]int)
	runs := make(map[run][]int)
	var gaps []int
	for i, e := range p.events {
		switch m := e.message; {
		case m == nil:
			gaps = append(gaps, i)
		case m.bare:
			if _, twice := at[m]; twice {
				w.Errorf("%s got %v twice", who, m)
			}
			at[m] = i
			if m.tries == 1 { // those that were published again, at another node, may have come from that
				runs[m.run] = append(runs[m.run], i)
			}
		}
	}
	topics, bare := matching(s.name)
	if !bare {
		return
	}
	for _, m := range w.log.bareOf(topics) {
		indices := runs[m.run]
		if len(indices) == 0 || m.acked.IsZero() || m.tries > 1 || m.session == s.owner.session {
			continue
		}
		here, got := at[m]
		before, after := -1, -1 // the last of those before it and the first of those behind it
		for _, i := range indices {
			other := p.events[i].message
			if other.acked.Before(m.began) {
				before = max(before, i)
			}
			if m.acked.Before(other.began) && (after < 0 || i < after) {
				after = i
			}
		}
		switch {
		case got && (before > here || after >= 0 && after < here):
			w.Errorf("%s got %v out of order", who, m)
		case !got && before >= 0 && after >= 0 && !slices.ContainsFunc(gaps, func(i int) bool { return i > before && i < after }):
			w.Errorf("%s was not told that it missed %v", who, m)
		}
	}
}

// checkCounts compares what gaps have counted with what is missing.
func (s *modelStream) checkCounts(who string) {
	p := s.part()
	if _, bare := matching(s.name); !s.live || p.uncounted || bare && !s.owner.world.log.placed {
		return
	}
	first := s.owner.world.log.place(p.first)
	missing := uint64(0)
	s.wanted(func(m *sent, _ bool) {
		if m.at.behind(first) && !s.got[hub.Position{Epoch: p.first.Epoch, Offset: m.at.offset}] {
			missing++
		}
	})
	if missing != p.counted {
		s.owner.world.Errorf("%s misses %d messages and was told of %d; %v", who, missing, p.counted, s)
	}
}

func (s *modelStream) String() string {
	text := fmt.Sprintf("it began behind %v and is at %v (live: %v)", s.start, s.at, s.live)
	for _, p := range s.parts[max(0, len(s.parts)-4):] {
		from := p.from.Sub(s.owner.world.began)
		text += fmt.Sprintf("; was at node %d from %v behind %v, with %d events", p.node.number, from, p.first, len(p.events))
	}
	for _, g := range s.gaps[max(0, len(s.gaps)-6):] {
		text += fmt.Sprintf("; gap %s %v-%v at %v", g.Reason, g.Since, g.Until, g.at.Sub(s.owner.world.began))
	}
	return text
}

func (m *sent) String() string {
	return fmt.Sprintf("message %d of %s (at %v, id %q, run %v)", m.number, m.topic, m.at, m.id, m.run)
}
