package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/natsbroker"
	"github.com/duplex-websocket/duplex/internal/natsserver"
	"github.com/duplex-websocket/duplex/internal/server"
	"github.com/duplex-websocket/duplex/internal/server/config"
)

const (
	// natsPatience is how long a server that starts waits for NATS servers that cannot be reached or have no leader yet.
	natsPatience = time.Minute
	// clusterPatience is the same for the other servers of a cluster, which somebody may be starting by hand.
	clusterPatience = natsserver.DefaultStartTimeout

	attemptTimeout = 8 * time.Second // for one attempt
	attemptPause   = 250 * time.Millisecond
	reportEvery    = 10 * time.Second // how often the log says what is waited for
)

// openBus returns what makes the broker that the settings ask for; nil if they ask for none, so that all is kept in memory.
func openBus(c *config.Config) func(context.Context, *slog.Logger) (hub.Broker, func(), error) {
	if !c.Durable() {
		return nil
	}
	return func(ctx context.Context, logger *slog.Logger) (hub.Broker, func(), error) {
		b := &bus{config: c, logger: logger}
		if err := b.open(ctx); err != nil {
			return nil, nil, errors.Join(err, b.close())
		}
		return b, func() {
			if err := b.close(); err != nil {
				logger.Error("the data was not put away", "error", err)
			}
		}, nil
	}
}

// bus is a broker with what it stands on.
type bus struct {
	*natsbroker.Broker

	// Immutable after open.
	config   *config.Config
	logger   *slog.Logger
	embedded *natsserver.Server // nil: NATS servers of others
	conn     *nats.Conn
}

var _ hub.Broker = (*bus)(nil)

func (b *bus) open(ctx context.Context) error {
	patience := natsPatience
	if b.config.Data != "" {
		options, err := embeddedOptions(b.config, b.logger)
		if err != nil {
			return err
		}
		if b.embedded, err = natsserver.Start(ctx, options); err != nil {
			return err
		}
		patience = clusterPatience
	}
	dial, err := dialOptions(b.config)
	if err != nil {
		return err
	}
	if err := b.connect(ctx, dial); err != nil {
		return err
	}
	if err := b.insist(ctx, patience, b.makeBroker); err != nil {
		return err
	}
	if b.embedded != nil && b.embedded.Suspect() {
		b.logger.Warn("messages may be lost, as the machine went down without a clean end, or the data is a copy; subscribers are told of a gap")
		return b.embedded.Settle()
	}
	return nil
}

// connect connects with the embedded server or with others.
func (b *bus) connect(ctx context.Context, dial []nats.Option) error {
	dial = append(dial, nats.Name("duplex"), nats.IgnoreAuthErrorAbort()) // who is refused today may be let in tomorrow
	if b.embedded != nil {
		dial = append(dial, nats.InProcessServer(b.embedded))
	}
	address := strings.Join(b.config.NATS, ",")
	return b.insist(ctx, natsPatience, func(context.Context) (err error) {
		b.conn, err = nats.Connect(address, natsbroker.ConnOptions(dial...)...)
		if err != nil {
			return withExit(exitUnreachable, fmt.Errorf("NATS at %s: %w%s", address, err, connectAdvice(err)))
		}
		return nil
	})
}

// connectAdvice says what may be wrong with the settings.
func connectAdvice(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), strings.Contains(strings.ToLower(text), "authoriz"):
		return "; see bus.user with bus.password-file, or bus.credentials-file"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "; these servers have no TLS: leave out bus.ca and tls://"
	case strings.Contains(text, "x509:"), strings.Contains(text, "tls"):
		return "; see bus.ca, and bus.cert with bus.key"
	case errors.Is(err, nats.ErrNoServers):
		return " (connection refused)"
	}
	return ""
}

func (b *bus) makeBroker(ctx context.Context) (err error) {
	b.Broker, err = natsbroker.New(ctx, natsbroker.Options{
		Conn: b.conn, Name: b.config.Bus.Name, Replicas: b.config.Replicas(), MaxBytes: int64(b.config.Bus.MaxBytes),
		PublishTimeout: b.config.Bus.PublishTimeout, NewEpoch: b.embedded != nil && b.embedded.Suspect(), Logger: b.logger,
	})
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w; JetStream does not answer: nats-server needs -js, and a cluster needs more than half of its servers", err)
	}
	return err
}

// insist repeats an attempt that may succeed later, until it does or patience is over, and says what is waited for.
func (b *bus) insist(ctx context.Context, patience time.Duration, attempt func(context.Context) error) error {
	began, reported := time.Now(), time.Time{}
	for {
		one, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := attempt(one)
		cancel()
		switch {
		case err == nil, !passing(err):
			return err
		case time.Since(began) > patience:
			return fmt.Errorf("%w; it has been so for %s", err, patience)
		case time.Since(reported) > reportEvery && (b.embedded == nil || time.Since(began) > reportEvery):
			b.logger.Info("waiting for NATS", "because", err)
			reported = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(attemptPause):
		}
	}
}

// noPeers is JetStream's code for a cluster that has not enough servers for the copies.
const noPeers = 10005

// passing reports whether an error is one that goes away when others have started.
func passing(err error) bool {
	if refused, is := errors.AsType[*jetstream.APIError](err); is {
		return refused.Code == 503 || refused.ErrorCode == noPeers
	}
	dial, is := errors.AsType[*net.OpError](err)
	if is && dial.Op == "dial" {
		return true
	}
	for _, passes := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		context.DeadlineExceeded,
	} {
		if errors.Is(err, passes) {
			return true
		}
	}
	return false
}

// Figures implements server.Figures.
func (b *bus) Figures() server.BrokerFigures {
	f := server.BrokerFigures{Connected: b.conn.IsConnected()}
	if b.embedded != nil {
		usage := b.embedded.Usage()
		f.Connected = f.Connected && b.embedded.Ready() == nil
		f.Bytes, f.Limit = usage.Bytes, usage.Limit
		if most := uint64(b.config.Bus.MaxBytes); most > 0 {
			f.Limit = min(f.Limit, most)
		}
	}
	return f
}

// close ends everything that open has begun.
func (b *bus) close() error {
	if b.Broker != nil {
		b.Broker.Close()
	}
	if b.conn != nil {
		b.conn.Close()
	}
	if b.embedded == nil {
		return nil
	}
	return b.embedded.Close()
}
