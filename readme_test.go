package duplex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// documents are the pages whose Go code must compile. The first two say the same in two languages.
var documents = []string{"README.md", "README.zh-CN.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/client.md"}

var fencedGo = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// programs returns the Go code of a page, block by block. Each block is a whole program.
func programs(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, block := range fencedGo.FindAllStringSubmatch(string(text), -1) {
		found = append(found, block[1])
	}
	return found
}

// build compiles a program as if it lay in this module, without writing into it, and returns the binary's path.
func build(t *testing.T, source string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file, overlay, binary := filepath.Join(folder, "main.go"), filepath.Join(folder, "overlay.json"), filepath.Join(folder, "program.exe")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "documented", "main.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, []byte(source), 0o666), os.WriteFile(overlay, replace, 0o666)); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", binary, "./documented").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, source)
	}
	return binary
}

func TestDocumentedCodeCompiles(t *testing.T) {
	for _, page := range documents {
		if page == "README.zh-CN.md" {
			continue // the same code, see TestReadmesAgree
		}
		for i, source := range programs(t, page) {
			t.Run(fmt.Sprintf("%s %d", page, i+1), func(t *testing.T) { build(t, source) })
		}
	}
}

func TestReadmesAgree(t *testing.T) {
	english, chinese := programs(t, "README.md"), programs(t, "README.zh-CN.md")
	if len(english) == 0 || !slices.Equal(withoutComments(english), withoutComments(chinese)) {
		t.Error("README.md and README.zh-CN.md do not show the same code")
	}
}

var comment = regexp.MustCompile(`(?m)\s*// .*$`)

func withoutComments(sources []string) []string {
	bare := make([]string, len(sources))
	for i, source := range sources {
		bare[i] = comment.ReplaceAllString(source, "")
	}
	return bare
}

// TestReadmeProgramsTalk runs the programs of README.md: each client against each server.
func TestReadmeProgramsTalk(t *testing.T) {
	const documented = "127.0.0.1:8080"
	sources := programs(t, "README.md")
	if len(sources) != 5 {
		t.Fatalf("README.md shows %d programs; this test knows a hub, a server, a client, an event server and a browser-like client", len(sources))
	}
	sources = sources[1:] // TestReadmeHub
	want := map[int]string{1: "hello <nil>\n", 3: "hello\n1000 (normal closure) true\n"}
	for _, server := range []int{0, 2} {
		address := freeAddress(t)
		at := func(source string) string { return strings.ReplaceAll(source, documented, address) }
		start(t, build(t, at(sources[server])), address)
		for _, client := range []int{1, 3} {
			output, err := exec.CommandContext(t.Context(), build(t, at(sources[client]))).CombinedOutput()
			if err != nil || string(output) != want[client] {
				t.Errorf("program %d against %d: %v, printed %q, want %q", client+1, server+1, err, output, want[client])
			}
		}
	}
}

// TestReadmeHub runs the program with topics and sends it what the page's JavaScript sends, but for another topic.
func TestReadmeHub(t *testing.T) {
	address := freeAddress(t)
	start(t, build(t, strings.ReplaceAll(programs(t, "README.md")[0], "127.0.0.1:8080", address)), address)
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := websocket.Dial(ctx, "ws://"+address+"/ws", &websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{"duplex.v1"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, sent := range regexp.MustCompile(`socket\.send\('(.*)'\)`).FindAllStringSubmatch(string(page), -1) {
		if err := c.Write(ctx, websocket.Text, []byte(strings.ReplaceAll(sent[1], "news.>", "clock"))); err != nil {
			t.Fatal(err)
		}
	}
	var frame struct{ Type, Topic, Data string }
	if err := c.ReadJSON(ctx, &frame); err != nil || frame.Type != "message" || frame.Topic != "clock" || len(frame.Data) != len("15:04:05") {
		t.Errorf("the program sent %+v, %v", frame, err)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a server until the test ends and waits until it listens.
func start(t *testing.T, binary, address string) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(binary)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // its error says that it was killed
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for retry := time.NewTicker(10 * time.Millisecond); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case <-retry.C:
		case <-ended:
			t.Fatalf("the server ended: %s", output.String())
		case <-ctx.Done():
			t.Fatal("the server does not listen")
		}
	}
}
