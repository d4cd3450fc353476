package quotes

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	barTime  = 5 * time.Second
	keepBars = 720 // an hour
	barBytes = 4 + symbols*4
	barsOnce = 30 // in one message: below 64 KiB
)

// bar is the prices with which some seconds ended.
type bar struct {
	number uint32 // time since 1970, in bars
	prices [symbols]uint32
}

func barAt(t time.Time) uint32 { return uint32(t.UnixNano() / int64(barTime)) }

func (b *bar) append(p []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, b.number)
	for _, price := range b.prices {
		p = binary.BigEndian.AppendUint32(p, price)
	}
	return p
}

// readBars takes apart what a message of the history holds.
func readBars(p []byte) ([]bar, error) {
	if len(p) == 0 || len(p)%barBytes != 0 {
		return nil, fmt.Errorf("quotes: %d bytes are no bars, which have %d each", len(p), barBytes)
	}
	bars := make([]bar, len(p)/barBytes)
	for i := range bars {
		one := p[i*barBytes:]
		bars[i].number = binary.BigEndian.Uint32(one)
		for s := range bars[i].prices {
			price := binary.BigEndian.Uint32(one[4+4*s:])
			if price < lowest {
				return nil, fmt.Errorf("quotes: the price of %s is %d in the history", listing[s].Symbol, price)
			}
			bars[i].prices[s] = price
		}
	}
	return bars, nil
}

// archive is what a node knows of the past: what the history of topicBars holds, of which it reads only what is new. Its methods may be
// called from any goroutine.
type archive struct {
	mu     sync.Mutex
	epoch  string // guarded by mu, as is all below
	offset uint64
	bars   []bar // ascending, at most keepBars; never changed in place
}

// read returns the bars that there are by now.
func (a *archive) read(ctx context.Context, h *hub.Hub) ([]bar, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for more := true; more; {
		page, err := h.History(ctx, topicBars, hub.HistoryQuery{Limit: 1000, After: a.offset, Forward: true, Epoch: a.epoch})
		if err != nil {
			return nil, err
		}
		if page.Epoch != a.epoch {
			a.epoch, a.offset, a.bars = page.Epoch, 0, nil
		}
		for _, m := range page.Messages {
			bars, err := readBars(m.Data)
			if err != nil {
				return nil, err
			}
			a.offset = m.Offset
			a.add(bars)
		}
		more = page.More
	}
	return a.bars, nil
}

// add takes new bars behind the old ones. One with the number of an older one takes its place, and that of all after it: a node that took over while
// another was not quite gone.
func (a *archive) add(more []bar) {
	keep := len(a.bars)
	for keep > 0 && a.bars[keep-1].number >= more[0].number {
		keep--
	}
	all := append(a.bars[:keep:keep], more...)
	a.bars = all[max(0, len(all)-keepBars):]
}

// publish adds bars to the history.
func (a *archive) publish(ctx context.Context, h *hub.Hub, bars []bar) error {
	for len(bars) > 0 {
		n := min(barsOnce, len(bars))
		data := make([]byte, 0, n*barBytes)
		for i := range bars[:n] {
			data = bars[i].append(data)
		}
		if _, err := h.Publish(ctx, topicBars, hub.Publication{Data: data, Binary: true}); err != nil {
			return err
		}
		bars = bars[n:]
	}
	return nil
}

// catchUp makes the bars between what is known and now, as if somebody had watched: after a pause, a restart, or before the first day.
func catchUp(m *market, known []bar, now time.Time) []bar {
	last := barAt(now) - 1
	first := last - keepBars + 1
	if len(known) > 0 {
		newest := &known[len(known)-1]
		m.prices = newest.prices
		first = max(first, newest.number+1)
	}
	var made []bar
	for n := first; n <= last; n++ {
		m.bar(n)
		made = append(made, bar{n, m.prices})
	}
	return made
}
