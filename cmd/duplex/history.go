package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/duplex-websocket/duplex/client"
)

// historyCmd is the verb history.
type historyCmd struct {
	Topic string `arg:"" help:"Topic whose messages to show."`

	Limit  int     `default:"100" placeholder:"N" help:"How many messages, 1 to 1000 (default ${default})."`
	Before uint64  `placeholder:"OFFSET" help:"The last ones before this offset. Default: the last ones of all."`
	After  *uint64 `placeholder:"OFFSET" help:"The first ones behind this offset; 0: from the beginning."`
	Epoch  string  `placeholder:"EPOCH" help:"Epoch of the offset, to be told if the server has forgotten it."`

	sessionFlags
}

// Help is what "duplex history --help" says below the flags' summary.
func (c *historyCmd) Help() string {
	return "Prints a line of JSON for each message, oldest first, as sub does. Standard error says how to get more.\n\n" + sessionExitCodes
}

// Run prints one page of history.
func (c *historyCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	switch {
	case c.Limit < 1 || c.Limit > 1000:
		return withExit(exitUsage, errors.New("--limit is 1 to 1000"))
	case c.After != nil && c.Before > 0:
		return withExit(exitUsage, errors.New("--before and --after exclude each other"))
	}
	conn, err := c.dial(ctx, out)
	if err != nil {
		return err
	}
	defer leave(conn)
	q := client.HistoryQuery{Limit: c.Limit, Before: c.Before, Epoch: c.Epoch}
	if c.After != nil {
		q.Forward, q.After = true, *c.After
	}
	page, err := conn.History(ctx, c.Topic, q)
	if err != nil {
		return explainCall(ctx, conn, "no history of "+visible(c.Topic), err)
	}
	print := &lines{w: out.stdout}
	for _, m := range page.Messages {
		if err := print.write(lineOf(m)); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
	}
	c.tellMore(out, &page)
	return nil
}

// tellMore says what the page does not show.
func (c *historyCmd) tellMore(out output, page *client.HistoryPage) {
	if c.Quiet {
		return
	}
	if page.Lost {
		fmt.Fprintln(out.stderr, "! the server has forgotten messages that were asked for")
	}
	if n := len(page.Messages); page.More && n > 0 {
		flag, offset := "--before", page.Messages[0].Position.Offset
		if c.After != nil {
			flag, offset = "--after", page.Messages[n-1].Position.Offset
		}
		fmt.Fprintf(out.stderr, "* there are more: %s %d --epoch %s\n", flag, offset, visible(page.Epoch))
	}
}
