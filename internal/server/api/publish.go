package api

import (
	"context"
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
)

// receipt says that a message has its place.
type receipt struct {
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// publication is what requests to publish have in common.
type publication struct {
	key, id  string
	data     json.RawMessage
	bytes    []byte
	hasBytes bool
	meta     json.RawMessage
}

func (p *publication) fields() fields {
	return fields{"key": &p.key, "messageId": &p.id, "data": &p.data, "base64": &p.bytes, "meta": &p.meta}
}

// read reads a publication of JSON, with further fields beside.
func (p *publication) read(c *call, more fields) error {
	into := p.fields()
	for name, target := range more {
		into[name] = target
	}
	if err := c.decode(into); err != nil {
		return err
	}
	switch {
	case p.data == nil && p.bytes == nil:
		return hub.Errorf(hub.CodeBadRequest, "data is missing; or base64, for bytes")
	case p.data != nil && p.bytes != nil:
		return hub.Errorf(hub.CodeBadRequest, "data and base64 are two messages; send one")
	}
	p.hasBytes = p.bytes != nil
	return nil
}

func (p *publication) forHub() hub.Publication {
	out := hub.Publication{ID: p.id, Key: p.key, Data: p.data, Binary: p.hasBytes}
	if p.hasBytes {
		out.Data = p.bytes
	}
	if string(p.meta) != "null" {
		out.Meta = p.meta
	}
	return out
}

func (a *API) publish(c *call) (any, error) {
	var topic string
	var p publication
	switch c.mediaType() {
	case "application/json":
		if err := p.read(c, fields{"topic": &topic}); err != nil {
			return nil, err
		}
	case "application/octet-stream":
		if err := c.query(fields{"topic": &topic, "key": &p.key, "messageId": &p.id, "meta": &p.meta}); err != nil {
			return nil, err
		}
		p.bytes, p.hasBytes = c.body, true
	default:
		return nil, wrongType("application/json, or application/octet-stream with topic, key, messageId and meta in the query")
	}
	if topic == "" {
		return nil, missing("topic")
	}
	return a.store(c.Context(), topic, p.forHub())
}

func (a *API) store(ctx context.Context, topic string, p hub.Publication) (any, error) {
	got, err := a.options.Hub.Publish(ctx, topic, p)
	if err != nil {
		return nil, err
	}
	return receipt{got.Epoch, got.Offset, got.Duplicate}, nil
}

// outcome is what became of one topic of a broadcast.
type outcome struct {
	Topic     string   `json:"topic"`
	Epoch     string   `json:"epoch,omitempty"`
	Offset    uint64   `json:"offset,omitempty"`
	Duplicate bool     `json:"duplicate,omitempty"`
	Error     *problem `json:"error,omitempty"`
}

// broadcast publishes the same to many topics. One that fails does not keep the others from it.
func (a *API) broadcast(c *call) (any, error) {
	var topics []string
	var p publication
	if err := p.read(c, fields{"topics": &topics}); err != nil {
		return nil, err
	}
	if len(topics) == 0 {
		return nil, missing("topics")
	}
	if len(topics) > c.rules.MaxTopics {
		return nil, hub.Errorf(hub.CodeBadRequest, "topics: at most %d are allowed, not %d", c.rules.MaxTopics, len(topics))
	}
	seen := make(map[string]bool, len(topics))
	for _, topic := range topics {
		if seen[topic] {
			return nil, hub.Errorf(hub.CodeBadRequest, "topics: %q is there twice", topic)
		}
		seen[topic] = true
	}
	answer := struct {
		Results []outcome `json:"results"`
	}{make([]outcome, len(topics))}
	for i, topic := range topics {
		answer.Results[i] = a.storeOne(c, topic, p.forHub())
	}
	return answer, nil
}

func (a *API) storeOne(c *call, topic string, p hub.Publication) outcome {
	got, err := a.options.Hub.Publish(c.Context(), topic, p)
	if err != nil {
		told := a.problemOf(err, c.URL.Path)
		return outcome{Topic: topic, Error: &told}
	}
	return outcome{Topic: topic, Epoch: got.Epoch, Offset: got.Offset, Duplicate: got.Duplicate}
}

func missing(name string) error { return hub.Errorf(hub.CodeBadRequest, "%s is missing", name) }
