package client

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/webapi"
)

// verdict is what a failed attempt or the end of a connection means.
type verdict struct {
	err   error
	final bool          // coming back is pointless
	after time.Duration // the least wait before the next attempt
}

// farewell is a disconnect of the server.
type farewell struct {
	why       *Error
	reconnect bool
}

func (f *farewell) Error() string { return f.why.Error() }
func (f *farewell) Unwrap() error { return f.why }

// refusal is the server's answer to connect.
type refusal struct{ why *Error }

func (r *refusal) Error() string { return r.why.Error() }
func (r *refusal) Unwrap() error { return r.why }

// errWrongServer says that whoever is at the URL speaks something else.
var errWrongServer = errors.New("duplex: the server does not speak " + subprotocol + "; is the path of the URL right? duplex serve has it at /ws")

const (
	// maxRefusals is how many tokens in a row may be refused.
	maxRefusals = 5
	// maxReplaced is how many connections in a row may be replaced; see byCode.
	maxReplaced = 5
)

// judge counts the failure err and decides what follows.
func (c *Client) judge(err error) verdict {
	if c.closing() {
		return verdict{err: ErrClosed, final: true}
	}
	c.failures++
	v := c.sentence(err)
	if c.first != nil && c.greetings == 0 {
		v.final = true // Dial wants to know
	}
	if most := c.options.MaxFailures; most > 0 && c.failures >= most {
		v.final = true
	}
	return v
}

// sentence knows what every kind of end means.
func (c *Client) sentence(err error) verdict {
	if left, ok := errors.AsType[*farewell](err); ok {
		return c.byCode(left.why, !left.reconnect)
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return c.byCode(refused.why, refused.why.Retry == 0 && !temporary[refused.why.Code])
	}
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && !closed.Local {
		return c.byCloseCode(closed)
	}
	if broken, ok := errors.AsType[*websocket.ProtocolError](err); ok && broken.Code == websocket.StatusMessageTooBig {
		return verdict{final: true, err: fmt.Errorf("duplex: the server sent a frame above Options.Dial.MaxMessage, which is %d bytes: %w",
			c.options.Dial.MaxMessage, err)}
	}
	hint, _ := webapi.RetryAfter(err)
	return verdict{err: err, final: errors.Is(err, errWrongServer) || webapi.Fatal(err), after: hint}
}

// temporary are refusals of connect that may be otherwise next time, even if the server does not say when.
var temporary = map[Code]bool{
	CodeRestart: true, CodeFull: true, CodeUnavailable: true, CodeConnectTimeout: true, CodeRate: true, CodeInternal: true, CodeTimeout: true,
}

// aboutToken are the codes after which another token is needed.
var aboutToken = map[Code]bool{CodeTokenMissing: true, CodeTokenInvalid: true, CodeTokenExpired: true, CodeTokenRevoked: true}

func (c *Client) byCode(e *Error, final bool) verdict {
	if e.Code == CodeReplaced {
		// The specification says not to come back, lest two that share a secret, as copies of a page do, drive each other out.
		// Nobody shares ours: what resumed the session is a connection that we had given up, and that the network delivered late.
		c.replaced++
		return verdict{err: e, final: c.replaced > maxReplaced, after: e.Retry}
	}
	if !aboutToken[e.Code] {
		return verdict{err: e, final: final, after: e.Retry}
	}
	c.refused = c.lastToken
	c.refusals++
	return verdict{err: e, final: c.options.Token == nil || c.refusals >= maxRefusals, after: e.Retry}
}

// closings is what close codes mean that came without a disconnect: the code that it would have had, and whether to come back
// (docs/protocol.md, "disconnect"). Others are lost connections.
var closings = map[websocket.StatusCode]struct {
	code  Code
	final bool
}{
	websocket.StatusUnsupportedData: {CodeBadFrame, true},
	websocket.StatusPolicyViolation: {CodeFlood, true},
	websocket.StatusMessageTooBig:   {CodeTooLarge, true},
	4400:                            {CodeBadFrame, true},
	4401:                            {CodeTokenInvalid, false},
	4403:                            {CodeDisconnected, true},
	4408:                            {CodeConnectTimeout, false},
	4409:                            {CodeReplaced, true},
	4503:                            {CodeUnavailable, false},
}

func (c *Client) byCloseCode(closed *websocket.CloseError) verdict {
	hint, _ := webapi.RetryAfter(closed)
	known, ok := closings[closed.Code]
	if !ok {
		return verdict{err: closed, after: hint}
	}
	return c.byCode(&Error{Code: known.code, Message: closed.Reason, Retry: hint}, known.final)
}

// checkURL finds the mistakes that would only show when connecting.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("duplex: %w", err)
	}
	switch strings.ToLower(u.Scheme) {
	case "ws", "wss", "http", "https":
	default:
		return fmt.Errorf("duplex: %q is no WebSocket URL; write ws://HOST:PORT/ws or wss://HOST/ws", raw)
	}
	if u.Hostname() == "" || u.Fragment != "" {
		return fmt.Errorf("duplex: %q: a WebSocket URL has a host and no fragment", raw)
	}
	return nil
}
