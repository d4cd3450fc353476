package protocol

import (
	"slices"
	"strings"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// RequestHeader returns the fields of a client's opening handshake (RFC 6455,
// section 4.1) without Host, for a key from [NewKey]. Its names are canonical;
// [AppendRequest] writes them as the RFC spells them.
func (t *Terms) RequestHeader(key string) Header {
	h := Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Key":     {key},
		"Sec-Websocket-Version": {"13"},
	}
	if len(t.Subprotocols) > 0 {
		h["Sec-Websocket-Protocol"] = []string{strings.Join(t.Subprotocols, ", ")}
	}
	if t.Deflate != nil {
		h["Sec-Websocket-Extensions"] = []string{t.Deflate.Offer()}
	}
	return h
}

// Check checks the server's answer to the handshake that t and key made (RFC
// 6455, section 4.1, the six items behind "the client MUST validate the server's
// response"). The error is a [*HandshakeError]; the client then ends the
// connection.
func (t *Terms) Check(resp *Response, key string) (Agreement, error) {
	if err := t.Limits.check(resp.Header); err != nil {
		return Agreement{}, clientError(err)
	}
	if err := checkSwitch(resp); err != nil {
		return Agreement{}, err
	}
	a := Agreement{AcceptKey: AcceptKey(key)}
	if err := checkAccept(resp.Header, a.AcceptKey); err != nil {
		return Agreement{}, err
	}
	var err *HandshakeError
	if a.Subprotocol, err = t.confirmSubprotocol(resp.Header); err != nil {
		return Agreement{}, err
	}
	if a.Deflate, err = t.confirmDeflate(resp.Header); err != nil {
		return Agreement{}, err
	}
	if a.Deflate != nil {
		a.Extensions = trimSpace(strings.Join(resp.Header.Values("Sec-WebSocket-Extensions"), ", "))
	}
	return a, nil
}

// checkSwitch obeys items 1 to 3: status 101, Upgrade, Connection.
func checkSwitch(resp *Response) error {
	if resp.Status != statusSwitching {
		hint := ""
		switch {
		case resp.Status == statusUpgrade && resp.Header.Get("Sec-WebSocket-Version") != "":
			hint = "; it speaks WebSocket version " + quote(strings.Join(resp.Header.Values("Sec-WebSocket-Version"), ", ")) +
				" and this client version 13"
		case resp.Status/100 == 2:
			hint = "; the address is that of an ordinary page, or a proxy in between does not pass Upgrade on"
		}
		return failure("the server answered with status %d %s and not with 101 Switching Protocols%s",
			resp.Status, quote(resp.Reason), hint)
	}
	if resp.Major != 1 || resp.Minor < 1 {
		return failure("the server switched protocols over HTTP/%d.%d; only HTTP/1.1 has that", resp.Major, resp.Minor)
	}
	if upgrade := resp.Header.Values("Upgrade"); len(upgrade) != 1 || !equalFold(trimSpace(upgrade[0]), "websocket") {
		return failure("the server switched to Upgrade %s and not to \"websocket\"", quote(strings.Join(upgrade, ", ")))
	}
	if !resp.Header.HasToken("Connection", "upgrade") {
		return failure("the server's Connection header is %s; it must contain \"Upgrade\"",
			quote(strings.Join(resp.Header.Values("Connection"), ", ")))
	}
	return nil
}

// checkAccept obeys item 4: the answer proves that the server has read this very
// handshake and is no cache.
func checkAccept(h Header, want string) error {
	switch got := h.Values("Sec-WebSocket-Accept"); {
	case len(got) == 0:
		return failure("the server's answer has no Sec-WebSocket-Accept")
	case len(got) > 1:
		return failure("the server's answer has %d Sec-WebSocket-Accept headers; exactly one is allowed", len(got))
	case trimSpace(got[0]) != want:
		return failure("the server's Sec-WebSocket-Accept is %s and should be %s: it did not answer this handshake", quote(got[0]), quote(want))
	}
	return nil
}

// confirmSubprotocol obeys item 6, and section 4.2.2: at most one, and one of
// those offered.
func (t *Terms) confirmSubprotocol(h Header) (string, *HandshakeError) {
	values := h.Values("Sec-WebSocket-Protocol")
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", failure("the server's answer has %d Sec-WebSocket-Protocol headers; at most one is allowed", len(values))
	}
	chosen := trimSpace(values[0])
	if !slices.Contains(t.Subprotocols, chosen) {
		return "", failure("the server chose subprotocol %s, which was not offered (offered: %s)",
			quote(chosen), quote(strings.Join(t.Subprotocols, ", ")))
	}
	return chosen, nil
}

// confirmDeflate obeys item 5, and RFC 7692, section 5: the server may use only
// what was offered, each at most once, with parameters that fit the offer.
func (t *Terms) confirmDeflate(h Header) (*deflate.Params, *HandshakeError) {
	answers, err := parseExtensions(h.Values("Sec-WebSocket-Extensions"))
	if err != nil {
		return nil, err
	}
	var agreed *deflate.Params
	for _, answer := range answers {
		if t.Deflate == nil || answer.Name != deflate.Name {
			return nil, failure("the server uses extension %s, which was not offered", quote(answer.Name))
		}
		if agreed != nil {
			return nil, failure("the server uses extension %s twice", deflate.Name)
		}
		params, err := t.Deflate.Confirm(answer.Params)
		if err != nil {
			return nil, failure("the server's parameters of %s do not fit the offer: %v", deflate.Name, err)
		}
		agreed = &params
	}
	return agreed, nil
}
