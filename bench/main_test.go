package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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

// The servers with topics, small: both kinds of measurement, and what the report says about them.
func TestTopics(t *testing.T) {
	p := plan{rounds: 1, duration: 100 * time.Millisecond, warmup: 20 * time.Millisecond}
	var err error
	if p.servers, err = pickServers("duplex-loop,gws,gorilla,duplex-hub,duplex-session,socket.io"); err != nil {
		t.Fatal(err)
	}
	if err := build(t.TempDir(), &p.programs, p.servers); err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, s := range []scenario{
		{name: "bcast", mode: "broadcast", conns: 20, size: 128, inFlight: 1},
		{name: "fanout", mode: "broadcast", conns: 20, size: 128, inFlight: 1, rate: 50, topics: true, longer: 2},
		{name: "clients", mode: "idle", conns: 500, size: 128, inFlight: 1, topics: true},
	} {
		r, err := p.row(s)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	text := report(p, rows, "go test")
	for _, want := range []string{
		`(?m)^\| scenario \| duplex-loop \| gws \| gorilla \|$`,
		`(?m)^\| bcast \| \d+ \(\d+\.\d{3}\) \| \d+ \| \d+ \(\d+\.\d{3}\) \|$`,
		`(?m)^\| scenario \| duplex-loop \| gws \| duplex-hub \| duplex-session \| socket.io \|$`,
		`(?m)^\| bcast \| \d+ \| \d+ \(\d+\.\d{3}\) \| \d+ \(\d+\.\d{3}\) \| \d+ \(\d+\.\d{3}\) \| \d+ \(\d+\.\d{3}\) \|$`,
		`(?m)^\| fanout \| - \| - \| - \| \d+ \| \d+ \|$`,
		`(?m)^\| clients \| - \| - \| - \| -?\d+ / -?\d+ \| -?\d+ / -?\d+ \|$`,
		`(?m)^\| fanout: deliveries for each second of CPU time \| \d+ \| \d+ \| \d+\.\d{3} \|$`,
		`(?m)^\| clients: bytes for each idle client that has subscribed \| -?\d+ \| -?\d+ \| -?\d+\.\d{3} \|$`,
		`(?m)^- socket.io 4\.\d+\.\d+ on Node v\d+`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n| fanout |"); n != 3 || !strings.Contains(text, "- **fanout**: ") { // its row, and its spread for each server that has it
		t.Errorf("%d lines about fanout:\n%s", n, text)
	}
	merged := "# head\n\n## Scenarios\n\n- x\n"
	for _, day := range []string{"yesterday", "today"} { // the second takes the place of the first
		if merged, err = mergeTopics(merged, topicSection(p.servers, rows), spreads(p.servers, rows), []string{day}); err != nil {
			t.Fatal(err)
		}
	}
	if !regexp.MustCompile(`(?s)^# head\n\n## Topics\n\nThe .*by itself: today; socket.io .*\n\n## Scenarios\n\n- x\n$`).MatchString(merged) ||
		strings.Contains(merged, "yesterday") {
		t.Errorf("merged:\n%s", merged)
	}
	if _, err := mergeTopics("# another file", "x", "", nil); err == nil {
		t.Error("merged into what is no report")
	}
	if topicSection(p.servers, nil) != "" || topicSection(p.servers[:2], rows) != "" {
		t.Error("a section about nothing")
	}
}
