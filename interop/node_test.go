package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// node prepares a command that runs one of the scripts.
func node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	for _, need := range []string{"node_modules/ws", "node_modules/undici"} {
		if _, err := os.Stat(need); err != nil {
			t.Fatalf("npm package missing: %v; run 'make deps'", err)
		}
	}
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("Node is missing: %v; run 'make deps'", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	// Node 20 has its built-in client behind a flag, later ones accept it.
	cmd := exec.CommandContext(ctx, path, append([]string{"--no-warnings", "--experimental-websocket"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// The ways in which ws compresses.
var nodeDeflate = map[string]any{
	"off":                 false,
	"takeover":            map[string]any{"threshold": 0},
	"no takeover":         map[string]any{"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true},
	"server no takeover":  map[string]any{"threshold": 0, "serverNoContextTakeover": true},
	"client no takeover":  map[string]any{"threshold": 0, "clientNoContextTakeover": true},
	"10 and 11 bits":      map[string]any{"threshold": 0, "serverMaxWindowBits": 10, "clientMaxWindowBits": 11},
	"9 bits, no takeover": map[string]any{"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 9, "serverNoContextTakeover": true, "clientNoContextTakeover": true},
}

// A nodeJob is one conversation of client.mjs, and how it went.
type nodeJob struct {
	Name    string `json:"name"`
	Client  string `json:"client"`
	URL     string `json:"url"`
	Options any    `json:"options"`

	theirs, ours string
	server       *ourServer
}

type nodeResult struct {
	Name       string
	Error      string
	Extensions string
	Protocol   string
	Closes     []struct {
		Code   int
		Reason string
		Clean  bool
	}
}

// ws, undici and Node's own client against our server.
func TestNodeClients(t *testing.T) {
	var jobs []nodeJob
	add := func(client, theirs, ours, style string, options any) {
		server := startOurs(t, style, ours, "chat.v2", "chat.v1")
		jobs = append(jobs, nodeJob{Name: fmt.Sprintf("%s %s, ours %s, %s", client, theirs, ours, style), Client: client, URL: server.url,
			Options: options, theirs: theirs, ours: ours, server: server})
	}
	for ours := range ourSettings {
		for _, style := range styles {
			for theirs, setting := range nodeDeflate {
				add("ws", theirs, ours, style, map[string]any{"perMessageDeflate": setting})
			}
			add("undici", "as it is", ours, style, nil)
			add("builtin", "as it is", ours, style, nil)
		}
	}
	list, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, "node/client.mjs", string(list)).Output()
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]nodeResult{}
	for line := range strings.Lines(string(out)) {
		var r nodeResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results[r.Name] = r
	}
	for _, job := range jobs {
		t.Run(job.Name, func(t *testing.T) { checkNodeClient(t, job, results[job.Name]) })
	}
}

func checkNodeClient(t *testing.T, job nodeJob, r nodeResult) {
	if r.Name == "" || r.Error != "" {
		t.Fatalf("no success: %s", r.Error)
	}
	if r.Protocol != "chat.v2" {
		t.Errorf("subprotocol %q", r.Protocol)
	}
	// The built-in client of Node 20 does not offer compression; that of later ones does, as undici does.
	agreed := strings.HasPrefix(<-job.server.extensions, "permessage-deflate")
	if want := job.theirs != "off" && job.ours != "off"; agreed != want && job.Client != "builtin" {
		t.Errorf("compression agreed: %v; the client says %q", agreed, r.Extensions)
	}
	want := []ending{{4001, "genug 够了"}, {4002, "server says bye"}, {1005, ""}, {1000, strings.Repeat("é", 61)}}
	for i, e := range want {
		if i >= len(r.Closes) {
			t.Fatalf("%d endings, want %d", len(r.Closes), len(want))
		}
		// Only who is closed hears the reason; who closes hears his own code back.
		if got := r.Closes[i]; !got.Clean || got.Code != e.code || i > 0 && got.Reason != e.reason {
			t.Errorf("their ending %d: %+v, want %v", i, got, e)
		}
		if got := awaitEnding(t, job.server.ended); got.code != e.code || i == 0 && got.reason != e.reason {
			t.Errorf("our ending %d: %v, want %v", i, got, e)
		}
	}
}

// Our client against ws.
func TestNodeServers(t *testing.T) {
	settings, err := json.Marshal(nodeDeflate)
	if err != nil {
		t.Fatal(err)
	}
	cmd := node(t, "node/server.mjs", string(settings))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close() // ends it
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	}()
	lines := bufio.NewReader(stdout)
	var ports map[string]int
	if first, err := lines.ReadBytes('\n'); err != nil || json.Unmarshal(first, &ports) != nil {
		t.Fatalf("the script said %q, %v", first, err)
	}
	for theirs, port := range ports {
		for ours := range ourSettings {
			t.Run(theirs+", ours "+ours, func(t *testing.T) {
				testNodeServer(t, fmt.Sprintf("ws://127.0.0.1:%d", port), theirs, ours, lines)
			})
		}
	}
}

func testNodeServer(t *testing.T, url, theirs, ours string, lines *bufio.Reader) {
	c, in, out, err := dialOurs(t, url, ours)
	if theirs == "10 and 11 bits" && ours == "9 and 10 bits" {
		// ws insists on its window of 10 bits where 9 are offered, and refuses rather than go without compression.
		if refused, ok := errors.AsType[*websocket.HandshakeError](err); !ok || refused.Status != http.StatusBadRequest {
			t.Errorf("Dial: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	agreed := strings.HasPrefix(c.Extensions(), "permessage-deflate")
	if want := theirs != "off" && ours != "off"; agreed != want || c.Subprotocol() != "chat.v1" {
		t.Errorf("agreed on %q and %q", c.Extensions(), c.Subprotocol())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	total := exchangeOurs(ctx, t, c)
	if agreed && (in.Load() > total/2 || out.Load() > total/2) {
		t.Errorf("compressed %d bytes to %d sent and %d received", total, out.Load(), in.Load())
	}
	if err := writeOurParts(ctx, c, websocket.Text, []string{"Vi", fragmented, "fragmentiert"}); err != nil {
		t.Fatal(err)
	}
	expectOurs(ctx, t, c, websocket.Text, "Vi"+fragmented+"fragmentiert")
	sendOurs(ctx, t, c, fragmentsCommand)
	expectOurs(ctx, t, c, websocket.Text, fragmented)
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	sendOurs(ctx, t, c, pingCommand)
	expectOurs(ctx, t, c, websocket.Text, ponged)
	if err := c.Close(ctx, 4001, "genug 够了"); err != nil {
		t.Error(err)
	}
	expectNodeEnding(t, lines, theirs, ending{4001, "genug 够了"})

	for _, e := range []ending{{4002, "server says bye"}, {1005, ""}, {1011, strings.Repeat("é", 61)}} {
		c, _, _, err := dialOurs(t, url, ours)
		if err != nil {
			t.Fatal(err)
		}
		sendOurs(ctx, t, c, fmt.Sprintf("%s%d %s", closeCommand, e.code, e.reason))
		_, _, err = c.Read(ctx)
		if got := ourEnding(err); got != e {
			t.Errorf("our client saw %v, want %v", got, e)
		}
		expectNodeEnding(t, lines, theirs, ending{e.code, ""}) // our answer repeats the code only
	}
}

func expectNodeEnding(t *testing.T, lines *bufio.Reader, name string, want ending) {
	t.Helper()
	var got struct {
		Name   string
		Code   int
		Reason string
	}
	line, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &got); err != nil || got.Name != name || got.Code != want.code || got.Reason != want.reason {
		t.Errorf("their server saw %s, want %v of %q", line, want, name)
	}
}
