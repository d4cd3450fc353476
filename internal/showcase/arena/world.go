package arena

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	bots       = 50
	maxPeople  = 50
	gemsGrown  = 200 // that grow by themselves
	maxGems    = 300 // with those that ships have lost
	gemReach   = radius + 10*unit
	outTicks   = 30 // from being burst to the next life
	safeTicks  = 50 // at the beginning of a life in which nobody can burst one
	spoils     = 3  // gems for bursting another
	maxSpill   = 12 // gems that lie around after a burst
	maxScore   = 60_000
	credit     = 5   // steps that a pilot whose inputs were held up by the network may make up for
	backlog    = 2   // inputs that may wait beyond these
	idleTicks  = 100 // without an input after which a pilot has left
	wallMargin = 60 * unit
)

// ship is what everybody sees of a ship.
type ship struct {
	body
	ID    uint8
	Owner uint32 // of whom it is (ownerOf), or 0 for a bot
	Name  string
	Out   bool   // burst, not back yet
	Safe  bool   // cannot be burst
	Score uint16 // gems
	Ack   uint16 // the last input that has moved it
}

// gem lies somewhere. The zero value is none.
type gem struct{ X, Y uint16 } // in points

// view is all that everybody sees at the end of a tick.
type view struct {
	Tick  uint32
	Cost  uint16 // microseconds that a tick takes the server, on average
	Ships []ship // ascending by ID
	Gems  [maxGems]gem
}

// order is an input on its way.
type order struct {
	seq uint16
	input
}

// pilot is a ship and who steers it.
type pilot struct {
	ship
	out, safe int32 // ticks left

	// Inputs that wait for their tick, steps that may be taken, and for how many ticks nothing came.
	orders       []order
	credit, idle int

	goal   int // of bots: the gem that it wants, or -1
	bored  int // ticks until it looks for another one
	greedy int // of 1,000: how often it goes for others
}

// world is the arena. The same seed and the same inputs give the same world. It is used by one goroutine at a time.
type world struct {
	tick   uint32
	random *rand.Rand
	pilots []*pilot // ascending by ID
	gems   [maxGems]gem
	nextID uint8
}

func newWorld(seed uint64, tick uint32) *world {
	w := &world{tick: tick, random: rand.New(rand.NewPCG(seed, uint64(tick)))}
	for range gemsGrown {
		w.grow()
	}
	w.fill()
	return w
}

// resume makes a world of what everybody saw of it last.
func resume(v *view, seed uint64) *world {
	w := &world{tick: v.Tick, random: rand.New(rand.NewPCG(seed, uint64(v.Tick))), gems: v.Gems}
	for _, s := range v.Ships[:min(len(v.Ships), bots+maxPeople)] {
		p := &pilot{ship: s, goal: -1, greedy: w.random.IntN(maxGreed)}
		if p.Out {
			p.out = 1
		}
		w.pilots = append(w.pilots, p)
		w.nextID = s.ID + 1
	}
	w.fill()
	return w
}

// fill adds bots until there are enough of them.
func (w *world) fill() {
	missing := bots
	for _, p := range w.pilots {
		if p.Owner == 0 {
			missing--
		}
	}
	for range min(missing, bots+maxPeople-len(w.pilots)) {
		p := w.add(0, botNames[int(w.nextID)%len(botNames)])
		p.goal, p.greedy = -1, w.random.IntN(maxGreed)
	}
}

// add puts a new ship into the world. IDs go round, so that none comes back soon.
func (w *world) add(owner uint32, name string) *pilot {
	taken := func(p *pilot) bool { return p.ID == w.nextID }
	for slices.ContainsFunc(w.pilots, taken) {
		w.nextID++
	}
	p := &pilot{ship: ship{ID: w.nextID, Owner: owner, Name: name}}
	w.nextID++
	w.place(p)
	i, _ := slices.BinarySearchFunc(w.pilots, p.ID, func(p *pilot, id uint8) int { return int(p.ID) - int(id) })
	w.pilots = slices.Insert(w.pilots, i, p)
	return p
}

// place begins a life somewhere.
func (w *world) place(p *pilot) {
	x, y := w.somewhere()
	p.body = body{X: int32(x) * unit, Y: int32(y) * unit}
	p.Out, p.out = false, 0
	p.Safe, p.safe = true, safeTicks
}

// somewhere is a point not too near to a wall.
func (w *world) somewhere() (x, y uint16) {
	const margin = wallMargin / unit
	return uint16(margin + w.random.IntN(field/unit-2*margin)), uint16(margin + w.random.IntN(field/unit-2*margin))
}

func (w *world) of(owner uint32) *pilot {
	for _, p := range w.pilots {
		if p.Owner == owner {
			return p
		}
	}
	return nil
}

// join gives somebody a ship, or begins to count its inputs anew if there is one already. It reports whether there was room.
func (w *world) join(owner uint32, name string) bool {
	if p := w.of(owner); p != nil {
		p.Ack, p.orders, p.idle = 0, nil, 0
		return true
	}
	if len(w.pilots) >= bots+maxPeople {
		return false
	}
	w.add(owner, name)
	return true
}

func (w *world) leave(owner uint32) {
	w.pilots = slices.DeleteFunc(w.pilots, func(p *pilot) bool { return p.Owner == owner })
}

// order takes an input. It moves a ship in a later tick, and no more often than there are ticks: whoever sends more loses the oldest.
func (w *world) order(owner uint32, o order) {
	p := w.of(owner)
	if p == nil || !o.isValid() || int16(o.seq-p.last()) <= 0 {
		return
	}
	p.orders = append(p.orders, o)
	if len(p.orders) > credit+backlog {
		p.orders = p.orders[1:]
	}
}

// last is the number of the last input that has come.
func (p *pilot) last() uint16 {
	if n := len(p.orders); n > 0 {
		return p.orders[n-1].seq
	}
	return p.Ack
}

// step moves the world on by one tick.
func (w *world) step() {
	w.tick++
	w.pilots = slices.DeleteFunc(w.pilots, func(p *pilot) bool { return p.Owner != 0 && p.idle > idleTicks })
	for _, p := range w.pilots {
		if p.Owner == 0 {
			w.think(p)
		}
		w.live(p)
		w.steer(p)
	}
	w.collide()
	for _, p := range w.pilots {
		w.collect(p)
	}
	for range 2 {
		w.grow()
	}
}

// live counts down the states of a ship.
func (w *world) live(p *pilot) {
	if p.out > 0 {
		if p.out--; p.out == 0 {
			w.place(p)
		}
		return
	}
	if p.safe = max(0, p.safe-1); p.safe == 0 {
		p.Safe = false
	}
}

// steer takes the steps that a pilot may take. A ship whose pilot is silent drifts: the steps that it could have taken are saved up, a few of
// them, so that inputs which the network has held up still have the effect that the pilot saw.
func (w *world) steer(p *pilot) {
	p.idle++
	p.credit++
	for len(p.orders) > 0 && p.credit > 0 {
		o := p.orders[0]
		p.orders = p.orders[1:]
		p.move(o.input)
		p.Ack, p.idle = o.seq, 0
		p.credit--
	}
	if p.credit > credit {
		p.move(input{})
		p.credit = credit
	}
}

func (p *pilot) move(in input) {
	if !p.Out {
		p.body = p.body.step(in)
	}
}

// collect gives a ship the gems that it touches.
func (w *world) collect(p *pilot) {
	if p.Out {
		return
	}
	for i, g := range w.gems {
		if g == (gem{}) {
			continue
		}
		if near(int32(g.X)*unit-p.X, int32(g.Y)*unit-p.Y, gemReach) {
			w.gems[i] = gem{}
			p.Score = min(p.Score+1, maxScore)
		}
	}
}

// grow adds a gem if there are too few.
func (w *world) grow() {
	count := 0
	for _, g := range w.gems {
		if g != (gem{}) {
			count++
		}
	}
	if count < gemsGrown {
		x, y := w.somewhere()
		w.drop(x, y)
	}
}

// drop puts a gem somewhere, if there may be one more.
func (w *world) drop(x, y uint16) {
	if i := slices.Index(w.gems[:], gem{}); i >= 0 {
		w.gems[i] = gem{x, y}
	}
}

// collide lets ships bounce off each other, or burst.
func (w *world) collide() {
	for i, a := range w.pilots {
		for _, b := range w.pilots[i+1:] {
			dx, dy := b.X-a.X, b.Y-a.Y
			if a.Out || b.Out || !near(dx, dy, 2*radius) {
				continue
			}
			switch aHits, bHits := a.isDashing() && !b.Safe, b.isDashing() && !a.Safe; {
			case aHits && !b.isDashing():
				w.burst(a, b)
			case bHits && !a.isDashing():
				w.burst(b, a)
			default:
				bounce(a, b, dx, dy)
			}
		}
	}
}

func near(dx, dy, reach int32) bool {
	return int64(dx)*int64(dx)+int64(dy)*int64(dy) < int64(reach)*int64(reach)
}

// bounce pushes two ships that touch apart, and swaps what of their speeds is along the line between them.
func bounce(a, b *pilot, dx, dy int32) {
	distance := int32(math.Sqrt(float64(dx*dx + dy*dy)))
	if distance == 0 {
		dx, distance = 1, 1
	}
	if along := ((b.VX-a.VX)*dx + (b.VY-a.VY)*dy) / distance; along < 0 {
		px, py := along*dx/distance, along*dy/distance
		a.VX, a.VY = a.VX+px, a.VY+py
		b.VX, b.VY = b.VX-px, b.VY-py
	}
	apart := (2*radius-distance)/2 + 1
	px, py := apart*dx/distance, apart*dy/distance
	a.X, a.Y = within(a.X-px), within(a.Y-py)
	b.X, b.Y = within(b.X+px), within(b.Y+py)
}

func within(at int32) int32 { return max(radius, min(field-radius, at)) }

// burst takes half of a ship's gems, which lie around then, and its life.
func (w *world) burst(by, of *pilot) {
	lost := of.Score / 2
	of.Score -= lost
	by.Score = min(by.Score+spoils, maxScore)
	for range min(lost, maxSpill) {
		angle, far := w.random.Float64()*2*math.Pi, float64(radius/unit)+w.random.Float64()*90
		x := float64(of.X/unit) + math.Round(far*math.Cos(angle))
		y := float64(of.Y/unit) + math.Round(far*math.Sin(angle))
		w.drop(uint16(max(20, min(field/unit-20, x))), uint16(max(20, min(field/unit-20, y))))
	}
	of.Out, of.out = true, outTicks
	of.Wait, of.VX, of.VY = 0, 0, 0
}

// view is what everybody sees now.
func (w *world) view(cost uint16) *view {
	v := &view{Tick: w.tick, Cost: cost, Gems: w.gems, Ships: make([]ship, len(w.pilots))}
	for i, p := range w.pilots {
		v.Ships[i] = p.ship
	}
	return v
}
