package arena

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew, after the rules have been changed on purpose")

// vector is a body, what its pilot did, and where that has brought it.
type vector struct {
	Name   string     `json:"name"`
	Start  [5]int32   `json:"start"`  // x, y, vx, vy, wait
	Inputs [][3]int32 `json:"inputs"` // x, y, dash
	States [][5]int32 `json:"states"`
}

const vectorsFile = "testdata/steps.json"

// The page's rules are held to the same file, in browser/arena.test.js.
func TestStepVectors(t *testing.T) {
	if *update {
		writeJSON(t, vectorsFile, makeVectors())
	}
	for _, v := range readJSON[[]vector](t, vectorsFile) {
		b := body{v.Start[0], v.Start[1], v.Start[2], v.Start[3], v.Start[4]}
		for i, in := range v.Inputs {
			b = b.step(input{in[0], in[1], in[2] == 1})
			if got := [5]int32{b.X, b.Y, b.VX, b.VY, b.Wait}; got != v.States[i] {
				t.Fatalf("%s, step %d: %v, want %v", v.Name, i, got, v.States[i])
			}
		}
	}
}

func makeVectors() []vector {
	random := rand.New(rand.NewPCG(1, 2))
	anything := func() [3]int32 {
		for {
			in := input{X: int32(random.IntN(201) - 100), Y: int32(random.IntN(201) - 100)}
			if in.isValid() {
				return [3]int32{in.X, in.Y, int32(random.IntN(8) / 7)}
			}
		}
	}
	always := func(in [3]int32) func() [3]int32 { return func() [3]int32 { return in } }
	middle := [5]int32{field / 2, field / 2, 0, 0, 0}
	plans := []struct {
		name  string
		start [5]int32
		in    func() [3]int32
	}{
		{"at rest", middle, always([3]int32{})},
		{"comes to rest", [5]int32{field / 2, field / 2, 777, -333, 3}, always([3]int32{})},
		{"right and up", middle, always([3]int32{70, -71, 0})},
		{"dashes as often as it may", middle, always([3]int32{-100, 0, 1})},
		{"dashes nowhere", middle, always([3]int32{0, 0, 1})},
		{"into a corner", [5]int32{radius + 100, field - radius - 7, -900, 900, 0}, always([3]int32{-60, 80, 1})},
		{"anything", middle, anything},
		{"anything at a wall", [5]int32{field - radius, radius, 0, 0, 12}, anything},
	}
	var vectors []vector
	for _, p := range plans {
		v := vector{Name: p.name, Start: p.start}
		b := body{p.start[0], p.start[1], p.start[2], p.start[3], p.start[4]}
		for range 60 {
			in := p.in()
			b = b.step(input{in[0], in[1], in[2] == 1})
			v.Inputs = append(v.Inputs, in)
			v.States = append(v.States, [5]int32{b.X, b.Y, b.VX, b.VY, b.Wait})
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func TestStepStaysWithinTheArena(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	b := body{X: radius, Y: field - radius}
	for range 100_000 {
		b = b.step(input{int32(random.IntN(201) - 100), int32(random.IntN(201) - 100), random.IntN(3) == 0})
		if b.X < radius || b.X > field-radius || b.Y < radius || b.Y > field-radius || b.Wait < 0 || b.Wait > cooldown {
			t.Fatalf("out of bounds: %+v", b)
		}
	}
}

func TestTheSameSeedAndInputsGiveTheSameWorld(t *testing.T) {
	play := func() *view {
		w := newWorld(7, 100)
		w.join(1, "Ann")
		for i := range 600 {
			w.order(1, order{uint16(i + 1), input{X: int32(i%201 - 100), Dash: i%50 == 0}})
			w.step()
		}
		return w.view(0)
	}
	if a, b := play(), play(); !reflect.DeepEqual(a, b) {
		t.Error("two worlds that began in the same way ended differently")
	}
}

func TestFiftyBotsLive(t *testing.T) {
	w := newWorld(1, 0)
	for range 1200 {
		w.step()
	}
	v := w.view(0)
	gems, scores, bursts := 0, 0, 0
	for _, g := range v.Gems {
		if g != (gem{}) {
			gems++
		}
	}
	for _, s := range v.Ships {
		scores += int(s.Score)
		if s.Out || s.Safe {
			bursts++
		}
	}
	if len(v.Ships) != bots || gems < gemsGrown/3 || scores < 100 || bursts == 0 {
		t.Errorf("after a minute: %d ships, %d gems, scores of %d, %d burst lately", len(v.Ships), gems, scores, bursts)
	}
}

// alone is a world with one ship and nothing else.
func alone() (*world, *pilot) {
	w := newWorld(1, 0)
	w.pilots, w.gems = nil, [maxGems]gem{}
	p := w.add(9, "Ann")
	p.body = body{X: field / 2, Y: field / 2}
	return w, p
}

func TestMoreInputsMakeNobodyFaster(t *testing.T) {
	w, p := alone()
	honest := body{X: field / 2, Y: field / 2}
	for seq, tick := uint16(0), 0; tick < 40; tick++ {
		honest = honest.step(input{X: full})
		for range 100 {
			seq++
			w.order(9, order{seq, input{X: full}})
		}
		w.step()
	}
	ahead := p.X - honest.X
	if most := int32(thrust*drag) * credit; ahead > most {
		t.Errorf("it is ahead by %d, more than the %d of inputs that were held up", ahead, most)
	}
	if len(p.orders) > credit+backlog {
		t.Errorf("%d inputs wait", len(p.orders))
	}
}

func TestInputsThatWereHeldUpCountAllTheSame(t *testing.T) {
	w, p := alone()
	want := p.body
	for tick := range 30 {
		if tick%5 == 4 { // five ticks' inputs come together
			for i := range 5 {
				w.order(9, order{uint16(tick - 3 + i), input{X: 30, Y: -40}})
			}
		}
		want = want.step(input{X: 30, Y: -40})
		w.step()
	}
	if p.body != want || p.Ack != 30 {
		t.Errorf("%+v after input %d, want %+v", p.body, p.Ack, want)
	}
}

func TestOrdersThatAreNone(t *testing.T) {
	w, p := alone()
	w.order(9, order{5, input{X: 10}})
	for name, o := range map[string]order{
		"too long": {6, input{X: 100, Y: 100}}, "far too long": {7, input{X: 1 << 20}}, "again": {5, input{X: 10}}, "older": {4, input{X: 10}},
		"half a round ahead": {5 + 1<<15, input{X: 10}},
	} {
		if w.order(9, o); len(p.orders) != 1 {
			t.Errorf("%s: taken", name)
		}
	}
	w.order(8, order{1, input{}}) // of nobody
}

func TestWhoIsSilentIsTakenOut(t *testing.T) {
	w, p := alone()
	p.VX = 500
	for range idleTicks {
		w.step()
	}
	if p.VX != 0 || w.of(9) == nil {
		t.Errorf("after a while: %+v", p.body)
	}
	w.step()
	w.step()
	if w.of(9) != nil {
		t.Error("it is still there")
	}
}

func TestDashBurstsAndBumpDoesNot(t *testing.T) {
	for _, c := range []struct {
		name       string
		dash, safe bool
		out        bool
	}{{"dash", true, false, true}, {"bump", false, false, false}, {"dash at one who is safe", true, true, false}} {
		w, a := alone()
		b := w.add(10, "Bob")
		b.body = body{X: a.X + 3*radius, Y: a.Y}
		b.Safe, b.Score = c.safe, 9
		if b.safe = 0; c.safe {
			b.safe = safeTicks
		}
		for i := range 6 {
			w.order(9, order{uint16(i + 1), input{X: full, Dash: c.dash}})
			w.step()
		}
		if b.Out != c.out || (b.Score == 5) != c.out || !c.out && a.X > b.X {
			t.Errorf("%s: out %v with %d gems", c.name, b.Out, b.Score)
		}
		for range outTicks {
			w.step()
		}
		if b.Out || c.out && !b.Safe {
			t.Errorf("%s: not back: %+v", c.name, b.ship)
		}
	}
}

func TestRoomForPeople(t *testing.T) {
	w := newWorld(1, 0)
	for i := range maxPeople {
		if !w.join(uint32(i+1), "Ann") {
			t.Fatalf("no room for number %d", i+1)
		}
	}
	if w.join(999, "Bob") || !w.join(1, "Ann") {
		t.Error("room for one too many, or none for one who is there")
	}
	w.leave(1)
	if !w.join(999, "Bob") {
		t.Error("no room after one has left")
	}
}

func writeJSON(t *testing.T, name string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(name, append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readJSON[T any](t *testing.T, name string) (value T) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}
