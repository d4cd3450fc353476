package server

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/duplex-websocket/duplex/internal/server/config"
)

// SetupError is something that whoever starts the server can put right.
type SetupError struct {
	Problem string // what is wrong
	Advice  string // what to try
	Err     error  // what the system said, or nil
}

func (e *SetupError) Error() string {
	if e.Advice == "" {
		return e.Problem
	}
	return e.Problem + "; " + e.Advice
}

// Unwrap returns Err.
func (e *SetupError) Unwrap() error { return e.Err }

// Check finds what is wrong with a valid configuration outside of it: files that it names, and addresses that it must not
// have. It opens no port. The error is a *SetupError.
func Check(c *config.Config) error {
	n, err := newNode(Config{Settings: &config.Loaded{Config: c}, Log: io.Discard})
	if err != nil {
		return err
	}
	n.close()
	return nil
}

// setupError says in which part of the configuration something is wrong.
func setupError(part string, err error) error {
	return &SetupError{Problem: part + ": " + err.Error(), Err: err}
}

// listen opens the TCP port of --listen and explains why if it cannot.
func listen(ctx context.Context, address string) (net.Listener, error) {
	return listenFor(ctx, address, "--listen")
}

// listenFor does so for an address that another flag gives.
func listenFor(ctx context.Context, address, flag string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &SetupError{fmt.Sprintf("%q is not an address to listen on", address),
			"write host:port, for instance 127.0.0.1:8080, or :8080 for every interface", err}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, &SetupError{fmt.Sprintf("%q is not a port", port), "write a number from 1 to 65535, or 0 for any free port", err}
	} else {
		port = strconv.FormatUint(n, 10)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	var unknown *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		holder := "another program"
		if found := portHolder(port); found != "" {
			holder = found
		}
		return nil, &SetupError{fmt.Sprintf("port %s is in use by %s", port, holder),
			"stop it, or choose another port with " + flag + " " + net.JoinHostPort(host, "0") + " (0: any free one)", err}
	case errors.Is(err, syscall.EACCES):
		return nil, &SetupError{"this user may not listen on port " + port,
			"choose a port from 1024 upwards with " + flag + ", or give the program the capability net_bind_service", err}
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.As(err, &unknown):
		return nil, &SetupError{fmt.Sprintf("%q is not an address of this machine", host),
			"use 127.0.0.1 for this machine only, or leave the host out for every interface", err}
	}
	return nil, &SetupError{"cannot listen on " + address, err.Error(), err}
}

// portHolder names the process that listens on a TCP port, as far as Linux tells: its sockets are listed with an inode, and
// the process has that inode among its open files. It returns "" where that is not so, or for processes of other users.
func portHolder(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	inode := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		if err != nil {
			return ""
		}
		for line := range strings.Lines(string(content)) {
			f := strings.Fields(line) // 1: local address, 3: state (0A: listening), 9: inode
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return ""
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, file := range files {
		if target, err := os.Readlink(file); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
	}
	return ""
}

// loadCertificate reads a certificate and its key and explains which of the two is wrong, and how.
func loadCertificate(certFile, keyFile string) (tls.Certificate, error) {
	var none tls.Certificate
	if certFile == "" || keyFile == "" {
		return none, &SetupError{"a certificate needs its key, and a key its certificate", "give both --tls-cert and --tls-key", nil}
	}
	cert, err := readPEM("certificate", certFile, "CERTIFICATE")
	if err != nil {
		return none, err
	}
	key, err := readPEM("key", keyFile, "PRIVATE KEY")
	if err != nil {
		return none, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return pair, nil
	case strings.Contains(err.Error(), "private key"): // crypto/tls has no error values for these
		return none, &SetupError{fmt.Sprintf("the key in %s does not belong to the certificate in %s", keyFile, certFile),
			"give the pair that was made together, with the server's own certificate before those of its issuers", err}
	}
	return none, &SetupError{fmt.Sprintf("the certificate in %s or the key in %s cannot be understood", certFile, keyFile), err.Error(), err}
}

// readPEM reads a file and checks that it holds a block whose type ends with kind.
func readPEM(what, name, kind string) ([]byte, error) {
	content, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &SetupError{fmt.Sprintf("there is no file %s for the %s", name, what), "check the path", err}
	case errors.Is(err, fs.ErrPermission):
		return nil, &SetupError{fmt.Sprintf("this user may not read the %s in %s", what, name), "check the file's owner and mode", err}
	case err != nil:
		return nil, &SetupError{fmt.Sprintf("cannot read the %s in %s", what, name), err.Error(), err}
	}
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, &SetupError{fmt.Sprintf("%s holds no %s", name, what),
				fmt.Sprintf("a PEM file with a block %q is needed", "-----BEGIN "+kind+"-----"), nil}
		}
		if strings.HasSuffix(block.Type, kind) {
			return content, nil
		}
	}
}
