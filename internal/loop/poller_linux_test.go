package loop_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

func TestPoller(t *testing.T) {
	testPoller(t, func(t *testing.T) network {
		poller, err := loop.NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		l := listen(t, "127.0.0.1:0")
		return network{
			poller:  poller,
			connect: func() (int, net.Conn) { return detached(t, l) },
			reset:   func(peer net.Conn) { resetTCP(t, peer) },
		}
	})
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// connected returns both ends of a connection.
func connected(t *testing.T, l net.Listener) (server, client net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// detached returns a descriptor and its peer.
func detached(t *testing.T, l net.Listener) (fd int, client net.Conn) {
	t.Helper()
	server, client := connected(t, l)
	fd, err := loop.Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	return fd, client
}

func resetTCP(t *testing.T, c net.Conn) {
	t.Helper()
	if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil {
		t.Error(err)
	}
}

func TestAddrs(t *testing.T) {
	poller, err := loop.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} { // the last gives IPv4 in IPv6
		l := listen(t, addr)
		at := l.Addr().(*net.TCPAddr)
		if addr == ":0" {
			at = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.Port}
		}
		client, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := loop.Detach(server)
		if err != nil {
			t.Fatal(err)
		}
		local, peer := poller.Addrs(fd)
		if local != netip.MustParseAddrPort(at.String()) || peer.String() != client.LocalAddr().String() {
			t.Errorf("%s: %v, %v", addr, local, peer)
		}
		_ = poller.CloseFD(fd)
	}
	if local, peer := poller.Addrs(-1); local.IsValid() || peer.IsValid() {
		t.Error("of no descriptor:", local, peer)
	}
}

// Taking a connection out of Go's hands and giving it back goes unnoticed: what
// was sent before, between and after arrives, in both directions.
func TestDetachAttach(t *testing.T) {
	poller, err := loop.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	server, client := connected(t, listen(t, "127.0.0.1:0"))
	say(t, client, "before ")
	say(t, server, "1 ")
	fd, err := loop.Detach(server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error("Write on a detached connection:", err)
	}
	if n, err := poller.Write(fd, []byte("2 ")); n != 2 || err != nil {
		t.Error(n, err)
	}
	say(t, client, "between ")
	back, err := loop.Attach(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.SetDeadline(time.Now().Add(patience)); err != nil { // Go's poller watches it again
		t.Error(err)
	}
	say(t, back, "3")
	say(t, client, "after")
	if err := closeWrite(client); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(back); string(all) != "before between after" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	if err := back.Close(); err != nil {
		t.Error(err)
	}
	if all, err := io.ReadAll(client); string(all) != "1 2 3" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	if err := syscall.Fstat(fd, new(syscall.Stat_t)); !errors.Is(err, syscall.EBADF) {
		t.Error("Attach left its descriptor open:", err)
	}
}

func TestDetachOthers(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	if _, err := loop.Detach(a); !errors.Is(err, loop.ErrUnsupported) {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error("it was not left alone:", err)
	}
	server, _ := connected(t, listen(t, "127.0.0.1:0"))
	_ = server.Close()
	if _, err := loop.Detach(server); !errors.Is(err, net.ErrClosed) {
		t.Error("of a closed connection:", err)
	}
	if c, err := loop.Attach(1 << 20); err == nil {
		t.Error("of no descriptor:", c)
	}
}

func TestListener(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	accept, err := loop.NewListener(l)
	if err != nil {
		t.Fatal(err)
	}
	defer accept.Close()
	for range 3 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		fd, peer, err := accept.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if peer.String() != client.LocalAddr().String() {
			t.Error("the peer is", peer)
		}
		if on, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY); on == 0 || err != nil {
			t.Error("TCP_NODELAY:", on, err)
		}
		if _, err := syscall.Read(fd, make([]byte, 1)); !errors.Is(err, syscall.EAGAIN) {
			t.Error("it blocks:", err)
		}
		_ = syscall.Close(fd)
	}
	// Closing this one leaves the other one alone.
	failed := make(chan error)
	go func() {
		_, _, err := accept.Accept()
		failed <- err
	}()
	if err := accept.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("Accept works after Close")
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if server, err := l.Accept(); err != nil {
		t.Error(err)
	} else {
		_ = server.Close()
	}
}

// Closing the listener that it was made of ends Accept too.
func TestListenerEndsWithTheOther(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	accept, err := loop.NewListener(l)
	if err != nil {
		t.Fatal(err)
	}
	defer accept.Close()
	failed := make(chan error, 1)
	go func() {
		_, _, err := accept.Accept()
		failed <- err
	}()
	_ = l.Close()
	select {
	case err := <-failed:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Accept goes on")
	}
	if _, err := loop.NewListener(l); err == nil {
		t.Error("a Listener of a closed one")
	}
}

// Without descriptors Accept fails, and works again when there are some.
func TestListenerWithoutDescriptors(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	accept, err := loop.NewListener(l)
	if err != nil {
		t.Fatal(err)
	}
	defer accept.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := syscall.Rlimit{Cur: 3, Max: limit.Max} // those that are open stay so
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, _, failed := accept.Accept()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed, syscall.EMFILE) {
		t.Error(failed)
	}
	fd, _, err := accept.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(fd)
}

func TestListenerOfOthers(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := loop.NewListener(l); !errors.Is(err, loop.ErrUnsupported) {
		t.Error(err)
	}
}
