package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A proxied is nginx in front of a server of ours. Its locations differ in what nginx tells the server:
//
//	/good/     the Host that the browser used, and X-Forwarded-Proto: what a manual says
//	/silent/   that Host, but not the scheme
//	/nohost/   nginx' default: the Host is the upstream's name
//	/noupgrade/  nginx' default: no Upgrade header
//	/down/     an upstream where nobody listens
type proxied struct {
	*ourServer
	plain, secure string // host:port
	roots         *x509.CertPool
	process       *exec.Cmd
}

var nginxConfig = template.Must(template.New("").Parse(`
daemon off; master_process off; worker_processes 1; pid {{.Dir}}/pid; error_log {{.Dir}}/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy; fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi; scgi_temp_path {{.Dir}}/scgi;
	proxy_http_version 1.1;
	proxy_read_timeout 1s; # far less than in real life, to see that pings keep a silent connection alive
	server {
		listen {{.Plain}}; listen {{.Secure}} ssl;
		ssl_certificate {{.Dir}}/cert.pem; ssl_certificate_key {{.Dir}}/key.pem;
		location /good/ {
			proxy_pass http://{{.Backend}};
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
		}
		location /silent/ {
			proxy_pass http://{{.Backend}};
			proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
		}
		location /nohost/ {
			proxy_pass http://{{.Backend}};
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
		}
		location /noupgrade/ { proxy_pass http://{{.Backend}}; proxy_set_header Host $http_host; }
		location /down/ {
			proxy_pass http://{{.Nobody}};
			proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
		}
	}
}
`))

// startNginx runs the real nginx on loopback with everything in a folder of the test.
func startNginx(t *testing.T, setting string) *proxied {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		t.Fatalf("nginx is missing: %v; run 'make deps'", err)
	}
	p := &proxied{plain: freeAddress(t), secure: freeAddress(t)}
	o := ourOptions(setting, nil)
	o.PingInterval = 300 * time.Millisecond
	p.ourServer = startOursWith(t, "event", o)
	dir := t.TempDir()
	p.roots = writeCertificate(t, dir)
	var config bytes.Buffer
	if err := nginxConfig.Execute(&config, map[string]string{"Dir": dir, "Plain": p.plain, "Secure": p.secure, "Nobody": freeAddress(t),
		"Backend": strings.TrimPrefix(p.url, "ws://")}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.process = exec.Command(path, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	var said bytes.Buffer
	p.process.Stderr = &said
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	for end := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", p.secure)
		if err == nil {
			c.Close()
			return p
		}
		if time.Now().After(end) {
			p.stop()
			t.Fatalf("nginx does not listen: %v\n%s", err, said.String())
		}
	}
}

func (p *proxied) stop() {
	p.process.Process.Kill()
	p.process.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// writeCertificate makes a certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

// dial connects through nginx, with an Origin as a page of origin would send; empty: none.
func (p *proxied) dial(t *testing.T, scheme, path, origin, setting string, control func(protocol.Opcode)) (*websocket.Conn, error) {
	t.Helper()
	o := &websocket.DialOptions{Options: ourOptions(setting, nil), Header: http.Header{}, TLS: &tls.Config{RootCAs: p.roots}}
	o.PingInterval = -1 // only the server's pings keep the connection alive
	if control != nil {
		o.OnControl = func(_ *websocket.Conn, op protocol.Opcode, _ []byte) { control(op) }
	}
	if origin != "" {
		o.Header.Set("Origin", origin)
	}
	host := p.plain
	if scheme == "wss" {
		host = p.secure
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := websocket.Dial(ctx, scheme+"://"+host+path, o)
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, err
}

func TestNginxMessages(t *testing.T) {
	for setting := range ourSettings {
		p := startNginx(t, setting)
		for _, scheme := range []string{"ws", "wss"} {
			t.Run(scheme+" "+setting, func(t *testing.T) {
				c, err := p.dial(t, scheme, "/good/echo", "", setting, nil)
				if err != nil {
					t.Fatal(err)
				}
				if want := setting != "off"; strings.HasPrefix(c.Extensions(), "permessage-deflate") != want {
					t.Errorf("agreed on %q", c.Extensions())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				exchangeOurs(ctx, t, c)
				if err := c.Ping(ctx); err != nil {
					t.Error(err)
				}
				if err := c.Close(ctx, 4001, "through nginx"); err != nil {
					t.Error(err)
				}
				if got, want := awaitEnding(t, p.ended), (ending{4001, "through nginx"}); got != want {
					t.Errorf("our server saw %v, want %v", got, want)
				}
			})
		}
	}
}

// Which pages may connect when nginx stands in between.
func TestNginxOrigin(t *testing.T) {
	p := startNginx(t, "off")
	page, securePage := "http://"+p.plain, "https://"+p.secure
	for _, c := range []struct {
		name, scheme, path, origin string
		says                       string // in the refusal; empty: accepted
	}{
		{"no browser", "ws", "/good/", "", ""},
		{"own page", "ws", "/good/", page, ""},
		{"own page over TLS", "wss", "/good/", securePage, ""},
		{"own page over TLS, scheme not told", "wss", "/silent/", securePage, ""},
		{"own page, scheme not told", "ws", "/silent/", page, ""},
		{"http page of a TLS site", "wss", "/good/", "http://" + p.secure, "came over https and not http"},
		{"page of another port", "ws", "/good/", securePage, "OriginPatterns"},
		{"another site", "ws", "/good/", "http://evil.example", "http://evil.example"},
		{"another site over TLS", "wss", "/silent/", "https://evil.example", "https://evil.example"},
		{"Host not passed on", "ws", "/nohost/", page, "a reverse proxy must pass on the Host"},
		{"Host not passed on, TLS", "wss", "/nohost/", securePage, "a reverse proxy must pass on the Host"},
		{"sandboxed page", "ws", "/good/", "null", "InsecureSkipOriginCheck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := p.dial(t, c.scheme, c.path, c.origin, "off", nil)
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				sendOurs(ctx, t, conn, "hello")
				expectOurs(ctx, t, conn, websocket.Text, "hello")
				return
			}
			refused, ok := errors.AsType[*websocket.HandshakeError](err)
			if !ok || refused.Status != 403 || !strings.Contains(string(refused.Body), c.says) {
				t.Errorf("want 403 that says %q, got %v with body %q", c.says, err, bodyOf(refused))
			}
		})
	}
}

func bodyOf(e *websocket.HandshakeError) string {
	if e == nil {
		return ""
	}
	return string(e.Body)
}

// A proxy that was not told about WebSocket, and one without its server: the errors must say what is wrong.
func TestNginxMisconfigured(t *testing.T) {
	p := startNginx(t, "off")
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"/noupgrade/": {http.StatusUpgradeRequired, "Upgrade"},
		"/down/":      {http.StatusBadGateway, "502"},
	} {
		_, err := p.dial(t, "ws", path, "", "off", nil)
		refused, ok := errors.AsType[*websocket.HandshakeError](err)
		if !ok || refused.Status != want.status || !strings.Contains(err.Error()+bodyOf(refused), want.says) {
			t.Errorf("%s: %v, body %q; want %d that says %q", path, err, bodyOf(refused), want.status, want.says)
		}
	}
}

// nginx drops a connection that is silent for proxy_read_timeout, here one second. The server's pings prevent it.
func TestNginxIdleConnectionLives(t *testing.T) {
	p := startNginx(t, "off")
	pings := make(chan struct{}, 64)
	c, err := p.dial(t, "ws", "/good/", "", "off", func(op protocol.Opcode) {
		if op == protocol.OpPing {
			pings <- struct{}{}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; {
		select {
		case <-pings:
		case <-c.Done():
			t.Fatalf("ended: %v", c.Err())
		case <-time.After(patience):
			t.Fatal("no ping")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sendOurs(ctx, t, c, "still here")
	expectOurs(ctx, t, c, websocket.Text, "still here")
}

// When nginx dies, both sides learn of it at once.
func TestNginxDies(t *testing.T) {
	p := startNginx(t, "off")
	c, err := p.dial(t, "wss", "/good/", "", "off", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sendOurs(ctx, t, c, "hello")
	expectOurs(ctx, t, c, websocket.Text, "hello")
	p.stop()
	_, _, err = c.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusAbnormalClosure {
		t.Errorf("our client: %v", err)
	}
	if got := awaitEnding(t, p.ended); got.code != 1006 {
		t.Errorf("our server saw %v", got)
	}
}
