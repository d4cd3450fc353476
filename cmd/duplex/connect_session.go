package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
	"github.com/duplex-websocket/duplex/websocket/webapi"
)

// closeTimeout bounds the closing handshake when we close; the library's own timeout is as long.
const closeTimeout = 6 * time.Second

// source yields the actions of the user or script, until there are no more or yield returns false. Its error is a mistake
// in the input.
type source func(yield func(action) bool) error

// session is one run of connect, over as many connections as --reconnect makes.
type session struct {
	// immutable
	cmd     *connectCmd
	url     *url.URL
	options *websocket.DialOptions
	printer *printer
	prompt  *prompt // nil when nobody types

	// owned by the goroutine of run
	actions   chan action // from the source; nil when it has ended
	sourceErr chan error  // why it ended

	leaving context.Context // ends when the person at the prompt wants to leave
	leave   context.CancelFunc

	received atomic.Int64 // messages shown, over all connections
	controls chan control // pings and pongs on their way to the printer
	missed   atomic.Int64 // those for which there was no room
}

// control is a ping or pong that arrived.
type control struct {
	op      protocol.Opcode
	payload []byte
}

// runPrompt is run with a person at the terminal.
func (s *session) runPrompt(ctx context.Context, con *console) error {
	h, err := openHistory(s.cmd.History)
	if err != nil {
		return withExit(exitUsage, err)
	}
	p, err := newPrompt(con, h)
	if err != nil {
		return withExit(exitUsage, err)
	}
	defer func() {
		p.close()
		if hErr := h.close(); hErr != nil {
			fmt.Fprintf(con.stderr, "! the history was not saved: %v\n", hErr)
		}
	}()
	s.prompt = p
	s.printer.messages, s.printer.notices = p, p
	s.printer.colour = con.wantsColour(true)
	return s.run(ctx, s.typed)
}

const (
	// typedAhead is how many lines a person may type while a message is stuck on its way to the server.
	typedAhead = 64
	// leaveGrace is how long what was typed before may take when a person leaves.
	leaveGrace = time.Second
)

// typed is the source of a person at the prompt: mistakes are told, not fatal.
func (s *session) typed(yield func(action) bool) error {
	for {
		line, err := s.prompt.readLine()
		if errors.Is(err, errLongLine) {
			s.printer.bad("%v", err)
			continue
		}
		if err != nil {
			time.AfterFunc(leaveGrace, s.leave) // a message may be stuck on its way to the server
			yield(action{kind: actionQuit})
			return nil
		}
		if line == "" {
			continue
		}
		a, err := parseLine(line, s.cmd.messageType(), true)
		if err != nil {
			s.printer.bad("%s", visible(err.Error()))
			continue
		}
		if !yield(a) {
			return nil
		}
	}
}

// readLines is the source of piped input: one message a line, its line break (LF or CRLF) left out.
func (c *connectCmd) readLines(r io.Reader, yield func(action) bool) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if err != nil && line == "" {
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("standard input: %w", err)
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		a, err := parseLine(line, c.messageType(), c.Slash)
		if err != nil {
			return fmt.Errorf("standard input, line %d: %w", number, err)
		}
		if !yield(a) {
			return nil
		}
	}
}

// errLeft ends a run that the user ended: with /quit, /close, the end of the input or --count.
var errLeft = errors.New("left")

// run connects, talks, and connects again as often as --reconnect allows.
func (s *session) run(ctx context.Context, from source) error {
	ahead := 0 // a pipe's next line is read when the one before it is on its way
	if s.prompt != nil {
		ahead = typedAhead
	}
	s.actions, s.sourceErr = make(chan action, ahead), make(chan error, 1)
	s.controls = make(chan control, 64)
	s.options.OnControl = s.onControl
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	s.leaving, s.leave = context.WithCancel(ctx)
	defer s.leave()
	actions, sourceErr := s.actions, s.sourceErr
	go func() {
		sourceErr <- from(func(a action) bool {
			select {
			case actions <- a:
				return true
			case <-ended.Done():
				return false
			}
		})
		close(actions)
	}()
	wait := backoff{}
	for {
		opened, err := s.once(ctx)
		if ctx.Err() != nil {
			return withExit(exitSignal, errors.New("interrupted"))
		}
		if err == errLeft {
			return nil
		}
		if !s.cmd.Reconnect || !worthRetrying(err) {
			return err
		}
		if time.Since(opened) > steady {
			wait = backoff{}
		}
		asked, _ := webapi.RetryAfter(err)
		pause := min(asked, mostAsked) + wait.next()
		s.printer.bad("%v", err)
		s.printer.notice("connecting again in %v", pause.Round(time.Millisecond))
		if err := s.idle(ctx, pause); err != nil {
			return err
		}
	}
}

// steady is how long a connection must have lasted for the next failure to count as the first.
const steady = 10 * time.Second

// backoff spreads attempts to reconnect: exponential, with full jitter, so that the clients of a server that
// restarts do not all come back at once.
type backoff struct{ attempt int }

const (
	backoffBase = 500 * time.Millisecond
	backoffMost = 30 * time.Second
	mostAsked   = 5 * time.Minute // what a server may ask for on top
)

func (b *backoff) next() time.Duration {
	ceiling := min(backoffBase<<min(b.attempt, 16), backoffMost)
	b.attempt++
	return rand.N(ceiling) + time.Millisecond
}

// worthRetrying: a server that is away comes back; a wrong URL, password or protocol stays wrong.
func worthRetrying(err error) bool {
	code := exitCode(err)
	return (code == exitUnreachable || code == exitAbnormal) && !webapi.Fatal(err)
}

// idle waits between two connections. A person may leave meanwhile; a pipe's next line waits for the connection.
func (s *session) idle(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	typed := s.actions
	if s.prompt == nil {
		typed = nil
	}
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return withExit(exitSignal, errors.New("interrupted"))
		case a := <-typed:
			switch a.kind {
			case actionQuit, actionClose:
				return withExit(exitAbnormal, errors.New("left while not connected"))
			case actionHelp:
				s.printer.notice("%s", strings.Join(slashHelp(), "\n"))
			default:
				s.printer.bad("not connected, so that was not sent; the up arrow brings it back")
			}
		}
	}
}

// onControl runs in the connection's reader, which must not wait for a terminal.
func (s *session) onControl(_ *websocket.Conn, op protocol.Opcode, payload []byte) {
	if op == protocol.OpClose {
		return // told of when the connection ends
	}
	select {
	case s.controls <- control{op: op, payload: slices.Clone(payload)}:
	default:
		s.missed.Add(1)
	}
}

// once makes one connection and talks on it until it ends. opened is when it was there; nil error means that the server
// closed normally, errLeft that we did.
func (s *session) once(ctx context.Context) (opened time.Time, err error) {
	conn, err := websocket.Dial(ctx, s.url.String(), s.options)
	if err != nil {
		return time.Now(), explainDial(s.url, err)
	}
	defer conn.CloseNow()
	if s.prompt != nil { // what is printed next draws it
		s.prompt.term.SetPrompt(promptOnline)
		defer s.prompt.term.SetPrompt(promptOffline)
	}
	s.announce(conn)
	t := &talk{session: s, conn: conn, arrived: make(chan struct{}, 1), finished: make(chan error, 1)}
	opened = time.Now()
	return opened, t.run(ctx)
}

func (s *session) announce(conn *websocket.Conn) {
	details := ""
	if name := conn.Subprotocol(); name != "" {
		details += ", subprotocol " + visible(name)
	}
	if extensions := conn.Extensions(); extensions != "" {
		details += ", " + visible(extensions)
	}
	s.printer.good("connected to %s%s", visible(s.url.Redacted()), details)
	if s.prompt != nil {
		s.printer.notice("/help lists the commands, Ctrl-D leaves")
	}
}

// info answers /info.
func (s *session) info(conn *websocket.Conn) {
	lines := []string{
		"URL          " + visible(s.url.Redacted()),
		"addresses    " + conn.LocalAddr().String() + " to " + conn.RemoteAddr().String(),
		"subprotocol  " + orNone(conn.Subprotocol()),
		"extensions   " + orNone(conn.Extensions()),
	}
	header := conn.ResponseHeader()
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			lines = append(lines, visible("  "+name+": "+value))
		}
	}
	s.printer.notice("%s", strings.Join(lines, "\n"))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return visible(s)
}
