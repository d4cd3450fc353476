package websocket

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
)

// ConnLimit bounds how many connections are open at once, in all and for each
// address. One ConnLimit may be shared, by reference, by any number of
// AcceptOptions, and then counts for all of them together. Its methods may be
// called from any goroutine; its fields must not change once it is in use, but
// by Set.
//
// A connection takes its place before the interceptors run, so that slow ones
// count, and gives it back when it is refused or its TCP connection is closed,
// which is shortly after Conn.Done. Who finds no place is answered with 503
// (Total) or 429 (PerAddress).
type ConnLimit struct {
	// Total is the most connections in all. Default: no limit.
	Total int

	// PerAddress is the most connections from one address: an IPv4 address, or
	// the first 64 bits of an IPv6 address, which is the least that one
	// customer of a provider has at will. Default: no limit.
	PerAddress int

	// Address returns the client's address of a request. Default: that of
	// Request.RemoteAddr. Behind a reverse proxy that is the proxy's, so that
	// all clients share one limit: return there what the proxy says, such as
	// the last element of X-Forwarded-For, and only if the proxy sets it
	// whatever the client sends. The zero Addr (as for a Unix socket) counts
	// for Total only.
	Address func(*http.Request) netip.Addr

	mu        sync.Mutex
	total     int
	byAddress map[netip.Addr]int
}

// Len returns how many connections hold a place now.
func (l *ConnLimit) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Set replaces Total and PerAddress. Connections above the new limits stay; those
// that came while there was no limit for an address are not counted for theirs.
func (l *ConnLimit) Set(total, perAddress int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Total, l.PerAddress = total, perAddress
}

// acquire takes a place for the request. The release function gives it back
// once, however often and from wherever it is called. Without a limit it is nil.
func (l *ConnLimit) acquire(r *http.Request) (release func(), err error) {
	if l == nil {
		return nil, nil
	}
	network := networkOf(l.address(r))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.PerAddress <= 0 {
		network = netip.Addr{}
	}
	if l.Total > 0 && l.total >= l.Total {
		return nil, &HandshakeError{
			Status: http.StatusServiceUnavailable,
			Reason: fmt.Sprintf("all %d places for connections are taken; try again later", l.Total),
		}
	}
	if network.IsValid() {
		if l.byAddress[network] >= l.PerAddress {
			return nil, &HandshakeError{
				Status: http.StatusTooManyRequests,
				Reason: fmt.Sprintf("your address has %d connections, which is the most allowed; close one first", l.PerAddress),
			}
		}
		if l.byAddress == nil {
			l.byAddress = make(map[netip.Addr]int)
		}
		l.byAddress[network]++
	}
	l.total++
	released := false // guarded by l.mu
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !released {
			released = true
			l.giveBack(network)
		}
	}, nil
}

// giveBack frees a place. An address without connections is forgotten, so that
// the table is never larger than the number of connections.
func (l *ConnLimit) giveBack(network netip.Addr) {
	l.total--
	if !network.IsValid() {
		return
	}
	if l.byAddress[network]--; l.byAddress[network] == 0 {
		delete(l.byAddress, network)
	}
}

func (l *ConnLimit) address(r *http.Request) netip.Addr {
	if l.Address != nil {
		return l.Address(r)
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // no IP network
	}
	return remote.Addr()
}

// networkOf returns what PerAddress counts for a: the IPv4 address itself (also
// when it is written as IPv6), the /64 of an IPv6 address.
func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}
