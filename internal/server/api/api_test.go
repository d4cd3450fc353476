package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

func TestPublish(t *testing.T) {
	s := serve(t, nil)
	ann := s.enter("s1", "ann", "chat.lobby")
	var first, again, bytes receipt
	body := `{"topic":"chat.lobby","data":{"text":"hi"},"key":"k","messageId":"m1","meta":{"lang":"en"}}`
	s.want(s.do("POST", "/api/publish", body), &first)
	s.want(s.do("POST", "/api/publish", body, "Content-Type", "application/json; charset=utf-8"), &again)
	if first.Epoch == "" || first.Offset == 0 || first.Duplicate || !again.Duplicate || again.Offset != first.Offset {
		t.Errorf("got %+v, then %+v", first, again)
	}
	s.want(s.do("POST", "/api/publish?topic=chat.lobby&key=f&meta=%7B%22name%22%3A%22a.png%22%7D", []byte{1, 2, 0xff}), &bytes)
	s.want(s.do("POST", "/api/publish", `{"topic":"chat.lobby","data":null,"key":null,"meta":null}`), &bytes)
	s.want(s.do("POST", "/api/publish", `{"topic":"chat.lobby","base64":"AQL/"}`), &bytes)
	s.want(s.do("POST", "/api/publish", `{"topic":"chat.lobby","base64":""}`), &bytes)
	ann.mu.Lock()
	defer ann.mu.Unlock()
	if len(ann.messages) != 5 {
		t.Fatalf("%d messages", len(ann.messages))
	}
	for i, want := range []hub.Publication{
		{Data: []byte(`{"text":"hi"}`), Key: "k", ID: "m1", Meta: []byte(`{"lang":"en"}`)},
		{Data: []byte{1, 2, 0xff}, Binary: true, Key: "f", Meta: []byte(`{"name":"a.png"}`)},
		{Data: []byte(`null`)}, {Data: []byte{1, 2, 0xff}, Binary: true}, {Data: []byte{}, Binary: true},
	} {
		m := ann.messages[i]
		if string(m.Data) != string(want.Data) || m.Binary != want.Binary || m.Key != want.Key || m.ID != want.ID ||
			string(m.Meta) != string(want.Meta) || m.From.User != "" {
			t.Errorf("message %d: %+v", i, m)
		}
	}
}

func TestBroadcast(t *testing.T) {
	s := serve(t, nil)
	var got struct{ Results []outcome }
	s.want(s.do("POST", "/api/broadcast", `{"topics":["chat.a","bad..topic","chat.b","small"],"data":"0123456789","messageId":"1"}`), &got)
	r := got.Results
	if len(r) != 4 || r[0].Topic != "chat.a" || r[0].Error != nil || r[2].Offset <= r[0].Offset ||
		r[1].Error == nil || r[1].Error.Code != hub.CodeBadTopic || r[3].Error == nil || r[3].Error.Code != hub.CodeTooLarge ||
		r[3].Topic != "small" {
		t.Errorf("got %+v", r)
	}
	s.wantError(s.do("POST", "/api/broadcast", `{"topics":[],"data":1}`), 400, hub.CodeBadRequest, "topics is missing")
	s.wantError(s.do("POST", "/api/broadcast", `{"topics":["a","b","a"],"data":1}`), 400, hub.CodeBadRequest, `"a" is there twice`)
	many := `{"topics":["t0"` + strings.Repeat(`,"x"`, 1000) + `],"data":1}`
	s.wantError(s.do("POST", "/api/broadcast", many), 400, hub.CodeBadRequest, "at most 1000 are allowed, not 1001")
}

func TestHistory(t *testing.T) {
	s := serve(t, nil)
	var at [6]uint64
	for i := 1; i <= 5; i++ {
		got, err := s.hub.Publish(t.Context(), "chat.lobby", hub.Publication{Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		at[i] = got.Offset
	}
	ann := s.enter("s1", "ann")
	if _, err := ann.Publish(t.Context(), "chat.lobby", hub.Publication{Data: []byte{0xff}, Binary: true, ID: "m", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	type page struct {
		Epoch      string
		Messages   []message
		More, Lost bool
	}
	ask := func(query string) (p page) {
		t.Helper()
		s.want(s.do("GET", "/api/history?topic=chat.lobby"+query, nil), &p)
		return p
	}
	all := ask("")
	if last := all.Messages[5]; len(all.Messages) != 6 || all.More || last.Base64 == nil || string(*last.Base64) != "\xff" || last.Data != nil ||
		last.From.User != "ann" || string(last.From.Info) != `{"name":"Ann"}` || last.ID != "m" || last.Key != "k" ||
		last.Time < time.Now().Add(-time.Minute).UnixMilli() {
		t.Errorf("got %+v", all)
	}
	if m := all.Messages[0]; m.From != nil || string(m.Data) != "1" || m.Base64 != nil || m.Offset != at[1] {
		t.Errorf("got %+v", m)
	}
	if p := ask(fmt.Sprintf("&limit=2&before=%d", at[4])); len(p.Messages) != 2 || p.Messages[1].Offset != at[3] || !p.More ||
		p.Epoch != all.Epoch {
		t.Errorf("backwards: %+v", p)
	}
	if p := ask(fmt.Sprintf("&limit=2&after=%d&epoch=%s", at[1], all.Epoch)); len(p.Messages) != 2 || p.Messages[0].Offset != at[2] ||
		!p.More || p.Lost {
		t.Errorf("forwards: %+v", p)
	}
	if p := ask("&after=1&epoch=old"); !p.Lost || len(p.Messages) != 6 {
		t.Errorf("another epoch: %+v", p)
	}
	if p := ask("&after=0"); len(p.Messages) != 6 {
		t.Errorf("from the beginning: %+v", p)
	}
	for query, words := range map[string]string{
		"": "topic is missing", "?topic=chat.lobby&limit=0": "limit: 1 to 1000, not 0", "?topic=chat.lobby&limit=1001": "not 1001",
		"?topic=chat.lobby&limit=x": "limit: a whole number is needed", "?topic=chat.lobby&before=-1": "before: a whole number is needed",
		"?topic=chat.lobby&before=5&after=5": "two directions", "?topic=chat.lobby&before=0": "before 0",
		"?topic=chat.lobby&lmit=1": `there is no parameter "lmit"; did you mean "limit"?`,
		"?topic=a&topic=b":         "topic is there 2 times", "?topic=%ff": "topic is not UTF-8", "?a;b": "cannot be read", "?%zz": "cannot be read",
	} {
		s.wantError(s.do("GET", "/api/history"+query, nil), 400, hub.CodeBadRequest, words)
	}
	s.wantError(s.do("GET", "/api/history?topic=chat.*", nil), 400, hub.CodeBadTopic, "")
	s.wantError(s.do("GET", "/api/history?topic=other", nil), 404, hub.CodeNoHistory, "other keeps no history")
}

func TestPresence(t *testing.T) {
	s := serve(t, nil)
	s.enter("s1", "ann", "chat.lobby", "scores.a")
	s.enter("s2", "ann", "chat.lobby")
	s.enter("s3", "~x", "chat.lobby")
	type who struct {
		Count, Connections int
		Users              *[]present
	}
	var got, counted, nobody who
	s.want(s.do("GET", "/api/presence?topic=chat.lobby", nil), &got)
	if got.Count != 2 || got.Connections != 3 || got.Users == nil || len(*got.Users) != 2 || (*got.Users)[0].User != "ann" ||
		(*got.Users)[0].Connections != 2 || string((*got.Users)[1].Info) != `{"name":"~x"}` {
		t.Errorf("got %+v", got)
	}
	s.want(s.do("GET", "/api/presence?topic=scores.a", nil), &counted)
	s.want(s.do("GET", "/api/presence?topic=chat.empty", nil), &nobody)
	if counted.Count != 1 || counted.Users != nil || nobody.Count != 0 || nobody.Users == nil || len(*nobody.Users) != 0 {
		t.Errorf("got %+v, %+v", counted, nobody)
	}
	s.wantError(s.do("GET", "/api/presence?topic=other", nil), 404, hub.CodeNoPresence, "")
	s.wantError(s.do("GET", "/api/presence", nil), 400, hub.CodeBadRequest, "topic is missing")
}

func TestLists(t *testing.T) {
	s := serve(t, nil)
	before := time.Now().UnixMilli()
	s.enter("s1", "ann", "chat.a", "chat.b", "quotes.>")
	s.enter("s2", "ann")
	s.enter("s3", "~x", "chat.b")
	if _, err := s.hub.Publish(t.Context(), "scores.x", hub.Publication{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	type topicPage struct {
		Topics []topicInfo
		More   bool
	}
	var all, some, none topicPage
	s.want(s.do("GET", "/api/topics", nil), &all)
	if len(all.Topics) != 3 || all.More || all.Topics[1].Topic != "chat.b" || all.Topics[1].Subscribers != 2 || all.Topics[1].Rule != "chat.>" ||
		all.Topics[2].Topic != "scores.x" || all.Topics[2].Messages != 1 || all.Topics[2].Offset == 0 {
		t.Errorf("got %+v", all)
	}
	s.want(s.do("GET", "/api/topics?pattern=chat.*&after=chat.a&limit=1", nil), &some)
	s.want(s.do("GET", "/api/topics?pattern=none", nil), &none)
	if len(some.Topics) != 1 || some.Topics[0].Topic != "chat.b" || none.Topics == nil || len(none.Topics) != 0 {
		t.Errorf("got %+v, %+v", some, none)
	}
	s.wantError(s.do("GET", "/api/topics?pattern=a..b", nil), 400, hub.CodeBadTopic, "")

	type sessionPage struct {
		Sessions []sessionInfo
		More     bool
	}
	var anns, two, nobody sessionPage
	s.want(s.do("GET", "/api/sessions?user=ann", nil), &anns)
	if len(anns.Sessions) != 2 || anns.Sessions[0].ID() != "s1" ||
		!reflect.DeepEqual(anns.Sessions[0].Topics, []string{"chat.a", "chat.b", "quotes.>"}) ||
		anns.Sessions[0].Since < before || anns.Sessions[1].Topics == nil || anns.Sessions[0].Anonymous {
		t.Errorf("got %+v", anns)
	}
	s.want(s.do("GET", "/api/sessions?after=s1&limit=1", nil), &two)
	s.want(s.do("GET", "/api/sessions?user=bob", nil), &nobody)
	if len(two.Sessions) != 1 || two.Sessions[0].ID() != "s2" || !two.More || nobody.Sessions == nil {
		t.Errorf("got %+v, %+v", two, nobody)
	}
	s.want(s.do("GET", "/api/sessions?session=s3", nil), &two)
	if len(two.Sessions) != 1 || !two.Sessions[0].Anonymous {
		t.Errorf("got %+v", two)
	}
	s.wantError(s.do("GET", "/api/sessions?limit=5000", nil), 400, hub.CodeBadRequest, "limit")
}

// ID is the session's id, which its JSON calls session.
func (s sessionInfo) ID() string { return s.Session }

func TestDisconnect(t *testing.T) {
	s := serve(t, nil)
	ann1, ann2, bob := s.enter("s1", "ann"), s.enter("s2", "ann"), s.enter("s3", "bob")
	var n endedSessions
	s.want(s.do("POST", "/api/disconnect", `{"session":"s1"}`), &n)
	if why := s.endOf(ann1); n.Sessions != 1 || why.Code != hub.EndDisconnected || why.Reconnect || why.Message == "" {
		t.Errorf("%d, %+v", n.Sessions, why)
	}
	s.want(s.do("POST", "/api/disconnect", `{"user":"ann","message":"bye","reconnect":true,"after":1500}`), &n)
	if why := s.endOf(ann2); n.Sessions != 1 || !why.Reconnect || why.After != 1500*time.Millisecond || why.Message != "bye" {
		t.Errorf("%d, %+v", n.Sessions, why)
	}
	s.want(s.do("POST", "/api/disconnect", `{"user":"ann","session":"s3"}`), &n)
	if n.Sessions != 0 || len(bob.ended) != 0 {
		t.Errorf("bob's session is none of ann's")
	}
	for body, words := range map[string]string{
		`{}`:                                     "user or session is missing",
		`{"user":"","session":""}`:               "user or session is missing",
		`{"user":"ann","after":1}`:               "needs reconnect",
		`{"user":"ann","after":-1}`:              "after: 0 to 3600000 milliseconds",
		`{"user":"ann","after":1.5}`:             "after: a whole number is needed",
		`{"user":"ann","reconnect":"yes"}`:       "reconnect: true or false is needed",
		`{"user":7}`:                             "user: a string is needed",
		`{"user":"ann","reason":"x"}`:            `there is no field "reason"`,
		`{"User":"ann"}`:                         `did you mean "user"?`,
		`{"sesion":"s1"}`:                        `did you mean "session"?`,
		`["ann"]`:                                "the body is a JSON object",
		`null`:                                   "the body is a JSON object",
		``:                                       "the body is a JSON object",
		`{"user":"ann"`:                          "the body is not JSON",
		`{"user":"ann"} x`:                       "the body is not JSON",
		"{\"user\":\"\xff\"}":                    "not UTF-8",
		`{"` + strings.Repeat("x", 100) + `":1}`: "there are after, message",
	} {
		s.wantError(s.do("POST", "/api/disconnect", body), 400, hub.CodeBadRequest, words)
	}
	s.wantError(s.do("POST", "/api/disconnect", `{"user":"ann","message":"`+strings.Repeat("x", 121)+`"}`), 413, hub.CodeTooLarge,
		"message: at most 120")
	s.wantError(s.do("POST", "/api/disconnect?user=bob", `{"user":"ann"}`), 400, hub.CodeBadRequest, "takes no query")
	if len(bob.ended) != 0 {
		t.Error("bob was disconnected by a wrong request")
	}
}

func TestUnsubscribe(t *testing.T) {
	s := serve(t, nil)
	ann := s.enter("s1", "ann", "chat.a", "chat.*")
	var n struct{ Subscriptions int }
	s.want(s.do("POST", "/api/unsubscribe", `{"user":"ann","topic":"chat.*"}`), &n)
	if n.Subscriptions != 1 || !reflect.DeepEqual(ann.kinds(), []string{"unsubscribed"}) || ann.messages[0].Reason.Code != hub.CodeForbidden {
		t.Errorf("%d, %v", n.Subscriptions, ann.kinds())
	}
	s.want(s.do("POST", "/api/unsubscribe", `{"session":"s1","topic":"other","message":"x"}`), &n)
	if n.Subscriptions != 0 {
		t.Errorf("%d", n.Subscriptions)
	}
	s.wantError(s.do("POST", "/api/unsubscribe", `{"user":"ann"}`), 400, hub.CodeBadRequest, "topic is missing")
	s.wantError(s.do("POST", "/api/unsubscribe", `{"topic":"chat.a"}`), 400, hub.CodeBadRequest, "user or session")
	s.wantError(s.do("POST", "/api/unsubscribe", `{"user":"ann","topic":"a..b"}`), 400, hub.CodeBadTopic, "")
}

func TestRevoke(t *testing.T) {
	s := serve(t, nil)
	ann1, ann2 := s.enter("s1", "ann"), s.enter("s2", "ann")
	bob := s.enter("s3", "bob")
	began := time.Now()
	var n endedSessions
	s.want(s.do("POST", "/api/revoke", `{"user":"ann"}`), &n)
	for _, f := range []*far{ann1, ann2} {
		if why := s.endOf(f); why.Code != hub.EndTokenRevoked || why.Reconnect {
			t.Errorf("%+v", why)
		}
	}
	if took := time.Since(began); n.Sessions != 2 || len(bob.ended) != 0 || !reflect.DeepEqual(s.revoked, []string{"ann"}) ||
		took > time.Second {
		t.Errorf("%d sessions, %v in %v", n.Sessions, s.revoked, took)
	}
	s.wantError(s.do("POST", "/api/revoke", `{}`), 400, hub.CodeBadRequest, "user is missing")

	full := serve(t, func(_ *Config, o *Options) {
		o.Revoke = func(context.Context, string) error { return hub.Errorf(hub.CodeUnavailable, "no more fit") }
		o.Shed = nil
	})
	carl := full.enter("s1", "carl")
	full.wantError(full.do("POST", "/api/revoke", `{"user":"carl"}`), 503, hub.CodeUnavailable, "no more fit")
	if len(carl.ended) != 0 {
		t.Error("it was disconnected, and may come back")
	}
	full.wantError(full.do("POST", "/api/shed", `{"fraction":1}`), 503, hub.CodeUnavailable, "cannot shed")
	none := serve(t, func(_ *Config, o *Options) { o.Revoke = nil })
	none.wantError(none.do("POST", "/api/revoke", `{"user":"carl"}`), 503, hub.CodeUnavailable, "no tokens")
}

func TestShed(t *testing.T) {
	s := serve(t, nil)
	var n endedSessions
	s.want(s.do("POST", "/api/shed", `{"fraction":0.2}`), &n)
	if n.Sessions != 7 || s.shed != 0.2 {
		t.Errorf("%d, %v", n.Sessions, s.shed)
	}
	for _, wrong := range []string{`{}`, `{"fraction":0}`, `{"fraction":1.1}`, `{"fraction":-1}`, `{"fraction":"20%"}`} {
		s.wantError(s.do("POST", "/api/shed", wrong), 400, hub.CodeBadRequest, "fraction: ")
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	s := serve(t, func(c *Config, _ *Options) { c.MaxBody = 100 })
	for _, c := range []struct {
		method, path string
		body         any
		header       []string
		status       int
		code         hub.Code
		words        string
	}{
		{"GET", "/api/publish", nil, nil, 405, codeMethod, "/api/publish takes POST, not GET"},
		{"POST", "/api/history", `{}`, nil, 405, codeMethod, "takes GET and HEAD, not POST"},
		{"OPTIONS", "/api/publish", nil, nil, 405, codeMethod, "POST"},
		{"TRACE", "/api/topics", nil, nil, 405, codeMethod, "GET"},
		{"GET", "/api/histori", nil, nil, 404, codeNotFound, `did you mean "/api/history"?`},
		{"GET", "/api/", nil, nil, 404, codeNotFound, "there is nothing at"},
		{"GET", "/api/" + strings.Repeat("x", 3000), nil, nil, 404, codeNotFound, "there are /api/broadcast"},
		{"POST", "/api/publish", `{"topic":"a","data":1}`, []string{"Content-Type", "text/plain"}, 415, codeContentType,
			"Content-Type: application/json, or"},
		{"POST", "/api/publish", `{"topic":"a","data":1}`, []string{"Content-Type", ""}, 415, codeContentType, "application/json"},
		{"POST", "/api/revoke", `{"user":"a"}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, codeContentType,
			"application/json"},
		{"POST", "/api/publish", `{"topic":"a","data":"` + strings.Repeat("x", 100) + `"}`, nil, 413, hub.CodeTooLarge, "at most 100 bytes"},
		{"POST", "/api/publish?topic=a", make([]byte, 101), nil, 413, hub.CodeTooLarge, "at most 100 bytes"},
		{"POST", "/api/publish", []byte{1}, nil, 400, hub.CodeBadRequest, "topic is missing"},
		{"POST", "/api/publish?topic=a&echo=1", []byte{1}, nil, 400, hub.CodeBadRequest, `no parameter "echo"`},
		{"POST", "/api/publish?topic=a&meta=x", []byte{1}, nil, 400, hub.CodeBadRequest, "meta is a JSON object"},
		{"POST", "/api/publish", `{"topic":"a"}`, nil, 400, hub.CodeBadRequest, "data is missing"},
		{"POST", "/api/publish", `{"data":1}`, nil, 400, hub.CodeBadRequest, "topic is missing"},
		{"POST", "/api/publish", `{"topic":"a","data":1,"base64":"AA=="}`, nil, 400, hub.CodeBadRequest, "two messages"},
		{"POST", "/api/publish", `{"topic":"a","base64":"!"}`, nil, 400, hub.CodeBadRequest, "base64: bytes in base64 are needed"},
		{"POST", "/api/publish", `{"topic":"a","data":1,"meta":[]}`, nil, 400, hub.CodeBadRequest, "meta is a JSON object"},
		{"POST", "/api/publish", `{"topic":"a","data":1,"messageId":"a b"}`, nil, 400, hub.CodeBadRequest, "message's id"},
		{"POST", "/api/publish", `{"topic":"a.*","data":1}`, nil, 400, hub.CodeBadTopic, ""},
		{"POST", "/api/publish", `{"topic":"a\u0000b","data":1}`, nil, 400, hub.CodeBadTopic, ""},
		{"POST", "/api/publish", "{\"topic\":\"a\",\"data\":\"\xff\"}", nil, 400, hub.CodeBadRequest, "not UTF-8"},
		{"POST", "/api/publish", `{"topic":"small","data":"0123456789"}`, nil, 413, hub.CodeTooLarge, "10 bytes"},
		{"POST", "/api/broadcast", `{"topics":"a","data":1}`, nil, 400, hub.CodeBadRequest, "topics: a list of strings is needed"},
	} {
		t.Run(c.method+" "+c.words, func(t *testing.T) {
			s.T = t
			a := s.do(c.method, c.path, c.body, c.header...)
			s.wantError(a, c.status, c.code, c.words)
			if c.status == 405 && (a.Header.Get("Allow") == "" || !strings.Contains(c.words, strings.Split(a.Header.Get("Allow"), ",")[0])) {
				t.Errorf("Allow: %q", a.Header.Get("Allow"))
			}
		})
	}
	s.T = t
	head := s.do("HEAD", "/api/topics", nil)
	if head.StatusCode != 200 || head.body != "" || head.Header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %s %q", head.Status, head.body)
	}
}

// TestErrorsOfTheHub: each code has its status, and what is to be tried again says when.
func TestErrorsOfTheHub(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   hub.Code
		retry  string
	}{
		{&hub.Error{Code: hub.CodeRate, Message: "x", Retry: 200 * time.Millisecond}, 429, hub.CodeRate, "1"},
		{&hub.Error{Code: hub.CodeUnavailable, Message: "x", Retry: 2500 * time.Millisecond}, 503, hub.CodeUnavailable, "3"},
		{fmt.Errorf("wrapped: %w", hub.Errorf(hub.CodeTopicFull, "x")), 409, hub.CodeTopicFull, ""},
		{hub.Errorf(hub.CodeForbidden, "x"), 403, hub.CodeForbidden, ""},
		{hub.Errorf(hub.CodeTimeout, "x"), 504, hub.CodeTimeout, ""},
		{hub.Errorf(hub.CodeInternal, "x"), 500, hub.CodeInternal, ""},
		{context.DeadlineExceeded, 503, hub.CodeUnavailable, "1"},
		{errors.New("password in here"), 500, hub.CodeInternal, ""},
	} {
		s := serve(t, func(_ *Config, o *Options) { o.Shed = func(context.Context, float64) (int, error) { return 0, c.err } })
		a := s.do("POST", "/api/shed", `{"fraction":1}`)
		if p := s.wantError(a, c.status, c.code, ""); strings.Contains(p.Message, "password") || a.Header.Get("Retry-After") != c.retry ||
			(p.Retry > 0) != (c.retry != "") {
			t.Errorf("%v: %+v, Retry-After %q", c.err, p, a.Header.Get("Retry-After"))
		}
	}
}

// TestTooManyAtOnce: a stuck request holds up its own place only, and places are bounded.
func TestTooManyAtOnce(t *testing.T) {
	begun, release := make(chan struct{}, maxAtOnce), make(chan struct{})
	s := serve(t, func(_ *Config, o *Options) {
		o.Shed = func(context.Context, float64) (int, error) { begun <- struct{}{}; <-release; return 1, nil }
	})
	ask := func(body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/api/shed", strings.NewReader(body))
		r.Header.Set("X-API-Key", apiKey)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		return w
	}
	ended := make(chan int, maxAtOnce)
	for range maxAtOnce {
		go func() { ended <- ask(`{"fraction":1}`).Code }()
	}
	for range maxAtOnce {
		<-begun
	}
	if w := ask(`{"fraction":1}`); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(release)
	for range maxAtOnce {
		if code := <-ended; code != 200 {
			t.Errorf("%d", code)
		}
	}
	if w := ask(`{"fraction":1}`); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

// TestHalfARequest: a client that announces more than it sends gets an answer, if it still listens.
func TestHalfARequest(t *testing.T) {
	s := serve(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"topic\"", apiKey)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 400" {
		t.Errorf("%q, %v", answer, err)
	}
}

func FuzzPublish(f *testing.F) {
	h, err := hub.New(hub.Options{Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(h.Close)
	a, err := New(Config{Keys: []string{apiKey}}, Options{Hub: h, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("application/json", "", []byte(`{"topic":"a","data":{"a":[1,null]},"key":"k","messageId":"1","meta":{}}`))
	f.Add("application/json", "", []byte(`{"topic":"a","base64":"`+base64.StdEncoding.EncodeToString([]byte("x"))+`","Data":1}`))
	f.Add("application/octet-stream", "topic=a&meta={}", []byte("\x00\xff"))
	f.Fuzz(func(t *testing.T, contentType, query string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/api/publish", strings.NewReader(string(body)))
		r.URL.RawQuery = query
		r.Header = http.Header{"X-Api-Key": {apiKey}, "Content-Type": {contentType}}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}
