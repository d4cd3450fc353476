package server

import (
	"io"
	"log/slog"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// logLevels are the levels by the names that the configuration has for them.
var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// logging is a logger with what belongs to it. All of it has its own locks.
type logging struct {
	*slog.Logger
	level   *slog.LevelVar    // may change later
	journal *showcase.Journal // the last warnings and errors
}

func newLogger(w io.Writer, c config.Log) *logging {
	l := &logging{level: &slog.LevelVar{}, journal: &showcase.Journal{}}
	l.level.Set(logLevels[c.Level])
	options := &slog.HandlerOptions{Level: l.level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if c.Format == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	l.Logger = slog.New(l.journal.Handler(handler))
	return l
}
