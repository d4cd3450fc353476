package websocket

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A wire makes the two ends of a transport.
type wire struct {
	name string
	make func(t testing.TB) (server, client net.Conn)
	loop bool // a server with a Handler has a seat in an event loop
}

// wires are the transports on which connections must behave the same: raw
// non-blocking I/O, and what goes through net.Conn.
var wires = []wire{{name: "tcp", make: tcpPair}, {name: "tls", make: tlsPair}, {name: "pipe", make: pipePair}}

func pipePair(testing.TB) (server, client net.Conn) { return net.Pipe() }

// onWires runs a test on every transport.
func onWires(t *testing.T, test func(t *testing.T, w wire)) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

// onDrivers runs a test of connections with a Handler on every transport and
// with every driver.
func onDrivers(t *testing.T, test func(t *testing.T, w wire)) {
	onWires(t, test)
	if _, err := loop.Process(); !errors.Is(err, loop.ErrUnsupported) {
		t.Run("loop", func(t *testing.T) { test(t, wire{make: tcpPair, loop: true}) })
	}
}

// drive gives a connection the wire's driver.
func (w wire) drive(t testing.TB, c *Conn, nc net.Conn) *Conn {
	t.Helper()
	if !w.loop {
		c.driver = newPump(c, nc)
		return c
	}
	g, err := loop.Process()
	if err != nil {
		t.Fatal(err)
	}
	local, peer := addrPortOf(nc.LocalAddr()), addrPortOf(nc.RemoteAddr())
	fd, err := loop.Detach(nc)
	if err != nil {
		t.Fatal(err)
	}
	c.sit(g, fd, unique.Make(local), peer)
	return c
}

// begin starts a connection as Server does.
func (c *Conn) begin() {
	c.seat.Work(func() { c.surviveExit(func() { c.start(nil) }) })
}

// handledConn makes a connection that h takes. It has not begun.
func (w wire) handledConn(t testing.TB, nc net.Conn, h Handler, o *Options) *Conn {
	t.Helper()
	e := end(t, nc, protocol.Server, o)
	return w.drive(t, newConn(e, &handlerSink{handler: h}, configFor(e.role, e.options, false)), nc)
}

func tcpPair(t testing.TB) (server, client net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func tlsPair(t testing.TB) (server, client net.Conn) {
	s, c := tcpPair(t)
	serverConfig, clientConfig := selfSigned(t, "localhost")
	clientConfig.ServerName = "localhost"
	ts, tc := tls.Server(s, serverConfig), tls.Client(c, clientConfig)
	done := make(chan error, 1)
	go func() { done <- ts.Handshake() }()
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return ts, tc
}

// end makes an established connection of one end of a wire.
func end(t testing.TB, conn net.Conn, role protocol.Role, o *Options) established {
	t.Helper()
	filled, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	e := established{conn: conn, role: role, options: filled}
	if d := filled.deflateOptions(); d != nil {
		e.agreement.Deflate = &deflate.Params{ServerNoContextTakeover: d.ServerNoContextTakeover, ClientNoContextTakeover: d.ClientNoContextTakeover,
			ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}
	}
	return e
}

// blocking returns two blocking connections, server and client, over w.
func blocking(t testing.TB, w wire, o *Options) (server, client *Conn) {
	t.Helper()
	s, c := w.make(t)
	server, client = startBlocking(end(t, s, protocol.Server, o)), startBlocking(end(t, c, protocol.Client, o))
	cleanup(t, server, client)
	return server, client
}

// handled returns a server connection that h takes and its blocking client.
func handled(t testing.TB, w wire, h Handler, o *Options) (server, client *Conn) {
	t.Helper()
	s, c := w.make(t)
	server = w.handledConn(t, s, h, o)
	client = startBlocking(end(t, c, protocol.Client, o))
	cleanup(t, server, client)
	server.begin()
	return server, client
}

// raw returns a server connection, with h or blocking if that is nil, and the
// other end of its wire.
func raw(t testing.TB, w wire, h Handler, o *Options) (*Conn, net.Conn) {
	t.Helper()
	s, c := w.make(t)
	t.Cleanup(func() { c.Close() })
	if h == nil {
		server := startBlocking(end(t, s, protocol.Server, o))
		cleanup(t, server)
		return server, c
	}
	server := w.handledConn(t, s, h, o)
	cleanup(t, server)
	server.begin()
	return server, c
}

// cleanup ends connections and waits for it, so that none outlives its test.
func cleanup(t testing.TB, conns ...*Conn) {
	t.Cleanup(func() {
		for _, c := range conns {
			c.CloseNow()
			<-c.Done()
		}
	})
}

// frameFrom builds a masked frame with a literal key.
func frameFrom(op protocol.Opcode, payload string) []byte {
	key := [4]byte{1, 2, 3, 4}
	wire := protocol.AppendHeader(nil, protocol.FrameHeader{Fin: true, Opcode: op, Masked: true, Key: key, Length: int64(len(payload))})
	start := len(wire)
	wire = append(wire, payload...)
	protocol.Mask(wire[start:], key, 0)
	return wire
}

// readFrame reads one unmasked frame.
func readFrame(t testing.TB, r io.Reader) (protocol.FrameHeader, []byte) {
	t.Helper()
	var buf []byte
	for {
		h, n, err := protocol.ParseHeader(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			payload := make([]byte, h.Length)
			if _, err := io.ReadFull(r, payload); err != nil {
				t.Fatal(err)
			}
			return h, payload
		}
		var one [1]byte
		if _, err := io.ReadFull(r, one[:]); err != nil {
			t.Fatal("reading a frame:", err)
		}
		buf = append(buf, one[0])
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustRead(t testing.TB, c *Conn) (MessageType, []byte) {
	t.Helper()
	typ, p, err := c.Read(within(t))
	if err != nil {
		t.Fatal("Read:", err)
	}
	return typ, p
}

func mustWrite(t testing.TB, c *Conn, typ MessageType, p []byte) {
	t.Helper()
	if err := c.Write(within(t), typ, p); err != nil {
		t.Fatal("Write:", err)
	}
}

func wantStatus(t testing.TB, err error, code StatusCode) {
	t.Helper()
	if CloseStatus(err) != code || !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v (status %d): want one that closed with %d", err, CloseStatus(err), code)
	}
}

func waitDone(t testing.TB, c *Conn) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-within(t).Done():
		t.Fatal("the connection did not end")
		return nil
	}
}

// logTo returns a logger and what it wrote.
func logTo() (*slog.Logger, *lockedBuffer) {
	b := &lockedBuffer{}
	return slog.New(slog.NewTextHandler(b, nil)), b
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
