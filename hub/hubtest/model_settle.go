package hubtest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// settle waits until everybody has everything and knows of everybody, and checks what can be checked then.
func (w *world) settle() {
	w.audit()
	for _, p := range w.people {
		p.setRoom(-1)
	}
	deadline := time.Now().Add(w.Settle)
	w.await(deadline, w.unsettled)
	now := time.Now()
	for _, p := range w.people {
		p.mu.Lock()
		for _, s := range p.streams {
			if s.live {
				s.part().quiet = now
			}
		}
		p.mu.Unlock()
	}
	w.await(deadline, w.wrongPresence)
	w.checkReads()
}

// await waits until nothing is to be said against it.
func (w *world) await(deadline time.Time, wrong func() string) {
	w.Helper()
	wait := time.Millisecond
	for {
		what := wrong()
		if what == "" {
			return
		}
		left := time.Until(deadline)
		if left <= 0 {
			w.Errorf("after %v in which nobody did anything: %s", w.Settle, what)
			return
		}
		select {
		case <-w.news:
		case <-time.After(min(left, wait)):
			wait = min(2*wait, 200*time.Millisecond)
		}
	}
}

// unsettled says what somebody is still waiting for, or "".
func (w *world) unsettled() string {
	for _, p := range w.people {
		if p.isEnded() {
			p.leave()
		}
		p.mu.Lock()
		for _, s := range p.streams {
			if !s.live {
				continue
			}
			if missing := s.missing(); len(missing) > 0 {
				defer p.mu.Unlock()
				return fmt.Sprintf("%s of %s lacks %d messages, the first of which is %v; %v", s.name, p.session, len(missing), missing[0], s)
			}
		}
		p.mu.Unlock()
	}
	return ""
}

// wrongPresence says what is wrong with who is present by what the nodes say, or "".
func (w *world) wrongPresence() string {
	for _, topic := range modelTopics {
		if !isRoom(topic) {
			continue
		}
		want, connections := make(map[string]int), 0
		for _, p := range w.people {
			p.mu.Lock()
			if s := p.streams[topic]; s != nil && s.live {
				want[p.user]++
				connections++
			}
			p.mu.Unlock()
		}
		for _, n := range w.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
			present, err := n.hub.Presence(ctx, topic)
			cancel()
			if err != nil {
				return fmt.Sprintf("presence of %s at node %d: %v", topic, n.number, err)
			}
			got := make(map[string]int)
			for _, u := range present.Users {
				got[u.User] = u.Connections
			}
			if !maps.Equal(got, want) || present.Connections != connections || present.Count != len(want) {
				return fmt.Sprintf("in %s there are %v, but node %d says %+v", topic, want, n.number, present)
			}
		}
		if what := w.wrongPeople(topic, want); what != "" {
			return what
		}
	}
	return ""
}

// wrongPeople says which stream was told otherwise about who is in a topic.
func (w *world) wrongPeople(topic string, want map[string]int) string {
	for _, p := range w.people {
		p.mu.Lock()
		if s := p.streams[topic]; s != nil && s.live && !s.part().lostPeople {
			for user, here := range s.part().here {
				if here != (want[user] > 0) {
					defer p.mu.Unlock()
					return fmt.Sprintf("%s of %s was told last that %s is there: %v, but there are %v", topic, p.session, user, here, want)
				}
			}
		}
		p.mu.Unlock()
	}
	return ""
}

// audit finds out of what could not be published for sure whether it is stored.
func (w *world) audit() {
	unknown := make(map[string]bool)
	for _, m := range w.log.unknown() {
		unknown[m.topic] = true
	}
	everything := hub.Retention{Messages: 1 << 20, Age: 1000 * time.Hour, Bytes: 1 << 40}
	for topic := range unknown {
		ctx, cancel := context.WithTimeout(context.Background(), modelTimeout)
		b := w.nodes[0].broker
		q := hub.ReadQuery{Topic: topic, Keeps: func(string) hub.Retention { return everything }, Least: everything.Age}
		log, err := b.Read(ctx, q)
		if err == nil {
			q.Since = &hub.Position{Epoch: log.Top.Epoch}
			log, err = b.Read(ctx, q)
		}
		cancel()
		if err != nil {
			w.Errorf("what is stored of %s cannot be read: %v", topic, err)
			return
		}
		w.sight(&log)
	}
}

// checkEnd looks at all streams that there ever were.
func (w *world) checkEnd() {
	stored := 0
	for _, topic := range modelTopics {
		stored += len(w.log.stored(topic))
	}
	streams := 0
	for _, p := range w.people {
		for _, s := range p.past {
			s.check()
			streams++
		}
		for _, s := range p.streams {
			s.check()
			streams++
		}
	}
	w.Logf("%d messages stored, %d streams, %d faults, in %v", stored, streams, len(w.faults), time.Since(w.began).Round(time.Millisecond))
}
