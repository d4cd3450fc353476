package conformance

import (
	"encoding/binary"
	"unicode/utf8"
)

// codeClass sorts close codes by what RFC 6455 section 7.4 and IANA's registry say about them on the wire.
type codeClass uint8

const (
	codeDefined    codeClass = iota // registered, or for libraries (3000) and applications (4000)
	codeUnassigned                  // 1000 to 2999 without a meaning: for future use
	codeForbidden                   // never on the wire
)

func classOf(code int) codeClass {
	switch {
	case code == 1005, code == 1006, code == 1015, code < 1000, code >= 5000:
		return codeForbidden
	case code == 1004, code >= 1016 && code <= 2999:
		return codeUnassigned
	}
	return codeDefined
}

// lawfulClose reports whether a close frame with this payload may be sent at all, RFC 6455 sections 5.5.1 and 7.4.1.
func lawfulClose(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if len(p) == 1 || len(p) > 125 {
		return false
	}
	return classOf(int(binary.BigEndian.Uint16(p))) != codeForbidden && utf8.Valid(p[2:])
}
