package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// says checks that an answer of 200 has these parts, in this order.
func (s *server) says(a answer, parts ...string) {
	s.Helper()
	rest := a.body
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if a.StatusCode != 200 || !found {
			s.Errorf("%s %s; want %s", a.Status, a.body, part)
			return
		}
		rest = after
	}
}

// TestNodes: what is asked of one node is about all of them.
func TestNodes(t *testing.T) {
	b := hub.NewMemoryBroker(hub.MemoryOptions{})
	one, two := serveOn(t, b, nil), serveOn(t, b, nil)
	here, there, bob := one.enter("s1", "ann", "chat.lobby"), two.enter("s2", "ann", "chat.lobby", "chat.>"), two.enter("s3", "bob", "chat.lobby")
	one.says(one.do("POST", "/api/publish", `{"topic":"chat.kept","data":1}`), `"offset":1`)
	one.says(one.do("GET", "/api/sessions", nil), `"session":"s1"`, `"session":"s2"`, `"session":"s3"`, `"more":false}`)
	one.says(one.do("GET", "/api/sessions?limit=2&after=s1", nil), `"session":"s2"`, `"session":"s3"`, `"more":false}`)
	one.says(one.do("GET", "/api/sessions?limit=2", nil), `"session":"s1"`, `"session":"s2"`, `"more":true}`)
	one.says(one.do("GET", "/api/sessions?user=bob", nil), `{"sessions":[{"session":"s3"`, `"more":false}`)
	one.says(two.do("GET", "/api/topics", nil), `"topic":"chat.kept","rule":"chat.\u003e","subscribers":0,"messages":1,"offset":1}`,
		`"topic":"chat.lobby","rule":"chat.\u003e","subscribers":3`, `"more":false}`)
	one.says(two.do("GET", "/api/topics?limit=1", nil), `"topic":"chat.kept"`, `"more":true}`)
	one.says(one.do("GET", "/api/presence?topic=chat.lobby", nil), `{"count":2,"connections":3,`)
	one.says(one.do("GET", "/api/history?topic=chat.kept", nil), `"data":1`)

	one.says(one.do("POST", "/api/unsubscribe", `{"user":"ann","topic":"chat.lobby"}`), `{"subscriptions":2}`)
	one.says(one.do("POST", "/api/disconnect", `{"user":"ann"}`), `{"sessions":2}`)
	for _, f := range []*far{here, there} {
		if why := one.endOf(f); why.Code != hub.EndDisconnected {
			t.Errorf("ended with %+v", why)
		}
	}
	one.says(one.do("POST", "/api/revoke", `{"user":"bob"}`), `{"sessions":1}`)
	if why := one.endOf(bob); why.Code != hub.EndTokenRevoked {
		t.Errorf("ended with %+v", why)
	}
	one.says(one.do("POST", "/api/shed", `{"fraction":0.5}`), `{"sessions":7}`)
	if two.shed != 0 {
		t.Error("the other node sheds too")
	}
	one.says(one.do("POST", "/api/shed", `{"fraction":0.25,"all":true}`), `{"sessions":14}`)
	if one.shed != 0.25 || two.shed != 0.25 {
		t.Errorf("shed %v and %v", one.shed, two.shed)
	}
}

// TestNodesThatDoNotAnswer: what they were to do is an error, and what they were to say is said to be missing.
func TestNodesThatDoNotAnswer(t *testing.T) {
	b := torn{hub.NewMemoryBroker(hub.MemoryOptions{})}
	one, two := serveOn(t, b, nil), serveOn(t, b, nil)
	for _, path := range []string{"/api/disconnect", "/api/revoke"} {
		one.enter("s1", "ann", "chat.lobby")
		two.enter("s2", "ann", "chat.lobby")
		a := one.do("POST", path, `{"user":"ann"}`)
		one.wantError(a, 503, hub.CodeUnavailable, "2 were ended, but not everywhere, so ask again: node c did not answer")
	}
	one.enter("s1", "ann", "chat.lobby")
	a := one.do("POST", "/api/unsubscribe", `{"user":"ann","topic":"chat.lobby"}`)
	one.wantError(a, 503, hub.CodeUnavailable, "2 were ended, but not everywhere")
	one.says(one.do("GET", "/api/topics", nil), `"incomplete":"node c did not answer"`)
	one.says(one.do("GET", "/api/sessions", nil), `"session":"s1"`, `"incomplete":"node c did not answer"`)
	one.says(one.do("POST", "/api/shed", `{"fraction":1,"all":true}`), `{"sessions":14,"incomplete":"node c did not answer"}`)
}

// TestReserved: nobody reaches the topics with which nodes talk among themselves.
func TestReserved(t *testing.T) {
	s := serve(t, nil)
	board, err := s.hub.Board(t.Context(), "revoked", func([]byte, time.Time) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := board.Post(t.Context(), "ann", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]any{
		"/api/publish": `{"topic":"$revoked.x","data":1}`, "/api/history?topic=$revoked.x": nil, "/api/presence?topic=$revoked.x": nil,
		"/api/topics?pattern=$revoked.*": nil,
	} {
		method := "POST"
		if body == nil {
			method = "GET"
		}
		s.wantError(s.do(method, path, body), 400, hub.CodeBadTopic, "the server's own")
	}
	s.says(s.do("POST", "/api/broadcast", `{"topics":["$revoked.x"],"data":1}`), `"code":"bad-topic"`)
	s.says(s.do("GET", "/api/topics", nil), `{"topics":[],"more":false}`)
	f := s.enter("s1", "ann", ">")
	for _, topic := range []string{"$revoked.x", "$revoked.*", "$>", "$"} {
		_, err := f.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
		if !errors.Is(err, &hub.Error{Code: hub.CodeBadTopic}) {
			t.Errorf("%s: %v", topic, err)
		}
	}
	if err := board.Post(t.Context(), "bob", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	got, err := f.Subscribe(t.Context(), "*.*", hub.SubscribeOptions{Last: 10})
	if err != nil {
		t.Fatal(err)
	}
	got.Begin()
	if kinds := f.kinds(); len(kinds) != 0 {
		t.Errorf("heard %q", kinds)
	}
}
