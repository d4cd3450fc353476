package webapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/duplex-websocket/duplex/websocket"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// mustNew makes a WebSocket that launch has yet to start.
func mustNew(t *testing.T, url string, protocols []string, o *Options) *WebSocket {
	t.Helper()
	w, err := newWebSocket(url, protocols, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The standard's states and events over the life of a connection.
func TestLife(t *testing.T) {
	ended := make(chan error, 1)
	url := startServer(t, func(c *websocket.Conn) {
		say(t, c, "hello")
		typ, p, err := c.Read(context.Background())
		if err != nil || typ != websocket.Binary || string(p) != "\x00\x01" {
			t.Errorf("the server read %v %q, %v", typ, p, err)
		}
		ended <- untilClosed(c)
	})
	w := mustNew(t, url+"/chat?x=1", nil, nil)
	j := record(w)
	if w.URL() != url+"/chat?x=1" || w.Protocol() != "" || w.Extensions() != "" || w.BinaryType() != BinaryTypeBlob {
		t.Errorf("URL %q, protocol %q, extensions %q, binary type %q", w.URL(), w.Protocol(), w.Extensions(), w.BinaryType())
	}
	w.OnOpen(func(e *OpenEvent) { j.add("state %v, target %v", w.ReadyState(), e.Target() == w) })
	w.OnMessage(func(e *MessageEvent) {
		j.add("origin %v", e.Origin == url)
		if err := w.Send([]byte{0, 1}); err != nil {
			t.Error(err)
		}
		if err := w.Close(3001, "bye"); err != nil {
			t.Error(err)
		}
		j.add("state %v", w.ReadyState())
	})
	w.OnClose(func(*CloseEvent) { j.add("state %v", w.ReadyState()) })
	launch(t, w)
	<-w.Done()
	j.want(t, "open", "state OPEN, target true", "text hello", "origin true", "state CLOSING", `close 3001 "" true`, "state CLOSED")
	if closed, ok := errors.AsType[*websocket.CloseError](<-ended); !ok || closed.Code != 3001 || closed.Reason != "bye" {
		t.Errorf("the server saw %v", closed)
	}
}

// "If neither code nor reason is present, the Close message must not have a body."
func TestCloseFrames(t *testing.T) {
	for _, c := range []struct {
		code   websocket.StatusCode
		reason string
		want   websocket.StatusCode
	}{{0, "", 1005}, {1000, "", 1000}, {0, "why", 1000}, {4999, "why", 4999}} {
		ended := make(chan error, 1)
		w := mustNew(t, startServer(t, func(c *websocket.Conn) { ended <- untilClosed(c) }), nil, nil)
		j := record(w)
		w.OnOpen(func(*OpenEvent) { w.Close(c.code, c.reason) })
		launch(t, w)
		<-w.Done()
		if closed, ok := errors.AsType[*websocket.CloseError](<-ended); !ok || closed.Code != c.want || closed.Reason != c.reason {
			t.Errorf("close(%d, %q): the server saw %v", c.code, c.reason, closed)
		}
		j.want(t, "open", fmt.Sprintf("close %d \"\" true", c.want)) // the peer's frame counts, and ours has no reason in its answer
	}
}

func TestPeerCloses(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(c *websocket.Conn)
		want []string
	}{
		{"with a code", func(c *websocket.Conn) { c.Close(context.Background(), 4000, "out") }, []string{`close 4000 "out" true`}},
		{"without a code", func(c *websocket.Conn) { c.Close(context.Background(), websocket.StatusNoStatus, "") }, []string{`close 1005 "" true`}},
		{"without a close frame", func(c *websocket.Conn) { c.CloseNow() }, []string{"error", `close 1006 "" false`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := mustNew(t, startServer(t, c.end), nil, nil)
			j := record(w)
			launch(t, w)
			<-w.Done()
			j.want(t, append([]string{"open"}, c.want...)...)
		})
	}
}

// The server breaks the protocol: the connection fails, and the code stays 1006.
func TestPeerBreaksProtocol(t *testing.T) {
	url := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		accept, err := acceptKey(r.Header.Get("Sec-WebSocket-Key"))
		if err != nil {
			t.Error(err)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n\x83\x00")
		conn.Read(make([]byte, 1)) // the client's close frame
	}))
	w := mustNew(t, url, nil, nil)
	j := record(w)
	var reported error
	w.OnError(func(e *ErrorEvent) { reported = e.Err })
	launch(t, w)
	<-w.Done()
	j.want(t, "open", "error", `close 1006 "" false`)
	if _, ok := errors.AsType[*websocket.ProtocolError](reported); !ok {
		t.Errorf("error is %v", reported)
	}
}

// A failed attempt: error, then close, whatever the cause.
func TestNotOpened(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	redirecting := startHandler(t, http.RedirectHandler("/elsewhere", http.StatusFound))
	var target func(http.ResponseWriter, *http.Request)
	plain := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { target(w, r) }))
	target = http.NotFound
	accepts := startServer(t, echo)
	for _, c := range []struct {
		name, url string
		protocols []string
		status    int
	}{
		{"nobody there", "ws://" + ln.Addr().String(), nil, 0},
		{"not found", plain, nil, 404},
		{"redirect", redirecting, nil, 302},
		{"unacknowledged subprotocol", accepts, []string{"chat", "superchat"}, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := mustNew(t, c.url, c.protocols, nil)
			j := record(w)
			var reported error
			w.OnError(func(e *ErrorEvent) { reported = e.Err; j.add("state %v", w.ReadyState()) })
			launch(t, w)
			<-w.Done()
			j.want(t, "error", "state CLOSED", `close 1006 "" false`)
			refused, ok := errors.AsType[*websocket.HandshakeError](reported)
			if ok != (c.status != 0) || ok && refused.Status != c.status {
				t.Errorf("error is %v, want status %d", reported, c.status)
			}
		})
	}
}

func TestNegotiated(t *testing.T) {
	o := &websocket.AcceptOptions{Options: websocket.Options{Subprotocols: []string{"superchat"}, Compression: websocket.Compression{Mode: websocket.CompressionTakeover}}}
	url := startHandler(t, accepting(t, o, echo))
	options := &Options{}
	options.Dial.Compression.Mode = websocket.CompressionTakeover
	options.Dial.Header = http.Header{"Origin": {"http" + strings.TrimPrefix(url, "ws")}}
	w := mustNew(t, url, []string{"chat", "superchat"}, options)
	w.OnOpen(func(*OpenEvent) {
		if w.Protocol() != "superchat" || !strings.HasPrefix(w.Extensions(), "permessage-deflate") {
			t.Errorf("protocol %q, extensions %q", w.Protocol(), w.Extensions())
		}
		w.Send(strings.Repeat("similar ", 1000))
	})
	w.OnMessage(func(e *MessageEvent) {
		if e.Data != strings.Repeat("similar ", 1000) {
			t.Error("the echo is not the message")
		}
		w.Close(1000, "")
	})
	launch(t, w)
	<-w.Done()
}

func TestBinaryTypes(t *testing.T) {
	w := mustNew(t, startServer(t, echo), nil, &Options{BinaryType: BinaryTypeArrayBuffer})
	j := record(w)
	w.OnOpen(func(*OpenEvent) {
		shared := []byte("a")
		w.Send(shared)
		shared[0] = 'X' // Send has copied it
		w.Send(NewBlob([]byte("b")))
		w.Send("c\xff")
		w.Send("end")
	})
	w.OnMessage(func(e *MessageEvent) {
		if e.Target() != w {
			t.Error("the target is another")
		}
		w.SetBinaryType("nonsense")
		w.SetBinaryType(BinaryTypeBlob)
		if e.Data == "end" {
			w.Close(0, "")
		}
	})
	launch(t, w)
	<-w.Done()
	j.want(t, "open", "bytes a", "blob b", "text c\uFFFD", "text end", `close 1005 "" true`)
}

func TestSendBeforeOpenAndAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, accepting(t, nil, echo))
		o := n.options()
		release := make(chan struct{})
		dial := o.Dial.DialContext
		o.Dial.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			<-release
			return dial(ctx, network, addr)
		}
		w := mustNew(t, "ws://h/", nil, &o)
		launch(t, w)
		if err := w.Send("early"); !errors.Is(err, ErrInvalidState) {
			t.Errorf("before open: error is %v", err)
		}
		if err := w.Send(5); !errors.Is(err, ErrType) {
			t.Errorf("an int: error is %v", err)
		}
		close(release)
		synctest.Wait()
		if w.ReadyState() != Open {
			t.Fatalf("state is %v", w.ReadyState())
		}
		w.Send("1234")
		synctest.Wait()
		if n := w.BufferedAmount(); n != 0 {
			t.Errorf("bufferedAmount is %d after all was sent", n)
		}
		w.Close(1000, "")
		if err := w.Send("567"); err != nil || w.BufferedAmount() != 3 {
			t.Errorf("while closing: %v, bufferedAmount %d", err, w.BufferedAmount())
		}
		<-w.Done()
		if err := w.Send(NewBlob([]byte("89"))); err != nil || w.BufferedAmount() != 5 {
			t.Errorf("after close: %v, bufferedAmount %d", err, w.BufferedAmount())
		}
		if err := w.Close(1000, "again"); err != nil {
			t.Error(err)
		}
	})
}

// close() while connecting fails the connection at once.
func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &Options{}
		o.Dial.DialContext = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go hold(server)
			return client, nil
		}
		w := mustNew(t, "ws://h/", nil, o)
		j := record(w)
		launch(t, w)
		synctest.Wait()
		w.Close(1000, "never mind")
		if w.ReadyState() != Closing {
			t.Errorf("state is %v", w.ReadyState())
		}
		<-w.Done()
		j.want(t, "error", `close 1006 "" false`)
	})
}

// Messages that arrive after the state left OPEN are dropped.
func TestMessagesAfterClose(t *testing.T) {
	url := startServer(t, func(c *websocket.Conn) {
		for _, m := range []string{"one", "two", "three"} {
			_ = c.Write(context.Background(), websocket.Text, []byte(m)) // the client may have closed
		}
		untilClosed(c)
	})
	w := mustNew(t, url, nil, nil)
	j := record(w)
	w.OnMessage(func(*MessageEvent) { w.Close(1000, "enough") })
	launch(t, w)
	<-w.Done()
	j.want(t, "open", "text one", `close 1000 "" true`)
}

// What was sent before Close arrives before the close frame, however much it is.
func TestCloseSendsTheRest(t *testing.T) {
	const count, size = 20, 100 << 10
	arrived := make(chan int, 1)
	url := startServer(t, func(c *websocket.Conn) {
		n := 0
		for {
			_, p, err := c.Read(context.Background())
			if err != nil {
				break
			}
			if len(p) == size && p[0] == byte(n) {
				n++
			}
		}
		arrived <- n
	})
	w := mustNew(t, url, nil, nil)
	j := record(w)
	w.OnOpen(func(*OpenEvent) {
		for i := range count {
			if err := w.Send(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Error(err)
			}
		}
		if n := w.BufferedAmount(); n <= 0 || n > count*size {
			t.Errorf("bufferedAmount is %d", n)
		}
		w.Close(1000, "")
	})
	launch(t, w)
	<-w.Done()
	if n := <-arrived; n != count {
		t.Errorf("%d messages arrived, want %d", n, count)
	}
	j.want(t, "open", `close 1000 "" true`)
	if n := w.BufferedAmount(); n != 0 {
		t.Errorf("bufferedAmount is %d after a clean close", n)
	}
}

// bufferedAmount falls as the network takes what was sent.
func TestBufferedAmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, leave := make(chan struct{}), make(chan struct{})
		n := startPipeNet(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			accept, _ := acceptKey(r.Header.Get("Sec-WebSocket-Key"))
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n")
			<-read
			go hold(conn)
			<-leave
			conn.Close()
		}))
		o := n.options()
		w := mustNew(t, "ws://h/", nil, &o)
		j := record(w)
		launch(t, w)
		synctest.Wait()
		for range 100 {
			w.Send(make([]byte, 1000))
		}
		synctest.Wait()
		if got := w.BufferedAmount(); got != 100_000 {
			t.Errorf("bufferedAmount is %d while the peer does not read, want 100000", got)
		}
		close(read)
		synctest.Wait()
		if got := w.BufferedAmount(); got != 0 {
			t.Errorf("bufferedAmount is %d when the peer has read all", got)
		}
		// The peer goes away instead of answering the close frame.
		w.Close(1000, "")
		close(leave)
		<-w.Done()
		j.want(t, "open", "error", `close 1006 "" false`)
	})
}

// A full buffer closes the socket; nothing is thrown.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			accept, _ := acceptKey(r.Header.Get("Sec-WebSocket-Key"))
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n")
			one := make([]byte, 1)
			conn.Read(one) // and nothing more, until the client gives up
			for {
				if _, err := conn.Write([]byte{0x8a, 0}); err != nil { // an unasked pong
					conn.Close()
					return
				}
			}
		}))
		o := n.options()
		o.MaxBuffered = 1000
		w := mustNew(t, "ws://h/", nil, &o)
		j := record(w)
		w.OnOpen(func(*OpenEvent) {
			for range 2 {
				if err := w.Send(make([]byte, 600)); err != nil {
					t.Error(err)
				}
			}
		})
		launch(t, w)
		<-w.Done()
		j.want(t, "open", "error", `close 1006 "" false`)
		if n := w.BufferedAmount(); n != 1200 {
			t.Errorf("bufferedAmount is %d, want 1200", n)
		}
	})
}

// A slow listener is felt by the peer, and nothing is lost or reordered.
func TestSlowListener(t *testing.T) {
	const count = 500
	url := startServer(t, func(c *websocket.Conn) {
		for i := range count {
			say(t, c, fmt.Sprint(i, strings.Repeat(".", 1000)))
		}
		c.Close(context.Background(), 1000, "")
	})
	w := mustNew(t, url, nil, nil)
	next := 0
	running := false
	w.OnMessage(func(e *MessageEvent) {
		if running {
			t.Error("two events at once")
		}
		running = true
		if want := fmt.Sprint(next, strings.Repeat(".", 1000)); e.Data != want {
			t.Errorf("message %d is another", next)
		}
		next++
		running = false
	})
	launch(t, w)
	<-w.Done()
	if next != count {
		t.Errorf("%d messages came, want %d", next, count)
	}
}

// Handlers in the options miss nothing.
func TestHandlersInOptions(t *testing.T) {
	j := &journal{}
	o := &Options{
		OnOpen:    func(e *OpenEvent) { j.add("%s", describe(e)); e.SendFirst("hi") },
		OnMessage: func(e *MessageEvent) { j.add("%s", describe(e)); e.Target().Close(0, "") },
		OnError:   func(e *ErrorEvent) { j.add("%s", describe(e)) },
		OnClose:   func(e *CloseEvent) { j.add("%s", describe(e)) },
	}
	w := mustNew(t, startServer(t, echo), nil, o)
	launch(t, w)
	<-w.Done()
	j.want(t, "open", "text hi", `close 1005 "" true`)
}

// Handlers that are set after New miss nothing either, as quick as the server is.
func TestHandlersAfterNew(t *testing.T) {
	url := startServer(t, func(c *websocket.Conn) {
		say(t, c, "1", "2")
		c.Close(context.Background(), 4000, "")
	})
	for range 50 {
		w, err := New(url)
		if err != nil {
			t.Fatal(err)
		}
		j := &journal{}
		w.OnOpen(func(e *OpenEvent) { j.add("%s", describe(e)) })
		w.OnMessage(func(e *MessageEvent) { j.add("%s", describe(e)) })
		w.OnClose(func(e *CloseEvent) { j.add("%s", describe(e)) })
		<-w.Done()
		j.want(t, "open", "text 1", "text 2", `close 4000 "" true`)
	}
}
