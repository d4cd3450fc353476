package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

// figuredBroker has figures, as one on a network has.
type figuredBroker struct {
	hub.Broker
	down atomic.Bool
}

func (b *figuredBroker) Figures() BrokerFigures {
	return BrokerFigures{Connected: !b.down.Load(), Bytes: 17, Limit: 100}
}

// TestBrokerFigures are there if the broker has them.
func TestBrokerFigures(t *testing.T) {
	broker := &figuredBroker{Broker: hub.NewMemoryBroker(hub.MemoryOptions{})}
	address := start(t, Config{Broker: broker})
	expect := func(lines ...string) {
		t.Helper()
		_, body := get(t, address+"metrics", nil)
		for _, line := range lines {
			if !strings.Contains(body, "\n"+line+"\n") {
				t.Errorf("%q is not in\n%s", line, body)
			}
		}
	}
	expect("duplex_broker_up 1", "duplex_broker_store_bytes 17", "duplex_broker_store_limit_bytes 100")
	broker.down.Store(true)
	expect("duplex_broker_up 0")
	if _, body := get(t, start(t, Config{})+"metrics", nil); strings.Contains(body, "duplex_broker") {
		t.Error("figures of a broker that has none")
	}
}

// TestOpenBroker: the broker is made when the rest is in order, and closed when the server has stopped.
func TestOpenBroker(t *testing.T) {
	var opened, closed atomic.Int64
	open := func(_ context.Context, logger *slog.Logger) (hub.Broker, func(), error) {
		opened.Add(1)
		logger.Info("the broker is made")
		return hub.NewMemoryBroker(hub.MemoryOptions{}), func() { closed.Add(1) }, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := newLogbook()
	config := Config{Settings: configured(t, "listen: 127.0.0.1:0\n"), Log: log, OpenBroker: open, Ready: func(string) {
		if closed.Load() > 0 {
			t.Error("closed before the server has stopped")
		}
		cancel()
	}}
	if err := Run(ctx, config); err != nil || opened.Load() != 1 || closed.Load() != 1 {
		t.Errorf("%v; opened %d times, closed %d times", err, opened.Load(), closed.Load())
	}
	if !strings.Contains(log.String(), "the broker is made") {
		t.Error("its log is not the server's")
	}

	config.Settings = configured(t, "listen: 127.0.0.1:0\ntls: {cert: none.pem, key: none.pem}\n")
	if err := Run(t.Context(), config); err == nil || opened.Load() != 1 {
		t.Errorf("%v; opened %d times although the certificate is missing", err, opened.Load())
	}
	wrong := errors.New("no such bus")
	config.Settings = configured(t, "listen: 127.0.0.1:0\n")
	config.OpenBroker = func(context.Context, *slog.Logger) (hub.Broker, func(), error) { return nil, nil, wrong }
	if err := Run(t.Context(), config); !errors.Is(err, wrong) {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	config.OpenBroker = func(ctx context.Context, _ *slog.Logger) (hub.Broker, func(), error) {
		cancel() // a signal, while it waits
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	if err := Run(ctx, config); err != nil {
		t.Error(err)
	}
}
