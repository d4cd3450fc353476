package scaletest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// peer is a client that does what it is told, on a socket that it can maltreat.
// It has no goroutine and little memory, so that thousands fit a process.
type peer struct {
	nc      net.Conn
	in      *bufio.Reader
	payload []byte // of the last frame, if it was short
}

// peerBuffer is small because thousands of peers have one.
const peerBuffer = 2 << 10

const upgradeKey = "dGhlIHNhbXBsZSBub25jZQ=="

// upgrade is a handshake's request.
var upgrade = "GET " + socketPath + " HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + upgradeKey + "\r\n\r\n"

// connect opens a TCP connection, with TLS if the server speaks it.
func connect(addr string, secure bool) (*peer, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	if secure {
		_, config := certificate()
		nc = tls.Client(nc, config)
	}
	p := &peer{nc: nc, in: bufio.NewReaderSize(nc, peerBuffer)}
	p.waitFor(patience)
	return p, nil
}

// waitFor sets when reads and writes give up.
func (p *peer) waitFor(d time.Duration) { _ = p.nc.SetDeadline(time.Now().Add(d)) }

// dialPeer opens a WebSocket.
func dialPeer(addr string, secure bool) (*peer, error) {
	p, err := connect(addr, secure)
	if err != nil {
		return nil, err
	}
	if err := p.send(upgrade); err != nil {
		p.reset()
		return nil, err
	}
	if err := p.upgraded(); err != nil {
		p.reset()
		return nil, err
	}
	return p, nil
}

func (s *process) dial() *peer {
	s.t.Helper()
	p, err := dialPeer(s.addr, s.tls)
	s.must(err)
	return p
}

// upgraded reads the answer to upgrade.
func (p *peer) upgraded() error {
	r, err := http.ReadResponse(p.in, nil)
	switch {
	case err != nil:
		return fmt.Errorf("no answer to the handshake: %w", err)
	case r.StatusCode != http.StatusSwitchingProtocols:
		body, _ := io.ReadAll(io.LimitReader(r.Body, 512))
		return fmt.Errorf("the handshake was answered with %s: %s", r.Status, body)
	case r.Header.Get("Sec-WebSocket-Accept") != protocol.AcceptKey(upgradeKey):
		return fmt.Errorf("the handshake was answered with %v", r.Header)
	}
	return nil
}

// response reads the answer to an ordinary request, with its body.
func (p *peer) response() (*http.Response, string, error) {
	r, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(r.Body)
	return r, string(body), err
}

func (p *peer) send(raw string) error {
	_, err := io.WriteString(p.nc, raw)
	return err
}

// frame is a client's frame. payload is not changed.
func frame(op protocol.Opcode, payload []byte) []byte {
	h := protocol.FrameHeader{Fin: true, Opcode: op, Masked: true, Key: [4]byte{0x37, 0xfa, 0x21, 0x3d}, Length: int64(len(payload))}
	b := protocol.AppendHeader(make([]byte, 0, len(payload)+protocol.MaxHeaderLength), h)
	start := len(b)
	b = append(b, payload...)
	protocol.Mask(b[start:], h.Key, 0)
	return b
}

// closing is the payload of a close frame.
func closing(code protocol.StatusCode) []byte { return []byte{byte(code >> 8), byte(code)} }

// write sends a message.
func (p *peer) write(payload []byte) error {
	_, err := p.nc.Write(frame(protocol.OpBinary, payload))
	return err
}

// read returns the next frame, whose payload is valid until the next call. The
// server's frames are never masked, and without compression never in parts.
func (p *peer) read() (protocol.Opcode, []byte, error) {
	var h protocol.FrameHeader
	for n, used := 2, 0; used == 0; n++ {
		head, err := p.in.Peek(n)
		if err != nil {
			return 0, nil, err
		}
		var wrong *protocol.Error
		if h, used, wrong = protocol.ParseHeader(head); wrong != nil {
			return 0, nil, wrong
		}
		if used > 0 {
			_, _ = p.in.Discard(used) // which was peeked at
		}
	}
	if h.Masked || h.Rsv != 0 || !h.Fin {
		return 0, nil, fmt.Errorf("not a frame of this server: %+v", h)
	}
	if h.Length > peerBuffer {
		payload := make([]byte, h.Length)
		_, err := io.ReadFull(p.in, payload)
		return h.Opcode, payload, err
	}
	if int64(cap(p.payload)) < h.Length {
		p.payload = make([]byte, h.Length)
	}
	p.payload = p.payload[:h.Length]
	_, err := io.ReadFull(p.in, p.payload)
	return h.Opcode, p.payload, err
}

// message returns the next message. It answers no ping, because no test is as
// long as the server is patient.
func (p *peer) message() ([]byte, error) {
	for {
		op, payload, err := p.read()
		switch {
		case err != nil:
			return nil, err
		case op == protocol.OpBinary:
			return payload, nil
		case op != protocol.OpPing:
			return nil, fmt.Errorf("a frame %v %x instead of a message", op, payload)
		}
	}
}

// expect reads a message that must be this one.
func (p *peer) expect(want []byte) error {
	got, err := p.message()
	if err != nil {
		return fmt.Errorf("instead of a message of %d bytes: %w", len(want), err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes %.20x instead of %d bytes %.20x", len(got), got, len(want), want)
	}
	return nil
}

// echo sends a message and reads its echo.
func (p *peer) echo(payload []byte) error {
	if err := p.write(payload); err != nil {
		return err
	}
	return p.expect(payload)
}

// numberedEcho is a short message for echo that differs from others.
func numberedEcho(i int) []byte { return fmt.Appendf(nil, "%c message %d", doEcho, i) }

// end closes TCP without a word.
func (p *peer) end() { _ = p.nc.Close() }

// reset ends TCP with a reset, as a machine that restarts does. It leaves no
// port in TIME_WAIT.
func (p *peer) reset() {
	nc := p.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.(*net.TCPConn).SetLinger(0)
	_ = nc.Close()
}

// leave does the closing handshake and returns the server's close frame.
func (p *peer) leave(code protocol.StatusCode) ([]byte, error) {
	defer p.end()
	if _, err := p.nc.Write(frame(protocol.OpClose, closing(code))); err != nil {
		return nil, err
	}
	return p.left()
}

// left reads until the server's close frame, and then the end.
func (p *peer) left() ([]byte, error) {
	for {
		op, payload, err := p.read()
		if err != nil {
			return nil, fmt.Errorf("instead of a close frame: %w", err)
		}
		if op != protocol.OpClose {
			continue
		}
		return payload, p.ended()
	}
}

// ended makes sure that the server ends TCP, and sends nothing before.
func (p *peer) ended() error {
	b, err := p.in.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("byte %#x where TCP should end", b)
	case errors.Is(err, io.EOF), isReset(err):
		return nil
	}
	return fmt.Errorf("TCP did not end: %w", err)
}

// isReset reports whether err says that the other side ended TCP the hard way.
func isReset(err error) bool {
	return err != nil && !isTimeout(err) &&
		(strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe") || strings.Contains(err.Error(), "abort"))
}

func isTimeout(err error) bool {
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// clients is how many clients act at the same time.
const clients = 32

// inParallel calls f for 0 to n-1, several at a time, and returns the first
// error.
func inParallel(n int, f func(i int) error) error {
	var next, failed atomic.Int64
	var first error
	var once sync.Once
	var all sync.WaitGroup
	for range min(clients, n) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == 0; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					failed.Add(1)
					once.Do(func() { first = fmt.Errorf("client %d: %w", i, err) })
				}
			}
		})
	}
	all.Wait()
	return first
}
