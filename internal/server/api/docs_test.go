package api

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// example is a command of the documentation, and the answer that it shows.
var example = regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n```json\n(.*?)^```")

// TestDocumentedCommands runs the page's commands with the real curl, one after another, and compares what they print.
func TestDocumentedCommands(t *testing.T) {
	page, err := os.ReadFile("../../../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	found := example.FindAllStringSubmatch(string(page), -1)
	if commands := strings.Count(string(page), "```sh\n"); len(found) < len(routes) || len(found) != commands {
		t.Fatalf("%d commands, and %d with an answer", commands, len(found))
	}
	s := serve(t, nil)
	s.api.options.Shed = func(_ context.Context, fraction float64) (int, error) { s.shed = fraction; return 0, nil }
	for _, session := range []string{"8f2kq0a2", "8f2kq0a3"} {
		s.enter(session, "ann", "chat.lobby")
	}
	for _, each := range found {
		command, want := strings.ReplaceAll(each[1], "http://127.0.0.1:8080", s.url), decoded(t, each[2])
		shell := exec.CommandContext(t.Context(), "sh", "-c", command)
		shell.Env = append(os.Environ(), "KEY="+apiKey, "http_proxy=", "HTTP_PROXY=")
		printed, err := shell.Output()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, command, printed)
		}
		if got := decoded(t, string(printed)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nprinted\n%s\nand not\n%s", command, printed, each[2])
		}
	}
	if s.shed != 0.2 || !reflect.DeepEqual(s.revoked, []string{"ann"}) {
		t.Errorf("shed %v, revoked %v", s.shed, s.revoked)
	}
}

// decoded is JSON without what differs from one run to another.
func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	hide(value)
	return value
}

func hide(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			switch name {
			case "epoch", "time", "since", "session":
				v[name] = reflect.TypeOf(inner).String()
			default:
				hide(inner)
			}
		}
	case []any:
		for _, inner := range v {
			hide(inner)
		}
	}
}
