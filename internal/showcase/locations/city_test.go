package locations

import (
	"encoding/json"
	"testing"
	"time"
)

func TestStreetsAreOnTheMap(t *testing.T) {
	n := newNetwork()
	crossings, roads := 0, 0
	for i, c := range n.crossings {
		if len(c.roads) == 0 {
			continue
		}
		crossings++
		roads += len(c.roads)
		if !c.place().isOnMap() || !c.isInland(quay-1) {
			t.Errorf("crossing %d is at %v", i, c.place())
		}
	}
	if crossings < 500 || roads/2 < crossings {
		t.Errorf("%d crossings and %d roads are no city", crossings, roads/2)
	}
	t.Logf("%d crossings, %d roads, %d streets", crossings, roads/2, len(n.streets))
}

func TestEverywhereCanBeReachedByTheShortestWay(t *testing.T) {
	n := newNetwork()
	hub := len(n.crossings) - 1 // on the coast road
	for to := 0; to < len(n.crossings); to += 23 {
		if len(n.crossings[to].roads) == 0 {
			continue
		}
		way, back := n.route(hub, to), n.route(to, hub)
		if len(way) == 0 || way[0] != hub || way[len(way)-1] != to {
			t.Fatalf("no way to %d: %v", to, way)
		}
		if a, b := n.length(t, way), n.length(t, back); a-b > 1e-6 || b-a > 1e-6 || a < n.crossings[hub].to(n.crossings[to].point) {
			t.Errorf("%.1f m there, %.1f m back", a, b)
		}
	}
}

func (n *network) length(t *testing.T, way []int) (sum float64) {
	t.Helper()
	for i := range len(way) - 1 {
		length := -1.0
		for _, r := range n.crossings[way[i]].roads {
			if r.to == way[i+1] {
				length = r.length
			}
		}
		if length < 0 {
			t.Fatalf("there is no road from %d to %d", way[i], way[i+1])
		}
		sum += length
	}
	return sum
}

func TestCouriersRideEvenly(t *testing.T) {
	all := newCouriers(newNetwork())
	if len(all) != couriers {
		t.Fatalf("%d couriers", len(all))
	}
	start := time.Unix(1_700_000_000, 0)
	for _, c := range all {
		moved := 0.0
		before := c.where(start)
		for s := range 300 {
			now := c.where(start.Add(time.Duration(s+1) * time.Second))
			if far := before.to(now); far > 22 || !now.isOnMap() {
				t.Fatalf("%s: %.1f m in a second, to %v", c.id, far, now)
			} else {
				moved += far
			}
			before = now
		}
		if moved < 500 || c.where(start) != c.where(start.Add(c.round)) {
			t.Errorf("%s: %.0f m in five minutes, in a round of %v", c.id, moved, c.round)
		}
	}
}

func TestTheMapIsSmall(t *testing.T) {
	data, err := drawCity(newNetwork())
	var c city
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || len(data) > 100_000 || len(c.Streets) < 50 || len(c.Avenues) < 10 || len(c.Island) != coastPoints {
		t.Errorf("%d bytes, %d streets (%v)", len(data), len(c.Streets), err)
	}
	t.Logf("%d bytes", len(data))
}

func TestCells(t *testing.T) {
	for p, want := range map[place]string{
		{south, west}: "0.0", {north - 1e-9, east - 1e-9}: "11.8", {0.0001, 0.0001}: "6.4", {-0.0001, -0.0001}: "5.4",
	} {
		if got := cellOf(p); got.String() != want || !p.isOnMap() || !isCell(got.topic()) {
			t.Errorf("%v is in %v, want %s", p, got, want)
		}
	}
	for _, p := range []place{{north, 0}, {0, east}, {-0.03, 0}, {52.5, 13.4}} {
		if p.isOnMap() {
			t.Errorf("%v is on the map", p)
		}
	}
	for _, topic := range []string{"12.0", "0.9", "-1.0", "1", "1.2.3", "01.2", "a.b", "1.2x", "", "*.1"} {
		if isCell(cellPrefix + topic) {
			t.Errorf("%q is a cell", topic)
		}
	}
}
