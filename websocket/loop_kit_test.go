package websocket

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"testing"
	"time"
	"unique"

	"github.com/duplex-websocket/duplex/internal/loop"
	"github.com/duplex-websocket/duplex/internal/loop/looptest"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A rig is a whole Server over event loops on a network in memory, in a bubble of
// testing/synctest.
type rig struct {
	t      testing.TB
	net    *looptest.Net
	group  *loop.Group
	server *Server
	front  *front
}

// addrListener is a listener of which only the address is asked.
type addrListener struct {
	net.Listener
	addr netip.AddrPort
}

func (l addrListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// newRig returns a rig, which at the end of the test has nothing left that the
// bubble would miss.
func newRig(t testing.TB, choose looptest.Choice, loops int, h Handler, o AcceptOptions) *rig {
	t.Helper()
	n := looptest.New(choose)
	var pollers []loop.Poller
	for range loops {
		pollers = append(pollers, n.Poller())
	}
	r := &rig{t: t, net: n, group: loop.NewGroup(pollers...), server: &Server{Handler: h, Accept: o}}
	r.server.Accept.clock = newWheel()
	if err := r.server.prepare(); err != nil {
		t.Fatal(err)
	}
	r.server.findLoops.Do(func() { r.server.loops = r.group })
	l := addrListener{addr: netip.MustParseAddrPort("192.0.2.1:443")}
	base := &http.Request{Method: http.MethodGet, Body: http.NoBody}
	r.front = &front{
		server: r.server, loops: r.group, inner: l,
		local:    unique.Make(l.addr),
		base:     base.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, l.Addr())),
		forHTTP:  make(chan net.Conn, httpBacklog),
		stopped:  make(chan struct{}),
		greeting: make(map[*Conn]struct{}),
	}
	t.Cleanup(func() {
		time.Sleep(time.Minute) // until the last deadlines have passed
		for _, p := range pollers {
			_ = p.Close()
		}
		time.Sleep(time.Minute) // until the watch and the wheel have ended
		if faults := n.Faults(); len(faults) > 0 {
			t.Error(faults)
		}
	})
	return r
}

// greet connects a client to the server's own listener.
func (r *rig) greet() *looptest.Peer {
	fd, peer := r.net.Connect()
	r.front.greet(fd, addrPortOf(peer.LocalAddr()))
	return peer
}

// response stands for the answer to a handshake that somebody else did.
const response = "HTTP/1.1 101 Switching Protocols\r\n\r\n"

// adopt connects a client whose handshake an HTTP server did, of which buffered is
// left.
func (r *rig) adopt(e established, buffered []byte) (*Conn, *looptest.Peer) {
	fd, peer := r.net.Connect()
	c := newConn(e, r.server.sink, r.server.config)
	c.sit(r.group, fd, unique.Make(addrPortOf(peer.RemoteAddr())), addrPortOf(peer.LocalAddr()))
	go c.seat.Work(func() { c.surviveExit(func() { r.server.welcome(c, []byte(response), buffered) }) })
	return c, peer
}

// seatedInBubble is a connection with a seat, on a fake clock, whose peer has read
// the response.
func seatedInBubble(t *testing.T, h Handler, o Options) (*rig, *Conn, *looptest.Peer) {
	t.Helper()
	r := newRig(t, looptest.Plain, 1, h, AcceptOptions{Options: o})
	c, peer := r.adopt(end(t, nil, protocol.Server, r.server.acceptor.options), nil)
	t.Cleanup(func() { _ = c.CloseNow() })
	if _, err := io.ReadFull(peer, make([]byte, len(response))); err != nil {
		t.Fatal(err)
	}
	return r, c, peer
}

// wantNothingLeft checks that the connections have given everything back.
func (r *rig) wantNothingLeft(conns ...*Conn) {
	r.t.Helper()
	if open := r.net.Open(); len(open) > 0 {
		r.t.Errorf("descriptors left open: %v", open)
	}
	if n := r.server.Len(); n > 0 {
		r.t.Errorf("%d connections left in the registry", n)
	}
	if n := len(r.front.greeting); n > 0 {
		r.t.Errorf("%d connections left in their greeting", n)
	}
	if n := r.server.acceptor.options.clock.conns; n > 0 {
		r.t.Errorf("%d connections left in the wheel", n)
	}
	for _, c := range conns {
		if c.out != nil || c.ahead != nil || c.details != nil && (c.details.aside != nil || c.details.head != nil) {
			r.t.Error("a connection that is over keeps its outbox")
		}
		receiver := reflect.ValueOf(&c.receiver).Elem()
		for _, name := range []string{"held", "lent", "control", "inflater"} {
			if !receiver.FieldByName(name).IsNil() {
				r.t.Errorf("a connection that is over keeps its receiver's %s", name)
			}
		}
	}
}

// quietLogger is for what is meant to go wrong.
var quietLogger = slog.New(slog.DiscardHandler)
