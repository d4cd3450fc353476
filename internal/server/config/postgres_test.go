package config

import (
	"strings"
	"testing"
)

// TestPostgres: a password is refused where others see it, and is not in the error.
func TestPostgres(t *testing.T) {
	for dsn, ok := range map[string]bool{
		"postgres://ann@db/shop":                         true,
		"host=/run/postgresql dbname=shop":               true,
		"postgres:///shop?host=/run/a:b@c":               true,
		"postgres://ann:very-secret@db/shop":             false,
		"postgres://ann:very-secret@x@db/shop":           false,
		"postgres://db/shop?user=a&password=very-secret": false,
		"host=db password = very-secret":                 false,
		"PASSWORD='very-secret' host=db":                 false,
	} {
		_, err := Load(Input{Flags: map[string][]string{"postgres": {dsn}}})
		if (err == nil) != ok || err != nil && (strings.Contains(err.Error(), "very-secret") || !strings.Contains(err.Error(), "postgres-file")) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if _, err := Load(Input{Environ: []string{"DUPLEX_POSTGRES=host=a", "DUPLEX_POSTGRES_FILE=b"}}); err == nil {
		t.Error("both are given")
	}
}
