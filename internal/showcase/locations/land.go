package locations

import "math"

// The city is made up by formulas: an island with a bay, a river, parks and a lake.

const (
	coastPoints = 240
	riverSteps  = 10 // between two of its points
)

// coast is how far the island reaches in a direction.
func coast(angle float64) float64 {
	const longest, shortest = 3200, 2350
	ellipse := longest * shortest / math.Hypot(shortest*math.Cos(angle), longest*math.Sin(angle))
	wave := 1 + 0.07*math.Sin(3*angle+1) + 0.05*math.Sin(5*angle+0.4) + 0.035*math.Sin(7*angle+2.2) + 0.018*math.Sin(13*angle)
	bay := math.Remainder(angle+1.79, 2*math.Pi) / 0.2
	return ellipse * (wave - 0.3*math.Exp(-bay*bay))
}

// isInland reports whether a point is on the island, and so far from the sea.
func (p point) isInland(margin float64) bool {
	return math.Hypot(p.x, p.y) <= coast(math.Atan2(p.y, p.x))-margin
}

// shore is the coast line, drawn in by so many metres.
func shore(inset float64) []point {
	line := make([]point, coastPoints)
	for i := range line {
		angle := 2 * math.Pi * float64(i) / coastPoints
		r := coast(angle) - inset
		line[i] = point{r * math.Cos(angle), r * math.Sin(angle)}
	}
	return line
}

// river flows from the north into the bay.
var river = smooth([]point{
	{820, 3300}, {640, 2350}, {180, 1700}, {-300, 1100}, {-240, 420}, {240, -120}, {330, -760}, {-120, -1280}, {-400, -1800},
	{-480, -2500}, {-500, -3200},
})

// smooth draws a curve through points (Catmull and Rom's).
func smooth(through []point) []point {
	at := func(i int) point { return through[max(0, min(len(through)-1, i))] }
	var curve []point
	for i := range len(through) - 1 {
		a, b, c, d := at(i-1), at(i), at(i+1), at(i+2)
		for step := range riverSteps {
			t := float64(step) / riverSteps
			mix := func(a, b, c, d float64) float64 {
				return 0.5 * (2*b + (c-a)*t + (2*a-5*b+4*c-d)*t*t + (3*b-a-3*c+d)*t*t*t)
			}
			curve = append(curve, point{mix(a.x, b.x, c.x, d.x), mix(a.y, b.y, c.y, d.y)})
		}
	}
	return append(curve, at(len(through)-1))
}

// riverWidth is half of its width; it grows towards the sea.
func riverWidth(i int) float64 {
	part := float64(i) / float64(len(river))
	return 48 + 30*part + 110*max(0, part-0.72)/0.28
}

// toRiver is how far a point is from the nearer bank; negative in the water.
func toRiver(p point) float64 {
	least := math.Inf(1)
	for i := range len(river) - 1 {
		least = min(least, p.toSegment(river[i], river[i+1])-riverWidth(i))
	}
	return least
}

// banks is the river as a shape.
func banks() []point {
	left, right := make([]point, 0, 2*len(river)), make([]point, 0, len(river))
	for i, p := range river {
		a, b := river[max(0, i-1)], river[min(len(river)-1, i+1)]
		length, w := a.to(b), riverWidth(i)
		nx, ny := -(b.y-a.y)/length*w, (b.x-a.x)/length*w
		left = append(left, point{p.x + nx, p.y + ny})
		right = append(right, point{p.x - nx, p.y - ny})
	}
	for i := range right {
		left = append(left, right[len(right)-1-i])
	}
	return left
}

// blob is a round shape that is not quite round.
type blob struct {
	middle point
	rx, ry float64
	turn   float64
}

func (b blob) radius(angle float64) float64 {
	return 1 + 0.09*math.Sin(3*angle+b.turn) + 0.06*math.Sin(5*angle+2*b.turn)
}

// contains reports whether a point is in it or no further than margin from it, about.
func (b blob) contains(p point, margin float64) bool {
	dx, dy := (p.x-b.middle.x)/(b.rx+margin), (p.y-b.middle.y)/(b.ry+margin)
	return math.Hypot(dx, dy) <= b.radius(math.Atan2(dy, dx))
}

func (b blob) outline() []point {
	line := make([]point, 48)
	for i := range line {
		angle := 2 * math.Pi * float64(i) / float64(len(line))
		r := b.radius(angle)
		line[i] = point{b.middle.x + b.rx*r*math.Cos(angle), b.middle.y + b.ry*r*math.Sin(angle)}
	}
	return line
}

var (
	parks = []blob{
		{point{-1350, 420}, 520, 380, 1}, {point{1330, 1080}, 400, 300, 2.2}, {point{1950, -620}, 340, 270, 0.4},
		{point{-2480, -420}, 300, 420, 3}, {point{900, -1290}, 290, 230, 4}, {point{-640, 1780}, 260, 200, 5},
	}
	lakes = []blob{{point{-1260, 400}, 190, 120, 2}, {point{1990, -640}, 110, 80, 1}}
)

// isPark reports whether no street is to be there.
func (p point) isPark() bool {
	for _, park := range parks {
		if park.contains(p, 25) {
			return true
		}
	}
	return false
}
