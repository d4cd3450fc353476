package quotes

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/session"
)

// TestSlowLine: over a real connection that is slow, gaps tell what is left out, and the newest prices are there as soon as nothing changes any
// more. Without conflation that would take a quarter of a minute: 2 s of the board are 140 KB.
func TestSlowLine(t *testing.T) {
	e := open(t, nil, true)
	defer e.close()
	line := &slowLine{env: &showcase.Env{Hub: e.Hub, Sessions: func() session.Options {
		return session.Options{Logger: slog.New(slog.DiscardHandler)}
	}}}
	server := httptest.NewServer(line)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	subscription, err := c.Subscribe(ctx, topicBoard, nil)
	if err != nil {
		t.Fatal(err)
	}
	fast := e.join(t, "fast", topicBoard)
	superseded, last := uint64(0), map[string][]byte{}
	read := func() {
		event, err := subscription.Next(ctx)
		if err != nil {
			t.Fatalf("after %d messages were superseded, and of %d sectors: %v", superseded, len(last), err)
		}
		switch event := event.(type) {
		case *client.Gap:
			if event.Reason != client.GapReason(hub.GapSuperseded) {
				t.Errorf("a gap because of %s", event.Reason)
			}
			superseded += event.Count
		case *client.Message:
			last[event.Key] = event.Data
		}
	}
	for began := time.Now(); time.Since(began) < 2*time.Second || superseded == 0 || len(last) < len(sectors); {
		read()
	}
	if err := fast.ask(t, "halt", `{"seconds":60}`, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	for !maps.EqualFunc(newest(fast.seen()), last, bytes.Equal) {
		read()
	}
	if line.Len() != 1 {
		t.Errorf("%d connections", line.Len())
	}
	if err := line.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
