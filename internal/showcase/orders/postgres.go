package orders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 5 * time.Second
	poolSize       = 4 // connections for requests, besides the one that listens
)

// postgres is a PostgreSQL server with the table in it.
type postgres struct {
	pool *pgxpool.Pool
}

var _ store = (*postgres)(nil)

// CheckDSN says what is wrong with the form of a connection string. It does not connect.
func CheckDSN(dsn string) error {
	if dsn == "" {
		return errors.New("the connection string for PostgreSQL is empty; write for instance postgres://user@host/database")
	}
	_, err := poolConfig(dsn)
	return err
}

// poolConfig reads a connection string, a URL or key=value pairs. What it does not say is taken from the environment, as by psql.
func poolConfig(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("this is no connection string for PostgreSQL, such as postgres://user@host/database: %w", err)
	}
	config.MaxConns = poolSize
	// Each connection is tried before it is used, so that after the server was away nobody's edit is lost to one that is dead.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
	c := config.ConnConfig
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, connectTimeout)
	for name, value := range map[string]string{"application_name": "duplex", "statement_timeout": "8s", "lock_timeout": "3s"} {
		c.RuntimeParams[name] = cmp.Or(c.RuntimeParams[name], value)
	}
	return config, nil
}

// openPostgres connects, and makes the table unless it is there.
func openPostgres(ctx context.Context, dsn string) (*postgres, error) {
	config, err := poolConfig(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &postgres{pool}
	if err := p.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

func (p *postgres) place() string { return "postgres" }

func (p *postgres) prepare(ctx context.Context) error {
	installed, err := isInstalled(ctx, p.pool)
	if err != nil || installed {
		return err
	}
	err = install(ctx, p.pool, "")
	if e := new(pgconn.PgError); errors.As(err, &e) && e.Code == "42501" { // insufficient_privilege
		return fmt.Errorf("orders: the table is not there, and this role may not make it; "+
			"run duplex postgres install as one that may, with --grant %s: %w", p.pool.Config().ConnConfig.User, err)
	}
	return err
}

const postgresColumns = "id, customer, item, quantity, price_cents, status, version"

func (p *postgres) list(ctx context.Context) ([]Order, error) {
	rows, err := p.pool.Query(ctx, "SELECT "+postgresColumns+" FROM duplex.orders ORDER BY id DESC LIMIT $1", maxOrders)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]Order{}, rows, scanRow)
}

func scanRow(row pgx.CollectableRow) (Order, error) { return scanOrder(row.Scan) }

// within does something in a transaction whose changes are signed.
func (p *postgres) within(ctx context.Context, by string, do func(tx pgx.Tx) error) error {
	return translatePostgres(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('duplex.by', $1, true)", by); err != nil {
			return err
		}
		return do(tx)
	}))
}

func (p *postgres) add(ctx context.Context, d draft, by string) (added Order, err error) {
	err = p.within(ctx, by, func(tx pgx.Tx) error {
		added, err = scanOrder(tx.QueryRow(ctx, "INSERT INTO duplex.orders (customer, item, quantity, price_cents, status) "+
			"SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM duplex.orders) < $6 RETURNING "+postgresColumns,
			d.Customer, d.Item, d.Quantity, d.Price, d.Status, maxOrders).Scan)
		if errors.Is(err, pgx.ErrNoRows) {
			return errFull
		}
		return err
	})
	return added, err
}

func (p *postgres) change(ctx context.Context, id, version int64, d draft, by string) (done bool, now *Order, err error) {
	return p.write(ctx, id, by, "UPDATE duplex.orders SET customer = $1, item = $2, quantity = $3, price_cents = $4, status = $5 "+
		"WHERE id = $6 AND version = $7 RETURNING "+postgresColumns,
		d.Customer, d.Item, d.Quantity, d.Price, d.Status, id, version)
}

func (p *postgres) remove(ctx context.Context, id, version int64, by string) (done bool, now *Order, err error) {
	done, now, err = p.write(ctx, id, by, "DELETE FROM duplex.orders WHERE id = $1 AND version = $2 RETURNING "+postgresColumns, id, version)
	if done {
		now = nil
	}
	return done, now, err
}

// write does something to a row if that is still what it was.
func (p *postgres) write(ctx context.Context, id int64, by, statement string, args ...any) (done bool, now *Order, err error) {
	err = p.within(ctx, by, func(tx pgx.Tx) error {
		o, err := scanOrder(tx.QueryRow(ctx, statement, args...).Scan)
		if done = err == nil; done {
			now = &o
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		o, err = scanOrder(tx.QueryRow(ctx, "SELECT "+postgresColumns+" FROM duplex.orders WHERE id = $1", id).Scan)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		now = &o
		return err
	})
	if err != nil {
		return false, nil, err
	}
	return done, now, nil
}

func (p *postgres) prune(ctx context.Context, age time.Duration, most int64) error {
	_, err := p.pool.Exec(ctx, "DELETE FROM duplex.order_changes WHERE at < now() - $1::interval "+
		"OR version <= (SELECT max(version) FROM duplex.order_changes) - $2", age, most)
	return err
}

func (p *postgres) close() { p.pool.Close() }

// translatePostgres makes the words for people of what a constraint refuses.
func translatePostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "55P03": // lock_not_available
		return errLocked
	case e.Code == "23502": // not_null_violation, which has a column and no constraint
		return refusal("orders_" + strings.TrimSuffix(e.ColumnName, "_cents"))
	case strings.HasPrefix(e.Code, "23"): // integrity_constraint_violation
		return refusal(e.ConstraintName)
	}
	return err
}
