package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/duplex-websocket/duplex/internal/load"
)

// progressLine shows how far a run is: at a terminal one line that is written over, otherwise a line every few seconds.
type progressLine struct {
	w        io.Writer // nil: show nothing
	terminal bool
	phase    string
	next     time.Time
}

// linesEvery is how often a progress that is no terminal gets a line.
const linesEvery = 2 * time.Second

func (c *benchCmd) progressLine(stderr io.Writer) *progressLine {
	file, ok := stderr.(*os.File)
	terminal := ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
	if c.Quiet || !terminal && !c.Progress {
		return &progressLine{}
	}
	return &progressLine{w: stderr, terminal: terminal}
}

func (l *progressLine) show(p load.Progress) {
	if l.w == nil {
		return
	}
	now := time.Now()
	if !l.terminal && p.Phase == l.phase && now.Before(l.next) {
		return
	}
	l.phase, l.next = p.Phase, now.Add(linesEvery)
	text := progressText(p)
	if l.terminal {
		_, _ = fmt.Fprint(l.w, eraseLine, text) // progress that cannot be shown must not end the run
	} else {
		_, _ = fmt.Fprintln(l.w, text)
	}
}

// end leaves the terminal as it was.
func (l *progressLine) end() {
	if l.w != nil && l.terminal {
		_, _ = fmt.Fprint(l.w, eraseLine)
	}
}

func progressText(p load.Progress) string {
	text := p.Phase
	if p.Total > 0 {
		text += fmt.Sprintf(" %s of %s", p.Elapsed.Round(100*time.Millisecond), p.Total)
	}
	switch {
	case p.Phase == "connecting":
		text += fmt.Sprintf("  %d of %d connections", p.Connections, p.Wanted)
	case p.Phase == "holding":
		text += fmt.Sprintf("  %d connections", p.Connections)
	default:
		text += fmt.Sprintf("  %s messages/s", grouped(p.PerSecond))
	}
	if p.P50 > 0 {
		text += fmt.Sprintf("  p50 %s  p99 %s", span(float64(p.P50)/1000), span(float64(p.P99)/1000))
	}
	if p.Memory > 0 {
		text += "  server " + bytesText(float64(p.Memory))
	}
	if p.Failures > 0 {
		text += fmt.Sprintf("  %d errors", p.Failures)
	}
	return text
}
