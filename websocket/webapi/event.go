package webapi

import (
	"bytes"
	"io"

	"github.com/duplex-websocket/duplex/websocket"
)

// The types of events, as AddEventListener takes them.
const (
	TypeOpen    = "open"    // *OpenEvent
	TypeMessage = "message" // *MessageEvent
	TypeError   = "error"   // *ErrorEvent
	TypeClose   = "close"   // *CloseEvent

	// TypeStateChange is fired by a Reconnecting only: *StateEvent.
	TypeStateChange = "statechange"
)

// Event is what listeners are called with: one of the pointer types below.
type Event interface {
	// Type is one of the Type constants.
	Type() string
	// Target is the socket at which the event was fired, a *WebSocket or a
	// *Reconnecting.
	Target() Socket
}

// Socket is what WebSocket and Reconnecting have in common for a listener that
// serves both.
type Socket interface {
	URL() string
	ReadyState() ReadyState
	BufferedAmount() int64
	Send(data any) error
	Close(code websocket.StatusCode, reason string) error
}

var (
	_ Socket = (*WebSocket)(nil)
	_ Socket = (*Reconnecting)(nil)

	_ Event = (*OpenEvent)(nil)
	_ Event = (*MessageEvent)(nil)
	_ Event = (*ErrorEvent)(nil)
	_ Event = (*CloseEvent)(nil)
	_ Event = (*StateEvent)(nil)
)

// OpenEvent says that the connection is open. A Reconnecting fires one for each
// connection.
type OpenEvent struct {
	target     Socket
	connection *connection
}

// Type returns TypeOpen.
func (e *OpenEvent) Type() string { return TypeOpen }

// Target returns the socket.
func (e *OpenEvent) Target() Socket { return e.target }

// SendFirst is Send for what must come before all else on this connection, such
// as a token or where to resume: on a Reconnecting it goes ahead of the messages
// that were queued while there was no connection. It is for the listener that
// got the event; once the listeners have returned it is the same as Send.
func (e *OpenEvent) SendFirst(data any) error { return e.connection.sendAny(data) }

// MessageEvent carries a message.
type MessageEvent struct {
	// Data is a string for a text message. For a binary one it is a Blob or a
	// []byte of the listener's own, as BinaryType says.
	Data any
	// Origin is the scheme, host and port of the socket's URL.
	Origin string

	target Socket
}

// Type returns TypeMessage.
func (e *MessageEvent) Type() string { return TypeMessage }

// Target returns the socket.
func (e *MessageEvent) Target() Socket { return e.target }

// ErrorEvent says that a connection could not be opened, or that it ended
// without a closing handshake; a browser hides why.
type ErrorEvent struct {
	// Err is a *websocket.HandshakeError, a *websocket.CloseError with 1006, a
	// *websocket.ProtocolError, or a network's or context's error.
	Err error

	target Socket
}

// Type returns TypeError.
func (e *ErrorEvent) Type() string { return TypeError }

// Target returns the socket.
func (e *ErrorEvent) Target() Socket { return e.target }

// CloseEvent is the last event of a socket.
type CloseEvent struct {
	// Code and Reason are those of the peer's close frame; 1005 when it had
	// none, 1006 when there was no close frame (RFC 6455, section 7.1.5).
	Code   websocket.StatusCode
	Reason string
	// WasClean is true when the closing handshake was done.
	WasClean bool

	target Socket
}

// Type returns TypeClose.
func (e *CloseEvent) Type() string { return TypeClose }

// Target returns the socket.
func (e *CloseEvent) Target() Socket { return e.target }

// BinaryType says what the Data of a binary message is.
type BinaryType string

// The two binary types of the standard.
const (
	// BinaryTypeBlob makes it a Blob. It is the default.
	BinaryTypeBlob BinaryType = "blob"
	// BinaryTypeArrayBuffer makes it a []byte.
	BinaryTypeArrayBuffer BinaryType = "arraybuffer"
)

func (t BinaryType) valid() bool { return t == BinaryTypeBlob || t == BinaryTypeArrayBuffer }

// Blob is bytes that do not change. The zero value is empty.
type Blob struct{ data []byte }

// NewBlob returns a Blob with a copy of data.
func NewBlob(data []byte) Blob { return Blob{bytes.Clone(data)} }

// Size returns the number of bytes.
func (b Blob) Size() int { return len(b.data) }

// Bytes returns a copy of the bytes.
func (b Blob) Bytes() []byte { return bytes.Clone(b.data) }

// Text returns the bytes as UTF-8, with U+FFFD for what is not.
func (b Blob) Text() string { return toUSV(string(b.data)) }

// Slice returns the bytes from start to before end, without a copy. As in the
// standard, a negative position counts from the end and what lies outside is cut.
func (b Blob) Slice(start, end int) Blob {
	at := func(i int) int {
		if i < 0 {
			i += len(b.data)
		}
		return min(max(i, 0), len(b.data))
	}
	from := at(start)
	return Blob{b.data[from:max(from, at(end))]}
}

// Stream returns a reader of the bytes, without a copy.
func (b Blob) Stream() io.ReadSeeker { return bytes.NewReader(b.data) }
