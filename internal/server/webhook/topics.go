package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

const maxMeta = 1 << 10 // bytes, as the hub allows for what comes from clients

// HubHooks are the hooks subscribe, publish and request for hub.Options.Hooks. Those that are not configured allow, or answer
// unknown-method.
func (h *Hooks) HubHooks() hub.Hooks {
	return hub.Hooks{Subscribe: h.subscribe, Publish: h.publish, Request: h.request}
}

type topicQuestion struct {
	person
	Topic string `json:"topic"`
}

func (h *Hooks) subscribe(call *hub.SubscribeCall) error {
	c := h.caller.Load()
	hook := &c.config.Subscribe
	if hook.URL == "" || !concerns(hook.Topics, call.Topic) {
		return nil
	}
	q := topicQuestion{about(eventSubscribe, call.Session, call.Identity), call.Topic}
	return h.ask(call.Context, c, eventSubscribe, hook.URL, &q, topicCodes, func(answer) error { return nil })
}

// content is JSON, or bytes.
type content struct {
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 *[]byte         `json:"base64,omitempty"`
}

func contentOf(data []byte, binary bool) content {
	if binary {
		data = append([]byte{}, data...) // not nil, which would be null
		return content{Base64: &data}
	}
	return content{Data: data}
}

// takeContent returns what the backend puts in the place of data; there need not be any.
func (a answer) takeContent() (data []byte, binary, is bool, err error) {
	var text json.RawMessage
	var bytes *[]byte
	hasText, err1 := a.take("data", &text)
	_, err2 := a.take("base64", &bytes)
	switch {
	case err1 != nil || err2 != nil:
		return nil, false, false, errors.Join(err1, err2)
	case hasText && bytes != nil:
		return nil, false, false, errors.New("it has data and base64, which are two messages")
	case bytes != nil:
		return *bytes, true, true, nil
	}
	return text, false, hasText, nil
}

type publishQuestion struct {
	person
	Topic     string          `json:"topic"`
	MessageID string          `json:"messageId,omitempty"`
	Key       string          `json:"key,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"`
	content
}

func (h *Hooks) publish(call *hub.PublishCall) error {
	c := h.caller.Load()
	hook := &c.config.Publish
	if hook.URL == "" || !concerns(hook.Topics, call.Topic) {
		return nil
	}
	p := call.Publication
	q := publishQuestion{about(eventPublish, call.Session, call.Identity), call.Topic, p.ID, p.Key, p.Meta, contentOf(p.Data, p.Binary)}
	return h.ask(call.Context, c, eventPublish, hook.URL, &q, topicCodes, func(a answer) error { return rewrite(a, p) })
}

// rewrite changes a publication to what the backend says, if it says anything wrong not at all.
func rewrite(a answer, p *hub.Publication) error {
	changed := *p
	data, binary, is, err := a.takeContent()
	if err != nil {
		return err
	}
	if is {
		changed.Data, changed.Binary = data, binary
	}
	if _, err := a.take("key", &changed.Key); err != nil {
		return err
	}
	if len(changed.Key) > hub.MaxName || !utf8.ValidString(changed.Key) {
		return fmt.Errorf("its key is more than %d bytes of UTF-8", hub.MaxName)
	}
	var meta json.RawMessage
	if has, err := a.take("meta", &meta); err != nil {
		return err
	} else if has {
		if changed.Meta = meta; string(meta) == "null" {
			changed.Meta = nil
		}
	}
	if len(changed.Meta) > maxMeta || len(changed.Meta) > 0 && changed.Meta[0] != '{' {
		return fmt.Errorf("its meta is no object of at most %d bytes", maxMeta)
	}
	if err := a.done(); err != nil {
		return err
	}
	*p = changed
	return nil
}

type requestQuestion struct {
	person
	Method string `json:"method"`
	content
}

func (h *Hooks) request(ctx context.Context, r *hub.Request) (hub.Reply, error) {
	c := h.caller.Load()
	hook := &c.config.Request
	if hook.URL == "" || !concerns(hook.Methods, r.Method) {
		return hub.Reply{}, hub.Errorf(hub.CodeUnknownMethod, "nobody answers %s", r.Method)
	}
	var reply hub.Reply
	q := requestQuestion{about(eventRequest, r.Session, r.Identity), r.Method, contentOf(r.Data, r.Binary)}
	err := h.ask(ctx, c, eventRequest, hook.URL, &q, requestCodes, func(a answer) (err error) {
		reply.Data, reply.Binary, _, err = a.takeContent()
		return err
	})
	if err != nil && ctx.Err() != nil {
		return hub.Reply{}, ctx.Err() // it is the request's own timeout
	}
	return reply, err
}

// concerns reports whether a topic, or any that a pattern matches, is among those of a hook.
func concerns(patterns []string, topic string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		if overlap(p, topic) {
			return true
		}
	}
	return false
}

// overlap reports whether there is a topic that both patterns match.
func overlap(a, b string) bool {
	for {
		partA, restA, moreA := strings.Cut(a, ".")
		partB, restB, moreB := strings.Cut(b, ".")
		switch {
		case partA == ">" || partB == ">":
			return true // the other has at least this part, too
		case partA != partB && partA != "*" && partB != "*", moreA != moreB:
			return false
		case !moreA:
			return true
		}
		a, b = restA, restB
	}
}
