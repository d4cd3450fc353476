package natsserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// mutual makes a certificate for 127.0.0.1 and what trusts it, for both sides.
func mutual(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(issuer)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// TestTLS: nodes with certificates form a cluster, and one with another certificate, or with none, stays outside.
func TestTLS(t *testing.T) {
	trusted, other := mutual(t), mutual(t)
	servers, options := beginCluster(t, func(o *Options) { o.TLS = trusted })
	js := connect(t, servers[0])
	makeStream(t, js, 3)
	publish(t, js, "one")
	expectLast(t, connect(t, servers[2]), "one")
	if err := servers[2].Close(); err != nil {
		t.Fatal(err)
	}
	for name, secure := range map[string]*tls.Config{"another certificate": other, "no certificate": nil} {
		o := options[2]
		o.Dir, o.TLS, o.StartTimeout = t.TempDir(), secure, 2*time.Second
		if _, err := tryBegin(t, o); err == nil || !strings.Contains(err.Error(), "there is no connection with a="+o.Cluster[0].Address+" and b=") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
