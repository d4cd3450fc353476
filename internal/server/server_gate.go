package server

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/duplex-websocket/duplex/internal/server/config"
	"github.com/duplex-websocket/duplex/websocket"
)

// gate is what every request of a client passes first. Its rules may change while it is in use.
type gate struct {
	rules atomic.Pointer[gateRules]
}

type gateRules struct {
	proxies []netip.Prefix
	origins *websocket.Server // refuses what the origin check refuses, and everything else with passedStatus
}

// passedStatus is how origins says that it has nothing against a handshake. Refusals of its own are 4xx and 5xx.
const passedStatus = http.StatusNoContent

func (g *gate) set(c *config.Config) {
	g.rules.Store(&gateRules{
		proxies: c.ProxyNetworks(),
		origins: &websocket.Server{Handler: &websocket.HandlerFuncs{}, Accept: websocket.AcceptOptions{
			Options:        websocket.Options{Logger: slog.New(slog.DiscardHandler)}, // it has nothing to say but its verdict
			OriginPatterns: c.Origins,
			Interceptors: []func(*websocket.Upgrade) error{func(*websocket.Upgrade) error {
				return &websocket.HandshakeError{Status: passedStatus}
			}},
		}},
	})
}

// socket lets those pages through to a WebSocket service that may connect, by the rules of websocket.AcceptOptions.OriginPatterns. A
// websocket.Server keeps the patterns that it began with; so the service behind has no check of its own, and the patterns of the
// moment belong to a second one that is only ever asked. Whatever it does not let pass explicitly is refused.
func (g *gate) socket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, fromPage := r.Header["Origin"]; fromPage {
			v := verdict{header: http.Header{}}
			g.rules.Load().origins.ServeHTTP(&v, r)
			if v.status != passedStatus {
				v.send(w)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// verdict is a response that is held back.
type verdict struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(p []byte) (int, error) { return v.body.Write(p) }

// settingNames turns what the library advises to programmers into what operators can do.
var settingNames = strings.NewReplacer(
	"AcceptOptions.OriginPatterns", "origins in the server's configuration",
	"only AcceptOptions.InsecureSkipOriginCheck would allow it", "no setting allows it",
)

func (v *verdict) send(w http.ResponseWriter) {
	for name, values := range v.header {
		w.Header()[name] = values
	}
	w.WriteHeader(v.status)
	_, _ = settingNames.WriteString(w, v.body.String()) // there is nobody to tell when it fails
}

// clients writes into each request where its client is: the last address in X-Forwarded-For that is not one of our own proxies, if
// the request comes from one of those.
func (g *gate) clients(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxies := g.rules.Load().proxies
		peer := addressOf(r.RemoteAddr)
		if client := behind(proxies, peer, r.Header["X-Forwarded-For"]); client != peer {
			changed := *r
			changed.RemoteAddr = netip.AddrPortFrom(client, 0).String()
			r = &changed
		}
		next.ServeHTTP(w, r)
	})
}

// behind goes back from proxy to proxy. What was there before the first that is not ours anybody may have written.
func behind(proxies []netip.Prefix, peer netip.Addr, forwarded []string) netip.Addr {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted(proxies, peer); i-- {
		next := addressOf(strings.TrimSpace(hops[i]))
		if !next.IsValid() {
			break
		}
		peer = next
	}
	return peer
}

func trusted(proxies []netip.Prefix, a netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addressOf reads an address with or without a port. It returns the zero Addr for anything else.
func addressOf(text string) netip.Addr {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().Unmap().WithZone("")
	}
	a, _ := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap().WithZone("")
}
