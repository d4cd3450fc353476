package showcase

import (
	"context"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Time is divided into terms. Whoever posts the first note of a term works for it; who works already posts the note of the next term
// before that begins, and the others only when it has begun and nobody has.
const (
	term     = 10 * time.Second
	courtesy = 2 * time.Second // how long the others leave a term that has begun to who worked before
	noteLife = time.Minute
)

// Solo runs work on one node of a cluster at a time, until ctx ends: work is to return soon after its own context has ended, and is
// begun anew, here or elsewhere. While the clocks of two nodes differ by seconds, or their broker is away, it may be run by two or by none
// for a moment. Where there is one node it simply runs.
func Solo(ctx context.Context, h *hub.Hub, name string, work func(ctx context.Context)) {
	if h.IsLocal() {
		work(ctx)
		return
	}
	board := openBoard(ctx, h, name)
	if board == nil {
		return
	}
	first := func(ctx context.Context, n int64) bool {
		won, err := board.PostFirst(ctx, fmt.Sprint(n), nil, noteLife)
		return err == nil && won
	}
	for ctx.Err() == nil {
		now := time.Now()
		n := now.UnixNano() / int64(term)
		if now.Sub(time.Unix(0, n*int64(term))) >= courtesy && first(ctx, n) {
			serve(ctx, n, first, work)
			continue
		}
		Wait(ctx, time.Until(time.Unix(0, (n+1)*int64(term)).Add(courtesy)))
	}
}

// openBoard tries until ctx ends; then it returns nil.
func openBoard(ctx context.Context, h *hub.Hub, name string) *hub.Board {
	for {
		board, err := h.Board(ctx, "showcase-"+name, func([]byte, time.Time) {})
		if err == nil {
			return board
		}
		if !Wait(ctx, courtesy) {
			return nil
		}
	}
}

// serve works in term n and all that follow for as long as nobody else has them.
func serve(ctx context.Context, n int64, first func(context.Context, int64) bool, work func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	for {
		end := time.Unix(0, (n+1)*int64(term))
		if !Wait(ctx, time.Until(end)-2*courtesy) {
			break
		}
		asking, giveUp := context.WithDeadline(ctx, end)
		won := first(asking, n+1)
		giveUp()
		if !won {
			break
		}
		n++
	}
	cancel()
	<-done
}

// Wait reports whether so much time has passed before ctx ended.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
