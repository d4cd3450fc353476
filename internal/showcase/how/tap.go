package how

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase/wire"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

const (
	maxResponse   = 8 << 10
	injectTimeout = 5 * time.Second
)

// hijacking lets the connection that is taken over be wrapped.
type hijacking struct {
	http.ResponseWriter
	wrap func(nc net.Conn, behind []byte) net.Conn // behind is what has come behind the request
}

// Hijack implements http.Hijacker.
func (h *hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, buffers, err := http.NewResponseController(wire.Bare(h.ResponseWriter)).Hijack()
	if err != nil {
		return nil, nil, err
	}
	behind, _ := buffers.Reader.Peek(buffers.Reader.Buffered()) // what is buffered can be peeked at
	return h.wrap(nc, behind), buffers, nil
}

// tap is the connection of a demonstration: it reports what passes.
type tap struct {
	net.Conn
	reports *reporter // nil: nobody watches
	request []byte    // the head
	exact   bool      // that is how it came

	reading sync.Mutex // guards in
	in      stream

	writing  sync.Mutex // guards what follows, and keeps the frames of two writers apart; taken before reading
	response []byte     // the head, as far as it has passed
	opened   bool       // all of it has passed
	out      stream
	waiting  []byte // to be injected at the end of a frame

	closed sync.Once
}

// newTap makes a tap for a request. It does nothing before it is attached.
func newTap(r *http.Request, reports *reporter) *tap {
	t := &tap{reports: reports}
	t.request, t.exact = requestHead(r)
	return t
}

// requestHead returns the head of a request as it came, or if TLS keeps that from us, as net/http has understood it.
func requestHead(r *http.Request) (head []byte, exact bool) {
	if c := wire.Of(r.Context()); c != nil {
		first, _ := c.Request()
		if end := bytes.Index(first, []byte("\r\n\r\n")); end >= 0 {
			return starred(first[:end+4]), true
		}
	}
	head, _ = httputil.DumpRequest(r, false) // without the body it cannot fail
	return starred(head), false
}

// secrets are fields whose values a browser keeps from its pages, or a proxy adds for the server only.
var secrets = regexp.MustCompile(`(?mi)^((?:cookie|(?:proxy-)?authorization)[ \t]*:[ \t]*)([^\r\n]*)`)

// starred replaces the values of secrets, and nothing else: what a page may not read it must not be shown on a detour either.
func starred(head []byte) []byte {
	return secrets.ReplaceAllFunc(head, func(line []byte) []byte {
		name := secrets.FindSubmatch(line)[1]
		return append(bytes.Clone(name), bytes.Repeat([]byte("*"), len(line)-len(name))...)
	})
}

// attach gives the tap its connection.
func (t *tap) attach(nc net.Conn, behind []byte) net.Conn {
	t.Conn = nc
	t.passIn(behind)
	return t
}

// passIn works through what comes from the browser.
func (t *tap) passIn(p []byte) {
	t.reading.Lock()
	defer t.reading.Unlock()
	t.in.feed(p, t.found(false))
}

// found returns what reports the frames of one direction.
func (t *tap) found(server bool) func(frame) {
	return func(f frame) {
		if t.reports != nil {
			t.reports.tell(report{Kind: kindFrame, Server: server, Header: f.header, Payload: f.payload, Length: f.length,
				Message: f.message, Inflated: f.inflated})
		}
	}
}

// Read implements net.Conn.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.passIn(p[:n])
	return n, err
}

// Write implements net.Conn. What is written is reported before the peer can answer it.
func (t *tap) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.passOut(p)
	n, err := t.Conn.Write(p)
	if err == nil && t.out.between() && t.opened && len(t.waiting) > 0 {
		waiting := t.waiting
		t.waiting = nil
		t.passOut(waiting)
		_, err = t.Conn.Write(waiting)
	}
	return n, err
}

// inject writes frames of our own between those of the WebSocket.
func (t *tap) inject(frames []byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if !t.opened || !t.out.between() {
		t.waiting = append(t.waiting, frames...)
		return nil
	}
	if err := t.Conn.SetWriteDeadline(time.Now().Add(injectTimeout)); err != nil {
		return err
	}
	t.passOut(frames)
	_, err := t.Conn.Write(frames)
	return err
}

// passOut works through what goes to the browser: first the response. writing is held.
func (t *tap) passOut(p []byte) {
	if !t.opened {
		if len(t.response) > maxResponse {
			return
		}
		before := len(t.response)
		t.response = append(t.response, p...)
		end := bytes.Index(t.response, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		t.response = t.response[:end+4]
		p = p[end+4-before:]
		t.open()
	}
	t.out.feed(p, t.found(true))
}

// open reports the handshake, and readies the inflaters for what was agreed on.
func (t *tap) open() {
	t.opened = true
	agreed := agreement(t.response)
	what := report{Kind: kindOpen, Request: t.request, Exact: t.exact, Response: t.response}
	if agreed != nil {
		what.Compression = &compression{agreed.ServerMaxWindowBits, agreed.ClientMaxWindowBits,
			!agreed.ServerNoContextTakeover, !agreed.ClientNoContextTakeover}
		t.reading.Lock()
		defer t.reading.Unlock()
		t.out.inflater = deflate.NewDecompressor(nil, agreed.ServerMaxWindowBits, !agreed.ServerNoContextTakeover)
		t.in.inflater = deflate.NewDecompressor(nil, agreed.ClientMaxWindowBits, !agreed.ClientNoContextTakeover)
	}
	if t.reports != nil {
		t.reports.tell(what)
	}
}

// agreement returns what a response says about compression, or nil.
func agreement(response []byte) *deflate.Params {
	head, _, err := protocol.ParseResponse(response, protocol.Limits{})
	if err != nil {
		return nil
	}
	extensions, err := protocol.ParseExtensions(head.Header.Values("Sec-WebSocket-Extensions"))
	if err != nil || len(extensions) == 0 || extensions[0].Name != deflate.Name {
		return nil
	}
	agreed, err := (&deflate.Options{}).Confirm(extensions[0].Params)
	if err != nil {
		return nil
	}
	return &agreed
}

// CloseWrite passes the end of the output on.
func (t *tap) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// finish gives back what the tap holds.
func (t *tap) finish() {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.reading.Lock()
	defer t.reading.Unlock()
	t.in.giveUp()
	t.out.giveUp()
	if t.reports != nil {
		t.reports.close()
	}
}

// Close implements net.Conn.
func (t *tap) Close() error {
	err := t.Conn.Close()
	t.closed.Do(t.finish)
	return err
}
