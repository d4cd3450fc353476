package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/auth"
	"github.com/duplex-websocket/duplex/session"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fenced = regexp.MustCompile("(?ms)^```(json [a-z]+|go)\n(.*?)^```")

// TestDocumentedCalls: the calls on the page are those that are made.
func TestDocumentedCalls(t *testing.T) {
	b := answering(t, text(`{}`))
	c := all(t, b.URL)
	c.Connect.Headers = []string{"Cookie"}
	h := newHooks(t, c, Options{})
	hooks := h.HubHooks()
	call := map[string]func() error{
		eventConnect: func() error {
			_, err := h.Authenticate(next(hub.Identity{User: "~8f2kq0a1", Anonymous: true}, nil))(t.Context(), &session.Attempt{
				Session: "8f2kq0a1", Token: "...", RemoteAddr: "203.0.113.7:50000", Info: ann.Info,
				Header: http.Header{"Cookie": {"sid=..."}, "Origin": {"https://app.example.com"}},
			})
			return err
		},
		eventSubscribe: func() error {
			return hooks.Subscribe(&hub.SubscribeCall{Context: t.Context(), Session: "8f2kq0a1", Identity: &ann, Topic: "private.ann"})
		},
		eventPublish: func() error {
			return hooks.Publish(&hub.PublishCall{Context: t.Context(), Session: "8f2kq0a1", Identity: &ann, Topic: "chat.lobby",
				Publication: &hub.Publication{
					ID: "3e0f5a7c", Key: "ann", Meta: []byte(`{"lang":"en"}`), Data: []byte(`{"text":"hi"}`),
				}})
		},
		eventRequest: func() error {
			_, err := hooks.Request(t.Context(), &hub.Request{Method: "orders.create", Session: "8f2kq0a1", Identity: &ann,
				Data: []byte(`{"item":"tea"}`)})
			return err
		},
	}
	seen := 0
	for _, block := range fenced.FindAllStringSubmatch(page(t), -1) {
		event, is := strings.CutPrefix(block[1], "json ")
		if !is {
			continue
		}
		seen++
		if err := call[event](); err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(block[2]), &want); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		if got := b.last(t).asked; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the call is\n%v\nand on the page\n%v", event, got, want)
		}
	}
	if seen != len(call) {
		t.Errorf("%d calls are on the page", seen)
	}
}

// startDocumented builds and runs the application that the page shows, and returns its address.
func startDocumented(t *testing.T, secretFile string) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "main.go")
	for _, block := range fenced.FindAllStringSubmatch(page(t), -1) {
		if block[1] == "go" {
			if err := os.WriteFile(source, []byte(block[2]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	binary := filepath.Join(t.TempDir(), "app.exe")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	ctx, cancel := context.WithCancel(t.Context())
	app := exec.CommandContext(ctx, binary, secretFile, "127.0.0.1:0")
	stdout, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = app.Wait() // it was killed
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestDocumentedApplication: the application on the page checks our signatures, and nobody else's.
func TestDocumentedApplication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "webhook.key")
	key := auth.NewSecret()
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	address := startDocumented(t, file)
	c := all(t, address)
	c.SecretFile, c.Connect.Headers = file, []string{"Cookie"}
	h := newHooks(t, c, Options{})
	at := &session.Attempt{Session: "s1", Header: http.Header{"Cookie": {"name=ann"}}}
	if i, err := h.Authenticate(next(hub.Identity{User: "~1", Anonymous: true}, nil))(t.Context(), at); err != nil || i.User != "ann" ||
		i.Anonymous {
		t.Errorf("connect: %+v, %v", i, err)
	}
	p := hub.Publication{Data: []byte(`{"text":"damn it"}`)}
	if err := h.HubHooks().Publish(&hub.PublishCall{Context: t.Context(), Identity: &ann, Topic: "chat.a",
		Publication: &p}); err != nil || string(p.Data) != `{"text":"**** it"}` {
		t.Errorf("publish: %s, %v", p.Data, err)
	}
	for name, try := range tries(t, h) {
		if err := try(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, try := range tries(t, newHooks(t, all(t, address), Options{})) { // with another secret
		refused(t, try(t.Context()), hub.CodeUnavailable, "")
	}

	secret, err := auth.ParseSecret(key)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"type":"request"}`)
	now := time.Now()
	for name, q := range map[string]struct {
		signature string
		body      string
		status    int
	}{
		"good":         {sign(secret, now, body), string(body), 200},
		"changed body": {sign(secret, now, body), `{"type":"publish"}`, 401},
		"changed time": {strings.Replace(sign(secret, now.Add(-time.Hour), body), "t=", "t=1", 1), string(body), 401},
		"replayed":     {sign(secret, now.Add(-6*time.Minute), body), string(body), 401},
		"none":         {"", string(body), 401},
		"cut":          {sign(secret, now, body)[:40], string(body), 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader([]byte(q.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(headerSignature, q.signature)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != q.status {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
}
