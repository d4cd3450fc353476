package orders

import (
	"context"
	"database/sql"
	_ "embed" // the table
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/duplex-websocket/duplex/internal/showcase"
)

//go:embed sqlite.sql
var sqliteSchema string

const (
	fileName = "orders.db"
	busy     = 5 * time.Second        // how long a writer waits for another one, of this program or not
	glance   = 250 * time.Millisecond // how often it is looked whether another program has written
	batch    = 500                    // changes read at once
)

// sqlite is a file with the table in it, which other programs may open too.
type sqlite struct {
	file string
	db   *sql.DB
	wake chan struct{} // this program has written
	at   string        // see place; set by install
}

var _ store = (*sqlite)(nil)

func openSQLite(ctx context.Context, file string) (*sqlite, error) {
	path := filepath.ToSlash(file)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "synchronous(NORMAL)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	s := &sqlite{file: file, db: db, wake: make(chan struct{}, 1)}
	if err := s.install(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("orders: %s cannot be used: %w", file, err), db.Close())
	}
	return s, nil
}

// install makes the table, unless it is there.
func (s *sqlite) install(ctx context.Context) error {
	if err := s.letRead(ctx); err != nil {
		return err
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version == 0 {
			if _, err := tx.ExecContext(ctx, sqliteSchema); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, "SELECT name FROM order_place").Scan(&s.at)
	})
}

// letRead lets others read while somebody writes. That is remembered in the file. SQLite does not wait for its turn with this.
func (s *sqlite) letRead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busy)
	defer cancel()
	for {
		_, err := s.db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		if translateSQLite(err) != error(errLocked) || !showcase.Wait(ctx, busy/200) {
			return err
		}
	}
}

// within does something in a transaction, which is the only writer from its beginning on.
func (s *sqlite) within(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return translateSQLite(err)
	}
	if err := do(tx); err != nil {
		return errors.Join(translateSQLite(err), tx.Rollback())
	}
	return translateSQLite(tx.Commit())
}

func (s *sqlite) place() string { return s.at }

const sqliteColumns = "id, customer, item, quantity, price_cents, status, version"

func scanOrder(scan func(...any) error) (o Order, err error) {
	err = scan(&o.ID, &o.Customer, &o.Item, &o.Quantity, &o.Price, &o.Status, &o.Version)
	return o, err
}

func (s *sqlite) list(ctx context.Context) ([]Order, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+sqliteColumns+" FROM orders ORDER BY id DESC LIMIT ?", maxOrders)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Order{}
	for rows.Next() {
		o, err := scanOrder(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// signed ends what writes: it says who it was and returns the row, nil if it has gone. SQLite has one writer at a time, so the last
// change is that of this transaction.
func signed(ctx context.Context, tx *sql.Tx, id int64, by string) (*Order, error) {
	_, err := tx.ExecContext(ctx, "UPDATE order_changes SET by = ? WHERE version = (SELECT max(version) FROM order_changes)", by)
	if err != nil {
		return nil, err
	}
	return current(ctx, tx, id)
}

func current(ctx context.Context, tx *sql.Tx, id int64) (*Order, error) {
	o, err := scanOrder(tx.QueryRowContext(ctx, "SELECT "+sqliteColumns+" FROM orders WHERE id = ?", id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &o, err
}

func (s *sqlite) add(ctx context.Context, d draft, by string) (added Order, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO orders (customer, item, quantity, price_cents, status) "+
			"SELECT ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM orders) < ?", d.Customer, d.Item, d.Quantity, d.Price, d.Status, maxOrders)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errFull)
		}
		id, err := result.LastInsertId()
		if err != nil {
			return err
		}
		o, err := signed(ctx, tx, id, by)
		if err == nil {
			added = *o
		}
		return err
	})
	s.written()
	return added, err
}

func (s *sqlite) change(ctx context.Context, id, version int64, d draft, by string) (done bool, now *Order, err error) {
	return s.write(ctx, id, by, "UPDATE orders SET customer = ?, item = ?, quantity = ?, price_cents = ?, status = ? WHERE id = ? AND version = ?",
		d.Customer, d.Item, d.Quantity, d.Price, d.Status, id, version)
}

func (s *sqlite) remove(ctx context.Context, id, version int64, by string) (done bool, now *Order, err error) {
	return s.write(ctx, id, by, "DELETE FROM orders WHERE id = ? AND version = ?", id, version)
}

// write does something to a row if that is still what it was.
func (s *sqlite) write(ctx context.Context, id int64, by, statement string, args ...any) (done bool, now *Order, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if done = n > 0; done {
			now, err = signed(ctx, tx, id, by)
		} else {
			now, err = current(ctx, tx, id)
		}
		return err
	})
	s.written()
	return done && err == nil, now, err
}

func (s *sqlite) written() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sqlite) prune(ctx context.Context, age time.Duration, most int64) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM order_changes WHERE at < ? OR version <= (SELECT max(version) FROM order_changes) - ?",
		time.Now().Add(-age).UnixMilli(), most)
	return err
}

func (s *sqlite) close() { _ = s.db.Close() } // every transaction is on disk or not at all

// translateSQLite makes the words for people of what a constraint refuses.
func translateSQLite(err error) error {
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_BUSY:
		return errLocked
	case codes.SQLITE_CONSTRAINT:
	default:
		return err
	}
	text := e.Error()
	for constraint := range words {
		// A CHECK is called by its name, and other constraints by table and column: "NOT NULL constraint failed: orders.item".
		table, column, _ := strings.Cut(constraint, "_")
		if strings.Contains(text, constraint) || strings.Contains(text, table+"."+column) {
			return refusal(constraint)
		}
	}
	return refusal(text)
}
