package server

import (
	"errors"
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
	origins websocket.AcceptOptions // of which only the origin check is used
}

func (g *gate) set(c *config.Config) {
	g.rules.Store(&gateRules{proxies: c.ProxyNetworks(), origins: websocket.AcceptOptions{OriginPatterns: c.Origins}})
}

// socket lets those pages through to a WebSocket service that may connect. The service behind has no check of its own, since its
// rules cannot change while it is in use.
func (g *gate) socket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.rules.Load().origins.CheckOrigin(r); err != nil {
			refuseOrigin(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseOrigin answers a handshake, and ends its connection: what follows the request may not be HTTP.
func refuseOrigin(w http.ResponseWriter, err error) {
	status, reason := http.StatusForbidden, err.Error()
	if refused, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		status, reason = refused.Status, refused.Reason
	}
	w.Header().Set("Connection", "close")
	http.Error(w, settingNames.Replace(reason), status)
}

// settingNames turns what the library advises to programmers into what operators can do.
var settingNames = strings.NewReplacer(
	"AcceptOptions.OriginPatterns", "origins in the server's configuration",
	"only AcceptOptions.InsecureSkipOriginCheck would allow it", "no setting allows it",
)

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
