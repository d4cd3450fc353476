package server

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/web"
	"github.com/duplex-websocket/duplex/websocket"
)

func TestPages(t *testing.T) {
	address := start(t, Config{})
	err := fs.WalkDir(web.Pages(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "index.html" {
			return err
		}
		response, body := get(t, address+name, nil)
		want, err := fs.ReadFile(web.Pages(), name)
		if response.StatusCode != 200 || body != string(want) || err != nil {
			t.Errorf("%s: %d, %d bytes, %v", name, response.StatusCode, len(body), err)
		}
		h := response.Header
		if h.Get("Content-Type") != contentTypes[filepath.Ext(name)] || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", name, h)
		}
		response, _ = get(t, address+name, http.Header{"If-None-Match": {h.Get("ETag")}})
		if response.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag: %d", name, response.StatusCode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	response, body := get(t, address+"?room=lobby", nil)
	if response.StatusCode != 200 || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("the page: %d %.40q", response.StatusCode, body)
	}
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || response.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("policy: %q", policy)
	}
	for _, inline := range []string{"<script>", "<style>", " style=", "onclick=", "javascript:"} {
		if strings.Contains(body, inline) {
			t.Errorf("the page has %q, which its policy forbids", inline)
		}
	}
}

func TestPagesThatAreNotThere(t *testing.T) {
	address := start(t, Config{})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "nothing", 404}, {"GET", "web.go", 404}, {"GET", "..%2f..%2fetc/passwd", 404},
		{"POST", "", 405}, {"DELETE", "duplex-client.js", 405}, {"POST", "chat/rooms", 405}, {"HEAD", "duplex-client.js", 200},
		{"GET", "package.json", 404}, {"GET", "src/home/main.ts", 404}, {"GET", "ws", 426}, {"GET", "echo", 426},
	} {
		response, _ := request(t, c.method, address+c.path, nil)
		if response.StatusCode != c.status {
			t.Errorf("%s /%s: %d, want %d", c.method, c.path, response.StatusCode, c.status)
		}
	}
}

// TestPagesAreCompressed for who takes it: the same bytes, under another ETag.
func TestPagesAreCompressed(t *testing.T) {
	address := start(t, Config{})
	_, want := get(t, address+"shared/style.css", nil)
	for _, c := range []struct {
		accepted string
		gzipped  bool
	}{{"gzip", true}, {"br, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"gzip; q=0.000", false}, {"br", false}, {"", false}} {
		response, body := get(t, address+"shared/style.css", http.Header{"Accept-Encoding": {c.accepted}})
		if got := response.Header.Get("Content-Encoding"); (got == "gzip") != c.gzipped || response.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: encoding %q", c.accepted, got)
		}
		if c.gzipped {
			r, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			unpacked, err := io.ReadAll(r)
			if err != nil || string(unpacked) != want || len(body) > len(want)/2 {
				t.Errorf("%d bytes became %d, and %d unpacked: %v", len(want), len(body), len(unpacked), err)
			}
		} else if body != want {
			t.Errorf("%q: not the same", c.accepted)
		}
		response, _ = get(t, address+"shared/style.css", http.Header{"Accept-Encoding": {c.accepted}, "If-None-Match": {response.Header.Get("ETag")}})
		if response.StatusCode != http.StatusNotModified {
			t.Errorf("%q with its ETag: %d", c.accepted, response.StatusCode)
		}
	}
}

// TestSource: a page shows the files that it is made of, and no others.
func TestSource(t *testing.T) {
	address := start(t, Config{})
	_, body := get(t, address+"source/list?page=scores", nil)
	var list listing
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(list.Files) < 6 || list.Files[0] != "internal/showcase/scores/scores.go" || !slices.Contains(list.Files, "web/src/scores/main.ts") {
		t.Errorf("files: %q", list.Files)
	}
	for _, name := range list.Files {
		want, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		response, got := get(t, address+"source/files/"+name, nil)
		if err != nil || got != string(want) || response.Header.Get("Content-Type") != "text/plain; charset=utf-8" || strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s: %d, %d bytes, %v", name, response.StatusCode, len(got), err)
		}
	}
	for _, path := range []string{"source/list?page=nothing", "source/list", "source/files/go.mod", "source/files/internal/showcase/scores/scores_test.go"} {
		if response, _ := get(t, address+path, nil); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}

// TestChat: the chat is there, as docs/chat.md says: with rooms, whose pictures fit into frames, unless the configuration has rules for chat.…
func TestChat(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "limits: {frame: 100KiB}\n")})
	if _, body := get(t, address+"chat/rooms", nil); !strings.Contains(body, `"picture":36864`) || !strings.Contains(body, `"lobby"`) {
		t.Error(body)
	}
	number := map[string]any{"type": "publish", "topic": "chat.lobby", "data": 7}
	if reply := join(t, address, "").ask(number); reply["code"] != "chat.bad-message" {
		t.Errorf("%v", reply)
	}
	claimed := start(t, Config{Settings: configured(t, "topics: [{pattern: chat.orders}]\n")})
	if reply := join(t, claimed, "").ask(number); reply["type"] != "reply" {
		t.Errorf("%v", reply)
	}
}

func TestShutdownDrains(t *testing.T) {
	address, stop := startStoppable(t, Config{})
	ann := join(t, address, "")
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	ann.await("disconnect")
	if _, err := ann.next(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("closed with %v", err)
	}
	<-stopped
	if _, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")); err == nil {
		t.Error("the port is still open")
	}
}

// TestShutdownDoesNotWaitForever has a client that never answers the close frame.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	address, stop := startStoppable(t, Config{Settings: configured(t, "drain: {timeout: 100ms}")})
	conn := rawEcho(t, strings.TrimPrefix(address, "http://"), "/echo")
	defer conn.Close()
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	address := start(t, Config{Settings: configured(t, "tls: {cert: "+cert+", key: "+key+"}")})
	if !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Fatalf("address %q", address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, strings.Replace(address, "https", "wss", 1)+"echo", &websocket.DialOptions{TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.Text, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if _, p, err := conn.Read(ctx); string(p) != "secret" {
		t.Errorf("got %q, %v", p, err)
	}
}

// TestSetupErrors: each says what is wrong and what to try.
func TestSetupErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cert, key, _ := certificate(t)
	_, otherKey, _ := certificate(t)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.pem")
	if err := os.WriteFile(broken, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("nonsense")}), 0o600); err != nil {
		t.Fatal(err)
	}
	tls := func(cert, key string) string { return "tls: {cert: " + cert + ", key: " + key + "}" }
	for _, c := range []struct{ name, file, says string }{
		{"port in use", "listen: " + taken.Addr().String(), "in use by & --listen"},
		{"port in use by operators", "admin: {listen: " + taken.Addr().String() + "}", "in use by & --admin-listen"},
		{"foreign address", "listen: 192.0.2.1:0\ninsecure-anonymous: true", "192.0.2.1 & not an address of this machine"},
		{"unknown host", "listen: no-such-host.invalid:0\ninsecure-anonymous: true", "no-such-host.invalid & not an address of this machine"},
		{"no such certificate", tls(missing, key), "no file & " + missing + " & certificate"},
		{"no such key", tls(cert, missing), "no file & " + missing + " & key"},
		{"a folder", tls(t.TempDir(), key), "cannot read & certificate"},
		{"an empty file", tls(empty, key), empty + " & no certificate & BEGIN CERTIFICATE"},
		{"files swapped", tls(key, cert), key + " & no certificate"},
		{"a broken certificate", tls(broken, key), broken + " & cannot be understood"},
		{"another's key", tls(cert, otherKey), otherKey + " & does not belong & " + cert},
		{"no keys, every address", "listen: :0", "without keys for tokens, whoever can reach :0 & tokens & 127.0.0.1 & --insecure-anonymous"},
		{"no keys, one address", "listen: 192.0.2.1:0", "whoever can reach 192.0.2.1:0"},
		{"no keys, IPv6", "listen: '[::]:0'", "--insecure-anonymous"},
		{"no such token key", "tokens: {keys: [{file: " + missing + ", algorithm: ES256}]}", "tokens & keys[0].file & " + missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Run(t.Context(), Config{Settings: configured(t, c.file), Log: io.Discard})
			if _, ok := errors.AsType[*SetupError](err); !ok {
				t.Fatalf("%v is not a *SetupError", err)
			}
			for part := range strings.SplitSeq(c.says, " & ") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestInsecureAnonymous listens everywhere because it was told to.
func TestInsecureAnonymous(t *testing.T) {
	address := start(t, Config{Settings: configured(t, "listen: :0\ninsecure-anonymous: true")})
	if response, body := get(t, address+"healthz", nil); response.StatusCode != 200 || body != "ok\n" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if response, _ := get(t, address+"metrics", nil); response.StatusCode != 403 {
		t.Errorf("metrics: %d", response.StatusCode)
	}
}

// certificate makes a key pair for 127.0.0.1 and returns its files.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	pool = x509.NewCertPool()
	certPEM := write("cert.pem", "CERTIFICATE", der)
	content, err := os.ReadFile(certPEM)
	if err != nil || !pool.AppendCertsFromPEM(content) {
		t.Fatal("the certificate does not read back")
	}
	return certPEM, write("key.pem", "PRIVATE KEY", keyDER), pool
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:8080": "localhost:8080", "[::]:8080": "localhost:8080", "[::1]:8080": "[::1]:8080",
	} {
		if got := reachable(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}
