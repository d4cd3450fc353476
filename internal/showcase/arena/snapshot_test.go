package arena

import (
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"testing"
)

// record is a series of snapshots, in hexadecimal, and what they amount to; for the page as well (browser/arena.test.js).
type record struct {
	Snapshots []string `json:"snapshots"`
	Tick      uint32   `json:"tick"`
	Ships     []any    `json:"ships"` // id, owner, name, out, safe, x, y, vx, vy, wait, score, ack
	Gems      [][3]int `json:"gems"`  // index, x, y
}

const recordFile = "testdata/snapshots.json"

func TestRecord(t *testing.T) {
	if *update {
		writeJSON(t, recordFile, makeRecord())
	}
	r := readJSON[record](t, recordFile)
	var v *view
	for i, s := range r.Snapshots {
		data, err := hex.DecodeString(s)
		if err == nil {
			v, err = decode(data, v)
		}
		if err != nil {
			t.Fatalf("snapshot %d: %v", i, err)
		}
	}
	if v.Tick != r.Tick || len(v.Ships) != len(r.Ships) {
		t.Errorf("tick %d with %d ships, want %d with %d", v.Tick, len(v.Ships), r.Tick, len(r.Ships))
	}
	if again := makeRecord(); again.Snapshots[0] != r.Snapshots[0] {
		t.Error("a full snapshot looks different now: was that meant? Then run the test with -update")
	}
}

func makeRecord() record {
	var r record
	w := newWorld(5, 1000)
	w.join(0xdeadbeef, "Ann 安")
	var before *view
	for i := range 30 {
		w.order(0xdeadbeef, order{uint16(i + 1), input{X: 60, Y: -80, Dash: i == 20}})
		if i == 10 {
			w.join(77, "Bob")
		}
		if i == 25 {
			w.leave(77)
		}
		w.step()
		now := w.view(12)
		data := appendFull(nil, now)
		if before != nil {
			data = appendDelta(nil, before, now)
		}
		r.Snapshots = append(r.Snapshots, hex.EncodeToString(data))
		before = now
	}
	r.Tick = before.Tick
	for _, s := range before.Ships {
		r.Ships = append(r.Ships, []any{s.ID, s.Owner, s.Name, s.Out, s.Safe, s.X, s.Y, s.VX, s.VY, s.Wait, s.Score, s.Ack})
	}
	for i, g := range before.Gems {
		if g != (gem{}) {
			r.Gems = append(r.Gems, [3]int{i, int(g.X), int(g.Y)})
		}
	}
	return r
}

// A minute of a busy game, as somebody sees it who has only the snapshots.
func TestDeltasAmountToTheWorld(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	w := newWorld(8, 1<<31)
	var before, seen *view
	var deltas, fulls int
	for i := range 1200 {
		if random.IntN(20) == 0 {
			w.join(uint32(1+random.IntN(30)), "Somebody")
		}
		if random.IntN(60) == 0 {
			w.leave(uint32(1 + random.IntN(30)))
		}
		for owner := range uint32(30) {
			if random.IntN(5) > 0 {
				w.order(owner+1, order{uint16(i + 1), input{X: int32(random.IntN(71)), Y: -int32(random.IntN(71)), Dash: random.IntN(9) == 0}})
			}
		}
		w.step()
		now := w.view(3)
		data := appendFull(nil, now)
		fulls += len(data)
		if before != nil {
			data = appendDelta(nil, before, now)
			deltas += len(data)
		}
		var err error
		if seen, err = decode(data, seen); err != nil || !reflect.DeepEqual(seen, now) {
			t.Fatalf("tick %d: not what it was (%v)", i, err)
		}
		before = now
	}
	t.Logf("a second of %d ships: %d bytes of deltas, %d of full snapshots", len(before.Ships), deltas/60, fulls/60)
	if deltas*4 > fulls {
		t.Errorf("deltas of %d bytes, full snapshots of %d: not worth it", deltas, fulls)
	}
}

func TestADeltaThatDoesNotFollow(t *testing.T) {
	w := newWorld(1, 10)
	first := w.view(0)
	w.step()
	second := w.view(0)
	w.step()
	data := appendDelta(nil, second, w.view(0))
	if _, err := decode(data, first); err == nil {
		t.Error("taken after the tick before the last")
	}
	if _, err := decode(data, nil); err == nil {
		t.Error("taken after nothing")
	}
}

func TestAWorldGoesOnFromWhatWasSeen(t *testing.T) {
	w := newWorld(1, 10)
	w.join(4, "Ann")
	for range 100 {
		w.step()
	}
	last := w.view(0)
	again := resume(last, 2)
	if got := again.view(0); !reflect.DeepEqual(got, last) {
		t.Error("it does not begin where the other has ended")
	}
	for range 200 {
		again.step()
	}
	if n := len(again.pilots); n != bots { // Ann was silent
		t.Errorf("%d ships after a while", n)
	}
}

func FuzzDecode(f *testing.F) {
	w := newWorld(1, 10)
	w.join(4, "Ann")
	before := w.view(0)
	f.Add(appendFull(nil, before))
	for range 5 {
		w.step()
		f.Add(appendDelta(nil, before, w.view(0)))
	}
	f.Add([]byte{kindDelta, 11, 1, 0, isGone, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, b := range []*view{nil, before} {
			v, err := decode(data, b)
			if err != nil {
				continue
			}
			// What can be read can be written, and means the same.
			again, err := decode(appendFull(nil, v), nil)
			if err != nil || !reflect.DeepEqual(again, v) {
				t.Fatalf("read %+v, and then %+v (%v)", v, again, err)
			}
			w := resume(v, 1)
			for range 3 {
				w.step()
			}
		}
	})
}
