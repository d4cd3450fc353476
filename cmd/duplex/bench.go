package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/internal/load"
)

// benchCmd is the verb bench: load for anybody's server. bench/ of this repository uses these flags: they do not change.
type benchCmd struct {
	URL string `arg:"" name:"url" help:"The server: ws://HOST[:PORT]/PATH, or wss:// with TLS."`

	Mode        string  `enum:"echo,broadcast,idle,handshake" default:"echo" placeholder:"MODE" group:"Load" help:"What the connections do: echo, broadcast, idle or handshake; see above (default ${default})."`
	Connections int     `short:"c" placeholder:"N" group:"Load" help:"Connections; of broadcast the subscribers, of handshake how many at a time (default 100, handshake 64; at most 60000)."`
	Size        int     `short:"s" default:"64" placeholder:"BYTES" group:"Load" help:"Size of a message (default ${default}, at most 16777216)."`
	InFlight    int     `short:"i" placeholder:"N" group:"Load" help:"Closed loop: messages under way on each connection, of broadcast at all (default 1, at most 4096)."`
	Rate        float64 `short:"r" placeholder:"N" group:"Load" help:"Open loop: send N messages a second over all connections, on schedule, and measure from the scheduled time (at most 10000000)."`
	Text        bool    `group:"Load" help:"Send text (JSON) instead of random bytes."`
	Same        bool    `group:"Load" help:"Send one message again and again instead of 64 that take turns."`
	Compression string  `enum:"off,no-takeover,takeover" default:"off" placeholder:"MODE" group:"Load" help:"Compress both ways: off, no-takeover or takeover (default ${default})."`

	Duration    time.Duration `short:"d" default:"10s" placeholder:"DURATION" group:"Time" help:"Time of the measurement; idle connections are held for it (default ${default}, at most 1h)."`
	WarmUp      time.Duration `default:"1s" placeholder:"DURATION" group:"Time" help:"Time before it that does not count (default ${default}, at most 10m)."`
	Messages    int64         `placeholder:"N" group:"Time" help:"End after N messages, if that is sooner."`
	Timeout     time.Duration `default:"10s" placeholder:"DURATION" group:"Time" help:"How long to wait for a handshake, and for replies when none come (default ${default}, at most 5m)."`
	ConnectRate float64       `placeholder:"N" group:"Time" help:"Open N connections a second (default: as fast as the server takes them)."`
	Parallel    int           `default:"64" placeholder:"N" group:"Time" help:"Handshakes under way at a time while connecting (default ${default}, at most 1024)."`

	PID      int  `name:"pid" placeholder:"PID" group:"Server" help:"Process of the server on this machine: report its CPU time and memory (Linux)."`
	Churn    int  `default:"512" placeholder:"N" group:"Server" help:"Idle with --pid: connections to open and drop before each look at the memory, so that garbage is collected (default ${default}, at most 10000)."`
	Exchange bool `default:"true" negatable:"" group:"Server" help:"Idle: send a message over each connection and look at the memory again; --no-exchange for servers that do not echo."`

	Header             []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" group:"Handshake" help:"Send this header with the handshakes. Repeatable."`
	Subprotocol        []string `placeholder:"NAME" group:"Handshake" help:"Offer this subprotocol. Repeatable, best first."`
	Origin             string   `placeholder:"URL" group:"Handshake" help:"Send this Origin, as a browser would."`
	User               string   `placeholder:"NAME:PASSWORD" group:"Handshake" help:"Authenticate with HTTP Basic."`
	CA                 string   `name:"ca" placeholder:"FILE" group:"Handshake" help:"Trust the certificates in this PEM file instead of the system's."`
	ServerName         string   `placeholder:"NAME" group:"Handshake" help:"Name to ask for and to expect in the certificate, instead of the URL's host."`
	InsecureSkipVerify bool     `group:"Handshake" help:"Do not check the server's certificate."`

	JSON     bool   `name:"json" group:"Report" help:"Print the result as one JSON object, whose fields docs/bench.md explains."`
	HTML     string `name:"html" placeholder:"FILE" group:"Report" help:"Write a page with charts too."`
	Progress bool   `group:"Report" help:"Show progress on standard error though it is no terminal."`
	Quiet    bool   `short:"q" group:"Report" help:"Show no progress."`
}

// Help is what "duplex bench --help" says below the flags' summary.
func (c *benchCmd) Help() string {
	return strings.Join([]string{
		"Modes:",
		indented([]string{
			"echo       the server answers each message with itself",
			"broadcast  one connection publishes, the server sends each message to all the others (and perhaps to it)",
			"idle       open the connections, hold them, and see what memory they cost the server (--pid)",
			"handshake  connect, upgrade and leave, again and again",
		}),
		"Every reply is checked: that it came, in order, with the length and the content that was sent; above 4 KiB the content " +
			"of one in sixteen, and compressed ones on one connection in 64. Ctrl-C ends a run early and reports what was measured.",
		"Only load servers that are yours, or whose owner agrees.",
		"Exit codes:",
		indented([]string{
			"0    all went well",
			"1    wrong usage: flags, URL, files, a process that cannot be watched",
			"2    could not connect, or the server refused a handshake",
			"3    a connection was lost, or the server closed it",
			"4    a reply was wrong, or the server broke the protocol",
			"5    replies did not come in time",
			"130  ended by a signal",
		}),
	}, "\n\n")
}

// Run loads the server and reports.
func (c *benchCmd) Run(ctx context.Context, out output) error {
	u, err := checkURL(c.URL)
	if err != nil {
		return withExit(exitUsage, err)
	}
	config, err := c.config()
	if err != nil {
		return withExit(exitUsage, err)
	}
	var page *os.File
	if c.HTML != "" { // before the run: a file that cannot be written is better known now
		if page, err = os.Create(c.HTML); err != nil {
			return withExit(exitUsage, fmt.Errorf("--html: %w", err))
		}
		defer func() { _ = page.Close() }()
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	line := c.progressLine(out.stderr)
	config.Progress = line.show
	debug.SetGCPercent(400) // little is allocated after the start
	result, err := load.Run(ctx, config)
	line.end()
	if wrong, ok := errors.AsType[*load.ConfigError](err); ok {
		return withExit(exitUsage, wrong)
	}
	if err != nil && ctx.Err() != nil {
		return withExit(exitSignal, errors.New("ended by a signal before the first connection was made"))
	}
	if err != nil {
		return explainBench(u, err)
	}
	if err := c.report(out, page, result); err != nil {
		return withExit(exitUsage, err)
	}
	return verdict(result)
}

// explainBench is explainDial with the names of our own flags.
func explainBench(u *url.URL, err error) error {
	told := explainDial(u, err)
	if e, ok := errors.AsType[*explained](told); ok {
		e.text = strings.ReplaceAll(e.text, "--connect-timeout", "--timeout")
	}
	return told
}

// config turns the flags into the engine's. Its errors are mistakes of the user.
func (c *benchCmd) config() (load.Config, error) {
	dial := connectCmd{
		Header: c.Header, Subprotocol: c.Subprotocol, Origin: c.Origin, User: c.User,
		CA: c.CA, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify,
	}
	options, err := dial.dialOptions()
	if err != nil {
		return load.Config{}, err
	}
	// On the command line 0 means 0, in the engine the default.
	for _, f := range []struct {
		flag  string
		value float64
	}{
		{"--connections", float64(c.Connections)}, {"--size", float64(c.Size)}, {"--in-flight", float64(c.InFlight)}, {"--rate", c.Rate},
		{"--duration", float64(c.Duration)}, {"--warm-up", float64(c.WarmUp)}, {"--messages", float64(c.Messages)}, {"--timeout", float64(c.Timeout)},
		{"--connect-rate", c.ConnectRate}, {"--parallel", float64(c.Parallel)}, {"--pid", float64(c.PID)}, {"--churn", float64(c.Churn)},
	} {
		if f.value < 0 {
			return load.Config{}, fmt.Errorf("%s must not be negative", f.flag)
		}
	}
	for flag, value := range map[string]int64{"--duration": int64(c.Duration), "--timeout": int64(c.Timeout), "--parallel": int64(c.Parallel)} {
		if value == 0 {
			return load.Config{}, fmt.Errorf("%s must be more than 0", flag)
		}
	}
	return load.Config{
		URL: c.URL, Mode: load.Mode(c.Mode), Connections: c.Connections, Size: orMinusOne(c.Size), InFlight: c.InFlight, Rate: c.Rate,
		Duration: c.Duration, WarmUp: orMinusOne(c.WarmUp), Messages: c.Messages, Parallel: c.Parallel, ConnectRate: c.ConnectRate,
		Timeout: c.Timeout, Text: c.Text, Same: c.Same, Compression: compressionModes[c.Compression], PID: c.PID,
		Churn: orMinusOne(c.Churn), NoExchange: !c.Exchange,
		Header: options.Header, Subprotocols: options.Subprotocols, TLS: options.TLS,
	}, nil
}

// orMinusOne is how the engine wants 0: there it stands for the default.
func orMinusOne[T int | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// report prints the result as the flags say.
func (c *benchCmd) report(out output, page *os.File, r *load.Result) error {
	if page != nil {
		if err := errors.Join(writeBenchHTML(page, r), page.Close()); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(r)
	}
	if err := writeBenchText(out.stdout, r); err != nil {
		return err
	}
	if page != nil {
		_, err := fmt.Fprintf(out.stdout, "charts in %s\n", filepath.Clean(c.HTML))
		return err
	}
	return nil
}

// benchExits ranks what can go wrong: of several kinds the last one in this list gives the exit code.
var benchExits = []struct {
	kind load.Kind
	code int
}{
	{load.Unreachable, exitUnreachable}, {load.Refused, exitUnreachable}, {load.NoAnswer, exitNoAnswer}, {load.Lost, exitAbnormal},
	{load.Closed, exitAbnormal}, {load.Protocol, exitProtocol}, {load.WrongReply, exitProtocol},
}

// verdict is the exit code of a run, with a sentence.
func verdict(r *load.Result) error {
	code, count := exitOK, int64(0)
	for _, rank := range benchExits {
		for _, f := range r.Errors {
			if f.Kind == rank.kind {
				code = rank.code
				count += f.Count
			}
		}
	}
	switch {
	case code != exitOK:
		var first string
		for _, f := range r.Errors {
			if exitOf(f.Kind) == code {
				first = visible(f.First)
			}
		}
		return withExit(code, fmt.Errorf("%d errors; %s", count, first))
	case r.Interrupted:
		return withExit(exitSignal, errors.New("ended by a signal; the figures are of what was measured until then"))
	case r.Messages == 0 && r.Mode != load.Idle:
		return withExit(exitNoAnswer, errors.New("no message came back while measuring; is the time too short?"))
	}
	return nil
}

func exitOf(kind load.Kind) int {
	for _, rank := range benchExits {
		if rank.kind == kind {
			return rank.code
		}
	}
	return exitUsage
}
