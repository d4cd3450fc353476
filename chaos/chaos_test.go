package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// chaos builds this program and returns what runs it and gives its exit code and what it has printed. It puts its logs into a folder; empty
// stands for the system's, where they outlast the test.
func chaos(t *testing.T, logs string) func(args ...string) (int, string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "chaos.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-until-eof"}, args...)...)
		if _, err := cmd.StdinPipe(); err != nil { // when the test ends, however it does, so does the program
			t.Fatal(err)
		}
		if logs != "" {
			cmd.Env = append(os.Environ(), "TMPDIR="+logs)
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String()
	}
}

// TestPlanted: a run in which messages get lost on the way to clients fails, and says which. There are no namespaces in it, but proxies.
func TestPlanted(t *testing.T) {
	code, out := chaos(t, t.TempDir())("-short", "-topology", "memory", "-network", "links", "-clients", "20", "-rate", "200", "-faults", "isolate-node", "-lose", "20")
	if code != 1 || !strings.Contains(out, "is missing, and no gap was told") || strings.Contains(out, "unexplained               0") ||
		!strings.Contains(out, "proxies between all processes") {
		t.Errorf("the exit code is %d, and it says:\n%s", code, out)
	}
}

// TestNodeDies: a program that ends by itself is a failure, also while everything starts, and at once.
func TestNodeDies(t *testing.T) {
	fails, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	code, out := chaos(t, t.TempDir())("-topology", "memory", "-network", "links", "-binary", fails)
	if code != 1 || !strings.Contains(out, "d1 ended by itself") {
		t.Errorf("the exit code is %d, and it says:\n%s", code, out)
	}
}

func TestBadFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-topology ring", `-topology "ring"; it is one of nats, cluster, memory`},
		{"-network air", `-network "air"; it is one of auto, namespaces, links`},
		{"-clients 2", "-clients 2; there are between 10 and 5000"},
		{"-topics 2", "-topics 2; there are between 10 and 1000"},
		{"-rate 0", "-rate 0; it is above 0"},
		{"-duration 1ms", "-duration 1ms; it is between 1s and 24h"},
		{"-converge 1ms", "-converge 1ms; it is between 1s and 1h"},
		{"-lose -1", "-lose -1; it is 0 or more"},
		{"-faults kill-cat", `-faults "kill-cat"; the kinds are kill-node, `},
		{"now", `"now" is no flag`},
	} {
		var out, wrong bytes.Buffer
		if code := command(strings.Fields(c.args), strings.NewReader(""), &out, &wrong); code != 2 || !strings.Contains(wrong.String(), c.says) {
			t.Errorf("%s: exit code %d, %s", c.args, code, wrong.String())
		}
	}
}
