package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/client"
)

// pubCmd is the verb pub.
type pubCmd struct {
	Topic string   `arg:"" help:"Topic to publish to, such as chat.lobby."`
	Data  *rawText `arg:"" optional:"" help:"Message, as JSON (with --text: as it is). Default: a message for each line of standard input."`

	Text    bool   `help:"The message, or each line, is plain text: publish it as a JSON string."`
	Binary  bool   `help:"Publish all of standard input, or of --file, as one message of bytes."`
	File    string `placeholder:"FILE" help:"Read this file instead of standard input."`
	Key     string `placeholder:"KEY" help:"What the messages are about; topics may keep the newest of each key for slow readers."`
	ID      string `name:"id" placeholder:"ID" help:"Id of the message: the server takes it once, however often it is published. Default: a random one."`
	Meta    string `placeholder:"JSON" help:"Object to pass on with the messages."`
	Verbose bool   `short:"v" help:"Print the position of each message, as a line of JSON."`

	sessionFlags
}

// Help is what "duplex pub --help" says below the flags' summary.
func (c *pubCmd) Help() string {
	return "Each message is acknowledged by the server before the next one is sent. When the connection is lost, pub connects again and " +
		"sends what was not acknowledged with the same id, so that it is delivered once; when the server wants fewer messages a second, " +
		"pub waits as long as it says.\n\n" + sessionExitCodes
}

// publishing is what comes out of the input: one message, or why there are no more.
type publishing struct {
	client.Publication
	err error // io.EOF at the end
}

// maxPublication bounds what is read for one message; the server's own limit is usually lower.
const maxPublication = 64 << 20

// Run publishes.
func (c *pubCmd) Run(ctx context.Context, out output) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return c.run(ctx, out, os.Stdin)
}

// run is Run with the standard input that tests provide.
func (c *pubCmd) run(ctx context.Context, out output, stdin io.Reader) error {
	if err := c.check(); err != nil {
		return withExit(exitUsage, err)
	}
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return withExit(exitUsage, fmt.Errorf("--file: %w", err))
		}
		defer file.Close()
		stdin = file
	}
	messages, err := c.source(stdin)
	if err != nil {
		return withExit(exitUsage, err)
	}
	conn, err := c.dial(ctx, out)
	if err != nil {
		return err
	}
	defer leave(conn)
	return c.publishAll(ctx, conn, messages, &lines{w: out.stdout})
}

func (c *pubCmd) check() error {
	switch {
	case c.Text && c.Binary:
		return errors.New("--text and --binary exclude each other")
	case c.Data != nil && (c.File != "" || c.Binary):
		return errors.New("the message is either an argument or comes from standard input (--binary) or --file")
	case c.ID != "" && c.Data == nil && !c.Binary:
		return errors.New("--id is for one message; give it as an argument, or with --binary")
	case c.Meta != "" && !json.Valid([]byte(c.Meta)):
		return fmt.Errorf("--meta %q is not JSON; write an object such as '{\"lang\":\"en\"}'", c.Meta)
	}
	return nil
}

// source returns what yields the messages: an argument, which is checked at once, or the input.
func (c *pubCmd) source(stdin io.Reader) (func(yield func(publishing) bool), error) {
	switch {
	case c.Data != nil:
		p, err := c.publication([]byte(*c.Data))
		if err != nil {
			return nil, err
		}
		return func(yield func(publishing) bool) { yield(publishing{Publication: p}) }, nil
	case c.Binary:
		return func(yield func(publishing) bool) {
			p, err := io.ReadAll(io.LimitReader(stdin, maxPublication+1))
			if err == nil && len(p) > maxPublication {
				err = fmt.Errorf("it has more than %d bytes", maxPublication)
			}
			if err != nil {
				yield(publishing{err: fmt.Errorf("%s: %w", c.inputName(), err)})
				return
			}
			yield(publishing{Publication: client.Publication{Data: p, Binary: true, ID: c.ID, Key: c.Key, Meta: c.meta()}})
		}, nil
	}
	return func(yield func(publishing) bool) { c.readLines(stdin, yield) }, nil
}

func (c *pubCmd) inputName() string {
	if c.File != "" {
		return c.File
	}
	return "standard input"
}

// readLines yields a message for each line. Blank lines are no JSON and no mistake.
func (c *pubCmd) readLines(stdin io.Reader, yield func(publishing) bool) {
	scanner := bufio.NewScanner(stdin)
	scanner.Buffer(nil, maxPublication)
	for number := 1; scanner.Scan(); number++ {
		line := bytes.TrimSuffix(scanner.Bytes(), []byte("\r"))
		if !c.Text && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		p, err := c.publication(bytes.Clone(line))
		if err != nil {
			yield(publishing{err: fmt.Errorf("%s, line %d: %w", c.inputName(), number, err)})
			return
		}
		if !yield(publishing{Publication: p}) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		yield(publishing{err: fmt.Errorf("%s: %w", c.inputName(), err)})
	}
}

// publication is one message with this text.
func (c *pubCmd) publication(text []byte) (client.Publication, error) {
	p := client.Publication{Data: text, ID: c.ID, Key: c.Key, Meta: c.meta()}
	switch {
	case !utf8.Valid(text):
		return p, errors.New("it is not valid UTF-8; --binary publishes bytes")
	case c.Text:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(string(text)); err != nil {
			return p, err
		}
		p.Data = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	case !json.Valid(text):
		return p, fmt.Errorf("%s is not JSON; --text publishes plain text", visible(beginning(text)))
	}
	return p, nil
}

func beginning(text []byte) string {
	head, left := cut(text, 60)
	if left > 0 {
		return strings.TrimSpace(string(head)) + "…"
	}
	return string(head)
}

func (c *pubCmd) meta() []byte {
	if c.Meta == "" {
		return nil
	}
	return []byte(c.Meta)
}

// publishAll publishes one message after the other. Reading the input may block for ever, so it has its own goroutine.
func (c *pubCmd) publishAll(ctx context.Context, conn *client.Client, source func(func(publishing) bool), print *lines) error {
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	messages := make(chan publishing)
	go func() {
		defer close(messages)
		source(func(p publishing) bool {
			select {
			case messages <- p:
				return true
			case <-ended.Done():
				return false
			}
		})
	}()
	for {
		select {
		case p, more := <-messages:
			switch {
			case !more:
				return nil
			case p.err != nil:
				return withExit(exitUsage, p.err)
			}
			if err := c.publish(ctx, conn, p.Publication, print); err != nil {
				return err
			}
		case <-conn.Done():
			return explainCall(ctx, conn, "the connection ended", conn.Err())
		case <-ctx.Done():
			return errInterrupted
		}
	}
}

// publish publishes one message, as often as the server asks for patience.
func (c *pubCmd) publish(ctx context.Context, conn *client.Client, p client.Publication, print *lines) error {
	for {
		r, err := conn.Publish(ctx, c.Topic, p)
		if refused, is := errors.AsType[*client.Error](err); is && refused.Retry > 0 {
			timer := time.NewTimer(refused.Retry)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				return errInterrupted
			}
		}
		if err != nil {
			return explainCall(ctx, conn, "not published to "+visible(c.Topic), err)
		}
		if !c.Verbose {
			return nil
		}
		return print.write(struct {
			Topic     string `json:"topic"`
			Epoch     string `json:"epoch"`
			Offset    uint64 `json:"offset"`
			MessageID string `json:"messageId"`
			Duplicate bool   `json:"duplicate,omitempty"`
		}{c.Topic, r.Epoch, r.Offset, r.ID, r.Duplicate})
	}
}
