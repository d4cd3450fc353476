package protocol

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// StatusCode is the number that a close frame carries (RFC 6455, section 7.4).
type StatusCode uint16

// The status codes of RFC 6455, section 7.4.1, and of the IANA registry.
const (
	StatusNormalClosure      StatusCode = 1000
	StatusGoingAway          StatusCode = 1001
	StatusProtocolError      StatusCode = 1002
	StatusUnsupportedData    StatusCode = 1003
	StatusNoStatus           StatusCode = 1005 // never on the wire: the close frame had no code
	StatusAbnormalClosure    StatusCode = 1006 // never on the wire: there was no close frame
	StatusInvalidPayload     StatusCode = 1007
	StatusPolicyViolation    StatusCode = 1008
	StatusMessageTooBig      StatusCode = 1009
	StatusMandatoryExtension StatusCode = 1010
	StatusInternalError      StatusCode = 1011
	StatusServiceRestart     StatusCode = 1012
	StatusTryAgainLater      StatusCode = 1013
	StatusBadGateway         StatusCode = 1014
	StatusTLSHandshake       StatusCode = 1015 // never on the wire: TLS failed
)

var statusNames = map[StatusCode]string{
	StatusNormalClosure:      "normal closure",
	StatusGoingAway:          "going away",
	StatusProtocolError:      "protocol error",
	StatusUnsupportedData:    "unsupported data",
	StatusNoStatus:           "no status received",
	StatusAbnormalClosure:    "abnormal closure",
	StatusInvalidPayload:     "invalid payload data",
	StatusPolicyViolation:    "policy violation",
	StatusMessageTooBig:      "message too big",
	StatusMandatoryExtension: "mandatory extension",
	StatusInternalError:      "internal error",
	StatusServiceRestart:     "service restart",
	StatusTryAgainLater:      "try again later",
	StatusBadGateway:         "bad gateway",
	StatusTLSHandshake:       "TLS handshake",
}

// String returns the code with its name, such as "1001 (going away)".
func (c StatusCode) String() string {
	if name, ok := statusNames[c]; ok {
		return fmt.Sprintf("%d (%s)", uint16(c), name)
	}
	return fmt.Sprintf("%d", uint16(c))
}

// MaxCloseReason is the most bytes that a close frame's reason may have: a
// control payload less the two bytes of the code.
const MaxCloseReason = MaxControlPayload - 2

// codeRange is a run of codes that may stand in a close frame.
type codeRange struct{ first, last StatusCode }

// wireCodes lists what may be sent and received. Sections 7.4.1 and 7.4.2:
// 0-999 are unused, 1004 is reserved, 1005, 1006 and 1015 are never sent, the
// rest of 1000-2999 is for the protocol (1012-1014 were registered later),
// 3000-3999 for registered libraries and 4000-4999 for private use.
var wireCodes = [...]codeRange{
	{StatusNormalClosure, StatusUnsupportedData},
	{StatusInvalidPayload, StatusBadGateway},
	{3000, 4999},
}

// OnWire reports whether the code may stand in a close frame.
func (c StatusCode) OnWire() bool {
	for _, r := range wireCodes {
		if r.first <= c && c <= r.last {
			return true
		}
	}
	return false
}

// CheckClose reports why code and reason cannot be sent in a close frame, or
// nil. StatusNoStatus stands for a frame without a code and takes no reason.
func CheckClose(code StatusCode, reason string) error {
	switch {
	case code == StatusNoStatus && reason == "":
		return nil
	case code == StatusNoStatus:
		return fmt.Errorf("a close frame without a code cannot carry the reason %q", reason)
	case !code.OnWire():
		return fmt.Errorf("close code %d cannot be sent: use 1000-1003, 1007-1014 or 3000-4999", uint16(code))
	case len(reason) > MaxCloseReason:
		return fmt.Errorf("the close reason has %d bytes, at most %d fit in the frame", len(reason), MaxCloseReason)
	case !utf8.ValidString(reason):
		return fmt.Errorf("the close reason %q is not valid UTF-8", reason)
	}
	return nil
}

// parseClose decodes a close frame's payload (section 5.5.1).
func parseClose(p []byte) (StatusCode, []byte, *Error) {
	if len(p) == 0 {
		return StatusNoStatus, nil, nil
	}
	if len(p) == 1 {
		return 0, nil, errCloseOneByte
	}
	code := StatusCode(binary.BigEndian.Uint16(p))
	if !code.OnWire() {
		return 0, nil, &Error{StatusProtocolError, fmt.Sprintf("close code %d must not be sent", uint16(code))}
	}
	if !utf8.Valid(p[2:]) {
		return 0, nil, errCloseReasonUTF8
	}
	return code, p[2:], nil
}

// closePayload encodes code and reason into buf and returns what it used.
func closePayload(buf *[MaxControlPayload]byte, code StatusCode, reason string) []byte {
	if code == StatusNoStatus {
		return nil
	}
	binary.BigEndian.PutUint16(buf[:], uint16(code))
	return buf[:2+copy(buf[2:], truncateUTF8(reason, MaxCloseReason))]
}

// truncateUTF8 cuts s to at most n bytes without splitting a character.
func truncateUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
