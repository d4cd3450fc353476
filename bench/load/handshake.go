package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An agreement is what the handshake settled about permessage-deflate (RFC 7692 section 7.1).
type agreement struct {
	deflate                            bool
	serverNoTakeover, clientNoTakeover bool
	clientBits                         int // window that this side may use: 8 to 15
}

// What is offered for each value of -compression. The last is what browsers send.
var offers = map[string]string{
	"off":         "",
	"no-takeover": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	"takeover":    "permessage-deflate; client_max_window_bits",
}

// The key is the same for every connection: a server must not care, and its answer is known beforehand.
const key = "dGhlIHNhbXBsZSBub25jZQ=="

var acceptKey = func() string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

// A target is the server under load.
type target struct {
	addr        unix.Sockaddr
	request     []byte
	compression string
}

func newTarget(addr, path, compression string) (*target, error) {
	offer, ok := offers[compression]
	if !ok {
		return nil, fmt.Errorf("compression %q: want off, no-takeover or takeover", compression)
	}
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	if !a.Addr().Is4() || !a.Addr().IsLoopback() {
		return nil, fmt.Errorf("address %s: want an IPv4 loopback address and a port", addr)
	}
	request := "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: 13\r\n"
	if offer != "" {
		request += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	return &target{
		addr:        &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()},
		request:     []byte(request + "\r\n"),
		compression: compression,
	}, nil
}

// ask connects and sends the upgrade request. The socket still blocks, for at most ten seconds at a time.
func (t *target) ask() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	patience := unix.Timeval{Sec: 10}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := connectTCP(fd, t.addr); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	if _, err := unix.Write(fd, t.request); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("send request: %w", err)
	}
	return fd, nil
}

// connectTCP connects. A signal, such as Go's scheduler sends, interrupts the wait on a socket with timeouts, but not the connecting.
func connectTCP(fd int, addr unix.Sockaddr) error {
	err := unix.Connect(fd, addr)
	for err == unix.EINTR {
		if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 10_000); err != nil {
			continue
		}
		status, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || status == 0 {
			return err
		}
		return unix.Errno(status)
	}
	return err
}

// answer reads the response to ask. What came behind it is returned too.
func (t *target) answer(fd int) (a agreement, rest []byte, err error) {
	var buf []byte
	for {
		if head, rest, ok := bytes.Cut(buf, []byte("\r\n\r\n")); ok {
			a, err := t.check(string(head))
			return a, rest, err
		}
		if len(buf) > 32<<10 {
			return a, nil, fmt.Errorf("response head of more than %d bytes", len(buf))
		}
		chunk := make([]byte, 1024)
		n, err := unix.Read(fd, chunk)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return a, nil, fmt.Errorf("read response (%d bytes): %w", n, err)
		}
		buf = append(buf, chunk[:n]...)
	}
}

// check reads the response head: 101, the right Accept, and an extension that was offered.
func (t *target) check(head string) (agreement, error) {
	a := agreement{clientBits: 15}
	lines := strings.Split(head, "\r\n")
	if !strings.HasPrefix(lines[0], "HTTP/1.1 101") {
		return a, fmt.Errorf("refused: %s", lines[0])
	}
	accepted := false
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "sec-websocket-accept":
			accepted = value == acceptKey
		case "sec-websocket-extensions":
			if err := a.parse(value); err != nil {
				return a, err
			}
		}
	}
	if !accepted {
		return a, fmt.Errorf("wrong Sec-WebSocket-Accept")
	}
	if a.deflate != (t.compression != "off") {
		return a, fmt.Errorf("compression is %s but permessage-deflate agreed is %v", t.compression, a.deflate)
	}
	if t.compression == "no-takeover" && !(a.serverNoTakeover && a.clientNoTakeover) {
		return a, fmt.Errorf("no-takeover was asked for and not agreed")
	}
	return a, nil
}

func (a *agreement) parse(value string) error {
	for i, part := range strings.Split(value, ";") {
		name, arg, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case i == 0 && name == "permessage-deflate":
			a.deflate = true
		case name == "server_no_context_takeover":
			a.serverNoTakeover = true
		case name == "client_no_context_takeover":
			a.clientNoTakeover = true
		case name == "server_max_window_bits": // any window up to 15 bits is inflated
		case name == "client_max_window_bits":
			bits, err := strconv.Atoi(strings.Trim(arg, `"`))
			if err != nil || bits < 8 || bits > 15 {
				return fmt.Errorf("client_max_window_bits %q", arg)
			}
			a.clientBits = bits
		default:
			return fmt.Errorf("extension answer %q", value)
		}
	}
	return nil
}

// open makes count connections, some at a time so that the server always has work, and calls done for each.
func (t *target) open(count, batch int, done func(fd int, a agreement, rest []byte) error) error {
	fds := make([]int, 0, batch)
	for made := 0; made < count; made += len(fds) {
		fds = fds[:0]
		for len(fds) < min(batch, count-made) {
			fd, err := t.ask()
			if err != nil {
				return fmt.Errorf("connection %d: %w", made+len(fds), err)
			}
			fds = append(fds, fd)
		}
		for i, fd := range fds {
			a, rest, err := t.answer(fd)
			if err != nil {
				return fmt.Errorf("connection %d: %w", made+i, err)
			}
			if err := done(fd, a, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// abort closes a socket with a reset, which leaves no TIME_WAIT behind: a run opens more connections than there are ports.
func abort(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}
