package protocol

// Error says how the peer broke the protocol: the code that the closing frame
// carries and a sentence for people. The connection that it names is dead.
type Error struct {
	Code   StatusCode
	Reason string
}

func (e *Error) Error() string {
	return "websocket: peer failed the connection rules: " + e.Reason + ", closing with " + e.Code.String()
}

// Every fixed violation once, so that failing allocates nothing that a hostile
// peer could make us pay for.
var (
	errLengthNotMinimal  = &Error{StatusProtocolError, "payload length is not minimally encoded"}
	errLengthTopBit      = &Error{StatusProtocolError, "64-bit payload length has its top bit set"}
	errRSV               = &Error{StatusProtocolError, "reserved bit set without an extension that owns it"}
	errRSVContinuation   = &Error{StatusProtocolError, "RSV1 set on a frame that does not start a message"}
	errRSVControl        = &Error{StatusProtocolError, "reserved bit set on a control frame"}
	errOpcode            = &Error{StatusProtocolError, "reserved opcode"}
	errControlFragmented = &Error{StatusProtocolError, "control frame is fragmented"}
	errControlTooLong    = &Error{StatusProtocolError, "control frame carries more than 125 bytes"}
	errNotMasked         = &Error{StatusProtocolError, "frame from a client is not masked"}
	errMasked            = &Error{StatusProtocolError, "frame from a server is masked"}
	errNoMessage         = &Error{StatusProtocolError, "continuation frame without a message to continue"}
	errMessageOpen       = &Error{StatusProtocolError, "new message before the last one ended"}
	errCloseOneByte      = &Error{StatusProtocolError, "close frame with one byte of payload"}
	errCloseReasonUTF8   = &Error{StatusInvalidPayload, "close reason is not valid UTF-8"}
	errTextUTF8          = &Error{StatusInvalidPayload, "text message is not valid UTF-8"}
	errMessageTooBig     = &Error{StatusMessageTooBig, "message is larger than the limit"}
	errDeflate           = &Error{StatusInvalidPayload, "compressed message cannot be inflated"}
)
