package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"runtime/debug"
	"strconv"

	"github.com/duplex-websocket/duplex/internal/load"
)

//go:embed bench_report.tmpl.html
var benchTemplate string

var benchHTML = template.Must(template.New("bench").Parse(benchTemplate))

// benchFact is a name with a value, and perhaps a remark below it.
type benchFact struct{ Name, Value, Note string }

// writeBenchHTML writes the result as one page that needs nothing else: no network, no other file. Everything that came from
// the server is escaped.
func writeBenchHTML(w io.Writer, r *load.Result) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	build, _ := debug.ReadBuildInfo()
	errs := make([]load.Failure, len(r.Errors))
	for i, f := range r.Errors {
		errs[i] = load.Failure{Kind: f.Kind, Count: f.Count, First: visible(f.First)}
	}
	return benchHTML.Execute(w, struct {
		*load.Result
		What, Version string
		Facts, Table  []benchFact
		Charts        []template.HTML
		Failures      []load.Failure
		Raw           string
	}{r, benchWhat(r), versionLine(build), benchFacts(r), benchTable(r), benchCharts(r), errs, string(raw)})
}

// benchFacts are the figures at the top.
func benchFacts(r *load.Result) []benchFact {
	var facts []benchFact
	add := func(name, value, note string) { facts = append(facts, benchFact{name, value, note}) }
	if r.Mode != load.Idle {
		add(benchUnit(r)+" a second", grouped(r.PerSecond), fmt.Sprintf("%s in %s", grouped(float64(r.Messages)), span(r.Seconds*1e6)))
	}
	if l := r.Latency; l.Count > 0 {
		note := ""
		if r.Setup.Rate > 0 {
			note = "from the scheduled time"
		}
		add("median latency", span(l.P50), note)
		add("99 % within", span(l.P99), "99.9 % within "+span(l.P999))
		add("slowest", span(l.Max), "")
	}
	if m := r.Idle; m != nil {
		add("a fresh connection", bytesText(m.Fresh), "of the server's memory")
		if r.Messages > 0 {
			add("after one message", bytesText(m.Used), "of the server's memory")
		}
	}
	if s := r.Server; s != nil && s.NsPerMessage > 0 {
		add("server CPU a message", span(s.NsPerMessage/1000), fmt.Sprintf("%.0f %% of a core", 100*s.Busy))
	}
	var errors int64
	for _, f := range r.Errors {
		errors += f.Count
	}
	add("errors", grouped(float64(errors)), "")
	return facts
}

// benchTable is the rest of the figures.
func benchTable(r *load.Result) []benchFact {
	s := r.Setup
	rows := []benchFact{
		{Name: "Mode", Value: string(r.Mode)},
		{Name: "Connections", Value: grouped(float64(s.Connections))},
		{Name: "Messages", Value: fmt.Sprintf("%s of %s bytes, compression %s", s.Type, grouped(float64(s.Size)), s.Compression)},
		{Name: "Connected", Value: fmt.Sprintf("%d in %s; p50 %s, p99 %s, max %s", r.Connect.Opened, span(r.Connect.Seconds*1e6),
			span(r.Connect.Latency.P50), span(r.Connect.Latency.P99), span(r.Connect.Latency.Max))},
	}
	add := func(name, format string, args ...any) {
		rows = append(rows, benchFact{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	switch {
	case s.Rate > 0:
		add("Pace", "open loop, %s a second on schedule: %s scheduled, %s without an answer", grouped(s.Rate), grouped(float64(r.Scheduled)), grouped(float64(r.Unanswered)))
	case s.InFlight > 0:
		add("Pace", "closed loop, %d in flight", s.InFlight)
	}
	if l := r.Latency; l.Count > 0 {
		add("Latency", "min %s, mean %s, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", span(l.Min), span(l.Mean), span(l.P50), span(l.P90), span(l.P99), span(l.P999), span(l.Max))
	}
	if r.Compressed > 0 {
		add("Compressed", "%.0f %% of the replies, %.0f bytes each", 100*r.Compressed, r.ReplyBytes)
	}
	if s := r.Server; s != nil {
		add("Server", "process %d: CPU %.2f s, %.0f %% of a core", s.PID, s.CPU, 100*s.Busy)
		add("Server's memory", "%s before, %s after, %s at most", bytesText(float64(s.MemoryBefore)), bytesText(float64(s.MemoryAfter)), bytesText(float64(s.MemoryPeak)))
	}
	if r.Load.CPU > 0 {
		add("This load", "CPU %.2f s, %.0f %% of a core", r.Load.CPU, 100*r.Load.Busy)
	}
	return rows
}

// benchCharts draws what there is to draw.
func benchCharts(r *load.Result) []template.HTML {
	var charts []template.HTML
	pick := func(y func(load.Point) float64) []dot {
		dots := make([]dot, 0, len(r.Series))
		for _, p := range r.Series {
			dots = append(dots, dot{p.At, y(p)})
		}
		return dots
	}
	seconds := func(v float64) string { return short(v) + " s" }
	draw := func(c chart) {
		if drawn := c.draw(); drawn != "" {
			charts = append(charts, drawn)
		}
	}
	if r.Mode != load.Idle {
		draw(chart{title: benchUnit(r) + " a second", x: seconds, y: grouped, lines: []curve{{"", pick(func(p load.Point) float64 { return p.PerSecond })}}})
		draw(chart{title: "Latency over time", x: seconds, y: span, logY: true, lines: []curve{
			{"p50", pick(func(p load.Point) float64 { return p.P50 })},
			{"p99", pick(func(p load.Point) float64 { return p.P99 })},
			{"max", pick(func(p load.Point) float64 { return p.Max })},
		}})
	}
	var spread []dot
	for _, q := range r.Distribution {
		if q.Percent < 100 {
			spread = append(spread, dot{-math.Log10(1 - q.Percent/100), q.Latency})
		}
	}
	draw(chart{title: "Latency by percentile", x: percentile, y: span, logY: true, wholeX: true, lines: []curve{{"", spread}}})
	if r.Idle != nil {
		var memory []dot
		for _, p := range r.Idle.Curve {
			memory = append(memory, dot{float64(p.Connections), float64(p.Bytes)})
		}
		draw(chart{title: "Server's memory by connections", x: grouped, y: bytesText, binary: true, lines: []curve{{"", memory}}})
	}
	if r.Server != nil {
		percent := func(v float64) string { return short(v) + " %" }
		draw(chart{title: "Server's CPU, % of a core", x: seconds, y: percent, lines: []curve{{"", pick(func(p load.Point) float64 { return 100 * p.ServerBusy })}}})
		draw(chart{title: "Server's memory", x: seconds, y: bytesText, binary: true, lines: []curve{{"", pick(func(p load.Point) float64 { return float64(p.Memory) })}}})
	}
	return charts
}

// percentile names a place on the axis of nines: 1 is 90 %, 2 is 99 %.
func percentile(nines float64) string {
	return fmt.Sprintf("%.*f %%", max(0, int(nines)-2), 100*(1-math.Pow(10, -nines)))
}

// short writes a number without zeros at its end.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
