package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// talker greets before it is spoken to, then echoes.
func talker(t *testing.T, o *AcceptOptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			return // the client's test sees it
		}
		ctx := context.Background()
		if err := c.Write(ctx, Text, []byte("greeting")); err != nil {
			t.Errorf("the server cannot write: %v", err)
		}
		for {
			typ, p, err := c.Read(ctx)
			if err != nil {
				return
			}
			if err := c.Write(ctx, typ, p); err != nil {
				return
			}
		}
	})
}

// A connection from Dial works, whichever way it was made.
func TestDialTalks(t *testing.T) {
	terms := Options{Subprotocols: []string{"b", "a"}, Compression: Compression{Mode: CompressionTakeover}}
	h := talker(t, &AcceptOptions{Options: terms})
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	defer plain.Close()
	defer secure.Close()
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	roots.ServerName = "example.com" // which httptest's certificate has
	connect := serveDials(t, mustListen(t), (&connectProxy{where: secure.Listener.Addr().String()}).serve)
	socks := startSOCKS(t, &socksProxy{where: plain.Listener.Addr().String()})

	for _, c := range []struct{ name, url, proxy string }{
		{"ws", "ws://" + plain.Listener.Addr().String() + "/x?y", ""},
		{"wss", "wss://" + secure.Listener.Addr().String() + "/x?y", ""},
		{"wss through CONNECT", "wss://example.com/x?y", "http://" + connect.address()},
		{"ws through SOCKS5", "ws://example.com/x?y", "socks5://" + socks},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &DialOptions{Options: Options{Subprotocols: []string{"a", "b"}, Compression: terms.Compression}, TLS: roots, Proxy: fixedProxy(c.proxy)}
			conn, err := Dial(t.Context(), c.url, o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if conn.Subprotocol() != "b" || !strings.HasPrefix(conn.Extensions(), "permessage-deflate") || conn.ResponseHeader().Get("Upgrade") == "" {
				t.Errorf("subprotocol %q, extensions %q, header %v", conn.Subprotocol(), conn.Extensions(), conn.ResponseHeader())
			}
			if typ, p, err := conn.Read(t.Context()); err != nil || typ != Text || string(p) != "greeting" {
				t.Errorf("first came %v %q, %v", typ, p, err)
			}
			message := strings.Repeat("similar ", 5000)
			if err := conn.Write(t.Context(), Binary, []byte(message)); err != nil {
				t.Error(err)
			}
			if typ, p, err := conn.Read(t.Context()); err != nil || typ != Binary || string(p) != message {
				t.Errorf("the echo is %v of %d bytes, %v", typ, len(p), err)
			}
			if err := conn.Close(t.Context(), StatusNormalClosure, "bye"); err != nil {
				t.Error(err)
			}
		})
	}
}

// The context of Dial ends with Dial: the connection outlives it.
func TestDialOutlivesItsContext(t *testing.T) {
	server := httptest.NewServer(talker(t, nil))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := Dial(ctx, server.URL, direct())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, p, err := conn.Read(t.Context()); err != nil || string(p) != "greeting" {
		t.Errorf("got %q, %v", p, err)
	}
	if err := conn.Close(t.Context(), StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// What Accept refuses reaches the client with its status, text and header.
func TestDialRefusedByAccept(t *testing.T) {
	server := httptest.NewServer(talker(t, nil))
	defer server.Close()
	o := direct()
	o.Header = http.Header{"Origin": {"http://elsewhere.example"}}
	_, err := Dial(t.Context(), server.URL, o)
	refused, ok := errors.AsType[*HandshakeError](err)
	if !ok || refused.Status != http.StatusForbidden || !strings.Contains(string(refused.Body), "OriginPatterns") {
		t.Errorf("error is %v", err)
	}
}

func TestDialContextThatReturnsNothing(t *testing.T) {
	o := direct()
	o.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	if _, err := Dial(t.Context(), "ws://h/", o); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("error is %v", err)
	}
}

// A stranger to whom a redirect led sees no client certificate, and is checked
// against its own name.
func TestDialForeignTLS(t *testing.T) {
	own, _ := selfSigned(t, "client.example")
	d, err := newDialer(&DialOptions{TLS: &tls.Config{ServerName: "pinned.example", Certificates: own.Certificates,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.Certificates[0], nil }}})
	if err != nil {
		t.Fatal(err)
	}
	at, err := parseTarget("wss://stranger.example/")
	if err != nil {
		t.Fatal(err)
	}
	if c := d.tlsFor(&leg{target: at}); c.ServerName != "pinned.example" || len(c.Certificates) != 1 || c.GetClientCertificate == nil {
		t.Errorf("at home: %+v", c)
	}
	if c := d.tlsFor(&leg{target: at, foreign: true}); c.ServerName != "stranger.example" || len(c.Certificates) != 0 || c.GetClientCertificate != nil {
		t.Errorf("at a stranger: %+v", c)
	}
	if c := d.tlsForProxy(&proxyServer{host: "proxy.example"}); c.ServerName != "proxy.example" || len(c.Certificates) != 0 || c.GetClientCertificate != nil {
		t.Errorf("at a proxy: %+v", c)
	}
}

func mustListen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
