// Package pgtest starts a PostgreSQL server for tests: one of their own, in a temporary folder, reached through a Unix socket. It needs the
// programs of Debian's package postgresql.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const startTimeout = 30 * time.Second

// Server is a running PostgreSQL server. Whoever reaches its socket is let in as any role; "duplex" is its superuser.
type Server struct {
	dir       string
	command   *exec.Cmd
	log       bytes.Buffer
	ended     chan struct{}
	databases atomic.Int32
}

// Start starts a server, which Stop ends. PostgreSQL refuses to run as root, so root runs it as the user postgres.
func Start() (*Server, error) {
	dir, err := os.MkdirTemp("", "pg-") // short: the path of a socket has about 100 bytes
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, ended: make(chan struct{})}
	if err := s.start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func (s *Server) start() error {
	initdb, err := program("initdb")
	if err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if out, err := exec.Command("chown", "postgres", s.dir).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	data := filepath.Join(s.dir, "data")
	out, err := as(initdb, "-D", data, "-U", "duplex", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.command = as(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "max_connections=50", "-c", "autovacuum=off")
	s.command.Stdout, s.command.Stderr = &s.log, &s.log
	if err := s.command.Start(); err != nil {
		return err
	}
	go func() {
		_ = s.command.Wait() // it is ended by a signal
		close(s.ended)
	}()
	return s.ready(filepath.Join(filepath.Dir(initdb), "pg_isready"))
}

// ready waits until the server answers.
func (s *Server) ready(isReady string) error {
	deadline := time.After(startTimeout)
	for exec.Command(isReady, "-q", "-h", s.dir).Run() != nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.ended:
			return fmt.Errorf("postgres ended: %s", s.log.String())
		case <-deadline:
			s.end()
			return fmt.Errorf("postgres does not answer: %s", s.log.String())
		}
	}
	return nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() error {
	s.end()
	return os.RemoveAll(s.dir)
}

func (s *Server) end() {
	_ = s.command.Process.Signal(os.Interrupt) // what is connected is cut off
	<-s.ended
}

// Database makes an empty database and returns a connection string for it.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("d%d", s.databases.Add(1))
	Psql(t, s.dsn("postgres"), "CREATE DATABASE "+name)
	return s.dsn(name)
}

func (s *Server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=duplex dbname=%s", s.dir, database)
}

// Psql runs statements as any other program would, each in a transaction of its own, and returns what it prints: rows in lines, with | between columns.
func Psql(t testing.TB, dsn string, statements ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	out, err := exec.CommandContext(ctx, "psql", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// as makes a command that does not run as root.
func as(name string, args ...string) *exec.Cmd {
	if os.Getuid() == 0 {
		args = append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups", name}, args...)
		name = "setpriv"
	}
	c := exec.Command(name, args...)
	c.Dir = "/" // who runs it may not be allowed to be where we are
	return c
}

// program finds one of the server's programs, which Debian keeps out of the PATH, in the folder of the newest version.
func program(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is right
	if len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("install PostgreSQL (make deps): %w", err)
	}
	return filepath.EvalSymlinks(path)
}
