package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/showcase/orders"
)

// postgresCmd is the verb postgres.
type postgresCmd struct {
	Install postgresInstallCmd `cmd:"" help:"Make the table of the orders page and its triggers, in the schema duplex."`
}

// postgresInstallCmd is for databases in which the server itself may not make tables. Otherwise it does so when it starts.
type postgresInstallCmd struct {
	Postgres     string        `placeholder:"DSN" env:"DUPLEX_POSTGRES" help:"The database, as postgres://USER@HOST/DATABASE or host=... dbname=...; what it does not say is taken from where psql takes it, such as PGPASSFILE."`
	PostgresFile string        `placeholder:"FILE" env:"DUPLEX_POSTGRES_FILE" help:"A file with that, when there is a password in it."`
	Grant        string        `placeholder:"ROLE" help:"The role of the server, which gets the rights that it needs."`
	Print        bool          `help:"Print the SQL instead of running it."`
	Timeout      time.Duration `default:"30s" help:"Give up after this long."`
}

// Run installs. Doing it again renews the triggers and leaves the rows alone.
func (c *postgresInstallCmd) Run(ctx context.Context, out output) error {
	if c.Print {
		_, err := fmt.Fprint(out.stdout, orders.SQL())
		return err
	}
	dsn, err := c.dsn()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := orders.Install(ctx, dsn, c.Grant); err != nil {
		return fmt.Errorf("the triggers are not installed: %w", err)
	}
	fmt.Fprintln(out.stdout, "the table duplex.orders and its triggers are installed")
	return nil
}

func (c *postgresInstallCmd) dsn() (string, error) {
	dsn := c.Postgres
	if config.HasPassword(dsn) {
		return "", errors.New("everybody on this machine sees a password on the command line; write the same into a file, and give --postgres-file")
	}
	if c.PostgresFile != "" {
		if dsn != "" {
			return "", errors.New("give --postgres or --postgres-file, not both")
		}
		content, err := os.ReadFile(c.PostgresFile)
		if err != nil {
			return "", err
		}
		dsn = strings.TrimSpace(string(content))
	}
	return dsn, orders.CheckDSN(dsn)
}
