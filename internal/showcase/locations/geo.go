package locations

import (
	"fmt"
	"math"
)

// The city lies where the equator meets the prime meridian: at Null Island, in the open sea, so that it is nobody's. There a degree is as long
// to the north as to the east.
const (
	metresOfDegree = 111_320

	west, east   = -0.036, 0.036
	south, north = -0.027, 0.027

	// The map is divided into cells, each of which is a topic.
	cellSize = 0.006 // degrees: about 670 m
	columns  = 12
	rows     = 9
)

// place is a position on the map.
type place struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// isFinite reports whether it is a position at all.
func (p place) isFinite() bool { return math.Abs(p.Lat) <= 90 && math.Abs(p.Lon) <= 180 }

// isOnMap reports whether it is in one of the cells.
func (p place) isOnMap() bool {
	return p.Lat >= south && p.Lat < north && p.Lon >= west && p.Lon < east
}

// to is how many metres it is to another place nearby.
func (p place) to(q place) float64 {
	return math.Hypot(p.Lat-q.Lat, p.Lon-q.Lon) * metresOfDegree
}

// cell is a part of the map, counted from the south-west.
type cell struct{ X, Y int }

// cellOf is the cell of a place that is on the map.
func cellOf(p place) cell {
	return cell{min(columns-1, int((p.Lon-west)/cellSize)), min(rows-1, int((p.Lat-south)/cellSize))}
}

func (c cell) String() string { return fmt.Sprintf("%d.%d", c.X, c.Y) }

func (c cell) topic() string { return cellPrefix + c.String() }

// isCell reports whether a topic is that of a cell.
func isCell(topic string) bool {
	var c cell
	_, err := fmt.Sscanf(topic, cellPrefix+"%d.%d", &c.X, &c.Y)
	return err == nil && c.topic() == topic && c.X >= 0 && c.X < columns && c.Y >= 0 && c.Y < rows
}

// point is a place in metres from the middle of the map, east and north.
type point struct{ x, y float64 }

// place rounds to about a metre.
func (p point) place() place {
	round := func(metres float64) float64 { return math.Round(metres/metresOfDegree*1e5) / 1e5 }
	return place{Lat: round(p.y), Lon: round(p.x)}
}

func (p point) to(q point) float64 { return math.Hypot(q.x-p.x, q.y-p.y) }

// toward is the point at a part of the way to another one.
func (p point) toward(q point, part float64) point {
	return point{p.x + (q.x-p.x)*part, p.y + (q.y-p.y)*part}
}

// toSegment is the distance to the line from a to b.
func (p point) toSegment(a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	part := ((p.x-a.x)*dx + (p.y-a.y)*dy) / (dx*dx + dy*dy)
	return p.to(a.toward(b, max(0, min(1, part))))
}
