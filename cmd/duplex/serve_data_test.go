package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// longPatience is how long a test waits for servers that first have to find each other.
const longPatience = 90 * time.Second

// find waits until pattern matches what was printed and returns the first group. It gives up, with an error, when ended has something or
// after longPatience.
func find(s *transcript, pattern string, ended <-chan error) (string, error) {
	expression := regexp.MustCompile(pattern)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	timeout := time.After(longPatience)
	for {
		if found := expression.FindStringSubmatch(s.String()); found != nil {
			return found[1], nil
		}
		select {
		case <-poll.C:
		case err := <-ended:
			return "", fmt.Errorf("the process has ended: %w", err)
		case <-timeout:
			return "", fmt.Errorf("%q was not printed, but %q", pattern, s)
		}
	}
}

// awaitLong is transcript.await with more patience.
func awaitLong(t *testing.T, s *transcript, pattern string) string {
	t.Helper()
	found, err := find(s, pattern, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sessions waits until a server is ready and returns the address of its sessions.
func (p *process) sessions() (string, error) {
	address, err := find(p.stdout, openedAt, p.ended)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, p.stderr)
	}
	return strings.Replace(address, "http", "ws", 1) + "ws", nil
}

func sessionsOf(t *testing.T, p *process) string {
	t.Helper()
	server, err := p.sessions()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// startServer starts a server in a process of its own and returns it with the address of its sessions.
func startServer(t *testing.T, flags ...string) (*process, string) {
	t.Helper()
	p := startProcess(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...)
	return p, sessionsOf(t, p)
}

// kill ends a process as a failing machine would.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	if code := p.end(); code != -1 {
		p.t.Fatalf("exit code %d: %s", code, p.stderr)
	}
}

func publishTo(t *testing.T, server, topic, message string, flags ...string) {
	t.Helper()
	runProgram(t, exitOK, append([]string{"pub", topic, message, "--server", server, "--quiet"}, flags...)...)
}

// TestData: what a killed server kept is there when it starts again: history, positions, ids of messages, and who is present.
func TestData(t *testing.T) {
	key := writeFile(t, "key", "a-secret-of-more-than-thirty-two-bytes\n")
	token, _ := runProgram(t, exitOK, "token", "--key", key, "--user", "ann", "--topic", "chat.>=subscribe,publish,history,presence")
	token = strings.TrimSpace(token)
	t.Setenv("DUPLEX_TOKEN", token) // for all that follows
	settings := writeFile(t, "duplex.yaml", "tokens: {keys: [{file: "+key+", algorithm: HS256}]}\n"+
		"topics: [{pattern: chat.>, presence: full, history: {messages: 10}}]\n")
	data := filepath.Join(t.TempDir(), "data")
	first, server := startServer(t, "--config", settings, "--data", data)
	subscriber := startProcess(t, nil, "sub", "chat.lobby", "--last", "10", "--server", server)
	publishTo(t, server, "chat.lobby", `"one"`)
	awaitLong(t, subscriber.stdout, `"data":("one")`)
	publishTo(t, server, "chat.other", `"elsewhere"`)
	publishTo(t, server, "chat.lobby", `"two"`)
	awaitLong(t, subscriber.stdout, `"data":("two")`)
	publishTo(t, server, "chat.once", `"x"`, "--id", "the-id")
	history, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", server)
	if present, _ := runProgram(t, exitOK, "presence", "chat.lobby", "--server", server); !strings.Contains(present, `"users":[{"user":"ann"`) {
		t.Errorf("present: %s", present)
	}
	first.kill()

	address := strings.TrimSuffix(strings.TrimPrefix(server, "ws://"), "/ws") // where the subscriber looks for it
	second := startProcess(t, nil, "serve", "--config", settings, "--listen", address, "--data", data)
	if again := sessionsOf(t, second); again != server {
		t.Fatalf("%s instead of %s", again, server)
	}
	if kept, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", server); kept != history || strings.Count(kept, "\n") != 2 {
		t.Errorf("history was\n%s\nand is\n%s", history, kept)
	}
	if again := awaitLong(t, subscriber.stdout, `"type":"resubscribed"[^\n]*"recovered":(\w+)`); again != "true" {
		t.Errorf("not recovered: %s", subscriber.stdout)
	}
	publishTo(t, server, "chat.lobby", `"three"`)
	awaitLong(t, subscriber.stdout, `"data":("three")`)
	if n := strings.Count(subscriber.stdout.String(), `"type":"message"`); n != 3 || strings.Contains(subscriber.stdout.String(), `"gap"`) {
		t.Errorf("%d messages:\n%s", n, subscriber.stdout)
	}
	if present, _ := runProgram(t, exitOK, "presence", "chat.lobby", "--server", server); !strings.Contains(present, `"count":1,`) {
		t.Errorf("present: %s", present)
	}
	publishTo(t, server, "chat.once", `"x"`, "--id", "the-id") // a retry
	if once, _ := runProgram(t, exitOK, "history", "chat.once", "--server", server); strings.Count(once, "\n") != 1 {
		t.Errorf("a retry became a message:\n%s", once)
	}
	subscriber.signal(os.Interrupt)
	second.signal(syscall.SIGTERM)
	if code := second.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, second.stderr)
	}
}

// TestPowerFailure: when the machine has gone down, whoever resumes is told that there may be a gap, once.
func TestPowerFailure(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p, server := startServer(t, "--data", data)
	subscriber := startProcess(t, nil, "sub", "chat.lobby", "--last", "10", "--server", server)
	publishTo(t, server, "chat.lobby", `"one"`)
	awaitLong(t, subscriber.stdout, `"data":("one")`)
	p.kill()
	// Another start of the machine is all that tells a power failure from this.
	if err := os.WriteFile(filepath.Join(data, "state.json"), []byte(`{"clean":false,"boot":"the one before"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(server, "ws://"), "/ws")
	again := startProcess(t, nil, "serve", "--listen", address, "--data", data)
	sessionsOf(t, again)
	awaitLong(t, again.stderr, `(messages may be lost, as the machine went down without a clean end, or the data is a copy; subscribers are told of a gap)`)
	awaitLong(t, subscriber.stdout, `("type":"gap")`)
	if recovered := awaitLong(t, subscriber.stdout, `"type":"resubscribed"[^\n]*"recovered":(\w+)`); recovered != "false" {
		t.Errorf("recovered, and perhaps not: %s", subscriber.stdout)
	}
	publishTo(t, server, "chat.lobby", `"two"`)
	awaitLong(t, subscriber.stdout, `"data":("two")`)
	again.kill()
	third := startProcess(t, nil, "serve", "--listen", address, "--data", data)
	sessionsOf(t, third)
	if recovered := awaitLong(t, subscriber.stdout, `(?s)"resubscribed".*"resubscribed"[^\n]*"recovered":(\w+)`); recovered != "true" {
		t.Errorf("told twice: %s", subscriber.stdout)
	}
}

// TestDataInUse: two servers do not share a directory, and a path that cannot be one is refused.
func TestDataInUse(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first, _ := startServer(t, "--data", data)
	_, refused := runProgram(t, exitUsage, "serve", "--listen", "127.0.0.1:0", "--data", data)
	if want := fmt.Sprintf("the data directory %s is in use by another server (process %d)", data, first.Process.Pid); !strings.Contains(refused, want) {
		t.Errorf("%q does not say %q", refused, want)
	}
	first.signal(syscall.SIGTERM)
	if code := first.end(); code != exitOK {
		t.Errorf("exit code %d: %s", code, first.stderr)
	}
	_, refused = runProgram(t, exitUsage, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(os.Args[0], "data"))
	if !strings.Contains(refused, "a part of this path is a file") {
		t.Errorf("%q", refused)
	}
	_, refused = runProgram(t, exitUsage, "serve", "--listen", "127.0.0.1:0", "--data", data,
		"--cluster", "a=127.0.0.1:1,b=127.0.0.1:2,c=127.0.0.1:3", "--node", "a")
	if !strings.Contains(refused, "holds the data of a server on its own and cannot serve node a of a cluster") {
		t.Errorf("%q", refused)
	}
}
