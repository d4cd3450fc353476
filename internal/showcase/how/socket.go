package how

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase/wire"
	"github.com/duplex-websocket/duplex/websocket"
)

const (
	maxConnections = 256 // of each kind, on one node; from one address at most maxFromOne
	maxLifetime    = 15 * time.Minute
	pingInterval   = 20 * time.Second
	messageRate    = 50 // a second
	messageBurst   = 100
	maxNumber      = 1_000_000
)

// demonstration serves the WebSocket that is looked at: with compression, or without.
type demonstration struct {
	app           *how
	plain, packed *websocket.Server
}

// tapKey is where a handshake has its tap, and a connection its visitor.
type tapKey struct{}

func (h *how) newDemonstration() *demonstration {
	d := &demonstration{app: h}
	d.plain, d.packed = d.newServer(websocket.CompressionOff), d.newServer(websocket.CompressionTakeover)
	return d
}

func (d *demonstration) newServer(mode websocket.CompressionMode) *websocket.Server {
	accept := d.app.env.Accept
	accept.Compression = websocket.Compression{Mode: mode, Level: 6, Threshold: -1}
	accept.MaxMessage, accept.MaxLifetime, accept.PingInterval = mostBytes, maxLifetime, pingInterval
	accept.Interceptors = append(accept.Interceptors[:len(accept.Interceptors):len(accept.Interceptors)], d.admit)
	return &websocket.Server{Accept: accept, Handler: &websocket.HandlerFuncs{OnMessage: d.message}}
}

// ServeHTTP implements http.Handler. The parameter tap is the ID under which the page watches, connection its number for the connection, and
// compression=on agrees to what the browser offers.
func (d *demonstration) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var reports *reporter
	if id := query.Get("tap"); d.app.isWatched(r.Context(), id) {
		number, _ := strconv.Atoi(query.Get("connection"))
		reports = d.app.newReporter(id, min(max(number, 0), maxNumber))
	}
	t := newTap(r, reports)
	r = r.WithContext(context.WithValue(r.Context(), tapKey{}, t))
	server := d.plain
	if query.Get("compression") == "on" {
		server = d.packed
	}
	server.ServeHTTP(&hijacking{w, t.attach}, r)
	if t.Conn == nil { // the handshake was refused
		t.finish()
	}
}

// admit bounds the connections, and ties each to its tap.
func (d *demonstration) admit(u *websocket.Upgrade) error {
	address := clientOf(u.Request)
	if d.Len() >= maxConnections || d.from(address) >= maxFromOne {
		return errBusy()
	}
	t, ok := u.Request.Context().Value(tapKey{}).(*tap)
	if !ok {
		return errors.New("how: a handshake without its tap")
	}
	u.SetAttribute(tapKey{}, &visitor{tap: t, address: address, messages: allowance{rate: messageRate, burst: messageBurst}})
	return nil
}

// from counts the connections from an address.
func (d *demonstration) from(address string) (n int) {
	count := func(c *websocket.Conn) bool {
		if v, ok := c.Attribute(tapKey{}).(*visitor); ok && v.address == address {
			n++
		}
		return true
	}
	d.plain.Range(count)
	d.packed.Range(count)
	return n
}

func errBusy() error {
	return &websocket.HandshakeError{
		Status: http.StatusServiceUnavailable, Reason: "very many look at WebSocket at the moment; try again in a minute",
		Header: http.Header{"Retry-After": {"60"}},
	}
}

// visitor is the server's end of a demonstration.
type visitor struct {
	tap      *tap
	address  string
	messages allowance
}

// message does what a text that begins with "/" says, and echoes all others.
func (d *demonstration) message(c *websocket.Conn, typ websocket.MessageType, p []byte) {
	v, ok := c.Attribute(tapKey{}).(*visitor)
	if !ok || c.Err() != nil {
		return
	}
	if !v.messages.take(time.Now()) {
		_ = c.Close(context.Background(), websocket.StatusPolicyViolation, "that is too fast: 50 messages a second")
		return
	}
	if typ == websocket.Text && len(p) > 0 && p[0] == '/' {
		v.obey(c, string(p))
		return
	}
	_ = c.Write(context.Background(), typ, p) // an error means that the connection is over
}

// Len returns how many connections there are.
func (d *demonstration) Len() int { return d.plain.Len() + d.packed.Len() }

// Shutdown closes them. The other transports of the race, which http.Server would wait for, end as well.
func (d *demonstration) Shutdown(ctx context.Context) error {
	d.app.end.Do(func() { close(d.app.ending) })
	failed := make(chan error, 1)
	go func() { failed <- d.plain.Shutdown(ctx) }()
	return cmp.Or(d.packed.Shutdown(ctx), <-failed)
}

// metered counts what passes over a connection that was taken over.
type metered struct {
	net.Conn
	meter *wire.Meter
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.meter.In.Add(int64(n))
	return n, err
}

func (m *metered) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.meter.Out.Add(int64(n))
	return n, err
}

// CloseWrite passes the end of the output on.
func (m *metered) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
