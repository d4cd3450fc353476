package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/duplex-websocket/duplex/internal/server"
	"github.com/duplex-websocket/duplex/websocket"
)

// echoCmd is the verb echo. Other people's tools use these flags: they do not change.
type echoCmd struct {
	Listen      string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen; port 0 takes any free one (default ${default})."`
	Driver      string `enum:"auto,goroutine,loop" default:"auto" help:"What drives the connections: auto, goroutine or loop (default ${default})."`
	Compression string `enum:"off,no-takeover,takeover" default:"off" help:"Accept compression: off, no-takeover or takeover (default ${default})."`
	Mode        string `enum:"echo,broadcast" default:"echo" help:"Answer each message with itself (echo), or send it to every connection (broadcast)."`
}

var drivers = map[string]websocket.Driver{
	"auto": websocket.DriverAuto, "goroutine": websocket.DriverGoroutine, "loop": websocket.DriverLoop,
}

var compressionModes = map[string]websocket.CompressionMode{
	"off": websocket.CompressionOff, "no-takeover": websocket.CompressionNoTakeover, "takeover": websocket.CompressionTakeover,
}

// Run serves until a signal comes.
func (c *echoCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return server.RunEcho(ctx, server.EchoConfig{
		Listen: c.Listen, Driver: drivers[c.Driver], Compression: compressionModes[c.Compression], Mode: server.EchoMode(c.Mode),
		Logger: slog.New(slog.NewTextHandler(out.stderr, nil)),
		Ready:  func(url string) { fmt.Fprintln(out.stdout, "listening on", url) },
	})
}
