package prooftest

import (
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/client"
)

func at(epoch string, offset uint64) client.Position {
	return client.Position{Epoch: epoch, Offset: offset}
}

func begins(p client.Position) entry          { return entry{kind: entryBegin, position: p} }
func came(p client.Position, id string) entry { return entry{kind: entryMessage, position: p, id: id} }
func gap(since, until client.Position) entry {
	return entry{kind: entryGap, since: since, until: until}
}
func resumed(p client.Position, full bool) entry {
	return entry{kind: entryResubscribed, position: p, recovered: full}
}

// TestChecker: a checker that never complains proves nothing.
func TestChecker(t *testing.T) {
	all := []published{
		{topic: "a", publisher: 1, seq: 1, acked: true, position: at("e", 5)},
		{topic: "a", publisher: 1, seq: 2, acked: true, position: at("e", 6)},
		{topic: "a", publisher: 2, seq: 1, acked: true, position: at("e", 8)},
		{topic: "a", publisher: 1, seq: 3}, // nobody knows
		{topic: "a", publisher: 2, seq: 2, acked: true, position: at("f", 3)},
		{topic: "b", publisher: 1, seq: 1, acked: true, position: at("e", 7)},
	}
	one, two, three, four, unknown, end := "a-1-1", "a-1-2", "a-2-1", "a-2-2", "a-1-3", "a"+endID
	for _, c := range []struct {
		name    string
		entries []entry
		says    string // or nothing
	}{
		{"all", []entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 9), end)}, ""},
		{"from the middle", []entry{begins(at("e", 6)), came(at("e", 8), three), came(at("e", 9), end)}, ""},
		{"in a later epoch", []entry{begins(at("f", 0)), came(at("f", 3), four), came(at("f", 9), end)}, ""},
		{"with a gap", []entry{begins(at("e", 4)), gap(at("e", 4), at("e", 6)), came(at("e", 8), three), came(at("e", 9), end)}, ""},
		{"with a gap and what came all the same", []entry{begins(at("e", 4)), gap(at("e", 4), at("e", 7)), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 9), end)}, ""},
		{"unacknowledged", []entry{begins(at("e", 6)), came(at("e", 7), unknown), came(at("e", 8), three), came(at("e", 9), end)}, ""},
		{"unacknowledged, again in the next epoch", []entry{begins(at("e", 6)), came(at("e", 7), unknown), came(at("e", 8), three),
			gap(at("e", 8), at("f", 0)), came(at("f", 1), unknown), came(at("f", 3), four), came(at("f", 9), end)}, ""},
		{"over epochs", []entry{begins(at("e", 5)), resumed(at("f", 0), false), gap(at("e", 5), at("f", 3)), came(at("f", 9), end)}, ""},
		{"resumed", []entry{begins(at("e", 6)), resumed(at("e", 6), true), came(at("e", 8), three), came(at("e", 9), end)}, ""},

		{"hole", []entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 8), three), came(at("e", 9), end)}, "a-1-2 at {e 6} is missing"},
		{"hole at the end", []entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 9), end)}, "a-2-1 at {e 8} is missing"},
		{"hole between epochs", []entry{begins(at("e", 5)), gap(at("e", 7), at("f", 3)), came(at("f", 9), end)}, "a-1-2 at {e 6} is missing"},
		{"hole in the next epoch", []entry{begins(at("e", 5)), gap(at("e", 5), at("f", 2)), came(at("f", 9), end)}, "a-2-2 at {f 3} is missing"},
		{"next epoch in silence", []entry{begins(at("e", 5)), came(at("f", 3), four), came(at("f", 9), end)}, "a-1-2 at {e 6} is missing"},
		{"gap too late", []entry{begins(at("e", 4)), came(at("e", 8), three), gap(at("e", 4), at("e", 6)), came(at("e", 9), end)}, "a-1-1 at {e 5} is missing"},
		{"gap too short", []entry{begins(at("e", 4)), gap(at("e", 4), at("e", 5)), came(at("e", 8), three), came(at("e", 9), end)}, "a-1-2 at {e 6} is missing"},
		{"gap of another epoch", []entry{begins(at("e", 6)), gap(at("x", 0), at("x", 9)), came(at("e", 9), end)}, "a-2-1 at {e 8} is missing"},
		{"double", []entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 9), end)}, "comes behind {e 5}"},
		{"double at another place", []entry{begins(at("e", 6)), came(at("e", 7), three), came(at("e", 8), three), came(at("e", 9), end)}, "comes twice"},
		{"disorder", []entry{begins(at("e", 4)), came(at("e", 6), two), came(at("e", 5), one), came(at("e", 8), three), came(at("e", 9), end)}, "comes behind {e 6}"},
		{"disorder of a publisher", []entry{begins(at("e", 6)), came(at("e", 7), unknown), came(at("e", 8), three), came(at("e", 9), one), came(at("e", 10), end)}, "a-1-1 comes behind number 3"},
		{"another place", []entry{begins(at("e", 6)), came(at("e", 7), three), came(at("e", 9), end)}, "its publisher was told {e 8}"},
		{"never published", []entry{begins(at("e", 8)), came(at("e", 9), "a-9-9"), came(at("e", 10), end)}, "never published"},
		{"of another topic", []entry{begins(at("e", 8)), came(at("e", 9), "b-1-1"), came(at("e", 10), end)}, "never published"},
		{"epoch comes back", []entry{begins(at("e", 8)), came(at("f", 3), four), came(at("e", 9), end)}, "epoch e comes back"},
		{"lost without a gap", []entry{begins(at("e", 8)), resumed(at("e", 8), false), came(at("e", 9), end)}, "no gap was told"},
		{"resumed elsewhere", []entry{begins(at("e", 5)), resumed(at("e", 6), true), came(at("e", 8), three), came(at("e", 9), end)}, "as if nothing were lost"},
		{"no end", []entry{begins(at("e", 6)), came(at("e", 8), three)}, "does not end"},
		{"no beginning", []entry{came(at("e", 8), three), came(at("e", 9), end)}, "does not say where it begins"},
		{"empty", nil, "does not say where it begins"},
		{"two beginnings", []entry{begins(at("e", 8)), begins(at("e", 8)), came(at("e", 9), end)}, "begins twice"},
	} {
		got := check(all, []journal{{name: "s", topic: "a", entries: c.entries}})
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(strings.Join(got, "\n"), c.says) {
			t.Errorf("%s: complaints are %q, want %q", c.name, got, c.says)
		}
	}
	twice := append(all, published{topic: "a", publisher: 3, seq: 1, acked: true, position: at("e", 5)})
	if got := check(twice, nil); len(got) != 1 || !strings.Contains(got[0], "have one position e/5") {
		t.Errorf("complaints are %q", got)
	}
	if j := (journal{entries: []entry{gap(at("e", 1), at("e", 2))}}); j.complete() {
		t.Error("a journal with a gap is complete")
	}
}
