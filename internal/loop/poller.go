package loop

import (
	"errors"
	"net/netip"
)

// A Poller watches many descriptors and does their I/O, none of which ever
// waits. Descriptors are non-blocking stream sockets. All methods but Wait may
// be called from any goroutine; Wait by one at a time. NewPoller makes the
// platform's own; tests bring others.
type Poller interface {
	// Wait waits until a watched descriptor is ready or Interrupt was called,
	// and returns how many events it has stored. It parks the goroutine, not its
	// thread. Events are level-triggered: one that is not acted on comes again.
	Wait(events []Event) (int, error)

	// Interrupt ends a Wait that is under way, or else the next one. What is ready
	// then is returned as always.
	Interrupt()

	// Add starts to watch fd, Change changes what for, Remove ends it. Every
	// event of fd carries tag, which tells it from an earlier descriptor of the
	// same number.
	Add(fd int, tag uint32, what Readiness) error
	Change(fd int, tag uint32, what Readiness) error
	Remove(fd int) error

	// Read returns io.EOF at the end of the stream and ErrWouldBlock when there
	// is nothing now.
	Read(fd int, p []byte) (int, error)

	// Write writes what is taken at once: n < len(p) comes with ErrWouldBlock or
	// with the connection's failure.
	Write(fd int, p []byte) (n int, err error)

	// CloseWrite ends the output, Cut both directions; the descriptor stays.
	CloseWrite(fd int) error
	Cut(fd int) error

	// CloseFD closes the descriptor. It must not be watched any more.
	CloseFD(fd int) error

	// Addrs returns the descriptor's own address and its peer's.
	Addrs(fd int) (local, peer netip.AddrPort)

	// Close gives the Poller itself up.
	Close() error
}

// Readiness is a set of things that a descriptor is watched for, or ready for.
type Readiness uint8

// The things. A Poller reports Broken without being asked: the connection was
// reset, or has ended in both directions; reads and writes tell how.
const (
	Readable Readiness = 1 << iota
	Writable
	Broken
)

// Event says that a descriptor is ready.
type Event struct {
	FD    int
	Tag   uint32
	Ready Readiness
}

// ErrWouldBlock says that the kernel has, or takes, no bytes now.
var ErrWouldBlock = errors.New("loop: the socket is not ready")

// ErrUnsupported says that this platform has no Poller, or the connection no
// descriptor that one can watch.
var ErrUnsupported = errors.New("loop: no event loop for this connection on this platform")
