package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// follow looks at a counter that SQLite keeps in the file and raises with each transaction of anybody else's connection. Changes have
// numbers in the order in which they were committed, so the mark is the number of the last one.
func (s *sqlite) follow(ctx context.Context, mark string, take func([]Change, string) error) error {
	watcher, err := s.db.Conn(ctx) // the counter is one connection's view
	if err != nil {
		return err
	}
	defer watcher.Close()
	last, err := s.start(ctx, mark)
	if err != nil {
		return err
	}
	if err := take(nil, strconv.FormatInt(last, 10)); err != nil {
		return err
	}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for seen := int64(-1); ; {
		var version int64
		if err := watcher.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			return err
		}
		if version != seen { // read first and remember then: what is written in between is seen the next time
			if last, err = s.drain(ctx, last, take); err != nil {
				return err
			}
			seen = version
		}
		select {
		case <-tick.C:
		case <-s.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start returns the number after which to begin: without a mark with the last changes that there are, for what a page saw first may have changed
// before anybody followed.
func (s *sqlite) start(ctx context.Context, mark string) (int64, error) {
	var newest int64
	// The counter of AUTOINCREMENT remembers numbers whose rows have been pruned.
	err := s.db.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'order_changes'), 0)").Scan(&newest)
	if err != nil {
		return 0, err
	}
	last, err := strconv.ParseInt(mark, 10, 64)
	if err != nil || last > newest { // there is no mark, or that of another file
		return max(0, newest-keepChanges), nil
	}
	return last, nil
}

// drain hands over all that came after a change, and returns the number of the last one.
func (s *sqlite) drain(ctx context.Context, last int64, take func([]Change, string) error) (int64, error) {
	for {
		changes, err := s.changes(ctx, last)
		if err != nil || len(changes) == 0 {
			return last, err
		}
		last = changes[len(changes)-1].Version
		if err := take(changes, strconv.FormatInt(last, 10)); err != nil {
			return last, err
		}
	}
}

func (s *sqlite) changes(ctx context.Context, after int64) (changes []Change, err error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT version, op, order_id, was, now, by, at FROM order_changes WHERE version > ? ORDER BY version LIMIT ?", after, batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c Change
		var was, now *string
		var by sql.NullString
		var at int64
		if err := rows.Scan(&c.Version, &c.Op, &c.ID, &was, &now, &by, &at); err != nil {
			return nil, err
		}
		c.By, c.Time = by.String, time.UnixMilli(at).UTC()
		var wrongWas, wrongNow error
		c.Was, wrongWas = readRow(was)
		c.Now, wrongNow = readRow(now)
		if err := errors.Join(wrongWas, wrongNow); err != nil {
			return nil, fmt.Errorf("orders: change %d cannot be read: %w", c.Version, err)
		}
		changes = append(changes, c)
	}
	return changes, rows.Err()
}
