package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/duplex-websocket/duplex/internal/server/config"
)

// startNATS starts a NATS server with JetStream, as somebody may have one, and returns its address.
func startNATS(t *testing.T, o *server.Options) string {
	t.Helper()
	o.Host, o.NoSigs, o.JetStream, o.StoreDir = "127.0.0.1", true, true, t.TempDir()
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(longPatience) {
		t.Fatal("NATS is not ready")
	}
	return "nats://" + s.Addr().String()
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expectTopics publishes through a server and reads it again.
func expectTopics(t *testing.T, server string) {
	t.Helper()
	publishTo(t, server, "chat.lobby", `"kept"`)
	if kept, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", server); !strings.Contains(kept, `"kept"`) {
		t.Errorf("history: %q", kept)
	}
}

// TestNATSWithPassword: two servers share what they keep, a wrong password is told, and so is a server that is lost.
func TestNATSWithPassword(t *testing.T) {
	address := startNATS(t, &server.Options{Username: "duplex", Password: "pass word"})
	right, wrong := writeFile(t, "right", "pass word\n"), writeFile(t, "wrong", "open sesame\n")
	first, one := startServer(t, "--nats", address, "--bus-user", "duplex", "--bus-password-file", right)
	second, two := startServer(t, "--nats", address, "--bus-user", "duplex", "--bus-password-file", right)
	expectTopics(t, one)
	if kept, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", two); !strings.Contains(kept, `"kept"`) {
		t.Errorf("at the other server: %q", kept)
	}
	for _, p := range []*process{first, second} {
		p.signal(os.Interrupt)
		if code := p.end(); code != exitOK {
			t.Errorf("exit code %d: %s", code, p.stderr)
		}
	}
	for _, flags := range [][]string{nil, {"--bus-user", "duplex", "--bus-password-file", wrong}} {
		_, refused := runProgram(t, exitUnreachable, append([]string{"serve", "--listen", "127.0.0.1:0", "--nats", address}, flags...)...)
		if !strings.Contains(strings.ToLower(refused), "authorization violation; see bus.user with bus.password-file") || strings.Contains(refused, "sesame") {
			t.Errorf("%q: %s", flags, refused)
		}
	}
}

// TestNATSWithCredentials: a JWT with an nkey, as nsc makes them.
func TestNATSWithCredentials(t *testing.T) {
	key := func(pair nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		t.Helper()
		public, wrong := pair.PublicKey()
		if err = errors.Join(err, wrong); err != nil {
			t.Fatal(err)
		}
		return pair, public
	}
	must := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operator, operatorID := key(nkeys.CreateOperator())
	_, systemID := key(nkeys.CreateAccount())
	account, accountID := key(nkeys.CreateAccount())
	user, userID := key(nkeys.CreateUser())
	accounts := &server.MemAccResolver{}
	for id, limits := range map[string]jwt.JetStreamLimits{systemID: {}, accountID: {MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}} {
		claims := jwt.NewAccountClaims(id)
		claims.Limits.JetStreamLimits = limits
		if err := accounts.Store(id, must(claims.Encode(operator))); err != nil {
			t.Fatal(err)
		}
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	decorated, err := jwt.FormatUserConfig(must(jwt.NewUserClaims(userID).Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	address := startNATS(t, &server.Options{
		TrustedKeys: []string{operatorID}, AccountResolver: accounts, SystemAccount: systemID,
	})
	_, sessions := startServer(t, "--nats", address, "--bus-credentials-file", writeFile(t, "duplex.creds", string(decorated)))
	expectTopics(t, sessions)
	_, refused := runProgram(t, exitUsage, "serve", "--nats", address, "--bus-credentials-file", "missing.creds")
	if !strings.Contains(refused, "bus.credentials-file: open missing.creds: no such file") {
		t.Error(refused)
	}
}

// certify makes a certificate for 127.0.0.1, in files, which is its own issuer.
func certify(t *testing.T) (cert, key string, pair tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", string(certPEM)), writeFile(t, "key.pem", string(keyPEM)), pair
}

// TestNATSWithTLS: both sides show certificates, and those that are not trusted are refused.
func TestNATSWithTLS(t *testing.T) {
	cert, key, pair := certify(t)
	other, _, _ := certify(t)
	issuers, err := readIssuers("test", cert)
	if err != nil {
		t.Fatal(err)
	}
	address := startNATS(t, &server.Options{TLSTimeout: 10, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: issuers, ClientAuth: tls.RequireAndVerifyClientCert,
	}})
	_, sessions := startServer(t, "--nats", strings.Replace(address, "nats", "tls", 1), "--bus-ca", cert, "--bus-cert", cert, "--bus-key", key)
	expectTopics(t, sessions)
	for _, flags := range [][]string{nil, {"--bus-ca", other, "--bus-cert", cert, "--bus-key", key}, {"--bus-ca", cert}} {
		_, refused := runProgram(t, exitUnreachable, append([]string{"serve", "--listen", "127.0.0.1:0", "--nats", address}, flags...)...)
		if !strings.Contains(refused, "see bus.ca, and bus.cert with bus.key") {
			t.Errorf("%q: %s", flags, refused)
		}
	}
	plain := startNATS(t, &server.Options{})
	_, refused := runProgram(t, exitUnreachable, "serve", "--listen", "127.0.0.1:0", "--nats", plain, "--bus-ca", cert)
	if !strings.Contains(refused, "these servers have no TLS: leave out bus.ca") {
		t.Error(refused)
	}
}

// TestNATSLater: who is started before NATS waits for it.
func TestNATSLater(t *testing.T) {
	address := freeAddresses(t, 1)[0]
	p := startProcess(t, nil, "serve", "--listen", "127.0.0.1:0", "--nats", "nats://"+address)
	awaitLong(t, p.stderr, `msg="waiting for (NATS)" because="NATS at nats://127.0.0.1:\d+: nats: no servers available for connection \(connection refused\)"`)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	startNATS(t, &server.Options{Port: number})
	expectTopics(t, sessionsOf(t, p))
}

// TestInsist: what may pass is waited for, with an end; what will not is told at once.
func TestInsist(t *testing.T) {
	lasting := errors.New("the disk is on fire")
	for _, c := range []struct {
		name   string
		errs   []error // of the attempts; the last one goes on for ever
		want   string
		at     time.Duration // when, at the earliest
		cancel bool
	}{
		{"at once", []error{nil}, "", 0, false},
		{"the third time", []error{nats.ErrNoServers, nats.ErrNoResponders, nil}, "", 2 * attemptPause, false},
		{"never", []error{nats.ErrNoServers}, "nats: no servers available for connection; it has been so for 1m0s", natsPatience, false},
		{"what lasts", []error{nats.ErrTimeout, lasting}, lasting.Error(), attemptPause, false},
		{"servers of a cluster that are missing", []error{&jetstream.APIError{Code: 400, ErrorCode: noPeers}, nil}, "", attemptPause, false},
		{"a refusal of JetStream", []error{&jetstream.APIError{Code: 400, ErrorCode: 10058, Description: "stream name already in use"}}, "already in use", 0, false},
		{"a signal", []error{nats.ErrNoServers}, context.Canceled.Error(), time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bus{config: &config.Config{}, logger: slog.New(slog.DiscardHandler)}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel {
					time.AfterFunc(time.Second, cancel)
				}
				began, attempts := time.Now(), 0
				err := b.insist(ctx, natsPatience, func(context.Context) error {
					attempts++
					return c.errs[min(attempts, len(c.errs))-1]
				})
				took := time.Since(began)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if took < c.at || took > c.at+2*attemptPause {
					t.Errorf("took %v, want %v", took, c.at)
				}
			})
		})
	}
}
