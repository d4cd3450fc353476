package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// proxyPorts holds the kinds of proxies with their default ports.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// proxyServer is the proxy of one connection.
type proxyServer struct {
	scheme  string
	host    string
	address string
	user    *url.Userinfo
}

// String returns the proxy's URL for messages, without user and password.
func (p *proxyServer) String() string { return p.scheme + "://" + p.address }

// environmentProxy reads the environment at every call, as a long-lived client
// may outlive its first network.
func environmentProxy(r *http.Request) (*url.URL, error) {
	return httpproxy.FromEnvironment().ProxyFunc()(r.URL)
}

// proxyFor returns the proxy for a leg, or nil for none.
func (d *dialer) proxyFor(ctx context.Context, l *leg) (*proxyServer, error) {
	if d.unixSocket != "" {
		return nil, nil
	}
	r := &http.Request{Method: http.MethodGet, URL: l.target.httpURL(), Host: l.target.hostHeader(), Header: l.header.Clone()}
	u, err := d.proxy(r.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("choosing a proxy: %w", err)
	}
	if u == nil {
		return nil, nil
	}
	port, known := proxyPorts[u.Scheme]
	if !known {
		return nil, fmt.Errorf("proxy scheme %q is not one of http, https, socks5, socks5h", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("the proxy's URL has no host")
	}
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return &proxyServer{scheme: u.Scheme, host: host, address: net.JoinHostPort(host, port), user: u.User}, nil
}

// tunnel asks the proxy at the other end of raw for a connection to t.
func (d *dialer) tunnel(ctx context.Context, raw net.Conn, via *proxyServer, t *target) (net.Conn, error) {
	conn, err := raw, error(nil)
	switch via.scheme {
	case "socks5", "socks5h":
		err = askSOCKS5(ctx, raw, via, t)
	case "https":
		secured := tls.Client(raw, d.tlsForProxy(via))
		if err = secured.HandshakeContext(ctx); err == nil {
			conn, err = secured, d.askConnect(secured, via, t)
		}
	default:
		err = d.askConnect(raw, via, t)
	}
	if err == nil {
		return conn, nil
	}
	if refused, ok := errors.AsType[*HandshakeError](err); ok {
		return nil, refused
	}
	return nil, fmt.Errorf("proxy %s: %w", via, err)
}

// tlsForProxy takes over what concerns trust and versions. What was set for the
// server (its name, client certificates, checks of its certificate) is not for
// the proxy.
func (d *dialer) tlsForProxy(via *proxyServer) *tls.Config {
	name, _, _ := strings.Cut(via.host, "%")
	c := &tls.Config{ServerName: name, NextProtos: []string{"http/1.1"}}
	if o := d.tls; o != nil {
		c.RootCAs, c.InsecureSkipVerify = o.RootCAs, o.InsecureSkipVerify
		c.MinVersion, c.MaxVersion, c.CipherSuites = o.MinVersion, o.MaxVersion, o.CipherSuites
		c.Time, c.Rand = o.Time, o.Rand
	}
	return c
}

// askConnect sends CONNECT (RFC 9110, section 9.3.6) and reads the answer.
func (d *dialer) askConnect(conn net.Conn, via *proxyServer, t *target) error {
	authority := net.JoinHostPort(t.serverName(), t.port)
	request := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: " + defaultUserAgent + "\r\n"
	if via.user != nil {
		request += "Proxy-Authorization: " + basicAuthorization(via.user) + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	a, err := readAnswer(conn, protocol.Limits{})
	if err != nil {
		if e, ok := errors.AsType[*HandshakeError](err); ok {
			return fmt.Errorf("its answer to CONNECT: %s", strings.Replace(e.Reason, "the server", "the proxy", 1))
		}
		return err
	}
	if status := a.response.Status; status < 200 || status > 299 {
		return proxyRefusal(conn, a, via, authority)
	}
	if len(a.rest()) > 0 {
		// The server speaks second, so these bytes are not from it; taking
		// them for its answer would let the proxy's noise forge one.
		return errors.New("it sent data before the tunnel was used")
	}
	return nil
}

// proxyRefusal is the error of a CONNECT that was refused.
func proxyRefusal(conn net.Conn, a *answer, via *proxyServer, authority string) error {
	e := refusal(conn, a)
	e.Err = errProxyRefused
	e.Reason = fmt.Sprintf("%s; the proxy %s refuses CONNECT %s", http.StatusText(e.Status), via, authority)
	if e.Status == http.StatusProxyAuthRequired {
		e.Reason += "; put the proxy's user and password into its URL"
	}
	return e
}

// askSOCKS5 does the handshake of RFC 1928 and RFC 1929.
func askSOCKS5(ctx context.Context, conn net.Conn, via *proxyServer, t *target) error {
	var auth *proxy.Auth
	if via.user != nil {
		auth = &proxy.Auth{User: via.user.Username()}
		auth.Password, _ = via.user.Password()
	}
	asker, err := proxy.SOCKS5("tcp", via.address, auth, opened{conn})
	if err != nil {
		return err
	}
	// The returned connection only wraps conn; the caller goes on with conn.
	_, err = asker.(proxy.ContextDialer).DialContext(ctx, "tcp", net.JoinHostPort(t.serverName(), t.port))
	return err
}

// opened is a dialer for a connection that exists.
type opened struct{ conn net.Conn }

func (o opened) Dial(string, string) (net.Conn, error) { return o.conn, nil }

func (o opened) DialContext(context.Context, string, string) (net.Conn, error) { return o.conn, nil }
