package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// askAPI posts to a server's API and returns the answer as it is.
func askAPI(t *testing.T, sessions, key, path, question string) string {
	t.Helper()
	address, err := apiURL(sessions, path)
	if err != nil {
		t.Fatal(err)
	}
	method := http.MethodPost
	if question == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// TestOperateNodes: what is asked of one server is done by all; what it refuses they refuse, also after they were killed; and who comes
// back to another one is who it was.
func TestOperateNodes(t *testing.T) {
	address := startNATS(t, &server.Options{})
	secret := writeFile(t, "key", "a-secret-of-more-than-thirty-two-bytes\n")
	key := "a-key-of-more-than-twenty-characters"
	settings := writeFile(t, "duplex.yaml", "tokens: {allow-anonymous: true, keys: [{file: "+secret+", algorithm: HS256}]}\n"+
		"api: {keys: ["+key+"]}\ndrain: {retry: 1ms, spread: 1ms}\ntopics: [{pattern: chat.>, presence: full, history: {messages: 10}}]\n")
	start := func() (*process, string) { return startServer(t, "--config", settings, "--nats", address) }
	_, one := start()
	second, two := start()
	token, _ := runProgram(t, exitOK, "token", "--key", secret, "--user", "ann")
	connect := fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, strings.TrimSpace(token))

	ann1, ann2, guest := dialTest(t, one), dialTest(t, two), dialTest(t, one)
	say(t, ann1, connect)
	say(t, ann2, connect)
	hello := say(t, guest, `{"type":"connect","id":1}`)
	say(t, guest, `{"type":"subscribe","id":2,"topic":"chat.a"}`)
	sent := say(t, guest, `{"type":"publish","id":3,"topic":"chat.a","messageId":"m","echo":false,"data":1}`)
	if all := askAPI(t, two, key, "/api/sessions", ""); strings.Count(all, `"session"`) != 3 || strings.Contains(all, "incomplete") {
		t.Errorf("sessions: %s", all)
	}
	if all := askAPI(t, two, key, "/api/topics", ""); !strings.Contains(all, `"topic":"chat.a","rule":"chat.\u003e","subscribers":1`) {
		t.Errorf("topics: %s", all)
	}

	back := dialTest(t, two)
	again := say(t, back, fmt.Sprintf(`{"type":"connect","id":1,"resume":%q}`, hello["resume"]))
	if again["user"] != hello["user"] || again["session"] != hello["session"] {
		t.Errorf("came back as %v, was %v", again, hello)
	}
	if bye := hear(t, guest); bye["code"] != "replaced" {
		t.Errorf("the old connection hears %v", bye)
	}
	if twice := say(t, back, `{"type":"publish","id":2,"topic":"chat.a","messageId":"m","data":1}`); twice["duplicate"] != true || twice["offset"] != sent["offset"] {
		t.Errorf("sent again: %v, was %v", twice, sent)
	}

	began := time.Now()
	if ended := askAPI(t, one, key, "/api/revoke", `{"user":"ann"}`); ended != `{"sessions":2}` {
		t.Errorf("revoked: %s", ended)
	}
	for _, conn := range []map[string]any{hear(t, ann1), hear(t, ann2)} {
		if conn["code"] != "token-revoked" {
			t.Errorf("a revoked user hears %v", conn)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if r := say(t, dialTest(t, two), connect); r["code"] != "token-revoked" {
		t.Errorf("let in with a revoked token: %v", r)
	}
	if shed, _ := runProgram(t, exitOK, "shed", "100%", "--all", "--server", one, "--key", key); !strings.HasSuffix(shed, " clients are told to come back\n") {
		t.Errorf("shed: %q", shed)
	}
	if bye := hear(t, back); bye["code"] != "restart" {
		t.Errorf("a client hears %v", bye)
	}

	second.kill()
	_, three := start()
	if r := say(t, dialTest(t, three), connect); r["code"] != "token-revoked" {
		t.Errorf("a server that starts later lets in with a revoked token: %v", r)
	}
	last := say(t, dialTest(t, three), fmt.Sprintf(`{"type":"connect","id":1,"resume":%q}`, again["resume"]))
	if last["user"] != hello["user"] {
		t.Errorf("came back as %v", last)
	}
	// While it is not known whether the killed one is gone, what is asked of all says who is missing.
	if answer := askAPI(t, one, key, "/api/disconnect", `{"user":"nobody"}`); !strings.Contains(answer, "not everywhere, so ask again: 1 of 2 other nodes") {
		t.Errorf("with a server that was killed: %s", answer)
	}
}
