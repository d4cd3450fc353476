package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/internal/natsserver"
	"github.com/duplex-websocket/duplex/internal/server/config"
)

// minSecret is how many bytes what the servers of a cluster share has at least.
const minSecret = 16

// checkBus reads the files that the settings of the bus name.
func checkBus(c *config.Config) error {
	if !c.Durable() {
		return nil
	}
	_, err := embeddedOptions(c, nil)
	if err == nil {
		_, err = dialOptions(c)
	}
	return err
}

// embeddedOptions are those of the embedded server, for data.
func embeddedOptions(c *config.Config, logger *slog.Logger) (natsserver.Options, error) {
	o := natsserver.Options{Dir: c.Data, Node: c.Node, Logger: logger, StartTimeout: clusterPatience}
	o.SyncAlways, o.SyncInterval = c.SyncAlways()
	for _, p := range c.Peers() {
		o.Cluster = append(o.Cluster, natsserver.Peer(p))
	}
	var err error
	if name := c.Bus.ClusterSecretFile; name != "" {
		if o.Secret, err = readSecret("bus.cluster-secret-file", name); err != nil {
			return o, err
		}
		if len(o.Secret) < minSecret {
			return o, fmt.Errorf("bus.cluster-secret-file: %s has %d bytes; write %d or more, for instance with openssl rand -hex 32", name, len(o.Secret), minSecret)
		}
	}
	if c.Bus.ClusterCert != "" {
		o.TLS, err = mutualTLS(&c.Bus)
	}
	return o, err
}

// mutualTLS is what servers of a cluster show and ask of each other.
func mutualTLS(b *config.Bus) (*tls.Config, error) {
	pair, err := readPair("bus.cluster-cert", b.ClusterCert, b.ClusterKey)
	if err != nil {
		return nil, err
	}
	issuers, err := readIssuers("bus.cluster-ca", b.ClusterCA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: issuers, ClientCAs: issuers,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}

// dialOptions say who we are to NATS servers, for nats.
func dialOptions(c *config.Config) ([]nats.Option, error) {
	b := &c.Bus
	var options []nats.Option
	if b.CredentialsFile != "" {
		if _, err := readSecret("bus.credentials-file", b.CredentialsFile); err != nil {
			return nil, err
		}
		options = append(options, nats.UserCredentials(b.CredentialsFile)) // which reads it anew for each connection
	}
	if b.User != "" {
		if _, err := readSecret("bus.password-file", b.PasswordFile); err != nil {
			return nil, err
		}
		options = append(options, nats.UserInfoHandler(func() (user, password string) {
			content, _ := readSecret("bus.password-file", b.PasswordFile) // an empty password is refused, and the next attempt reads it again
			return b.User, string(content)
		}))
	}
	if b.CA == "" && b.Cert == "" {
		return options, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if b.CA != "" {
		if secure.RootCAs, err = readIssuers("bus.ca", b.CA); err != nil {
			return nil, err
		}
	}
	if b.Cert != "" {
		pair, err := readPair("bus.cert", b.Cert, b.Key)
		if err != nil {
			return nil, err
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	return append(options, nats.Secure(secure)), nil
}

// readSecret returns the content of a file without the line break at its end.
func readSecret(setting, name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	if content = bytes.TrimSpace(content); len(content) == 0 {
		return nil, fmt.Errorf("%s: %s is empty", setting, name)
	}
	return content, nil
}

func readPair(setting, cert, key string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("%s: the certificate in %s with the key in %s: %w", setting, cert, key, err)
	}
	return pair, nil
}

func readIssuers(setting, name string) (*x509.CertPool, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, errors.New(setting + ": " + name + " holds no certificate; a PEM file with blocks \"-----BEGIN CERTIFICATE-----\" is needed")
	}
	return pool, nil
}
