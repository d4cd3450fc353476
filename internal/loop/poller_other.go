//go:build !linux

package loop

import (
	"net"
	"net/netip"
)

// NewPoller returns ErrUnsupported: there is no Poller here.
func NewPoller() (Poller, error) { return nil, ErrUnsupported }

// Detach returns ErrUnsupported and leaves the connection alone.
func Detach(net.Conn) (int, error) { return -1, ErrUnsupported }

// Attach returns ErrUnsupported: there are no descriptors here.
func Attach(int) (net.Conn, error) { return nil, ErrUnsupported }

// Listener has no implementation on this platform.
type Listener struct{}

// NewListener returns ErrUnsupported.
func NewListener(net.Listener) (*Listener, error) { return nil, ErrUnsupported }

// Accept returns ErrUnsupported.
func (*Listener) Accept() (int, netip.AddrPort, error) { return -1, netip.AddrPort{}, ErrUnsupported }

// Close does nothing.
func (*Listener) Close() error { return nil }
