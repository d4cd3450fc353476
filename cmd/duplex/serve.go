package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/duplex-websocket/duplex/internal/server"
)

// serveCmd is the verb serve.
type serveCmd struct {
	Listen  string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen; port 0 takes any free one (default ${default})."`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Speak TLS with the certificate chain in this PEM file; needs --tls-key."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Private key of --tls-cert (PEM)."`
}

// Run serves until a signal comes.
func (c *serveCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return server.Run(ctx, server.Config{
		Listen: c.Listen, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		Logger: slog.New(slog.NewTextHandler(out.stderr, nil)),
		Ready:  func(url string) { fmt.Fprintf(out.stdout, "open %s in a browser; Ctrl-C stops the server\n", url) },
	})
}
