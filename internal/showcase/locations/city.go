package locations

import "encoding/json"

// city is what the page draws the map of.
type city struct {
	South   float64     `json:"south"`
	West    float64     `json:"west"`
	North   float64     `json:"north"`
	East    float64     `json:"east"`
	Cell    float64     `json:"cell"` // degrees; cells are counted from the south-west
	Island  line        `json:"island"`
	Water   []line      `json:"water"` // the river, lakes
	Parks   []line      `json:"parks"`
	Avenues []line      `json:"avenues"`
	Streets []line      `json:"streets"`
	Names   []placeName `json:"names"`
}

// line is places as pairs of latitude and longitude.
type line [][2]float64

// placeName is what a part of the city is called.
type placeName struct {
	At   [2]float64        `json:"at"`
	Kind string            `json:"kind"` // district, park or water
	Name map[string]string `json:"name"` // by language
}

// drawCity makes the map, in JSON.
func drawCity(n *network) ([]byte, error) {
	c := city{South: south, West: west, North: north, East: east, Cell: cellSize, Island: lineOf(shore(0)), Water: []line{lineOf(banks())}}
	for _, lake := range lakes {
		c.Water = append(c.Water, lineOf(lake.outline()))
	}
	for _, park := range parks {
		c.Parks = append(c.Parks, lineOf(park.outline()))
	}
	for _, s := range n.streets {
		points := make([]point, len(s.line))
		for i, crossing := range s.line {
			points[i] = n.crossings[crossing].point
		}
		if s.main {
			c.Avenues = append(c.Avenues, lineOf(points))
		} else {
			c.Streets = append(c.Streets, lineOf(points))
		}
	}
	for _, name := range names {
		p := name.at.place()
		c.Names = append(c.Names, placeName{[2]float64{p.Lat, p.Lon}, name.kind, map[string]string{"en": name.en, "zh": name.zh}})
	}
	return json.Marshal(c)
}

func lineOf(points []point) line {
	l := make(line, len(points))
	for i, p := range points {
		at := p.place()
		l[i] = [2]float64{at.Lat, at.Lon}
	}
	return l
}

var names = []struct {
	at           point
	kind, en, zh string
}{
	{point{-950, -650}, "district", "Old Town", "老城"},
	{point{1150, 150}, "district", "Eastbank", "东岸"},
	{point{-1900, 1150}, "district", "Northfield", "北原"},
	{point{-1950, -850}, "district", "Weavers’ Quarter", "织工坊"},
	{point{2400, 420}, "district", "Cape Meridian", "子午角"},
	{point{950, -820}, "district", "Harbourside", "港区"},
	{point{420, 620}, "district", "Zero Square", "零点广场"},
	{point{-1350, 640}, "park", "Meridian Park", "子午公园"},
	{point{1330, 1080}, "park", "Botanic Hill", "植物园山"},
	{point{1950, -800}, "park", "Lighthouse Gardens", "灯塔花园"},
	{point{-2480, -420}, "park", "West Woods", "西林"},
	{point{-520, -2620}, "water", "Null Bay", "零湾"},
	{point{-3000, 2350}, "water", "Gulf of Guinea", "几内亚湾"},
}
