package websocket

import "net"

// driver carries a connection's bytes. There are two with one behaviour: the
// pump, which reads on a goroutine of its own, and the seat in an event loop. The
// outbox and the protocol do not know which. mu is held where it says so.
type driver interface {
	// begin starts to read, with the bytes that came behind the handshake.
	begin(buffered []byte)

	// write writes what the network takes at once: n < len(p) comes with
	// loop.ErrWouldBlock or with the connection's failure. mu is held.
	write(p []byte) (n int, err error)

	// later makes flush be called when the network takes more, or writes the
	// outbox by itself until it is empty; blocked is set meanwhile. mu is held.
	later()

	// caughtUp is called when the outbox has become empty after later. mu is held.
	caughtUp()

	// gather reports whether what is in the outbox may stay there for the
	// moment: it is flushed soon. Many says that more connections are about to
	// be sent the same. mu is held.
	gather(many bool) bool

	// uncorked is called when a batch has been worked through. mu is held.
	uncorked()

	// interrupt makes the reader see that the connection is broken. mu is held.
	interrupt()

	// cut ends TCP at once, whatever the reader is doing.
	cut()

	// shut closes the transport. It is the last call. Nothing is written any more.
	shut()

	localAddr() net.Addr
	remoteAddr() net.Addr
}
