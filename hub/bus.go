package hub

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// CommandHandler does a command that another node has sent. The answer is for the node that asked; nil if there is nothing to say.
type CommandHandler func(data []byte) (answer []byte)

// commands are what other nodes may have this one do.
type commands struct {
	mu  sync.RWMutex
	all map[string]CommandHandler
}

// HandleCommand makes f do the commands with this name that other nodes send with Command. Names with the prefix "hub." are the hub's own.
func (h *Hub) HandleCommand(name string, f CommandHandler) {
	h.commands.mu.Lock()
	defer h.commands.mu.Unlock()
	if h.commands.all == nil {
		h.commands.all = make(map[string]CommandHandler)
	}
	h.commands.all[name] = f
}

// Command has all other nodes do a command, and returns their answers. The error names the nodes that did not answer before ctx
// ended; the answers of the rest come with it.
func (h *Hub) Command(ctx context.Context, name string, data []byte) (answers [][]byte, err error) {
	return h.broker.Cast(ctx, h, name, data)
}

// Do implements Node: it is for the broker. A command that is not known here is one of a newer version; it is answered with nothing.
func (h *Hub) Do(command string, data []byte) (answer []byte) {
	h.commands.mu.RLock()
	f := h.commands.all[command]
	h.commands.mu.RUnlock()
	if f == nil {
		f = h.own(command)
	}
	if f == nil {
		h.options.Logger.Warn("another node sends a command that is not known here", "command", command)
		return nil
	}
	if err := h.ask(func() error { answer = f(data); return nil }); err != nil { // a panic, which has been logged
		return nil
	}
	return answer
}

// remoteRequest is a Request on its way to another node, and remoteReply its answer. They are JSON, and so is Identity with the names of
// its fields; a release may add fields, and leaves those of others alone.
type remoteRequest struct {
	Session  string        `json:"session"`
	Identity *Identity     `json:"identity"`
	Data     []byte        `json:"data,omitempty"`
	Binary   bool          `json:"binary,omitempty"`
	Timeout  time.Duration `json:"timeout"` // nanoseconds; 0: as the broker sees fit
}

type remoteReply struct {
	Data   []byte       `json:"data,omitempty"`
	Binary bool         `json:"binary,omitempty"`
	Error  *remoteError `json:"error,omitempty"`
}

// remoteError is an *Error on its way: the error itself is not for the wire.
type remoteError struct {
	Code    Code          `json:"code"`
	Message string        `json:"message"`
	Retry   time.Duration `json:"retry,omitempty"`
}

// elsewhere answers a request by asking a node that has a handler for it.
func (h *Hub) elsewhere(ctx context.Context, r *Request) (Reply, error) {
	remote := remoteRequest{r.Session, r.Identity, r.Data, r.Binary, 0}
	if deadline, has := ctx.Deadline(); has {
		remote.Timeout = time.Until(deadline)
	}
	data, err := json.Marshal(remote)
	if err != nil {
		return Reply{}, err
	}
	answer, err := h.broker.Call(ctx, h, r.Method, data)
	if err != nil {
		return Reply{}, err
	}
	var reply remoteReply
	if err := json.Unmarshal(answer, &reply); err != nil {
		return Reply{}, err
	}
	if e := reply.Error; e != nil {
		return Reply{}, &Error{e.Code, e.Message, e.Retry}
	}
	return Reply{reply.Data, reply.Binary}, nil
}

// Answer implements Node: it is for the broker.
func (h *Hub) Answer(ctx context.Context, method string, data []byte) (answer []byte) {
	var remote remoteRequest
	var reply Reply
	err := h.ask(func() error {
		if err := json.Unmarshal(data, &remote); err != nil {
			return err
		}
		f := h.handlers.of(method)
		if f == nil {
			return Errorf(CodeUnknownMethod, "nobody answers %s", method)
		}
		if remote.Timeout > 0 {
			within, cancel := context.WithTimeout(ctx, remote.Timeout)
			defer cancel()
			ctx = within
		}
		var err error
		reply, err = f(ctx, &Request{method, remote.Session, remote.Identity, remote.Data, remote.Binary})
		return reply.judge(method, err)
	})
	result := remoteReply{Data: reply.Data, Binary: reply.Binary}
	if err != nil {
		var known *Error
		errors.As(err, &known) // ask returns nothing else
		result = remoteReply{Error: &remoteError{known.Code, known.Message, known.Retry}}
	}
	answer, _ = json.Marshal(result) // it has nothing that could fail
	return answer
}
