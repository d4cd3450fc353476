package hubtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const maxRetries = 10

// person is a client that comes and goes, to any node. What it does, it does from one goroutine at a time.
type person struct {
	world         *world
	session, user string
	node          *modelNode
	subscriber    *hub.Subscriber
	link          *link

	mu      sync.Mutex              // what follows is changed by deliveries, too
	streams map[string]*modelStream // by topic or pattern, the latest of each
	past    []*modelStream          // those that others have taken the place of
	room    int                     // below 0: any
}

// link is a person's connection to a node. It is a hub.Sink.
type link struct {
	*person
	node  *modelNode
	ended *hub.End // guarded by mu
}

// act does one random thing.
func (p *person) act(random *rand.Rand) {
	switch n := random.IntN(100); {
	case n < 52:
		p.publish(random, pick(random, modelTopics))
	case n < 70:
		p.subscribe(random, pick(random, modelPatterns))
	case n < 75:
		p.unsubscribe(pick(random, modelPatterns))
	case n < 93:
		p.setRoom(random.IntN(24) - 6)
	case n < 96:
		p.leave()
	default:
		p.readHistory(random, pick(random, modelTopics))
	}
	if p.isEnded() {
		p.leave()
	}
}

func (p *person) isEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link != nil && p.link.ended != nil
}

// come connects to some node, if need be.
func (p *person) come(random *rand.Rand) *hub.Subscriber {
	if p.subscriber != nil {
		return p.subscriber
	}
	p.node = pick(random, p.world.nodes)
	l := &link{person: p, node: p.node}
	s, err := p.node.hub.Connect(hub.Connecting{Session: p.session, Identity: hub.Identity{User: p.user}, Sink: l})
	if err != nil {
		p.world.Fatal(err)
	}
	p.mu.Lock()
	p.link = l
	p.mu.Unlock()
	p.subscriber = s
	return s
}

// leave is the loss of the connection: what the hub has not handed over yet is lost with it.
func (p *person) leave() {
	if p.subscriber == nil {
		return
	}
	p.subscriber.Close()
	p.subscriber, p.node = nil, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.streams {
		s.stop()
	}
}

// publish publishes something new, here or at another node, and again what has failed if it has an ID.
func (p *person) publish(random *rand.Rand, topic string) {
	w := p.world
	m := &sent{topic: topic, user: p.user, key: fmt.Sprint(random.IntN(3))}
	if random.IntN(4) == 0 {
		m.session = p.session
	}
	if random.IntN(2) == 0 {
		m.id = fmt.Sprintf("%x", random.Uint64())
	}
	w.log.add(m)
	for try := 0; ; try++ {
		p.come(random)
		if err := p.try(m); err != nil {
			if !w.shaky.Load() && !p.isOver(err) {
				w.Errorf("publish message %d to %s: %v", m.number, topic, err)
				return
			}
			if p.isOver(err) || random.IntN(2) == 0 { // the connection is lost, or seems to be
				p.leave()
			}
			if m.id == "" || try >= maxRetries {
				return
			}
			continue
		}
		if m.id == "" || try >= maxRetries || random.IntN(4) > 0 {
			return
		}
		if random.IntN(2) == 0 { // the receipt was lost with the connection
			p.leave()
		}
	}
}

// try publishes a message. It is a retry if it has been published before.
func (p *person) try(m *sent) error {
	ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
	defer cancel()
	return p.world.publish(ctx, p.node, p.subscriber, m)
}

// publish publishes a message at a node, on behalf of somebody or of nobody, and notes what came of it.
func (w *world) publish(ctx context.Context, n *modelNode, s *hub.Subscriber, m *sent) error {
	before := m.try(w.log)
	pub := hub.Publication{ID: m.id, Key: m.key, Data: m.data, NotToMe: m.session != ""}
	var receipt hub.Receipt
	var err error
	if s != nil {
		receipt, err = s.Publish(ctx, m.topic, pub)
	} else {
		receipt, err = n.hub.Publish(ctx, m.topic, pub)
	}
	if err != nil {
		return err
	}
	if before && !receipt.Duplicate && !m.bareTopic(w.log) {
		w.Errorf("message %d of %s was stored, and its retry is not taken for one: %+v", m.number, m.topic, receipt)
	}
	if err := w.log.receipt(m, receipt, n); err != nil {
		w.Errorf("published at node %d: %v; %+v", n.number, err, receipt)
	}
	w.tell()
	return nil
}

// try notes that the message is published now, perhaps again, and reports whether it is known already that it was stored.
func (m *sent) try(l *modelLog) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.tries++
	return !m.known.IsZero()
}

func (m *sent) bareTopic(l *modelLog) bool { return !l.placed && retentionOf(m.topic).Messages == 0 }

// isOver reports whether an error means that the hub has ended the subscriber.
func (p *person) isOver(err error) bool {
	var known *hub.Error
	return errors.As(err, &known) && known == hub.ErrEnded
}

func (p *person) subscribe(random *rand.Rand, pattern string) {
	w := p.world
	p.mu.Lock()
	s := p.streams[pattern]
	if s != nil && s.live {
		p.mu.Unlock()
		return
	}
	o := hub.SubscribeOptions{Presence: isRoom(pattern)}
	fresh := s == nil || random.IntN(8) == 0
	if fresh {
		o.Last = max(0, random.IntN(8)-4)
		s = &modelStream{owner: p, name: pattern}
	} else {
		at := s.at
		o.Since = &at
	}
	p.mu.Unlock()
	p.come(random)
	record := &readRecord{}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), recordKey{}, record), modelTimeout)
	defer cancel()
	began := time.Now()
	got, err := p.subscriber.Subscribe(ctx, pattern, o)
	if err != nil {
		p.refusedTo(fmt.Sprintf("subscribe to %s with %+v", pattern, o), err)
		return
	}
	p.mu.Lock()
	if fresh {
		if old := p.streams[pattern]; old != nil {
			p.past = append(p.past, old)
		}
		p.streams[pattern] = s
	}
	s.begin(began, &o, &got, record)
	p.mu.Unlock()
	got.Begin()
	w.tell()
}

// refusedTo looks at an error.
func (p *person) refusedTo(what string, err error) {
	busy := strings.HasPrefix(err.Error(), "more is published") // than three readings can come to
	gone := errors.Is(err, &hub.Error{Code: hub.CodeNotSubscribed})
	if !p.isEnded() && !p.isOver(err) && !gone && !busy && !p.world.shaky.Load() {
		p.world.Errorf("%s %s at node %d: %v", p.session, what, p.node.number, err)
	}
	if p.isOver(err) || gone {
		p.leave()
	}
}

func (p *person) unsubscribe(pattern string) {
	p.mu.Lock()
	s := p.streams[pattern]
	live := s != nil && s.live
	p.mu.Unlock()
	if !live {
		return
	}
	if err := p.subscriber.Unsubscribe(pattern); err != nil {
		p.world.Errorf("%s unsubscribes from %s: %v", p.session, pattern, err)
	}
	p.mu.Lock()
	s.stop()
	p.mu.Unlock()
}

// setRoom says how many deliveries there is room for.
func (p *person) setRoom(n int) {
	p.mu.Lock()
	p.room = n
	p.mu.Unlock()
	if p.subscriber != nil && n != 0 {
		p.subscriber.Ready()
	}
}

// readHistory reads a page; the spy checks it.
func (p *person) readHistory(random *rand.Rand, topic string) {
	if retentionOf(topic).Messages == 0 {
		return
	}
	q := hub.HistoryQuery{Limit: 1 + random.IntN(12), Forward: random.IntN(2) == 0}
	if stored := p.world.log.stored(topic); len(stored) > 0 && random.IntN(3) > 0 {
		at := stored[max(0, len(stored)-1-random.IntN(30))].at
		if q.Forward {
			q.After = at.offset
		} else {
			q.Before = at.offset
		}
	}
	p.come(random)
	ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
	defer cancel()
	if _, err := p.subscriber.History(ctx, topic, q); err != nil {
		p.refusedTo("reads "+topic, err)
	}
}

// Deliver implements hub.Sink.
func (l *link) Deliver(m *hub.Message) bool {
	p := l.person
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room == 0 {
		return false
	}
	p.room--
	if p.room < 0 {
		p.room = -1
	}
	name := m.Topic
	if m.Pattern != "" {
		name = m.Pattern
	}
	s := p.streams[name]
	if s == nil || !s.live || p.link != l {
		p.world.Errorf("%s gets %v without a subscription", p.session, m)
		return true
	}
	s.take(m)
	p.world.tell()
	return true
}

// End implements hub.Sink.
func (l *link) End(why hub.End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why.Code != hub.EndRestart && why.Code != hub.EndSlow {
		l.world.Errorf("%s is ended: %+v", l.session, why)
	}
	l.ended = &why
	l.world.tell()
}
