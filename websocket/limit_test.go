package websocket

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"testing"
)

func from(remote string) *http.Request { return &http.Request{RemoteAddr: remote} }

// mustAcquire takes a place and returns its release.
func mustAcquire(t *testing.T, l *ConnLimit, remote string) func() {
	t.Helper()
	release, err := l.acquire(from(remote))
	if err != nil || release == nil {
		t.Fatalf("%s: %v", remote, err)
	}
	return release
}

func mustNotAcquire(t *testing.T, l *ConnLimit, remote string, status int) {
	t.Helper()
	release, err := l.acquire(from(remote))
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != status || release != nil {
		t.Fatalf("%s: %v, want status %d", remote, err, status)
	}
}

func TestConnLimitTotal(t *testing.T) {
	l := &ConnLimit{Total: 2}
	one := mustAcquire(t, l, "192.0.2.1:1")
	mustAcquire(t, l, "192.0.2.2:1")
	mustNotAcquire(t, l, "192.0.2.3:1", http.StatusServiceUnavailable)
	one()
	one() // only the first time counts
	if l.Len() != 1 {
		t.Errorf("Len is %d, want 1", l.Len())
	}
	mustAcquire(t, l, "192.0.2.3:1")
	mustNotAcquire(t, l, "192.0.2.3:1", http.StatusServiceUnavailable)
}

func TestConnLimitPerAddress(t *testing.T) {
	tests := []struct {
		name, one, two string
		same           bool
	}{
		{"other port", "192.0.2.1:1", "192.0.2.1:2", true},
		{"other address", "192.0.2.1:1", "192.0.2.2:1", false},
		{"IPv4 in IPv6", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"two of IPv4 in IPv6", "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
		{"same /64", "[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:1", true},
		{"other /64", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		{"other zone", "[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
		{"no IP address", "@", "@", false},
		{"no address at all", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := &ConnLimit{PerAddress: 1}
			release := mustAcquire(t, l, test.one)
			if !test.same {
				mustAcquire(t, l, test.two)
				return
			}
			mustNotAcquire(t, l, test.two, http.StatusTooManyRequests)
			release()
			mustAcquire(t, l, test.two)()
			if len(l.byAddress) != 0 || l.Len() != 0 {
				t.Errorf("%d addresses and %d places are left", len(l.byAddress), l.Len())
			}
		})
	}
}

func TestConnLimitOwnAddress(t *testing.T) {
	l := &ConnLimit{PerAddress: 1, Address: func(r *http.Request) netip.Addr {
		addr, _ := netip.ParseAddr(r.Header.Get("X-Real-Ip"))
		return addr
	}}
	behindProxy := func(client string) *http.Request {
		r := from("192.0.2.1:1")
		r.Header = http.Header{"X-Real-Ip": {client}}
		return r
	}
	for _, client := range []string{"198.51.100.1", "198.51.100.2", "nonsense", "nonsense"} {
		if _, err := l.acquire(behindProxy(client)); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}
	if _, err := l.acquire(behindProxy("198.51.100.1")); err == nil {
		t.Error("a second connection of one client has a place")
	}
}

func TestConnLimitNone(t *testing.T) {
	release, err := (*ConnLimit)(nil).acquire(from("192.0.2.1:1"))
	if release != nil || err != nil {
		t.Errorf("got a release: %v, %v", release != nil, err)
	}
	l := &ConnLimit{}
	mustAcquire(t, l, "192.0.2.1:1")
	mustAcquire(t, l, "192.0.2.1:1")
	if l.Len() != 2 {
		t.Errorf("Len is %d, want 2", l.Len())
	}
}

// Never more than Total at once, and in the end none, whatever the order.
func TestConnLimitConcurrent(t *testing.T) {
	l := &ConnLimit{Total: 3, PerAddress: 2}
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for range 500 {
				release, err := l.acquire(from([]string{"192.0.2.1:1", "192.0.2.2:1"}[i%2]))
				if n := l.Len(); n > 3 {
					t.Errorf("%d places are taken", n)
				}
				if err == nil {
					var twice sync.WaitGroup
					twice.Go(release)
					twice.Go(release)
					twice.Wait()
				}
			}
		})
	}
	workers.Wait()
	if l.Len() != 0 || len(l.byAddress) != 0 {
		t.Errorf("%d places and %d addresses are left", l.Len(), len(l.byAddress))
	}
}
