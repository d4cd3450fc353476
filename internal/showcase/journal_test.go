package showcase

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestJournal(t *testing.T) {
	var journal Journal
	var out bytes.Buffer
	level := &slog.LevelVar{}
	logger := slog.New(journal.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
	logger.Info("fine")
	logger.Debug("not written")
	logger.With("node", "a").WithGroup("bus").Warn("odd", "error", errors.New("lost"), slog.Group("peer", "port", 7))
	level.Set(slog.LevelError + 4)
	logger.Error("bad")
	lines, count := journal.Lines()
	if len(lines) != 2 || count != 2 {
		t.Fatalf("%v", lines)
	}
	if l := lines[0]; l.Text != "odd node=a bus.error=lost bus.peer.port=7" || l.Level != "WARN" || l.Time.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := lines[1]; l.Text != "bad" || l.Level != "ERROR" {
		t.Errorf("%+v", l)
	}
	if s := out.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "bus.error=lost") || strings.Contains(s, "bad") {
		t.Errorf("the log has other lines than without a journal:\n%s", s)
	}
}

// TestJournalIsBounded in lines and in bytes, and breaks no character in two.
func TestJournalIsBounded(t *testing.T) {
	var journal Journal
	logger := slog.New(journal.Handler(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range journalLines {
				logger.Warn("a" + strings.Repeat("ä", journalText))
			}
		})
	}
	wg.Wait()
	lines, count := journal.Lines()
	if len(lines) != journalLines || count != 4*journalLines {
		t.Errorf("%d lines of %d", len(lines), count)
	}
	if text := lines[0].Text; len(text) > journalText+len("…") || !strings.HasSuffix(text, "ä…") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-8:])
	}
}
