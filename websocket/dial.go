package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// DialOptions configures Dial. The zero value, and nil, stand for the defaults
// that each field names.
type DialOptions struct {
	Options

	// Header is sent with the request, for example Origin or Authorization. It
	// must not hold what the handshake itself sets (Upgrade, Connection,
	// Sec-WebSocket-*) or what describes a body. Host replaces the URL's host
	// in the request, User-Agent replaces Dial's own (an empty one sends none).
	// Default: nothing.
	Header http.Header

	// Jar gives the cookies to send and takes those of every answer, under the
	// URL with the scheme http or https. Default: none.
	Jar http.CookieJar

	// TLS configures wss. ServerName defaults to the URL's host; NextProtos is
	// always http/1.1, as a WebSocket cannot start on what else ALPN may agree
	// on. Dial does not change it. Default: the system's roots.
	TLS *tls.Config

	// Proxy picks the proxy for a request, or nil for none. The request's URL
	// has the scheme http for ws and https for wss, so http.ProxyURL fits.
	// Proxies are http and https (both asked with CONNECT), socks5 and socks5h
	// (both resolve names at the proxy), with a user and password in their URL.
	// TLS to an https proxy takes roots and versions from TLS, but never its
	// client certificates. Default: the environment, where HTTP_PROXY is for
	// ws, HTTPS_PROXY for wss and NO_PROXY lists exceptions.
	Proxy func(*http.Request) (*url.URL, error)

	// MaxRedirects is how many redirects are followed. A redirect from wss to
	// ws never is. To another scheme, host or port go none of: the user and
	// password of the URL, TLS client certificates, and headers other than
	// User-Agent, Origin and Accept*. Negative: none. Default: 5.
	MaxRedirects int

	// DialContext opens the connection to the server, or to its proxy. network
	// is "tcp", or "unix" with UnixSocket. Default: that of a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// UnixSocket is the path of a Unix socket to connect to instead of the
	// URL's host; the URL still gives scheme, Host and path. No proxy is used,
	// and a redirect elsewhere is not followed. Default: none.
	UnixSocket string
}

const defaultMaxRedirects = 5

// defaultUserAgent is sent because some firewalls refuse requests without one.
const defaultUserAgent = "duplex-websocket"

// Dial opens a connection to a ws, wss, http or https URL (RFC 6455, section 3;
// http and https stand for ws and wss). o may be nil.
//
// A user and password in the URL are sent as Basic Authorization unless
// o.Header has an Authorization. A fragment is an error. ctx and
// o.HandshakeTimeout bound everything up to the return and nothing after it.
//
// When the server answers anything but a correct 101, the error is a
// *HandshakeError with the answer's status, header and the start of its body.
// A context that ended, or a timeout, matches context.Canceled or
// context.DeadlineExceeded with errors.Is.
func Dial(ctx context.Context, rawURL string, o *DialOptions) (*Conn, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	t, err := parseTarget(rawURL)
	if err != nil {
		return nil, err
	}
	limit := d.options.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &handshakeTimeout{limit})
	defer cancel()
	e, err := d.dial(ctx, t)
	if err != nil {
		return nil, err
	}
	return startBlocking(*e), nil
}

// handshakeTimeout is the error of a handshake that HandshakeTimeout ended.
type handshakeTimeout struct{ limit time.Duration }

func (e *handshakeTimeout) Error() string {
	return fmt.Sprintf("the handshake took longer than %s (HandshakeTimeout)", e.limit)
}
func (e *handshakeTimeout) Timeout() bool { return true }
func (e *handshakeTimeout) Unwrap() error { return context.DeadlineExceeded }

// errProxyRefused marks a refusal that did not come from the server, so that a
// proxy cannot redirect.
var errProxyRefused = errors.New("refused by the proxy")

// dialer is DialOptions checked and filled in. It is not changed after
// newDialer.
type dialer struct {
	options      *Options
	terms        protocol.Terms
	header       http.Header
	jar          http.CookieJar
	tls          *tls.Config
	proxy        func(*http.Request) (*url.URL, error)
	maxRedirects int
	dialContext  func(ctx context.Context, network, addr string) (net.Conn, error)
	unixSocket   string
}

func newDialer(o *DialOptions) (*dialer, error) {
	if o == nil {
		o = &DialOptions{}
	}
	options, err := o.Options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkDialHeader(o.Header); err != nil {
		return nil, fmt.Errorf("websocket: invalid options: %w", err)
	}
	d := &dialer{
		options:      options,
		terms:        options.terms(),
		header:       o.Header.Clone(),
		jar:          o.Jar,
		tls:          o.TLS,
		proxy:        o.Proxy,
		maxRedirects: o.MaxRedirects,
		dialContext:  o.DialContext,
		unixSocket:   o.UnixSocket,
	}
	if d.header == nil {
		d.header = http.Header{}
	}
	if d.proxy == nil {
		d.proxy = environmentProxy
	}
	if d.maxRedirects == 0 {
		d.maxRedirects = defaultMaxRedirects
	}
	if d.dialContext == nil {
		d.dialContext = new(net.Dialer).DialContext
	}
	return d, nil
}

// ownHeaders are the headers that the handshake sets, or that would give the
// request a body, each with what to use instead.
var ownHeaders = map[string]string{
	"Upgrade":                  "",
	"Connection":               "",
	"Sec-Websocket-Key":        "",
	"Sec-Websocket-Version":    "",
	"Sec-Websocket-Accept":     "",
	"Sec-Websocket-Protocol":   "use Subprotocols",
	"Sec-Websocket-Extensions": "use Compression",
	"Content-Length":           "a handshake has no body",
	"Transfer-Encoding":        "a handshake has no body",
	"Trailer":                  "a handshake has no body",
	"Expect":                   "a handshake has no body",
	"Te":                       "",
	"Keep-Alive":               "",
	"Proxy-Connection":         "",
	"Proxy-Authorization":      "put the user and password into the proxy's URL",
}

func checkDialHeader(h http.Header) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("Header has %q, which is not a header name", name)
		}
		key := http.CanonicalHeaderKey(name)
		if advice, own := ownHeaders[key]; own {
			msg := "Header must not have " + name + ", Dial decides it"
			if advice != "" {
				msg += "; " + advice
			}
			return errors.New(msg)
		}
		if key != name {
			return fmt.Errorf("Header has %q: set it with Header.Set, so that it is spelled %q", name, key)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("Header %s has a value with characters that no header may have", name)
			}
		}
	}
	if host := h["Host"]; len(host) > 1 || len(host) == 1 && !validHost(host[0]) {
		return errors.New("Header Host must be one host, with or without a port")
	}
	return nil
}

func validHost(host string) bool {
	return host != "" && httpguts.ValidHostHeader(host)
}

// leg is one request on the way through redirects.
type leg struct {
	target *target
	header http.Header

	// foreign is true once a redirect led to another origin: from then on,
	// nothing that was meant for the first one is sent, not even on the way
	// back, because the way led through a stranger.
	foreign bool
}

// dial follows redirects until a handshake succeeds or fails.
func (d *dialer) dial(ctx context.Context, t *target) (*established, error) {
	l := &leg{target: t, header: d.header}
	for followed := 0; ; followed++ {
		e, err := d.attempt(ctx, l)
		if err == nil {
			return e, nil
		}
		next, err := d.redirected(l, err, followed)
		if err != nil {
			return nil, describeFailure(ctx, l.target, err)
		}
		l = next
	}
}

// describeFailure says where the failure happened and prefers the context's
// reason to that of the connection which it closed.
func describeFailure(ctx context.Context, t *target, err error) error {
	refused, ok := errors.AsType[*HandshakeError](err)
	if ok && (refused.Status != 0 || ctx.Err() == nil) {
		return refused
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		// A net.Dialer keeps the deadline with a timer of its own, which may
		// have fired a moment before the context's.
		<-ctx.Done()
	}
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case errors.Is(cause, ctx.Err()):
		err = cause
	default: // the program's own cause
		err = fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return fmt.Errorf("websocket: no connection to %s: %w", t, err)
}

// attempt makes one connection and one handshake on it. The connection is
// closed unless it is returned.
func (d *dialer) attempt(ctx context.Context, l *leg) (*established, error) {
	via, err := d.proxyFor(ctx, l)
	if err != nil {
		return nil, err
	}
	raw, err := d.open(ctx, l.target, via)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, errors.New("DialContext returned neither a connection nor an error")
	}
	// One watcher for all that follows. An interrupted handshake cannot be
	// resumed, so closing is right, and works with any net.Conn.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	e, err := d.establish(ctx, raw, via, l)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return e, nil
}

// open connects to the first hop: the Unix socket, the proxy or the server.
func (d *dialer) open(ctx context.Context, t *target, via *proxyServer) (net.Conn, error) {
	if d.unixSocket != "" {
		return d.dialContext(ctx, "unix", d.unixSocket)
	}
	if via == nil {
		return d.dialContext(ctx, "tcp", t.address())
	}
	conn, err := d.dialContext(ctx, "tcp", via.address)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", via, err)
	}
	return conn, nil
}

// establish turns a connection to the first hop into a WebSocket.
func (d *dialer) establish(ctx context.Context, raw net.Conn, via *proxyServer, l *leg) (*established, error) {
	conn := raw
	if via != nil {
		var err error
		if conn, err = d.tunnel(ctx, raw, via, l.target); err != nil {
			return nil, err
		}
	}
	if l.target.secure {
		secured := tls.Client(conn, d.tlsFor(l))
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, describeTLS(err)
		}
		conn = secured
	}
	return d.handshake(conn, l)
}

// tlsFor returns the TLS configuration for the server.
func (d *dialer) tlsFor(l *leg) *tls.Config {
	c := &tls.Config{}
	if d.tls != nil {
		c = d.tls.Clone()
	}
	if l.foreign {
		c.ServerName, c.Certificates, c.GetClientCertificate = "", nil, nil
	}
	if c.ServerName == "" {
		c.ServerName = l.target.serverName()
	}
	c.NextProtos = []string{"http/1.1"}
	return c
}

// handshake sends the request and checks the answer (RFC 6455, section 4.1).
func (d *dialer) handshake(conn net.Conn, l *leg) (*established, error) {
	key := protocol.NewKey()
	request, err := d.appendRequest(nil, l, key)
	if err != nil {
		return nil, errors.New(reasonOf(err))
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	a, err := readAnswer(conn, d.terms.Limits)
	if err != nil {
		return nil, err
	}
	header := http.Header(a.response.Header)
	if d.jar != nil {
		if cookies := (&http.Response{Header: header}).Cookies(); len(cookies) > 0 {
			d.jar.SetCookies(l.target.httpURL(), cookies)
		}
	}
	if a.response.Status != http.StatusSwitchingProtocols {
		return nil, refusal(conn, a)
	}
	agreement, err := d.terms.Check(&a.response, key)
	if err != nil {
		return nil, &HandshakeError{Status: a.response.Status, Header: header, Reason: reasonOf(err), Err: err}
	}
	return &established{
		conn:      conn,
		buffered:  slices.Clone(a.rest()),
		role:      protocol.Client,
		options:   d.options,
		agreement: agreement,
		response:  header,
	}, nil
}

// appendRequest appends the request of section 4.1.
func (d *dialer) appendRequest(dst []byte, l *leg, key string) ([]byte, error) {
	host := l.header.Get("Host")
	if host == "" {
		host = l.target.hostHeader()
	}
	h := l.header.Clone()
	h.Del("Host")
	if agent, set := h["User-Agent"]; !set {
		h.Set("User-Agent", defaultUserAgent)
	} else if len(agent) == 0 || agent[0] == "" {
		h.Del("User-Agent")
	}
	if user := l.target.user; user != nil && h.Get("Authorization") == "" {
		h.Set("Authorization", basicAuthorization(user))
	}
	if d.jar != nil {
		addCookies(h, d.jar.Cookies(l.target.httpURL()))
	}
	maps.Copy(h, d.terms.RequestHeader(key))
	return protocol.AppendRequest(dst, l.target.request, host, protocol.Header(h))
}

// addCookies adds cookies to those that the program set, as one header
// (RFC 6265, section 5.4).
func addCookies(h http.Header, cookies []*http.Cookie) {
	if len(cookies) == 0 {
		return
	}
	pairs := h["Cookie"]
	for _, c := range cookies {
		pairs = append(pairs, (&http.Cookie{Name: c.Name, Value: c.Value, Quoted: c.Quoted}).String())
	}
	h["Cookie"] = []string{strings.Join(pairs, "; ")}
}
