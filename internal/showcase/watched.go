package showcase

import (
	"context"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	glance      = 250 * time.Millisecond // between looks for who has come, where that asks nobody
	glanceApart = time.Second            // the same over a network
	patience    = 10 * time.Second       // how long work goes on when nobody is there any more: they may be reloading the page
)

// WhileWatched runs work whenever somebody is subscribed to topic, whose rule has presence, until ctx ends. Its context ends when nobody has
// been there for 10 seconds, and it is to return soon after; it is begun anew when somebody comes. So a simulation costs nothing at night.
func WhileWatched(ctx context.Context, h *hub.Hub, topic string, work func(ctx context.Context)) {
	pause := glance
	if !h.IsLocal() {
		pause = glanceApart
	}
	for Wait(ctx, pause) {
		if isWatched(ctx, h, topic) {
			watch(ctx, h, topic, work)
		}
	}
}

// watch runs work until the last one has left, or ctx ends.
func watch(ctx context.Context, h *hub.Hub, topic string, work func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx)
	}()
	for seen := time.Now(); time.Since(seen) < patience && Wait(ctx, glanceApart); {
		if isWatched(ctx, h, topic) {
			seen = time.Now()
		}
	}
	cancel()
	<-done
}

// isWatched reports whether somebody is there. A broker that cannot say it now is asked again soon.
func isWatched(ctx context.Context, h *hub.Hub, topic string) bool {
	there, err := h.Presence(ctx, topic)
	return err == nil && there.Count > 0
}
