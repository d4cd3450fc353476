package showcase

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	journalLines = 200
	journalText  = 1000 // bytes of a line
)

// LogLine is one line of the server's log.
type LogLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"` // WARN or ERROR, with an offset as slog writes it
	Text  string    `json:"text"`  // the message, and then the attributes as key=value
}

// Journal remembers the last warnings and errors of a log, also those that its level leaves out. The zero value is empty and ready. Its
// methods may be called from any goroutine.
type Journal struct {
	mu    sync.Mutex
	lines []LogLine // oldest first, at most journalLines; guarded by mu
	count uint64    // of all lines since the start; guarded by mu
}

// Lines returns the last lines, oldest first, and how many there have been in all.
func (j *Journal) Lines() (last []LogLine, count uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines), j.count
}

// Handler returns a handler that passes everything on to next, and keeps what the journal is for.
func (j *Journal) Handler(next slog.Handler) slog.Handler {
	return &journalHandler{journal: j, next: next}
}

func (j *Journal) add(line LogLine) {
	if len(line.Text) > journalText {
		line.Text = strings.ToValidUTF8(line.Text[:journalText], "") + "…"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count++
	if len(j.lines) == journalLines {
		j.lines = slices.Delete(j.lines, 0, 1)
	}
	j.lines = append(j.lines, line)
}

// journalHandler is immutable.
type journalHandler struct {
	journal *Journal
	next    slog.Handler
	group   string // of the attributes to come, with a dot behind
	attrs   string // of the loggers before, as text
}

// Enabled implements slog.Handler.
func (h *journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		var text strings.Builder
		text.WriteString(r.Message + h.attrs)
		r.Attrs(func(a slog.Attr) bool {
			write(&text, h.group, a)
			return text.Len() < journalText
		})
		h.journal.add(LogLine{r.Time, r.Level.String(), text.String()})
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var text strings.Builder
	for _, a := range attrs {
		write(&text, h.group, a)
	}
	return &journalHandler{h.journal, h.next.WithAttrs(attrs), h.group, h.attrs + text.String()}
}

// WithGroup implements slog.Handler.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &journalHandler{h.journal, h.next.WithGroup(name), h.group + name + ".", h.attrs}
}

// write appends an attribute as it is in a log of text.
func write(text *strings.Builder, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			write(text, group, inner)
		}
		return
	}
	if !a.Equal(slog.Attr{}) {
		text.WriteString(" " + group + a.Key + "=" + value.String())
	}
}
