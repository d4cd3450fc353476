package orders

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/pgtest"
)

var server = sync.OnceValues(pgtest.Start)

func TestMain(m *testing.M) {
	code := m.Run()
	if s, err := server(); err == nil {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// kind is one of the databases, and another program that changes it.
type kind struct {
	name    string
	new     func(t *testing.T) (place string)
	open    func(ctx context.Context, place string) (store, error)
	outside func(t testing.TB, place, statement string) string
	table   string
	program string // what is known about that other program
}

var kinds = []kind{
	{
		name: "sqlite", table: "orders",
		new:  func(t *testing.T) string { return filepath.Join(t.TempDir(), "with space & ?.db") },
		open: func(ctx context.Context, place string) (store, error) { return openSQLite(ctx, place) },
		outside: func(t testing.TB, place, statement string) string {
			out, err := exec.Command("sqlite3", "-cmd", ".timeout 5000", place, statement).CombinedOutput()
			if err != nil {
				t.Fatalf("sqlite3: %v: %s", err, out)
			}
			return strings.TrimSpace(string(out))
		},
	},
	{
		name: "postgres", table: "duplex.orders", program: "psql / duplex",
		new: func(t *testing.T) string {
			s, err := server()
			if err != nil {
				t.Fatal(err)
			}
			return s.Database(t)
		},
		open:    func(ctx context.Context, place string) (store, error) { return openPostgres(ctx, place) },
		outside: func(t testing.TB, place, statement string) string { return pgtest.Psql(t, place, statement) },
	},
}

// world is an open database.
type world struct {
	kind
	at string // where it is
	store
}

// each runs a test with each kind of database.
func each(t *testing.T, test func(t *testing.T, w world)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			place := k.new(t)
			s, err := k.open(t.Context(), place)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.close)
			test(t, world{k, place, s})
		})
	}
}

// sql runs a statement in another program; "orders" in it is the table.
func (w world) sql(t testing.TB, statement string) string {
	t.Helper()
	return w.outside(t, w.at, strings.ReplaceAll(statement, "orders", w.table))
}

// follower collects what a store hands over.
type follower struct {
	mu      sync.Mutex
	changes []Change
	mark    string
	news    chan struct{}
	stop    func()
}

// watch follows a store from a mark on; it returns when it has begun.
func watch(t *testing.T, s store, mark string) *follower {
	t.Helper()
	f := &follower{news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.follow(ctx, mark, f.take) }()
	f.stop = func() {
		cancel()
		if err := <-done; ctx.Err() == nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(f.stop)
	if mark == "" {
		f.until(t, func() bool { return f.mark != "" }, "a beginning")
	}
	return f
}

func (f *follower) take(changes []Change, mark string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.mark = append(f.changes, changes...), mark
	select {
	case f.news <- struct{}{}:
	default:
	}
	return nil
}

// until waits for something to be true of what has been handed over.
func (f *follower) until(t *testing.T, is func() bool, what string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		ok := is()
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-f.news:
		case <-deadline:
			f.mu.Lock()
			defer f.mu.Unlock()
			t.Fatalf("never: %s; there are %d changes: %+v", what, len(f.changes), f.changes)
		}
	}
}

// has waits for so many changes and returns them.
func (f *follower) has(t *testing.T, n int) []Change {
	t.Helper()
	f.until(t, func() bool { return len(f.changes) >= n }, fmt.Sprintf("%d changes", n))
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.changes) != n {
		t.Fatalf("%d changes instead of %d: %+v", len(f.changes), n, f.changes)
	}
	return f.changes
}
