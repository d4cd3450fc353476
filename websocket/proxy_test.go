package websocket

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fixedProxy returns a Proxy function; "" is none.
func fixedProxy(raw string) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) {
		if raw == "" {
			return nil, nil
		}
		return url.Parse(raw)
	}
}

// selfSigned returns a server's configuration for name and 127.0.0.1, and a
// client's that trusts it.
func selfSigned(t testing.TB, name string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

func startTLSDialServer(t *testing.T, answer func(net.Conn, string)) (*dialServer, *tls.Config) {
	t.Helper()
	server, client := selfSigned(t, "server.example")
	server.NextProtos = []string{"h2", "http/1.1"}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	return serveDials(t, ln, answer), client
}

func TestDialTLS(t *testing.T) {
	server, roots := startTLSDialServer(t, acceptAll)
	o := direct()
	o.TLS = roots
	o.TLS.NextProtos = []string{"h2"} // would be a connection that no WebSocket can start on
	e := mustShake(t, "wss://"+server.address()+"/", o)
	state := e.conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("ALPN agreed on %q", state.NegotiatedProtocol)
	}
	if o.TLS.ServerName != "" || o.TLS.NextProtos[0] != "h2" {
		t.Error("Dial changed the program's configuration")
	}

	if _, err := shake(t.Context(), "wss://"+server.address()+"/", direct()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown root: error is %v", err)
	}
	o.TLS.ServerName = "other.example"
	if _, err := shake(t.Context(), "wss://"+server.address()+"/", o); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("wrong name: error is %v", err)
	}
	o.TLS.ServerName = "server.example"
	mustShake(t, "wss://"+server.address()+"/", o)
}

func TestDialSchemeMistakes(t *testing.T) {
	// A plain server reads a TLS hello as a request and complains about it.
	complaining, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer complaining.Close()
	go http.Serve(complaining, http.NotFoundHandler())
	_, err = shake(t.Context(), "wss://"+complaining.Addr().String()+"/", direct())
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 0 || !strings.Contains(err.Error(), "plain HTTP where TLS was expected") {
		t.Errorf("wss to plain: error is %v", err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok {
		t.Errorf("error %v does not unwrap to that of TLS", err)
	}

	polite := httptest.NewUnstartedServer(http.NotFoundHandler())
	polite.Config.ErrorLog = log.New(io.Discard, "", 0)
	polite.StartTLS()
	defer polite.Close()
	_, err = shake(t.Context(), "ws://"+polite.Listener.Addr().String()+"/", direct())
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 400 || !strings.Contains(err.Error(), "use wss://") {
		t.Errorf("ws to TLS: error is %v", err)
	}
	silent, _ := startTLSDialServer(t, acceptAll)
	_, err = shake(t.Context(), "ws://"+silent.address()+"/", direct())
	if err == nil || !strings.Contains(err.Error(), "wss") && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("ws to TLS without an answer: error is %v", err)
	}
}

// connectProxy is a tiny HTTP proxy that knows CONNECT only. Every name leads to
// where.
type connectProxy struct {
	where string
	auth  string // the Proxy-Authorization to demand, or ""

	mu       sync.Mutex
	requests []string
}

func (p *connectProxy) serve(conn net.Conn, request string) {
	p.mu.Lock()
	p.requests = append(p.requests, request)
	p.mu.Unlock()
	if p.auth != "" && requestProxyAuth(request) != p.auth {
		io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
		return
	}
	server, err := net.Dial("tcp", p.where)
	if err != nil {
		io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer server.Close()
	io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { io.Copy(conn, server); conn.Close() }()
	io.Copy(server, conn)
}

func requestProxyAuth(request string) string {
	for line := range strings.SplitSeq(request, "\r\n") {
		if value, ok := strings.CutPrefix(line, "Proxy-Authorization: "); ok {
			return value
		}
	}
	return ""
}

func TestDialConnectProxy(t *testing.T) {
	server, roots := startTLSDialServer(t, acceptAll)
	plainServer := startDialServer(t, acceptAll)
	proxyTLS, _ := selfSigned(t, "127.0.0.1")
	for _, scheme := range []string{"http", "https"} {
		for _, wss := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s proxy, wss %v", scheme, wss), func(t *testing.T) {
				p := &connectProxy{where: plainServer.address(), auth: "Basic dXNlcjpwdw=="}
				rawURL, authority := "ws://server.example/x", "server.example:80"
				o := &DialOptions{TLS: roots.Clone()}
				if wss {
					p.where, rawURL, authority = server.address(), "wss://server.example/x", "server.example:443"
					o.TLS.ServerName = "server.example" // must not be what the proxy is checked against
				}
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				if scheme == "https" {
					ln = tls.NewListener(ln, proxyTLS)
					// One pool with both roots, as a program would have.
					o.TLS.RootCAs = mergedRoots(server, proxyTLS, t)
				}
				front := serveDials(t, ln, p.serve)
				o.Proxy = fixedProxy(scheme + "://user:pw@" + front.address())
				mustShake(t, rawURL, o)
				want := "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: duplex-websocket\r\nProxy-Authorization: Basic dXNlcjpwdw==\r\n\r\n"
				if got := p.requests[0]; got != want {
					t.Errorf("proxy was asked %q, want %q", got, want)
				}
				for _, request := range append(server.seen(), plainServer.seen()...) {
					if strings.Contains(request, "Proxy-") {
						t.Errorf("the server saw the proxy's credentials: %q", request)
					}
				}
			})
		}
	}
}

// mergedRoots trusts the certificates of a TLS dialServer and of another
// configuration.
func mergedRoots(server *dialServer, other *tls.Config, t *testing.T) *x509.CertPool {
	t.Helper()
	conn, err := tls.Dial("tcp", server.address(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	roots := x509.NewCertPool()
	roots.AddCert(conn.ConnectionState().PeerCertificates[0])
	cert, err := x509.ParseCertificate(other.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	return roots
}

func TestDialConnectProxyRefused(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int
		says         string
	}{
		{"credentials", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno", 407, "user and password"},
		{"forbidden", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "refuses CONNECT h.example:80"},
		{"early bytes", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 X\r\n", 0, "before the tunnel was used"},
		{"not HTTP", "SSH-2.0\r\n", 0, "its answer to CONNECT"},
		{"nothing", "", 0, "its answer to CONNECT: the proxy ended the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := startDialServer(t, func(conn net.Conn, _ string) {
				io.WriteString(conn, c.answer)
				conn.(*net.TCPConn).CloseWrite()
			})
			_, err := shake(t.Context(), "ws://h.example/", &DialOptions{Proxy: fixedProxy("http://u:secret@" + front.address())})
			refused, ok := errors.AsType[*HandshakeError](err)
			if ok != (c.status != 0) || ok && refused.Status != c.status || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want %d and %q", err, c.status, c.says)
			}
			if !strings.Contains(err.Error(), "proxy http://"+front.address()) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error is %v, want the proxy without its password", err)
			}
			front.waitClosed()
		})
	}
}

// socksProxy is a tiny SOCKS5 server (RFC 1928, RFC 1929). Every name leads to
// where.
type socksProxy struct {
	where, user, password string
	reply                 byte

	asked string // host:port of the request, as the client sent it
}

func (p *socksProxy) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	take := func(n int) []byte {
		b := make([]byte, n)
		io.ReadFull(r, b)
		return b
	}
	take(int(take(2)[1])) // version and methods
	if p.user == "" {
		conn.Write([]byte{5, 0})
	} else {
		conn.Write([]byte{5, 2})
		user := string(take(int(take(2)[1])))
		password := string(take(int(take(1)[0])))
		if user != p.user || password != p.password {
			conn.Write([]byte{1, 1})
			return
		}
		conn.Write([]byte{1, 0})
	}
	var host string
	switch head := take(4); head[3] {
	case 1:
		host = net.IP(take(4)).String()
	case 3:
		host = string(take(int(take(1)[0])))
	case 4:
		host = net.IP(take(16)).String()
	}
	p.asked = fmt.Sprintf("%s:%d", host, binary.BigEndian.Uint16(take(2)))
	conn.Write([]byte{5, p.reply, 0, 1, 0, 0, 0, 0, 0, 0})
	if p.reply != 0 {
		return
	}
	server, err := net.Dial("tcp", p.where)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { io.Copy(conn, server); conn.Close() }()
	io.Copy(server, r)
}

func startSOCKS(t *testing.T, p *socksProxy) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return ln.Addr().String()
}

func TestDialSOCKS5(t *testing.T) {
	server := startDialServer(t, acceptAll)
	secure, roots := startTLSDialServer(t, acceptAll)
	for _, c := range []struct {
		name, scheme, rawURL, asked string
		p                           *socksProxy
	}{
		{"plain", "socks5://", "ws://far.example/x", "far.example:80", &socksProxy{where: server.address()}},
		{"remote names", "socks5h://", "ws://far.example:81/x", "far.example:81", &socksProxy{where: server.address()}},
		{"address", "socks5://", "ws://192.0.2.1/x", "192.0.2.1:80", &socksProxy{where: server.address()}},
		{"password", "socks5://user:pw@", "ws://far.example/x", "far.example:80", &socksProxy{where: server.address(), user: "user", password: "pw"}},
		{"wss", "socks5://", "wss://server.example/x", "server.example:443", &socksProxy{where: secure.address()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := startSOCKS(t, c.p)
			e := mustShake(t, c.rawURL, &DialOptions{Proxy: fixedProxy(c.scheme + address), TLS: roots})
			if c.p.asked != c.asked {
				t.Errorf("proxy was asked for %q, want %q", c.p.asked, c.asked)
			}
			if _, ok := e.conn.(*net.TCPConn); !ok && c.name != "wss" {
				t.Errorf("connection is a %T, want the TCP connection itself", e.conn)
			}
		})
	}
}

func TestDialSOCKS5Refused(t *testing.T) {
	wrong := startSOCKS(t, &socksProxy{user: "user", password: "pw"})
	unreachable := startSOCKS(t, &socksProxy{reply: 4})
	for _, c := range []struct{ proxy, says string }{
		{"socks5://user:secret@" + wrong, "authentication"},
		{"socks5://" + unreachable, "host unreachable"},
	} {
		_, err := shake(t.Context(), "ws://far.example/", &DialOptions{Proxy: fixedProxy(c.proxy)})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v, want %q", c.proxy, err, c.says)
		}
	}
}

func TestDialProxyChoice(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	t.Setenv("http_proxy", "http://plain.proxy:3128")
	t.Setenv("https_proxy", "socks5://secure.proxy")
	t.Setenv("no_proxy", "direct.example")
	for _, c := range []struct{ rawURL, want string }{
		{"ws://h.example/", "http://plain.proxy:3128"},
		{"http://h.example/", "http://plain.proxy:3128"},
		{"wss://h.example/", "socks5://secure.proxy:1080"},
		{"wss://direct.example/", "none"},
		{"ws://localhost/", "none"},
	} {
		d, err := newDialer(nil)
		if err != nil {
			t.Fatal(err)
		}
		target, err := parseTarget(c.rawURL)
		if err != nil {
			t.Fatal(err)
		}
		via, err := d.proxyFor(t.Context(), &leg{target: target, header: d.header})
		got := "none"
		if via != nil {
			got = via.String()
		}
		if err != nil || got != c.want {
			t.Errorf("%s: proxy %s, %v; want %s", c.rawURL, got, err, c.want)
		}
	}
}

func TestDialProxyMistakes(t *testing.T) {
	for _, c := range []struct{ proxy, says string }{
		{"ftp://h", `scheme "ftp"`},
		{"http://", "no host"},
	} {
		if _, err := shake(t.Context(), "ws://h/", &DialOptions{Proxy: fixedProxy(c.proxy)}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error is %v, want %q", c.proxy, err, c.says)
		}
	}
	broken := errors.New("no idea")
	_, err := shake(t.Context(), "ws://h/", &DialOptions{Proxy: func(*http.Request) (*url.URL, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}
