package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// The scenario cluster, small: all that it measures has a value, and the section is merged into a report.
func TestCluster(t *testing.T) {
	dir := t.TempDir()
	var programs programs
	if err := build(dir, &programs, []server{{ours: true}}); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(dir, "RESULTS.md")
	if err := os.WriteFile(output, []byte("# head\n\n## Scenarios\n\n- x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := clusterPlan{
		dir: dir, brokers: true, duration: 100 * time.Millisecond, rounds: 1, subs: 1000, growthRate: 2000,
		recovery: []swarmPlan{{clients: 100, topics: 20, rate: 100, baseDelay: 200 * time.Millisecond, steady: 300 * time.Millisecond}},
	}
	if err := runCluster(p, &programs, output, []string{"a test"}); err != nil {
		t.Fatal(err)
	}
	f, err := figures.Load(filepath.Join(dir, clusterFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Publish) != 9 || len(f.Latency) != 8 || len(f.Growth) != 16 || len(f.Resume) != 6 || len(f.Recovery) != 1 {
		t.Errorf("the figures are not complete: %+v", f)
	}
	for _, g := range f.Growth {
		if g.CPU <= 0 {
			t.Errorf("no CPU time: %+v", g)
		}
	}
	if r := f.Recovery[0]; r.Missing != 0 || r.Gaps != 0 || r.Delivered != 5*r.Published {
		t.Errorf("%d published, %d delivered to five each, %d missing, %d gaps", r.Published, r.Delivered, r.Missing, r.Gaps)
	}
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); !strings.HasPrefix(s, "# head\n\n## Cluster\n") || !strings.HasSuffix(s, "\n\n## Scenarios\n\n- x\n") || strings.Count(s, clusterHeading) != 1 {
		t.Errorf("merged:\n%s", s)
	} else if again, err := mergeCluster(s, clusterSection(f)); again != s || err != nil { // it takes the place of the first
		t.Errorf("merged again: %v\n%s", err, again)
	}
	if _, err := mergeCluster("# another file", "x"); err == nil {
		t.Error("merged into what is no report")
	}
}

// The section Cluster of RESULTS.md says what cluster.json says.
func TestClusterSection(t *testing.T) {
	f, err := figures.Load(clusterFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), clusterSection(f)) {
		t.Errorf("the section Cluster of RESULTS.md is not that of %s:\n%s", clusterFile, clusterSection(f))
	}
}
