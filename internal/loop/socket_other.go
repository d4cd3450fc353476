//go:build !linux

package loop

import "net"

// Socket has no implementation on this platform.
type Socket struct{}

// NewSocket returns nil: use the net.Conn.
func NewSocket(net.Conn, Buffers) *Socket { return nil }

// Read is never called: there are no Sockets here.
func (*Socket) Read() ([]byte, error) { return nil, ErrWouldBlock }

// ReadInto is never called: there are no Sockets here.
func (*Socket) ReadInto([]byte) (int, error) { return 0, ErrWouldBlock }

// TryWrite is never called: there are no Sockets here.
func (*Socket) TryWrite([]byte) (int, error) { return 0, ErrWouldBlock }
