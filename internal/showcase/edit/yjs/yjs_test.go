package yjs

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// vector is what the real Yjs makes of some updates; testdata/vectors.mjs writes them.
type vector struct {
	Name       string
	Updates    [][]byte
	Merged     []byte
	Vector     []byte
	Document   []byte
	Some       []byte
	SomeVector []byte
	Early      []byte
	Diff       []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil || len(all) == 0 {
		t.Fatal("no vectors", err)
	}
	return all
}

func parse(t testing.TB, b []byte) *Update {
	t.Helper()
	u, err := Parse(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// same compares what two updates say: as different programs divide text into structs in different ways, what our Merge makes of them.
func same(t *testing.T, what string, got, want []byte, collect bool) {
	t.Helper()
	a, b := Merge([]*Update{parse(t, got)}, collect), Merge([]*Update{parse(t, want)}, collect)
	if !slices.Equal(a, b) {
		t.Errorf("%s: another update than Yjs makes:\n%x\n%x", what, a, b)
	}
}

func parseVector(t *testing.T, b []byte) StateVector {
	t.Helper()
	v, err := ParseStateVector(b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLikeYjs(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			merged, err := MergeUpdates(v.Updates...)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "merge", merged, v.Merged, false)
			if got, want := parse(t, merged).StateVector(), parseVector(t, v.Vector); !maps.Equal(got, want) {
				t.Errorf("state vector %v, in Yjs %v", got, want)
			}
			same(t, "diff", parse(t, merged).Diff(parseVector(t, v.Early)), v.Diff, false)
			if v.Some == nil {
				return
			}
			var some [][]byte
			for i, u := range v.Updates {
				if i%3 != 1 {
					some = append(some, u)
				}
			}
			holes, err := MergeUpdates(some...)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "merge with holes", holes, v.Some, false)
			if got, want := parse(t, holes).StateVector(), parseVector(t, v.SomeVector); !maps.Equal(got, want) {
				t.Errorf("state vector of holes %v, in Yjs %v", got, want)
			}
		})
	}
}

// A document of Yjs that is saved as a whole has forgotten what was deleted. So does Merge, if it shall.
func TestCollect(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Name == "everything" || v.Name == "without collection" { // in the first, Yjs also forgets what is in shared types that are gone
			continue
		}
		merged := Merge([]*Update{parse(t, v.Merged)}, true)
		same(t, v.Name, merged, v.Document, true)
		if len(v.Updates) > 0 && len(merged) > len(v.Document) {
			t.Errorf("%s: %d bytes, where Yjs has %d", v.Name, len(merged), len(v.Document))
		}
	}
}

// The order and grouping of updates does not matter, nor that one comes twice.
func TestMergeInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, v := range vectors(t) {
		for _, collect := range []bool{false, true} {
			want := Merge([]*Update{parse(t, v.Merged)}, collect)
			for range 5 {
				updates := slices.Concat(v.Updates, v.Updates)
				random.Shuffle(len(updates), func(i, j int) { updates[i], updates[j] = updates[j], updates[i] })
				var whole []byte
				for chunk := range slices.Chunk(updates, 1+random.IntN(20)) {
					var group []*Update
					if whole != nil {
						group = append(group, parse(t, whole))
					}
					for _, u := range chunk {
						group = append(group, parse(t, u))
					}
					whole = Merge(group, collect)
				}
				if whole != nil && !slices.Equal(Merge([]*Update{parse(t, whole)}, collect), want) {
					t.Fatalf("%s: another order gives another document", v.Name)
				}
			}
		}
	}
}

func TestTypingIsOneBlock(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Name == "typing" {
			if merged := parse(t, Merge([]*Update{parse(t, v.Merged)}, true)); len(merged.blocks[1]) > 4 {
				t.Errorf("%d blocks for a line with one correction", len(merged.blocks[1]))
			}
		}
	}
}

func TestIndex(t *testing.T) {
	for _, v := range vectors(t) {
		var x Index
		for _, b := range v.Updates {
			u := parse(t, b)
			if x.Has(u) {
				t.Fatalf("%s: an update counts as known before it comes", v.Name)
			}
			x.Add(u)
			if !x.Has(u) {
				t.Fatalf("%s: an update does not count as known", v.Name)
			}
		}
		if got, want := x.StateVector(), parseVector(t, v.Vector); !maps.Equal(got, want) {
			t.Errorf("%s: state vector %v, in Yjs %v", v.Name, got, want)
		}
		if !x.Has(parse(t, v.Merged)) {
			t.Errorf("%s: all updates together are not known", v.Name)
		}
		if again := parseVector(t, x.StateVector().Append(nil)); !maps.Equal(again, x.StateVector()) {
			t.Errorf("%s: a state vector does not survive being written", v.Name)
		}
	}
}

// item is an update with one struct: the client 1, the clock 5, and then what is given.
func item(raw ...byte) []byte { return append(append([]byte{1, 1, 1, 5}, raw...), 0) }

func TestHostile(t *testing.T) {
	deep := append([]byte{kindAny | hasOrigin, 2, 0, 1}, []byte(strings.Repeat("\x75\x01", 100))...)
	tests := []struct {
		name, want string
		update     []byte
	}{
		{"nothing at all", "the end comes too early", nil},
		{"cut off", "the end comes too early", []byte{1, 1, 1}},
		{"more than there should be", "1 bytes more", []byte{0, 0, 0}},
		{"clients that do not fit", "1000 things do not fit", []byte{0xe8, 0x07, 0}},
		{"structs that do not fit", "things do not fit", []byte{1, 0xff, 0xff, 0xff, 0x7f, 1, 0}},
		{"a client twice", "for a second time", []byte{2, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0}},
		{"a client without structs", "without a struct", []byte{1, 0, 1, 0, 0}},
		{"a number above 2^53-1", "above 2^53-1", []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 1, 0}},
		{"a number without end", "above 2^53-1", []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{"a length of nothing", "a length of 0", item(kindGC, 0)},
		{"clocks beyond the end", "a clock above", item(kindGC, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"an unknown kind", "unknown kind 0xb", item(11)},
		{"a skip with neighbours", "unknown kind 0x8a", item(kindSkip|hasOrigin, 1)},
		{"not UTF-8", "not UTF-8", item(kindString|hasOrigin, 1, 4, 1, 0xff)},
		{"half of a character", "not UTF-8", item(kindString|hasOrigin, 1, 4, 3, 0xed, 0xa0, 0x80)},
		{"a string longer than the update", "do not fit", item(kindString|hasOrigin, 1, 4, 200, 'a')},
		{"an empty string", "without content", item(kindString|hasOrigin, 1, 4, 0)},
		{"not JSON", "not JSON", item(kindEmbed|hasOrigin, 1, 4, 1, '{')},
		{"values that are not JSON", "not JSON", item(kindJSON|hasOrigin, 1, 4, 1, 1, '{')},
		{"no values", "without content", item(kindAny|hasOrigin, 1, 4, 0)},
		{"an unknown value", "unknown kind 1", item(kindAny|hasOrigin, 1, 4, 1, 1)},
		{"values too deep", "more than 64 deep", item(deep...)},
		{"an unknown type", "unknown kind 7", item(kindType|hasOrigin, 1, 4, 7)},
		{"a document with wrong options", "no object", item(kindDoc|hasOrigin, 1, 4, 1, 'g', 126)},
		{"a parent that is nothing", "neither a name nor an item", item(kindDeleted, 2, 1, 'a', 1)},
		{"what refers to itself", "comes later", item(kindDeleted|hasOrigin, 1, 5, 1)},
		{"what refers to what comes", "comes later", item(kindDeleted|hasRight, 1, 9, 1)},
		{"deletes beyond the end", "a clock above", []byte{0, 1, 1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}},
		{"a float without its bytes", "the end", item(kindAny|hasOrigin, 1, 4, 1, 123)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse(test.update, Limits{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error that says %q", err, test.want)
			}
		})
	}
	if _, err := Parse(make([]byte, 11), Limits{Bytes: 10}); err == nil || !strings.Contains(err.Error(), "at most 10") {
		t.Errorf("an update over the limit: %v", err)
	}
	if _, err := Parse([]byte{1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1}, Limits{Structs: 1}); err == nil || !strings.Contains(err.Error(), "more than 1 structs") {
		t.Errorf("structs over the limit: %v", err)
	}
	if _, err := ParseStateVector([]byte{3, 1, 1}); err == nil {
		t.Error("a state vector that is cut off is taken")
	}
}

func TestProtocol(t *testing.T) {
	tests := []struct {
		wire []byte
		want Message
	}{
		{AppendSync(nil, SyncStep1, []byte{0}), Message{SyncStep1, []byte{0}}},
		{AppendSync(nil, SyncStep2, []byte{0, 0}), Message{SyncStep2, []byte{0, 0}}},
		{AppendSync(nil, SyncUpdate, []byte{0, 0}), Message{SyncUpdate, []byte{0, 0}}},
		{AppendAwarenessMessage(nil, []byte{0}), Message{AwarenessKind, []byte{0}}},
		{AppendDenied(nil, "no"), Message{Auth, []byte{0, 2, 'n', 'o'}}},
		{[]byte{3}, Message{QueryAwareness, nil}},
	}
	for _, test := range tests {
		if m, err := ParseMessage(test.wire); err != nil || m.Kind != test.want.Kind || !slices.Equal(m.Data, test.want.Data) {
			t.Errorf("%x: %v, %v; want %v", test.wire, m, err, test.want)
		}
	}
	for _, wire := range [][]byte{nil, {0}, {0, 3, 0}, {0, 0, 5}, {4}, {1, 1}, {3, 0}} {
		if m, err := ParseMessage(wire); err == nil {
			t.Errorf("%x: taken for %v", wire, m)
		}
	}
	states := []Awareness{{1, 2, []byte(`{"a":1}`)}, {70_000, 0, nil}}
	wire := AppendAwareness(nil, states)
	got, err := ParseAwareness(wire, 2)
	if err != nil || len(got) != 2 || string(got[0].State) != `{"a":1}` || got[1].State != nil || got[1].Client != 70_000 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseAwareness(wire, 1); err == nil {
		t.Error("more states than are allowed are taken")
	}
	for _, state := range []string{"1", `"x"`, "{", "\u00a0{}", "[]"} {
		if _, err := ParseAwareness(AppendAwareness(nil, []Awareness{{1, 1, []byte(state)}}), 1); err == nil {
			t.Errorf("%s is taken for a state", state)
		}
	}
}

func TestUTF16(t *testing.T) {
	const s = "a🎉é🎉"
	if n := utf16Len([]byte(s)); n != 6 {
		t.Fatalf("length %d, want 6", n)
	}
	tests := []struct {
		from, to uint64
		want     string
	}{{0, 6, s}, {0, 1, "a"}, {1, 3, "🎉"}, {2, 4, "�é"}, {0, 2, "a�"}, {5, 6, "�"}, {3, 4, "é"}}
	for _, test := range tests {
		if got := string(utf16Cut([]byte(s), test.from, test.to)); got != test.want {
			t.Errorf("from %d to %d: %q, want %q", test.from, test.to, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Merged, v.Early)
		f.Add(v.Document, v.Vector)
		if v.Some != nil {
			f.Add(v.Some, v.SomeVector)
		}
	}
	f.Add(item(kindAny|hasOrigin, 1, 4, 2, 125, 0xbf, 1, 119, 1, 'x'), []byte{1, 1, 6})
	f.Fuzz(func(t *testing.T, update, vector []byte) {
		v, err := ParseStateVector(vector)
		if err != nil {
			v = nil
		}
		_, _ = ParseMessage(update)
		_, _ = ParseAwareness(update, 16)
		u, err := Parse(update, Limits{Bytes: 1 << 16})
		if err != nil {
			return
		}
		for _, collect := range []bool{false, true} {
			once := Merge([]*Update{u}, collect)
			twice := Merge([]*Update{parse(t, once), u}, collect)
			if !slices.Equal(once, twice) {
				t.Fatalf("merging is not stable:\n%x\n%x", once, twice)
			}
			if got := parse(t, once).StateVector(); !maps.Equal(got, u.StateVector()) {
				t.Fatalf("merging changes the state vector from %v to %v", u.StateVector(), got)
			}
		}
		var x Index
		x.Add(u)
		if rest := parse(t, u.Diff(v)); !x.Has(rest) || !maps.Equal(x.StateVector(), u.StateVector()) {
			t.Fatal("what is missing is not part of the whole")
		}
		if rest := parse(t, u.Diff(u.StateVector())); len(u.StateVector()) == len(u.blocks) && len(u.holes()) == 0 && !rest.OnlyDeletes() {
			t.Fatal("somebody who has everything lacks something")
		}
	})
}

// holes are the clients of whom something is missing in between.
func (u *Update) holes() (clients []uint64) {
	for client := range u.blocks {
		if s := u.spans(client); len(s) > 1 {
			clients = append(clients, client)
		}
	}
	return clients
}
