package loop

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// Socket does raw I/O on a TCP or Unix connection that Go's poller watches.
// Read belongs to one goroutine. TryWrite may run beside Read; its callers
// serialise it, and never call it once they have let the connection be closed.
type Socket struct {
	conn    syscall.RawConn
	buffers Buffers
	attempt func(fd uintptr) bool // read, made once: a closure per call would be garbage per call
	fd      int

	// Owned by Read and ReadInto: where to, nil for a buffer, and attempt's results.
	into []byte
	buf  []byte
	n    int
	err  syscall.Errno
}

// NewSocket returns a Socket for c, or nil when c is not a plain TCP or Unix
// connection.
func NewSocket(c net.Conn, buffers Buffers) *Socket {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &Socket{conn: raw, buffers: buffers}
	if raw.Control(func(fd uintptr) { s.fd = int(fd) }) != nil {
		return nil
	}
	s.attempt = s.read
	return s
}

// Read waits until there are bytes and returns them in a buffer from Buffers,
// which the caller puts back. No buffer is held while it waits. The error is
// io.EOF at the end of the stream; a deadline of the connection interrupts it.
func (s *Socket) Read() ([]byte, error) {
	n, err := s.wait()
	buf := s.buf
	s.buf = nil
	if err != nil && buf != nil {
		s.buffers.Put(buf)
		buf = nil
	}
	return buf[:n], err
}

// ReadInto is Read with a buffer of the caller's, which is held while it waits.
func (s *Socket) ReadInto(p []byte) (int, error) {
	s.into = p
	n, err := s.wait()
	s.into, s.buf = nil, nil
	return n, err
}

// wait makes attempts until one reads something or fails.
func (s *Socket) wait() (int, error) {
	err := s.conn.Read(s.attempt)
	switch {
	case err != nil:
		return 0, err
	case s.err != 0:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// read is one try; false makes Go's poller wait for the next readiness.
func (s *Socket) read(fd uintptr) bool {
	if s.buf = s.into; s.buf == nil {
		s.buf = s.buffers.Get()
	}
	n, errno := read(fd, s.buf)
	if errno == syscall.EAGAIN {
		if s.into == nil {
			s.buffers.Put(s.buf)
		}
		s.buf = nil
		return false
	}
	s.n, s.err = n, errno
	return true
}

// TryWrite writes what the kernel takes at once. n < len(p) comes with
// ErrWouldBlock or with the connection's failure.
func (s *Socket) TryWrite(p []byte) (n int, err error) { return write(uintptr(s.fd), p) }

// read and write go to the kernel without telling Go's scheduler: what never
// waits needs no other thread to take over.
func read(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

func write(fd uintptr, p []byte) (n int, err error) {
	for n < len(p) {
		m, _, errno := syscall.RawSyscall6(sysSendto, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(p[n:]))), uintptr(len(p)-n),
			syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			n += int(m)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return n, ErrWouldBlock
		default:
			return n, os.NewSyscallError("write", errno)
		}
	}
	return n, nil
}
