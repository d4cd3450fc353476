package client

import "time"

// receive takes a push of the server. Like push it is called by the connection's reader alone, so in order.
func (s *Subscription) receive(f *frame) {
	s.mu.Lock()
	state, position := s.state, s.position
	wanted := state == subLive && !s.parked && s.end == nil
	s.mu.Unlock()
	if f.Type == "unsubscribed" && (state == subLive || state == subLeaving) {
		s.finish(f.err())
		s.lost()
	}
	if !wanted {
		return // it is subscribed again from its position, or nobody wants it any more
	}
	size := len(f.Data) + len(f.Meta) + len(f.Info)
	switch f.Type {
	case "message":
		m := f.message(position.Epoch)
		switch {
		case f.Offset == 0: // it has no place in the line, so that it cannot have come already
			m.Position = Position{}
		case f.Offset <= position.Offset:
			return // it came already
		default:
			position.Offset = f.Offset
		}
		s.push(queued{event: m, position: position, bytes: size})
	case "join":
		s.push(queued{event: &Join{Topic: f.Topic, User: User{Name: f.User, Info: f.Info}}, position: position, bytes: size})
	case "leave":
		s.push(queued{event: &Leave{Topic: f.Topic, User: User{Name: f.User, Info: f.Info}}, position: position, bytes: size})
	case "gap":
		g := f.gap()
		if g.Until.Epoch != "" && g.Until.Epoch != position.Epoch {
			position = g.Until // what comes next is of the new epoch, and behind this
		}
		s.push(queued{event: g, position: position})
	}
}

// impatience is Options.Patience while answers are awaited: who waits for them may be who should take the events.
const impatience = 50 * time.Millisecond

// push queues an event when there is room. If no event is taken for too long, the subscription is parked instead.
func (s *Subscription) push(q queued) {
	var waited time.Duration
	for !s.put(q) {
		timer := time.NewTimer(impatience)
		select {
		case <-s.space:
			waited = 0
		case <-s.ended:
		case <-s.client.ctx.Done():
			s.finish(ErrClosed)
		case <-timer.C:
			waited += impatience
			if (waited >= s.client.options.Patience || s.client.desk.awaited()) && s.park() {
				return
			}
		}
		timer.Stop()
	}
}

// put reports whether there is nothing more to do about an event: it was queued, or nobody wants it.
func (s *Subscription) put(q queued) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.client.options
	if s.state != subLive || s.end != nil {
		return true
	}
	if len(s.queue) > 0 && (len(s.queue) >= o.Buffer || s.bytes+q.bytes > o.BufferBytes) {
		return false
	}
	s.queue = append(s.queue, q)
	s.bytes += q.bytes
	s.position = q.position
	signal(s.ready)
	return true
}

// drained reports whether it is time to read again. mu is held.
func (s *Subscription) drained() bool {
	o := s.client.options
	return len(s.queue) <= o.Buffer/2 && s.bytes <= o.BufferBytes/2
}

// park leaves the server until the events have been taken; nothing is lost, as the position stays. It reports whether there was reason to.
func (s *Subscription) park() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained() {
		return false
	}
	s.parked = true
	s.advance() // before Next finds that it may take the parking back
	return true
}
