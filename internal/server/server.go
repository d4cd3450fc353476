// Package server is the application: the hub with its sessions at /ws, the pages of the showcase, the echo service, what operators
// need, and how all of it is listened for, configured anew and stopped. The command and the tests start it through the same
// Run and RunEcho.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/showcase/wire"
)

// Config is what Run needs. The zero value listens on 127.0.0.1:8080 without TLS and lets anyone in.
type Config struct {
	Settings *config.Loaded // what users configure; default: nothing
	Broker   hub.Broker     // default: what OpenBroker returns, else the hub's own
	Log      io.Writer      // where the log goes; default os.Stderr
	Version  string         // for the log and the metrics; default "unknown"

	// OpenBroker makes the Broker once the settings have been found in order, and says how to close it, after the server has stopped. It
	// may wait for others until ctx ends. Nil: there is none to be made.
	OpenBroker func(ctx context.Context, logger *slog.Logger) (broker hub.Broker, closeBroker func(), err error)

	// Reload asks, with each value, to read the Settings again (SIGHUP). Nil: they stay.
	Reload <-chan os.Signal

	// Ready is called once the server accepts connections, with the address of its page. Nil is allowed.
	Ready func(url string)

	logging *logging // set by openBroker; nil: made by newNode
}

func (c Config) withDefaults() (Config, error) {
	if c.Settings == nil {
		var err error
		if c.Settings, err = config.Load(config.Input{}); err != nil {
			return c, err
		}
	}
	if c.Log == nil {
		c.Log = os.Stderr
	}
	c.Version = cmp.Or(c.Version, "unknown")
	return c, nil
}

const (
	defaultListen = "127.0.0.1:8080"
	defaultDrain  = 10 * time.Second
)

// Run serves until ctx ends; then it stops accepting, tells clients when to come back, and returns nil when all have gone or
// the time for that is over. An error before that is a *SetupError or a *config.Error if the configuration or the address is to blame.
func Run(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if c.OpenBroker != nil {
		closeBroker, err := c.openBroker(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			closeBroker()
			return nil // it was to stop while it waited for others
		}
		defer closeBroker()
	}
	n, err := newNode(c)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.join(ctx); err != nil {
		return err
	}
	if err := n.listen(ctx); err != nil {
		return err
	}
	n.start()
	if err := n.run(ctx); err != nil {
		return err
	}
	return n.drain(context.WithoutCancel(ctx))
}

// openBroker makes Broker. It tells what is wrong with the settings before it waits for others.
func (c *Config) openBroker(ctx context.Context) (closeBroker func(), err error) {
	if err := Check(c.Settings.Config); err != nil {
		return nil, err
	}
	c.logging = newLogger(c.Log, c.Settings.Log)
	c.Broker, closeBroker, err = c.OpenBroker(ctx, c.logging.Logger)
	if err != nil && ctx.Err() != nil {
		return func() {}, nil
	}
	return closeBroker, err
}

const joinTimeout = 30 * time.Second // for what the others know to be read

// join learns what the other servers of a broker refuse, before anybody comes in.
func (n *node) join(ctx context.Context) error {
	if n.config.Broker == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if err := n.auth.Join(ctx, n.hub); err != nil {
		return fmt.Errorf("what other servers refuse cannot be learnt: %w", err)
	}
	return nil
}

// run reloads when asked to, until ctx ends or a listener fails.
func (n *node) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.failed:
			return fmt.Errorf("the server stopped: %w", err)
		case <-n.config.Reload:
			n.reload()
		}
	}
}

// listen opens the ports, when everything behind them is there.
func (n *node) listen(ctx context.Context) error {
	if err := n.beginShowcase(); err != nil {
		return err
	}
	settings := n.current()
	public, err := listen(ctx, settings.Listen)
	if err != nil {
		return err
	}
	routes, err := n.publicRoutes()
	if err != nil {
		return errors.Join(err, public.Close())
	}
	secure := n.certificates.config()
	if secure == nil && HasDemo(settings.Config) {
		public = wire.Listener{Listener: public} // for the page that shows what passes
	}
	n.public = newEndpoint(public, routes, secure, n.logger)
	if settings.Admin.Listen == "" {
		return nil
	}
	admin, err := listenFor(ctx, settings.Admin.Listen, "--admin-listen")
	if err != nil {
		return errors.Join(err, public.Close())
	}
	n.admin = newEndpoint(admin, n.adminRoutes(), nil, n.logger)
	return nil
}

// start serves the ports and says so.
func (n *node) start() {
	n.failed = make(chan error, 2)
	n.serving.Store(true)
	for _, e := range []*endpoint{n.public, n.admin} {
		if e != nil {
			go func() { n.failed <- e.serve() }()
		}
	}
	settings := n.current()
	attributes := []any{"address", n.public.url(), "mode", mode(settings.Config), "version", n.config.Version}
	if n.admin != nil {
		attributes = append(attributes, "admin", n.admin.url())
	}
	n.logger.Info("listening", attributes...)
	for _, warning := range settings.Warnings {
		n.logger.Warn("the configuration is odd: " + warning)
	}
	if n.config.Ready != nil {
		n.config.Ready(n.public.url())
	}
}

// drain ends everything, after Drain.Delay. Who is still there at the deadline is cut off, which is not an error of ours. Operators can see how it
// goes until the end, if they have a listener of their own.
func (n *node) drain(ctx context.Context) error {
	n.health.draining.Store(true)
	delay, timeout := n.current().Drain.Delay, n.current().Drain.Timeout
	if delay > 0 {
		n.logger.Info("not ready any more; waiting for load balancers to notice", "delay", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	began := time.Now()
	n.logger.Info("draining", "connections", n.connections(), "timeout", timeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(n.sockets))
	for i, s := range n.sockets {
		wg.Go(func() { errs[i] = s.Shutdown(ctx) })
	}
	err := n.public.stop(ctx)
	wg.Wait()
	if n.admin != nil {
		err = errors.Join(err, n.admin.stop(ctx))
	}
	n.logger.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
	return ignoreDeadline(errors.Join(append(errs, err)...))
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// endpoint is one listener with its HTTP server.
type endpoint struct {
	listener net.Listener // immutable, as is all of it
	server   *http.Server
	tls      bool
}

// newEndpoint speaks TLS unless secure is nil.
func newEndpoint(l net.Listener, routes http.Handler, secure *tls.Config, logger *slog.Logger) *endpoint {
	return &endpoint{l, &http.Server{
		Handler: routes, TLSConfig: secure, ConnContext: wire.ConnContext,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // mostly peers that hang up during TLS
	}, secure != nil}
}

func (e *endpoint) serve() error {
	if e.tls {
		return e.server.ServeTLS(e.listener, "", "")
	}
	return e.server.Serve(e.listener)
}

// stop waits for requests that are being answered.
func (e *endpoint) stop(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	_ = e.server.Close()
	return err
}

func (e *endpoint) url() string {
	scheme := "http"
	if e.tls {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s/", scheme, reachable(e.listener.Addr()))
}

// reachable is the address to open: a server that listens everywhere is reached as localhost from the same machine.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
