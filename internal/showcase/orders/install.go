package orders

import (
	"context"
	_ "embed" // the table
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed postgres.sql
var postgresSchema string

// installLock keeps several servers from making the table at the same time.
const installLock = 0x6475706c6578 // "duplex"

// SQL is what Install does, for whoever wants to read it first or do it by other means. PostgreSQL 14 or newer understands it.
func SQL() string { return postgresSchema }

// Install makes the table and its triggers in a PostgreSQL database, in the schema duplex. Where they are there already it renews the triggers
// and leaves the rows alone. grant, if it is not empty, is the role of the server: it gets the rights that it needs.
func Install(ctx context.Context, dsn, grant string) error {
	config, err := poolConfig(dsn)
	if err != nil {
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	return install(ctx, pool, grant)
}

func isInstalled(ctx context.Context, pool *pgxpool.Pool) (installed bool, err error) {
	err = pool.QueryRow(ctx, "SELECT count(*) = 3 FROM pg_trigger WHERE tgrelid = to_regclass('duplex.orders') "+
		"AND tgname IN ('orders_version', 'orders_changed', 'orders_emptied')").Scan(&installed)
	return installed, err
}

func install(ctx context.Context, pool *pgxpool.Pool, grant string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(installLock)); err != nil {
			return err
		}
		var there bool
		// Not to_regclass, whose answer from before the lock is remembered.
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'duplex' AND tablename = 'orders')").Scan(&there)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, postgresSchema); err != nil {
			return err
		}
		if !there {
			if _, err := tx.Exec(ctx, samples); err != nil {
				return err
			}
		}
		return grantTo(ctx, tx, grant)
	})
}

// grantTo gives a role what serving the page takes. The triggers do their part with the rights of whoever has made them.
func grantTo(ctx context.Context, tx pgx.Tx, role string) error {
	if role == "" {
		return nil
	}
	name := pgx.Identifier{role}.Sanitize()
	var all error
	for _, statement := range []string{
		"GRANT USAGE ON SCHEMA duplex TO ", "GRANT SELECT, INSERT, UPDATE, DELETE ON duplex.orders TO ", "GRANT SELECT, DELETE ON duplex.order_changes TO ",
	} {
		_, err := tx.Exec(ctx, statement+name)
		all = errors.Join(all, err)
	}
	return all
}

// samples are rows for a new table.
const samples = `INSERT INTO duplex.orders (customer, item, quantity, price_cents, status) VALUES
	('Ann Archer', 'Jasmine tea, 250 g', 2, 1290, 'paid'),
	('王小明', '龙井茶 100 g', 1, 3800, 'new'),
	('Bob Baker', 'Teapot, cast iron', 1, 5450, 'shipped'),
	('Chidi Okafor', 'Cups, set of six', 3, 2400, 'new'),
	('Dora Duarte', 'Oolong, 1 kg', 1, 6900, 'paid'),
	('Erik Eng', 'Tea towel', 12, 450, 'cancelled');
	DELETE FROM duplex.order_changes -- these are no news`
