package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/duplex-websocket/duplex/internal/server"
)

// serveCmd is the verb serve.
type serveCmd struct{ settingFlags }

// Run serves until a signal comes. SIGHUP makes it read the configuration again.
func (c *serveCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	settings, err := c.load()
	if err != nil {
		return err
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	return server.Run(ctx, server.Config{
		Settings: settings, Log: out.stderr, Reload: reload, Version: release(),
		OpenBroker: openBus(settings.Config),
		Ready: func(url string) {
			ready := "open %s in a browser; Ctrl-C stops the server\n"
			if !server.HasDemo(settings.Config) {
				ready = "serving topics at %sws; Ctrl-C stops the server\n"
			}
			fmt.Fprintf(out.stdout, ready, url)
		},
	})
}

// release is the version of this program, as far as it was built from one.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
