// Command node is one node of a cluster to be measured: broker and hub with subscribers that count, without sockets. It does what lines of
// JSON on its standard input say, one after the other, and answers each with a line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/natsbroker"
	"github.com/duplex-websocket/duplex/internal/natsserver"
)

const patience = 2 * time.Minute // for whatever a command waits for

func main() {
	name := flag.String("node", "", "`name` in the cluster")
	dir := flag.String("data", "", "`directory` for messages; empty: the memory broker")
	cluster := flag.String("cluster", "", "all nodes: `name=host:port,...`; empty: one node")
	flag.Parse()
	broker, closeAll, err := open(*dir, *name, *cluster)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
	defer closeAll()
	n, err := newNode(broker)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
	n.serve(os.Stdin, os.Stdout)
}

// open opens a broker as duplex serve does.
func open(dir, name, cluster string) (hub.Broker, func(), error) {
	if dir == "" {
		return hub.NewMemoryBroker(hub.MemoryOptions{}), func() {}, nil
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := natsserver.Options{Dir: dir, Node: name, Logger: logger, StartTimeout: patience}
	replicas := 1
	if cluster != "" {
		replicas, o.SyncAlways = 3, true
		for text := range strings.SplitSeq(cluster, ",") {
			p, err := natsserver.ParsePeer(text)
			if err != nil {
				return nil, nil, err
			}
			o.Cluster = append(o.Cluster, p)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := natsserver.Start(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect("", natsbroker.ConnOptions(nats.InProcessServer(server))...)
	if err != nil {
		return nil, nil, err
	}
	b, err := natsbroker.New(ctx, natsbroker.Options{Conn: nc, Replicas: replicas, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return b, func() {
		b.Close()
		nc.Close()
		_ = server.Close() // its data is thrown away
	}, nil
}

// serve does commands until the input ends.
func (n *node) serve(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var c command
		var a answer
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			a, err = n.do(&c)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if answers.Encode(a) != nil {
			return
		}
	}
}
