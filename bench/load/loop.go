package main

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawRead and rawWrite go to the kernel without telling Go's scheduler, which has nothing else to run: the sockets never block.
func rawRead(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), e
}

func rawWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), e
}

// A loop drives all connections from one goroutine with one edge-triggered epoll descriptor.
type loop struct {
	epoll  int
	conns  []*conn
	buf    []byte
	events []unix.EpollEvent
	tally  tally

	// pending tells of replies that are awaited beyond those to what each connection itself sent; nil: none.
	pending func() bool

	// tick is called after each wait; nil: nothing is.
	tick func() error

	// onMessages is called after each read that completed messages.
	onMessages func(c *conn, n int) error
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &loop{
		epoll:      fd,
		buf:        make([]byte, 256<<10),
		events:     make([]unix.EpollEvent, 1024),
		onMessages: func(*conn, int) error { return nil },
	}, nil
}

// connect opens count connections that all send the same stream and adds them.
func (l *loop) connect(t *target, count int, texts [][]byte, op byte) error {
	streams := map[agreement]*stream{}
	return t.open(count, 64, func(fd int, a agreement, rest []byte) error {
		if streams[a] == nil {
			s, err := newStream(texts, op, a)
			if err != nil {
				return err
			}
			streams[a] = s
		}
		c := &conn{fd: fd, stream: streams[a]}
		if a.deflate {
			c.inflate = &inflater{active: len(l.conns)%64 == 0, takeover: !a.serverNoTakeover}
		}
		if err := l.add(c); err != nil {
			return err
		}
		_, err := c.feed(rest, &l.tally)
		return err
	})
}

func (l *loop) add(c *conn) error {
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return err
	}
	const edge = uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP)
	ev := unix.EpollEvent{Events: edge | 1<<31 /* EPOLLET */, Fd: int32(len(l.conns))}
	l.conns = append(l.conns, c)
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev)
}

// close ends all connections.
func (l *loop) close() {
	for _, c := range l.conns {
		abort(c.fd)
	}
	unix.Close(l.epoll)
}

var errStalled = errors.New("no reply for 10 seconds")

// run works until done says so; it asks after each wait, at least every 20 ms.
func (l *loop) run(done func() bool) error {
	last, seen := time.Now(), l.tally.messages
	for !done() {
		n, err := unix.EpollWait(l.epoll, l.events, 20)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range max(n, 0) {
			c := l.conns[l.events[i].Fd]
			if err := l.serve(c); err != nil {
				return fmt.Errorf("connection %d, %d sent, %d received: %w", l.events[i].Fd, c.sent, c.received, err)
			}
		}
		if l.tick != nil {
			if err := l.tick(); err != nil {
				return err
			}
		}
		if l.tally.messages != seen {
			last, seen = time.Now(), l.tally.messages
		} else if n == 0 && l.outstanding() && time.Since(last) > 10*time.Second {
			return errStalled
		}
	}
	return nil
}

// outstanding tells whether replies are still to come.
func (l *loop) outstanding() bool {
	if l.pending != nil {
		return l.pending()
	}
	for _, c := range l.conns {
		if c.sent > c.received || c.owed > 0 {
			return true
		}
	}
	return false
}

// serve reads what a connection has and sends what it owes.
func (l *loop) serve(c *conn) error {
	for {
		n, errno := rawRead(c.fd, l.buf)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			return fmt.Errorf("read: %w", errno)
		}
		if n == 0 {
			return errors.New("server closed the TCP connection")
		}
		done, err := c.feed(l.buf[:n], &l.tally)
		if err != nil {
			return err
		}
		if done > 0 {
			if err := l.onMessages(c, done); err != nil {
				return err
			}
		}
		if n < len(l.buf) {
			break // drained: a later byte gives a new edge
		}
	}
	return c.send()
}
