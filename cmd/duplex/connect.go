package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/duplex-websocket/duplex/websocket"
)

// connectCmd is the verb connect: a WebSocket client for people at a terminal and for scripts.
type connectCmd struct {
	URL string `arg:"" name:"url" help:"Where to connect: ws://HOST[:PORT]/PATH, or wss:// with TLS."`

	Header      []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Send this header with the handshake. Repeatable."`
	Subprotocol []string `placeholder:"NAME" help:"Offer this subprotocol. Repeatable, best first."`
	Compression string   `enum:"off,no-takeover,takeover" default:"off" placeholder:"MODE" help:"Offer compression: off, no-takeover or takeover (default ${default})."`
	Origin      string   `placeholder:"URL" help:"Send this Origin, as a browser would."`
	User        string   `placeholder:"NAME:PASSWORD" help:"Authenticate with HTTP Basic."`

	CA                 string `name:"ca" placeholder:"FILE" group:"TLS and routes" help:"Trust the certificates in this PEM file instead of the system's."`
	Cert               string `placeholder:"FILE" group:"TLS and routes" help:"Show this client certificate (PEM); needs --key."`
	Key                string `placeholder:"FILE" group:"TLS and routes" help:"Private key of --cert (PEM)."`
	ServerName         string `placeholder:"NAME" group:"TLS and routes" help:"Name to ask for and to expect in the certificate, instead of the URL's host."`
	InsecureSkipVerify bool   `group:"TLS and routes" help:"Do not check the server's certificate: anybody on the way can read and change everything."`
	Proxy              string `placeholder:"URL" group:"TLS and routes" help:"Go through this proxy (http, https, socks5), or none; default: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say."`
	UnixSocket         string `placeholder:"PATH" group:"TLS and routes" help:"Connect to this Unix socket; the URL gives host name and path."`

	ConnectTimeout time.Duration `default:"10s" placeholder:"DURATION" group:"TLS and routes" help:"How long connecting may take (default ${default})."`

	Execute []rawText      `short:"x" sep:"none" placeholder:"MESSAGE" group:"Sending" help:"Send this message and leave after the answers, reading no input. Repeatable."`
	Binary  bool           `group:"Sending" help:"Send what is typed, piped or given with -x as binary messages instead of text."`
	Whole   bool           `group:"Sending" help:"Send all of standard input as one message, instead of a message for each line."`
	Slash   bool           `group:"Sending" help:"Obey /commands in piped input and -x too, as the prompt does."`
	Wait    *time.Duration `placeholder:"DURATION" group:"Sending" help:"How long to wait for answers after the last message (default 1s; 10s with --count; --wait=-1s: until the server closes)."`
	Count   int            `placeholder:"N" group:"Sending" help:"Leave as soon as N messages have come; fewer in the time of --wait is an error."`

	JSON       bool   `name:"json" group:"Showing" help:"Lay out received JSON over several lines."`
	Timestamps bool   `group:"Showing" help:"Begin every line with the time."`
	Full       bool   `group:"Showing" help:"Show long messages whole; a terminal gets the first 16 KiB of text or 1 KiB of bytes otherwise."`
	Raw        bool   `group:"Showing" help:"Write received messages byte for byte to standard output, with nothing between them."`
	Quiet      bool   `short:"q" group:"Showing" help:"Show messages and errors only."`
	MaxMessage int64  `default:"67108864" placeholder:"BYTES" group:"Showing" help:"Longest message to accept (default ${default})."`
	History    string `placeholder:"FILE" group:"Showing" help:"Keep what is typed in this file too; otherwise it is forgotten at the end."`
	Reconnect  bool   `group:"Showing" help:"Connect again when the connection is lost or cannot be made, until the server closes with 1000 or you leave."`
}

// rawText is an argument that reaches us byte for byte; kong replaces what is not UTF-8 in a string.
type rawText string

// Decode implements kong.MapperValue.
func (r *rawText) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("message")
	if err != nil {
		return err
	}
	*r = rawText(fmt.Sprint(token.Value))
	return nil
}

// Help is what "duplex connect --help" says below the flags' summary.
func (c *connectCmd) Help() string {
	return strings.Join([]string{
		"At a terminal, each line that you type is sent as a message; what comes is shown above it. Arrow keys move and bring " +
			"back earlier lines, Tab completes commands:",
		indented(slashHelp()),
		"When input or output is no terminal, each line of standard input is sent as one message (--whole: all of it as one), " +
			"and received messages go to standard output, text as it is with a line break behind it, bytes as a hex dump (--raw: " +
			"exactly as they came). Everything else goes to standard error. After the last line connect waits for answers as " +
			"--wait and --count say, then closes with 1000.",
		"Exit codes:",
		indented([]string{
			"0    closed normally, by either side (1000, 1001 or no code)",
			"1    wrong usage: flags, URL, files, or input that is not valid UTF-8",
			"2    could not connect, or the server refused",
			"3    the connection was lost, or the server closed it with another code",
			"4    the server broke the protocol, or says that we did (1002, 1007, 1010)",
			"5    fewer messages than --count came in the time of --wait",
			"130  ended by a signal",
		}),
	}, "\n\n")
}

func indented(lines []string) string { return "  " + strings.Join(lines, "\n  ") }

// Run connects and stays until one side closes.
func (c *connectCmd) Run(ctx context.Context) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return c.run(ctx, processConsole())
}

// run is Run on a console that tests can provide. The error carries the exit code.
func (c *connectCmd) run(ctx context.Context, con *console) error {
	u, err := checkURL(c.URL)
	if err != nil {
		return withExit(exitUsage, err)
	}
	options, err := c.dialOptions()
	if err != nil {
		return withExit(exitUsage, err)
	}
	if err := c.checkFlags(con); err != nil {
		return withExit(exitUsage, err)
	}
	s := &session{cmd: c, url: u, options: options, printer: c.printer(con)}
	if c.atPrompt(con) {
		return s.runPrompt(ctx, con)
	}
	source, err := c.source(con)
	if err != nil {
		return withExit(exitUsage, err)
	}
	return s.run(ctx, source)
}

// atPrompt reports whether a person types and reads: with -x, --whole or a pipe on either side nobody does.
func (c *connectCmd) atPrompt(con *console) bool {
	return len(c.Execute) == 0 && !c.Whole && con.stdinTerminal && con.stdoutTerminal
}

func (c *connectCmd) checkFlags(con *console) error {
	switch {
	case c.Raw && con.stdoutTerminal:
		return errors.New("--raw would let the server write anything to your terminal; send the output to a file or a pipe")
	case c.Raw && (c.JSON || c.Timestamps):
		return errors.New("--raw writes messages unchanged: it excludes --json and --timestamps")
	case c.Whole && len(c.Execute) > 0:
		return errors.New("--whole is about standard input, which -x does not read")
	case c.Whole && c.Slash:
		return errors.New("--whole sends all of standard input as it is: it excludes --slash")
	case c.Count < 0:
		return errors.New("--count must not be negative")
	case c.MaxMessage <= 0:
		return errors.New("--max-message must be positive")
	case c.ConnectTimeout <= 0:
		return errors.New("--connect-timeout must be positive")
	}
	return nil
}

func (c *connectCmd) printer(con *console) *printer {
	return &printer{
		messages: con.stdout, notices: con.stderr,
		terminal: con.stdoutTerminal, colour: con.wantsColour(con.stderrTerminal),
		json: c.JSON, stamps: c.Timestamps, raw: c.Raw, quiet: c.Quiet, full: c.Full, now: time.Now,
	}
}

// wait is how long to stay after the last message; negative means until the server closes.
func (c *connectCmd) wait() time.Duration {
	switch {
	case c.Wait != nil:
		return *c.Wait
	case c.Count > 0:
		return 10 * time.Second
	}
	return time.Second
}

func (c *connectCmd) messageType() websocket.MessageType {
	if c.Binary {
		return websocket.Binary
	}
	return websocket.Text
}

// source is where actions come from when nobody types: -x, all of standard input, or its lines. What -x says is
// checked before connecting.
func (c *connectCmd) source(con *console) (source, error) {
	if len(c.Execute) > 0 {
		var actions []action
		for _, text := range c.Execute {
			a, err := parseLine(string(text), c.messageType(), c.Slash)
			if err != nil {
				return nil, fmt.Errorf("-x %q: %w", text, err)
			}
			actions = append(actions, a)
		}
		return func(yield func(action) bool) error {
			for _, a := range actions {
				if !yield(a) {
					break
				}
			}
			return nil
		}, nil
	}
	if c.Whole {
		return func(yield func(action) bool) error { return c.readWhole(con.stdin, yield) }, nil
	}
	return func(yield func(action) bool) error { return c.readLines(con.stdin, yield) }, nil
}

func (c *connectCmd) readWhole(r io.Reader, yield func(action) bool) error {
	p, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	a, err := message(c.messageType(), p)
	if err != nil {
		return fmt.Errorf("standard input is %w", err)
	}
	yield(a)
	return nil
}
