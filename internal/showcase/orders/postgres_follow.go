package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// idle is how long the listener hears nothing before it looks by itself: then it notices that its connection is dead.
const idle = 15 * time.Second

const listener = " listener" // in pg_stat_activity, behind the name of the others

// follow listens on a connection of its own. A notification says only that there is something to read. What is new is told by snapshots:
// the mark is the snapshot of the last reading, and new is what that did not include. So nothing is lost while nobody listens, and nothing
// whose transaction committed after others that began later.
func (p *postgres) follow(ctx context.Context, mark string, take func([]Change, string) error) error {
	config := p.pool.Config().ConnConfig // a copy
	config.RuntimeParams["application_name"] += listener
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN duplex_orders"); err != nil { // before the first reading: what comes later wakes us up
		return err
	}
	for {
		if mark, err = p.read(ctx, conn, mark, take); err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(ctx, idle)
		_, err := conn.WaitForNotification(waiting)
		cancel()
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
	}
}

// read hands over what is new since the mark, and returns the next one.
func (p *postgres) read(ctx context.Context, conn *pgx.Conn, mark string, take func([]Change, string) error) (string, error) {
	// One snapshot for all of it.
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return mark, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it has changed nothing
	var now string
	var backwards bool
	// A snapshot from behind this one is that of another server: one that was set up anew, or from a backup.
	err = tx.QueryRow(ctx, "SELECT pg_current_snapshot()::text, "+
		"coalesce(pg_snapshot_xmin(nullif($1, '')::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()), false)", mark).Scan(&now, &backwards)
	switch {
	case err != nil:
		return mark, err
	case backwards:
		return now, take([]Change{{Op: "reset", Time: time.Now().UTC()}}, now)
	case mark == "":
		// What a page saw first may have changed before anybody followed, so this begins with the last changes that there are.
		changes, err := collect(tx.Query(ctx, "SELECT * FROM ("+changeColumns+" ORDER BY version DESC LIMIT $1) AS last ORDER BY version", keepChanges))
		if err != nil {
			return mark, err
		}
		return now, take(changes, now)
	}
	for after, more := int64(-1), true; more; {
		changes, err := p.changes(ctx, tx, mark, after)
		if err != nil {
			return mark, err
		}
		told := mark
		if more = len(changes) == batch; more {
			after = changes[batch-1].Version
		} else {
			told = now
		}
		if len(changes) > 0 {
			if err := take(changes, told); err != nil {
				return mark, err
			}
		}
	}
	return now, nil
}

const changeColumns = `SELECT version, op, order_id, was::text, now::text, coalesce(by, ''),
		CASE WHEN by IS NULL THEN coalesce(program, '') ELSE '' END, at
	FROM duplex.order_changes`

// changes reads a part of what the snapshot in mark did not include, by their numbers: of one row's, they are in the right order.
func (p *postgres) changes(ctx context.Context, tx pgx.Tx, mark string, after int64) ([]Change, error) {
	return collect(tx.Query(ctx, changeColumns+`
		WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot) AND version > $2
		ORDER BY version LIMIT $3`, mark, after, batch))
}

func collect(rows pgx.Rows, err error) ([]Change, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanChange)
}

func scanChange(row pgx.CollectableRow) (c Change, err error) {
	var was, now *string
	if err := row.Scan(&c.Version, &c.Op, &c.ID, &was, &now, &c.By, &c.Program, &c.Time); err != nil {
		return c, err
	}
	var wrongWas, wrongNow error
	c.Was, wrongWas = readRow(was)
	c.Now, wrongNow = readRow(now)
	if err := errors.Join(wrongWas, wrongNow); err != nil {
		return c, fmt.Errorf("orders: change %d cannot be read: %w", c.Version, err)
	}
	c.Time = c.Time.UTC()
	return c, nil
}
