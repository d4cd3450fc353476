package main

import (
	"context"

	"github.com/duplex-websocket/duplex/client"
)

// presenceCmd is the verb presence.
type presenceCmd struct {
	Topic string `arg:"" help:"Topic to look into."`

	sessionFlags
}

// Help is what "duplex presence --help" says below the flags' summary.
func (c *presenceCmd) Help() string {
	return "Prints one line of JSON: how many users and connections there are and, unless the topic only counts, who they are. " +
		"\"duplex sub --presence\" shows who comes and goes.\n\n" + sessionExitCodes
}

// Run prints who is in the topic.
func (c *presenceCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	conn, err := c.dial(ctx, out)
	if err != nil {
		return err
	}
	defer leave(conn)
	present, err := conn.Presence(ctx, c.Topic)
	if err != nil {
		return explainCall(ctx, conn, "it cannot be known who is in "+visible(c.Topic), err)
	}
	return (&lines{w: out.stdout}).write(presenceLine(c.Topic, &present))
}

func presenceLine(topic string, p *client.Present) any {
	var users []userLine
	for _, u := range p.Users {
		users = append(users, userLine{User: u.Name, Info: u.Info, Connections: u.Connections})
	}
	return struct {
		Topic       string     `json:"topic"`
		Count       int        `json:"count"`
		Connections int        `json:"connections"`
		Users       []userLine `json:"users,omitempty"`
	}{topic, p.Count, p.Connections, users}
}
