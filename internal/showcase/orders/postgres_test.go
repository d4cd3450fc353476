package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duplex-websocket/duplex/internal/pgtest"
)

func newPostgres(t *testing.T) world {
	t.Helper()
	place := kinds[1].new(t)
	s, err := openPostgres(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return world{kinds[1], place, s}
}

func dial(t *testing.T, place string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, db interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, statement string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestOutOfOrder: a transaction that began first and commits last is seen all the same, and does not hold up the others.
func TestOutOfOrder(t *testing.T) {
	w := newPostgres(t)
	f := watch(t, w, "")
	slow, nested := dial(t, w.at), dial(t, w.at)
	exec1(t, slow, "BEGIN; UPDATE duplex.orders SET quantity = 100 WHERE id = 1")
	exec1(t, nested, "BEGIN; SAVEPOINT a; UPDATE duplex.orders SET quantity = 200 WHERE id = 2; SAVEPOINT b")
	w.sql(t, "UPDATE orders SET quantity = 300 WHERE id = 3")
	if c := f.has(t, 1); c[0].ID != 3 {
		t.Fatal(c)
	}
	exec1(t, nested, "UPDATE duplex.orders SET quantity = 201 WHERE id = 2; RELEASE a; COMMIT")
	f.has(t, 3)
	f.stop() // nobody listens any more
	exec1(t, slow, "COMMIT")
	w.sql(t, "BEGIN; UPDATE orders SET quantity = 999 WHERE id = 4; ROLLBACK")
	g := watch(t, w, f.mark)
	if c := g.has(t, 1); c[0].ID != 1 || c[0].Now.Quantity != 100 || c[0].Version >= f.changes[0].Version {
		t.Errorf("%+v after %+v", c, f.changes)
	}
}

// TestListenerKilled: while writers write, the listener's connection is ended again and again; nothing is lost, and each row's changes
// come in order.
func TestListenerKilled(t *testing.T) {
	w := newPostgres(t)
	f := &follower{news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		for mark := ""; ctx.Err() == nil; mark = f.mark { // no other goroutine writes the mark
			_ = w.follow(ctx, mark, f.take) // its connection has been ended
		}
	})
	f.until(t, func() bool { return f.mark != "" }, "a beginning")
	const writers, each = 4, 40
	var writing sync.WaitGroup
	for i := range writers {
		conn := dial(t, w.at)
		writing.Go(func() {
			for n := range each {
				if _, err := conn.Exec(ctx, "UPDATE duplex.orders SET quantity = $1 WHERE id = $2", n+1, 1+(i+n)%3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	killer := dial(t, w.at)
	killed := 0
	kill := func() {
		tag, err := killer.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'duplex listener'")
		if err != nil {
			t.Error(err)
		}
		killed += int(tag.RowsAffected())
	}
	for range 5 {
		kill()
	}
	writing.Wait()
	kill()
	exec1(t, killer, "UPDATE duplex.orders SET quantity = 500 WHERE id = 1")
	const total = writers*each + 1
	seen, newest := map[int64]bool{}, map[int64]int64{}
	f.until(t, func() bool {
		clear(seen)
		for _, c := range f.changes {
			seen[c.Version] = true
		}
		return len(seen) == total
	}, fmt.Sprintf("%d changes", total))
	cancel()
	group.Wait()
	clear(seen)
	for _, c := range f.changes {
		if seen[c.Version] {
			continue // handed over twice, as when the connection ended within a batch
		}
		seen[c.Version] = true
		if c.Version < newest[c.ID] {
			t.Errorf("change %d of order %d comes after %d", c.Version, c.ID, newest[c.ID])
		}
		newest[c.ID] = c.Version
	}
	if killed == 0 {
		t.Error("the listener's connection was never ended")
	}
}

// TestReset: what cannot be told row by row makes pages read everything again.
func TestReset(t *testing.T) {
	w := newPostgres(t)
	f := watch(t, w, "")
	w.sql(t, "TRUNCATE orders")
	if c := f.has(t, 1); c[0].Op != "reset" {
		t.Errorf("%+v", c)
	}
	// A mark of another server, whose transactions had higher numbers.
	g := watch(t, w, "900000000:900000000:")
	if c := g.has(t, 1); c[0].Op != "reset" {
		t.Errorf("%+v", c)
	}
}

// TestLocked: an order that a transaction of somebody else's holds is not waited for forever.
func TestLocked(t *testing.T) {
	w := newPostgres(t)
	s, err := openPostgres(t.Context(), w.at+" lock_timeout=50")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	all, err := s.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	holder := dial(t, w.at)
	exec1(t, holder, fmt.Sprintf("BEGIN; SELECT FROM duplex.orders WHERE id = %d FOR UPDATE", all[0].ID))
	if done, _, err := s.change(t.Context(), all[0].ID, all[0].Version, tea, "Ann"); done || !errors.Is(err, errLocked) {
		t.Error(done, err)
	}
}

// TestGrant: a role that may not make the table is told what to do, and with what it is granted then it does everything.
func TestGrant(t *testing.T) {
	place := kinds[1].new(t)
	role := fmt.Sprintf("clerk%d", len(place))
	pgtest.Psql(t, place, "DROP ROLE IF EXISTS "+role, "CREATE ROLE "+role+" LOGIN")
	clerk := strings.Replace(place, "user=duplex", "user="+role, 1)
	if s, err := openPostgres(t.Context(), clerk); err == nil || !strings.Contains(err.Error(), "duplex postgres install") ||
		!strings.Contains(err.Error(), "--grant "+role) {
		t.Fatal(s, err)
	}
	for range 2 { // a second time changes nothing
		if err := Install(t.Context(), place, role); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openPostgres(t.Context(), clerk)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	f := watch(t, s, "")
	o, err := s.add(t.Context(), tea, "Ann")
	if err != nil {
		t.Fatal(err)
	}
	if done, _, err := s.remove(t.Context(), o.ID, o.Version, "Ann"); err != nil || !done {
		t.Error(done, err)
	}
	f.has(t, 2)
	if err := s.prune(t.Context(), 0, 100); err != nil {
		t.Error(err)
	}
	if all, err := s.list(t.Context()); err != nil || len(all) != 6 {
		t.Error(len(all), err)
	}
	pgtest.Psql(t, place, "DROP OWNED BY "+role, "DROP ROLE "+role)
}
