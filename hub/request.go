package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// handlers are who answers requests. The first whose pattern matches a method does.
type handlers struct {
	mu  sync.RWMutex
	all []handler
}

type handler struct {
	pattern string
	answer  RequestHandler
}

// Handle makes f answer the requests whose method matches a pattern, unless a pattern registered earlier matches too. It answers those of
// other nodes as well, if they have no handler of their own. The error says what is wrong with the pattern, or that the broker cannot make it known.
func (h *Hub) Handle(pattern string, f RequestHandler) error {
	if err := CheckPattern(pattern); err != nil {
		return err
	}
	h.handlers.mu.Lock()
	h.handlers.all = append(h.handlers.all, handler{pattern, f})
	h.handlers.mu.Unlock()
	_, err := h.broker.Offer(h, pattern) // it ends with the hub's detaching
	return err
}

// withoutHandler answers requests for which no handler is registered here: as the hook says or, if it does not know the method, as
// another node does.
func (h *Hub) withoutHandler(ctx context.Context, r *Request) (Reply, error) {
	if hook := h.options.Hooks.Request; hook != nil {
		reply, err := hook(ctx, r)
		if !errors.Is(err, &Error{Code: CodeUnknownMethod}) {
			return reply, err
		}
	}
	return h.elsewhere(ctx, r)
}

func (h *handlers) of(method string) RequestHandler {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, each := range h.all {
		if Match(each.pattern, method) {
			return each.answer
		}
	}
	return nil
}

// Pending is a request that has not been answered yet.
type Pending struct {
	ctx    context.Context
	method string
	done   chan outcome
}

type outcome struct {
	reply Reply
	err   error
}

// Request asks the program on behalf of the subscriber, until ctx ends. It does not wait for the answer: see Pending.Wait. The
// errors are *Error.
func (s *Subscriber) Request(ctx context.Context, method string, data []byte, binary bool) (*Pending, error) {
	if err := CheckTopic(method); err != nil {
		return nil, Errorf(CodeBadRequest, "a method is named as a topic is: %v", err)
	}
	answer := s.hub.handlers.of(method)
	if answer == nil {
		answer = s.hub.withoutHandler
	}
	identity, err := s.beginRequest()
	if err != nil {
		return nil, err
	}
	r := &Request{Method: method, Session: s.id, Identity: identity, Data: data, Binary: binary}
	p := &Pending{ctx, method, make(chan outcome, 1)}
	go func() {
		defer s.endRequest()
		var o outcome
		o.err = s.hub.ask(func() (err error) {
			o.reply, err = answer(ctx, r)
			return o.reply.judge(method, err)
		})
		p.done <- o
	}()
	return p, nil
}

// Wait returns the answer, or an *Error with CodeTimeout when the request's context ends. A handler that goes on after that counts as a
// request that waits all the same.
func (p *Pending) Wait() (Reply, error) {
	select {
	case o := <-p.done:
		return o.reply, o.err
	case <-p.ctx.Done():
		return Reply{}, errLate(p.method)
	}
}

// judge sees to it that an answer has the form that it promises, and that a handler's own codes cannot be mistaken for ours.
func (r *Reply) judge(method string, err error) error {
	var refusal *Error
	switch {
	case err == nil && !r.Binary && r.Data != nil && !validJSON(r.Data):
		return fmt.Errorf("the handler of %s answers with what is not JSON, and does not say that it is binary", method)
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return errLate(method)
	case !errors.As(err, &refusal) || knownCode(refusal.Code) || strings.Contains(string(refusal.Code), "."):
		return err
	}
	return fmt.Errorf("a handler's own code contains a dot, unlike %q: %v", refusal.Code, refusal.Message)
}

func errLate(method string) *Error { return Errorf(CodeTimeout, "%s was not answered in time", method) }

func knownCode(c Code) bool {
	switch c {
	case CodeBadRequest, CodeForbidden, CodeTooLarge, CodeRate, CodeRefused, CodeTimeout, CodeUnavailable, CodeInternal, CodeUnknownMethod:
		return true
	}
	return false
}

func (s *Subscriber) beginRequest() (*Identity, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.ended {
		return nil, ErrEnded
	}
	if limit := s.hub.limits.Load().requests; s.requests >= limit {
		return nil, Errorf(CodeRate, "at most %d requests wait for their answer", limit)
	}
	s.requests++
	identity := *s.identity
	return &identity, nil
}

func (s *Subscriber) endRequest() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.requests--
}
