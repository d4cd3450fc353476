package webapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// mustNewReconnecting makes one whose jitter is the whole of the ceiling, and that
// launch has yet to start.
func mustNewReconnecting(t *testing.T, url string, o ReconnectOptions) *Reconnecting {
	t.Helper()
	r, err := newReconnecting(url, nil, &o)
	if err != nil {
		t.Fatal(err)
	}
	r.backoff.random = func() float64 { return 1 }
	return r
}

// script is a server whose n-th connection is served by the n-th function; the
// last one serves all that follow.
func script(t *testing.T, steps ...http.HandlerFunc) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		step := steps[0]
		if len(steps) > 1 {
			steps = steps[1:]
		}
		mu.Unlock()
		step(w, r)
	})
}

func accepts(t *testing.T, serve func(c *websocket.Conn)) http.HandlerFunc {
	return accepting(t, nil, serve).ServeHTTP
}

func refuses(status int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, "no", status)
	}
}

func closes(t *testing.T, code websocket.StatusCode, reason string) http.HandlerFunc {
	return accepts(t, func(c *websocket.Conn) { c.Close(context.Background(), code, reason) })
}

// The waits grow from BaseDelay to MaxDelay, and every change is told.
func TestReconnectBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t, accepts(t, echo)))
		n.setDown(true)
		start := time.Now()
		var waits []time.Duration
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), OnStateChange: func(e *StateEvent) {
			if e.State == StateWaiting {
				waits = append(waits, e.Delay)
				if e.Failures != len(waits) || !errors.Is(e.Err, errNetworkDown) {
					t.Errorf("after %d failures the event says %d, %v", len(waits), e.Failures, e.Err)
				}
			}
			if e.State == StateWaiting && len(waits) == 7 {
				n.setDown(false)
			}
		}})
		j := record(r)
		if r.State() != StateConnecting || r.ReadyState() != Connecting {
			t.Errorf("state is %v, %v", r.State(), r.ReadyState())
		}
		r.OnOpen(func(*OpenEvent) { r.Close(1000, "") })
		launch(t, r)
		<-r.Done()
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
		var total time.Duration
		for i := range want {
			want[i] *= time.Second
			total += want[i]
		}
		if fmt.Sprint(waits) != fmt.Sprint(want) || time.Since(start) != total {
			t.Errorf("waits are %v, in all %v; want %v", waits, time.Since(start), want)
		}
		var events []string
		for range want {
			last := "connecting"
			events = append(events, "error", last+" -> waiting", "waiting -> connecting")
		}
		events = append(events, "connecting -> open", "open", "open -> closing", "closing -> closed", `close 1000 "" true`)
		j.want(t, events...)
	})
}

// The server's hint is the least wait.
func TestReconnectObeysHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t,
			refuses(503, "7"),
			refuses(429, "600"),
			closes(t, 1012, "new version, retry-after=20s"),
			closes(t, 1013, "retry-after=1500ms"),
			accepts(t, echo)))
		var waits []time.Duration
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), OnStateChange: func(e *StateEvent) {
			if e.State == StateWaiting {
				waits = append(waits, e.Delay)
			}
		}})
		j := record(r)
		r.OnOpen(func(*OpenEvent) {
			if len(waits) == 4 {
				r.Close(1000, "")
			}
		})
		launch(t, r)
		<-r.Done()
		want := []time.Duration{8 * time.Second, 302 * time.Second, 24 * time.Second, 9500 * time.Millisecond}
		if fmt.Sprint(waits) != fmt.Sprint(want) {
			t.Errorf("waits are %v, want %v", waits, want)
		}
		errorsSeen := 0
		for _, entry := range j.entries() {
			if entry == "error" {
				errorsSeen++
			}
		}
		if errorsSeen != 2 {
			t.Errorf("%d error events, want those of the two refusals: %q", errorsSeen, j.entries())
		}
	})
}

func TestReconnectStopsOnFatal(t *testing.T) {
	for _, c := range []struct {
		name string
		step http.HandlerFunc
		want []string
	}{
		{"forbidden", refuses(403, ""), []string{"error", "connecting -> closed", `close 1006 "" false`}},
		{"policy", closes(t, 1008, "go away"), []string{"connecting -> open", "open", "open -> closed", `close 1008 "go away" true`}},
		{"finished", closes(t, 1000, ""), []string{"connecting -> open", "open", "open -> closed", `close 1000 "" true`}},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := startPipeNet(t, c.step)
			r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options()})
			j := record(r)
			launch(t, r)
			<-r.Done()
			j.want(t, c.want...)
			if n.dialed() != 1 || r.State() != StateClosed || r.ReadyState() != Closed {
				t.Errorf("%s: %d attempts, state %v", c.name, n.dialed(), r.State())
			}
			if err := r.Send("x"); !errors.Is(err, ErrEnded) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Send: %v", c.name, err)
			}
		})
	}
}

func TestReconnectFatalOverridden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t, refuses(404, ""), closes(t, 1000, ""), closes(t, 4001, "token expired")))
		o := ReconnectOptions{Options: n.options(), Fatal: func(err error) bool { return websocket.CloseStatus(err) == 4001 }}
		r := mustNewReconnecting(t, "ws://h/", o)
		j := record(r)
		launch(t, r)
		<-r.Done()
		if got := j.entries(); got[len(got)-1] != `close 4001 "token expired" true` || n.dialed() != 3 {
			t.Errorf("%d attempts, events %q", n.dialed(), got)
		}
	})
}

func TestReconnectMaxFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t, accepts(t, echo)))
		n.setDown(true)
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), MaxFailures: 3})
		j := record(r)
		launch(t, r)
		<-r.Done()
		j.want(t, "error", "connecting -> waiting", "waiting -> connecting", "error", "connecting -> waiting", "waiting -> connecting",
			"error", "connecting -> closed", `close 1006 "" false`)
	})
}

// A connection must have lived for a while for the failures to be forgotten.
func TestReconnectResetsAfterStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lives := []time.Duration{0, 9 * time.Second, 10 * time.Second, 0}
		var steps []http.HandlerFunc
		for _, life := range lives {
			steps = append(steps, accepts(t, func(c *websocket.Conn) {
				time.Sleep(life) // the bubble's clock
				c.Close(context.Background(), 1001, "")
			}))
		}
		n := startPipeNet(t, script(t, append(steps, accepts(t, echo))...))
		var failures []int
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), OnStateChange: func(e *StateEvent) {
			if e.State == StateWaiting {
				failures = append(failures, e.Failures)
			}
		}})
		r.OnOpen(func(*OpenEvent) {
			if len(failures) == len(lives) {
				r.Close(1000, "")
			}
		})
		launch(t, r)
		<-r.Done()
		if want := []int{1, 2, 1, 2}; fmt.Sprint(failures) != fmt.Sprint(want) {
			t.Errorf("failures in a row are %v, want %v", failures, want)
		}
	})
}

// What is sent without a connection follows when there is one, behind what the
// open listener sends first.
func TestReconnectQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t, accepts(t, echo)))
		n.setDown(true)
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), QueueBytes: 10, QueueMessages: 3})
		j := &journal{}
		for _, c := range []struct {
			data string
			want error
		}{{"1234", nil}, {"5678", nil}, {"abc", ErrQueueFull}, {"9", nil}, {"", ErrQueueFull}} {
			if err := r.Send(c.data); !errors.Is(err, c.want) {
				t.Errorf("Send(%q): %v, want %v", c.data, err, c.want)
			}
		}
		if err := r.Send(1.5); !errors.Is(err, ErrType) {
			t.Errorf("Send of a float: %v", err)
		}
		if got := r.BufferedAmount(); got != 9 {
			t.Errorf("bufferedAmount is %d, want 9", got)
		}
		r.OnOpen(func(e *OpenEvent) {
			r.Send("x")          // behind the queue, which it fills
			e.SendFirst("token") // ahead of it
		})
		r.OnMessage(func(e *MessageEvent) { j.add("%s", describe(e)) })
		n.setDown(false)
		launch(t, r)
		r.Retry()
		synctest.Wait()
		j.want(t, "text token", "text 1234", "text 5678", "text 9")
		if got := r.BufferedAmount(); got != 0 {
			t.Errorf("bufferedAmount is %d after all was sent", got)
		}
		if err := r.Send(strings.Repeat("y", 100)); err != nil {
			t.Errorf("a large message with a connection and nothing waiting: %v", err)
		}
		synctest.Wait()
		j.want(t, "text token", "text 1234", "text 5678", "text 9", "text "+strings.Repeat("y", 100))
	})
}

func TestReconnectRejectsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startPipeNet(t, script(t, accepts(t, echo)))
		n.setDown(true)
		r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), RejectOffline: true})
		launch(t, r)
		synctest.Wait()
		if err := r.Send("x"); !errors.Is(err, ErrOffline) {
			t.Errorf("without a connection: %v", err)
		}
		j := record(r)
		n.setDown(false)
		r.OnOpen(func(*OpenEvent) {
			if err := r.Send("x"); err != nil {
				t.Errorf("in open: %v", err)
			}
		})
		r.OnMessage(func(*MessageEvent) { r.Close(1000, "") })
		r.Retry()
		<-r.Done()
		if got := j.entries(); got[len(got)-4] != "text x" {
			t.Errorf("events are %q", got)
		}
	})
}

// What a lost connection had not begun to send goes over the next one, once; what
// it had begun is reported as lost.
func TestReconnectKeepsUnsent(t *testing.T) {
	const size, count = 40 << 10, 10
	for _, reject := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var arrived []byte
			n := startPipeNet(t, script(t,
				func(w http.ResponseWriter, r *http.Request) { // reads nothing and goes away
					conn, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					accept, _ := acceptKey(r.Header.Get("Sec-WebSocket-Key"))
					fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept)
					time.Sleep(time.Second)
					conn.Close()
				},
				accepts(t, func(c *websocket.Conn) {
					for {
						_, p, err := c.Read(context.Background())
						if err != nil {
							return
						}
						mu.Lock()
						arrived = append(arrived, p[0])
						mu.Unlock()
					}
				})))
			var lost int64
			r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options(), RejectOffline: reject, OnStateChange: func(e *StateEvent) {
				mu.Lock()
				defer mu.Unlock()
				lost += e.Lost
			}})
			r.OnOpen(func(*OpenEvent) {
				if n.dialed() > 1 {
					return
				}
				for i := range count {
					if err := r.Send(append([]byte{byte('0' + i)}, make([]byte, size-1)...)); err != nil {
						t.Error(err)
					}
				}
			})
			launch(t, r)
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if reject {
				if lost != size*count || len(arrived) != 0 {
					t.Errorf("rejecting: %d bytes are lost, %q arrived; want all lost", lost, arrived)
				}
				return
			}
			begun := int(lost / size)
			if lost%size != 0 || begun < 1 || begun > 2 || string(arrived) != "0123456789"[begun:] {
				t.Errorf("%d bytes (%d messages) are lost, %q arrived; want each message lost or arrived, in order", lost, begun, arrived)
			}
			r.Close(1000, "")
		})
	}
}

// Close ends it in every state.
func TestReconnectClose(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := startPipeNet(t, script(t, accepts(t, echo)))
			n.setDown(true)
			r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options()})
			j := record(r)
			r.Send("never sent")
			launch(t, r)
			synctest.Wait()
			start := time.Now()
			if err := r.Close(1001, ""); !errors.Is(err, ErrInvalidAccess) || r.State() != StateWaiting {
				t.Errorf("a code that is not allowed: %v, state %v", err, r.State())
			}
			r.Close(1000, "")
			r.Close(1000, "again")
			<-r.Done()
			j.want(t, "error", "connecting -> waiting", "waiting -> closing", "closing -> closed", `close 1006 "" false`)
			if time.Since(start) != 0 || r.BufferedAmount() != 10 {
				t.Errorf("after %v, bufferedAmount %d", time.Since(start), r.BufferedAmount())
			}
		})
	})
	t.Run("connecting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := Options{}
			o.Dial.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: o})
			j := record(r)
			launch(t, r)
			synctest.Wait()
			r.Close(1000, "")
			<-r.Done()
			j.want(t, "connecting -> closing", "closing -> closed", `close 1006 "" false`)
		})
	})
	t.Run("open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			n := startPipeNet(t, accepts(t, func(c *websocket.Conn) { ended <- untilClosed(c) }))
			r := mustNewReconnecting(t, "ws://h/", ReconnectOptions{Options: n.options()})
			j := record(r)
			launch(t, r)
			synctest.Wait()
			r.Send("last words")
			r.Close(4000, "bye")
			if r.ReadyState() != Closing {
				t.Errorf("state is %v", r.ReadyState())
			}
			<-r.Done()
			j.want(t, "connecting -> open", "open", "open -> closing", "closing -> closed", `close 4000 "" true`)
			if closed, ok := errors.AsType[*websocket.CloseError](<-ended); !ok || closed.Code != 4000 || closed.Reason != "bye" {
				t.Errorf("the server saw %v", closed)
			}
		})
	})
}

// Prepare may renew what expires, before every attempt.
func TestReconnectPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		see := func(next http.HandlerFunc) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header.Get("Authorization"))
				next(w, r)
			}
		}
		n := startPipeNet(t, script(t, see(refuses(503, "")), see(closes(t, 1000, ""))))
		calls := 0
		broken := errors.New("no token")
		o := ReconnectOptions{Options: n.options(), Prepare: func(_ context.Context, o *websocket.DialOptions) error {
			if calls++; calls == 2 {
				return broken
			}
			o.Header.Set("Authorization", fmt.Sprint("Bearer ", calls))
			return nil
		}}
		r := mustNewReconnecting(t, "ws://h/", o)
		var reported []error
		r.OnError(func(e *ErrorEvent) { reported = append(reported, e.Err) })
		launch(t, r)
		<-r.Done()
		if want := "[Bearer 1 Bearer 3]"; fmt.Sprint(seen) != want {
			t.Errorf("the server saw %v, want %v", seen, want)
		}
		if len(reported) != 2 || !errors.Is(reported[1], broken) {
			t.Errorf("errors are %v", reported)
		}
	})
}

func TestReconnectAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := &websocket.AcceptOptions{Options: websocket.Options{Subprotocols: []string{"chat"}}}
		n := startPipeNet(t, accepting(t, options, echo))
		o := ReconnectOptions{Options: n.options()}
		r, err := newReconnecting("http://h:80", []string{"chat"}, &o)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBinaryType("nonsense")
		r.SetBinaryType(BinaryTypeArrayBuffer)
		if r.Protocol() != "" || r.Extensions() != "" {
			t.Error("there is a protocol before there is a connection")
		}
		j := record(r)
		r.OnOpen(func(*OpenEvent) {
			j.add("%s %q %s", r.Protocol(), r.Extensions(), r.URL())
			r.Send([]byte("x"))
		})
		r.OnMessage(func(e *MessageEvent) {
			j.add("from %s", e.Origin)
			r.SetBinaryType(BinaryTypeBlob)
			r.Close(0, "")
		})
		launch(t, r)
		<-r.Done()
		if r.BinaryType() != BinaryTypeBlob {
			t.Errorf("binary type is %q", r.BinaryType())
		}
		j.want(t, "connecting -> open", "open", `chat "" ws://h/`, "bytes x", "from ws://h", "open -> closing", "closing -> closed", `close 1005 "" true`)
	})
}

// A real server that is restarted on the same port: the client comes back, and
// what was sent meanwhile arrives.
func TestReconnectToRestartedServer(t *testing.T) {
	serve := func(ln net.Listener) *http.Server {
		s := &http.Server{Handler: accepting(t, nil, echo)}
		go s.Serve(ln)
		return s
	}
	conns := make(chan net.Conn, 2)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	server := serve(remembering{ln, conns})

	states := make(chan *StateEvent, 100)
	messages := make(chan any, 10)
	r, err := NewReconnecting("ws://"+address, nil, &ReconnectOptions{
		BaseDelay:     20 * time.Millisecond,
		OnStateChange: func(e *StateEvent) { states <- e },
		Options:       Options{OnMessage: func(e *MessageEvent) { messages <- e.Data }},
	})
	if err != nil {
		t.Fatal(err)
	}
	until := func(s State) {
		t.Helper()
		for e := range states {
			if e.State == s {
				return
			}
		}
	}
	until(StateOpen)
	r.Send("before")
	if got := <-messages; got != "before" {
		t.Errorf("got %v", got)
	}
	server.Close()
	(<-conns).Close()
	until(StateWaiting)
	if err := r.Send("meanwhile"); err != nil {
		t.Error(err)
	}
	ln, err = net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server = serve(ln)
	defer server.Close()
	until(StateOpen)
	if got := <-messages; got != "meanwhile" {
		t.Errorf("got %v", got)
	}
	r.Close(1000, "")
	<-r.Done()
}

// remembering is a listener that hands out the connections it accepted, as an
// http.Server does not close those that were upgraded.
type remembering struct {
	net.Listener
	conns chan net.Conn
}

func (l remembering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- c
	}
	return c, err
}
