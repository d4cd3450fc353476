package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/duplex-websocket/duplex/websocket"
)

// checkURL finds the mistakes that people make in WebSocket addresses and says what they may have meant.
func checkURL(raw string) (*url.URL, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return nil, fmt.Errorf("%q has no scheme; try %s", raw, suggestURL(strings.TrimLeft(raw, "/:")))
	}
	schemes := []string{"ws", "wss", "http", "https"}
	if !slices.Contains(schemes, strings.ToLower(scheme)) {
		return nil, fmt.Errorf("%q: %q is no scheme of WebSocket; use ws:// or, encrypted, wss://, e.g. ws://%s", raw, scheme, rest)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		reason := err
		if parse, ok := errors.AsType[*url.Error](err); ok {
			reason = parse.Err
		}
		return nil, fmt.Errorf("%q is not a URL: %w", raw, reason)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host; write e.g. ws://localhost:8080/echo", raw)
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, fmt.Errorf("%q has a fragment (#), which a WebSocket URL must not have (RFC 6455, section 3); write %%23 for the character", raw)
	}
	return u, nil
}

func suggestURL(rest string) string {
	host, _, _ := strings.Cut(rest, "/")
	if strings.HasSuffix(host, ":443") {
		return "wss://" + rest
	}
	return "ws://" + rest
}

// dialOptions turns the flags into the library's options. Its errors are mistakes of the user.
func (c *connectCmd) dialOptions() (*websocket.DialOptions, error) {
	header, err := c.header()
	if err != nil {
		return nil, err
	}
	config, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	proxy, err := c.proxy()
	if err != nil {
		return nil, err
	}
	return &websocket.DialOptions{
		Options: websocket.Options{
			Subprotocols:     c.Subprotocol,
			Compression:      websocket.Compression{Mode: compressionModes[c.Compression], Threshold: -1},
			MaxMessage:       c.MaxMessage,
			HandshakeTimeout: c.ConnectTimeout,
		},
		Header:     header,
		TLS:        config,
		Proxy:      proxy,
		UnixSocket: c.UnixSocket,
	}, nil
}

// ownHeaders are written by the handshake itself; the map names the flag that sets one instead.
var ownHeaders = map[string]string{
	"Upgrade": "", "Connection": "", "Sec-Websocket-Key": "", "Sec-Websocket-Version": "", "Sec-Websocket-Accept": "",
	"Sec-Websocket-Extensions": "--compression", "Sec-Websocket-Protocol": "--subprotocol",
}

func (c *connectCmd) header() (http.Header, error) {
	h := make(http.Header)
	for _, line := range c.Header {
		name, value, found := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !found || name == "" {
			return nil, fmt.Errorf("--header %q: write it as 'Name: value'", line)
		}
		if strings.ContainsAny(name+value, "\r\n\x00") || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("--header %q: a header has one line, and no space in its name", line)
		}
		if flag, own := ownHeaders[name]; own {
			if flag != "" {
				return nil, fmt.Errorf("--header %q: use %s, which also checks the answer", line, flag)
			}
			return nil, fmt.Errorf("--header %q: the opening handshake writes %s itself", line, name)
		}
		h.Add(name, value)
	}
	if c.Origin != "" {
		h.Set("Origin", c.Origin)
	}
	if c.User != "" {
		name, password, found := strings.Cut(c.User, ":")
		if !found {
			return nil, fmt.Errorf("--user %q: write it as NAME:PASSWORD", c.User)
		}
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
	}
	return h, nil
}

func (c *connectCmd) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.InsecureSkipVerify, ServerName: c.ServerName}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s: there is no certificate in PEM form in it", c.CA)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("--cert and --key belong together: give both or none")
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert %s --key %s: %w", c.Cert, c.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// proxy returns nil for "what the environment says".
func (c *connectCmd) proxy() (func(*http.Request) (*url.URL, error), error) {
	switch {
	case c.Proxy == "":
		return nil, nil
	case c.Proxy == "none":
		return func(*http.Request) (*url.URL, error) { return nil, nil }, nil
	case c.UnixSocket != "":
		return nil, errors.New("--proxy and --unix-socket exclude each other")
	}
	u, err := url.Parse(c.Proxy)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, fmt.Errorf("--proxy %q: write http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or none", c.Proxy)
	}
	return http.ProxyURL(u), nil
}

// explainDial turns a failure to connect into a sentence and, below it, what this command can do about it. The library's
// errors say what was wrong; the flags are ours. Everything that came from the network is made visible.
func explainDial(u *url.URL, err error) error {
	text := visible(strings.TrimPrefix(err.Error(), "websocket: "))
	if rest, found := strings.CutPrefix(text, "no connection to "); found {
		_, text, _ = strings.Cut(rest, ": ") // our own sentence names the address
	}
	if strings.HasPrefix(text, "invalid ") { // the options or the URL: nothing was sent yet
		return withExit(exitUsage, errors.New(text))
	}
	for _, hint := range append(hintsRefused(err), hintNetwork(u, err)) {
		if hint != "" {
			text += "\n" + visible(hint)
		}
	}
	return explain(exitUnreachable, err, "cannot connect to %s: %s", visible(u.Redacted()), text)
}

// explained is an error with a text for people, and the cause for what looks at it: whether and when to connect again.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// explain makes an error with an exit code. What the format's arguments quote from a server must be visible already.
func explain(code int, cause error, format string, args ...any) error {
	return withExit(code, &explained{fmt.Sprintf(format, args...), cause})
}

// hintsRefused is about a server that answered something else than 101.
func hintsRefused(err error) []string {
	refused, ok := errors.AsType[*websocket.HandshakeError](err)
	if !ok || refused.Status == 0 {
		return nil
	}
	var hints []string
	switch refused.Status {
	case http.StatusUnauthorized:
		hints = append(hints, "log in with --user NAME:PASSWORD or -H 'Authorization: Bearer TOKEN'")
	case http.StatusForbidden:
		hints = append(hints, "perhaps it wants an --origin, a cookie (-H 'Cookie: NAME=VALUE') or --user")
	case http.StatusProxyAuthRequired:
		hints = append(hints, "log in to the proxy with --proxy http://NAME:PASSWORD@HOST:PORT")
	}
	if to := refused.Header.Get("Location"); to != "" {
		hints = append(hints, "it points to "+to)
	}
	if line := firstLine(refused.Body); line != "" && !strings.Contains(refused.Error(), line) {
		hints = append(hints, "it says: "+line)
	}
	return hints
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	head, left := cut([]byte(line), 200)
	if left > 0 {
		return string(head) + "…"
	}
	return string(head)
}

// hintNetwork is about what lies below HTTP.
func hintNetwork(u *url.URL, err error) string {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		dns      *net.DNSError
		timeout  net.Error
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by nobody that this system trusts: --ca FILE names who to trust, --insecure-skip-verify does not look"
	case errors.As(err, &hostname):
		return "its certificate is for another name: --server-name NAME says which to expect, --insecure-skip-verify does not look"
	case errors.As(err, &invalid):
		return "--insecure-skip-verify does not look at the certificate"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s cannot be looked up; is it spelled right?", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s; does the server run, and is the port right?", u.Host)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "--connect-timeout gives it more time"
	}
	return ""
}
