package wire_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/internal/showcase/wire"
)

// serve starts a server on a wrapped listener and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ConnContext: wire.ConnContext}
	served := make(chan error, 1)
	go func() { served <- server.Serve(wire.Listener{Listener: l}) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// counting records everything that is read through it.
type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func TestRequestsAreSeenAndCountedOneByOne(t *testing.T) {
	var meters [3]wire.Meter
	seen := make(chan string, len(meters))
	next := 0
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := wire.Of(r.Context())
		c.Count(&meters[next])
		next++
		first, _ := c.Request()
		seen <- string(first)
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, strings.Repeat("x", 1000*next)) // the last does not fit the server's buffer: it comes in chunks
	})
	c := dial(t, address)
	answers := &counting{Reader: c}
	reader := bufio.NewReader(answers)
	requests := []string{
		"GET /one HTTP/1.1\r\nhOsT: example\r\nX-Odd:   spaces  \r\n\r\n",
		"POST /two HTTP/1.1\r\nHost: example\r\nContent-Length: 5\r\n\r\nhello",
		"GET /three HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n",
	}
	var before int64
	for i, request := range requests {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != request {
			t.Errorf("request %d was seen as %q, want %q", i, got, request)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		if got := meters[i].In.Load(); got != int64(len(request)) {
			t.Errorf("request %d: %d bytes in, want %d", i, got, len(request))
		}
		if got, want := meters[i].Out.Load(), answers.n-before; got != want {
			t.Errorf("request %d: %d bytes out, want %d", i, got, want)
		}
		before = answers.n
	}
}

func TestOfARequestOnlyTheFirstBytesAreKept(t *testing.T) {
	lengths := make(chan [2]int64, 1)
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		first, total := wire.Of(r.Context()).Request()
		lengths <- [2]int64{int64(len(first)), total}
	})
	head := "POST / HTTP/1.1\r\nHost: example\r\nContent-Length: 100000\r\n\r\n"
	if _, err := io.WriteString(dial(t, address), head+strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	if got, want := <-lengths, [2]int64{8 << 10, int64(len(head)) + 100_000}; got != want {
		t.Errorf("%v bytes are kept and counted, want %v", got, want)
	}
}

func TestWhoTakesABareConnectionOverGetsTheRealOne(t *testing.T) {
	kinds := make(chan string, 1)
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		c, buffers, err := http.NewResponseController(wire.Bare(w)).Hijack()
		if err != nil {
			kinds <- err.Error()
			return
		}
		kinds <- fmt.Sprintf("%T", c)
		defer c.Close()
		line, _ := buffers.ReadString('\n')
		_, _ = buffers.WriteString("you said " + line)
		_ = buffers.Flush()
	})
	c := dial(t, address)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: example\r\n\r\nbehind\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-kinds; got != "*net.TCPConn" {
		t.Errorf("taken over was a %s, want the *net.TCPConn", got)
	}
	answer, err := io.ReadAll(c)
	if err != nil || string(answer) != "you said behind\n" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestOtherListenersHaveNone(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if c := wire.Of(wire.ConnContext(context.Background(), near)); c != nil {
		t.Errorf("there is a %T for a connection that is not wrapped", c)
	}
}
