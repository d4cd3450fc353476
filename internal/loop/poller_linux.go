package loop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// epoll is the Poller of Linux. Its descriptor is itself watched by Go's poller,
// so that a goroutine that waits for it blocks no thread.
type epoll struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	poll   func(fd uintptr) bool // tryWait; made once: a closure per call would be garbage per call
	look   func(fd uintptr)      // the same without a result
	events [waitEvents]syscall.EpollEvent

	// Owned by Wait: poll's parameter and results.
	most int
	n    int
	err  error
}

// waitEvents is how many events one Wait returns at most.
const waitEvents = 256

// NewPoller returns the platform's Poller, or ErrUnsupported.
func NewPoller() (Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // what makes os.NewFile hand it to Go's poller
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	e := &epoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	e.poll = e.tryWait
	e.look = func(fd uintptr) { e.tryWait(fd) }
	if e.raw, err = e.file.SyscallConn(); err == nil {
		err = e.file.SetReadDeadline(time.Time{}) // fails if Go's poller did not take it
	}
	if err != nil {
		_ = e.file.Close()
		return nil, err
	}
	return e, nil
}

// Wait implements Poller.
func (e *epoll) Wait(events []Event) (int, error) {
	e.most, e.n = min(len(events), len(e.events)), 0
	if err := e.raw.Read(e.poll); err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if err := e.file.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
		if err := e.raw.Control(e.look); err != nil {
			return 0, err
		}
	}
	for i := range e.n {
		from := &e.events[i]
		events[i] = Event{FD: int(from.Fd), Tag: uint32(from.Pad), Ready: readiness(from.Events)}
	}
	return e.n, e.err
}

// tryWait is one look at the descriptor; false makes Go's poller wait until there
// is something to see.
func (e *epoll) tryWait(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&e.events[0])), uintptr(e.most), 0, 0, 0)
		switch errno {
		case 0:
			e.n, e.err = int(n), nil
			return n > 0
		case syscall.EINTR:
		default:
			e.n, e.err = 0, os.NewSyscallError("epoll_wait", errno)
			return true
		}
	}
}

// Interrupt implements Poller. A deadline that has passed is the one thing that
// wakes a goroutine out of Go's poller without a system call.
func (e *epoll) Interrupt() { _ = e.file.SetReadDeadline(longAgo) } // fails only after Close

var longAgo = time.Unix(1, 0)

func readiness(events uint32) (r Readiness) {
	if events&syscall.EPOLLIN != 0 {
		r |= Readable
	}
	if events&syscall.EPOLLOUT != 0 {
		r |= Writable
	}
	if events&(syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
		r |= Broken
	}
	return r
}

func (e *epoll) control(op, fd int, tag uint32, what Readiness) error {
	event := syscall.EpollEvent{Fd: int32(fd), Pad: int32(tag)}
	if what&Readable != 0 {
		event.Events |= syscall.EPOLLIN
	}
	if what&Writable != 0 {
		event.Events |= syscall.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(e.fd, op, fd, &event))
}

// Add implements Poller.
func (e *epoll) Add(fd int, tag uint32, what Readiness) error {
	return e.control(syscall.EPOLL_CTL_ADD, fd, tag, what)
}

// Change implements Poller.
func (e *epoll) Change(fd int, tag uint32, what Readiness) error {
	return e.control(syscall.EPOLL_CTL_MOD, fd, tag, what)
}

// Remove implements Poller.
func (e *epoll) Remove(fd int) error { return e.control(syscall.EPOLL_CTL_DEL, fd, 0, 0) }

// Read implements Poller.
func (*epoll) Read(fd int, p []byte) (int, error) {
	n, errno := read(uintptr(fd), p)
	switch {
	case errno == syscall.EAGAIN:
		return 0, ErrWouldBlock
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements Poller.
func (*epoll) Write(fd int, p []byte) (int, error) { return write(uintptr(fd), p) }

// CloseWrite implements Poller.
func (*epoll) CloseWrite(fd int) error {
	return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR))
}

// Cut implements Poller.
func (*epoll) Cut(fd int) error {
	return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_RDWR))
}

// CloseFD implements Poller.
func (*epoll) CloseFD(fd int) error { return os.NewSyscallError("close", syscall.Close(fd)) }

// Addrs implements Poller.
func (*epoll) Addrs(fd int) (local, peer netip.AddrPort) {
	if sa, err := syscall.Getsockname(fd); err == nil {
		local = addrPort(sa)
	}
	if sa, err := syscall.Getpeername(fd); err == nil {
		peer = addrPort(sa)
	}
	return local, peer
}

// addrPort converts an address of IPv4, IPv4 in IPv6, or IPv6.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(sa.ZoneId), 10))
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// Close implements Poller.
func (e *epoll) Close() error { return e.file.Close() }

// Detach takes the descriptor of a plain TCP connection out of Go's hands: the
// caller owns what it returns, and c is closed without the peer noticing.
func Detach(c net.Conn) (fd int, err error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return -1, ErrUnsupported
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(n)
	})
	switch {
	case err != nil:
		return -1, err
	case errno != 0:
		return -1, os.NewSyscallError("fcntl", errno)
	}
	_ = c.Close() // only the descriptor: the connection lives on in its copy
	return fd, nil
}

// Attach is the way back: it makes a net.Conn of a descriptor, which it owns
// from then on, also when it fails.
func Attach(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "tcp")
	defer file.Close() // net.FileConn works on a copy
	return net.FileConn(file)
}

// Listener accepts connections as descriptors. Go's own listener does not let
// others wait for it, so this is a second descriptor of the same socket.
type Listener struct {
	inner  syscall.RawConn
	file   *os.File
	raw    syscall.RawConn
	accept func(fd uintptr) bool // tryAccept, made once

	// Owned by Accept.
	fd      int
	from    syscall.Sockaddr
	err     error
	inherit bool // no connection is left that is older than the listener's options
}

// setOptions does for a listener and its connections, which inherit it, what Go
// does for each: what is sent leaves at once, and peers that vanish are found.
// A failure leaves the connection usable.
func setOptions(fd int) {
	for _, o := range [...]struct{ level, name, value int }{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
	} {
		_ = syscall.SetsockoptInt(fd, o.level, o.name, o.value)
	}
}

// listenerCheck is how often a Listener looks whether the other one was closed.
const listenerCheck = time.Second

// NewListener returns a Listener on a plain TCP listener, or ErrUnsupported.
func NewListener(l net.Listener) (*Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, ErrUnsupported
	}
	inner, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Now().Add(listenerCheck))
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	if err := inner.Control(func(fd uintptr) { setOptions(int(fd)) }); err != nil {
		_ = file.Close()
		return nil, err
	}
	listener := &Listener{inner: inner, file: file, raw: raw}
	listener.accept = listener.tryAccept
	return listener, nil
}

// Accept waits for the next connection. It belongs to one goroutine. It fails once
// the listener that this one was made of is closed, which it finds out within a
// second unless Close is called.
func (l *Listener) Accept() (fd int, peer netip.AddrPort, err error) {
	for {
		err := l.raw.Read(l.accept)
		if closed := l.inner.Control(func(uintptr) {}); closed != nil {
			if err == nil && l.err == nil {
				_ = syscall.Close(l.fd)
			}
			return -1, peer, closed
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = l.file.SetReadDeadline(time.Now().Add(listenerCheck))
		case err == nil && l.err == nil:
			if !l.inherit {
				setOptions(l.fd)
			}
			return l.fd, addrPort(l.from), nil
		case err == nil:
			err = os.NewSyscallError("accept4", l.err)
		}
		if err != nil {
			return -1, peer, err
		}
	}
}

// Close gives the Listener up; the one that it was made of is not closed.
func (l *Listener) Close() error { return l.file.Close() }

func (l *Listener) tryAccept(fd uintptr) bool {
	for {
		l.fd, l.from, l.err = syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch l.err {
		case syscall.EAGAIN:
			l.inherit = true
			return false
		case syscall.EINTR, syscall.ECONNABORTED:
		default:
			return true
		}
	}
}
