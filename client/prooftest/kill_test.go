package prooftest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/internal/ledger"
)

// program is a duplex serve in a process of its own.
type program struct {
	cmd  *exec.Cmd
	addr string // HOST:PORT
	done chan struct{}
}

// build builds the command.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "duplex.exe")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/duplex").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}

var listening = regexp.MustCompile(`open http://(\S+)/ in a browser`)

// start starts a server and waits until it listens. It is killed with the test.
func start(t *testing.T, binary, config, listen string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(binary, "serve", "--config", config, "--listen", listen), done: make(chan struct{})}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	p.cmd.Stderr = &stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			p.addr = found[1]
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = p.cmd.Wait() // it says that it was killed
		close(p.done)
	}()
	if p.addr == "" {
		<-p.done
		t.Fatalf("the server does not listen: %s", stderr.String())
	}
	return p
}

// kill ends the server as kill -9 does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

const (
	killClients = 500
	killTopics  = 20
	killSubs    = 2 // of each client
)

func killTopic(n int) string { return fmt.Sprintf("kill.%d", n%killTopics) }

// TestKill: the server is killed while 500 clients publish and subscribe, and started again. They come back by themselves, and every
// one of them can say for each of its topics whether it has everything: with this server, whose memory is gone, nobody has.
func TestKill(t *testing.T) {
	config := filepath.Join(t.TempDir(), "duplex.yaml")
	if err := os.WriteFile(config, []byte("topics: [{pattern: '>', history: {messages: 1000}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	server := start(t, binary, config, "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	clients := connectAll(t, "ws://"+server.addr+"/ws")

	var ready, following group
	var journals []*ledger.Journal
	for i, c := range clients {
		for k := range killSubs {
			j := &ledger.Journal{Name: fmt.Sprintf("client %d", i), Topic: killTopic(i + 7*k)}
			journals = append(journals, j)
			subscribed := make(chan error, 1)
			following.run(func() error {
				s, err := c.Subscribe(ctx, j.Topic, nil)
				subscribed <- err
				if err != nil {
					return nil // told by ready
				}
				return follow(ctx, s, j)
			})
			ready.run(func() error { return <-subscribed })
		}
	}
	ready.wait(t, "subscribing")

	var l records
	var acked atomic.Int64
	enough := make(chan struct{})
	var publishing group
	for i, c := range clients {
		publishing.run(func() error {
			for seq := range 4 {
				if err := l.publish(ctx, c, of(killTopic(i+3*seq), i, seq+1)); err != nil {
					return err
				}
				if acked.Add(1) == 2*killClients {
					close(enough)
				}
			}
			return nil
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatal("nothing is acknowledged")
	}
	server.kill()
	start(t, binary, config, server.addr)
	publishing.wait(t, "publishing")
	for i := range killTopics { // in the new epoch for sure
		publishing.run(func() error { return l.publish(ctx, clients[i], of(killTopic(i), i, 5)) })
	}
	publishing.wait(t, "publishing again")
	for i := range killTopics {
		publishing.run(func() error { return l.publish(ctx, clients[i], theEnd(killTopic(i))) })
	}
	publishing.wait(t, "publishing the last messages")
	following.wait(t, "subscribers")
	report(t, &l, journals)
	checkEpochs(t, &l, journals)
}

// connectAll makes the clients. Their first connections need not succeed.
func connectAll(t *testing.T, url string) []*client.Client {
	t.Helper()
	var clients []*client.Client
	for range killClients {
		c, err := client.New(url, &client.Options{
			BaseDelay: 100 * time.Millisecond, MaxDelay: time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	t.Cleanup(func() {
		for _, c := range clients {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = c.Close(ended) // all at once
		}
		for _, c := range clients {
			<-c.Done()
			if !errors.Is(c.Err(), client.ErrClosed) {
				t.Errorf("a client ended with %v", c.Err())
			}
		}
	})
	return clients
}

// checkEpochs: there are two, and every journal says where the first one breaks off.
func checkEpochs(t *testing.T, l *records, journals []*ledger.Journal) {
	t.Helper()
	epochs := l.epochs()
	if len(epochs) != 2 {
		t.Errorf("acknowledged in epochs: %v", epochs)
	}
	silent := 0
	for _, j := range journals {
		if j.Complete() {
			silent++
		}
	}
	if silent > 0 {
		t.Errorf("%d of %d journals do not know that the server has forgotten", silent, len(journals))
	}
	t.Logf("acknowledged by epoch: %v", epochs)
}
