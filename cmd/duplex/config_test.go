package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// runProgram runs the program to its end.
func runProgram(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != code {
		t.Errorf("%q: exit code %d, want %d: %s", args, got, code, errs.String())
	}
	return out.String(), errs.String()
}

func TestConfigCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "duplex.yaml")
	check := func(code int, content string, args ...string) string {
		t.Helper()
		writeConfig(t, file, content)
		stdout, stderr := runProgram(t, code, append([]string{"config", "check", "--config", file}, args...)...)
		return stdout + stderr
	}
	const cluster = "data: d\nnode: a\ncluster: [a=10.0.0.7:1, b=10.0.0.8:1, c=10.0.0.9:1]\n"
	short, empty := writeFile(t, "short", "hello\n"), writeFile(t, "empty", "\n")
	for _, c := range []struct {
		name, content, says string
		code                int
	}{
		{"in order", "topics: [{pattern: a}]\n", "the configuration is in order\n", exitOK},
		{"odd", "topics: [{pattern: '>'}, {pattern: a}]\n", "never holds", exitOK},
		{"unknown key", "drain:\n  timout: 3s\n", file + ":2: drain: there is no key \"timout\"; did you mean timeout?", exitUsage},
		{"two mistakes", "drian: 1\nlog: {level: x}\n", "the configuration has 2 mistakes:\n  " + file + ":1: ", exitUsage},
		{"a file that is not there", "tokens: {keys: [{file: missing, algorithm: HS256}]}\n", "keys[0].file", exitUsage},
		{"data", "data: /var/lib/duplex\n", "the configuration is in order\n", exitOK},
		{"a secret that is not there", cluster + "bus: {cluster-secret-file: missing}\n", "bus.cluster-secret-file: open missing", exitUsage},
		{"a secret that is short", cluster + "bus: {cluster-secret-file: " + short + "}\n", short + " has 5 bytes; write 16 or more", exitUsage},
		{"an empty password", "nats: ['nats://a:4222']\nbus: {user: me, password-file: " + empty + "}\n", "bus.password-file: " + empty + " is empty", exitUsage},
		{"no certificates", "nats: ['tls://a:4222']\nbus: {ca: " + short + "}\n", "bus.ca: " + short + " holds no certificate", exitUsage},
		{"no key", "nats: ['tls://a:4222']\nbus: {cert: " + short + ", key: missing}\n", "bus.cert: the certificate in " + short, exitUsage},
		{"not safe", "listen: ':80'\n", "--insecure-anonymous", exitUsage},
	} {
		if said := check(c.code, c.content); !strings.Contains(said, c.says) {
			t.Errorf("%s: %q does not say %q", c.name, said, c.says)
		}
	}
	if said := check(exitUsage, "", "--drain-timeout", "soon", "--log-level=inf"); !strings.Contains(said, `--drain-timeout: "soon" is not a duration`) ||
		!strings.Contains(said, "did you mean info?") {
		t.Error(said)
	}
}

func TestConfigPrint(t *testing.T) {
	t.Setenv("DUPLEX_DRAIN_RATE", "5")
	t.Setenv("DUPLEX_API_KEYS", "a-key-of-more-than-twenty-characters")
	file := filepath.Join(t.TempDir(), "duplex.yaml")
	writeConfig(t, file, "drain:\n  timeout: 3s\n  rate: 7\n")
	t.Setenv("DUPLEX_CONFIG", file)
	printed, _ := runProgram(t, exitOK, "config", "print", "--no-metrics", "--origins", "https://a.example,https://b.example", "--log-level", "warn")
	for _, line := range []string{
		"listen: 127.0.0.1:8080 # default", "timeout: 3s # " + file + ":2", "rate: 5 # DUPLEX_DRAIN_RATE", "metrics: false # --metrics",
		"origins: ['https://a.example', 'https://b.example'] # --origins", "level: warn # --log-level", "keys: [(secret)] # DUPLEX_API_KEYS",
	} {
		if !strings.Contains(printed, line+"\n") {
			t.Errorf("%q is not in\n%s", line, printed)
		}
	}
	if strings.Contains(printed, "a-key") {
		t.Error("a secret is printed")
	}
	if _, stderr := runProgram(t, exitUsage, "config", "print", "--api-keys", "x"); !strings.Contains(stderr, "--api-keys") {
		t.Error(stderr)
	}
}
