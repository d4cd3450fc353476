package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counts is what a step found.
type counts struct {
	Passed, Failed int
	Notes          []string // what failed, for the summary
}

// reader takes in a command's output, passes on to w what people want to see, and counts.
type reader func(c *counts, r io.Reader, w io.Writer) error

func (c *counts) fail(note string) {
	c.Failed++
	c.Notes = append(c.Notes, note)
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// readGo shows a line for each package, and everything that a failed test printed.
func (c *counts) readGo(r io.Reader, w io.Writer) error {
	printed := make(map[string][]string) // by package and test, until it is known to pass
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprintf(w, "%s", line) // go itself speaks, for instance of a package that does not build
			} else {
				c.event(&e, printed, w)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counts) event(e *event, printed map[string][]string, w io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if e.Test == "" && strings.HasPrefix(e.Output, "ok ") {
			fmt.Fprint(w, e.Output)
		} else {
			printed[key] = append(printed[key], e.Output)
		}
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "pass":
		if e.Test != "" {
			c.Passed++
		}
		delete(printed, key)
	case "skip":
		if e.Test != "" { // a package is skipped when it has no tests
			c.fail(key + " (skipped)")
			fmt.Fprint(w, strings.Join(printed[key], ""))
		}
		delete(printed, key)
	case "fail":
		if e.Test != "" {
			c.fail(key)
			fmt.Fprint(w, strings.Join(printed[key], ""))
			delete(printed, key)
			return
		}
		if !c.mentions(e.Package) {
			c.fail(e.Package) // it did not build, panicked or ran out of time
		}
		for _, key := range slices.Sorted(maps.Keys(printed)) { // tests that never ended tell why
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(w, strings.Join(printed[key], ""))
				delete(printed, key)
			}
		}
	}
}

func (c *counts) mentions(pkg string) bool {
	for _, note := range c.Notes {
		if strings.HasPrefix(note, pkg+" ") {
			return true
		}
	}
	return false
}

// tapLine is a result of TAP 13, at any depth of subtests.
var tapLine = regexp.MustCompile(`^\s*(not )?ok \d+(?: - (.*))?$`)

// readTAP shows the output as it is. node writes a suite's line after those of its tests; both count, as in Go.
func (c *counts) readTAP(r io.Reader, w io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(w, lines.Text())
		found := tapLine.FindStringSubmatch(lines.Text())
		switch {
		case found == nil:
		case found[1] != "":
			c.fail(found[2])
		case strings.Contains(found[2], "# SKIP"), strings.Contains(found[2], "# TODO"):
			c.fail(found[2])
		default:
			c.Passed++
		}
	}
	return lines.Err()
}

func (c *counts) readNothing(r io.Reader, w io.Writer) error {
	_, err := io.Copy(w, r)
	return err
}

// save writes the counts of a step for sum, and returns an error if anything failed.
func (s *step) save(c counts, err error) error {
	if err != nil && c.Failed == 0 {
		c.fail(fmt.Sprintf("%s: %v", s.name, err))
	}
	if mkErr := os.MkdirAll(folder(), 0o777); mkErr != nil {
		return mkErr
	}
	text, jsonErr := json.Marshal(c)
	if jsonErr != nil {
		return jsonErr
	}
	if writeErr := os.WriteFile(filepath.Join(folder(), s.name), text, 0o666); writeErr != nil {
		return writeErr
	}
	fmt.Fprintf(s.out, "%s: %d passed, %d failed, in %.0f s\n", s.name, c.Passed, c.Failed, time.Since(s.began).Seconds())
	if c.Failed > 0 {
		return errors.New(s.name + " failed")
	}
	return nil
}

// sum prints what failed and, as the last line, the totals.
func sum(w io.Writer) error {
	files, err := os.ReadDir(folder())
	if err != nil {
		return err
	}
	var total counts
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder(), file.Name()))
		if err != nil {
			return err
		}
		var c counts
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
		total.Passed += c.Passed
		total.Failed += c.Failed
		for _, note := range c.Notes {
			fmt.Fprintf(w, "FAILED %s: %s\n", file.Name(), note)
		}
	}
	fmt.Fprintln(w, strconv.Itoa(total.Passed)+" passed, "+strconv.Itoa(total.Failed)+" failed")
	switch {
	case total.Failed > 0:
		return errors.New("there are failures")
	case total.Passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
