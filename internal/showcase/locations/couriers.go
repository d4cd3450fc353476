package locations

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"time"
)

const (
	couriers = 200
	errands  = 6 // stops of a courier's round
)

// The kinds of what moves on the map.
const (
	kindBike    = "bike"
	kindScooter = "scooter"
	kindVan     = "van"
	kindPerson  = "person"
)

// courier goes round, for ever. Where it is follows from the time alone, so a node that takes over, or a server that was started again, goes
// on where the other has stopped, and has to remember nothing.
type courier struct {
	id, name, kind string
	stations       []station
	round          time.Duration
	head           time.Duration // how far it was in its round at the beginning of time
}

// station is where a courier is at a moment of its round.
type station struct {
	point
	at time.Duration
}

var (
	kinds = []struct {
		kind  string
		speed float64 // metres a second
	}{{kindBike, 9}, {kindBike, 10}, {kindScooter, 14}, {kindScooter, 15}, {kindVan, 18}}
	riders = []string{
		"Ada", "Ben", "Chen", "Dana", "Emre", "Fatou", "Goran", "Hana", "Ivo", "Jia", "Kofi", "Lena", "Mei", "Noor", "Omar", "Pia", "Qi",
		"Rosa", "Sami", "Tao",
	}
)

// newCouriers sends out all couriers.
func newCouriers(n *network) []courier {
	var reachable []int
	for i, c := range n.crossings {
		if len(c.roads) > 0 {
			reachable = append(reachable, i)
		}
	}
	all := make([]courier, couriers)
	for i := range all {
		random := rand.New(rand.NewPCG(citySeed, uint64(i+1)))
		k := kinds[i%len(kinds)]
		c := courier{id: fmt.Sprintf("c%d", i+1), name: fmt.Sprintf("%s %d", riders[i%len(riders)], i/len(riders)+1), kind: k.kind}
		start := reachable[random.IntN(len(reachable))]
		at := start
		for errand := range errands {
			next := start
			if errand < errands-1 {
				next = reachable[random.IntN(len(reachable))]
			}
			c.ride(n, n.route(at, next), k.speed)
			c.rest(time.Duration(4+random.IntN(8)) * time.Second)
			at = next
		}
		c.round = c.stations[len(c.stations)-1].at
		c.head = time.Duration(random.Int64N(int64(c.round)))
		all[i] = c
	}
	return all
}

// ride adds a way to the round.
func (c *courier) ride(n *network, way []int, speed float64) {
	for _, crossing := range way {
		s := station{point: n.crossings[crossing].point}
		if len(c.stations) > 0 {
			last := c.stations[len(c.stations)-1]
			s.at = last.at + time.Duration(last.to(s.point)/speed*float64(time.Second))
		}
		c.stations = append(c.stations, s)
	}
}

// rest adds a stop to the round.
func (c *courier) rest(d time.Duration) {
	last := c.stations[len(c.stations)-1]
	c.stations = append(c.stations, station{last.point, last.at + d})
}

// where is the courier's place at a time.
func (c *courier) where(now time.Time) place {
	at := (time.Duration(now.UnixNano()) + c.head) % c.round
	i := sort.Search(len(c.stations), func(i int) bool { return c.stations[i].at > at })
	if i == 0 || i == len(c.stations) {
		return c.stations[0].place()
	}
	from, to := c.stations[i-1], c.stations[i]
	return from.toward(to.point, float64(at-from.at)/float64(to.at-from.at)).place()
}
