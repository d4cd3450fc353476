package quotes

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestListing(t *testing.T) {
	if len(listing) != symbols || len(bySymbol) != symbols || len(sectors)*perSector != symbols || len(names) != perSector {
		t.Fatalf("%d companies with %d symbols", len(listing), len(bySymbol))
	}
	for i, c := range listing {
		if c.Base < 2000 || c.Base > 80_000 || c.Sector != sectors[i/perSector] || len(c.Symbol) != 4 {
			t.Errorf("%d: %+v", i, c)
		}
	}
}

// TestMarketIsDeterministic: the same time from the same prices leads to the same ones.
func TestMarketIsDeterministic(t *testing.T) {
	a, b := newMarket(), newMarket()
	for n := range int64(500) {
		a.tick(n)
		b.tick(n)
	}
	a.bar(7)
	b.bar(7)
	if *a != *b {
		t.Error("two markets differ")
	}
	b.tick(500)
	if changes := *a != *b; !changes {
		t.Error("nothing happens")
	}
}

// TestEveryChangeIsOne: 5,000 a second, and each of them moves a price.
func TestEveryChangeIsOne(t *testing.T) {
	m := newMarket()
	for n := range int64(100) {
		m.tick(n)
	}
	var trades uint32
	for _, n := range m.trades {
		trades += n
	}
	if trades != 100*perTick {
		t.Errorf("%d changes", trades)
	}
	for price := uint32(1); price < 100_000; price = price*3/2 + 1 {
		for _, luck := range []float64{-4, -0.0001, 0, 0.0001, 4} {
			if next := moved(price, 5000, 1, luck); next == price && price > lowest || next < lowest {
				t.Errorf("%d moved to %d by luck of %v", price, next, luck)
			}
		}
	}
}

// TestPricesStaySane over hours of nobody watching, and of trading.
func TestPricesStaySane(t *testing.T) {
	m := newMarket()
	check := func(when string) {
		t.Helper()
		for i, price := range m.prices {
			if ratio := float64(price) / float64(listing[i].Base); ratio < 0.4 || ratio > 2.5 {
				t.Fatalf("%s: %s is at %.2f of where it began", when, listing[i].Symbol, ratio)
			}
		}
	}
	for n := range uint32(2000) {
		m.bar(n)
	}
	check("hours of bars")
	for n := range int64(2000) {
		m.tick(n)
	}
	check("after trading")
}

func TestBoard(t *testing.T) {
	m := newMarket()
	m.tick(1)
	p := m.board(3)
	if len(p) != perSector*8 {
		t.Fatalf("%d bytes", len(p))
	}
	for i := range perSector {
		price, trades := binary.BigEndian.Uint32(p[8*i:]), binary.BigEndian.Uint32(p[8*i+4:])
		if at := 3*perSector + i; price != m.prices[at] || trades != m.trades[at] {
			t.Errorf("%s: %d %d", listing[at].Symbol, price, trades)
		}
	}
}

func TestBars(t *testing.T) {
	m := newMarket()
	made := catchUp(m, nil, time.Unix(1_800_000_000, 0))
	if len(made) != keepBars || made[keepBars-1].prices != m.prices || made[0].prices == made[1].prices {
		t.Fatalf("%d bars before the first day", len(made))
	}
	read, err := readBars(made[1].append(made[0].append(nil)))
	if err != nil || len(read) != 2 || read[0] != made[0] || read[1] != made[1] {
		t.Errorf("not the same when they are read: %v", err)
	}
	none := bar{number: 1}
	for _, p := range [][]byte{nil, {1, 2, 3}, none.append(nil)} {
		if _, err := readBars(p); err == nil {
			t.Errorf("%d bytes are bars", len(p))
		}
	}
}

// TestCatchUp goes on from what is known, however long that is ago.
func TestCatchUp(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	known := []bar{{barAt(now) - 10, newMarket().prices}}
	if made := catchUp(newMarket(), known, now); len(made) != 9 || made[0].number != barAt(now)-9 {
		t.Errorf("%d bars of a pause", len(made))
	}
	if made := catchUp(newMarket(), []bar{{5, newMarket().prices}}, now); len(made) != keepBars || made[keepBars-1].number != barAt(now)-1 {
		t.Errorf("%d bars of years", len(made))
	}
	m := newMarket()
	if made := catchUp(m, []bar{{barAt(now), [symbols]uint32{17, 18, 19}}}, now); len(made) != 0 || m.prices[1] != 18 {
		t.Errorf("%d bars of no time, and begun with %d", len(made), m.prices[1])
	}
}

func TestArchiveTakesOver(t *testing.T) {
	var a archive
	for _, numbers := range [][]uint32{{1, 2, 3}, {4}, {3, 4}, {4, 5}} {
		var more []bar
		for _, n := range numbers {
			more = append(more, bar{number: n})
		}
		a.add(more)
	}
	for i, b := range a.bars {
		if b.number != uint32(i+1) {
			t.Fatalf("bar %d is in place %d", b.number, i)
		}
	}
	if len(a.bars) != 5 {
		t.Errorf("%d bars", len(a.bars))
	}
}
