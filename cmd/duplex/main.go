// Command duplex serves, tests and talks WebSocket. "duplex --help" lists its verbs; exit.go its exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// verbs is the command line: one verb for each file of this package.
type verbs struct {
	Serve    serveCmd    `cmd:"" help:"Serve topics at /ws, and the showcase."`
	Config   configCmd   `cmd:"" help:"Check or print a server's configuration."`
	Shed     shedCmd     `cmd:"" help:"Make a server send away a part of its clients, to come back to others."`
	Pub      pubCmd      `cmd:"" help:"Publish to a topic."`
	Sub      subCmd      `cmd:"" help:"Subscribe to topics and print what comes."`
	History  historyCmd  `cmd:"" help:"Print messages that a topic keeps."`
	Presence presenceCmd `cmd:"" help:"Print who is in a topic."`
	Echo     echoCmd     `cmd:"" help:"Run a test server that echoes or broadcasts, at any path and for any origin."`
	Connect  connectCmd  `cmd:"" help:"Talk to a WebSocket server."`
	Bench    benchCmd    `cmd:"" help:"Put load on a WebSocket server and measure it."`
	Conform  conformCmd  `cmd:"" help:"Test servers or clients against RFC 6455 and RFC 7692."`
	Token    tokenCmd    `cmd:"" help:"Make a token, or a key, for trying out."`
	Postgres postgresCmd `cmd:"" help:"Prepare a PostgreSQL database for the orders page."`
	Version  versionCmd  `cmd:"" help:"Say which version this is."`
}

// newVerbs returns the command line with those flags that are made at run time.
func newVerbs() *verbs {
	v := &verbs{}
	for _, flags := range []*settingFlags{&v.Serve.settingFlags, &v.Config.Check.settingFlags, &v.Config.Print.settingFlags} {
		*flags = newSettingFlags()
	}
	return v
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program but for the process: it returns the exit code. Servers stop when ctx ends, or at a signal.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited := -1 // kong "exits" after --help and then goes on
	parser, err := kong.New(newVerbs(),
		kong.Name("duplex"), kong.Description("WebSocket for Go: a server, a client and tests."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(output{stdout, stderr}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the tags of verbs are wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err == nil {
		err = parsed.Run()
	}
	if err != nil {
		fmt.Fprintln(stderr, "duplex:", err)
		var parse *kong.ParseError
		if errors.As(err, &parse) {
			fmt.Fprintln(stderr, `"duplex --help" lists the verbs, "duplex VERB --help" the flags of one`)
		}
	}
	return exitCode(err)
}

// output is where a verb prints.
type output struct{ stdout, stderr io.Writer }

// untilSignal ends with ctx or at the first SIGINT or SIGTERM; a second one kills the process as usual.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before anybody sees that ctx has ended, and perhaps sends the second one
		cancel()
	}()
	return ctx, cancel
}
