package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	apiKey   = "test-key-0123456789abcdef"
	patience = 10 * time.Second
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// server is the API on a real socket, and what it works on.
type server struct {
	*testing.T
	api     *API
	hub     *hub.Hub
	url     string
	revoked []string
	shed    float64
}

// serve starts the API with one key, and a hub with topics of several kinds.
func serve(t *testing.T, change func(*Config, *Options)) *server {
	t.Helper()
	return serveOn(t, nil, change)
}

// serveOn does so with a broker; nil: one of its own.
func serveOn(t *testing.T, b hub.Broker, change func(*Config, *Options)) *server {
	t.Helper()
	h, err := hub.New(hub.Options{Broker: b, Logger: quiet, Topics: []hub.Rule{
		{Pattern: "chat.>", TopicOptions: hub.TopicOptions{HistoryMessages: 100, Presence: hub.PresenceFull}},
		{Pattern: "scores.>", TopicOptions: hub.TopicOptions{HistoryMessages: 3, Presence: hub.PresenceCount}},
		{Pattern: "small", TopicOptions: hub.TopicOptions{MaxBytes: 10}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	s := &server{T: t, hub: h}
	config := Config{Keys: []string{"another-key-0123456789", apiKey}}
	options := Options{Hub: h, Logger: quiet,
		Revoke: func(_ context.Context, user string) error { s.revoked = append(s.revoked, user); return nil },
		Shed:   func(_ context.Context, fraction float64) (int, error) { s.shed = fraction; return 7, nil },
	}
	if change != nil {
		change(&config, &options)
	}
	if s.api, err = New(config, options); err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(s.api)
	t.Cleanup(listening.Close)
	s.url = listening.URL
	return s
}

// torn is a broker with a node that never answers.
type torn struct{ *hub.MemoryBroker }

func (b torn) Cast(ctx context.Context, n hub.Node, command string, data []byte) ([][]byte, error) {
	answers, _ := b.MemoryBroker.Cast(ctx, n, command, data)
	return answers, hub.Errorf(hub.CodeUnavailable, "node c did not answer")
}

// far is a client of the hub without a connection.
type far struct {
	*hub.Subscriber
	mu       sync.Mutex
	messages []*hub.Message
	ended    chan hub.End
}

func (f *far) Deliver(m *hub.Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, m)
	return true
}

func (f *far) End(why hub.End) { f.ended <- why }

func (f *far) kinds() (kinds []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		kinds = append(kinds, m.Kind.String())
	}
	return kinds
}

// enter connects a user and subscribes to topics.
func (s *server) enter(session, user string, topics ...string) *far {
	s.Helper()
	f := &far{ended: make(chan hub.End, 1)}
	var err error
	f.Subscriber, err = s.hub.Connect(hub.Connecting{
		Session: session, Sink: f,
		Identity: hub.Identity{User: user, Anonymous: user[0] == '~', Info: []byte(`{"name":"` + strings.ToUpper(user[:1]) + user[1:] + `"}`)},
	})
	if err != nil {
		s.Fatal(err)
	}
	for _, topic := range topics {
		got, err := f.Subscribe(s.Context(), topic, hub.SubscribeOptions{})
		if err != nil {
			s.Fatal(err)
		}
		got.Begin()
	}
	return f
}

func (s *server) endOf(f *far) hub.End {
	s.Helper()
	select {
	case why := <-f.ended:
		return why
	case <-time.After(patience):
		s.Fatal("the session was not ended")
		return hub.End{}
	}
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

// do sends a request. A body that is a string is JSON. The header's pairs come after those that every request has.
func (s *server) do(method, path string, body any, header ...string) answer {
	s.Helper()
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader, contentType = bytes.NewReader(b), "application/octet-stream"
	}
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, reader)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	if reader != nil {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			r.Host = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{response, string(content)}
}

// want checks an answer of 200.
func (s *server) want(a answer, into any) {
	s.Helper()
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		s.Fatalf("%s %s", a.Status, a.body)
	}
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		s.Fatalf("%v in %s", err, a.body)
	}
}

// wantError checks a refusal and returns it.
func (s *server) wantError(a answer, status int, code hub.Code, words string) problem {
	s.Helper()
	var told struct{ Error problem }
	if err := json.Unmarshal([]byte(a.body), &told); err != nil {
		s.Fatalf("%v in %q", err, a.body)
	}
	if a.StatusCode != status || told.Error.Code != code || !strings.Contains(told.Error.Message, words) ||
		a.Header.Get("Content-Type") != "application/json" {
		s.Errorf("got %s, %+v; want %d, %s with %q", a.Status, told.Error, status, code, words)
	}
	return told.Error
}
