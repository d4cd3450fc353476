package showcase

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
)

// Answering makes a handler of a function that takes and returns what has a form in JSON. A question of another form is refused with
// hub.CodeBadRequest, before f sees it.
func Answering[Q, A any](f func(ctx context.Context, r *hub.Request, question Q) (A, error)) hub.RequestHandler {
	return func(ctx context.Context, r *hub.Request) (hub.Reply, error) {
		var question Q
		if err := decode(r, &question); err != nil {
			return hub.Reply{}, err
		}
		answer, err := f(ctx, r, question)
		if err != nil {
			return hub.Reply{}, err
		}
		data, err := json.Marshal(answer)
		return hub.Reply{Data: data}, err
	}
}

func decode(r *hub.Request, into any) error {
	if r.Binary {
		return hub.Errorf(hub.CodeBadRequest, "%s takes JSON, not bytes", r.Method)
	}
	if len(r.Data) == 0 || bytes.Equal(r.Data, []byte("null")) {
		return nil
	}
	if err := json.Unmarshal(r.Data, into); err != nil {
		return hub.Errorf(hub.CodeBadRequest, "%s does not take this: %s", r.Method, err)
	}
	return nil
}

// JSON publishes a value under a key, which may be empty.
func JSON(ctx context.Context, h *hub.Hub, topic, key string, value any) (hub.Receipt, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return hub.Receipt{}, err
	}
	return h.Publish(ctx, topic, hub.Publication{Key: key, Data: data})
}
