package quotes

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// The companies: one of each name in each sector.
var (
	sectors = []string{
		"Air", "Banks", "Cement", "Dairy", "Energy", "Foods", "Glass", "Health", "Insurance", "Jewels", "Knitwear", "Logistics", "Mining",
		"Networks", "Optics", "Paper", "Rail", "Steel", "Textiles", "Utilities", "Vehicles", "Water", "Wine", "Yachts", "Zinc",
	}
	names = []string{
		"Alder", "Birch", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbour", "Indigo", "Juniper", "Kestrel", "Lumen", "Meridian",
		"Nimbus", "Onyx", "Prairie", "Quartz", "Raven", "Sierra", "Tundra",
	}
)

const (
	perSector = 20 // len(names)
	symbols   = 25 * perSector

	perTick = 500 // changes
	perBar  = 50  // changes of one symbol in a bar, on average

	// A change moves a price by jump on average, and pulls it back to where it began, so that in the long run it stays within about an
	// eighth of that: pull = jump² / (2 · 0.12²).
	jump = 0.0004
	pull = jump * jump / (2 * 0.12 * 0.12)

	lowest = 1 // cents
)

// Seeds of what is drawn, so that it is the same everywhere and after every start.
const (
	seedBase = 1 + iota
	seedTick
	seedBar
)

// company is one symbol of the listing.
type company struct {
	Symbol string `json:"symbol"`
	Name   string `json:"name"`
	Sector string `json:"sector"`
	Base   uint32 `json:"base"` // the price that changes are counted from, in cents
}

// listing is all companies, by sector. Their places in it are their numbers.
var listing = list()

func list() []company {
	random := rand.New(rand.NewPCG(seedBase, 0))
	all := make([]company, 0, symbols)
	for _, sector := range sectors {
		for _, name := range names {
			base := 2000 * math.Pow(40, random.Float64()) // 20 to 800
			symbol := upper(name[:2]) + upper(sector[:2])
			all = append(all, company{symbol, name + " " + sector, sector, uint32(base)})
		}
	}
	return all
}

func upper(s string) string {
	p := []byte(s)
	for i, c := range p {
		if c >= 'a' && c <= 'z' {
			p[i] = c - 'a' + 'A'
		}
	}
	return string(p)
}

// bySymbol is where in the listing a symbol is.
var bySymbol = func() map[string]int {
	all := make(map[string]int, symbols)
	for i, c := range listing {
		all[c.Symbol] = i
	}
	return all
}()

// market is the prices of all symbols. What happens next follows from them and from the time alone.
type market struct {
	prices [symbols]uint32 // cents
	trades [symbols]uint32 // changes since the market was made
}

func newMarket() *market {
	m := &market{}
	for i := range m.prices {
		m.prices[i] = listing[i].Base
	}
	return m
}

// tick makes the changes of a tenth of a second.
func (m *market) tick(n int64) {
	random := rand.New(rand.NewPCG(seedTick, uint64(n)))
	for range perTick {
		i := random.IntN(symbols)
		m.prices[i] = moved(m.prices[i], listing[i].Base, 1, random.NormFloat64())
		m.trades[i]++
	}
}

// bar makes the changes of a bar in one step, for when nobody has watched.
func (m *market) bar(n uint32) {
	random := rand.New(rand.NewPCG(seedBar, uint64(n)))
	for i := range m.prices {
		m.prices[i] = moved(m.prices[i], listing[i].Base, perBar, random.NormFloat64())
	}
}

// moved is a price after so many changes, at least one cent from where it was.
func moved(price, base uint32, changes, luck float64) uint32 {
	away := math.Log(float64(price) / float64(base))
	next := math.Round(float64(price) * math.Exp(jump*math.Sqrt(changes)*luck-pull*changes*away))
	if next == float64(price) {
		next += math.Copysign(1, luck)
	}
	return uint32(min(max(next, lowest), math.MaxInt32))
}

// board is the newest prices of one sector as bytes: for each of its symbols the price in cents and the number of changes, 4 bytes each,
// big-endian. So the newest message of a sector says all there is to know about it, whichever came before.
func (m *market) board(sector int) []byte {
	p := make([]byte, 0, perSector*8)
	for i := sector * perSector; i < (sector+1)*perSector; i++ {
		p = binary.BigEndian.AppendUint32(p, m.prices[i])
		p = binary.BigEndian.AppendUint32(p, m.trades[i])
	}
	return p
}
