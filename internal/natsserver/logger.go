package natsserver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// logger passes on what nats-server says. Its notices are details to whoever runs Duplex, and so is what it repeats. It never ends the
// process: what nats-server takes for fatal is an error of Start.
type logger struct {
	slog   *slog.Logger
	fatal  chan string // the first thing that is fatal; room for one
	failed chan string // why something could not be written, which nats-server does not try again; room for one

	mu    sync.Mutex
	quiet bool                 // guarded by mu, as is what follows: the server stops, and its complaints about that are no news
	said  map[string]time.Time // when something was said last, by its text without digits
}

const (
	repeatAfter = 10 * time.Second // how long something that was said is no news
	maxSaid     = 100              // texts that are remembered
)

var _ server.Logger = (*logger)(nil)

func newLogger(l *slog.Logger) *logger {
	return &logger{slog: l.With("part", "nats"), fatal: make(chan string, 1), failed: make(chan string, 1), said: make(map[string]time.Time)}
}

func (l *logger) log(level slog.Level, format string, args []any) {
	text := fmt.Sprintf(format, args...)
	if level >= slog.LevelInfo && !l.isNews(text) {
		level = slog.LevelDebug
	}
	l.slog.Log(context.Background(), level, text)
}

// noNews are parts of messages about what this package does on purpose, or has its own messages for.
var noNews = []string{
	"Error trying to connect to route", "Waiting for routing", "JetStream cluster no metadata leader", // nodes that are not there
	"failed to be ready for connections", // of clients, see noClientPort
	"Maximum payloads over",              // see MaxPayload
	// It reads its files anew after an end that was not clean, and shortens its log.
	"Stream state outdated", "Stream state too short", "Recovering stream state from index errored", "TTL state is outdated", "Metalayer blocking snapshot",
}

// isNews reports whether somebody should read it.
func (l *logger) isNews(text string) bool {
	if slices.ContainsFunc(noNews, func(part string) bool { return strings.Contains(text, part) }) {
		return false
	}
	key := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.quiet || now.Sub(l.said[key]) < repeatAfter {
		return false
	}
	if len(l.said) >= maxSaid {
		clear(l.said)
	}
	l.said[key] = now
	return true
}

// hush makes everything from now on a detail.
func (l *logger) hush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet = true
}

func (l *logger) Noticef(format string, args ...any) { l.log(slog.LevelDebug, format, args) }
func (l *logger) Debugf(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l *logger) Tracef(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.log(slog.LevelWarn, format, args) }

// Errorf also notices that nats-server has stopped writing: it tells nobody else, and needs a new start to begin again.
func (l *logger) Errorf(format string, args ...any) {
	l.log(slog.LevelError, format, args)
	if text := fmt.Sprintf(format, args...); strings.Contains(text, "failed to store a msg on stream") || strings.Contains(text, "Critical write error") {
		select {
		case l.failed <- text:
		default:
		}
	}
}

// Fatalf is called when nats-server cannot go on.
func (l *logger) Fatalf(format string, args ...any) {
	if strings.HasPrefix(format, noClientPort) {
		return // as it should be
	}
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
		l.log(slog.LevelError, format, args)
	}
}
