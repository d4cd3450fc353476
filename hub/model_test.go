package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "run only the world with this seed; 0 runs many new ones")
	modelSteps = flag.Int("model.steps", 300_000, "steps of all worlds together")
)

const stepsOfWorld = 2500

// TestModel does random things to hubs and holds them against a naive model: a list of everything that was ever published. Every message
// must have been delivered once and in order to each stream that wanted it, or lie in a gap that the stream was told of.
func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		runWorld(t, *modelSeed)
		return
	}
	base := rand.Uint64()
	for i := range uint64(*modelSteps / stepsOfWorld) {
		runWorld(t, max(1, base+i))
	}
}

// published is one message as the model remembers it.
type published struct {
	Position
	topic, session string // session: whose own message it is, which it does not get; or empty
	text           string
	time           time.Time
}

type world struct {
	t       *testing.T
	random  *rand.Rand
	hub     *Hub
	broker  *busyBroker
	log     []published
	epochs  []string // in their order
	people  []*person
	retries map[string]Receipt // by user, topic and id, within the window
}

// busyBroker has messages published just before and just after a subscription is read.
type busyBroker struct {
	*MemoryBroker
	world *world
	kept  bool   // whether everything was kept when it was read
	top   uint64 // of what was read
}

func (b *busyBroker) Read(ctx context.Context, q ReadQuery) (Log, error) {
	w := b.world
	if q.Since == nil && q.Limit > 3 { // History
		return b.MemoryBroker.Read(ctx, q)
	}
	w.publishSome()
	if q.Since != nil {
		b.kept = w.allKept(q.Topic, *q.Since)
	}
	log, err := b.MemoryBroker.Read(ctx, q)
	b.top = log.Top.Offset
	w.publishSome()
	return log, err
}

// publishSome lets some who are connected publish.
func (w *world) publishSome() {
	for _, p := range w.people {
		if p.subscriber != nil && !p.cutOff() && w.random.IntN(4) == 0 {
			p.publish(pick(w, modelTopics))
		}
	}
}

// person is a client that comes and goes. It is a Sink.
type person struct {
	world      *world
	session    string
	subscriber *Subscriber
	streams    map[string]*stream // by topic or pattern; those of a connection that crashed are kept
	room       int
}

// stream is what a person saw of a topic or pattern.
type stream struct {
	pattern string
	live    bool
	from    int // what was published before it began
	at      Position
	got     []Position
	gaps    []*Gap
	counted int      // messages that gaps of slowness count, since the last resume
	whole   bool     // it was never resumed in the middle of such a gap
	resumed Position // where it went on then
}

var modelTopics = []string{"a.x", "a.y", "b.x", "latest.p", "latest.q", "bare.x", "cut.x"}

var modelPatterns = append([]string{"a.*", "*.x", "latest.>", "cut.*"}, modelTopics...)

func modelRules() []Rule {
	return []Rule{
		{"a.>", TopicOptions{HistoryMessages: 20, HistoryAge: time.Minute, SlowMessages: 5}},
		{"b.>", TopicOptions{HistoryMessages: 3, SlowMessages: 3, Presence: PresenceFull}},
		{"latest.>", TopicOptions{HistoryMessages: 5, SlowMessages: 2, Slow: SlowLatest}},
		{"cut.>", TopicOptions{HistoryMessages: 50, SlowMessages: 4, Slow: SlowDisconnect}},
	}
}

func runWorld(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, random: rand.New(rand.NewPCG(seed, 0))}
		w.restart()
		for i := range 5 {
			w.people = append(w.people, &person{world: w, session: fmt.Sprint("s", i), streams: make(map[string]*stream), room: 3})
		}
		for range stepsOfWorld {
			w.step()
			if t.Failed() {
				break
			}
		}
		for _, p := range w.people {
			p.finish()
		}
		w.checkStats()
		for _, p := range w.people {
			p.leave()
		}
		w.hub.Close()
		if t.Failed() {
			t.Errorf("repeat with: go test ./hub -run TestModel -model.seed %d", seed)
		}
	})
}

// restart is the crash of the whole server: the next one knows nothing.
func (w *world) restart() {
	if w.hub != nil {
		for _, p := range w.people {
			p.leave()
		}
		w.hub.Close()
	}
	w.broker = &busyBroker{MemoryBroker: NewMemoryBroker(MemoryOptions{Linger: 24 * time.Hour}), world: w}
	h, err := New(Options{Topics: modelRules(), Broker: w.broker})
	if err != nil {
		w.t.Fatal(err)
	}
	h.meanwhile = 0
	w.hub, w.retries = h, make(map[string]Receipt)
	w.epochs = append(w.epochs, w.epoch())
}

func (w *world) step() {
	p := w.people[w.random.IntN(len(w.people))]
	switch n := w.random.IntN(1000); {
	case n < 500:
		p.publish(pick(w, modelTopics))
	case n < 650:
		p.subscribe(pick(w, modelPatterns))
	case n < 700:
		p.unsubscribe(pick(w, modelPatterns))
	case n < 940:
		p.setRoom(w.random.IntN(12))
	case n < 970:
		p.leave()
	case n < 990:
		time.Sleep(time.Duration(w.random.IntN(30)) * time.Second)
	case n < 998:
		p.checkHistory(pick(w, modelTopics))
	case n < 999:
		w.restart()
	}
	for _, p := range w.people {
		if p.cutOff() {
			p.leave()
		}
	}
}

func pick(w *world, from []string) string { return from[w.random.IntN(len(from))] }

// come connects, if need be.
func (p *person) come() *Subscriber {
	if p.subscriber == nil {
		s, err := p.world.hub.Connect(Connecting{Session: p.session, Identity: Identity{User: p.session}, Sink: p})
		if err != nil {
			p.world.t.Fatal(err)
		}
		p.subscriber = s
	}
	return p.subscriber
}

// leave is the loss of the connection: what the hub has not handed over yet is lost with it.
func (p *person) leave() {
	if p.subscriber != nil {
		p.subscriber.Close()
		p.subscriber = nil
	}
	for _, s := range p.streams {
		s.live = false
	}
}

func (p *person) publish(topic string) {
	w := p.world
	text := strconv.Itoa(len(w.log))
	pub := Publication{Data: []byte(text), Key: strconv.Itoa(w.random.IntN(3)), NotToMe: w.random.IntN(4) == 0}
	if w.random.IntN(3) == 0 {
		pub.ID = strconv.Itoa(w.random.IntN(30))
	}
	receipt, err := p.come().Publish(context.Background(), topic, pub)
	if err != nil {
		w.t.Errorf("publish: %v", err)
		return
	}
	key := p.session + " " + topic + " " + pub.ID
	if before, known := w.retries[key]; receipt.Duplicate && (!known || before.Position != receipt.Position) {
		w.t.Errorf("%s is a retry of %v at %v", key, before, receipt)
	}
	if receipt.Duplicate {
		return
	}
	m := published{Position: receipt.Position, topic: topic, text: text, time: time.Now()}
	if pub.NotToMe {
		m.session = p.session
	}
	w.log = append(w.log, m)
	if pub.ID != "" {
		w.retries[key] = receipt
	}
}

func (p *person) subscribe(pattern string) {
	s := p.streams[pattern]
	if s != nil && s.live {
		return
	}
	var o SubscribeOptions
	if s != nil && p.world.random.IntN(8) > 0 {
		o.Since = &s.at
	} else {
		o.Last = p.world.random.IntN(4)
		s = &stream{pattern: pattern}
	}
	before, from := s.at, len(p.world.log)
	got, err := p.come().Subscribe(context.Background(), pattern, o)
	if err != nil {
		if !p.cutOff() && !errors.Is(err, &Error{Code: CodeUnavailable}) { // which three readings can come to here
			p.world.t.Errorf("subscribe to %s: %v", pattern, err)
		}
		return
	}
	switch {
	case o.Since == nil: // Last promises only what is kept
		s.from = from
		for s.from < len(p.world.log) && p.world.log[s.from].Offset <= p.world.broker.top {
			s.from++
		}
	case got.Recovered != p.world.broker.kept:
		p.world.t.Errorf("%s resumed at %v: recovered is %v, but that everything is kept is %v", pattern, before, got.Recovered, !got.Recovered)
	case got.Recovered: // which may promise more than Last did
		for s.from > 0 && p.world.log[s.from-1].Epoch == before.Epoch && p.world.log[s.from-1].Offset > before.Offset {
			s.from--
		}
	case before.Epoch != got.Position.Epoch: // which tells of all up to the new position, should the gap that follows not arrive
		s.gaps = append(s.gaps, &Gap{Reason: GapEpoch, Since: before, Until: got.Position})
	}
	s.at, s.live, s.counted, s.resumed = got.Position, true, 0, got.Position
	s.whole = got.Recovered || o.Since == nil && o.Last == 0
	p.streams[pattern] = s
	got.Begin()
}

func (p *person) unsubscribe(pattern string) {
	if s := p.streams[pattern]; s != nil && s.live {
		if err := p.subscriber.Unsubscribe(pattern); err != nil {
			p.world.t.Error(err)
		}
		s.live = false
	}
}

func (p *person) setRoom(n int) {
	p.room = n
	if p.subscriber != nil && n > 0 {
		p.subscriber.Ready()
	}
}

// Deliver implements Sink.
func (p *person) Deliver(m *Message) bool {
	if p.room == 0 {
		return false
	}
	p.room--
	name := m.Topic
	if m.Pattern != "" {
		name = m.Pattern
	}
	s := p.streams[name]
	if s == nil || !s.live {
		p.world.t.Errorf("%s gets %s without a subscription", p.session, describe(m))
		return true
	}
	switch m.Kind {
	case KindData:
		if m.Offset <= s.at.Offset {
			p.world.t.Errorf("%s gets offset %d of %s behind %d", p.session, m.Offset, name, s.at.Offset)
		}
		if m.Except == p.session {
			p.world.t.Errorf("%s gets its own message", p.session)
		}
		s.at.Offset = m.Offset
		s.got = append(s.got, s.at)
	case KindGap:
		if m.Gap.Count > 0 && m.Gap.Since != s.at {
			p.world.t.Errorf("%s of %s is told of a gap behind %v, but is at %v", name, p.session, m.Gap.Since, s.at)
		}
		s.gaps = append(s.gaps, m.Gap)
		s.counted += int(m.Gap.Count)
	}
	return true
}

// End implements Sink. The model looks by itself, rather than wait for the goroutine that calls this.
func (p *person) End(End) {}

func (p *person) cutOff() bool {
	if p.subscriber == nil {
		return false
	}
	p.world.hub.mu.Lock()
	defer p.world.hub.mu.Unlock()
	return p.subscriber.ended
}

// allKept reports whether the topics of a pattern still keep everything behind a position.
func (w *world) allKept(pattern string, at Position) bool {
	_, lost := w.kept(pattern)
	return at.Epoch == w.epoch() && lost <= at.Offset
}

// kept returns how many messages the topics of a pattern keep, and up to where they have forgotten any.
func (w *world) kept(pattern string) (n int, lost uint64) {
	rules := *w.hub.rules.Load()
	newer := make(map[string]int)
	for _, m := range slices.Backward(w.log) {
		if m.Epoch != w.epoch() {
			break
		}
		if !Match(pattern, m.topic) {
			continue
		}
		r := rules.of(m.topic)
		if newer[m.topic]++; newer[m.topic] > r.HistoryMessages || time.Since(m.time) >= r.HistoryAge {
			lost = max(lost, m.Offset)
		} else {
			n++
		}
	}
	return n, lost
}

func (w *world) epoch() string { return w.broker.epoch }

func (p *person) checkHistory(topic string) {
	w := p.world
	page, err := w.hub.History(context.Background(), topic, HistoryQuery{Limit: 1000})
	if errors.Is(err, &Error{Code: CodeNoHistory}) {
		return
	}
	for i, m := range page.Messages {
		if i > 0 && m.Offset <= page.Messages[i-1].Offset || m.Topic != topic {
			w.t.Errorf("history of %s is not in order", topic)
		}
	}
	if n, _ := w.kept(topic); n != len(page.Messages) {
		w.t.Errorf("history of %s has %d messages, not %d", topic, len(page.Messages), n)
	}
}

// finish lets everything arrive, and then looks at every stream.
func (p *person) finish() {
	for p.room = -1; p.subscriber != nil && p.subscriber.waits(); {
		p.subscriber.Ready()
	}
	for _, s := range p.streams {
		s.check(p)
	}
}

func (s *Subscriber) waits() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.waiting) > 0 && !s.ended
}

// check finds each message of the log among those delivered, or in a gap.
func (s *stream) check(p *person) {
	w := p.world
	got := make(map[Position]bool)
	for _, at := range s.got {
		if got[at] {
			w.t.Errorf("%s of %s got %v twice", s.pattern, p.session, at)
		}
		got[at] = true
	}
	missing := 0
	for _, m := range w.log[s.from:] {
		if !s.live && (m.Epoch != s.at.Epoch || m.Offset > s.at.Offset) && !w.before(m.Position, s.at) {
			break // what came after it had gone
		}
		if !Match(s.pattern, m.topic) || m.session == p.session || got[m.Position] {
			continue
		}
		if !w.inGap(m.Position, s.gaps) {
			w.t.Errorf("%s of %s has neither got %v of %s nor been told (now at %v)", s.pattern, p.session, m.Position, m.topic, s.at)
		}
		if m.Epoch == s.resumed.Epoch && m.Offset > s.resumed.Offset {
			missing++
		}
	}
	if s.live && s.whole && missing != s.counted {
		w.t.Errorf("%s of %s misses %d messages and was told of %d", s.pattern, p.session, missing, s.counted)
	}
}

// before reports whether a is not later than b.
func (w *world) before(a, b Position) bool {
	if a.Epoch == b.Epoch {
		return a.Offset <= b.Offset
	}
	return slices.Index(w.epochs, a.Epoch) < slices.Index(w.epochs, b.Epoch)
}

func (w *world) inGap(at Position, gaps []*Gap) bool {
	for _, g := range gaps {
		if !w.before(at, g.Since) && w.before(at, g.Until) {
			return true
		}
	}
	return false
}

// checkStats compares the hub's figures with what is there.
func (w *world) checkStats() {
	live := 0
	for _, p := range w.people {
		for _, s := range p.streams {
			if s.live {
				live++
			}
		}
	}
	if got := w.hub.Stats(); got.Subscriptions != live || got.QueuedMessages != 0 || got.QueuedBytes != 0 {
		w.t.Errorf("%d streams are live and nothing waits, but the hub says %+v", live, got)
	}
}
