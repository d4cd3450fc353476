package protocol

import (
	"strings"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// Extension is one element of a Sec-WebSocket-Extensions header: an offer of a
// client, or a server's answer to one.
type Extension struct {
	Name   string
	Params []deflate.Param
}

// ParseExtensions parses the values of all Sec-WebSocket-Extensions lines of a
// message, in their order (RFC 6455, section 9.1):
//
//	extension-list  = 1#( token *( ";" extension-param ) )
//	extension-param = token [ "=" ( token | quoted-string ) ]
//
// White space may stand between all parts, and elements may be empty, as the
// list rule of the RFC allows; but a header that is there must have at least
// one element. What a quoted string holds must be a token once unquoted. No
// values give no extensions. The error is a [*HandshakeError].
func ParseExtensions(values []string) ([]Extension, error) {
	list, err := parseExtensions(values)
	if err != nil {
		return nil, err
	}
	return list, nil
}

func parseExtensions(values []string) ([]Extension, *HandshakeError) {
	var list []Extension
	for _, value := range values {
		p := extensionParser{rest: value}
		for p.skipSpace(); p.rest != ""; p.skipSpace() {
			if p.take(',') {
				continue
			}
			extension, err := p.extension()
			if err != nil {
				return nil, failure("Sec-WebSocket-Extensions %s is malformed: %s", quote(value), err.Reason)
			}
			list = append(list, extension)
		}
	}
	if len(values) > 0 && len(list) == 0 {
		return nil, failure("Sec-WebSocket-Extensions is empty; leave it away to use no extension")
	}
	return list, nil
}

// extensionParser holds what is left of one header line. Each step takes
// something from its front, so parsing is linear.
type extensionParser struct{ rest string }

func (p *extensionParser) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *extensionParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// token takes the longest token, which may be empty.
func (p *extensionParser) token() string {
	n := 0
	for n < len(p.rest) && byteClass[p.rest[n]]&byteToken != 0 {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

// extension takes one element, up to the comma behind it or the end.
func (p *extensionParser) extension() (e Extension, err *HandshakeError) {
	if e.Name = p.token(); e.Name == "" {
		return e, failure("an extension's name is expected at %s", quote(p.rest))
	}
	for {
		p.skipSpace()
		switch {
		case p.rest == "" || p.rest[0] == ',':
			return e, nil
		case !p.take(';'):
			return e, failure("\";\" or \",\" is expected at %s", quote(p.rest))
		}
		param, err := p.param()
		if err != nil {
			return e, err
		}
		e.Params = append(e.Params, param)
	}
}

func (p *extensionParser) param() (param deflate.Param, err *HandshakeError) {
	p.skipSpace()
	if param.Name = p.token(); param.Name == "" {
		return param, failure("a parameter's name is expected at %s", quote(p.rest))
	}
	p.skipSpace()
	if !p.take('=') {
		return param, nil
	}
	param.HasValue = true
	p.skipSpace()
	if p.take('"') {
		param.Value, err = p.quoted()
		return param, err
	}
	if param.Value = p.token(); param.Value == "" {
		return param, failure("a value of parameter %s is expected at %s", param.Name, quote(p.rest))
	}
	return param, nil
}

// quoted takes the rest of a quoted string, behind its first quote.
func (p *extensionParser) quoted() (string, *HandshakeError) {
	var value []byte
	for i := 0; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '"' && len(value) == 0:
			return "", failure("a quoted value is empty")
		case c == '"':
			p.rest = p.rest[i+1:]
			return string(value), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
		}
		// RFC 6455, section 9.1: after unescaping the value must be a token.
		if byteClass[c]&byteToken == 0 {
			return "", failure("the quoted value at %s is not a token", quote(p.rest))
		}
		value = append(value, c)
	}
	return "", failure("a quoted value has no end")
}
