package looptest

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// Peer is the other end of a connection. All methods may be called from any
// goroutine. It is a net.Conn without deadlines.
type Peer struct {
	net *Net
	fd  int

	// Guarded by net.mu.
	changed  sync.Cond
	in       []byte // on its way to the descriptor
	inEnded  bool   // and then it ends
	gone     bool   // the Peer takes nothing any more
	out      []byte // on its way to the Peer
	outEnded bool
	reset    bool
	closed   bool // the descriptor
	unread   int  // what was in when it was closed
	window   int  // how much fits into out; 0: everything
	taken    int  // how much of in was read
	given    int  // how much was written to out
	resetIn  int  // the connection breaks when so much was taken
	resetOut int  // or so much given
	watcher  *Poller
	tag      uint32
	want     loop.Readiness
}

const never = -1

var _ net.Conn = (*Peer)(nil)

// Window makes the Peer's side take only so many bytes that it has not read; 0,
// the default, means any number.
func (s *Peer) Window(n int) { s.do(func() { s.window = n }) }

// Write implements net.Conn. It never waits.
func (s *Peer) Write(p []byte) (n int, err error) {
	s.do(func() {
		switch {
		case s.reset, s.closed:
			err = syscall.ECONNRESET
		case s.inEnded:
			err = syscall.EPIPE
		default:
			n, s.in = len(p), append(s.in, p...)
		}
	})
	return n, err
}

// Read implements net.Conn: it waits until there is something.
func (s *Peer) Read(p []byte) (n int, err error) {
	s.do(func() {
		for len(s.out) == 0 && !s.outEnded && !s.reset && !s.gone {
			s.changed.Wait()
		}
		switch n = copy(p, s.out); {
		case n > 0:
			s.out = s.out[n:]
		case s.gone:
			err = net.ErrClosed
		case s.reset, s.unread > 0:
			err = syscall.ECONNRESET
		default:
			err = io.EOF
		}
	})
	return n, err
}

// CloseWrite ends what the Peer sends.
func (s *Peer) CloseWrite() error { return s.do(func() { s.inEnded = true }) }

// Close implements net.Conn: what is still written to the Peer then resets the
// connection.
func (s *Peer) Close() error { return s.do(func() { s.inEnded, s.gone = true, true }) }

// Reset breaks the connection now, ResetAfter as soon as the descriptor's owner
// has read or written so many bytes; a negative number means never.
func (s *Peer) Reset()                 { s.do(s.breakDown) }
func (s *Peer) ResetAfter(in, out int) { s.do(func() { s.resetIn, s.resetOut = in, out }) }

// Taken returns everything that has come out and was not read yet. It does not wait.
func (s *Peer) Taken() (p []byte) {
	s.do(func() { p, s.out = s.out, nil })
	return p
}

// WasReset reports whether the connection has broken down.
func (s *Peer) WasReset() (yes bool) {
	s.do(func() { yes = s.reset })
	return yes
}

// Unread returns how many bytes nobody had read when the descriptor was closed. On
// a real network they make a reset of the end, which destroys output.
func (s *Peer) Unread() (n int) {
	s.do(func() { n = s.unread })
	return n
}

// Ended reports whether the output has ended, with the descriptor or before.
func (s *Peer) Ended() (yes bool) {
	s.do(func() { yes = s.outEnded })
	return yes
}

// LocalAddr and RemoteAddr implement net.Conn.
func (s *Peer) LocalAddr() net.Addr {
	_, peer := addrs(s.fd)
	return net.TCPAddrFromAddrPort(peer)
}

// RemoteAddr implements net.Conn.
func (s *Peer) RemoteAddr() net.Addr {
	local, _ := addrs(s.fd)
	return net.TCPAddrFromAddrPort(local)
}

// SetDeadline and its like implement net.Conn: they fail.
func (s *Peer) SetDeadline(time.Time) error      { return net.ErrWriteToConnected }
func (s *Peer) SetReadDeadline(time.Time) error  { return net.ErrWriteToConnected }
func (s *Peer) SetWriteDeadline(time.Time) error { return net.ErrWriteToConnected }

// do calls f with the lock held and tells everybody.
func (s *Peer) do(f func()) error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	f()
	s.net.wake()
	s.changed.Broadcast()
	return nil
}

// All below is called with net.mu held.

func (s *Peer) breakDown() {
	if !s.closed {
		s.reset, s.in = true, nil
	}
	s.changed.Broadcast()
}

// ready returns what the descriptor is ready for.
func (s *Peer) ready() (r loop.Readiness) {
	if s.reset {
		return loop.Readable | loop.Writable | loop.Broken
	}
	if len(s.in) > 0 || s.inEnded {
		r |= loop.Readable
	}
	if s.outEnded || s.room() > 0 {
		r |= loop.Writable
	}
	if s.inEnded && s.outEnded {
		r |= loop.Broken
	}
	return r
}

// room returns how many bytes can be written now.
func (s *Peer) room() int {
	const everything = 1 << 30
	if s.window == 0 || s.gone {
		return everything
	}
	return max(0, s.window-len(s.out))
}

// read is one read from the descriptor.
func (s *Peer) read(p []byte) (int, error) {
	if s.resetIn != never && s.taken >= s.resetIn {
		s.breakDown()
	}
	switch {
	case s.reset:
		return 0, syscall.ECONNRESET
	case len(s.in) == 0 && s.inEnded:
		return 0, io.EOF
	case len(s.in) == 0:
		return 0, loop.ErrWouldBlock
	}
	n := s.some(min(len(p), len(s.in)))
	if s.resetIn != never {
		n = min(n, s.resetIn-s.taken)
	}
	if n == 0 {
		return 0, loop.ErrWouldBlock
	}
	copy(p, s.in[:n])
	s.in = s.in[n:]
	s.taken += n
	return n, nil
}

// write is one write to the descriptor.
func (s *Peer) write(p []byte) (n int, err error) {
	if s.resetOut != never && s.given >= s.resetOut {
		s.breakDown()
	}
	switch {
	case s.reset:
		return 0, syscall.ECONNRESET
	case s.outEnded:
		return 0, syscall.EPIPE
	case s.gone: // the answer will be a reset
		s.breakDown()
		return len(p), nil
	}
	n = s.some(min(len(p), s.room()))
	if s.resetOut != never {
		n = min(n, s.resetOut-s.given)
	}
	s.out = append(s.out, p[:n]...)
	s.given += n
	s.changed.Broadcast()
	if n < len(p) {
		err = loop.ErrWouldBlock
	}
	return n, err
}

// some chooses how many of n bytes go through at once.
func (s *Peer) some(n int) int {
	if n == 0 {
		return 0
	}
	switch choose := s.net.choose; choose(4) {
	case 1:
		return 1 + choose(n)
	case 2:
		return 1 + choose(min(n, 8))
	case 3:
		return 0
	}
	return n
}
