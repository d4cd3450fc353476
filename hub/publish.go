package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
	"unicode/utf8"
)

const (
	maxID    = 64
	maxMeta  = 1 << 10
	maxRates = 1000 // topics for which a subscriber's rate is counted at one time
)

// check checks everything about a publication but whether its data is JSON.
func (p *Publication) check(maxBytes int) error {
	switch {
	case len(p.Data) > maxBytes:
		return Errorf(CodeTooLarge, "data has at most %d bytes here, not %d", maxBytes, len(p.Data))
	case len(p.Meta) > maxMeta:
		return Errorf(CodeTooLarge, "meta has at most %d bytes, not %d", maxMeta, len(p.Meta))
	case len(p.Key) > MaxName:
		return Errorf(CodeTooLarge, "key has at most %d bytes, not %d", MaxName, len(p.Key))
	case !utf8.ValidString(p.Key):
		return Errorf(CodeBadRequest, "key is UTF-8")
	case len(p.ID) > maxID:
		return Errorf(CodeBadRequest, "a message's id has at most %d characters, not %d", maxID, len(p.ID))
	}
	for i := range len(p.ID) {
		c := p.ID[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~') {
			return Errorf(CodeBadRequest, "a message's id consists of A-Z a-z 0-9 - _ . ~, so %q cannot be in it", c)
		}
	}
	return nil
}

func (p *Publication) checkJSON() error {
	if !p.Binary && !validJSON(p.Data) {
		return Errorf(CodeBadRequest, "data is not JSON; publish other bytes as binary")
	}
	if len(p.Meta) > 0 && (p.Meta[0] != '{' || !validJSON(p.Meta)) {
		return Errorf(CodeBadRequest, "meta is a JSON object")
	}
	return nil
}

// validJSON is stricter than json.Valid, which takes any bytes in a string: the frames of clients are UTF-8.
func validJSON(p []byte) bool { return json.Valid(p) && utf8.Valid(p) }

// Publish publishes on behalf of the subscriber. The errors are *Error, or that of ctx.
func (s *Subscriber) Publish(ctx context.Context, topic string, p Publication) (Receipt, error) {
	if err := CheckTopic(topic); err != nil {
		return Receipt{}, err
	}
	r := s.hub.rules.Load().of(topic)
	identity, err := s.mayPublish(r, topic)
	if err != nil {
		return Receipt{}, err
	}
	if err := p.check(r.MaxBytes); err != nil {
		return Receipt{}, err
	}
	if err := p.checkJSON(); err != nil {
		return Receipt{}, err
	}
	if hook := s.hub.options.Hooks.Publish; hook != nil && !identity.program {
		call := &PublishCall{Context: ctx, Session: s.id, Identity: identity, Topic: topic, Publication: &p}
		if err := s.hub.ask(func() error { return hook(call) }); err != nil {
			return Receipt{}, err
		}
		if err := p.checkJSON(); err != nil {
			s.hub.options.Logger.Error("a hook has changed a publication to what is not JSON", "topic", topic)
			return Receipt{}, Errorf(CodeInternal, "the server could not pass the message on")
		}
	}
	m := &Message{Topic: topic, From: Publisher{identity.User, identity.Info}}
	if p.NotToMe {
		m.Except = s.id
	}
	return s.hub.publish(ctx, r, m, &p)
}

// mayPublish checks the permission, and counts against the rate.
func (s *Subscriber) mayPublish(r *rule, topic string) (*Identity, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	identity := *s.identity
	switch {
	case s.ended:
		return nil, ErrEnded
	case !identity.may(ActPublish, r.Publish, topic):
		return nil, Errorf(CodeForbidden, "you may not publish to %s", topic)
	case r.PublishRate == 0:
		return &identity, nil
	}
	now := time.Now()
	b := s.rates[topic]
	if b == nil {
		if len(s.rates) >= maxRates {
			s.forgetRates(now)
		}
		if len(s.rates) >= maxRates {
			return nil, &Error{CodeRate, "you publish to too many topics at a time", time.Second}
		}
		if s.rates == nil {
			s.rates = make(map[string]*bucket)
		}
		b = &bucket{rate: r.PublishRate, burst: float64(r.PublishBurst), tokens: float64(r.PublishBurst), at: now}
		s.rates[topic] = b
	}
	if wait := b.take(now); wait > 0 {
		return nil, &Error{CodeRate, fmt.Sprintf("%v messages a second are allowed to %s", r.PublishRate, topic), wait}
	}
	return &identity, nil
}

// forgetRates forgets the topics to which so little was published that it makes no difference.
func (s *Subscriber) forgetRates(now time.Time) {
	for topic, b := range s.rates {
		if b.fill(now); b.tokens >= b.burst {
			delete(s.rates, topic)
		}
	}
}

// bucket lets through rate a second on average, and burst at once.
type bucket struct {
	rate, burst, tokens float64
	at                  time.Time
}

func (b *bucket) fill(now time.Time) {
	b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// take takes one, or says how long until there will be one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.fill(now)
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Millisecond
}

// ask calls what a program has given us to decide. A panic and an error that is not an *Error are logged, and refuse.
func (h *Hub) ask(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			h.options.Logger.Error("a hook or handler panicked", "panic", r, "stack", string(debug.Stack()))
			err = Errorf(CodeInternal, "the server could not decide")
		}
	}()
	err = f()
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	h.options.Logger.Error("a hook or handler failed", "error", err)
	return Errorf(CodeInternal, "the server could not decide")
}
