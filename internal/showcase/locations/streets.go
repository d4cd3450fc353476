package locations

import (
	"math"
	"math/rand/v2"
)

const (
	block    = 165 // metres between two streets
	halfGrid = 30  // streets on either side of the middle
	avenue   = 4   // every so manieth street is a main one
	quay     = 80  // from the coast to where streets may be
	closed   = 0.1 // part of the minor streets' blocks that are missing
	citySeed = 19
)

// crossing is where streets meet.
type crossing struct {
	point
	roads []road
}

// road leads from a crossing to the next.
type road struct {
	to     int
	length float64 // metres
}

// street is a line on the map.
type street struct {
	main bool
	line []int // crossings
}

// network is all streets of the city. It is not changed once it is made.
type network struct {
	crossings []crossing
	streets   []street
}

// newNetwork lays out the streets: a grid that is bent, without what would be in the sea, the river or a park, with bridges where main
// streets meet the river, and a road along the coast. It is always the same.
func newNetwork() *network {
	n := &network{}
	random := rand.New(rand.NewPCG(citySeed, 0))
	grid := n.layGrid()
	for line := range grid {
		n.layStreet(grid[line], line%avenue == 0, random)
		across := make([]int, len(grid))
		for i := range grid {
			across[i] = grid[i][line]
		}
		n.layStreet(across, line%avenue == 0, random)
	}
	n.layCoastRoad()
	n.dropIslands()
	return n
}

// layGrid puts a crossing at every point of the bent grid that can have one; -1 stands for the others.
func (n *network) layGrid() [][]int {
	grid := make([][]int, 2*halfGrid+1)
	for i := range grid {
		grid[i] = make([]int, 2*halfGrid+1)
		for j := range grid[i] {
			p := bend(float64(i-halfGrid)*block, float64(j-halfGrid)*block)
			grid[i][j] = -1
			if p.isInland(quay+40) && !p.isPark() && toRiver(p) > 35 {
				grid[i][j] = n.add(p)
			}
		}
	}
	return grid
}

// bend turns and bends the grid, so that the city looks grown.
func bend(x, y float64) point {
	const turn = 0.28
	x, y = x*math.Cos(turn)-y*math.Sin(turn), x*math.Sin(turn)+y*math.Cos(turn)
	return point{
		x + 190*math.Sin(y/850+1) + 70*math.Sin(x/480+y/700),
		y + 170*math.Sin(x/1000+0.5) + 60*math.Sin(y/430-x/800),
	}
}

func (n *network) add(p point) int {
	n.crossings = append(n.crossings, crossing{point: p})
	return len(n.crossings) - 1
}

func (n *network) connect(a, b int) {
	length := n.crossings[a].to(n.crossings[b].point)
	n.crossings[a].roads = append(n.crossings[a].roads, road{b, length})
	n.crossings[b].roads = append(n.crossings[b].roads, road{a, length})
}

// layStreet makes roads along a line of the grid, wherever there are crossings next to each other; a main street bridges the river.
func (n *network) layStreet(line []int, main bool, random *rand.Rand) {
	var run []int
	end := func() {
		if len(run) > 1 {
			n.streets = append(n.streets, street{main, run})
		}
		run = nil
	}
	last := -1
	for i, c := range line {
		if c < 0 {
			continue
		}
		isNext := last >= 0 && i-last == 1 && (main || random.Float64() >= closed) && !n.isWater(line[last], c)
		isBridge := last >= 0 && i-last <= 4 && main && n.isWater(line[last], c)
		if isNext || isBridge {
			n.connect(line[last], c)
		} else {
			end()
		}
		run = append(run, c)
		last = i
	}
	end()
}

// isWater reports whether the way from one crossing to the other leads over the river.
func (n *network) isWater(a, b int) bool {
	for part := 0.1; part < 1; part += 0.1 {
		if toRiver(n.crossings[a].toward(n.crossings[b].point, part)) < 0 {
			return true
		}
	}
	return false
}

// layCoastRoad makes a ring along the coast, which every second of its crossings connects with the nearest street.
func (n *network) layCoastRoad() {
	inner := len(n.crossings)
	var ring []int
	for i, p := range shore(quay) {
		if i%4 != 0 {
			continue
		}
		c := n.add(p)
		if nearest := n.nearest(p, inner); len(ring)%2 == 0 && n.crossings[nearest].to(p) < 2*block && !n.isWater(nearest, c) {
			n.connect(nearest, c)
			n.streets = append(n.streets, street{false, []int{nearest, c}})
		}
		if len(ring) > 0 {
			n.connect(ring[len(ring)-1], c)
		}
		ring = append(ring, c)
	}
	n.connect(ring[len(ring)-1], ring[0])
	n.streets = append(n.streets, street{true, append(ring, ring[0])})
}

// nearest is the one of the first crossings that is nearest to a point.
func (n *network) nearest(p point, among int) int {
	best := 0
	for i := range n.crossings[:among] {
		if n.crossings[i].to(p) < n.crossings[best].to(p) {
			best = i
		}
	}
	return best
}

// dropIslands takes out what cannot be reached from the coast road.
func (n *network) dropIslands() {
	reached := make([]bool, len(n.crossings))
	todo := []int{len(n.crossings) - 1}
	for len(todo) > 0 {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if reached[c] {
			continue
		}
		reached[c] = true
		for _, r := range n.crossings[c].roads {
			todo = append(todo, r.to)
		}
	}
	kept := n.streets[:0]
	for _, s := range n.streets {
		if reached[s.line[0]] { // then all of it is
			kept = append(kept, s)
		}
	}
	n.streets = kept
	for c := range n.crossings {
		if !reached[c] {
			n.crossings[c].roads = nil
		}
	}
}
