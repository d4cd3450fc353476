package server

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/websocket"
)

// changeable is a running server with the file that configures it.
type changeable struct {
	t       *testing.T
	file    string
	log     *logbook
	reload  reloader
	address string
}

func startChangeable(t *testing.T, content string) *changeable {
	t.Helper()
	c := &changeable{t: t, file: filepath.Join(t.TempDir(), "duplex.yaml"), log: newLogbook(), reload: make(reloader)}
	rewrite(t, c.file, content)
	settings, err := config.Load(config.Input{File: c.file})
	if err != nil {
		t.Fatal(err)
	}
	c.address = start(t, Config{Settings: settings, Log: c.log, Reload: c.reload})
	return c
}

// change rewrites the file, has it read, and waits for what the log says about it.
func (c *changeable) change(content string, says ...string) {
	c.t.Helper()
	rewrite(c.t, c.file, content)
	c.log.mu.Lock()
	c.log.text.Reset()
	c.log.mu.Unlock()
	c.reload.now()
	c.log.await(c.t, says...)
}

const local = "listen: 127.0.0.1:0\n"

// TestReload: rules, the level of the log and who may connect change under a connection that stays.
func TestReload(t *testing.T) {
	s := startChangeable(t, local+"topics: [{pattern: chat.*, publish: nobody}]\n")
	ann := join(t, s.address, "")
	publish := map[string]any{"type": "publish", "topic": "chat.lobby", "data": 1}
	if reply := ann.ask(publish); reply["code"] != "forbidden" {
		t.Fatal(reply)
	}
	if reply := ann.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby"}); reply["type"] != "reply" {
		t.Fatal(reply)
	}
	other := &websocket.DialOptions{Header: http.Header{"Origin": {"https://app.example.com"}}}
	if _, err := dialSession(t, s.address, other); handshakeError(t, err).Status != http.StatusForbidden ||
		!strings.Contains(string(handshakeError(t, err).Body), `"https://app.example.com" to origins in the server's configuration`) {
		t.Fatalf("%v, %s", err, handshakeError(t, err).Body)
	}

	s.change(local+"topics: [{pattern: chat.*, publish: anyone}]\norigins: ['https://*.example.com']\nlog: {level: debug}\n", "reloaded")
	if reply := join(t, s.address, "").ask(publish); reply["type"] != "reply" {
		t.Error(reply)
	}
	if m := ann.await("message"); m["data"] != 1.0 {
		t.Error(m)
	}
	if _, err := dialSession(t, s.address, other); err != nil {
		t.Error(err)
	}
	evil := &websocket.DialOptions{Header: http.Header{"Origin": {"https://example.com.evil.net"}}}
	if _, err := dialSession(t, s.address, evil); handshakeError(t, err).Status != http.StatusForbidden {
		t.Error(err)
	}

	s.change(local, "reloaded", "changed=\"origins log.level topics\"")
	if reply := ann.ask(map[string]any{"type": "ping"}); reply["type"] != "reply" {
		t.Error(reply)
	}
}

// TestBadReload: a file that is wrong changes nothing, and the log says why.
func TestBadReload(t *testing.T) {
	s := startChangeable(t, local+"topics: [{pattern: chat.*, publish: nobody}]\n")
	ann := join(t, s.address, "")
	for content, says := range map[string]string{
		local + "topcis: []\n": `there is no key \"topcis\"; did you mean topics?`,
		"a: [":                 "this is not YAML",
		local + "tls: {cert: none.pem, key: none.pem}\n":                                        "without one, nor one without begin to have one",
		local + "topics: []\ntokens: {keys: [{file: none, algorithm: HS256}]}\n":                "tokens: keys[0].file",
		local + "topics: [{pattern: chat.*}]\nlog: {level: loud}\norigins: ['https://a.net']\n": "not one of debug",
	} {
		s.change(content, "not reloaded", says)
		if reply := ann.ask(map[string]any{"type": "publish", "topic": "chat.lobby", "data": 1}); reply["code"] != "forbidden" {
			t.Errorf("after %q: %v", content, reply)
		}
	}
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	s.reload.now()
	s.log.await(t, "not reloaded", "no such file")
}

// TestReloadNeedsRestart: the log names what does not change.
func TestReloadLimits(t *testing.T) {
	s := startChangeable(t, local)
	ann := join(t, s.address, "")
	ann.ask(map[string]any{"type": "subscribe", "topic": "a"})
	s.change(local+"limits: {subscriptions: 1, connections: 2, commands-burst: 3, commands-rate: 0.001}\n", "was reloaded",
		"limits.subscriptions", "limits.connections", "limits.commands-burst", "limits.commands-rate")
	if reply := ann.ask(map[string]any{"type": "subscribe", "topic": "b"}); reply["code"] != "too-many-subscriptions" {
		t.Error(reply)
	}
	bob := join(t, s.address, "") // whose first command that is
	for range 2 {
		bob.ask(map[string]any{"type": "ping"})
	}
	if reply := bob.ask(map[string]any{"type": "ping"}); reply["code"] != "rate" {
		t.Error(reply)
	}
	if _, err := dialSession(t, s.address, nil); handshakeError(t, err).Status != http.StatusServiceUnavailable {
		t.Error(err)
	}
	s.change(local, "was reloaded")
	carl := join(t, s.address, "")
	for range 10 {
		if reply := carl.ask(map[string]any{"type": "ping"}); reply["type"] != "reply" {
			t.Error(reply)
		}
	}
}

func TestReloadNeedsRestart(t *testing.T) {
	s := startChangeable(t, local)
	s.change("listen: 127.0.0.1:1\nlimits: {frame: 5KiB}\nlog: {level: info}\n", "started again", "settings=\"listen limits.frame\"")
	join(t, s.address, "") // where it was
	s.change("listen: 0.0.0.0:1\n", "started again", "settings=listen")
	if response, _ := get(t, s.address+"metrics", nil); response.StatusCode != 200 {
		t.Errorf("metrics: %d", response.StatusCode)
	}
	s.change(local, "was reloaded", "changed=listen")
}

// TestReloadKeys: keys come and go; who is in stays in.
func TestReloadKeys(t *testing.T) {
	keys := func(files ...string) string {
		text := "listen: ':0'\ntokens:\n  keys:\n"
		for _, f := range files {
			text += "  - {file: " + f + ", algorithm: HS256}\n"
		}
		return text
	}
	const second = "another-secret-another-secret-another"
	old, young := secretFile(t, tokenSecret), secretFile(t, second)
	s := startChangeable(t, keys(old))
	ann := join(t, s.address, token(t, tokenSecret, "ann"))
	s.change(keys(old, young), "was reloaded", "changed=tokens.keys")
	join(t, s.address, token(t, second, "bob"))
	s.change(keys(young), "was reloaded")
	late, err := dialSession(t, s.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reply := late.ask(map[string]any{"type": "connect", "token": token(t, tokenSecret, "carl")}); reply["code"] != "token-invalid" {
		t.Error(reply)
	}
	if reply := ann.ask(map[string]any{"type": "ping"}); reply["type"] != "reply" {
		t.Error(reply)
	}
	s.change("listen: ':0'\n", "not reloaded", "without keys for tokens")
	join(t, s.address, token(t, second, "bob"))
}

// TestReloadCertificate: the next handshake gets the new certificate, and one that does not fit changes nothing.
func TestReloadCertificate(t *testing.T) {
	certA, keyA, poolA := certificate(t)
	certB, keyB, poolB := certificate(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	install := func(from, to string) {
		t.Helper()
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, to, string(content))
	}
	install(certA, cert)
	install(keyA, key)
	content := local + "tls: {cert: " + cert + ", key: " + key + "}\n"
	s := startChangeable(t, content)
	dial := func(o *tls.Config) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		host := strings.TrimSuffix(strings.TrimPrefix(s.address, "https://"), "/")
		conn, err := (&tls.Dialer{Config: o}).DialContext(ctx, "tcp", host)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	a, b := &tls.Config{RootCAs: poolA}, &tls.Config{RootCAs: poolB}
	p, err := dialSession(t, s.address, &websocket.DialOptions{TLS: a})
	if err != nil || dial(a) != nil || dial(b) == nil {
		t.Fatalf("%v, %v, %v", err, dial(a), dial(b))
	}
	install(certB, cert)
	s.change(content, "not reloaded", "does not belong to the certificate")
	if dial(a) != nil {
		t.Error("a certificate without its key is in use")
	}
	install(keyB, key)
	s.change(content, "was reloaded")
	if dial(a) == nil || dial(b) != nil {
		t.Error("the old certificate is in use")
	}
	if reply := p.ask(map[string]any{"type": "connect"}); reply["type"] != "reply" {
		t.Error(reply)
	}
}

// TestUndo: a part that fails leaves nothing changed behind.
func TestUndo(t *testing.T) {
	n, err := newNode(Config{Settings: configured(t, "origins: [https://a.example]"), Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	was, is := n.booted, configured(t, "origins: [https://b.example]\nlog: {level: debug}").Config
	n.parts = append(n.parts, part{"last", func(c *config.Config) error { return &net.AddrError{Err: "no luck", Addr: c.Listen} }})
	if err := n.apply(was, is); err == nil || !strings.Contains(err.Error(), "last: ") || !strings.Contains(err.Error(), "no luck") {
		t.Error(err)
	}
	if n.level.Level() != logLevels["info"] || n.gate.rules.Load().origins.OriginPatterns[0] != "https://a.example" {
		t.Error("something has stayed changed")
	}
}

// TestReloadUnderLoad changes everything that can change while clients come, go and publish.
func TestReloadUnderLoad(t *testing.T) {
	s := startChangeable(t, local+"topics: [{pattern: a, history: {messages: 5}}]\n")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := join(t, s.address, "")
				p.ask(map[string]any{"type": "subscribe", "topic": "a", "last": 3})
				for range 20 {
					if reply := p.ask(map[string]any{"type": "publish", "topic": "a", "data": 1}); reply["type"] != "reply" && reply["code"] != "forbidden" {
						t.Error(reply)
					}
				}
				_ = p.CloseNow()
			}
		})
	}
	for i := range 20 {
		access := []string{"anyone", "nobody"}[i%2]
		s.change(local+"topics: [{pattern: a, history: {messages: "+strconv.Itoa(1+i)+"}, publish: "+access+", subscribe: "+access+"}]\n"+
			"origins: [https://"+access+".example]\nlog: {level: "+[]string{"info", "debug"}[i%2]+"}\n", "was reloaded")
	}
	close(stop)
	wg.Wait()
	if stats := scrape(t, s.address); value(t, stats, "duplex_published_total", "a") == 0 {
		t.Error("nothing was published")
	}
}
