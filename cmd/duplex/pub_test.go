package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/duplex-websocket/duplex/hub"
	sessions "github.com/duplex-websocket/duplex/session"
)

// topicServer is a hub whose clients may be cut off.
type topicServer struct {
	url    string
	hub    *hub.Hub
	server *sessions.Server
}

// startTopics starts a server whose topics keep messages, and whose tokens are user names; "forged" is refused.
func startTopics(t *testing.T, o sessions.Options) *topicServer {
	t.Helper()
	full := hub.TopicOptions{HistoryMessages: 100, Presence: hub.PresenceFull}
	secret := full
	secret.Publish, secret.Subscribe = hub.Granted, hub.Granted
	h, err := hub.New(hub.Options{Topics: []hub.Rule{
		{Pattern: "plain.>"}, {Pattern: "secret.>", TopicOptions: secret}, {Pattern: ">", TopicOptions: full},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o.Authenticate = func(_ context.Context, a *sessions.Attempt) (hub.Identity, error) {
		switch a.Token {
		case "":
			return hub.Identity{User: a.Anonymous, Anonymous: true}, nil
		case "forged":
			return hub.Identity{}, hub.Errorf(hub.CodeTokenInvalid, "its signature is wrong")
		}
		return hub.Identity{User: a.Token}, nil
	}
	s := &topicServer{hub: h, server: sessions.New(h, o)}
	mux := http.NewServeMux()
	mux.Handle("/ws", s.server)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { handler(t, nil, silent).ServeHTTP(w, r) })
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		h.Close()
		web.Close()
	})
	s.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/ws"
	return s
}

func (s *topicServer) publish(t *testing.T, topic string, data ...string) (last hub.Receipt) {
	t.Helper()
	for _, d := range data {
		var err error
		if last, err = s.hub.Publish(t.Context(), topic, hub.Publication{Data: []byte(d)}); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// kept returns what a topic keeps, as texts.
func (s *topicServer) kept(t *testing.T, topic string) []string {
	t.Helper()
	page, err := s.hub.History(t.Context(), topic, hub.HistoryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range page.Messages {
		texts = append(texts, fmt.Sprintf("%s %s %s %s", m.From.User, m.Key, m.Meta, m.Data))
	}
	return texts
}

// program runs the whole program, without standard input.
func program(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return result{stdout: stdout.String(), stderr: stderr.String(), code: code}
}

// publish runs the verb pub with this standard input.
func publish(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var cli struct {
		Pub pubCmd `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"pub"}, args...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err = cli.Pub.run(ctx, output{&stdout, &stderr}, strings.NewReader(stdin))
	if err != nil {
		fmt.Fprint(&stderr, err)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: exitCode(err)}
}

// wantResult compares; stdout and stderr are parts of what is printed there.
func wantResult(t *testing.T, r result, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) || stderr == "" && r.stderr != "" {
		t.Errorf("exit code %d, %q, %q; want %d, %q, %q", r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

func TestPub(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	at := []string{"--server", s.url, "--token", "ann"}
	file := filepath.Join(t.TempDir(), "bytes")
	if err := os.WriteFile(file, []byte("\x00\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin string
		args  []string
		want  []string
	}{
		{"", []string{"chat.a", `{"text":"hi"}`}, []string{`ann   {"text":"hi"}`}},
		{"", []string{"chat.a", "hi \x1b[2J<", "--text", "--key", "k", "--meta", `{"x":1}`}, []string{`ann k {"x":1} "hi \u001b[2J<"`}},
		{"1\n\n {\"a\":2} \r\n\"x\"", []string{"chat.a"}, []string{"ann   1", `ann   {"a":2}`, `ann   "x"`}},
		{"one\n\nthree\n", []string{"chat.a", "--text"}, []string{`ann   "one"`, `ann   ""`, `ann   "three"`}},
		{"\x00\xff\n", []string{"chat.a", "--binary"}, []string{"ann   \x00\xff\n"}},
		{"", []string{"chat.a", "--binary", "--file", file, "--id", "once"}, []string{"ann   \x00\xff"}},
		{"", []string{"chat.a", "--binary", "--file", file, "--id", "once"}, nil},
	} {
		before := len(s.kept(t, "chat.a"))
		r := publish(t, c.stdin, append(c.args, at...)...)
		wantResult(t, r, exitOK, "", "")
		if got := s.kept(t, "chat.a")[before:]; !slices.Equal(got, c.want) {
			t.Errorf("pub %q published %q, want %q", c.args, got, c.want)
		}
	}
	r := publish(t, "1\n2\n", append(at, "chat.b", "-v")...)
	var receipts []string
	for line := range strings.Lines(r.stdout) {
		var got struct {
			Topic, Epoch, MessageID string
			Offset                  uint64
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.Epoch == "" || got.MessageID == "" || got.Offset == 0 {
			t.Errorf("%q: %v", line, err)
		}
		receipts = append(receipts, got.Topic)
	}
	if !slices.Equal(receipts, []string{"chat.b", "chat.b"}) {
		t.Errorf("-v printed %q", r.stdout)
	}
}

// Mistakes are found before anything is sent; what cannot be done is explained.
func TestPubRefused(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	at := []string{"--server", s.url}
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"", []string{"chat.a", "hello"}, exitUsage, "hello is not JSON; --text publishes plain text"},
		{"1\nhello", []string{"chat.a"}, exitUsage, "standard input, line 2: hello is not JSON"},
		{"1\n\xff", []string{"chat.a", "--text"}, exitUsage, "line 2: it is not valid UTF-8"},
		{"", []string{"chat.a", "1", "--binary"}, exitUsage, "either an argument or"},
		{"", []string{"chat.a", "--text", "--binary"}, exitUsage, "exclude each other"},
		{"", []string{"chat.a", "--id", "x"}, exitUsage, "--id is for one message"},
		{"", []string{"chat.a", "1", "--meta", "x"}, exitUsage, "--meta \"x\" is not JSON"},
		{"", []string{"chat.a", "--file", "missing"}, exitUsage, "missing"},
		{"", []string{"chat.*", "1"}, exitUsage, "not published to chat.*"},
		{"", []string{"secret.a", "1"}, exitUsage, "a token may allow it"},
		{"", []string{"chat.a", "1", "--token", "forged"}, exitUnreachable, "does not let us in: its signature is wrong (token-invalid)\ngive a token with"},
		{"", []string{"chat.a", "1", "--token-file", "missing"}, exitUsage, "--token-file: open missing"},
		{"", []string{"chat.a", "1", "--server", "localhost:8080"}, exitUsage, "--server: "},
		{"", []string{"chat.a", "1", "--server", strings.TrimSuffix(s.url, "/ws") + "/echo"}, exitUnreachable, "does not speak duplex.v1; is the path of the URL right?"},
		{"", []string{"chat.a", "1", "--server", "ws://127.0.0.1:1/ws"}, exitUnreachable, "nothing listens at 127.0.0.1:1"},
		{"", []string{"chat.a", `"` + strings.Repeat("x", 2<<20) + `"`}, exitUsage, "the server takes frames of at most 1048576 bytes"},
	} {
		r := publish(t, c.stdin, append(at, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("pub %.60q: exit code %d, %.300q; want %d, %q", c.args, r.code, r.stderr, c.code, c.says)
		}
	}
}

// A server that wants fewer commands gets fewer, in their order.
func TestPubIsPatient(t *testing.T) {
	s := startTopics(t, sessions.Options{Limits: sessions.Limits{CommandRate: 50, CommandBurst: 3}})
	r := publish(t, "1\n2\n3\n4\n5\n6\n", "chat.a", "--server", s.url, "--token", "ann")
	wantResult(t, r, exitOK, "", "")
	if got := strings.Join(s.kept(t, "chat.a"), ","); got != "ann   1,ann   2,ann   3,ann   4,ann   5,ann   6" {
		t.Error(got)
	}
}

// sub prints what comes, and goes on where it was when the connection is lost.
func TestSub(t *testing.T) {
	s := startTopics(t, sessions.Options{Limits: sessions.Limits{DrainRetry: time.Millisecond, DrainSpread: time.Millisecond}})
	first := s.publish(t, "chat.a", "1", "2")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"sub", "chat.a", "live.>", "--server", s.url, "--token-file", file, "--last", "1", "--count", "4"}, stdout, stderr)
	}()
	if got := stdout.await(t, `"offset":(\d+)`); got != fmt.Sprint(first.Offset) {
		t.Errorf("begins with offset %s, want %d", got, first.Offset)
	}
	if _, err := s.hub.Publish(t.Context(), "live.x", hub.Publication{Data: []byte{0, 255}, Binary: true, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	stdout.await(t, `("base64":"AP8=")`)
	if n := s.server.Shed(t.Context(), 1); n != 1 {
		t.Errorf("%d were sent away", n)
	}
	stderr.await(t, `connecting again in (\d+)`)
	s.publish(t, "chat.a", "3")
	stdout.await(t, `("data":3)`)
	stdout.await(t, `"type":"resubscribed","topic":"(live\.>)"`)
	s.publish(t, "chat.a", `"<\u009b>"`, `"not printed"`)
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	var types []string
	for line := range strings.Lines(stdout.String()) {
		var got struct{ Type, Topic, Sub string }
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		types = append(types, got.Type)
	}
	slices.Sort(types)
	if want := []string{"message", "message", "message", "message", "resubscribed", "resubscribed"}; !slices.Equal(types, want) {
		t.Errorf("printed %q", stdout)
	}
	for _, line := range []string{`"topic":"live.x","sub":"live.>"`, `"key":"k"`, `{"type":"resubscribed","topic":"chat.a","recovered":true`, `"data":"<\u009b>"`} {
		if !strings.Contains(stdout.String(), line) {
			t.Errorf("%s was not printed, but %s", line, stdout)
		}
	}
}

func TestSubEvents(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"sub", "chat.a", "--server", s.url, "--token", "ann", "--presence", "--since", "old:7"}, stdout, stderr)
	}()
	stdout.await(t, `{"type":"(gap)","topic":"chat.a","reason":"epoch","since":{"epoch":"old","offset":7},"until":{"epoch":"\w+","offset":0}}`)
	r := program(t, "presence", "chat.a", "--server", s.url, "--token", "bob")
	wantResult(t, r, exitOK, `{"topic":"chat.a","count":1,"connections":1,"users":[{"user":"ann","connections":1}]}`+"\n", "")
	if n, err := s.hub.Unsubscribe(t.Context(), hub.Selector{User: "ann"}, "chat.a", hub.Errorf(hub.CodeForbidden, "no more")); n != 1 || err != nil {
		t.Errorf("%d subscriptions ended, %v", n, err)
	}
	if code := <-ended; code != exitAbnormal {
		t.Errorf("exit code %d", code)
	}
	stdout.await(t, `{"type":"(unsubscribed)","topic":"chat.a","code":"forbidden","message":"no more"}`)
	stderr.await(t, `(the server has ended every subscription)`)
}

// The server sends somebody away for good.
func TestSubDisconnected(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	s.publish(t, "chat.a", "1")
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"sub", "chat.a", "--server", s.url, "--token", "ann", "--last", "1"}, stdout, stderr)
	}()
	stdout.await(t, `("data":1)`)
	if _, err := s.hub.Disconnect(t.Context(), hub.Selector{User: "ann"}, hub.End{Code: hub.EndDisconnected, Message: "out"}); err != nil {
		t.Error(err)
	}
	if code := <-ended; code != exitAbnormal {
		t.Errorf("exit code %d", code)
	}
	stderr.await(t, `the connection ended: out (\(disconnected\))`)
}

func TestSubInterrupted(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	stdout, stderr := newTranscript(), newTranscript()
	ended := make(chan int, 1)
	s.publish(t, "chat.a", "1")
	go func() {
		ended <- run(t.Context(), []string{"sub", "chat.a", "--server", s.url, "--last", "1"}, stdout, stderr)
	}()
	stdout.await(t, `("data":1)`)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != exitSignal || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSubWrongUse(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--since", "41"}, "write EPOCH:OFFSET"},
		{[]string{"--since", "a:b"}, "is no offset"},
		{[]string{"--since", "a:1", "--last", "2"}, "exclude each other"},
		{[]string{"--count=-1"}, "--count"},
		{[]string{"--last=-1"}, "--last"},
		{[]string{"--token", "a", "--token-file", "b"}, "give one"},
		{[]string{"--connect-timeout", "0s"}, "must be positive"},
	} {
		r := program(t, append([]string{"sub", "chat.a"}, c.args...)...)
		wantResult(t, r, exitUsage, "", c.says)
	}
}

func TestHistory(t *testing.T) {
	s := startTopics(t, sessions.Options{})
	last := s.publish(t, "chat.a", "1", "2", "3", "4").Offset
	at := []string{"history", "chat.a", "--server", s.url}
	data := func(r result) string {
		t.Helper()
		var found []string
		for line := range strings.Lines(r.stdout) {
			var m messageLine
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Error(err)
			}
			found = append(found, string(m.Data))
		}
		return strings.Join(found, " ")
	}
	for _, c := range []struct {
		args []string
		data string
		says string
	}{
		{nil, "1 2 3 4", ""},
		{[]string{"--limit", "2"}, "3 4", fmt.Sprintf("* there are more: --before %d --epoch ", last-1)},
		{[]string{"--before", fmt.Sprint(last - 1), "--limit", "5"}, "1 2", ""},
		{[]string{"--after", "0", "--limit", "3"}, "1 2 3", fmt.Sprintf("--after %d", last-1)},
		{[]string{"--after", fmt.Sprint(last - 1), "--epoch", "gone"}, "1 2 3 4", "forgotten"},
	} {
		r := program(t, append(at, c.args...)...)
		wantResult(t, r, exitOK, "", c.says)
		if got := data(r); got != c.data {
			t.Errorf("history %q printed %s, want %s", c.args, got, c.data)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"history", "plain.a", "--server", s.url}, "(no-history)\nthe server's configuration"},
		{[]string{"presence", "plain.a", "--server", s.url}, "(no-presence)\nthe server's configuration"},
		{append(at, "--limit", "0"), "--limit is 1 to 1000"},
		{append(at, "--before", "1", "--after", "1"), "exclude each other"},
	} {
		r := program(t, c.args...)
		wantResult(t, r, exitUsage, "", c.says)
	}
}
