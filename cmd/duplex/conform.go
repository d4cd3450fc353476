package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/conformance"
)

// conformCmd is the verb "conform".
type conformCmd struct {
	Server conformServerCmd `cmd:"" help:"Test a server that echoes text and binary messages."`
	Client conformClientCmd `cmd:"" help:"Listen, and test a client that asks for cases and echoes."`
}

// conformFlags are the flags of both sub-commands.
type conformFlags struct {
	Report   []string      `placeholder:"FILE" help:"Write a report: FILE.html or FILE.json. May be given more than once."`
	Expected string        `placeholder:"FILE" help:"JSON object of case ID to {verdict, reason} for what is known not to be strict. Any difference, for better or worse, is a failure."`
	Strict   bool          `help:"Non-strict results are failures too."`
	Only     []string      `placeholder:"PATTERN" help:"Run the cases whose ID matches, such as 6455-5.5* or 7692-*."`
	Fast     bool          `help:"Leave out the cases with large messages."`
	Timeout  time.Duration `default:"5s" help:"Time for one case; large messages get eight times as much."`
	Quiet    bool          `short:"q" help:"Print the last line of the summary only."`
}

type conformServerCmd struct {
	conformFlags
	URL      string   `arg:"" help:"ws or wss URL of an echo server, such as ws://127.0.0.1:8080/echo."`
	Header   []string `short:"H" placeholder:"NAME: VALUE" sep:"none" help:"Header field to send with every request."`
	Insecure bool     `help:"Accept any certificate."`
	Parallel int      `default:"4" help:"Connections at a time."`
}

type conformClientCmd struct {
	conformFlags
	Listen string `default:"127.0.0.1:9001" help:"Address to listen on."`
	Stay   bool   `help:"Go on listening after a client has finished; end with Ctrl-C. The exit code then tells about all of them."`
}

// Run tests a server. It returns an error if a case failed.
func (c *conformServerCmd) Run(ctx context.Context, out output) error {
	o, expected, err := c.options()
	if err != nil {
		return err
	}
	o.Parallel, o.InsecureSkipVerify, o.Header = c.Parallel, c.Insecure, http.Header{}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.ContainsAny(h, "\r\n") {
			return fmt.Errorf("the header %q is not of the form NAME: VALUE", h)
		}
		o.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	report, err := conformance.TestServer(ctx, c.URL, o)
	if errors.Is(err, conformance.ErrURL) {
		return err
	}
	if report == nil {
		return withExit(exitUnreachable, err)
	}
	return errors.Join(err, c.finish(out.stdout, report, expected))
}

// Run listens and tests clients. It returns an error if a case failed.
func (c *conformClientCmd) Run(ctx context.Context, out output) error {
	o, expected, err := c.options()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return withExit(exitUnreachable, err)
	}
	finished := make(chan *conformance.Report, 16)
	server := &conformance.Client{Options: *o, OnReport: func(r *conformance.Report) {
		select {
		case finished <- r:
		case <-ctx.Done():
		}
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, ln) }()
	_, _ = fmt.Fprintf(out.stderr, "listening on ws://%s: /cases, /case?n=1&agent=NAME, /report?agent=NAME (or /getCaseCount, /runCase, /updateReports)\n", ln.Addr())
	var failures, reports = []error{}, 0
	for ctx.Err() == nil && (c.Stay || reports == 0) {
		select {
		case r := <-finished:
			reports++
			failures = append(failures, c.finish(out.stdout, r, expected))
		case <-ctx.Done():
		}
	}
	cancel()
	if reports == 0 {
		failures = append(failures, errors.New("no client finished: it must ask for /report?agent=NAME at the end"))
	}
	return errors.Join(append(failures, <-served)...)
}

func (f *conformFlags) options() (*conformance.Options, conformance.Expected, error) {
	for _, name := range f.Report {
		if ext := filepath.Ext(name); ext != ".html" && ext != ".json" {
			return nil, nil, fmt.Errorf("--report %s: the name must end in .html or .json", name)
		}
	}
	o := &conformance.Options{Only: f.Only, SkipLarge: f.Fast, Timeout: f.Timeout}
	if f.Expected == "" {
		return o, nil, nil
	}
	file, err := os.Open(f.Expected)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	expected, err := conformance.ReadExpected(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Expected, err)
	}
	return o, expected, nil
}

// finish prints and writes the report, and says whether it is good enough.
func (f *conformFlags) finish(w io.Writer, r *conformance.Report, expected conformance.Expected) error {
	if f.Quiet {
		_, _ = fmt.Fprintf(w, "%s %s: %s\n", r.Tested, r.Agent, r.Summary())
	} else if err := r.WriteSummary(w); err != nil {
		return err
	}
	for _, name := range f.Report {
		if err := writeReport(name, r); err != nil {
			return err
		}
	}
	switch {
	case len(r.Results) == 0:
		return errors.New("no case ran")
	case f.Expected != "":
		if d := r.Compare(expected); len(d) > 0 {
			return withExit(exitProtocol, fmt.Errorf("%d results are not the expected ones:\n%s", len(d), strings.Join(d, "\n")))
		}
	case !r.OK():
		return withExit(exitProtocol, fmt.Errorf("%d of %d cases failed", r.Count(conformance.Failed), len(r.Results)))
	case f.Strict && r.Count(conformance.NonStrict) > 0:
		return withExit(exitProtocol, fmt.Errorf("%d of %d cases are non-strict", r.Count(conformance.NonStrict), len(r.Results)))
	}
	return nil
}

func writeReport(name string, r *conformance.Report) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if filepath.Ext(name) == ".json" {
		return r.WriteJSON(file)
	}
	return r.WriteHTML(file)
}
