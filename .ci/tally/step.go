package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// step is one target of the Makefile.
type step struct {
	name  string
	out   io.Writer
	began time.Time
}

// command runs a command and counts what it prints.
func (s *step) command(read reader, args []string) (counts, error) {
	var c counts
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	readErr := read(&c, output, s.out)
	if err := cmd.Wait(); err != nil {
		return c, fmt.Errorf("%s: %w", filepath.Base(args[0]), err)
	}
	return c, readErr
}

// Bounds on the time that one fuzz target gets, whatever the total.
const (
	leastFuzz = time.Second
	mostFuzz  = 20 * time.Second
)

// fuzz finds every fuzz target and gives each an equal part of the total time.
func (s *step) fuzz(total string) (counts, error) {
	var c counts
	limit, err := time.ParseDuration(total)
	if err != nil {
		return c, err
	}
	targets, err := fuzzTargets()
	if err != nil {
		return c, err
	}
	if len(targets) == 0 {
		return c, fmt.Errorf("found no fuzz target")
	}
	each := min(max(limit/time.Duration(len(targets)), leastFuzz), mostFuzz).Round(time.Second)
	for _, t := range targets {
		fmt.Fprintf(s.out, "%s %s %v\n", t.pkg, t.name, each)
		cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), t.pkg)
		if output, err := cmd.CombinedOutput(); err != nil && !onlyTimeUp(output) {
			fmt.Fprintf(s.out, "%s", output)
			c.fail(t.pkg + " " + t.name)
			continue
		}
		c.Passed++
	}
	return c, nil
}

// timeUp is how go test -fuzz sometimes reports the end of its -fuzztime, and nothing else. The deadline of its
// coordinator's outer context can be seen an instant before that of the inner one, which alone it expects (Go 1.26,
// internal/fuzz.CoordinateFuzzing).
var timeUp = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \([\d.]+s\)\n    context deadline exceeded\nFAIL\n`)

// onlyTimeUp reports whether a fuzz run "failed" because its time was up. A fault that it found comes with the
// input that shows it, or with what was printed about it.
func onlyTimeUp(output []byte) bool {
	return timeUp.Match(output) && bytes.Count(output, []byte("--- FAIL")) == 1 && !bytes.Contains(output, []byte("Failing input"))
}

type fuzzTarget struct{ pkg, name string }

// fuzzTargets asks the test binaries, so that a target cannot be forgotten.
func fuzzTargets() ([]fuzzTarget, error) {
	cmd := exec.Command("go", "test", "-json", "-list", "^Fuzz", "./...")
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	var found []fuzzTarget
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return nil, err
		}
		if name := strings.TrimSpace(e.Output); e.Action == "output" && strings.HasPrefix(name, "Fuzz") {
			found = append(found, fuzzTarget{e.Package, name})
		}
	}
	return found, nil
}
