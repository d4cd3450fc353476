// Package webapi is the browser's WebSocket interface in Go: the names, states,
// checks and order of events of the WHATWG WebSockets Standard, and beside it
// Reconnecting, a client that reconnects by itself.
//
//	ws, err := webapi.New("wss://example.com/chat", "chat")
//	ws.OnOpen(func(*webapi.OpenEvent) { ws.Send("hello") })
//	ws.OnMessage(func(e *webapi.MessageEvent) { fmt.Println(e.Data) })
//	ws.OnClose(func(e *webapi.CloseEvent) { fmt.Println(e.Code, e.Reason, e.WasClean) })
//	<-ws.Done()
//
// What differs from a browser: attributes are methods, exceptions are errors of
// type *DOMException, an error event says what went wrong, and an Origin header
// is sent only if the program sets one.
package webapi

import (
	"github.com/duplex-websocket/duplex/websocket"
)

// ReadyState is the state of a socket, with the standard's numbers.
type ReadyState uint16

// The states of a socket.
const (
	Connecting ReadyState = 0
	Open       ReadyState = 1
	Closing    ReadyState = 2
	Closed     ReadyState = 3
)

// String returns the standard's name, such as "CONNECTING".
func (s ReadyState) String() string {
	if names := [...]string{"CONNECTING", "OPEN", "CLOSING", "CLOSED"}; int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Options is what a Go program may set beyond the standard. The zero value, and
// nil, stand for the defaults that each field names.
type Options struct {
	// Dial configures the handshake (headers, TLS, proxy, cookies) and the
	// connection (limits, keepalive, compression). Its Subprotocols must be
	// empty, they are an argument. Defaults that differ from Dial's:
	// MaxRedirects none, as the standard wants; MaxMessage 16 MiB; Outbox
	// 64 KiB, because what waits is kept here.
	Dial websocket.DialOptions

	// BinaryType is the first value of SetBinaryType. Default: BinaryTypeBlob.
	BinaryType BinaryType

	// MaxBuffered is the most bytes that BufferedAmount may reach. Send beyond
	// it closes the connection at once, as the standard wants of a full buffer.
	// Default: 64 MiB.
	MaxBuffered int

	// The handlers that are set from the start, so that no event can come
	// before them. Default: none.
	OnOpen    func(*OpenEvent)
	OnMessage func(*MessageEvent)
	OnError   func(*ErrorEvent)
	OnClose   func(*CloseEvent)
}

const (
	defaultMaxMessage  = 16 << 20
	defaultOutbox      = 64 << 10
	defaultMaxBuffered = 64 << 20
)

// withDefaults returns a checked copy of o in which this package's defaults are
// filled in. o may be nil.
func (o *Options) withDefaults(protocols []string) (*Options, error) {
	out := Options{}
	if o != nil {
		out = *o
	}
	switch {
	case len(out.Dial.Subprotocols) > 0:
		return nil, &DOMException{"SyntaxError", "Options.Dial.Subprotocols is set; give the subprotocols as the argument"}
	case out.BinaryType != "" && !out.BinaryType.valid():
		return nil, syntaxError("Options.BinaryType %q is not in the standard", out.BinaryType)
	case out.MaxBuffered < 0:
		return nil, &DOMException{"SyntaxError", "Options.MaxBuffered is negative; 0 means its default"}
	}
	out.Dial.Subprotocols = protocols
	if out.Dial.MaxRedirects == 0 {
		out.Dial.MaxRedirects = -1
	}
	if out.Dial.MaxMessage == 0 {
		out.Dial.MaxMessage = defaultMaxMessage
	}
	if out.Dial.Outbox == 0 {
		out.Dial.Outbox = defaultOutbox
	}
	if out.BinaryType == "" {
		out.BinaryType = BinaryTypeBlob
	}
	if out.MaxBuffered == 0 {
		out.MaxBuffered = defaultMaxBuffered
	}
	return &out, nil
}

// setHandlers registers the handlers that are set.
func (o *Options) setHandlers(t *EventTarget) {
	t.OnOpen(o.OnOpen)
	t.OnMessage(o.OnMessage)
	t.OnError(o.OnError)
	t.OnClose(o.OnClose)
}

// WebSocket is the standard's WebSocket. Every method may be called from any
// goroutine, also by listeners. Its events are open once, message any number of
// times, error at most once, close once and last.
type WebSocket struct {
	EventTarget
	c *connection
}

// New begins to open a connection to a ws, wss, http or https URL and returns at
// once; the open event, or error and close, follow. Protocols are offered to the
// server, which must take one of them if there are any. A URL or a protocol that
// is not valid is ErrSyntax.
func New(url string, protocols ...string) (*WebSocket, error) {
	return NewWithOptions(url, protocols, nil)
}

// NewWithOptions is New with options. o may be nil. Options that
// websocket.Dial refuses end in an error event.
func NewWithOptions(url string, protocols []string, o *Options) (*WebSocket, error) {
	w, err := newWebSocket(url, protocols, o)
	if err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

func newWebSocket(url string, protocols []string, o *Options) (*WebSocket, error) {
	p, err := newPlan(url, protocols, o)
	if err != nil {
		return nil, err
	}
	w := &WebSocket{}
	w.init(p.options.Dial.Logger)
	p.options.setHandlers(&w.EventTarget)
	w.c = newConnection(p, w, &w.EventTarget)
	return w, nil
}

func (w *WebSocket) run() {
	err := w.c.run()
	closed := closeEvent(w, err)
	w.post(func() []Event {
		w.c.end(closed.WasClean)
		if closed.WasClean {
			return []Event{closed}
		}
		return []Event{&ErrorEvent{Err: err, target: w}, closed}
	}, w.end)
}

// URL returns the URL that was given, in its normal form.
func (w *WebSocket) URL() string { return w.c.url }

// ReadyState returns the state.
func (w *WebSocket) ReadyState() ReadyState { return w.c.readyState() }

// Protocol returns the subprotocol that the server chose, or "".
func (w *WebSocket) Protocol() string { return w.c.agreed().protocol }

// Extensions returns the extensions that the server chose, or "".
func (w *WebSocket) Extensions() string { return w.c.agreed().extensions }

// BufferedAmount returns how many bytes of messages were given to Send and have
// not reached the network. It does not go back to 0 when the connection closes;
// from then on every Send adds to it.
func (w *WebSocket) BufferedAmount() int64 { return w.c.bufferedAmount() }

// BinaryType returns what the Data of a binary message is.
func (w *WebSocket) BinaryType() BinaryType { return w.c.binaryType() }

// SetBinaryType sets what the Data of a binary message is, for the events that
// are fired from now on. A value that is not in the standard is ignored.
func (w *WebSocket) SetBinaryType(t BinaryType) { w.c.setBinaryType(t) }

// Send sends a string as a text message, or a []byte or Blob as a binary one,
// and returns at once. Data may be reused. A string is sent with U+FFFD for what
// is not UTF-8. Before the open event it is ErrInvalidState. When the connection
// is closing or closed, the message only counts in BufferedAmount.
func (w *WebSocket) Send(data any) error { return w.c.sendAny(data) }

// Close begins the closing handshake behind what was sent before, with code 1000
// or 3000 to 4999, or 0 for none, and at most 123 bytes of reason. Other codes are
// ErrInvalidAccess, a longer reason is ErrSyntax. Before the open event it gives
// the connection up: error and close with 1006 follow. When the socket is closing
// or closed, it does nothing. It does not wait; see Done.
func (w *WebSocket) Close(code websocket.StatusCode, reason string) error {
	code, reason, err := checkClose(code, reason)
	if err != nil {
		return err
	}
	w.c.close(code, reason)
	return nil
}
