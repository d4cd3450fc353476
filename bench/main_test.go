package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A short run of the real thing: it starts servers and load, and the report has what a reader needs. Both share core 0, as a machine
// for tests may have no other.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	err := run([]string{"-scenarios", "echo64,ct1k", "-servers", "gws,gorilla", "-rounds", "2", "-duration", "50ms", "-warmup", "20ms",
		"-load-core", "0", "-o", file})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^\| scenario \| gws \| gorilla \|$`,
		`(?m)^\| echo64 \| \d+ \| \d+ \(\d+\.\d{3}\) \|$`,
		`(?m)^\| ct1k \| \d+ \| - \|$`, // gorilla has no context takeover
		`(?m)^\| echo64 \| gorilla \| \d+ \| \d+ \| \d+ % \| \d+ % \| 64 \|$`,
		`(?m)^- command: .go run \. -scenarios echo64,ct1k`,
		`(?m)^- machine: .+ cores, Linux `,
		`(?m)^- github.com/lxzan/gws v`,
	} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("the report lacks %s:\n%s", want, b)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-scenarios", "nosuch"}, {"-servers", "nosuch"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), "nosuch") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestMedian(t *testing.T) {
	ns := func(m measurement) float64 { return m.ServerNs }
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{1, 100}, 50.5}, {[]float64{4, 1, 3, 100}, 3.5}} {
		r := row{rounds: map[string][]measurement{}}
		for _, v := range c.values {
			r.rounds["gws"] = append(r.rounds["gws"], measurement{ServerNs: v})
		}
		if got, ok := r.median("gws", ns); !ok || got != c.want {
			t.Errorf("median of %v: %v", c.values, got)
		}
	}
	if _, ok := (row{}).median("gws", ns); ok {
		t.Error("a median of nothing")
	}
}
