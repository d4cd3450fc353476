package uploads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// page is a running server part, with the service inside for what tests have to break.
type page struct {
	*hub.Hub
	app *showcase.App
	mux *http.ServeMux
	dir string
	end func()
}

func startPage(t *testing.T, data string, l limits) *page {
	t.Helper()
	env := &showcase.Env{Data: data, Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{Everybody: func() bool { return true }}}
	p := &page{mux: http.NewServeMux(), dir: filepath.Join(data, "showcase", "uploads")}
	s, err := showcase.New(env, func(env *showcase.Env) (*showcase.App, error) {
		var err error
		p.app, err = newApp(env, l)
		return p.app, err
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	p.Hub = h
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	s.Register(p.mux, nil)
	closed := false
	p.end = func() {
		if !closed {
			closed = true
			s.Close()
			h.Close()
		}
	}
	t.Cleanup(p.end)
	return p
}

type inbox chan *hub.Message

func (i inbox) Deliver(m *hub.Message) bool {
	select {
	case i <- m:
		return true
	default:
		return false
	}
}
func (i inbox) End(hub.End) {}

// visitor is a window: key says whose.
type visitor struct {
	*hub.Subscriber
	inbox
	key string
}

func (p *page) visit(t *testing.T, session, key string) visitor {
	t.Helper()
	v := visitor{inbox: make(inbox, 1000), key: key}
	sub, err := p.Connect(hub.Connecting{Session: session, Sink: v.inbox, Identity: hub.Identity{User: "~" + session, Anonymous: true, Info: []byte(`{"name":"Ann"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	v.Subscriber = sub
	return v
}

const annsKey, bobsKey = "anns-very-random-key-0001", "bobs-very-random-key-0002"

// refusal waits for an answer, and returns the refusal if it is one.
func refusal(p *hub.Pending, err error, answer any) (*hub.Error, error) {
	if err != nil {
		return nil, err
	}
	reply, err := p.Wait()
	if refused := new(hub.Error); errors.As(err, &refused) {
		return refused, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, json.Unmarshal(reply.Data, answer)
}

func (v visitor) ask(t *testing.T, method string, question map[string]any, answer any) *hub.Error {
	t.Helper()
	if question["key"] == nil {
		question["key"] = v.key
	}
	data, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Request(t.Context(), "demo.uploads."+method, data, false)
	refused, err := refusal(p, err, answer)
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

func (v visitor) begin(t *testing.T, name string, content []byte) (b begun) {
	t.Helper()
	if refused := v.ask(t, "begin", describe(name, content), &b); refused != nil {
		t.Fatal(refused)
	}
	return b
}

func describe(name string, content []byte) map[string]any {
	return map[string]any{"name": name, "size": len(content), "modified": int64(1763726400000), "head": sum(content[:min(len(content), 64<<10)])}
}

func sum(p []byte) string {
	s := sha256.Sum256(p)
	return hex.EncodeToString(s[:])
}

func chunkOf(id string, at int64, p []byte) []byte {
	raw, _ := hex.DecodeString(id)
	return append(binary.BigEndian.AppendUint64(raw, uint64(at)), p...)
}

// send sends one chunk and waits for its answer.
func (v visitor) send(ctx context.Context, id string, at int, p []byte) (offset int, refused *hub.Error, err error) {
	var answer struct{ Offset int }
	pending, err := v.Request(ctx, "demo.uploads.chunk", chunkOf(id, int64(at), p), true)
	refused, err = refusal(pending, err, &answer)
	return answer.Offset, refused, err
}

// sendAll sends what is missing, in chunks of an odd size.
func (v visitor) sendAll(t *testing.T, b begun, content []byte) {
	t.Helper()
	for at := int(b.Offset); at < len(content); {
		offset, refused, err := v.send(t.Context(), b.ID, at, content[at:min(len(content), at+333_333)])
		if refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		at = offset
	}
}

func (v visitor) finish(t *testing.T, id string, content []byte) (f file) {
	t.Helper()
	if refused := v.ask(t, "finish", map[string]any{"id": id, "sha256": sum(content)}, &f); refused != nil {
		t.Fatal(refused)
	}
	return f
}

func (v visitor) follow(t *testing.T, topic string) {
	t.Helper()
	s, err := v.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Begin()
}

// next waits for what is published.
func (v visitor) next(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal((<-v.inbox).Data, into); err != nil {
		t.Fatal(err)
	}
}

// left lists what is on disk.
func (p *page) left(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		_, suffix, _ := strings.Cut(e.Name(), ".")
		names = append(names, suffix)
	}
	return strings.Join(names, " ")
}

// noise is content that is not the same anywhere.
func noise(n int, seed string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		s := sha256.Sum256(fmt.Append(nil, seed, i))
		b.Write(s[:])
	}
	return b.Bytes()[:n]
}
