package protocol

import (
	"encoding/base64"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// Answer checks a client's opening handshake (RFC 6455, section 4.2.1) and
// decides what to answer (section 4.2.2). The error is a [*HandshakeError] with
// the status to answer; the caller then closes the connection, since the peer may
// have sent frames behind its request that are no HTTP. Who may connect (Origin,
// cookies) is not decided here.
func (t *Terms) Answer(req *Request) (Agreement, error) {
	for _, check := range [...]func(*Request) *HandshakeError{
		func(req *Request) *HandshakeError { return t.Limits.checkTarget(req.Target) },
		func(req *Request) *HandshakeError { return t.Limits.check(req.Header) },
		checkRequestLine, checkUpgrade, checkVersion, checkKey,
	} {
		if err := check(req); err != nil {
			return Agreement{}, err
		}
	}
	a := Agreement{AcceptKey: AcceptKey(trimSpace(req.Header.Get("Sec-WebSocket-Key")))}
	var err *HandshakeError
	if a.Subprotocol, err = t.chooseSubprotocol(req.Header); err != nil {
		return Agreement{}, err
	}
	if a.Deflate, err = t.chooseDeflate(req.Header); err != nil {
		return Agreement{}, err
	}
	if a.Deflate != nil {
		a.Extensions = a.Deflate.String()
	}
	return a, nil
}

// checkRequestLine obeys RFC 6455, section 4.2.1, items 1 and 2: a GET over
// HTTP/1.1 or higher, with a Host.
func checkRequestLine(req *Request) *HandshakeError {
	if req.Method != "GET" {
		err := refuse(statusMethod, "a WebSocket handshake is a GET request, not %s", quote(req.Method))
		err.Header = Header{"Allow": {"GET"}}
		return err
	}
	if req.Major < 1 || req.Major == 1 && req.Minor < 1 {
		return refuse(statusVersion, "the request came over HTTP/%d.%d and WebSocket needs HTTP/1.1"+
			" (a proxy in between may be set to HTTP/1.0; in nginx: proxy_http_version 1.1)", req.Major, req.Minor)
	}
	if req.Major > 1 {
		return refuse(statusVersion, "the request came over HTTP/%d, which has no Upgrade; use HTTP/1.1", req.Major)
	}
	hosts := req.Header["Host"] // a parser other than ours may have left it there
	if len(hosts) > 1 || req.Host == "" && len(hosts) == 0 || req.Host == "" && hosts[0] == "" {
		return refuse(statusBadRequest, "the handshake needs exactly one Host header, which names the server")
	}
	// A GET has no body. Were one announced, its bytes would be taken for frames
	// here and for a body by a proxy in between.
	if length := req.Header.Get("Content-Length"); length != "" && length != "0" {
		return refuse(statusBadRequest, "the handshake announces a body (Content-Length %s); it must have none", quote(length))
	}
	if req.Header.Get("Transfer-Encoding") != "" {
		return refuse(statusBadRequest, "the handshake announces a body (Transfer-Encoding); it must have none")
	}
	return nil
}

// checkUpgrade obeys RFC 6455, section 4.2.1, items 3 and 4. Both fields are
// lists, in any case and over any number of lines.
func checkUpgrade(req *Request) *HandshakeError {
	if !req.Header.HasToken("Upgrade", "websocket") {
		return upgradeRequired("this address speaks WebSocket: the request needs \"Upgrade: websocket\", and \"Connection: Upgrade\"" +
			" (a proxy in between must pass both on)")
	}
	if !req.Header.HasToken("Connection", "upgrade") {
		return refuse(statusBadRequest, "the request has \"Upgrade: websocket\" but not \"Connection: Upgrade\""+
			" (a proxy in between must pass both on)")
	}
	return nil
}

// upgradeRequired answers 426, which must name the protocol to upgrade to (RFC
// 9110, section 15.5.22), and the version that we speak (RFC 6455, section 4.4).
func upgradeRequired(format string, args ...any) *HandshakeError {
	err := refuse(statusUpgrade, format, args...)
	err.Header = Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	return err
}

// checkVersion obeys RFC 6455, section 4.2.1, item 6, and section 4.4.
func checkVersion(req *Request) *HandshakeError {
	versions := req.Header.Values("Sec-WebSocket-Version")
	switch {
	case len(versions) == 0:
		return upgradeRequired("there is no Sec-WebSocket-Version header; this server speaks version 13")
	case len(versions) > 1:
		return upgradeRequired("there are %d Sec-WebSocket-Version headers; exactly one is allowed, with version 13", len(versions))
	case trimSpace(versions[0]) != "13":
		return upgradeRequired("the client asks for version %s of WebSocket; this server speaks version 13", quote(versions[0]))
	}
	return nil
}

// checkKey obeys RFC 6455, section 4.2.1, item 5: exactly one key, which is 16
// bytes in base64.
func checkKey(req *Request) *HandshakeError {
	keys := req.Header.Values("Sec-WebSocket-Key")
	switch {
	case len(keys) == 0:
		return refuse(statusBadRequest, "there is no Sec-WebSocket-Key header")
	case len(keys) > 1:
		return refuse(statusBadRequest, "there are %d Sec-WebSocket-Key headers; exactly one is allowed", len(keys))
	}
	key := trimSpace(keys[0])
	var nonce [keyBytes + 2]byte // 24 characters without padding hold 18 bytes
	if len(key) == base64.StdEncoding.EncodedLen(keyBytes) {
		if n, err := base64.StdEncoding.Decode(nonce[:], []byte(key)); err == nil && n == keyBytes {
			return nil
		}
	}
	return refuse(statusBadRequest, "Sec-WebSocket-Key %s is not 16 bytes in base64 (24 characters)", quote(key))
}

// chooseSubprotocol picks the first of the server's subprotocols that the client
// offers (RFC 6455, section 4.2.2, item 5.5). Tokens of RFC 6455, section 4.1,
// item 10, are compared exactly and must not repeat.
func (t *Terms) chooseSubprotocol(h Header) (string, *HandshakeError) {
	if len(h.Values("Sec-WebSocket-Protocol")) == 0 {
		return "", nil
	}
	offered := make(map[string]bool)
	for name := range h.Elements("Sec-WebSocket-Protocol") {
		if !isToken(name) {
			return "", refuse(statusBadRequest, "subprotocol %s in Sec-WebSocket-Protocol is not a token", quote(name))
		}
		if offered[name] {
			return "", refuse(statusBadRequest, "subprotocol %s stands twice in Sec-WebSocket-Protocol", quote(name))
		}
		offered[name] = true
	}
	if len(offered) == 0 {
		return "", refuse(statusBadRequest, "Sec-WebSocket-Protocol is empty; leave it away to offer no subprotocol")
	}
	for _, name := range t.Subprotocols {
		if offered[name] {
			return name, nil
		}
	}
	return "", nil
}

// chooseDeflate takes the first acceptable offer of permessage-deflate; a client
// lists its offers in its order of preference (RFC 7692, section 5). Extensions
// that we do not know are declined by saying nothing about them (RFC 6455,
// section 9.1).
func (t *Terms) chooseDeflate(h Header) (*deflate.Params, *HandshakeError) {
	offers, err := parseExtensions(h.Values("Sec-WebSocket-Extensions"))
	if err != nil {
		err.Status = statusBadRequest
		return nil, err
	}
	if t.Deflate == nil {
		return nil, nil
	}
	for _, offer := range offers {
		if offer.Name != deflate.Name {
			continue
		}
		if params, ok := t.Deflate.Accept(offer.Params); ok {
			return &params, nil
		}
	}
	return nil, nil
}

// ownResponseFields are what only AppendResponse may write, and what has no
// meaning in a response without a body.
var ownResponseFields = map[string]bool{
	"Upgrade": true, "Connection": true,
	"Sec-Websocket-Accept": true, "Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
	"Content-Length": true, "Transfer-Encoding": true,
}

// CheckResponseField reports why the field may not stand in extra of
// [AppendResponse], or nil. The error is a [*HandshakeError] with Status 500.
func CheckResponseField(name, value string) error {
	if err := checkField(name, value); err != nil {
		return err
	}
	if ownResponseFields[canonicalName(name)] {
		return refuse(statusInternal, "header %s of the response belongs to the handshake and cannot be set", name)
	}
	return nil
}

// AppendResponse appends the response that accepts a handshake (RFC 6455, section
// 4.2.2, item 5) and returns the extended slice. Fields of extra that fail
// [CheckResponseField] are an error, and dst is returned as it was.
func AppendResponse(dst []byte, a *Agreement, extra Header) ([]byte, error) {
	for name, values := range extra {
		for _, value := range values {
			if err := CheckResponseField(name, value); err != nil {
				return dst, err
			}
		}
	}
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	dst = appendField(dst, "Sec-WebSocket-Accept", a.AcceptKey)
	if a.Subprotocol != "" {
		dst = appendField(dst, "Sec-WebSocket-Protocol", a.Subprotocol)
	}
	if a.Extensions != "" {
		dst = appendField(dst, "Sec-WebSocket-Extensions", a.Extensions)
	}
	dst = appendFields(dst, extra)
	return append(dst, "\r\n"...), nil
}
