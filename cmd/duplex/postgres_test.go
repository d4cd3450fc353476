package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/internal/pgtest"
)

// TestPostgresInstall makes the table and its triggers in a real PostgreSQL, and says what is wrong where it cannot.
func TestPostgresInstall(t *testing.T) {
	s, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn := s.Database(t)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"config", "check", "--postgres-file", file}, &stdout, &stderr)
	if installed := pgtest.Psql(t, dsn, "SELECT to_regnamespace('duplex') IS NOT NULL"); code != exitOK || installed != "f" {
		t.Errorf("config check: exit code %d, %s; the schema is there: %s", code, stderr.String(), installed)
	}
	pgtest.Psql(t, dsn, "CREATE ROLE clerk LOGIN")
	clerk := strings.Replace(dsn, "user=duplex", "user=clerk", 1)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--print"}, exitOK, "CREATE TABLE IF NOT EXISTS duplex.orders"},
		{[]string{"--postgres", dsn}, exitOK, "are installed"},
		{[]string{"--postgres-file", file, "--grant", "clerk"}, exitOK, "are installed"},
		{[]string{"--postgres-file", file, "--postgres", dsn}, exitUsage, "not both"},
		{[]string{"--postgres", dsn, "--grant", "no such role"}, exitUsage, `"no such role" does not exist`},
		{[]string{"--postgres", clerk}, exitUsage, "permission denied"},
		{[]string{"--postgres", "host=/nowhere"}, exitUsage, "not installed"},
		{[]string{"--postgres-file", file + "x"}, exitUsage, "no such file"},
		{[]string{"--postgres", "postgres://ann:word@host/shop"}, exitUsage, "give --postgres-file"},
		{nil, exitUsage, "connection string for PostgreSQL is empty"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"postgres", "install"}, c.args...), &stdout, &stderr)
		if text := stdout.String() + stderr.String(); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%q: exit code %d, %s", c.args, code, text)
		}
	}
	if got := pgtest.Psql(t, clerk, "UPDATE duplex.orders SET quantity = 7 WHERE id = 1 RETURNING quantity"); got != "7" {
		t.Errorf("the granted role changes an order to %q", got)
	}
}
