package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

var tea = draft{"Ann", "Tea", 3, 450, "new"}

// TestEdits: what is written is there, with a version that rises, and changes say who did what.
func TestEdits(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		ctx := t.Context()
		f := watch(t, w, "")
		o, err := w.add(ctx, tea, "Ann")
		if err != nil || o.draft != tea || o.ID == 0 || o.Version == 0 {
			t.Fatal(o, err)
		}
		more := tea
		more.Quantity = 5
		done, now, err := w.change(ctx, o.ID, o.Version, more, "Bob")
		if err != nil || !done || now.draft != more || now.Version <= o.Version {
			t.Fatal(done, now, err)
		}
		all, err := w.list(ctx)
		if err != nil || len(all) != 7 || all[0] != *now {
			t.Fatal(all, err)
		}
		if done, now, err = w.remove(ctx, o.ID, now.Version, "Ann"); err != nil || !done || now != nil {
			t.Fatal(done, now, err)
		}
		c := f.has(t, 3)
		for i, want := range []struct {
			op, by   string
			was, now *draft
		}{{"add", "Ann", nil, &tea}, {"change", "Bob", &tea, &more}, {"remove", "Ann", &more, nil}} {
			got := c[i]
			if got.Op != want.op || got.By != want.by || got.ID != o.ID || got.Program != "" || !same(got.Was, want.was) || !same(got.Now, want.now) {
				t.Errorf("change %d is %+v", i, got)
			}
			if i > 0 && got.Version <= c[i-1].Version || time.Since(got.Time).Abs() > time.Minute {
				t.Errorf("change %d has version %d, time %s", i, got.Version, got.Time)
			}
		}
		if c[0].Version != o.Version {
			t.Errorf("the order has version %d, and its change %d", o.Version, c[0].Version)
		}
	})
}

func same(a, b *draft) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// TestConflict: whoever edits a row that is not any more what they saw changes nothing and is told what it is.
func TestConflict(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		ctx := t.Context()
		o, err := w.add(ctx, tea, "Ann")
		if err != nil {
			t.Fatal(err)
		}
		w.sql(t, fmt.Sprintf("UPDATE orders SET status = 'paid' WHERE id = %d", o.ID))
		mine := tea
		mine.Quantity = 9
		done, now, err := w.change(ctx, o.ID, o.Version, mine, "Bob")
		if err != nil || done || now.Status != "paid" || now.Quantity != 3 {
			t.Error(done, now, err)
		}
		if done, now, err := w.remove(ctx, o.ID, o.Version, "Bob"); err != nil || done || now.Status != "paid" {
			t.Error(done, now, err)
		}
		if done, now, err := w.change(ctx, o.ID+1, o.Version, mine, "Bob"); err != nil || done || now != nil {
			t.Error(done, now, err)
		}

		var wins sync.Map
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				mine := tea
				mine.Quantity = int64(10 + i)
				if done, _, err := w.change(ctx, o.ID, now.Version, mine, "Ann"); err != nil {
					t.Error(err)
				} else if done {
					wins.Store(i, true)
				}
			})
		}
		group.Wait()
		n := 0
		wins.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d of 8 edits of the same version were done", n)
		}
	})
}

// TestConstraints: the database refuses, and the refusal has a code and words.
func TestConstraints(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		f := watch(t, w, "")
		for _, bad := range []struct {
			code  hub.Code
			draft draft
		}{
			{codeQuantity, draft{"Ann", "Tea", 0, 450, "new"}},
			{codeQuantity, draft{"Ann", "Tea", 1001, 450, "new"}},
			{codeQuantity, draft{"Ann", "Tea", -1 << 63, 450, "new"}},
			{codePrice, draft{"Ann", "Tea", 1, -1, "new"}},
			{codePrice, draft{"Ann", "Tea", 1, 1<<63 - 1, "new"}},
			{codeStatus, draft{"Ann", "Tea", 1, 1, "flying"}},
			{codeCustomer, draft{"", "Tea", 1, 1, "new"}},
			{codeCustomer, draft{strings.Repeat("王", 81), "Tea", 1, 1, "new"}},
			{codeItem, draft{"Ann", "   ", 1, 1, "new"}},
			{codeItem, draft{"Ann", strings.Repeat("x", 1<<20), 1, 1, "new"}},
		} {
			var refused *hub.Error
			if o, err := w.add(t.Context(), bad.draft, "Ann"); !errors.As(err, &refused) || refused.Code != bad.code || refused.Message == "" {
				t.Errorf("%s: %v, %v", bad.code, o, err)
			}
		}
		// Nothing of it is seen; what is as it should be, is.
		hostile := draft{`'); DROP TABLE orders; --`, `<script>alert("1")</script> \ %s $1 ` + "\U0001F375", 1000, 0, "cancelled"}
		o, err := w.add(t.Context(), hostile, `O'Brien "x" \`)
		if err != nil || o.draft != hostile {
			t.Fatal(o, err)
		}
		if c := f.has(t, 1); *c[0].Now != hostile || c[0].By != `O'Brien "x" \` {
			t.Errorf("%+v", c)
		}
	})
}

// TestOutside: what another program does is seen, all of it, in the order of each row.
func TestOutside(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		f := watch(t, w, "")
		w.sql(t, "INSERT INTO orders (id, customer, item, quantity, price_cents) VALUES (100, 'Zoe', 'Tea', 2, 99)")
		w.sql(t, "UPDATE orders SET quantity = quantity + 1 WHERE id < 3")
		w.sql(t, "UPDATE orders SET id = 101 WHERE id = 100")
		w.sql(t, "DELETE FROM orders WHERE id = 101")
		w.sql(t, "INSERT INTO orders (id, customer, item, quantity, price_cents) VALUES (101, 'Zoe', 'Tea', 2, 99)")
		c := f.has(t, 7)
		var ops []string
		for i, change := range c {
			ops = append(ops, fmt.Sprint(change.Op, change.ID))
			if change.By != "" || change.Program != w.program {
				t.Errorf("change %d was done by %q, %q", i, change.By, change.Program)
			}
		}
		if got := strings.Join(ops, " "); got != "add100 change1 change2 remove100 add101 remove101 add101" &&
			got != "add100 change1 change2 add101 remove100 remove101 add101" {
			t.Error(got)
		}
		if c[2].Was.Quantity+1 != c[2].Now.Quantity {
			t.Errorf("%+v", c[2])
		}
		all, err := w.list(t.Context())
		if err != nil || all[0].ID != 101 || all[0].Version != c[6].Version {
			t.Error(all[0], err)
		}
	})
}

// TestMark: whoever goes on at a mark gets what happened since, once; what has been pruned is not there.
func TestMark(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		f := watch(t, w, "")
		w.sql(t, "UPDATE orders SET quantity = 11 WHERE id = 1")
		f.has(t, 1)
		f.stop()
		mark := f.mark
		if len(mark) > 200 || strings.ContainsAny(mark, `"\`) {
			t.Errorf("mark %q", mark)
		}
		w.sql(t, "UPDATE orders SET quantity = 12 WHERE id = 1")
		w.sql(t, "UPDATE orders SET quantity = 13 WHERE id = 1")
		g := watch(t, w, mark)
		if c := g.has(t, 2); c[0].Now.Quantity != 12 || c[1].Now.Quantity != 13 {
			t.Errorf("%+v", c)
		}
		g.stop()
		for _, p := range []struct {
			age  time.Duration
			most int64
		}{{time.Hour, 100}, {time.Hour, 2}, {-time.Hour, 100}} {
			if err := w.prune(t.Context(), p.age, p.most); err != nil {
				t.Fatal(err)
			}
			all, want := watch(t, w, mark), 2
			if p.age < 0 {
				want = 0
			}
			all.has(t, want)
			all.stop()
		}
		h := watch(t, w, mark)
		w.sql(t, "UPDATE orders SET quantity = 14 WHERE id = 1")
		if c := h.has(t, 1); c[0].Now.Quantity != 14 {
			t.Errorf("%+v", c)
		}
	})
}

// TestMany: more changes than are read at once arrive, once and in order.
func TestMany(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		f := watch(t, w, "")
		const n = 2*batch + 7
		w.sql(t, fmt.Sprintf(`INSERT INTO orders (customer, item, quantity, price_cents)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT 'Ann', 'Tea', 1, i FROM n`, n))
		for i, c := range f.has(t, n) {
			if c.Now.Price != int64(i+1) {
				t.Fatalf("change %d is %+v", i, c)
			}
		}
		if all, err := w.list(t.Context()); err != nil || len(all) != maxOrders {
			t.Error(len(all), err)
		}
		if o, err := w.add(t.Context(), tea, "Ann"); !errors.Is(err, errFull) {
			t.Error(o, err)
		}
	})
}

// TestOpen: the table is made once, whoever opens it.
func TestOpen(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			place := k.new(t)
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					s, err := k.open(t.Context(), place)
					if err != nil {
						t.Error(err)
						return
					}
					defer s.close()
					if all, err := s.list(t.Context()); err != nil || len(all) != 6 {
						t.Error(len(all), err)
					}
				})
			}
			group.Wait()
		})
	}
}

// TestNoDatabase: what cannot be opened is an error that says so, soon.
func TestNoDatabase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if s, err := openPostgres(ctx, "host=/nowhere user=x"); err == nil {
		s.close()
		t.Error("there is a server")
	}
	if s, err := openSQLite(ctx, t.TempDir()); err == nil {
		s.close()
		t.Error("a folder is a database")
	}
	for _, bad := range []string{"postgres://ann:secret-word@host:port/db", "host=db sslmode=perhaps password=secret-word", "nonsense"} {
		if err := CheckDSN(bad); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
