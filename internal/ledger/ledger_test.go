package ledger

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/client"
)

func at(epoch string, offset uint64) client.Position {
	return client.Position{Epoch: epoch, Offset: offset}
}

func begins(p client.Position) Entry          { return Entry{Kind: Begin, Position: p} }
func came(p client.Position, id string) Entry { return Entry{Kind: Message, Position: p, ID: id} }
func cameOf(topic string, p client.Position, id string) Entry {
	return Entry{Kind: Message, Topic: topic, Position: p, ID: id}
}
func gap(since, until client.Position) Entry {
	return Entry{Kind: Gap, Since: since, Until: until, Reason: "expired"}
}
func resumed(p client.Position, full bool) Entry {
	return Entry{Kind: Resubscribed, Position: p, Recovered: full}
}

// sent makes a publication of a publisher whose number is the first figure of what, and whose sequence number is the second.
func sent(topic, what string, p client.Position) Publication {
	var publisher, seq int
	if _, err := fmt.Sscanf(what, "%d-%d", &publisher, &seq); err != nil {
		panic(err)
	}
	return Publication{Topic: topic, ID: topic + "-" + what, Publisher: fmt.Sprint(publisher), Seq: seq, Acked: !p.IsZero(), Position: p}
}

var unknown client.Position

func everything() []Publication {
	return []Publication{
		sent("x.a", "1-1", at("e", 5)),
		sent("x.a", "1-2", at("e", 6)),
		sent("x.a", "2-1", at("e", 8)),
		sent("x.a", "1-3", unknown),
		sent("x.a", "2-2", at("f", 3)),
		sent("x.a", "1-4", unknown),
		sent("x.a", "1-5", at("f", 30)), // behind the end
		sent("x.b", "1-1", at("e", 7)),
		{Topic: "x.a", ID: "x.a-end", Last: true, Acked: true, Position: at("e", 19)},
		{Topic: "x.a", ID: "x.a-end2", Last: true, Acked: true, Position: at("f", 19)},
	}
}

const one, two, three, four, late, end, end2 = "x.a-1-1", "x.a-1-2", "x.a-2-1", "x.a-2-2", "x.a-1-3", "x.a-end", "x.a-end2"
const late4, later = "x.a-1-4", "x.a-1-5"

// TestJournals: a checker that never complains proves nothing.
func TestJournals(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []Entry
		says    string // or nothing
	}{
		{"all", []Entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"from the middle", []Entry{begins(at("e", 6)), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"in a later epoch", []Entry{begins(at("f", 0)), came(at("f", 3), four), came(at("f", 19), end2)}, ""},
		{"with a gap", []Entry{begins(at("e", 4)), gap(at("e", 4), at("e", 6)), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"with a gap and what came all the same", []Entry{begins(at("e", 4)), gap(at("e", 4), at("e", 7)), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"unacknowledged", []Entry{begins(at("e", 6)), came(at("e", 7), late), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"unacknowledged, late", []Entry{begins(at("f", 0)), came(at("f", 3), four), came(at("f", 19), end2), came(at("f", 30), later), came(at("f", 31), late4)}, ""},
		{"unacknowledged, again in the next epoch", []Entry{begins(at("e", 6)), came(at("e", 7), late), came(at("e", 8), three),
			gap(at("e", 8), at("f", 0)), came(at("f", 1), late), came(at("f", 3), four), came(at("f", 19), end2)}, ""},
		{"over epochs", []Entry{begins(at("e", 5)), resumed(at("f", 0), false), gap(at("e", 5), at("f", 3)), came(at("f", 19), end2)}, ""},
		{"resumed", []Entry{begins(at("e", 6)), resumed(at("e", 6), true), came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"resumed behind a gap", []Entry{begins(at("e", 5)), resumed(at("e", 7), false), gap(at("e", 5), at("e", 7)), resumed(at("e", 7), true),
			came(at("e", 8), three), came(at("e", 19), end)}, ""},
		{"resumed in the epoch of a gap", []Entry{begins(at("e", 8)), resumed(at("f", 3), false), gap(at("e", 8), at("f", 3)), resumed(at("f", 3), true),
			came(at("f", 19), end2)}, ""},

		{"hole", []Entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 8), three), came(at("e", 19), end)}, "x.a-1-2 at e/6 is missing"},
		{"hole at the end", []Entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 19), end)}, "x.a-2-1 at e/8 is missing"},
		{"hole between epochs", []Entry{begins(at("e", 5)), gap(at("e", 7), at("f", 3)), came(at("f", 19), end2)}, "x.a-1-2 at e/6 is missing"},
		{"hole in the next epoch", []Entry{begins(at("e", 5)), gap(at("e", 5), at("f", 2)), came(at("f", 19), end2)}, "x.a-2-2 at f/3 is missing"},
		{"next epoch in silence", []Entry{begins(at("e", 5)), came(at("f", 3), four), came(at("f", 19), end2)}, "x.a-1-2 at e/6 is missing"},
		{"gap too late", []Entry{begins(at("e", 4)), came(at("e", 8), three), gap(at("e", 4), at("e", 6)), came(at("e", 19), end)}, "x.a-1-1 at e/5 is missing"},
		{"gap too short", []Entry{begins(at("e", 4)), gap(at("e", 4), at("e", 5)), came(at("e", 8), three), came(at("e", 19), end)}, "x.a-1-2 at e/6 is missing"},
		{"gap of another epoch", []Entry{begins(at("e", 6)), gap(at("x", 0), at("x", 9)), came(at("e", 19), end)}, "x.a-2-1 at e/8 is missing"},
		{"double", []Entry{begins(at("e", 4)), came(at("e", 5), one), came(at("e", 5), one), came(at("e", 6), two), came(at("e", 8), three), came(at("e", 19), end)}, "comes behind e/5"},
		{"double at another place", []Entry{begins(at("e", 6)), came(at("e", 7), three), came(at("e", 8), three), came(at("e", 19), end)}, "comes twice"},
		{"unacknowledged, twice", []Entry{begins(at("e", 8)), came(at("e", 9), late), came(at("e", 10), late), came(at("e", 19), end)}, "comes twice"},
		{"disorder", []Entry{begins(at("e", 4)), came(at("e", 6), two), came(at("e", 5), one), came(at("e", 8), three), came(at("e", 19), end)}, "comes behind e/6"},
		{"disorder of a publisher", []Entry{begins(at("e", 6)), came(at("e", 7), late), came(at("e", 8), three), came(at("e", 9), one), came(at("e", 19), end)}, "x.a-1-1 comes behind number 3"},
		{"another place", []Entry{begins(at("e", 6)), came(at("e", 7), three), came(at("e", 19), end)}, "its publisher was told e/8"},
		{"never published", []Entry{begins(at("e", 8)), came(at("e", 9), "x.a-9-9"), came(at("e", 19), end)}, "never published"},
		{"of another topic", []Entry{begins(at("e", 8)), came(at("e", 9), "x.b-1-1"), came(at("e", 19), end)}, "never published"},
		{"epoch comes back", []Entry{begins(at("e", 8)), gap(at("e", 8), at("f", 2)), came(at("f", 3), four), came(at("e", 19), end)}, "epoch e comes back"},
		{"lost without a gap", []Entry{begins(at("e", 8)), resumed(at("e", 8), false), came(at("e", 19), end)}, "no gap was told"},
		{"resumed too far", []Entry{begins(at("e", 5)), resumed(at("e", 6), true), came(at("e", 8), three), came(at("e", 19), end)}, "x.a-1-2 at e/6 is missing"},
		{"resumed in another epoch", []Entry{begins(at("e", 6)), resumed(at("f", 3), true), came(at("f", 19), end2)}, "x.a-2-1 at e/8 is missing"},
		{"resumed behind what it has", []Entry{begins(at("e", 4)), came(at("e", 5), one), resumed(at("e", 4), true), came(at("e", 19), end)}, "was at e/5 already"},
		{"no end", []Entry{begins(at("e", 6)), came(at("e", 8), three)}, "does not have the last message of x.a"},
		{"no beginning", []Entry{came(at("e", 8), three), came(at("e", 19), end)}, "does not say where it begins"},
		{"empty", nil, "does not say where it begins"},
		{"two beginnings", []Entry{begins(at("e", 8)), begins(at("e", 8)), came(at("e", 19), end)}, "begins twice"},
	} {
		got := Check(everything(), []Journal{{Name: "s", Topic: "x.a", Entries: c.entries}}).Complaints
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(strings.Join(got, "\n"), c.says) {
			t.Errorf("%s: complaints are %q, want %q", c.name, got, c.says)
		}
	}
}

// TestPatterns: a subscription of a pattern gets one line of messages of all its topics.
func TestPatterns(t *testing.T) {
	const other = "x.b-1-1"
	ofB := gap(at("e", 6), at("e", 7))
	ofB.Topic = "x.b"
	ofA := ofB
	ofA.Topic = "x.a"
	for _, c := range []struct {
		name    string
		entries []Entry
		says    string
	}{
		{"all", []Entry{begins(at("e", 5)), cameOf("x.a", at("e", 6), two), cameOf("x.b", at("e", 7), other), cameOf("x.a", at("e", 8), three), cameOf("x.a", at("e", 19), end)}, ""},
		{"a gap of the topic", []Entry{begins(at("e", 5)), cameOf("x.a", at("e", 6), two), ofB, cameOf("x.a", at("e", 8), three), cameOf("x.a", at("e", 19), end)}, ""},
		{"a gap of any topic", []Entry{begins(at("e", 5)), gap(at("e", 5), at("e", 7)), cameOf("x.a", at("e", 8), three), cameOf("x.a", at("e", 19), end)}, ""},
		{"hole", []Entry{begins(at("e", 5)), cameOf("x.a", at("e", 6), two), cameOf("x.a", at("e", 8), three), cameOf("x.a", at("e", 19), end)}, "x.b-1-1 at e/7 is missing"},
		{"a gap of the other topic", []Entry{begins(at("e", 5)), cameOf("x.a", at("e", 6), two), ofA, cameOf("x.a", at("e", 8), three), cameOf("x.a", at("e", 19), end)}, "x.b-1-1 at e/7 is missing"},
		{"under another topic", []Entry{begins(at("e", 5)), cameOf("x.b", at("e", 6), two), cameOf("x.a", at("e", 19), end)}, "x.a-1-2 of x.b was never published"},
	} {
		got := Check(everything(), []Journal{{Name: "s", Topic: "x.*", Entries: c.entries}}).Complaints
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(strings.Join(got, "\n"), c.says) {
			t.Errorf("%s: complaints are %q, want %q", c.name, got, c.says)
		}
	}
}

// TestWithoutPlace: topics whose messages have no place.
func TestWithoutPlace(t *testing.T) {
	all := []Publication{sent("x.c", "1-1", at("e", 7)), sent("x.c", "1-2", at("e", 7)), sent("x.c", "1-3", unknown), sent("x.c", "1-4", at("e", 9)),
		sent("x.c", "2-1", at("e", 7)), {Topic: "x.c", ID: "x.c-end", Last: true, Acked: true, Position: at("e", 9)}}
	begin := begins(at("e", 5))
	bare := func(what string) Entry { return came(unknown, "x.c-"+what) }
	lost := gap(at("e", 5), at("e", 5))
	for _, c := range []struct {
		name    string
		entries []Entry
		says    string
	}{
		{"all", []Entry{begin, bare("1-1"), bare("2-1"), bare("1-2"), bare("1-3"), bare("1-4"), bare("end")}, ""},
		{"without the unknown one", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-2"), bare("1-4"), bare("end")}, ""},
		{"overtaken", []Entry{begin, bare("2-1"), bare("1-2"), bare("1-1"), bare("1-4"), bare("end")}, ""},
		{"a gap", []Entry{begin, bare("2-1"), bare("1-1"), lost, bare("1-4"), bare("end")}, ""},
		{"a gap at the beginning", []Entry{begin, lost, bare("1-4"), bare("end")}, ""},
		{"a gap at the end", []Entry{begin, bare("2-1"), bare("1-1"), lost, bare("end")}, ""},
		{"a hole", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-4"), bare("end")}, "x.c-1-2 of x.c is missing"},
		{"a gap too early", []Entry{begin, lost, bare("2-1"), bare("1-1"), bare("1-4"), bare("end")}, "x.c-1-2 of x.c is missing"},
		{"behind a gap, one that was held up", []Entry{begin, gap(at("e", 5), at("e", 8)), bare("1-1"), bare("1-4"), bare("2-1"), bare("end")}, ""},
		{"a gap too late", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-4"), lost, bare("end")}, "x.c-1-2 of x.c is missing"},
		{"nothing of a publisher", []Entry{begin, bare("1-1"), bare("1-2"), bare("1-4"), bare("end")}, "x.c-2-1 of x.c is missing"},
		{"twice", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-1"), bare("1-2"), bare("1-4"), bare("end")}, "x.c-1-1 comes twice"},
		{"twice after a resubscription", []Entry{begin, bare("2-1"), bare("1-1"), resumed(at("e", 5), true), bare("1-1"), bare("1-2"), bare("1-4"), bare("end")}, ""},
		{"no end", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-2"), bare("1-4")}, "does not have the last message of x.c"},
		{"never published", []Entry{begin, bare("2-1"), bare("1-1"), bare("1-2"), bare("1-4"), bare("9-9"), bare("end")}, "never published"},
	} {
		got := Check(all, []Journal{{Name: "s", Topic: "x.c", Entries: c.entries}}).Complaints
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(strings.Join(got, "\n"), c.says) {
			t.Errorf("%s: complaints are %q, want %q", c.name, got, c.says)
		}
	}
}

// TestTogether: what only shows when several journals, or publications, lie side by side.
func TestTogether(t *testing.T) {
	journal := func(name string, middle Entry) Journal {
		return Journal{Name: name, Topic: "x.a", Entries: []Entry{begins(at("e", 8)), middle, came(at("e", 19), end)}}
	}
	all := append(everything(), sent("x.a", "7-1", unknown), sent("x.a", "8-1", unknown))
	got := Check(all, []Journal{journal("s1", came(at("e", 9), "x.a-7-1")), journal("s2", came(at("e", 9), "x.a-8-1"))}).Complaints
	if len(got) != 1 || !strings.Contains(got[0], "s2 of x.a: x.a-8-1 is at e/9, where somebody else got x.a-7-1") {
		t.Errorf("complaints are %q", got)
	}
	twice := append(everything(), sent("x.a", "3-1", at("e", 5)))
	if got := Check(twice, nil).Complaints; len(got) != 1 || !strings.Contains(got[0], "have one position e/5") {
		t.Errorf("complaints are %q", got)
	}
	overtaken := append(everything(), sent("x.a", "2-9", at("e", 2)))
	if got := Check(overtaken, nil).Complaints; len(got) != 1 || !strings.Contains(got[0], "x.a-2-1 was sent before x.a-2-9, and its place e/8 is behind") {
		t.Errorf("complaints are %q", got)
	}
}

func TestCounts(t *testing.T) {
	got := Check(everything(), []Journal{{Name: "s", Topic: "x.a", Entries: []Entry{
		begins(at("e", 4)), resumed(at("e", 4), true), resumed(at("e", 6), false), gap(at("e", 4), at("e", 6)),
		came(at("e", 7), late), came(at("e", 8), three), came(at("e", 19), end),
	}}})
	want := Counts{
		Acked: 8, Unknown: 2, Late: 1, Epochs: map[string]int{"e": 5, "f": 3}, Delivered: 3,
		Missed: map[string]int{"expired": 2}, Gaps: map[string]int{"expired": 1}, Recovered: 1, Unrecovered: 1,
	}
	if len(got.Complaints) > 0 || !reflect.DeepEqual(got.Counts, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
