package protocol

import (
	"errors"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// Config is what an Endpoint needs to know of its connection. One Config may
// serve any number of endpoints; it must not change while one uses it.
type Config struct {
	Role Role

	// MaxMessage is the most bytes that a received message may have, after
	// inflating. Zero or less means DefaultMaxMessage.
	MaxMessage int64

	// Pieces makes the payload of a message come out as it arrives, in
	// several EventData, instead of as one event when it is whole. A
	// compressed message is one piece: it is inflated when it is all there.
	Pieces bool

	// Only refuses messages of the other kind with 1003: OpText, OpBinary,
	// or 0 for both.
	Only Opcode
}

// DefaultMaxMessage is the limit where Config sets none: 1 MiB.
const DefaultMaxMessage = 1 << 20

func (c *Config) maxMessage() int64 {
	if c.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return c.MaxMessage
}

// maxCompressed bounds the compressed bytes of one message. Deflate can expand
// what it cannot compress, and every flush between fragments adds some bytes.
func (c *Config) maxCompressed() int64 {
	m := c.maxMessage()
	return m + min(m/8, 1<<40) + 1024
}

// EventKind says what a Receiver found in its input.
type EventKind uint8

// The kinds of events.
const (
	EventNone   EventKind = iota // all input is used up; feed more
	EventData                    // a message, or with Config.Pieces a piece of one
	EventPing                    // answered by Sender.Reply
	EventPong                    //
	EventClose                   // the peer's close frame; answered by Sender.Reply
	EventFailed                  // the peer broke the protocol; Sender.Reply closes
)

// Event is one thing that arrived. Payload lies in the caller's input or in a
// buffer of the Receiver and is valid until the Receiver's next call.
type Event struct {
	Kind    EventKind
	Opcode  Opcode // EventData: OpText or OpBinary
	Final   bool   // EventData: the message ends here; always true without Config.Pieces
	Code    StatusCode
	Payload []byte
	Err     *Error // EventFailed
}

// Receiver is the receiving half of an endpoint: the parser of RFC 6455,
// section 5. It is resumable at every byte. After a close frame or a failure
// it discards everything.
type Receiver struct {
	config   *Config
	inflater *deflate.Decompressor // nil unless compression was agreed

	remaining int64   // bytes of the current frame's payload still to come
	total     int64   // bytes of the current message, as on the wire, frames so far included
	held      *Buffer // an unfinished message or control frame's payload, or nil
	lent      *Buffer // what the last event's Payload lies in, or nil
	key       [4]byte // rotated as the payload passes

	header  [MaxHeaderLength]byte // a header that is not all there
	headerN uint8

	opcode     Opcode // of the current frame
	message    Opcode // of the unfinished message, 0 when there is none
	fin        bool   // the current frame ends its message
	inFrame    bool   // the header was read, the frame's payload is not over
	compressed bool   // the unfinished message has RSV1
	done       bool   // closed or failed: discard
	control    *Buffer
	text       utf8Checker
}

// Next parses in up to the next event and returns how many bytes it used;
// payloads are unmasked in place, in. Call it again with the rest until it
// returns EventNone, which uses all of in.
func (r *Receiver) Next(in []byte) (ev Event, n int) {
	if r.lent != nil {
		r.lent.Release()
		r.lent = nil
	}
	if r.done {
		return Event{}, len(in)
	}
	if ev, n := r.smallMessage(in); n > 0 {
		return ev, n
	}
	for {
		if !r.inFrame {
			used, err := r.readHeader(in[n:])
			n += used
			if err != nil {
				return r.fail(err), n
			}
			if !r.inFrame {
				return Event{}, n
			}
		}
		take := int(min(r.remaining, int64(len(in)-n)))
		if take == 0 && r.remaining > 0 {
			return Event{}, n
		}
		piece := in[n : n+take : n+take]
		n += take
		r.remaining -= int64(take)
		r.unmask(piece)
		r.inFrame = r.remaining > 0
		if r.opcode.Control() {
			ev = r.controlPiece(piece)
		} else {
			ev = r.dataPiece(piece)
		}
		if ev.Kind != EventNone || n == len(in) {
			return ev, n
		}
	}
}

// Room returns where the input's next bytes belong if all of them are payload of
// a message that is being collected, so that a driver can read them into place
// and save a copy. What it has read there it tells Filled. Room returns nil when
// input has to go through Next, and when fewer than least bytes of the frame
// are to come. The memory grows with what has arrived, not with what a header
// claims. Like Next, it ends the last event's loan.
func (r *Receiver) Room(least int) []byte {
	r.lent.Release()
	r.lent = nil
	if r.done || !r.inFrame || r.opcode.Control() || r.held == nil || r.compressed || r.remaining < int64(least) {
		return nil
	}
	have := len(r.held.B)
	r.held.Grow(int(min(r.remaining, int64(max(3*have, least)))), int(min(r.total, 1<<30)))
	return r.held.B[have:int(min(int64(cap(r.held.B)), int64(have)+r.remaining))]
}

// Filled takes the n bytes that were read into Room's slice.
func (r *Receiver) Filled(n int) Event {
	have := len(r.held.B)
	r.held.B = r.held.B[:have+n]
	piece := r.held.B[have:]
	r.remaining -= int64(n)
	r.unmask(piece)
	r.inFrame = r.remaining > 0
	final := r.fin && !r.inFrame
	if !r.textGoesOn(piece, final) {
		return r.fail(errTextUTF8)
	}
	return r.collected(final)
}

// unmask unmasks the frame's next bytes.
func (r *Receiver) unmask(piece []byte) {
	if r.config.Role == Server && len(piece) > 0 {
		Mask(piece, r.key, 0)
		r.key = rotatedKey(r.key, len(piece))
	}
}

// smallMessage is the short way through Next for what most input is: the
// start of a message that is whole in one plain frame with a 7-bit length, and
// all there. n is 0 for anything else, which the long way then judges.
func (r *Receiver) smallMessage(in []byte) (ev Event, n int) {
	if r.inFrame || r.headerN != 0 || r.message != 0 || r.config.Role == Client || r.config.Only != 0 || len(in) < 6 {
		return ev, 0
	}
	op, length := Opcode(in[0]&^finBit), int(in[1]&^maskBit)
	if in[0]&finBit == 0 || op != OpText && op != OpBinary || in[1]&maskBit == 0 ||
		length >= len16 || len(in) < 6+length || int64(length) > r.config.maxMessage() {
		return ev, 0
	}
	n = 6 + length
	payload := in[6:n:n]
	Mask(payload, [4]byte(in[2:6]), 0)
	if op == OpText && !utf8.Valid(payload) {
		return r.fail(errTextUTF8), n
	}
	return Event{Kind: EventData, Opcode: op, Final: true, Payload: payload}, n
}

// Paused reports whether the Receiver stands between two messages with nothing
// half received.
func (r *Receiver) Paused() bool {
	return !r.inFrame && r.headerN == 0 && r.message == 0
}

// Done reports whether everything that still arrives is discarded.
func (r *Receiver) Done() bool { return r.done }

// Close gives back what the Receiver holds; later input is discarded.
func (r *Receiver) Close() {
	r.done = true
	r.held.Release()
	r.lent.Release()
	r.control.Release()
	r.held, r.lent, r.control = nil, nil, nil
	if r.inflater != nil {
		r.inflater.Close()
		r.inflater = nil
	}
}

// fail ends the connection's receiving side.
func (r *Receiver) fail(err *Error) Event {
	r.Close()
	return Event{Kind: EventFailed, Code: err.Code, Err: err}
}

// readHeader takes a header from in, which may start in the middle of one, and
// starts its frame. r.inFrame tells whether the header was all there.
func (r *Receiver) readHeader(in []byte) (used int, _ *Error) {
	head, before := in, int(r.headerN)
	if before > 0 {
		head = r.header[:before+copy(r.header[before:], in)]
	}
	if err := r.checkStart(head); err != nil {
		return 0, err
	}
	h, n, err := ParseHeader(head)
	if err != nil {
		return 0, err
	}
	if n == 0 { // not all there: keep what came
		r.headerN = uint8(before + copy(r.header[before:], in))
		return len(in), nil
	}
	r.headerN = 0
	return n - before, r.startFrame(h)
}

// startFrame makes a header that passed checkStart the current frame.
func (r *Receiver) startFrame(h FrameHeader) *Error {
	r.inFrame, r.fin, r.opcode, r.remaining, r.key = true, h.Fin, h.Opcode, h.Length, h.Key
	if h.Opcode.Control() {
		return nil
	}
	if h.Opcode != OpContinuation {
		r.message, r.total = h.Opcode, 0
		r.compressed = h.Rsv&RSV1 != 0
		r.text = utf8Checker{}
	}
	limit := r.config.maxMessage()
	if r.compressed {
		limit = r.config.maxCompressed()
	}
	if h.Length > limit-r.total {
		return errMessageTooBig
	}
	r.total += h.Length
	return nil
}

// checkStart applies the rules that a header's first two bytes decide, to as
// many of them as are there. It comes before the length is known, so that a
// peer that stalls inside a wrong header fails too, and so that the verdict
// does not depend on how the bytes were split.
func (r *Receiver) checkStart(head []byte) *Error {
	if len(head) == 0 {
		return nil
	}
	op := Opcode(head[0] & 0xF)
	if err := r.checkFirstByte(op, head[0]); err != nil || len(head) == 1 {
		return err
	}
	switch masked := head[1]&maskBit != 0; {
	case op.Control() && head[1]&^maskBit > MaxControlPayload: // section 5.5
		return errControlTooLong
	case masked && r.config.Role == Client: // section 5.1
		return errMasked
	case !masked && r.config.Role == Server: // section 5.1
		return errNotMasked
	}
	return nil
}

// checkFirstByte applies the rules on FIN, RSV and opcode (section 5.2, 5.4, 5.5).
func (r *Receiver) checkFirstByte(op Opcode, b0 byte) *Error {
	if !op.Defined() {
		return errOpcode
	}
	if rsv := b0 & rsvBits; rsv != 0 {
		switch {
		case rsv != RSV1 || r.inflater == nil:
			return errRSV
		case op.Control(): // RFC 7692, section 6.1: control frames are never compressed
			return errRSVControl
		case op == OpContinuation: // RFC 7692, section 6: only the first frame has it
			return errRSVContinuation
		}
	}
	switch {
	case op.Control():
		if b0&finBit == 0 {
			return errControlFragmented
		}
	case op == OpContinuation:
		if r.message == 0 {
			return errNoMessage
		}
	case r.message != 0:
		return errMessageOpen
	case r.config.Only != 0 && op != r.config.Only:
		return &Error{StatusUnsupportedData, "this endpoint takes only " + r.config.Only.String() + " messages"}
	}
	return nil
}

// controlPiece takes the next bytes of a control frame (section 5.5).
func (r *Receiver) controlPiece(piece []byte) Event {
	if r.inFrame || r.control != nil {
		if r.control == nil {
			r.control = GetBuffer(MaxControlPayload)
		}
		r.control.B = append(r.control.B, piece...)
		if r.inFrame {
			return Event{}
		}
		piece = r.control.B
		r.lent, r.control = r.control, nil
	}
	switch r.opcode {
	case OpPing:
		return Event{Kind: EventPing, Payload: piece}
	case OpPong:
		return Event{Kind: EventPong, Payload: piece}
	default:
		code, reason, err := parseClose(piece)
		if err != nil {
			return r.fail(err)
		}
		r.done = true // section 1.4: after a close frame, further data is discarded
		return Event{Kind: EventClose, Code: code, Payload: reason}
	}
}

// dataPiece takes the next bytes of a text or binary message.
func (r *Receiver) dataPiece(piece []byte) Event {
	final := r.fin && !r.inFrame
	if r.compressed {
		return r.compressedPiece(piece, final)
	}
	if !r.textGoesOn(piece, final) {
		return r.fail(errTextUTF8)
	}
	if r.config.Pieces {
		if len(piece) == 0 && !final {
			return Event{}
		}
		return r.data(piece, final)
	}
	if r.held == nil && final { // whole in the caller's buffer
		return r.data(piece, final)
	}
	r.hold(piece)
	return r.collected(final)
}

// textGoesOn checks the next bytes of a message, if it is text.
func (r *Receiver) textGoesOn(piece []byte, final bool) bool {
	return r.message != OpText || r.text.write(piece) && (!final || r.text.complete())
}

// collected makes the event of a message that was held, once it is whole.
func (r *Receiver) collected(final bool) Event {
	if !final {
		return Event{}
	}
	r.lent, r.held = r.held, nil
	return r.data(r.lent.B, final)
}

// compressedPiece collects a compressed message and inflates it when it is
// whole (RFC 7692, section 6.2).
func (r *Receiver) compressedPiece(piece []byte, final bool) Event {
	if r.held != nil || !final {
		r.hold(piece)
		if !final {
			return Event{}
		}
		piece = r.held.B
	}
	out := GetBuffer(min(4*len(piece), int(min(r.config.maxMessage(), 1<<16))))
	plain, err := r.inflater.AppendMessage(out.B, piece, int(r.config.maxMessage()))
	out.B = plain
	r.held.Release()
	r.held, r.lent = nil, out
	switch {
	case errors.Is(err, deflate.ErrTooLarge):
		return r.fail(errMessageTooBig)
	case err != nil:
		return r.fail(errDeflate)
	case r.message == OpText && (!r.text.write(plain) || !r.text.complete()):
		return r.fail(errTextUTF8)
	}
	return r.data(plain, true)
}

// hold appends piece to the unfinished message. Memory follows the bytes that
// arrived, never the length that a header claims.
func (r *Receiver) hold(piece []byte) {
	if r.held == nil {
		r.held = GetBuffer(len(piece))
	}
	r.held.Grow(len(piece), int(min(r.total, 1<<30)))
	r.held.B = append(r.held.B, piece...)
}

// data makes the event of a message or piece and, at its end, readies the
// Receiver for the next message.
func (r *Receiver) data(p []byte, final bool) Event {
	ev := Event{Kind: EventData, Opcode: r.message, Final: final, Payload: p}
	if final {
		r.message = 0
	}
	return ev
}
