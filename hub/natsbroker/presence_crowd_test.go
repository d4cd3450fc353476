package natsbroker

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func always(string) bool { return true }

func presentRecord(t *testing.T, sequence uint64, v *presentValue) record {
	t.Helper()
	if v == nil {
		return record{sequence: sequence}
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return record{sequence: sequence, data: data}
}

// Records may come in any order and more than once.
func TestCrowdOrder(t *testing.T) {
	type item struct {
		key entryKey
		record
	}
	random := rand.New(rand.NewPCG(3, 4))
	var items []item
	for sequence := uint64(1); sequence <= 500; sequence++ {
		k := entryKey{token("t"), fmt.Sprint("n", random.IntN(3)), token(fmt.Sprint("user ", random.IntN(20)))}
		var v *presentValue
		if n := random.IntN(4); n > 0 {
			v = &presentValue{Connections: n, Info: fmt.Append(nil, sequence)}
			if random.IntN(2) == 0 {
				v.Since = sequence - uint64(random.IntN(5))
			}
		}
		items = append(items, item{k, presentRecord(t, sequence, v)})
	}
	present := func() any {
		c := newCrowd()
		for _, i := range items {
			if _, err := c.apply(i.key, i.record, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		c.settleAll(always)
		return c.present(1000, always)
	}
	want := present()
	for range 20 {
		items = append(items, items[random.IntN(len(items))])
		random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		if got := present(); !reflect.DeepEqual(got, want) {
			t.Fatalf("present are %+v, want %+v", got, want)
		}
	}
}

// A user's info is that which came last, not that of the entry that was written last.
func TestCrowdInfo(t *testing.T) {
	c := newCrowd()
	put := func(sequence uint64, node string, v *presentValue) {
		t.Helper()
		if _, err := c.apply(entryKey{token("t"), node, token("ann")}, presentRecord(t, sequence, v), time.Time{}); err != nil {
			t.Fatal(err)
		}
		c.settleAll(always)
	}
	info := func(want string) {
		t.Helper()
		if got := c.people[token("ann")]; !got.here || string(got.info) != want {
			t.Errorf("info is %q, want %q", got.info, want)
		}
	}
	put(5, "a", &presentValue{Connections: 2, Info: []byte("1")})
	put(6, "b", &presentValue{Connections: 1, Info: []byte("2")})
	info("2")
	put(7, "a", &presentValue{Connections: 1, Info: []byte("1"), Since: 5}) // one left
	info("2")
	put(8, "a", &presentValue{Connections: 2, Info: []byte("3")})
	info("3")
	put(9, "a", nil)
	info("2")
}

// Who left is remembered for as long as old records of them may come, and not longer.
func TestCrowdForget(t *testing.T) {
	c, now := newCrowd(), time.Unix(1000, 0)
	k := entryKey{token("t"), "a", token("ann")}
	old := presentRecord(t, 1, &presentValue{Connections: 1})
	for _, r := range []record{old, presentRecord(t, 2, nil), old} {
		if _, err := c.apply(k, r, now); err != nil {
			t.Fatal(err)
		}
		c.settleAll(always)
	}
	if p := c.present(10, always); p.Count != 0 {
		t.Errorf("present are %+v", p)
	}
	c.forget(now)
	if len(c.people) != 1 {
		t.Error("forgotten too early")
	}
	if c.forget(now.Add(1)); len(c.people) != 0 {
		t.Error("never forgotten")
	}
}

// What cannot be read is said, and changes nothing.
func TestCrowdBadRecords(t *testing.T) {
	c := newCrowd()
	for _, r := range []struct {
		user, data string
	}{{token("ann"), "{"}, {token("ann"), `{"connections":"1"}`}, {"*", `{"connections":1}`}, {countToken, "1"}} {
		if _, err := c.apply(entryKey{token("t"), "a", r.user}, record{sequence: 1, data: []byte(r.data)}, time.Time{}); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	c.settleAll(always)
	if p := c.present(0, always); p.Count != 0 || p.Connections != 0 {
		t.Errorf("present are %+v", p)
	}
}

func TestEntryKeys(t *testing.T) {
	for _, text := range []string{"a", "ann *>.\u00fc\u2028", "=", "..", "\xff\x00"} {
		k := entryKey{token("t." + text), "node", token(text)}
		got, ok := parseEntryKey(k.String())
		if !ok || got != k {
			t.Errorf("%+v became %+v", k, got)
		}
		if user, ok := untoken(got.user); !ok || user != text {
			t.Errorf("%q became %q", text, user)
		}
		if token(text) == countToken {
			t.Errorf("%q is taken for a count", text)
		}
	}
	for _, key := range []string{"", "p.t.", "p.n.x", "p.t.a.b", "p.t.a.b.", "p.t..b.c", "p.t.a..c", "p.t.a.b.c.d", "s.a"} {
		if k, ok := parseEntryKey(key); ok {
			t.Errorf("%q is taken for %+v", key, k)
		}
	}
}

// Leases age only while they are seen not to be renewed.
func TestLeasesAge(t *testing.T) {
	l := leases{all: make(map[string]*lease)}
	apply := func(sequence uint64, v leaseValue, came, went bool) {
		t.Helper()
		if _, c, w, err := l.apply(record{leaseKeys + "a", sequence, v.encode()}); err != nil || c != came || w != went {
			t.Errorf("came %v, went %v, %v", c, w, err)
		}
	}
	apply(1, leaseValue{}, true, false)
	for _, step := range []struct {
		elapsed time.Duration
		renew   bool
		late    []string
	}{{40 * time.Second, false, nil}, {20 * time.Second, false, nil}, {0, true, nil}, {20 * time.Second, false, nil}, {9 * time.Second, false, nil}, {time.Second, false, []string{"a"}}} {
		if step.renew {
			apply(l.seen+1, leaseValue{}, false, false)
			apply(l.seen, leaseValue{State: leaseOver}, false, false) // old news
		}
		if late := l.age(step.elapsed, 30*time.Second); !slices.Equal(late, step.late) {
			t.Errorf("late are %q, want %q", late, step.late)
		}
	}
	apply(l.seen+1, leaseValue{State: leaseOver}, false, true)
	apply(l.seen+1, leaseValue{State: leaseCleared}, false, false)
	if _, _, _, err := l.apply(record{leaseKeys + "a", l.seen + 1, []byte("{")}); err == nil {
		t.Error("a lease that cannot be read is taken")
	}
}
