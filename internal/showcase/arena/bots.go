package arena

import "math"

const (
	attention = 15         // ticks for which a bot keeps its goal
	sight     = 260 * unit // how far it sees others
	maxGreed  = 12
	hurry     = 50 // thrust of a bot that has time
)

var botNames = []string{
	"Ada", "Boole", "Curie", "Darwin", "Euler", "Fermi", "Gauss", "Hopper", "Ibn Sina", "Joule", "Kepler", "Lamarr", "Mendel", "Noether", "Ohm",
	"Pascal", "Qian", "Raman", "Sagan", "Turing", "Ulam", "Volta", "Wu", "Xu", "Yalow", "Zhang Heng", "Ampère", "Bohr", "Cantor", "Dirac",
	"Erdős", "Faraday", "Galileo", "Hertz", "Ising", "Jansky", "Kelvin", "Lovelace", "Maxwell", "Newton", "Oresme", "Planck", "Quine", "Röntgen",
	"Shannon", "Tesla", "Uhlenbeck", "Viète", "Watt", "Yukawa",
}

// think makes a bot's input for this tick: to the nearest gem, and sometimes at a rich neighbour.
func (w *world) think(p *pilot) {
	p.orders = p.orders[:0]
	if p.Out {
		p.goal = -1
		return
	}
	if prey := w.prey(p); prey != nil {
		p.orders = append(p.orders, order{input: toward(prey.X-p.X+3*prey.VX, prey.Y-p.Y+3*prey.VY, full, true)})
		return
	}
	if p.bored--; p.bored <= 0 || p.goal < 0 || w.gems[p.goal] == (gem{}) {
		p.goal, p.bored = w.nearest(p), attention+w.random.IntN(attention)
	}
	if p.goal >= 0 {
		g := w.gems[p.goal]
		p.orders = append(p.orders, order{input: toward(int32(g.X)*unit-p.X, int32(g.Y)*unit-p.Y, hurry, false)})
	}
}

// prey is whom a bot goes for in this tick, or nil.
func (w *world) prey(p *pilot) *pilot {
	if p.Wait > 0 || w.random.IntN(1000) >= p.greedy {
		return nil
	}
	for _, other := range w.pilots {
		dx, dy := other.X-p.X, other.Y-p.Y
		if other != p && !other.Out && !other.Safe && other.Score > p.Score/2 && dx > -sight && dx < sight && dy > -sight && dy < sight {
			return other
		}
	}
	return nil
}

// nearest is the gem that a ship is nearest to, or -1.
func (w *world) nearest(p *pilot) int {
	best, least := -1, int64(math.MaxInt64)
	for i, g := range w.gems {
		if g == (gem{}) {
			continue
		}
		dx, dy := int64(g.X)*unit-int64(p.X), int64(g.Y)*unit-int64(p.Y)
		if d := dx*dx + dy*dy; d < least {
			best, least = i, d
		}
	}
	return best
}

// toward is thrust in a direction.
func toward(dx, dy, thrust int32, dash bool) input {
	length := math.Hypot(float64(dx), float64(dy))
	if length == 0 {
		return input{}
	}
	return input{X: int32(float64(thrust) * float64(dx) / length), Y: int32(float64(thrust) * float64(dy) / length), Dash: dash}
}
