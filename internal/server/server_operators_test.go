package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

const apiKey = "a-key-of-more-than-twenty-characters"

// call asks the API for something.
func call(t *testing.T, address, path, body string, header http.Header) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(content, &answer); err != nil {
		t.Fatalf("%s: %q: %v", path, content, err)
	}
	return response.StatusCode, answer
}

// TestAPI: what a program publishes reaches clients.
func TestAPI(t *testing.T) {
	address := start(t, Config{})
	ann := join(t, address, "")
	ann.ask(map[string]any{"type": "subscribe", "topic": "news"})
	if status, answer := call(t, address, "api/publish", `{"topic":"news","data":"hello"}`, nil); status != 200 || answer["offset"] == nil {
		t.Fatalf("%d %v", status, answer)
	}
	if m := ann.await("message"); m["data"] != "hello" || m["from"] != nil {
		t.Errorf("%v", m)
	}
}

// TestOperators: who may use the API and see the figures.
func TestOperators(t *testing.T) {
	tokens := "tokens: {keys: [{file: " + secretFile(t, tokenSecret) + ", algorithm: HS256}]}\n"
	keys := "api: {keys: [" + apiKey + "]}\n"
	bearer := http.Header{"Authorization": {"Bearer " + apiKey}}
	for _, c := range []struct {
		name, file string
		header     http.Header
		status     int
	}{
		{"open, from here", "", nil, 200},
		{"open, through a proxy", "", http.Header{"X-Forwarded-For": {"203.0.113.9"}}, 403},
		{"open, from a page", "", http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"open, through a proxy of ours", "proxies: [127.0.0.1]\n", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 403},
		{"everywhere, without keys", "listen: ':0'\ninsecure-anonymous: true\n", nil, 403},
		{"tokens, without keys", tokens, nil, 403},
		{"keys, none given", keys, nil, 401},
		{"keys, a wrong one", keys, http.Header{"X-Api-Key": {"not-the-right-key-at-all"}}, 401},
		{"keys, the right one", keys + tokens, bearer, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := start(t, Config{Settings: configured(t, c.file)})
			response, body := get(t, address+"metrics", c.header)
			if response.StatusCode != c.status || (c.status == 200) != strings.Contains(body, "duplex_sessions 0") {
				t.Errorf("metrics: %d, want %d: %.200s", response.StatusCode, c.status, body)
			}
			if response, body := get(t, address+"api/topics", c.header); response.StatusCode != c.status {
				t.Errorf("api: %d, want %d: %s", response.StatusCode, c.status, body)
			}
		})
	}
}

// TestShed sends away a part, and those only.
func TestShed(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "drain: {retry: 1ms, spread: 1ms}\n")})
	const clients = 10
	ended := make(chan error, clients)
	for range clients {
		p := join(t, address, "")
		go func() {
			why, err := p.next()
			if err == nil && why["code"] == "restart" {
				_, err = p.next()
			}
			ended <- err
		}()
	}
	if status, answer := call(t, address, "api/shed", `{"fraction":0.3}`, nil); status != 200 || answer["sessions"] != 3.0 {
		t.Fatalf("%d %v", status, answer)
	}
	for range 3 {
		if err := <-ended; websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("ended with %v", err)
		}
	}
	for began := time.Now(); value(t, scrape(t, address), "duplex_sessions", "") != 7; {
		if time.Since(began) > patience {
			t.Fatal("not 7 have stayed")
		}
	}
}

// TestRevoke: a revoked user is out at once and does not come back.
func TestRevoke(t *testing.T) {
	address := start(t, Config{Settings: configured(t,
		"tokens: {keys: [{file: "+secretFile(t, tokenSecret)+", algorithm: HS256}]}\napi: {keys: ["+apiKey+"]}\n")})
	bearer := http.Header{"Authorization": {"Bearer " + apiKey}}
	signed := token(t, tokenSecret, "ann")
	ann := join(t, address, signed)
	if status, answer := call(t, address, "api/revoke", `{"user":"ann"}`, bearer); status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	if why := ann.await("disconnect"); why["code"] != "token-revoked" {
		t.Error(why)
	}
	again, err := dialSession(t, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reply := again.ask(map[string]any{"type": "connect", "token": signed}); reply["code"] != "token-revoked" {
		t.Error(reply)
	}
}

// TestWebhooks: a backend that decides who clients are makes the server safe to be reached, and answers their requests.
func TestWebhooks(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/connect":
			_, _ = io.WriteString(w, `{"user":"ann"}`)
		case "/request":
			_, _ = io.WriteString(w, `{"data":{"order":17}}`)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer backend.Close()
	log := newLogbook()
	address := start(t, Config{Log: log, Settings: configured(t, "listen: ':0'\napi: {keys: ["+apiKey+"]}\nlog: {level: debug}\nwebhooks:\n  secret-file: "+
		secretFile(t, tokenSecret)+"\n  connect: {url: '"+backend.URL+"/connect'}\n  request: {url: '"+backend.URL+"/request'}\n  publish: {url: '"+backend.URL+"/broken'}\n")})
	log.await(t, "listening", "mode=webhook")
	ann := join(t, address, "")
	log.await(t, "a client comes in", "user=ann")
	if reply := ann.ask(map[string]any{"type": "request", "method": "orders.create"}); reply["type"] != "reply" {
		t.Error(reply)
	}
	if reply := ann.ask(map[string]any{"type": "publish", "topic": "a", "data": 1}); reply["code"] != "unavailable" {
		t.Error(reply)
	}
	_, figures := get(t, address+"metrics", http.Header{"X-Api-Key": {apiKey}})
	for _, want := range []string{
		`duplex_webhook_seconds_count{hook="connect"} 1`, `duplex_webhook_seconds_count{hook="request"} 1`, `duplex_webhook_failures_total{hook="publish"} 1`,
	} {
		if !strings.Contains(figures, want+"\n") {
			t.Errorf("%s is not among the figures", want)
		}
	}
}
