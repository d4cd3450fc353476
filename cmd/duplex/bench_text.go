package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/duplex-websocket/duplex/internal/load"
)

// writeBenchText writes the report that people read.
func writeBenchText(w io.Writer, r *load.Result) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s  %s\n", r.URL, benchWhat(r))
	if r.Interrupted {
		line("note", "ended early: the figures are of %s", span(r.Seconds*1e6))
	}
	if r.Mode != load.Handshake {
		line("connected", "%d in %s; p50 %s, p99 %s, max %s", r.Connect.Opened, span(r.Connect.Seconds*1e6),
			span(r.Connect.Latency.P50), span(r.Connect.Latency.P99), span(r.Connect.Latency.Max))
	}
	if r.Mode != load.Idle {
		line("throughput", "%s %s/s (%s in %s)", grouped(r.PerSecond), benchUnit(r), grouped(float64(r.Messages)), span(r.Seconds*1e6))
	}
	if r.Scheduled > 0 {
		line("scheduled", "%s; %s without an answer", grouped(float64(r.Scheduled)), grouped(float64(r.Unanswered)))
	}
	if l := r.Latency; l.Count > 0 {
		from := ""
		if r.Setup.Rate > 0 {
			from = ", from the scheduled time"
		}
		line("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s  (mean %s%s)", span(l.P50), span(l.P90), span(l.P99), span(l.P999), span(l.Max), span(l.Mean), from)
	}
	if r.Compressed > 0 {
		line("compressed", "%.0f %% of the replies, %.0f bytes each of %d", 100*r.Compressed, r.ReplyBytes, r.Setup.Size)
	}
	if s := r.Server; s != nil {
		line("server", "CPU %s%.0f %% of a core; memory %s before, %s after, %s at most", perMessage(s.Usage), 100*s.Busy,
			bytesText(float64(s.MemoryBefore)), bytesText(float64(s.MemoryAfter)), bytesText(float64(s.MemoryPeak)))
	}
	if m := r.Idle; m != nil {
		line("a connection", "%s", idleText(r))
	}
	if r.Load.CPU > 0 && r.Mode != load.Idle {
		line("this load", "CPU %s%.0f %% of a core", perMessage(r.Load), 100*r.Load.Busy)
	}
	if len(r.Errors) == 0 {
		line("errors", "none")
	}
	for _, f := range r.Errors {
		line("errors", "%d × %s: %s", f.Count, f.Kind, visible(f.First))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// benchWhat says what a run did.
func benchWhat(r *load.Result) string {
	s := r.Setup
	kind := fmt.Sprintf("%s of %s", s.Type, bytesText(float64(s.Size)))
	if s.Compression != "off" {
		kind += ", compressed (" + s.Compression + ")"
	}
	pace := fmt.Sprintf("%d in flight", s.InFlight)
	if s.Rate > 0 {
		pace = grouped(s.Rate) + "/s on schedule"
	}
	switch r.Mode {
	case load.Broadcast:
		return fmt.Sprintf("broadcast to %d subscribers, %s, %s", s.Connections, kind, pace)
	case load.Idle:
		return grouped(float64(s.Connections)) + " idle connections"
	case load.Handshake:
		if s.Rate == 0 {
			pace = "as fast as they go"
		}
		return fmt.Sprintf("handshakes, %d at a time, %s", s.Connections, pace)
	}
	return fmt.Sprintf("echo, %d connections, %s, %s", s.Connections, kind, pace)
}

func benchUnit(r *load.Result) string {
	switch r.Mode {
	case load.Broadcast:
		return "deliveries"
	case load.Handshake:
		return "handshakes"
	}
	return "messages"
}

func idleText(r *load.Result) string {
	text := bytesText(r.Idle.Fresh) + " of memory fresh"
	if r.Messages > 0 {
		text += ", " + bytesText(r.Idle.Used) + " after one message"
	}
	return text
}

func perMessage(u load.Usage) string {
	if u.NsPerMessage == 0 {
		return ""
	}
	return span(u.NsPerMessage/1000) + " a message, "
}

// span writes a time given in microseconds, with three digits that count.
func span(us float64) string {
	switch {
	case us < 1:
		return fmt.Sprintf("%.0f ns", us*1000)
	case us < 1e3:
		return digits(us) + " µs"
	case us < 1e6:
		return digits(us/1e3) + " ms"
	}
	return digits(us/1e6) + " s"
}

// bytesText writes a size.
func bytesText(n float64) string {
	switch m := math.Abs(n); {
	case m < 1<<10:
		return fmt.Sprintf("%.0f B", n)
	case m < 1<<20:
		return digits(n/(1<<10)) + " KiB"
	case m < 1<<30:
		return digits(n/(1<<20)) + " MiB"
	}
	return digits(n/(1<<30)) + " GiB"
}

// digits writes three significant ones, and never fewer than stand before the point.
func digits(v float64) string {
	switch m := math.Abs(v); {
	case m >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case m >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// grouped writes a count with commas.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}
