package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/api"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

const apiKey = "test-key-0123456789abcdef"

// site is a server with tokens, sessions and the API on a real socket.
type site struct {
	*testing.T
	auth *Authenticator
	url  string
}

func startSite(t *testing.T, c Config) *site {
	t.Helper()
	a := newAuth(t, c)
	h, err := hub.New(hub.Options{Logger: quiet, Topics: []hub.Rule{
		{Pattern: "chat.>", TopicOptions: hub.TopicOptions{Subscribe: hub.Granted, Publish: hub.Granted}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	interfaces, err := api.New(api.Config{Keys: []string{apiKey}}, api.Options{Hub: h, Revoke: a.Revoke, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", session.New(h, session.Options{Authenticate: a.Guard(a.Authenticate), Logger: quiet}))
	mux.Handle("/api/", interfaces)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &site{t, a, server.URL}
}

// visitor is a client with its connection.
type visitor struct {
	*websocket.Conn
	t *testing.T
}

type frame struct {
	Type, Code, User, Topic, Message string
	Expires                          int64
	Reconnect                        bool
}

func (s *site) dial(header http.Header, subprotocols ...string) *visitor {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	conn, err := websocket.Dial(ctx, strings.Replace(s.url, "http", "ws", 1)+"/ws", &websocket.DialOptions{
		Header: header, Options: websocket.Options{Subprotocols: append([]string{session.Subprotocol}, subprotocols...)},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.CloseNow() })
	return &visitor{conn, s.T}
}

func (v *visitor) say(command any) {
	v.t.Helper()
	text, err := json.Marshal(command)
	if err == nil {
		err = v.Write(v.t.Context(), websocket.Text, text)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) hear() frame {
	v.t.Helper()
	f, err := v.next()
	if err != nil {
		v.t.Fatal(err)
	}
	return f
}

func (v *visitor) next() (f frame, err error) {
	ctx, cancel := context.WithTimeout(v.t.Context(), 20*time.Second)
	defer cancel()
	_, p, err := v.Read(ctx)
	if err == nil {
		err = json.Unmarshal(p, &f)
	}
	return f, err
}

// end reads until the connection is closed, which must be with that code after that disconnect.
func (v *visitor) end(status websocket.StatusCode, code string) {
	v.t.Helper()
	var last frame
	for {
		f, err := v.next()
		if err != nil {
			if websocket.CloseStatus(err) != status || last.Type != "disconnect" || last.Code != code || last.Reconnect {
				v.t.Errorf("it ended with %v after %+v; want %d, %s", err, last, status, code)
			}
			return
		}
		last = f
	}
}

// enter connects with a token and checks whom the server takes it for.
func (s *site) enter(token, user string) *visitor {
	s.Helper()
	v := s.dial(nil)
	v.say(map[string]any{"type": "connect", "id": 1, "token": token})
	if f := v.hear(); f.Type != "reply" || f.User != user {
		s.Fatalf("got %+v, want %s", f, user)
	}
	return v
}

// isRefused connects with a token, which must be refused with that code.
func (s *site) isRefused(token string, code hub.Code, status websocket.StatusCode, closing string) {
	s.Helper()
	v := s.dial(nil)
	v.say(map[string]any{"type": "connect", "id": 1, "token": token})
	if f := v.hear(); f.Type != "error" || f.Code != string(code) {
		s.Errorf("got %+v, want %s", f, code)
	}
	v.end(status, closing)
}

func TestSessionsWithTokens(t *testing.T) {
	c := withSecret(t)
	c.Cookie = "token"
	s := startSite(t, c)
	token := hs256(t, nil)
	for name, v := range map[string]*visitor{
		"header":      s.dial(http.Header{"Authorization": {"Bearer " + token}}),
		"cookie":      s.dial(http.Header{"Cookie": {"token=" + token}}),
		"subprotocol": s.dial(nil, "duplex.token."+token),
	} {
		v.say(map[string]any{"type": "connect", "id": 1})
		if f := v.hear(); f.User != "ann" || v.Subprotocol() != session.Subprotocol || f.Expires == 0 {
			t.Errorf("%s: %+v, subprotocol %q", name, f, v.Subprotocol())
		}
	}
	bystander := s.enter(token, "ann")
	rsa := signers()[RS256]
	for _, c := range []struct {
		token string
		code  hub.Code
	}{
		{"", hub.CodeTokenMissing},
		{"nonsense", hub.CodeTokenInvalid},
		{sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil), hub.CodeTokenInvalid},
		{sign(t, jwt.SigningMethodHS256, rsa.pem(), nil, nil), hub.CodeTokenInvalid},
		{hs256(t, say{"exp": 1}), hub.CodeTokenExpired},
		{hs256(t, say{"sub": "a\x00b"}), hub.CodeTokenInvalid},
		{hs256(t, say{"topics": grants(300)}), hub.CodeTokenInvalid},
	} {
		s.isRefused(c.token, c.code, 4401, string(c.code))
	}
	s.isRefused(strings.Repeat("x", MaxToken+1), hub.CodeTooLarge, 4403, "forbidden")
	bystander.say(map[string]any{"type": "ping", "id": 2})
	if f := bystander.hear(); f.Type != "reply" {
		t.Errorf("the bystander: %+v", f)
	}
}

func TestSessionPermissionsAndRefresh(t *testing.T) {
	s := startSite(t, withSecret(t))
	expires := time.Now().Add(2 * time.Second).Truncate(time.Second)
	v := s.enter(hs256(t, say{"exp": expires.Unix(), "topics": map[string]any{"chat.a.>": []string{"subscribe"}}}), "ann")
	ask := func(command map[string]any, typ string, code hub.Code) frame {
		t.Helper()
		command["id"] = 2
		v.say(command)
		f := v.hear()
		if f.Type != typ || f.Code != string(code) {
			t.Fatalf("%v: %+v", command, f)
		}
		return f
	}
	ask(map[string]any{"type": "subscribe", "topic": "chat.a.*"}, "reply", "")
	ask(map[string]any{"type": "subscribe", "topic": "chat.*.*"}, "error", hub.CodeForbidden)
	ask(map[string]any{"type": "subscribe", "topic": "chat.b"}, "error", hub.CodeForbidden)
	ask(map[string]any{"type": "publish", "topic": "chat.a.x", "data": 1}, "error", hub.CodeForbidden)
	ask(map[string]any{"type": "refresh", "token": hs256(t, say{"sub": "bob"})}, "error", hub.CodeTokenInvalid)
	ask(map[string]any{"type": "refresh", "token": hs256(t, say{"exp": 1})}, "error", hub.CodeTokenExpired)
	ask(map[string]any{"type": "refresh"}, "error", hub.CodeTokenMissing)
	later := time.Now().Add(3 * time.Second).Truncate(time.Second)
	v.say(map[string]any{"type": "refresh", "id": 3, "token": hs256(t, say{"exp": later.Unix()})})
	reply, unsubscribed := v.hear(), v.hear()
	if reply.Type != "reply" {
		reply, unsubscribed = unsubscribed, reply
	}
	if reply.Expires != later.UnixMilli() || unsubscribed.Type != "unsubscribed" || unsubscribed.Topic != "chat.a.*" {
		t.Errorf("got %+v and %+v", reply, unsubscribed)
	}
	v.end(4401, "token-expired")
	if now := time.Now(); now.Before(later) || now.After(later.Add(3*time.Second)) {
		t.Errorf("it ended at %v, and the token at %v", now, later)
	}
}

func TestSessionsOfRevokedUsers(t *testing.T) {
	s := startSite(t, withSecret(t))
	token, other := hs256(t, nil), hs256(t, say{"sub": "bob"})
	var anns []*visitor
	for range 20 {
		anns = append(anns, s.enter(token, "ann"))
	}
	bob := s.enter(other, "bob")
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/revoke", strings.NewReader(`{"user":"ann"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-Api-Key": {apiKey}, "Content-Type": {"application/json"}}
	began := time.Now()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != `{"sessions":20}`+"\n" {
		t.Errorf("%s, %v", body, err)
	}
	for _, v := range anns {
		v.end(4401, "token-revoked")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	s.isRefused(token, hub.CodeTokenRevoked, 4401, "token-revoked")
	s.enter(hs256(t, say{"iat": time.Now().Add(time.Second).Unix()}), "ann")
	bob.say(map[string]any{"type": "ping", "id": 2})
	if f := bob.hear(); f.Type != "reply" {
		t.Errorf("bob: %+v", f)
	}
}

func TestReplayedTokens(t *testing.T) {
	c := withSecret(t)
	c.SingleUse = true
	s := startSite(t, c)
	for i := range 3 {
		token := hs256(t, say{"jti": fmt.Sprint(i)})
		s.enter(token, "ann")
		s.isRefused(token, hub.CodeTokenInvalid, 4401, "token-invalid")
	}
}
