package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// dialer opens connections. It may be used from many goroutines once it has
// opened one.
type dialer struct {
	net     net.Dialer
	address string
	settled netip.AddrPort // of the first connection, so that names are looked up once

	before, behind []byte // the request but for its key
	tls            *tls.Config
	host           string
	path           string
	header         http.Header
	terms          protocol.Terms
	timeout        time.Duration
}

// opened is a connection whose handshake is done.
type opened struct {
	connection
	agreement protocol.Agreement
	rest      []byte // what came behind the answer
	took      time.Duration
}

func newDialer(c *Config) (*dialer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err // without the URL, which may hold a password
		}
		return nil, &ConfigError{fmt.Sprintf("the URL is invalid: %s", err)}
	}
	secure := strings.EqualFold(u.Scheme, "wss") || strings.EqualFold(u.Scheme, "https")
	if !secure && !strings.EqualFold(u.Scheme, "ws") && !strings.EqualFold(u.Scheme, "http") || u.Hostname() == "" {
		return nil, &ConfigError{"the URL must look like ws://HOST:PORT/PATH or wss://HOST:PORT/PATH"}
	}
	d := &dialer{
		// Keep-alive costs system calls for each connection and says nothing in a run.
		net:  net.Dialer{Timeout: c.Timeout, KeepAlive: -1, KeepAliveConfig: net.KeepAliveConfig{Enable: false}},
		host: u.Host, path: u.RequestURI(), header: c.Header.Clone(), timeout: c.Timeout,
		terms: protocol.Terms{Subprotocols: c.Subprotocols, Deflate: deflateOptions(c.Compression)},
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[secure]
	}
	d.address = net.JoinHostPort(u.Hostname(), port)
	if secure {
		d.tls = &tls.Config{}
		if c.TLS != nil {
			d.tls = c.TLS.Clone()
		}
		if d.tls.ServerName == "" {
			d.tls.ServerName = u.Hostname()
		}
		d.tls.NextProtos = []string{"http/1.1"}
	}
	if d.header == nil {
		d.header = http.Header{}
	}
	if d.header.Get("User-Agent") == "" {
		d.header.Set("User-Agent", "duplex-bench")
	}
	if host := d.header.Get("Host"); host != "" {
		d.host = host
		d.header.Del("Host")
	}
	if u.User != nil && d.header.Get("Authorization") == "" {
		r := http.Request{Header: d.header}
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
	}
	key := protocol.NewKey()
	request, err := d.request(key)
	if err != nil {
		return nil, &ConfigError{err.Error()}
	}
	d.before, d.behind, _ = bytes.Cut(request, []byte(key))
	return d, nil
}

func deflateOptions(mode websocket.CompressionMode) *deflate.Options {
	if mode == websocket.CompressionOff {
		return nil
	}
	return &deflate.Options{
		ServerNoContextTakeover: mode == websocket.CompressionNoTakeover,
		ClientNoContextTakeover: mode == websocket.CompressionNoTakeover,
		Budget:                  deflate.NewBudget(1 << 40), // few connections inflate
	}
}

func (d *dialer) request(key string) ([]byte, error) {
	h := protocol.Header(d.header.Clone())
	for name, values := range d.terms.RequestHeader(key) {
		h[name] = values
	}
	return protocol.AppendRequest(nil, d.path, d.host, h)
}

// open connects and upgrades.
func (d *dialer) open(ctx context.Context) (*opened, error) {
	a, err := d.ask(ctx)
	if err != nil {
		return nil, err
	}
	return d.answer(ctx, a)
}

// openMany opens n connections: it sends all requests before it waits for the
// first answer, so that little is spent on waiting.
func (d *dialer) openMany(ctx context.Context, n int, done func(*opened, error)) {
	asked := make([]*asked, 0, n)
	for range n {
		a, err := d.ask(ctx)
		if err != nil {
			done(nil, err)
			continue
		}
		asked = append(asked, a)
	}
	for _, a := range asked {
		done(d.answer(ctx, a))
	}
}

// batches divides n handshakes at a time over workers that openMany; TLS has
// too much to wait for.
func (d *dialer) batches(n int) (workers, batch int) {
	if d.tls != nil {
		return n, 1
	}
	workers = min(n, 4)
	return workers, (n + workers - 1) / workers
}

// asked is a connection whose upgrade request was sent.
type asked struct {
	connection
	key   string
	began time.Time
	stop  func() bool
}

// ask connects and sends the upgrade request. The connection is one that a close
// resets, which leaves nothing behind: a run opens more of them than there are
// ports.
func (d *dialer) ask(ctx context.Context) (*asked, error) {
	began := time.Now()
	raw, err := d.connect(ctx)
	if err != nil {
		return nil, &failure{Unreachable, err}
	}
	_ = raw.SetLinger(0)
	_ = raw.SetDeadline(began.Add(d.timeout))
	a := &asked{connection: connection{raw, raw}, key: protocol.NewKey(), began: began}
	a.stop = context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	if d.tls != nil {
		secured := tls.Client(raw, d.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			a.abandon()
			return nil, &failure{Unreachable, fmt.Errorf("TLS: %w", err)}
		}
		a.conn = secured
	}
	request := append(append(append(make([]byte, 0, 1024), d.before...), a.key...), d.behind...)
	if _, err := a.conn.Write(request); err != nil {
		a.abandon()
		return nil, &failure{Unreachable, err}
	}
	return a, nil
}

func (d *dialer) connect(ctx context.Context) (*net.TCPConn, error) {
	if d.settled.IsValid() {
		return d.net.DialTCP(ctx, "tcp", netip.AddrPort{}, d.settled)
	}
	conn, err := d.net.DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	d.settled = tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	return tcp, nil
}

func (a *asked) abandon() {
	a.stop()
	_ = a.raw.Close()
}

// answer waits for the answer to ask.
func (d *dialer) answer(ctx context.Context, a *asked) (*opened, error) {
	agreement, rest, err := d.check(a)
	if !a.stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = a.raw.Close()
		return nil, err
	}
	_ = a.raw.SetDeadline(time.Time{})
	return &opened{connection: a.connection, agreement: agreement, rest: rest, took: time.Since(a.began)}, nil
}

func (d *dialer) check(a *asked) (protocol.Agreement, []byte, error) {
	response, rest, err := readResponse(a.conn)
	if err != nil {
		return protocol.Agreement{}, nil, err
	}
	if response.Status != http.StatusSwitchingProtocols {
		return protocol.Agreement{}, nil, refusal(a.conn, &response, rest)
	}
	refused := websocket.HandshakeError{Status: response.Status, Header: http.Header(response.Header)}
	agreement, err := d.terms.Check(&response, a.key)
	if err != nil {
		refused.Reason, refused.Err = err.Error(), err
		return agreement, nil, &refused
	}
	if d.terms.Deflate != nil && agreement.Deflate == nil {
		refused.Reason = "the server does not compress: it left permessage-deflate out of its answer"
		return agreement, nil, &refused
	}
	return agreement, rest, nil
}

// readResponse reads one answer, and what came behind it.
func readResponse(conn net.Conn) (protocol.Response, []byte, error) {
	buf := make([]byte, 0, 1024)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		response, used, wrong := protocol.ParseResponse(buf, protocol.Limits{})
		switch {
		case wrong != nil:
			return response, nil, &websocket.HandshakeError{Reason: "the server's answer is not HTTP as it should be: " + wrong.Error(), Err: wrong}
		case used > 0 && (response.Status == http.StatusSwitchingProtocols || response.Status >= 200):
			return response, buf[used:], nil
		case used > 0: // an answer before the answer (1xx)
			buf = append(make([]byte, 0, 1024), buf[used:]...)
			continue
		case err != nil && len(buf) == 0:
			return response, nil, &failure{Unreachable, fmt.Errorf("no answer to the handshake: %w", err)}
		case err != nil:
			return response, nil, &failure{Unreachable, fmt.Errorf("the answer to the handshake broke off: %w", err)}
		case len(buf) == cap(buf): // ParseResponse bounds how far this goes
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
	}
}

const (
	refusalBody = 1024
	refusalWait = 300 * time.Millisecond
)

// refusal is the error of an answer other than 101, with the beginning of what
// it says.
func refusal(conn net.Conn, response *protocol.Response, rest []byte) error {
	length := response.Header.Get("Content-Length")
	_ = conn.SetReadDeadline(time.Now().Add(refusalWait))
	for body := make([]byte, refusalBody); length != "0" && len(rest) < refusalBody && fmt.Sprint(len(rest)) != length; {
		n, err := conn.Read(body)
		if rest = append(rest, body[:n]...); err != nil {
			break
		}
	}
	return &websocket.HandshakeError{
		Status: response.Status, Header: http.Header(response.Header), Body: rest[:min(len(rest), refusalBody)],
		Reason: fmt.Sprintf("the server answered %d %s, not 101", response.Status, http.StatusText(response.Status)),
	}
}
