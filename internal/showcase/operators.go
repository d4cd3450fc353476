package showcase

import (
	"context"
	"sync"

	"github.com/duplex-websocket/duplex/hub"
)

// codeNotOperator refuses what takes an operator. A client then asks its user for the API key.
const codeNotOperator hub.Code = "demo.not-operator"

const maxOperators = 1000 // sessions known at one time; then those that have not been asked about for longest may have to show the key again

// Operators knows which sessions may do more than visitors: moderate, answer customers, notify everybody, watch the server. On a machine
// of one's own everybody may; elsewhere a session shows the API key with the request demo.operator {"key":"..."}, each time that it is new.
type Operators struct {
	Everybody func() bool           // nobody needs a key, as for the API
	Valid     func(key string) bool // whether that is a key of the API

	mu    sync.Mutex
	known map[string]bool // sessions that have shown the key; guarded by mu
	order []string        // of known, oldest first; guarded by mu
}

// Check returns nil for the session of an operator, and otherwise what to refuse it with.
func (o *Operators) Check(session string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Everybody() || o.known[session] {
		return nil
	}
	return hub.Errorf(codeNotOperator, "this takes an operator: show a key of the API first")
}

// admit makes the session that of an operator.
func (o *Operators) admit(session, key string) error {
	if o.Everybody() {
		return nil
	}
	if !o.Valid(key) {
		return hub.Errorf(codeNotOperator, "that is not a key of the API (api.keys in the configuration)")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[session] {
		return nil
	}
	if o.known == nil {
		o.known = make(map[string]bool)
	}
	if len(o.order) >= maxOperators {
		delete(o.known, o.order[0])
		o.order = o.order[1:]
	}
	o.known[session] = true
	o.order = append(o.order, session)
	return nil
}

// newOperators makes the app that takes the keys.
func newOperators(env *Env) (*App, error) {
	return &App{Name: "operator", Prefix: Prefix + "operator", Requests: map[string]hub.RequestHandler{
		"": Answering(func(_ context.Context, r *hub.Request, question struct{ Key string }) (struct{}, error) {
			return struct{}{}, env.Operators.admit(r.Session, question.Key)
		}),
	}}, nil
}
