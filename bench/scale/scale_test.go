package main

import (
	"math"
	"os"
	"testing"
)

// The tables of docs/scale.md are those that the measurements give.
func TestDocument(t *testing.T) {
	const name = "../../docs/scale.md"
	all, err := calculate(&standard, "../cluster.json", "../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after, err := replace(string(text), all)
	if err != nil {
		t.Fatal(err)
	}
	if after != string(text) {
		t.Error("docs/scale.md is not what is measured: go run ./scale -w ../docs/scale.md")
	}
	if _, err := replace("# no marks", all); err == nil {
		t.Error("tables without a place")
	}
}

func TestFit(t *testing.T) {
	l, err := fit([]float64{0, 1, 2, 3}, []float64{10, 13, 16, 19})
	if err != nil || math.Abs(l.base-10) > 1e-9 || math.Abs(l.each-3) > 1e-9 || math.Abs(l.at(100)-310) > 1e-6 {
		t.Errorf("%+v %v", l, err)
	}
	for _, x := range [][]float64{nil, {1}, {2, 2}} {
		if _, err := fit(x, make([]float64, len(x))); err == nil {
			t.Errorf("a line through %v", x)
		}
	}
}

func TestHeld(t *testing.T) {
	for _, c := range []struct {
		nodes             int
		subscribers, want float64
	}{{100, 0, 0}, {100, 1, 1}, {100, 2, 1.99}, {100, 1e6, 100}, {2, 1, 1}, {2, 2, 1.5}} {
		if got := held(c.nodes, c.subscribers); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v subscribers are at %v of %d nodes, want %v", c.subscribers, got, c.nodes, c.want)
		}
	}
}

// With round costs the arithmetic can be done by hand.
func TestModel(t *testing.T) {
	s := &setup{Nodes: 10, Connections: 1000, Servers: 2, Cores: 2, Budget: 0.5}
	c := &costs{kept: line{1000, 100}, local: 10, ask: 1000, handshake: 1e6, resume: 1e6, missed: 0, scanned: 100, ceilingLeader: 5000}
	w := workload{"all", 1000}
	l := s.load(w, c, true)
	if l.topics != 1 || math.Abs(l.held-10) > 1e-9 || math.Abs(l.node-1100) > 1e-6 || math.Abs(l.server-1000) > 1e-6 || math.Abs(l.follows-1) > 1e-9 {
		t.Errorf("load: %+v", l)
	}
	m := s.limits(w, c, true)
	if most, what := m.least(); most != 5000 || what != "the stream's leader" || math.Abs(m.nodes-1e9/1100) > 1 {
		t.Errorf("limits: %+v, %v by %s", m, most, what)
	}
	if asks := s.guard(1e6); asks != 5000 {
		t.Errorf("%v questions", asks)
	}
	x := s.storm(c, 900, 9, 10, 100, 0)
	if x.each != 100 || x.requests != 2700 || math.Abs(x.nodeCPU-0.2) > 1e-9 || math.Abs(x.scanCPU-900*1000*100/1e9) > 1e-9 || math.Abs(x.spread-0.2) > 1e-9 {
		t.Errorf("storm: %+v", x)
	}
}

func TestCell(t *testing.T) {
	const text = "| scenario | a | b |\n|---|---|---|\n| x | 12 (0.5) | 7 / 8 |\n"
	if v, err := cell(text, "x", "b"); v != 7 || err != nil {
		t.Error(v, err)
	}
	for _, c := range [][2]string{{"x", "c"}, {"y", "a"}} {
		if _, err := cell(text, c[0], c[1]); err == nil {
			t.Errorf("found %v", c)
		}
	}
}
