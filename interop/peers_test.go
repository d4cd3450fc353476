package interop

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long any single step may take. It is long because it only ends what would hang.
const patience = 20 * time.Second

// maxMessage is the limit on messages on both sides; the largest one sent has 1 MiB.
const maxMessage = 2 << 20

// An ending is how a connection was closed, seen from one side; code 1005 is a close frame without a code.
type ending struct {
	code   int
	reason string
}

func (e ending) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

// A theirConn is a client connection of another library. A read after the peer closed returns an ending as error.
type theirConn interface {
	write(text bool, p []byte) error
	// fragments sends the parts as one message in several frames.
	fragments(text bool, parts []string) error
	read() (text bool, p []byte, err error)
	// ping sends a ping and waits for its pong.
	ping(payload string) error
	// close sends a close frame and returns the code of the peer's answer; 1005: it had none.
	close(code int, reason string) (int, error)
}

// An inbox holds what the reading goroutine of a theirConn received.
type inbox struct {
	messages chan received
	pongs    chan string
}

type received struct {
	text bool
	p    []byte
	err  error
}

func newInbox() inbox { return inbox{make(chan received, 64), make(chan string, 1)} }

// pump reads until the end.
func (in inbox) pump(next func() (text bool, p []byte, err error)) {
	for {
		text, p, err := next()
		in.messages <- received{text, p, err}
		if err != nil {
			return
		}
	}
}

func (in inbox) read() (bool, []byte, error) {
	select {
	case m := <-in.messages:
		return m.text, m.p, m.err
	case <-time.After(patience):
		return false, nil, errors.New("nothing to read")
	}
}

func (in inbox) awaitPong(payload string) error {
	select {
	case got := <-in.pongs:
		if got != payload {
			return fmt.Errorf("pong with %q, want %q", got, payload)
		}
		return nil
	case <-time.After(patience):
		return errors.New("no pong")
	}
}

// answerToClose reads until the close frame.
func (in inbox) answerToClose() (int, error) {
	for {
		if _, _, err := in.read(); err != nil {
			e, err := endingOf(err)
			return e.code, err
		}
	}
}

// A rival is another library in both roles.
type rival struct {
	name string

	// settings are its ways to compress; the first is not to.
	settings []string

	// dial connects and reports the subprotocol; the connection ends with the test.
	dial func(t *testing.T, url, setting string, subprotocols []string) (theirConn, string, error)

	// handler echoes and obeys commands, see command. It reports how each connection ended.
	handler func(setting string, subprotocols []string, ended chan<- ending) http.Handler
}

var rivals = []rival{gorillaRival, coderRival, gwsRival, gobwasRival}

// The commands that every echo server here obeys when they come as text:
//
//	!ping                  send a ping; when the pong has come, send the text "ponged"
//	!close CODE REASON     close with that code; 1005: without one
//	!fragments             send fragmented as one text message of several frames
const (
	pingCommand      = "!ping"
	closeCommand     = "!close "
	fragmentsCommand = "!fragments"
	ponged           = "ponged"
)

// fragmented is larger than the buffers in which any of the libraries collects a message before it sends a frame.
var fragmented = strings.Repeat("Fragmente, 分片, фрагменты; ", 8<<10)

// closeArguments parses the command !close.
func closeArguments(text string) (code int, reason string, ok bool) {
	rest, ok := strings.CutPrefix(text, closeCommand)
	if !ok {
		return 0, "", false
	}
	number, reason, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(number)
	return code, reason, err == nil
}

// endingOf takes the ending out of an error.
func endingOf(err error) (ending, error) {
	if e, ok := errors.AsType[ending](err); ok {
		return e, nil
	}
	return ending{}, fmt.Errorf("no close frame: %w", err)
}

// awaitEnding waits for what a server reports.
func awaitEnding(t *testing.T, ended <-chan ending) ending {
	t.Helper()
	select {
	case e := <-ended:
		return e
	case <-time.After(patience):
		t.Fatal("the server did not notice the end of the connection")
		return ending{}
	}
}

// The messages that every pair exchanges, each as text and as binary. They lie around the borders of the length forms (RFC 6455
// section 5.2) and of deflate's window; the quotes resemble each other, which is what context takeover is for.
var messages = sync.OnceValue(func() []string {
	var all []string
	for _, size := range []int{0, 1, 5, 125, 126, 127, 1000, 65535, 65536, 200000, 1 << 20} {
		all = append(all, fill(size))
	}
	for i := range 20 {
		all = append(all, fmt.Sprintf(`{"type":"quote","symbol":"贵州茅台","seq":%d,"price":%d.%02d,"text":%q}`, i, 1400+i, i, fill(100*i)))
	}
	return append(all, fill(0), fill(40000)) // an empty one inside a history, and one longer than the window
})

// fill makes valid UTF-8 of exactly size bytes that compresses neither too well nor not at all.
func fill(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%x,héllo 世界 🌍 %d;", i*i*2654435761, i%7)
	}
	s := b.String()[:size]
	if valid := strings.ToValidUTF8(s, ""); len(valid) < size {
		s = valid + strings.Repeat("x", size-len(valid))
	}
	return s
}
