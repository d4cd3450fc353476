package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/internal/ledger"
)

var servingAt = regexp.MustCompile(`http://([^/\s]+)/`)

// serve starts a node with an embedded server and returns its address. end ends it; it is killed with the test.
func serve(t *testing.T, binary, data, maxBytes string) (address string, end func()) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "duplex.yaml")
	if err := os.WriteFile(config, []byte("topics: [{pattern: '>', history: {messages: 100000, bytes: 64MiB}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", config, "--listen", "127.0.0.1:0", "--data", data, "--bus-max-bytes", maxBytes)
	var log strings.Builder
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-done
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	lines := bufio.NewScanner(stdout)
	for address == "" && lines.Scan() {
		if found := servingAt.FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		close(done)
	}()
	if address == "" {
		<-done
		t.Fatalf("the node does not serve: %s", log.String())
	}
	return address, end
}

// dial makes a client that does not try for long.
func dial(t *testing.T, ctx context.Context, address string) *client.Client {
	t.Helper()
	c, err := client.Dial(ctx, "ws://"+address+"/ws", &client.Options{ResendFor: time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func readyz(t *testing.T, address string) int {
	t.Helper()
	response, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestFullStream is what a full disk is to publishers, without a disk: a store without room refuses messages, soon and with a reason, keeps what it has
// acknowledged, and takes messages again when it has room.
func TestFullStream(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "duplex.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/duplex").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	data := filepath.Join(t.TempDir(), "data")
	const topic = "full"
	journal := ledger.Journal{Name: "subscriber", Topic: topic}
	var all []ledger.Publication
	seq := 0
	publish := func(c *client.Client, size int, last bool) error {
		seq++
		p := ledger.Publication{Topic: topic, ID: fmt.Sprint("m", seq), Publisher: "p", Seq: seq, Last: last}
		receipt, err := c.Publish(ctx, topic, client.Publication{ID: p.ID, Data: fmt.Appendf(nil, "%q", strings.Repeat("x", size))})
		p.Acked, p.Position = err == nil, receipt.Position
		all = append(all, p)
		return err
	}
	follow := func(s *client.Subscription, until string) {
		t.Helper()
		for {
			e, err := s.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			switch e := e.(type) {
			case *client.Message:
				journal.Entries = append(journal.Entries, ledger.Entry{Kind: ledger.Message, Position: e.Position, ID: e.ID})
				if e.ID == until {
					return
				}
			case *client.Gap:
				journal.Entries = append(journal.Entries, ledger.Entry{Kind: ledger.Gap, Since: e.Since, Until: e.Until, Reason: string(e.Reason)})
			}
		}
	}

	address, end := serve(t, binary, data, "1MiB")
	c := dial(t, ctx, address)
	s, err := c.Subscribe(ctx, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	journal.Entries = append(journal.Entries, ledger.Entry{Kind: ledger.Begin, Position: s.Position()})
	acknowledged := ""
	for _, size := range []int{10_000, 100, 0} { // until nothing at all has room
		var refused error
		for refused == nil && seq < 500 {
			if refused = publish(c, size, false); refused == nil {
				acknowledged = all[len(all)-1].ID
			}
		}
		var reason *client.Error
		if !errors.As(refused, &reason) || reason.Code != client.CodeUncertain || !strings.Contains(reason.Message, "no room") {
			t.Errorf("message %d, of %d bytes: %v", seq, size, refused)
		}
	}
	if seq < 80 {
		t.Errorf("there was room for %d messages only", seq-3)
	}
	if err := await(ctx, 30*time.Second, "/readyz to say that there is no room", func() string {
		if code := readyz(t, address); code != http.StatusServiceUnavailable {
			return fmt.Sprintf("it answers %d", code)
		}
		return ""
	}); err != nil {
		t.Error(err)
	}
	follow(s, acknowledged)
	since := s.Position()
	end()

	address, _ = serve(t, binary, data, "64MiB")
	c = dial(t, ctx, address)
	if s, err = c.Subscribe(ctx, topic, &client.SubscribeOptions{Since: since}); err != nil {
		t.Fatal(err)
	}
	if err := publish(c, 10_000, true); err != nil {
		t.Fatal(err)
	}
	if code := readyz(t, address); code != http.StatusOK {
		t.Errorf("/readyz answers %d with room", code)
	}
	follow(s, fmt.Sprint("m", seq))
	v := ledger.Check(all, []ledger.Journal{journal})
	for _, c := range v.Complaints {
		t.Error(c)
	}
	if !journal.Complete() || len(v.Epochs) != 1 {
		t.Errorf("%+v, gaps were told: %v", v.Counts, !journal.Complete())
	}
}
