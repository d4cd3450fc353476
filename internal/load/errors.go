package load

import (
	"errors"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/websocket"
)

// Kind says what went wrong with a connection.
type Kind string

// The kinds, in the order in which reports show them.
const (
	Unreachable Kind = "connect"     // no TCP or TLS connection
	Refused     Kind = "refused"     // the server answered the handshake with no, or wrongly
	Closed      Kind = "closed"      // the server sent a close frame
	Lost        Kind = "lost"        // the connection ended without one
	WrongReply  Kind = "wrong reply" // a message that is not what was sent
	Protocol    Kind = "protocol"    // the server broke RFC 6455 or RFC 7692
	NoAnswer    Kind = "no answer"   // replies did not come in time
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{Unreachable, Refused, Closed, Lost, WrongReply, Protocol, NoAnswer}
}

// failure is an error of one connection. It ends that connection, not the run.
type failure struct {
	kind Kind
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(kind Kind, format string, args ...any) *failure {
	return &failure{kind, fmt.Errorf(format, args...)}
}

// kindOf tells what a dialling error is about.
func kindOf(err error) Kind {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.kind
	}
	if _, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		return Refused
	}
	return Unreachable
}

// failures counts errors by kind and keeps the first text of each.
type failures []Failure

func (all *failures) add(kind Kind, text string) {
	i := slices.IndexFunc(*all, func(f Failure) bool { return f.Kind == kind })
	if i < 0 {
		*all = append(*all, Failure{Kind: kind, First: text})
		i = len(*all) - 1
	}
	(*all)[i].Count++
}

func (all failures) total() (n int64) {
	for _, f := range all {
		n += f.Count
	}
	return n
}

// sorted is in the order of Kinds.
func (all failures) sorted() []Failure {
	order := Kinds()
	slices.SortFunc(all, func(a, b Failure) int { return slices.Index(order, a.Kind) - slices.Index(order, b.Kind) })
	return all
}

// quoted shows what a server said, if it said anything, on one line.
func quoted(p []byte) string {
	if len(p) == 0 {
		return ""
	}
	return fmt.Sprintf(": %q", p)
}
