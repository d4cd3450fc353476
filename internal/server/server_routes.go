package server

import (
	"net/http"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/wire"
	"github.com/duplex-websocket/duplex/web"
)

// publicRoutes lists what clients reach. What is for operators is there too, unless it has a listener of its own.
func (n *node) publicRoutes() (http.Handler, error) {
	settings := n.current().Config
	mux := http.NewServeMux()
	n.serveSocket(mux, "/ws", n.sessions)
	n.serveHealth(mux)
	if settings.Admin.Listen == "" {
		mux.Handle("/api/", n.api)
		if n.metrics != nil {
			mux.Handle("GET /metrics", n.api.Guard(n.metrics.handler()))
		}
	}
	if HasDemo(settings) {
		if err := n.serveDemo(mux); err != nil {
			return nil, err
		}
	}
	return n.gate.clients(mux), nil
}

// adminRoutes lists what operators reach on their own listener.
func (n *node) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	n.serveHealth(mux)
	mux.Handle("/api/", n.api)
	if n.metrics != nil {
		mux.Handle("GET /metrics", n.metrics.handler())
	}
	return mux
}

func (n *node) serveHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", n.health.serveLive)
	mux.HandleFunc("GET /readyz", n.health.serveReady)
}

// HasDemo reports whether there is a page at /.
func HasDemo(c *config.Config) bool { return c.Demo == "on" || c.Demo == "auto" && letsAnyoneIn(c) }

// serveDemo adds the pages of the showcase with what they need besides the hub, and the echo service.
func (n *node) serveDemo(mux *http.ServeMux) error {
	files, err := newPages(web.Pages(), web.Public)
	if err != nil {
		return err
	}
	source, err := newSource()
	if err != nil {
		return err
	}
	echo := newEcho(EchoConfig{}, n.logger)
	echo.Accept.InsecureSkipOriginCheck = true // the gate has the check
	echo.Accept.Limit = n.limit
	mux.Handle("/", files)
	mux.HandleFunc("GET /source/list", source.serveList)
	mux.HandleFunc("GET /source/files/{path...}", source.serveFile)
	n.serveSocket(mux, "/echo", echo)
	n.showcase.Register(mux, func(path string, s showcase.Socket) { n.serveSocket(mux, path, s) })
	return nil
}

// serveSocket serves a WebSocket service, whose connections net/http's server does not see.
func (n *node) serveSocket(mux *http.ServeMux, path string, s showcase.Socket) {
	n.sockets = append(n.sockets, s)
	mux.Handle(path, n.gate.socket(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(wire.Bare(w), r) })))
}

// connections counts those of all services.
func (n *node) connections() int {
	total := 0
	for _, s := range n.sockets {
		total += s.Len()
	}
	return total
}
