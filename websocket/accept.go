package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// AcceptOptions are the rules by which a server accepts connections. The zero
// value, and nil, stands for the defaults that each field names. They may be
// shared by any number of calls as long as nobody changes them.
type AcceptOptions struct {
	Options

	// OriginPatterns are the web pages that may connect besides those of the
	// server's own origin, as "scheme://host" or "scheme://host:port". The host
	// may begin with "*.", which stands for all its sub-domains but not for
	// itself, and the port may be "*": "https://*.example.com",
	// "http://localhost:*". A malformed pattern makes every upgrade fail with
	// an error that says what is wrong with it. Default: none.
	//
	// The own origin is compared exactly: host and port are those of the Host
	// header; the scheme is https when the request came over TLS or has
	// "X-Forwarded-Proto: https", and http otherwise. When TLS may have ended at
	// a proxy that does not set that header, because Host does not name the
	// port where the request arrived, a page may be of either scheme. A
	// request without Origin comes from no browser and is allowed; Origin
	// "null" never is. Refusals are answered with 403 and name the pattern that
	// would have helped.
	OriginPatterns []string

	// InsecureSkipOriginCheck lets every page in the world connect. A browser
	// sends the visitor's cookies along and lets the page read the messages:
	// whoever lures your users to a page of his own can then act as them, also
	// on servers of an intranet or of localhost. It is safe only if nothing
	// depends on cookies, on HTTP authentication or on the network from which
	// the user comes. Default: false.
	InsecureSkipOriginCheck bool

	// Interceptors are called in order before the upgrade, when the handshake,
	// the origin and the limit are in order. The first error refuses the
	// connection: a *HandshakeError with its Status, Header and Body (Reason if
	// that is nil), any other error with 500. A panic is logged and refuses
	// with 500 too. Default: none.
	Interceptors []func(*Upgrade) error

	// Limit bounds the connections that are open at once. Default: no limit.
	Limit *ConnLimit
}

// Upgrade is a request on its way to become a connection. It belongs to the
// interceptor that is being called and must not be kept.
type Upgrade struct {
	// Request is the upgrade request. An interceptor may replace it, for
	// instance by one with another context; Conn.Request returns what is here
	// at the end.
	Request *http.Request

	// Header is added to the response if the connection is accepted. It must
	// not have headers of the handshake itself, such as
	// Sec-WebSocket-Protocol, and no value with a line break: both refuse the
	// connection with 500.
	Header http.Header

	subprotocol string
	attributes  map[any]any
}

// Subprotocol returns the subprotocol that will be agreed, or "".
func (u *Upgrade) Subprotocol() string { return u.subprotocol }

// Attribute returns what an interceptor before this one has stored under key, or
// nil.
func (u *Upgrade) Attribute(key any) any { return u.attributes[key] }

// SetAttribute stores value under key. The connection carries it:
// Conn.Attribute returns it. Use a type of your own as the key, as with
// context.WithValue.
func (u *Upgrade) SetAttribute(key, value any) {
	if u.attributes == nil {
		u.attributes = make(map[any]any)
	}
	u.attributes[key] = value
}

// Accept answers a WebSocket handshake (RFC 6455, section 4.2) and returns the
// connection, for which the caller is responsible then; the connection lives on
// when the HTTP handler returns, but the request's context ends with the
// handler.
//
// If there is an error, which is a *HandshakeError, Accept has answered the
// request and the HTTP server closes its TCP connection when the handler
// returns: what the peer has sent behind the request may not be HTTP, and must
// not be taken for a second request. The handler must return without writing.
//
// Headers that were set on w before, such as a middleware's Set-Cookie, are part
// of the response, except for those about a body. Any middleware in between
// must let the connection be taken over: its ResponseWriter has Hijack or
// Unwrap (see http.ResponseController). Accept needs HTTP/1.1.
func Accept(w http.ResponseWriter, r *http.Request, o *AcceptOptions) (*Conn, error) {
	a, err := newAcceptor(o)
	if err != nil {
		return nil, refuse(w, r, internalError("", err))
	}
	e, response, err := a.upgrade(w, r)
	if err != nil {
		return nil, err
	}
	if err := a.send(&e, response); err != nil {
		return nil, err
	}
	return startBlocking(e), nil
}

// acceptor is AcceptOptions checked and with its defaults, ready for any number
// of requests. It is immutable.
type acceptor struct {
	AcceptOptions // its Options are not used
	options       *Options
	terms         protocol.Terms
	origins       []originPattern
}

func newAcceptor(o *AcceptOptions) (*acceptor, error) {
	if o == nil {
		o = &AcceptOptions{}
	}
	options, err := o.Options.withDefaults()
	if err != nil {
		return nil, err
	}
	origins, err := parseOriginPatterns(o.OriginPatterns)
	if err != nil {
		return nil, fmt.Errorf("websocket: invalid options: %w", err)
	}
	terms := options.terms()
	if options.Compression.Mode == CompressionTakeover && terms.Deflate.ClientMaxWindowBits == 0 {
		terms.Deflate.ClientMaxWindowBits = acceptedWindowBits
	}
	return &acceptor{AcceptOptions: *o, options: options, terms: terms, origins: origins}, nil
}

// acceptedWindowBits is the window of clients that take over their context, if
// they let the server choose. The server has to remember it for each connection
// and to read it again for each message: 4 KiB cost a sixth less CPU than 32 KiB
// and compress messages of a kilobyte nearly as well.
const acceptedWindowBits = 12

// upgrade decides about the request and takes the connection from the HTTP
// server. The response is not sent yet. With an error the request is answered
// and nothing is left to do.
func (a *acceptor) upgrade(w http.ResponseWriter, r *http.Request) (e established, response []byte, err error) {
	if e, response, err = a.admit(w.Header(), r); err != nil {
		return established{}, nil, refuse(w, r, err)
	}
	if e.conn, e.buffered, err = takeOver(w); err != nil {
		e.giveUp()
		return established{}, nil, refuse(w, r, err)
	}
	return e, response, nil
}

// giveUp ends what does not become a Conn.
func (e *established) giveUp() {
	if e.conn != nil {
		e.conn.Close()
	}
	if e.release != nil {
		e.release()
	}
}

// admit decides about the request and makes the response, without touching the
// connection. Without an error, the caller owes e.release.
func (a *acceptor) admit(set http.Header, r *http.Request) (e established, response []byte, err error) {
	agreement, err := a.negotiate(r)
	if err != nil {
		return e, nil, err
	}
	if !a.InsecureSkipOriginCheck {
		if err := checkOrigin(r, a.origins); err != nil {
			return e, nil, err
		}
	}
	release, err := a.Limit.acquire(r)
	if err != nil {
		return e, nil, err
	}
	defer func() { // also when an interceptor ends the goroutine
		if response == nil && release != nil {
			release()
		}
	}()
	u := &Upgrade{Request: r, Header: make(http.Header), subprotocol: agreement.Subprotocol}
	if err := a.intercept(u); err != nil {
		return e, nil, err
	}
	header := inheritedHeader(set)
	for name, values := range u.Header {
		header[name] = append(header[name], values...)
	}
	if response, err = protocol.AppendResponse(nil, &agreement, protocol.Header(header)); err != nil {
		return e, nil, internalError("", err)
	}
	agreement.AcceptKey = "" // has done its duty; connections live long
	return established{
		role:       protocol.Server,
		options:    a.options,
		agreement:  agreement,
		request:    u.Request,
		attributes: u.attributes,
		release:    release,
	}, response, nil
}

// negotiate hands the request to the protocol.
func (a *acceptor) negotiate(r *http.Request) (protocol.Agreement, error) {
	agreement, err := a.terms.Answer(&protocol.Request{
		Method: r.Method,
		Target: r.RequestURI,
		Major:  r.ProtoMajor,
		Minor:  r.ProtoMinor,
		Host:   r.Host,
		Header: protocol.Header(r.Header),
	})
	if refused, ok := errors.AsType[*protocol.HandshakeError](err); ok {
		return agreement, &HandshakeError{Status: refused.Status, Reason: refused.Reason, Header: http.Header(refused.Header), Err: err}
	}
	if len(r.TransferEncoding) > 0 { // which net/http has taken out of the header
		return agreement, &HandshakeError{Status: http.StatusBadRequest, Reason: "the handshake announces a body; it must have none"}
	}
	return agreement, err
}

// intercept calls the interceptors.
func (a *acceptor) intercept(u *Upgrade) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.options.Logger.Error("websocket: an interceptor panicked", "panic", p, "path", u.Request.URL.Path, "stack", string(debug.Stack()))
			err = internalError("an interceptor panicked: ", fmt.Errorf("%v", p))
		}
	}()
	for _, f := range a.Interceptors {
		err := f(u)
		if err == nil {
			continue
		}
		refused, ok := errors.AsType[*HandshakeError](err)
		if !ok {
			return internalError("an interceptor failed: ", err)
		}
		if refused.Status < 200 || refused.Status > 999 {
			return internalError("", fmt.Errorf("an interceptor refused with status %d, which is no final status of HTTP: %w", refused.Status, err))
		}
		return refused
	}
	return nil
}

// internalError is a refusal whose reason is for the caller and the log only,
// not for the peer.
func internalError(what string, err error) *HandshakeError {
	return &HandshakeError{
		Status: http.StatusInternalServerError,
		Reason: what + strings.TrimPrefix(err.Error(), "websocket: "),
		Body:   []byte(http.StatusText(http.StatusInternalServerError) + "\n"),
		Err:    err,
	}
}

// inheritedHeader returns what middleware has set on the response, without what
// only makes sense for one with a body and what the handshake sets itself.
func inheritedHeader(set http.Header) http.Header {
	h := make(http.Header, len(set))
	for name, values := range set {
		switch http.CanonicalHeaderKey(name) {
		case "Connection", "Upgrade", "Keep-Alive", "Transfer-Encoding", "Trailer", "Date", "Etag", "Last-Modified", "Accept-Ranges":
			continue
		}
		if hasPrefixFold(name, "Content-") || hasPrefixFold(name, "Sec-WebSocket-") || hasPrefixFold(name, http.TrailerPrefix) {
			continue
		}
		h[name] = slices.Clone(values)
	}
	return h
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// takeOver takes the connection from the HTTP server. Of the server's buffers it
// keeps nothing but a copy of the bytes behind the request.
func takeOver(w http.ResponseWriter) (net.Conn, []byte, error) {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, internalError("", fmt.Errorf("the connection cannot be taken over from %T: %w%s", w, err, hijackAdvice(err)))
	}
	var buffered []byte
	if n := buffers.Reader.Buffered(); n > 0 {
		p, _ := buffers.Reader.Peek(n) // what is buffered can be peeked at
		buffered = bytes.Clone(p)
	}
	// The server keeps both as long as the handler runs, and that may be as
	// long as the connection lives. It does not use them any more, so that
	// their 8 KiB may go.
	*buffers.Reader, *buffers.Writer = bufio.Reader{}, bufio.Writer{}
	// Deadlines that the server left (ReadTimeout, WriteTimeout) would end the
	// WebSocket in the middle.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, internalError("the connection is broken: ", err)
	}
	return conn, buffered, nil
}

func hijackAdvice(err error) string {
	if !errors.Is(err, http.ErrNotSupported) {
		return ""
	}
	return "; a middleware wraps the http.ResponseWriter: it must have a method Hijack or Unwrap (http.TimeoutHandler has none)"
}

// send writes the response within HandshakeTimeout.
func (a *acceptor) send(e *established, response []byte) error {
	err := e.conn.SetWriteDeadline(time.Now().Add(a.options.HandshakeTimeout))
	if err == nil {
		_, err = e.conn.Write(response)
	}
	if err == nil {
		err = e.conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		e.giveUp()
		return &HandshakeError{Reason: "the response could not be sent: " + err.Error(), Err: err}
	}
	return nil
}

// refuse answers the request with the error and returns it. The HTTP server then
// closes the TCP connection: a client that believes to be connected has maybe
// sent frames already, and frames that spell an HTTP request would be answered
// as one, in the name of whoever shares the connection at a proxy.
func refuse(w http.ResponseWriter, r *http.Request, err error) error {
	refused, ok := errors.AsType[*HandshakeError](err)
	if !ok {
		refused = internalError("", err)
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Transfer-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	for name, values := range refused.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	h.Del("Content-Length")
	h.Del("Transfer-Encoding")
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close")
		if h.Get("Upgrade") != "" {
			h.Add("Connection", "Upgrade") // RFC 9110, section 7.8
		}
	}
	body := refused.Body
	if body == nil {
		body = []byte(cmp.Or(refused.Reason, http.StatusText(refused.Status)) + "\n")
	}
	w.WriteHeader(refused.Status)
	if refused.Status != http.StatusNoContent && refused.Status != http.StatusNotModified {
		w.Write(body) // there is nobody to tell when it fails
	}
	return err
}
