package quotes

import (
	"context"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	tickTime = 100 * time.Millisecond
	behind   = 20 // ticks that are made good at once when the machine was busy; more are left out
	closing  = 2 * time.Second
)

func tickAt(t time.Time) int64 { return t.UnixNano() / int64(tickTime) }

// trade opens the exchange whenever somebody comes, until ctx ends.
func (q *quotes) trade(ctx context.Context) {
	for ctx.Err() == nil {
		if !q.audience.gone(time.Now()) || q.await(ctx) {
			if err := q.day(ctx); err != nil && ctx.Err() == nil {
				q.env.Logger.Debug("the exchange waits for its broker", "error", err)
				showcase.Wait(ctx, time.Second)
			}
		}
	}
}

// await reports whether somebody is there, which where there is one node is told by the hook and else has to be asked.
func (q *quotes) await(ctx context.Context) bool {
	var ask <-chan time.Time
	if !q.env.Hub.IsLocal() {
		timer := time.NewTimer(2 * asking)
		defer timer.Stop()
		ask = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-q.audience.wake:
		return !q.audience.gone(time.Now()) // it may be long ago that somebody came
	case <-ask:
		q.audience.look(ctx, q.env.Hub)
		return !q.audience.gone(time.Now())
	}
}

// day is from when the exchange opens until it closes, because nobody is there any more or ctx has ended.
func (q *quotes) day(ctx context.Context) error {
	known, err := q.archive.read(ctx, q.env.Hub)
	if err != nil {
		return err
	}
	f := &floor{quotes: q, market: newMarket()}
	if err := q.archive.publish(ctx, q.env.Hub, catchUp(f.market, known, time.Now())); err != nil {
		return err
	}
	looking, stop := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for q.audience.look(looking, q.env.Hub); showcase.Wait(looking, asking); q.audience.look(looking, q.env.Hub) {
		}
	}()
	err = f.trade(ctx)
	stop()
	<-looked
	// So that the next day begins with these prices.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if last := q.archive.publish(ctx, q.env.Hub, []bar{{barAt(time.Now()), f.market.prices}}); err == nil {
		err = last
	}
	return err
}

// floor is where trading goes on. One goroutine has it.
type floor struct {
	*quotes
	market *market
	was    [symbols]uint32 // the trades that have been told in the topics of symbols
	bar    uint32          // the last one that was published
	ticks  int             // since it opened
	told   int64           // of halted, in the topic of the status
}

// trade goes on until nobody is there any more, or ctx ends.
func (f *floor) trade(ctx context.Context) error {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	f.bar = barAt(time.Now()) - 1
	for done := tickAt(time.Now()); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		due := tickAt(now)
		done = max(done, due-behind)
		halted := now.UnixMilli() < f.halted.Load()
		for ; done < due; done++ {
			if !halted {
				f.market.tick(done)
			}
		}
		if err := f.tell(ctx, now, halted); err != nil {
			return err
		}
		if f.audience.gone(now) {
			return nil
		}
	}
}

// tell publishes what there is to be told to those who listen.
func (f *floor) tell(ctx context.Context, now time.Time, halted bool) error {
	if err := f.tellStatus(ctx); err != nil {
		return err
	}
	f.ticks++
	again := f.ticks%10 == 1 // once a second everything, for those who have come in a halt
	if f.audience.listens(topicBoard, now) && (!halted || again) {
		if err := f.tellBoard(ctx); err != nil {
			return err
		}
	}
	for i := range listing {
		if err := f.tellSymbol(ctx, i, now, again); err != nil {
			return err
		}
	}
	if n := barAt(now) - 1; n > f.bar {
		f.bar = n
		return f.archive.publish(ctx, f.env.Hub, []bar{{n, f.market.prices}})
	}
	return nil
}

// stride is by how many sectors the beginning moves from tick to tick: with it, whichever few get through come from everywhere.
const stride = 7

// tellBoard publishes the newest prices of all sectors. What waits for a slow viewer is kept in the order in which it was published, and a new
// round supersedes all of the last one: if every round began with the same sector, the line might never get further than to the first few.
func (f *floor) tellBoard(ctx context.Context) error {
	for i := range sectors {
		n := (f.ticks*stride + i) % len(sectors)
		if _, err := f.env.Hub.Publish(ctx, topicBoard, hub.Publication{Key: sectors[n], Data: f.market.board(n), Binary: true}); err != nil {
			return err
		}
	}
	return nil
}

// tellSymbol publishes a price that has changed, as {"price":cents,"trades":changes}.
func (f *floor) tellSymbol(ctx context.Context, i int, now time.Time, again bool) error {
	trades, symbol := f.market.trades[i], listing[i].Symbol
	if trades == f.was[i] && !again || !f.audience.listens(topicSymbol+symbol, now) {
		return nil
	}
	f.was[i] = trades
	data := append(make([]byte, 0, 48), `{"price":`...)
	data = strconv.AppendUint(data, uint64(f.market.prices[i]), 10)
	data = append(data, `,"trades":`...)
	data = append(strconv.AppendUint(data, uint64(trades), 10), '}')
	_, err := f.env.Hub.Publish(ctx, topicSymbol+symbol, hub.Publication{Key: symbol, Data: data})
	return err
}

// tellStatus publishes until when trading is halted, whenever that is new.
func (f *floor) tellStatus(ctx context.Context) error {
	until := f.halted.Load()
	if until == f.told {
		return nil
	}
	_, err := f.env.Hub.Publish(ctx, topicStatus, hub.Publication{Data: append(append([]byte(`{"halted":`), strconv.FormatInt(until, 10)...), '}')})
	if err == nil {
		f.told = until
	}
	return err
}
